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
            // An API may take the first of a name, or the last: each counts. `lang =de`, `Lang=de` and `lang` are no cookies of
            // the key, but some APIs take them for one, whose response may be for everybody (`public`).
            let may_be = |of: &[u8]| of.trim_ascii_end().eq_ignore_ascii_case(name.as_bytes());
            for pair in pairs(request).filter(|pair| may_be(name_and_value(pair).0)) {
                separate(&mut text);
                text.push_str("cookie:");
                let (name, value) = name_and_value(pair);
                encode(name, &mut text);
                if let Some(value) = value {
                    text.push('=');
                    encode(value, &mut text);
                }
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
        pairs(request).all(|pair| self.has_cookie(pair))
    }

    /// Cookie with those alone that are part of the key; `None` where there are none.
    pub fn own_cookies(&self, request: &HeaderMap) -> Option<HeaderValue> {
        let own = pairs(request).filter(|pair| self.has_cookie(pair));
        let pairs: Vec<_> = own.collect();
        let joined = HeaderValue::from_bytes(&pairs.join(&b"; "[..])).ok();
        joined.filter(|_| !pairs.is_empty())
    }

    fn has_cookie(&self, pair: &[u8]) -> bool {
        let (name, value) = name_and_value(pair);
        value.is_some() && self.cookies.iter().any(|own| own.as_bytes() == name)
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

/// Writes the cookies of a request as RFC 6265 §4.2.1 has them, in one line, with `; ` between two: all APIs find the same
/// pairs in that, also those that trim none of their white space, or split at `; ` alone.
pub fn normalise_cookies(request: &mut HeaderMap) {
    let joined = pairs(request).collect::<Vec<_>>().join(&b"; "[..]);
    let mut lines = request.get_all(COOKIE).iter();
    let is_normal = lines.next().is_none_or(|line| line.as_bytes() == joined);
    if is_normal && lines.next().is_none() {
        return;
    }
    match HeaderValue::from_bytes(&joined) {
        Ok(mut cookies) if !joined.is_empty() => {
            cookies.set_sensitive(true);
            request.insert(COOKIE, cookies);
        }
        _ => drop(request.remove(COOKIE)),
    }
}

/// The cookies of a request, in their order, without the white space around each.
fn pairs(request: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    let lines = request.get_all(COOKIE).iter().map(HeaderValue::as_bytes);
    lines
        .flat_map(|line| line.split(|octet| *octet == b';'))
        .map(<[u8]>::trim_ascii)
        .filter(|pair| !pair.is_empty())
}

/// What stands before the first `=` of a cookie, and what follows it (RFC 6265 §4.2.1); one without `=` has no value. Quotes are
/// part of a value, and so is white space beside the `=`, which some APIs trim and others do not.
fn name_and_value(pair: &[u8]) -> (&[u8], Option<&[u8]>) {
    match pair.iter().position(|octet| *octet == b'=') {
        Some(at) => (&pair[..at], Some(&pair[at + 1..])),
        None => (pair, None),
    }
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
        let table: [(&KeyRule, Lines, &str); 21] = [
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
            (&cookies, &[("cookie", "a=b;lang=de \t; theme=dark")], "cookie:lang=de&cookie:theme=dark"),
            // APIs do not agree on white space beside the `=`.
            (&cookies, &[("cookie", "lang= de")], "cookie:lang=%20de"),
            (&cookies, &[("cookie", "lang=\tde ; theme=dark")], "cookie:lang=%09de&cookie:theme=dark"),
            (&cookies, &[("cookie", "lang = de ; theme=dark")], "cookie:lang%20=%20de&cookie:theme=dark"),
            (&cookies, &[("cookie", "lang =de")], "cookie:lang%20=de"),
            (&cookies, &[("cookie", "lang=de; lang =en; lang= en")], "cookie:lang=de&cookie:lang%20=en&cookie:lang=%20en"),
            (&cookies, &[("cookie", "theme=dark; lang=de")], "cookie:lang=de&cookie:theme=dark"),
            (&cookies, &[("cookie", "theme=dark"), ("cookie", "lang=\"de\"")], "cookie:lang=\"de\"&cookie:theme=dark"),
            (&cookies, &[("cookie", "lang=de; lang=en")], "cookie:lang=de&cookie:lang=en"),
            (&cookies, &[("cookie", "Lang=de; lang; language=de")], "cookie:Lang=de&cookie:lang"),
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
            ("lang =de", false, None),
            ("lang = de; theme=dark", false, Some("theme=dark")),
            ("lang= de", true, Some("lang= de")),
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

    #[test]
    fn cookies_are_written_as_all_apis_read_them() {
        type Lines = &'static [(&'static str, &'static str)];
        let table: [(Lines, Option<&str>); 7] = [
            (&[], None),
            (&[("cookie", "lang=de; a=b")], Some("lang=de; a=b")),
            (&[("cookie", "lang=de;a=b")], Some("lang=de; a=b")),
            (
                &[("cookie", "lang= de ;\t a = b;;")],
                Some("lang= de; a = b"),
            ),
            (
                &[("cookie", "lang=de"), ("cookie", "lang")],
                Some("lang=de; lang"),
            ),
            (&[("cookie", "lang=de"), ("cookie", "")], Some("lang=de")),
            (&[("cookie", " ; ")], None),
        ];
        for (lines, expected) in table {
            let mut request = request(lines);
            normalise_cookies(&mut request);
            let written: Vec<_> = request.get_all(COOKIE).iter().collect();
            assert_eq!(written, Vec::from_iter(expected), "{lines:?}");
        }
    }

    /// The values of these cookies as an API may read them: with white space around names and values trimmed or not.
    fn read(line: &str, names: &[&str], trims: [bool; 2]) -> Vec<Vec<String>> {
        let trimmed = |text: &str, trims: bool| match trims {
            true => text.trim().to_owned(),
            false => text.to_owned(),
        };
        let values = |name: &&str| {
            let pairs = line
                .split("; ")
                .map(|pair| pair.split_once('=').unwrap_or((pair, "")));
            let own = pairs.filter(|(of, _)| trimmed(of, trims[0]).eq_ignore_ascii_case(name));
            own.map(|(_, value)| trimmed(value, trims[1])).collect()
        };
        names.iter().map(values).collect()
    }

    proptest! {
        #[test]
        fn no_api_reads_other_cookies_in_requests_of_the_same_text(
            one in "([abA] ?=[ \t]?[ab]? ?|;[ \t]?|=| |a){0,6}",
            other in "([abA] ?=[ \t]?[ab]? ?|;[ \t]?|=| |a){0,6}",
        ) {
            let rule = rule(&[], &["a", "b"]);
            let of = |line: &str| {
                let mut request = request(&[("cookie", line.trim())]);
                normalise_cookies(&mut request);
                let sent = request.get(COOKIE).map(|value| value.to_str().expect("ASCII"));
                let sent = sent.unwrap_or_default().to_owned();
                let text = rule.text(&request, &VaryPolicy::default(), "");
                (text, sent)
            };
            let (one, other) = (of(&one), of(&other));
            // Nor where one has credentials: the response may be for everybody.
            if one.0 == other.0 {
                for trims in [[false; 2], [true, false], [false, true], [true; 2]] {
                    let [one, other] = [&one.1, &other.1].map(|line| read(line, &["a", "b"], trims));
                    prop_assert_eq!(one, other);
                }
            }
        }

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
