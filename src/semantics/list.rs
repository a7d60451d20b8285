//! Members of list-based fields (RFC 9110 §5.6.1), over all lines of the field; and fields that must have one line.

use http::{HeaderMap, HeaderName};

/// The value of the field `name` without white space around it, where the field has exactly one line.
pub(crate) fn only_line<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a [u8]> {
    let mut lines = headers.get_all(name).iter();
    let only = lines.next().filter(|_| lines.next().is_none())?;
    Some(trim(only.as_bytes()))
}

/// The members of the field `name`, in order, over all its lines: without the white space around them, without the
/// empty ones that a recipient has to accept (§5.6.1.2). A comma inside a quoted string does not separate.
pub(crate) fn members<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
) -> impl Iterator<Item = &'a [u8]> {
    headers
        .get_all(name)
        .iter()
        .flat_map(|line| split(line.as_bytes()))
}

/// The members of one field line; see [`members`].
pub(crate) fn split(line: &[u8]) -> Members<'_> {
    Members {
        rest: line,
        separator: b',',
        escapes: true,
    }
}

/// The parts of a member between semicolons: the item and its parameters (RFC 9110 §5.6.6).
pub(crate) fn parameters(member: &[u8]) -> Members<'_> {
    Members {
        rest: member,
        separator: b';',
        escapes: true,
    }
}

/// Like [`split`], for fields in whose quoted strings a backslash is an octet like any other (entity tags,
/// RFC 9110 §8.8.3).
pub(crate) fn split_without_escapes(line: &[u8]) -> Members<'_> {
    Members {
        rest: line,
        separator: b',',
        escapes: false,
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Members<'a> {
    rest: &'a [u8],
    separator: u8,
    escapes: bool,
}

impl<'a> Iterator for Members<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        while !self.rest.is_empty() {
            let end = self.end_of_member();
            let member = trim(&self.rest[..end]);
            self.rest = self.rest.get(end + 1..).unwrap_or_default();
            if !member.is_empty() {
                return Some(member);
            }
        }
        None
    }
}

impl Members<'_> {
    fn end_of_member(&self) -> usize {
        let mut quoted = false;
        let mut escaped = false;
        for (at, &byte) in self.rest.iter().enumerate() {
            match byte {
                _ if escaped => escaped = false,
                b'\\' if quoted && self.escapes => escaped = true,
                b'"' => quoted = !quoted,
                _ if byte == self.separator && !quoted => return at,
                _ => {}
            }
        }
        self.rest.len()
    }
}

/// `value` without optional white space at its ends (RFC 9110 §5.6.3).
pub(crate) fn trim(value: &[u8]) -> &[u8] {
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t');
    let start = value.iter().position(|b| !is_space(b));
    let end = value.iter().rposition(|b| !is_space(b));
    match (start, end) {
        (Some(start), Some(end)) => &value[start..=end],
        _ => &[],
    }
}

/// The octets that the inside of a quoted string stands for (RFC 9110 §5.6.4); `None` when a quote is in it, or when it ends
/// in a backslash.
pub(crate) fn unquote(inside: &[u8]) -> Option<Vec<u8>> {
    let mut value = Vec::with_capacity(inside.len());
    let mut octets = inside.iter();
    while let Some(&octet) = octets.next() {
        value.push(match octet {
            b'\\' => *octets.next()?,
            b'"' => return None,
            octet => octet,
        });
    }
    Some(value)
}

/// Whether `value` is a token (RFC 9110 §5.6.2).
pub(crate) fn is_token(value: &[u8]) -> bool {
    !value.is_empty() && value.iter().all(|&byte| is_tchar(byte))
}

pub(crate) const fn is_tchar(byte: u8) -> bool {
    matches!(
        byte,
        b'!' | b'#'
            | b'$'
            | b'%'
            | b'&'
            | b'\''
            | b'*'
            | b'+'
            | b'-'
            | b'.'
            | b'^'
            | b'_'
            | b'`'
            | b'|'
            | b'~'
    ) || byte.is_ascii_alphanumeric()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_come_trimmed_and_without_the_empty_ones() {
        let cases: [(&str, &[&str]); 8] = [
            ("", &[]),
            (" \t", &[]),
            (",, ,", &[]),
            ("foo , ,bar,charlie", &["foo", "bar", "charlie"]),
            (", foo,\tbar ,", &["foo", "bar"]),
            (r#"a="x,y", b"#, &[r#"a="x,y""#, "b"]),
            (r#"a="x\",y", b"#, &[r#"a="x\",y""#, "b"]),
            (r#"a="never closed, b"#, &[r#"a="never closed, b"#]),
        ];
        for (line, expected) in cases {
            let found: Vec<_> = split(line.as_bytes()).collect();
            let expected: Vec<_> = expected.iter().map(|m| m.as_bytes()).collect();
            assert_eq!(found, expected, "{line}");
        }
    }

    #[test]
    fn tokens_have_no_delimiters_and_no_space() {
        for (value, expected) in [
            ("gzip", true),
            ("!#$%&'*+-.^_`|~09azAZ", true),
            ("", false),
            ("a b", false),
            ("a/b", false),
            ("\"a\"", false),
            ("a,", false),
            ("caf\u{e9}", false),
        ] {
            assert_eq!(is_token(value.as_bytes()), expected, "{value}");
        }
    }

    #[test]
    fn an_entity_tag_may_end_in_a_backslash() {
        let found: Vec<_> = split_without_escapes(br#""a\", "b""#).collect();
        assert_eq!(found, [br#""a\""#.as_slice(), br#""b""#]);
    }

    #[test]
    fn several_lines_are_one_list() {
        let mut headers = HeaderMap::new();
        headers.append("vary", "a, b".parse().unwrap());
        headers.append("vary", ", c".parse().unwrap());
        let found: Vec<_> = members(&headers, &http::header::VARY).collect();
        assert_eq!(found, [b"a", b"b", b"c"]);
    }
}
