//! Writing field lines (RFC 9112 §5).

use http::HeaderMap;

/// Appends the line of a field with this name and value, with its end.
#[inline]
pub fn write_line(name: &str, value: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// Appends a line for each of `fields`, without the empty line that ends a section.
#[inline]
pub fn write_lines(fields: &HeaderMap, out: &mut Vec<u8>) {
    for (name, value) in fields {
        write_line(name.as_str(), value.as_bytes(), out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_has_its_name_value_and_end() {
        let mut fields = HeaderMap::new();
        fields.append("a", "1, 2".parse().unwrap());
        fields.append("a", "\u{e9}".parse().unwrap());
        fields.append("b", "".parse().unwrap());
        let mut out = b"x".to_vec();
        write_lines(&fields, &mut out);
        assert_eq!(out, "xa: 1, 2\r\na: \u{e9}\r\nb: \r\n".as_bytes());
    }
}
