//! Percent-encoding (RFC 3986 §2.1), which octets need it, and which spellings of a URI it makes equivalent (§6.2.2).

use std::borrow::Cow;

use super::octet_search;

/// How an octet is treated in the path or the query that a client sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Octet {
    /// It stands for itself: unreserved, reserved, or a percent sign (RFC 3986 §2). `[` and `]` are among them, since to
    /// encode what is reserved can change what a URI means (§2.2).
    Allowed,
    /// No URI has it, but clients send it and servers accept it: it is forwarded percent-encoded, and is equivalent to that.
    Encoded,
    /// A control, a space, or `#`: recipients could disagree where the URI ends (RFC 9112 §3.2).
    Refused,
}

impl Octet {
    pub const fn of(octet: u8) -> Self {
        OCTETS[octet as usize]
    }
}

const OCTETS: [Octet; 256] = {
    let mut octets = [Octet::Encoded; 256];
    let mut octet = 0;
    while octet < 0x80 {
        octets[octet as usize] = match octet {
            0..=b' ' | 0x7f | b'#' => Octet::Refused,
            b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}' => Octet::Encoded,
            _ => Octet::Allowed,
        };
        octet += 1;
    }
    octets
};

/// The text with every octet encoded that no URI has.
pub fn encoded(text: &str) -> Cow<'_, str> {
    encoded_if(text, |octet| Octet::of(octet) == Octet::Encoded)
}

/// The path pattern of a route, in which braces are around a parameter, with every other octet encoded that no URI has.
pub fn encoded_pattern(pattern: &str) -> Cow<'_, str> {
    encoded_if(pattern, |octet| {
        Octet::of(octet) == Octet::Encoded && !matches!(octet, b'{' | b'}')
    })
}

fn encoded_if(text: &str, wanted: impl Fn(u8) -> bool) -> Cow<'_, str> {
    if !text.bytes().any(&wanted) {
        return Cow::Borrowed(text);
    }
    let mut encoded = String::with_capacity(text.len() + 16);
    for octet in text.bytes() {
        match wanted(octet) {
            true => push_encoded(octet, &mut encoded),
            // Only ASCII is not wanted.
            false => encoded.push(char::from(octet)),
        }
    }
    Cow::Owned(encoded)
}

/// [`encoded`] for octets that need not be UTF-8.
pub fn encoded_octets(octets: &[u8]) -> Vec<u8> {
    let mut encoded = String::with_capacity(octets.len() + 16);
    for octet in octets {
        match Octet::of(*octet) {
            Octet::Encoded => push_encoded(*octet, &mut encoded),
            // ASCII.
            Octet::Allowed | Octet::Refused => encoded.push(char::from(*octet)),
        }
    }
    encoded.into_bytes()
}

/// The normal form of a path, a query or both: octets that no URI has are encoded, unreserved characters are decoded (RFC
/// 3986 §6.2.2.2), the other encoded octets are in upper case (§6.2.2.1).
///
/// A text with a percent sign without two digits is no URI, and is equivalent to itself alone: characters decoded after such
/// a sign could become its digits, and make `%%41B` the same as `%AB`.
pub fn normal(text: &str) -> Cow<'_, str> {
    let text = encoded(text);
    match is_plain(&text) || !is_well_formed(&text) {
        true => text,
        false => Cow::Owned(decode(&text, is_unreserved)),
    }
}

/// Appends the normal form of `text`, in which octets that no URI has are encoded already.
pub fn push_normal(text: &str, to: &mut String) {
    match is_plain(text) || !is_well_formed(text) {
        true => to.push_str(text),
        false => push_decoded(text, is_unreserved, to),
    }
}

/// Whether nothing in a text is encoded, nor above ASCII.
pub fn is_plain(text: &str) -> bool {
    let (words, rest) = text.as_bytes().as_chunks::<8>();
    let is_plain =
        |word: &[u8; 8]| octet_search::equal(*word, b'%') | octet_search::beyond_ascii(*word) == 0;
    words.iter().all(is_plain) && rest.iter().all(|octet| octet.is_ascii() && *octet != b'%')
}

/// Whether two digits follow each percent sign (RFC 3986 §2.1).
fn is_well_formed(text: &str) -> bool {
    text.split('%').skip(1).all(|after| {
        let digits = after.as_bytes().get(..2);
        digits.is_some_and(|two| two.iter().all(u8::is_ascii_hexdigit))
    })
}

/// RFC 3986 §2.3
pub const fn is_unreserved(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'.' | b'_' | b'~')
}

/// Decodes the percent-encoded octets for which `wanted` holds, as far as they are ASCII, and writes the others in
/// upper case; octets beyond ASCII are encoded.
pub fn decode(text: &str, wanted: impl Fn(u8) -> bool) -> String {
    let mut decoded = String::with_capacity(text.len());
    push_decoded(text, wanted, &mut decoded);
    decoded
}

fn push_decoded(text: &str, wanted: impl Fn(u8) -> bool, to: &mut String) {
    let mut rest = text.as_bytes();
    while let [byte, after @ ..] = rest {
        let (octet, after, encoded) = match (byte, after) {
            (b'%', [high, low, after @ ..]) => match (digit(*high), digit(*low)) {
                (Some(high), Some(low)) => (high << 4 | low, after, true),
                _ => (*byte, &rest[1..], false),
            },
            _ => (*byte, after, false),
        };
        if octet.is_ascii() && (!encoded || wanted(octet)) {
            to.push(char::from(octet));
        } else {
            push_encoded(octet, to);
        }
        rest = after;
    }
}

fn push_encoded(octet: u8, to: &mut String) {
    to.push('%');
    to.push(upper_case_digit(octet >> 4));
    to.push(upper_case_digit(octet & 0xf));
}

/// The value of a hexadecimal digit, in either case.
pub(super) fn digit(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|digit| u8::try_from(digit).ok())
}

fn upper_case_digit(value: u8) -> char {
    char::from_digit(value.into(), 16).map_or('0', |digit| digit.to_ascii_uppercase())
}

/// A value of a query in the encoding of HTML forms: all octets but unreserved ones and slashes are encoded.
pub fn form_encoded(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for octet in value.bytes() {
        match is_unreserved(octet) || octet == b'/' {
            true => text.push(char::from(octet)),
            false => text.push_str(&format!("%{octet:02X}")),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_value_is_one_parameter_whatever_is_in_it() {
        for (value, parameter) in [
            ("/books/123", "/books/123"),
            ("/books?a=b&c=%20", "/books%3Fa%3Db%26c%3D%2520"),
            ("http://h/é#", "http%3A//h/%C3%A9%23"),
        ] {
            assert_eq!(form_encoded(value), parameter);
        }
    }

    #[test]
    fn equivalent_spellings_have_one_normal_form() {
        for (given, normal_form) in [
            ("/books?page=2", "/books?page=2"),
            ("/caf%C3%A9", "/caf%C3%A9"),
            ("/caf%c3%a9", "/caf%C3%A9"),
            ("/café", "/caf%C3%A9"),
            ("/%7Ea", "/~a"),
            ("/~a", "/~a"),
            ("/%62ooks", "/books"),
            ("/a?b=%41%2d%5F%2E", "/a?b=A-_."),
            // Reserved characters mean something else when they are encoded (RFC 3986 §2.2).
            ("/a%2fb", "/a%2Fb"),
            ("/a?b=1%26c%3d2", "/a?b=1%26c%3D2"),
            ("/a%20b", "/a%20b"),
            ("/a+b", "/a+b"),
            // What is encoded twice is decoded once by whoever decodes.
            ("/%2541", "/%2541"),
            ("/%", "/%"),
            ("/%4", "/%4"),
            ("/%zz%41", "/%zz%41"),
            ("/%%41B", "/%%41B"),
            ("/%4%31", "/%4%31"),
            ("/a?f={\"b\":[1]}", "/a?f=%7B%22b%22:[1]%7D"),
            (
                "/a?f=%7b%22b%22%3A%5b1%5d%7d",
                "/a?f=%7B%22b%22%3A%5B1%5D%7D",
            ),
            ("/<a>|\\^`", "/%3Ca%3E%7C%5C%5E%60"),
            ("/é%{", "/%C3%A9%%7B"),
            ("", ""),
        ] {
            assert_eq!(normal(given), normal_form, "{given}");
            let mut pushed = String::from("x");
            push_normal(&encoded(given), &mut pushed);
            assert_eq!(pushed, format!("x{normal_form}"), "{given}");
        }
    }

    #[test]
    fn what_no_uri_has_is_encoded_or_refused() {
        for octet in 0..=u8::MAX {
            // RFC 3986 §2.2 and §2.3.
            let is_of_uris = is_unreserved(octet) || b"%:/?[]@!$&'()*+,;=".contains(&octet);
            let expected = match octet {
                _ if is_of_uris => Octet::Allowed,
                0..=b' ' | 0x7f | b'#' => Octet::Refused,
                _ => Octet::Encoded,
            };
            assert_eq!(Octet::of(octet), expected, "{}", octet.escape_ascii());
        }
        assert_eq!(encoded_octets(b"/%\xff\"#a"), b"/%%FF%22#a");
        assert_eq!(encoded("/a-b%20?c[]=1"), "/a-b%20?c[]=1");
        assert_eq!(encoded_pattern("/{a}|{*b}"), "/{a}%7C{*b}");
    }

    proptest! {
        #[test]
        fn the_normal_form_is_its_own(text in "[/a-c%0-9A-F~é?&=.{|\"]{0,24}") {
            let once = normal(&text).into_owned();
            prop_assert_eq!(normal(&once), &*once);
            let mut pushed = String::new();
            push_normal(&encoded(&text), &mut pushed);
            prop_assert_eq!(pushed, once);
        }

        #[test]
        fn only_what_decodes_to_the_same_has_the_same_normal_form(
            a in "[/%0-9A-F~]{0,8}",
            b in "[/%0-9A-F~]{0,8}",
        ) {
            if normal(&a) == normal(&b) && a != b {
                prop_assert_eq!(decode(&a, |_| true), decode(&b, |_| true));
                prop_assert!(is_well_formed(&a) && is_well_formed(&b));
            }
        }
    }
}
