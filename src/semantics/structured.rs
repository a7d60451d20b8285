//! Writing items of structured fields (RFC 9651 §4.1).

use smallvec::SmallVec;

use super::list::is_tchar;

/// The largest integer of a structured field (RFC 9651 §3.3.1).
pub(super) const MAX_INTEGER: i64 = 999_999_999_999_999;

/// On the stack, as nearly every list member fits.
pub type Buffer = SmallVec<[u8; 192]>;

/// A token where `text` can be one, else a string (RFC 9651 §4.1.7, §4.1.6).
pub fn write_token_or_string(text: &str, out: &mut Buffer) {
    let begins = text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '*');
    if begins
        && text
            .bytes()
            .all(|b| is_tchar(b) || matches!(b, b':' | b'/'))
    {
        out.extend_from_slice(text.as_bytes());
    } else {
        write_string(text, out);
    }
}

/// A string (RFC 9651 §4.1.6), which has printable ASCII characters alone: `?` stands for every other.
pub fn write_string(text: &str, out: &mut Buffer) {
    out.extend_from_slice(b"\"");
    for character in text.chars() {
        match character {
            '"' => out.extend_from_slice(b"\\\""),
            '\\' => out.extend_from_slice(b"\\\\"),
            ' '..='~' => out.extend_from_slice(&[character as u8]),
            _ => out.extend_from_slice(b"?"),
        }
    }
    out.extend_from_slice(b"\"");
}

/// A byte sequence (RFC 9651 §4.1.8).
pub fn byte_sequence(octets: &[u8]) -> String {
    sfv::ItemSerializer::new().bare_item(octets).finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn octets_are_a_byte_sequence() {
        assert_eq!(byte_sequence(b"hello"), ":aGVsbG8=:");
        assert_eq!(byte_sequence(b""), "::");
    }

    #[test]
    fn what_is_no_token_is_a_string() {
        for (text, expected) in [
            ("bookend", "bookend"),
            ("*a:b/c", "*a:b/c"),
            ("a.b-c_d", "a.b-c_d"),
            ("1a", "\"1a\""),
            ("a b", "\"a b\""),
            ("", "\"\""),
            ("a\"b\\c", "\"a\\\"b\\\\c\""),
            ("café\n", "\"caf??\""),
        ] {
            let mut out = Buffer::new();
            write_token_or_string(text, &mut out);
            assert_eq!(std::str::from_utf8(&out), Ok(expected), "{text:?}");
            let parsed = sfv::Parser::new(&out).parse::<sfv::Item>();
            assert!(parsed.is_ok(), "{text:?}: {parsed:?}");
        }
    }
}
