//! The operator's rule about which request fields and cookies are part of a key: `key_fields` and `key_cookies` of a route.

use http::header::{COOKIE, HeaderName, HeaderValue};
use http::{HeaderMap, header};

use super::field_edits::refused_in_requests;
use super::policy::VaryPolicy;
use super::vary;

/// Octets of what a key has of fields and cookies; where there is more, a digest stands for it.
const MAX_LENGTH: usize = 512;

/// Which fields and cookies of a route's requests select what is stored, beside the URL.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyRule {
    pub fields: Vec<HeaderName>,
    /// Names, in their own case (RFC 6265 §5.4).
    pub cookies: Vec<String>,
}

impl KeyRule {
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty() && self.cookies.is_empty()
    }

    /// The values that select, in an order of its own, after `edits`, which says what the API gets beside the client's fields
    /// where that is not nothing. Two requests that the API may answer differently by these have different texts.
    pub fn text(&self, request: &HeaderMap, vary: &VaryPolicy, edits: &str) -> String {
        let mut text = edits.to_owned();
        for name in &self.fields {
            separate(&mut text);
            text.push_str(name.as_str());
            // A field without a value is another than none.
            if let Some(value) = vary::compared(name, request, vary) {
                text.push('=');
                encode(&value, &mut text);
            }
        }
        for name in &self.cookies {
            // An API may take the first of a name, or the last: each counts.
            for (_, value) in cookies(request).filter(|(of, _)| *of == name.as_bytes()) {
                separate(&mut text);
                text.push_str("cookie:");
                encode(name.as_bytes(), &mut text);
                text.push('=');
                encode(value, &mut text);
            }
        }
        match text.len() > MAX_LENGTH {
            true => format!("blake3={}", blake3::hash(text.as_bytes()).to_hex()),
            false => text,
        }
    }

    /// Whether the request's cookies are all part of the key: they are no credentials then, since what they fetch answers only
    /// those who have the same.
    pub fn has_all_cookies(&self, request: &HeaderMap) -> bool {
        cookies(request).all(|(name, _)| self.has_cookie(name))
    }

    /// Cookie with those alone that are part of the key; `None` where there are none.
    pub fn own_cookies(&self, request: &HeaderMap) -> Option<HeaderValue> {
        let own = cookies(request).filter(|(name, _)| self.has_cookie(name));
        let pairs: Vec<_> = own.map(|(name, value)| [name, value].join(&b'=')).collect();
        let joined = HeaderValue::from_bytes(&pairs.join(&b"; "[..])).ok();
        joined.filter(|_| !pairs.is_empty())
    }

    fn has_cookie(&self, name: &[u8]) -> bool {
        self.cookies.iter().any(|own| own.as_bytes() == name)
    }
}

/// Why a field cannot be part of a key; `None` where it can.
pub fn refused_in_keys(name: &HeaderName) -> Option<&'static str> {
    match *name {
        header::HOST => Some("is part of every key"),
        header::COOKIE => Some("has all cookies: name those that matter in `key_cookies`"),
        // RFC 9111 §3.5: what it fetches answers no other request, whatever the key, unless the response says so.
        header::AUTHORIZATION => Some(
            "has credentials, with which responses are not stored unless they are for everybody",
        ),
        _ => refused_in_requests(name),
    }
}

/// The cookies of a request, in their order: what stands before the first `=` of each pair, and what follows it (RFC 6265
/// §4.2.1; a pair without `=` has no name, as §5.2 has it for Set-Cookie). Quotes are part of a value.
fn cookies(request: &HeaderMap) -> impl Iterator<Item = (&[u8], &[u8])> {
    let lines = request.get_all(COOKIE).iter().map(HeaderValue::as_bytes);
    let pairs = lines.flat_map(|line| line.split(|octet| *octet == b';'));
    let pairs = pairs
        .map(<[u8]>::trim_ascii)
        .filter(|pair| !pair.is_empty());
    pairs.map(|pair| match pair.iter().position(|octet| *octet == b'=') {
        Some(at) => (
            pair[..at].trim_ascii_end(),
            pair[at + 1..].trim_ascii_start(),
        ),
        None => (&b""[..], pair),
    })
}

fn separate(text: &mut String) {
    if !text.is_empty() {
        text.push('&');
    }
}

/// Percent-encodes what separates parts of a text, or of a URI, and what is not visible ASCII.
fn encode(octets: &[u8], to: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for octet in octets {
        match octet {
            b'%' | b'&' | b'=' | b'#' | b'?' | b'/' => {}
            0x21..=0x7e => {
                to.push(char::from(*octet));
                continue;
            }
            _ => {}
        }
        to.push('%');
        to.push(char::from(DIGITS[usize::from(octet >> 4)]));
        to.push(char::from(DIGITS[usize::from(octet & 15)]));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn request(lines: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            let name: HeaderName = name.parse().expect(name);
            headers.append(
                name,
                HeaderValue::from_bytes(value.as_bytes()).expect(value),
            );
        }
        headers
    }

    fn rule(fields: &[&str], cookies: &[&str]) -> KeyRule {
        KeyRule {
            fields: fields
                .iter()
                .map(|name| name.parse().expect(name))
                .collect(),
            cookies: cookies.iter().map(|name| (*name).to_owned()).collect(),
        }
    }

    fn text(rule: &KeyRule, lines: &[(&str, &str)]) -> String {
        rule.text(&request(lines), &VaryPolicy::default(), "")
    }

    #[test]
    fn a_key_has_what_the_fields_and_cookies_say() {
        let fields = rule(&["accept-language", "x-tenant"], &[]);
        let cookies = rule(&[], &["lang", "theme"]);
        type Lines = &'static [(&'static str, &'static str)];
        #[rustfmt::skip]
        let table: [(&KeyRule, Lines, &str); 16] = [
            (&fields, &[], "accept-language&x-tenant"),
            (&fields, &[("x-tenant", "")], "accept-language&x-tenant="),
            (&fields, &[("x-tenant", "a")], "accept-language&x-tenant=a"),
            (&fields, &[("x-tenant", " a ")], "accept-language&x-tenant=a"),
            (&fields, &[("x-tenant", "a"), ("x-tenant", "b")], "accept-language&x-tenant=a,b"),
            (&fields, &[("x-tenant", "a , b")], "accept-language&x-tenant=a,b"),
            (&fields, &[("x-tenant", "a&b=c#?/%é")], "accept-language&x-tenant=a%26b%3Dc%23%3F%2F%25%C3%A9"),
            (&fields, &[("accept-language", "de;q=1, EN;q=0.5")], "accept-language=de,en;q%3D0.500&x-tenant"),
            (&fields, &[("accept-language", "en;q=0.50,de")], "accept-language=de,en;q%3D0.500&x-tenant"),
            (&cookies, &[], ""),
            (&cookies, &[("cookie", "lang=de")], "cookie:lang=de"),
            (&cookies, &[("cookie", "a=b;lang = de ; theme=dark")], "cookie:lang=de&cookie:theme=dark"),
            (&cookies, &[("cookie", "theme=dark; lang=de")], "cookie:lang=de&cookie:theme=dark"),
            (&cookies, &[("cookie", "theme=dark"), ("cookie", "lang=\"de\"")], "cookie:lang=\"de\"&cookie:theme=dark"),
            (&cookies, &[("cookie", "lang=de; lang=en")], "cookie:lang=de&cookie:lang=en"),
            (&cookies, &[("cookie", "Lang=de; lang")], ""),
        ];
        for (rule, lines, expected) in table {
            assert_eq!(text(rule, lines), expected, "{lines:?}");
        }
    }

    #[test]
    fn a_long_value_has_a_digest() {
        let rule = rule(&["x-tenant"], &[]);
        let long = "x".repeat(MAX_LENGTH);
        let (one, other) = (text(&rule, &[("x-tenant", &long)]), format!("{long}y"));
        assert!(one.starts_with("blake3=") && one.len() < 80, "{one}");
        assert_ne!(one, text(&rule, &[("x-tenant", &other)]));
    }

    #[test]
    fn cookies_that_are_not_part_of_the_key_are_told() {
        let rule = rule(&[], &["lang", "theme"]);
        for (cookie, has_all, own) in [
            ("lang=de", true, Some("lang=de")),
            ("theme=dark;lang=de", true, Some("theme=dark; lang=de")),
            ("lang=de; lang=en", true, Some("lang=de; lang=en")),
            ("lang=de; session=1", false, Some("lang=de")),
            ("session=1", false, None),
            ("LANG=de", false, None),
            ("lang", false, None),
            ("lang=de, session=1", true, Some("lang=de, session=1")),
            (" ; ", true, None),
        ] {
            let request = request(&[("cookie", cookie)]);
            assert_eq!(rule.has_all_cookies(&request), has_all, "{cookie}");
            let kept = rule.own_cookies(&request);
            let kept = kept.as_ref().and_then(|value| value.to_str().ok());
            assert_eq!(kept, own, "{cookie}");
        }
        assert!(rule.has_all_cookies(&HeaderMap::new()));
    }

    proptest! {
        #[test]
        fn requests_that_differ_in_what_selects_have_different_texts(
            one in prop::collection::vec("[a-c&=%,; ]{0,4}", 2),
            other in prop::collection::vec("[a-c&=%,; ]{0,4}", 2),
        ) {
            let rule = rule(&["x-a", "x-b"], &[]);
            let lines = |values: &[String]| {
                request(&[("x-a", &values[0]), ("x-b", &values[1])])
            };
            let (one, other) = (lines(&one), lines(&other));
            let compared = |name: &str, request: &HeaderMap| {
                let name: HeaderName = name.parse().expect("a name");
                vary::compared(&name, request, &VaryPolicy::default())
            };
            let same = ["x-a", "x-b"].iter().all(|name| compared(name, &one) == compared(name, &other));
            let texts = [&one, &other].map(|request| rule.text(request, &VaryPolicy::default(), ""));
            prop_assert_eq!(texts[0] == texts[1], same);
        }
    }
}
