//! Changes of protocol on an HTTP/1.1 connection (RFC 9110 §7.8).

use http::header::{HeaderValue, UPGRADE};
use http::{HeaderMap, Version};

use super::hop_by_hop::connection_has;
use super::list;

/// Protocols after a change to which requests come again, which would pass by the cache and by every rule of the gateway;
/// and each hop chooses its version of HTTP for itself.
const CARRY_HTTP: [&[u8]; 5] = [b"http", b"h2", b"h2c", b"h3", b"tls"];

/// The protocols in a request's Upgrade that a gateway may offer to its server; `None` where there are none.
///
/// Upgrade counts only with its option in Connection, and never in HTTP/1.0 (§7.8) or HTTP/2 (RFC 9113 §8.6).
pub fn offered(version: Version, fields: &HeaderMap) -> Option<HeaderValue> {
    if version != Version::HTTP_11 || !connection_has(fields, "upgrade") {
        return None;
    }
    let is_opaque = |protocol: &&[u8]| {
        // `protocol-name ["/" protocol-version]`, both tokens.
        let mut parts = protocol.splitn(2, |octet| *octet == b'/').peekable();
        let name = parts.peek().copied().unwrap_or_default();
        !CARRY_HTTP
            .iter()
            .any(|known| name.eq_ignore_ascii_case(known))
            && parts.all(list::is_token)
    };
    let opaque: Vec<&[u8]> = list::members(fields, &UPGRADE).filter(is_opaque).collect();
    if opaque.is_empty() {
        return None;
    }
    HeaderValue::from_bytes(&opaque.join(&b", "[..])).ok()
}

/// Whether a response that changes the protocol names only what was offered: "A server MUST NOT switch to a protocol
/// that was not indicated by the client" (§7.8).
pub fn is_accepted(offered: &HeaderValue, fields: &HeaderMap) -> bool {
    let mut chosen = list::members(fields, &UPGRADE).peekable();
    chosen.peek().is_some()
        && chosen.all(|chosen| {
            list::split(offered.as_bytes()).any(|offer| offer.eq_ignore_ascii_case(chosen))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut fields = HeaderMap::new();
        for (name, value) in lines {
            fields.append(*name, value.parse().unwrap());
        }
        fields
    }

    #[test]
    fn an_offer_needs_its_option_http_1_1_and_a_protocol_that_is_not_http() {
        let connection = ("connection", "keep-alive, Upgrade");
        // (version, fields, what is offered on)
        let table = [
            (
                Version::HTTP_11,
                vec![connection, ("upgrade", "websocket")],
                Some("websocket"),
            ),
            (
                Version::HTTP_11,
                vec![("connection", "upgrade"), ("upgrade", "WebSocket")],
                Some("WebSocket"),
            ),
            (
                Version::HTTP_11,
                vec![connection, ("upgrade", "IRC/6.9, x")],
                Some("IRC/6.9, x"),
            ),
            (
                Version::HTTP_11,
                vec![connection, ("upgrade", "x"), ("upgrade", ", y,")],
                Some("x, y"),
            ),
            (
                Version::HTTP_11,
                vec![connection, ("upgrade", "h2c, websocket, HTTP/2.0")],
                Some("websocket"),
            ),
            (Version::HTTP_11, vec![connection, ("upgrade", "H2C")], None),
            (
                Version::HTTP_11,
                vec![connection, ("upgrade", "TLS/1.2, http/1.1, h2")],
                None,
            ),
            (
                Version::HTTP_11,
                vec![connection, ("upgrade", "a b, /1, c/, d/1/2")],
                None,
            ),
            (Version::HTTP_11, vec![connection, ("upgrade", "")], None),
            (Version::HTTP_11, vec![connection], None),
            (Version::HTTP_11, vec![("upgrade", "websocket")], None),
            (
                Version::HTTP_11,
                vec![("connection", "keep-alive"), ("upgrade", "websocket")],
                None,
            ),
            (
                Version::HTTP_10,
                vec![connection, ("upgrade", "websocket")],
                None,
            ),
            (
                Version::HTTP_2,
                vec![connection, ("upgrade", "websocket")],
                None,
            ),
        ];
        for (version, lines, expected) in table {
            let offer = offered(version, &fields(&lines));
            let offer = offer.as_ref().map(|offer| offer.to_str().unwrap());
            assert_eq!(offer, expected, "{version:?} {lines:?}");
        }
    }

    #[test]
    fn only_what_was_offered_is_accepted() {
        let offer = HeaderValue::from_static("websocket, IRC/6.9");
        for (chosen, accepted) in [
            (vec![("upgrade", "WebSocket")], true),
            (vec![("upgrade", "irc/6.9")], true),
            (vec![("upgrade", "irc/6.9"), ("upgrade", "websocket")], true),
            (vec![("upgrade", "IRC/7")], false),
            (vec![("upgrade", "websocket, h2c")], false),
            (vec![("upgrade", ",")], false),
            (vec![], false),
        ] {
            assert_eq!(
                is_accepted(&offer, &fields(&chosen)),
                accepted,
                "{chosen:?}"
            );
        }
    }
}
