//! Escapes what clients sent, so that it ends no string and no line, and removes secrets from queries.

use std::borrow::Cow;

use crate::semantics::target::split_query;

/// Query parameters whose values are secrets. Compared without case, `-` and `_`.
const SECRETS: [&str; 14] = [
    "accesskey",
    "accesstoken",
    "apikey",
    "apitoken",
    "auth",
    "authtoken",
    "clientsecret",
    "idtoken",
    "passwd",
    "password",
    "refreshtoken",
    "secret",
    "sig",
    "token",
];

/// The most bytes of one field in a line.
const LONGEST: usize = 4 << 10;

/// The first [`LONGEST`] bytes of `text`, and whether that is all of it.
fn cut(text: &[u8]) -> (&[u8], bool) {
    match text.get(..LONGEST) {
        Some(start) if text.len() > LONGEST => (start, false),
        _ => (text, true),
    }
}

/// A JSON string, quotes included. Octets that are not UTF-8 become U+FFFD.
pub(super) fn json(line: &mut Vec<u8>, text: &[u8]) {
    let (text, whole) = cut(text);
    let mut text = String::from_utf8_lossy(text);
    if !whole {
        text.to_mut().push('…');
    }
    // Writing to a Vec does not fail.
    let _ = serde_json::to_writer(line, &text);
}

/// The inside of a quoted string of the combined format: quotes and backslashes behind a backslash, control and
/// non-ASCII octets as `\xhh`.
pub(super) fn quoted(line: &mut Vec<u8>, text: &[u8]) {
    escaped(line, text, |_| false);
}

/// The same for a word that stands between spaces.
pub(super) fn word(line: &mut Vec<u8>, text: &[u8]) {
    escaped(line, text, |byte| byte == b' ');
}

/// `also` says which octets are escaped that need not be between quotation marks.
fn escaped(line: &mut Vec<u8>, text: &[u8], also: impl Fn(u8) -> bool) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let (text, whole) = cut(text);
    for &byte in text {
        match byte {
            b'"' | b'\\' => line.extend_from_slice(&[b'\\', byte]),
            b' '..=b'~' if !also(byte) => line.push(byte),
            _ => line.extend_from_slice(&[
                b'\\',
                b'x',
                HEX[usize::from(byte >> 4)],
                HEX[usize::from(byte & 15)],
            ]),
        }
    }
    if !whole {
        line.extend_from_slice(b"...");
    }
}

/// A target or URI reference without the values of `SECRETS` in its query.
pub fn without_secrets(target: &str) -> Cow<'_, str> {
    let (path, Some(query)) = split_query(target) else {
        return Cow::Borrowed(target);
    };
    if !query.split('&').any(|pair| secret_of(pair).is_some()) {
        return Cow::Borrowed(target);
    }
    let mut clean = format!("{path}?");
    for (at, pair) in query.split('&').enumerate() {
        if at > 0 {
            clean.push('&');
        }
        match secret_of(pair) {
            Some(name) => {
                clean.push_str(name);
                clean.push_str("=***");
            }
            None => clean.push_str(pair),
        }
    }
    Cow::Owned(clean)
}

/// The name of a pair whose value is a secret.
fn secret_of(pair: &str) -> Option<&str> {
    let (name, value) = pair.split_once('=')?;
    let is = |secret: &&str| {
        let plain = name.bytes().filter(|byte| !matches!(byte, b'-' | b'_'));
        plain
            .map(|byte| byte.to_ascii_lowercase())
            .eq(secret.bytes())
    };
    (!value.is_empty() && SECRETS.iter().any(is)).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_octet_of_a_client_ends_a_string_or_a_line() {
        for byte in 0..=u8::MAX {
            let text = [b'a', byte, b'b'];
            let mut line = Vec::new();
            json(&mut line, &text);
            let read: String = serde_json::from_slice(&line).unwrap();
            assert_eq!(read, String::from_utf8_lossy(&text));
            assert!(!line.contains(&b'\n'));

            let mut line = Vec::new();
            quoted(&mut line, &text);
            assert!(
                line.iter().all(|byte| (b' '..=b'~').contains(byte)),
                "{byte}"
            );
            let escaped = line.len() > 3;
            assert_eq!(
                escaped,
                !(b' '..=b'~').contains(&byte) || b"\"\\".contains(&byte)
            );
        }
        let mut line = Vec::new();
        quoted(&mut line, "\"\\\n\u{e9}".as_bytes());
        assert_eq!(line, br#"\"\\\x0a\xc3\xa9"#);
    }

    #[test]
    fn a_field_has_a_longest_form() {
        let long = vec![b'x'; 10 << 10];
        let (mut first, mut second) = (Vec::new(), Vec::new());
        json(&mut first, &long);
        quoted(&mut second, &long);
        assert_eq!(first.len(), LONGEST + "\"…\"".len());
        assert_eq!(second.len(), LONGEST + 3);
        // Cut within a character.
        let text = format!("{}é", "x".repeat(LONGEST - 1));
        let mut line = Vec::new();
        json(&mut line, text.as_bytes());
        assert!(serde_json::from_slice::<String>(&line).is_ok());
    }

    #[test]
    fn secrets_in_a_query_are_blotted_out() {
        for (target, shown) in [
            ("/books", "/books"),
            ("/books?", "/books?"),
            ("/books?page=2&token", "/books?page=2&token"),
            ("/books?token=", "/books?token="),
            ("/books?tokens=5", "/books?tokens=5"),
            ("/books?api_key=abc", "/books?api_key=***"),
            (
                "/books?a=1&Access-Token=abc&b=2",
                "/books?a=1&Access-Token=***&b=2",
            ),
            ("/b?password=a=b&password=c", "/b?password=***&password=***"),
            ("http://a/?apiKey=x", "http://a/?apiKey=***"),
        ] {
            assert_eq!(without_secrets(target), shown);
        }
    }
}
