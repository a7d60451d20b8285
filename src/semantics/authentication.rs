//! The credentials of a request that the gateway itself checks: Basic (RFC 7617) and Bearer (RFC 6750), and the challenges for
//! both (RFC 9110 §11.6.1).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};

use super::list;

/// What Authorization says.
#[derive(Clone, PartialEq, Eq)]
pub enum Presented {
    /// There is none.
    Nothing,
    Basic {
        user: Vec<u8>,
        password: Vec<u8>,
    },
    Bearer(Vec<u8>),
    /// Another scheme, more than one line, or no credentials of the scheme that it names.
    Unknown,
}

impl Presented {
    pub fn of(request: &HeaderMap) -> Self {
        let mut lines = request.get_all(AUTHORIZATION).iter();
        let Some(only) = lines.next() else {
            return Self::Nothing;
        };
        if lines.next().is_some() {
            return Self::Unknown;
        }
        Self::read(only.as_bytes()).unwrap_or(Self::Unknown)
    }

    /// RFC 9110 §11.4: a scheme, one space or more, and a token68.
    fn read(value: &[u8]) -> Option<Self> {
        let space = value.iter().position(|octet| *octet == b' ')?;
        let (scheme, token) = (&value[..space], value[space..].trim_ascii());
        if scheme.eq_ignore_ascii_case(b"bearer") {
            return is_token68(token).then(|| Self::Bearer(token.to_vec()));
        }
        if !scheme.eq_ignore_ascii_case(b"basic") {
            return None;
        }
        let mut user = STANDARD.decode(token).ok()?;
        // RFC 7617 §2: the first colon ends the user's name, and neither part has control characters.
        let colon = user.iter().position(|octet| *octet == b':')?;
        if user.iter().any(u8::is_ascii_control) {
            return None;
        }
        let password = user.split_off(colon + 1);
        user.truncate(colon);
        Some(Self::Basic { user, password })
    }
}

/// RFC 9110 §11.2, which is also the syntax of a bearer token (RFC 6750 §2.1).
pub fn is_token68(text: &[u8]) -> bool {
    let end = text.iter().rposition(|octet| *octet != b'=');
    let bare = end.map_or(&[][..], |end| &text[..=end]);
    let is_of = |octet: &u8| octet.is_ascii_alphanumeric() || b"-._~+/".contains(octet);
    !bare.is_empty() && bare.iter().all(is_of)
}

/// The challenge of Basic. `realm` is of visible ASCII characters and spaces.
pub fn basic_challenge(realm: &str) -> HeaderValue {
    // RFC 7617 §2.1: the only value that the parameter may have.
    challenge(&format!(
        "Basic realm=\"{}\", charset=\"UTF-8\"",
        escaped(realm)
    ))
}

/// The challenge of Bearer; `is_wrong` says that the request had a token which is none (RFC 6750 §3.1), as opposed to no
/// credentials at all.
pub fn bearer_challenge(realm: &str, is_wrong: bool) -> HeaderValue {
    let error = if is_wrong {
        ", error=\"invalid_token\""
    } else {
        ""
    };
    challenge(&format!("Bearer realm=\"{}\"{error}", escaped(realm)))
}

fn escaped(realm: &str) -> String {
    realm.replace('\\', "\\\\").replace('"', "\\\"")
}

fn challenge(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static("Basic"))
}

/// Makes `Cache-Control` say that the response is for its client alone: without what lets a shared cache store a response to a
/// request with Authorization (RFC 9111 §3.5). A cache between the gateway and its clients would answer without asking who it is.
pub fn made_private(directives: &HeaderMap) -> HeaderValue {
    // `must-revalidate` lets one too, and stays: the client's own cache needs it, and `private` precedes.
    const SHARING: [&str; 3] = ["public", "s-maxage", "proxy-revalidate"];
    let members = list::members(directives, &http::header::CACHE_CONTROL);
    let name = |member: &[u8]| {
        let name = member.split(|octet| *octet == b'=').next();
        name.unwrap_or_default().trim_ascii().to_ascii_lowercase()
    };
    let is_kept = |member: &&[u8]| {
        let name = name(member);
        // A `private` that names fields is for these alone.
        name != b"private" && !SHARING.iter().any(|sharing| sharing.as_bytes() == name)
    };
    let kept = members.filter(is_kept).chain([&b"private"[..]]);
    let value = kept.collect::<Vec<_>>().join(&b", "[..]);
    HeaderValue::from_bytes(&value).unwrap_or(HeaderValue::from_static("private"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_read_as_their_scheme_has_them() {
        let basic = |user: &str, password: &str| Presented::Basic {
            user: user.into(),
            password: password.into(),
        };
        let bearer = |token: &str| Presented::Bearer(token.into());
        let unknown = || Presented::Unknown;
        for (lines, presented) in [
            (&[][..], Presented::Nothing),
            (&["Basic YTpi"], basic("a", "b")),
            (&["basic   YTpi "], basic("a", "b")),
            (&["Basic YTpiOmM="], basic("a", "b:c")),
            (&["Basic Og=="], basic("", "")),
            (&["Basic w6k6w6k="], basic("é", "é")),
            // Without a colon, padding, or an encoding; with a control character.
            (&["Basic YWI="], unknown()),
            (&["Basic YTpiOmM"], unknown()),
            (&["Basic a:b"], unknown()),
            (&["Basic YTpiAA=="], unknown()),
            (&["Basic YQo6Yg=="], unknown()),
            (&["Basic"], unknown()),
            (&["Basic "], unknown()),
            (&["Bearer abc.-_~+/=="], bearer("abc.-_~+/==")),
            (&["BEARER abc"], bearer("abc")),
            (&["Bearer a=b"], unknown()),
            (&["Bearer ="], unknown()),
            (&["Bearer a b"], unknown()),
            (&["Bearer"], unknown()),
            (&["Digest username=\"a\""], unknown()),
            (&["Bearer a", "Bearer a"], unknown()),
            (&["Basic YTpi, Bearer a"], unknown()),
        ] {
            let mut request = HeaderMap::new();
            for line in lines {
                request.append(AUTHORIZATION, HeaderValue::from_str(line).expect(line));
            }
            assert!(Presented::of(&request) == presented, "{lines:?}");
        }
    }

    #[test]
    fn challenges_have_their_parameters() {
        let text = |value: HeaderValue| value.to_str().map(str::to_owned).unwrap_or_default();
        assert_eq!(
            text(basic_challenge("Our \"books\"")),
            "Basic realm=\"Our \\\"books\\\"\", charset=\"UTF-8\""
        );
        assert_eq!(text(bearer_challenge("api", false)), "Bearer realm=\"api\"");
        assert_eq!(
            text(bearer_challenge("api", true)),
            "Bearer realm=\"api\", error=\"invalid_token\""
        );
    }

    #[test]
    fn a_private_response_lets_no_shared_cache_store_it() {
        for (before, after) in [
            (&[][..], "private"),
            (&["max-age=60"], "max-age=60, private"),
            (&["public, max-age=60"], "max-age=60, private"),
            (&["Public", "S-MaxAge=5, max-age=60"], "max-age=60, private"),
            (
                &["private=\"set-cookie, x\", max-age=1"],
                "max-age=1, private",
            ),
            (&["no-store"], "no-store, private"),
            (
                &["max-age=1, must-revalidate"],
                "max-age=1, must-revalidate, private",
            ),
        ] {
            let mut fields = HeaderMap::new();
            for line in before {
                fields.append(http::header::CACHE_CONTROL, HeaderValue::from_static(line));
            }
            assert_eq!(made_private(&fields), after, "{before:?}");
        }
    }
}
