//! The limit on a client's requests, in fields: RateLimit and RateLimit-Policy
//! (draft-ietf-httpapi-ratelimit-headers), each a list of strings with parameters (RFC 9651 §3.1).

use http::{HeaderName, HeaderValue};

use super::structured::{Buffer, write_string};
use super::time::DeltaSeconds;

/// The field with the rest of each limit.
pub const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// The field with each limit.
pub const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// The member for a limit of `quota` requests in each `window`: `"name";q=100;w=60`.
pub fn policy(name: &str, quota: u32, window: DeltaSeconds) -> HeaderValue {
    member(name, [("q", quota), ("w", window.as_secs())])
}

/// The member for a limit of which `remaining` requests are left: `"name";r=0;t=3`. At `reset` a client with some left has
/// all of them again, and a client with none has one.
pub fn remaining(name: &str, remaining: u32, reset: DeltaSeconds) -> HeaderValue {
    member(name, [("r", remaining), ("t", reset.as_secs())])
}

fn member(name: &str, parameters: [(&str, u32); 2]) -> HeaderValue {
    let mut member = Buffer::new();
    write_string(name, &mut member);
    for (key, value) in parameters {
        member.push(b';');
        member.extend_from_slice(key.as_bytes());
        member.push(b'=');
        member.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
    }
    // Printable ASCII is always a valid value.
    HeaderValue::from_bytes(&member).unwrap_or(HeaderValue::from_static("\"?\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_strings_with_two_integers() {
        let secs = DeltaSeconds::new;
        for (written, expected) in [
            (policy("server", 100, secs(60)), r#""server";q=100;w=60"#),
            (policy("/a/{id}", 1, secs(1)), r#""/a/{id}";q=1;w=1"#),
            (policy("/\"\\é", 1, secs(1)), r#""/\"\\?";q=1;w=1"#),
            (remaining("server", 0, secs(3)), r#""server";r=0;t=3"#),
            (
                remaining("server", u32::MAX, DeltaSeconds::MAX),
                r#""server";r=4294967295;t=2147483648"#,
            ),
        ] {
            assert_eq!(written, expected);
            let parsed = sfv::Parser::new(written.as_bytes()).parse::<sfv::List>();
            assert!(parsed.is_ok(), "{written:?}: {parsed:?}");
        }
    }
}
