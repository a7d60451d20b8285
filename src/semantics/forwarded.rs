//! Forwarded (RFC 7239): the client or proxy that each proxy on the way names as the one that sent it the request.

use std::net::{IpAddr, SocketAddr};

use super::list::unquote;

/// The addresses that the elements of the field's lines name in `for`, the last first, which is the nearest proxy's. `None`
/// for an element without an address: without `for`, with `unknown` or an obfuscated identifier (§6), or not well-formed.
pub fn named<'a, I>(lines: I) -> impl Iterator<Item = Option<IpAddr>>
where
    I: DoubleEndedIterator<Item = &'a [u8]>,
{
    lines
        .rev()
        .flat_map(|line| split(line, b',').into_iter().rev())
        .map(|element| std::str::from_utf8(element).ok().and_then(address_in))
}

/// The parts of `text` between separators that are in no quoted string; between all separators where a quoted string does
/// not end: a quote that a client does not close must not hide the elements that proxies add behind it.
fn split(text: &[u8], separator: u8) -> Vec<&[u8]> {
    let (mut quoted, mut escaped) = (false, false);
    let parts = text.split(|&byte| {
        let ends = byte == separator && !quoted;
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ => {}
        }
        ends
    });
    let parts = parts.collect();
    match quoted {
        true => text.split(|&byte| byte == separator).collect(),
        false => parts,
    }
}

/// The address that one element names. §4: `forwarded-pair *( ";" forwarded-pair )`, each parameter once.
fn address_in(element: &str) -> Option<IpAddr> {
    let mut found = None;
    for pair in split(element.as_bytes(), b';') {
        let pair = std::str::from_utf8(pair).ok()?.trim_ascii();
        if pair.is_empty() {
            continue;
        }
        let (name, value) = pair.split_once('=')?;
        if name.eq_ignore_ascii_case("for") && found.replace(value).is_some() {
            return None;
        }
    }
    let value = found?;
    match value.strip_prefix('"') {
        Some(quoted) => {
            let inside = quoted.strip_suffix('"')?;
            node(std::str::from_utf8(&unquote(inside.as_bytes())?).ok()?)
        }
        None if value.contains(['"', ' ', '\t']) => None,
        None => node(value),
    }
}

/// Reads a node (§6): an address, or an IPv6 address in brackets, with a port (which may be obfuscated, too) or without. An
/// IPv6 address without brackets is accepted.
fn node(node: &str) -> Option<IpAddr> {
    let bare = |text: &str| Some(text.parse::<IpAddr>().ok()?.to_canonical());
    if let Some(rest) = node.strip_prefix('[') {
        let (address, port) = rest.split_once(']')?;
        let port_is_valid = port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
        return port_is_valid.then(|| bare(address)).flatten();
    }
    if let Some(address) = bare(node) {
        return Some(address);
    }
    let (address, port) = node.split_once(':')?;
    is_port(port).then(|| bare(address)).flatten()
}

fn is_port(text: &str) -> bool {
    let is_obfuscated = |text: &str| {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        !text.is_empty() && text.chars().all(allowed)
    };
    let is_number = !text.is_empty() && text.len() <= 5 && text.bytes().all(|b| b.is_ascii_digit());
    is_number || text.strip_prefix('_').is_some_and(is_obfuscated)
}

/// An address as proxies write it in X-Forwarded-For: alone, with a port, or in brackets.
pub fn address(text: &str) -> Option<IpAddr> {
    let bare = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'));
    let address: Option<IpAddr> = bare.unwrap_or(text).parse().ok();
    let with_port = || Some(text.parse::<SocketAddr>().ok()?.ip());
    Some(address.or_else(with_port)?.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_element_names_an_address_or_nobody() {
        for (line, expected) in [
            // RFC 7239 §4 and §6.
            ("for=192.0.2.43", &[Some("192.0.2.43")][..]),
            (
                "for=192.0.2.43, for=198.51.100.17",
                &[Some("198.51.100.17"), Some("192.0.2.43")],
            ),
            (
                "For=\"[2001:db8:cafe::17]:4711\"",
                &[Some("2001:db8:cafe::17")],
            ),
            ("for=\"[2001:db8::1]\"", &[Some("2001:db8::1")]),
            ("for=\"192.0.2.43:47011\"", &[Some("192.0.2.43")]),
            ("for=\"192.0.2.43:_port\"", &[Some("192.0.2.43")]),
            (
                "proto=http;FOR=192.0.2.60;by=203.0.113.43",
                &[Some("192.0.2.60")],
            ),
            ("for=_hidden, for=_SEVKISEK", &[None, None]),
            ("for=unknown", &[None]),
            ("for=\"_gazonk\"", &[None]),
            // What a client leaves open does not swallow what its proxy says behind it.
            ("for=\"x, for=192.0.2.1", &[Some("192.0.2.1"), None]),
            ("for=\"x\\, for=\"192.0.2.1\"", &[Some("192.0.2.1"), None]),
            // A quoted string may hold what separates elsewhere.
            (
                "host=\"a,b;for=192.0.2.9\";for=192.0.2.1",
                &[Some("192.0.2.1")],
            ),
            (
                "host=\"a\\\",for=192.0.2.9\";for=192.0.2.1",
                &[Some("192.0.2.1")],
            ),
            ("for=\"192.0.2.\\4\"", &[Some("192.0.2.4")]),
            ("for=\"::ffff:192.0.2.1\"", &[Some("192.0.2.1")]),
            ("for=2001:db8::1", &[Some("2001:db8::1")]),
            (" for=192.0.2.1 ; proto=https ", &[Some("192.0.2.1")]),
            (";for=192.0.2.1;", &[Some("192.0.2.1")]),
            // What is not well-formed names nobody.
            ("", &[None]),
            ("for=192.0.2.1,", &[None, Some("192.0.2.1")]),
            ("proto=http", &[None]),
            ("for", &[None]),
            ("for=", &[None]),
            ("for=192.0.2.1;for=192.0.2.2", &[None]),
            ("for=\"192.0.2.1", &[None]),
            ("for=192.0.2.1\"", &[None]),
            ("for=\"192.0.2.1\"x", &[None]),
            ("for = 192.0.2.1", &[None]),
            ("for=192.0.2.1:x", &[None]),
            ("for=192.0.2.1:123456", &[None]),
            ("for=\"[192.0.2.1\"", &[None]),
            ("for=\"[2001:db8::1]x\"", &[None]),
            ("for=192.0.2.1 for=192.0.2.2", &[None]),
        ] {
            let found: Vec<_> = named([line.as_bytes()].into_iter()).collect();
            let expected: Vec<Option<IpAddr>> = expected
                .iter()
                .map(|address| address.map(|text| text.parse().expect("an address")))
                .collect();
            assert_eq!(found, expected, "{line}");
        }
    }

    #[test]
    fn the_last_element_of_the_last_line_is_the_nearest() {
        let lines = [&b"for=192.0.2.1, for=192.0.2.2"[..], b"for=192.0.2.3"];
        let found = named(lines.into_iter()).map(|address| address.expect("one").to_string());
        let found: Vec<_> = found.collect();
        assert_eq!(found, ["192.0.2.3", "192.0.2.2", "192.0.2.1"]);
    }
}
