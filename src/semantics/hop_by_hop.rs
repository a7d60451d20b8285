//! Fields that are for the next hop only (RFC 9110 §7.6.1).

use http::{HeaderMap, HeaderName, header};
use smallvec::SmallVec;

use super::list::{self, members};

/// Fields that are hop-by-hop whether Connection names them or not. Trailer goes with the framing of the message that
/// it came in: a gateway that forwards trailers announces them anew.
pub const HOP_BY_HOP: [HeaderName; 7] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// Fields that are between a client and the proxy it chose: never stored (RFC 9111 §3.1).
pub const PROXY_SPECIFIC: [HeaderName; 3] = [
    header::PROXY_AUTHENTICATE,
    HeaderName::from_static("proxy-authentication-info"),
    header::PROXY_AUTHORIZATION,
];

/// Beginnings of the names of fields that are for all recipients.
const END_TO_END_PREFIXES: [&str; 9] = [
    "accept",
    "access-control-",
    "cache-group",
    "content-",
    "if-",
    "sec-",
    "surrogate-",
    "x-forwarded-",
    "x-http-method",
];

/// Further fields that are for all recipients.
const END_TO_END: [&str; 49] = [
    "age",
    "alt-svc",
    "authorization",
    "cache-control",
    "cache-status",
    "cache-tag",
    "cdn-cache-control",
    "cdn-loop",
    "clear-site-data",
    "cookie",
    "date",
    "dnt",
    "etag",
    "expect",
    "expires",
    "forwarded",
    "from",
    "host",
    "idempotency-key",
    "last-modified",
    "link",
    "location",
    "max-forwards",
    "no-vary-search",
    "origin",
    "pragma",
    "prefer",
    "priority",
    "proxy-status",
    "range",
    "referer",
    "retry-after",
    "server-timing",
    "set-cookie",
    "strict-transport-security",
    "traceparent",
    "tracestate",
    "upgrade-insecure-requests",
    "user-agent",
    "vary",
    "via",
    "www-authenticate",
    "x-api-key",
    "x-correlation-id",
    "x-csrf-token",
    "x-real-ip",
    "x-request-id",
    "x-requested-with",
    "xkey",
];

/// Whether a field is for all recipients, so that a sender must never name it in Connection (RFC 9110 §7.6.1: "a sender
/// MUST NOT send a connection option corresponding to a field that is intended for all recipients of the content";
/// an intermediary may protect such fields). Otherwise a peer that can add to a message's Connection could remove the fields
/// that keep a response private, select a variant, detect loops, identify the client, or frame and route a request.
pub fn is_end_to_end(name: &HeaderName) -> bool {
    let name = name.as_str();
    END_TO_END.contains(&name)
        || END_TO_END_PREFIXES
            .iter()
            .any(|start| name.starts_with(start))
}

/// Removes Connection, the fields that it names, and those that are hop-by-hop by definition: from headers, or from trailers
/// of responses. A caller that needs Upgrade or the like reads it before.
pub fn strip(headers: &mut HeaderMap) {
    if headers.contains_key(header::CONNECTION) {
        for name in nominated(headers) {
            headers.remove(name);
        }
    }
    remove_any(headers, &HOP_BY_HOP);
}

/// Removes the fields with these names. Most messages have none of them: to look at each name that a message has costs
/// less than to search it for each of `names`; and most have not even the length of one of those.
pub fn remove_any(headers: &mut HeaderMap, names: &[HeaderName]) {
    let bit_of = |name: &HeaderName| 1_u64 << (name.as_str().len() % 64);
    let lengths = names.iter().fold(0, |lengths, name| lengths | bit_of(name));
    let may_be_one = |name: &HeaderName| lengths & bit_of(name) != 0;
    if headers
        .keys()
        .any(|name| may_be_one(name) && names.contains(name))
    {
        for name in names {
            headers.remove(name);
        }
    }
}

/// The fields that Connection names and that may be removed at its word. Those that are hop-by-hop by definition are not
/// among them.
pub fn nominated(headers: &HeaderMap) -> SmallVec<[HeaderName; 4]> {
    // The usual options are hop-by-hop anyway, and making a name of them costs memory.
    let usual: [&[u8]; 2] = [b"keep-alive", b"upgrade"];
    list::members(headers, &header::CONNECTION)
        .filter(|option| !usual.iter().any(|usual| option.eq_ignore_ascii_case(usual)))
        .filter_map(|option| HeaderName::from_bytes(option).ok())
        .filter(|name| headers.contains_key(name))
        .filter(|name| !HOP_BY_HOP.contains(name) && !is_end_to_end(name))
        .collect()
}

/// Whether Connection has `option`, without regard to case.
pub fn connection_has(headers: &HeaderMap, option: &str) -> bool {
    list::members(headers, &header::CONNECTION)
        .any(|member| member.eq_ignore_ascii_case(option.as_bytes()))
}

/// Whether the sender of `request` takes trailers (RFC 9110 §10.1.4).
pub fn takes_trailers(request: &HeaderMap) -> bool {
    // Most requests have few fields and no TE: to look at each name costs less than to search for one.
    request.keys().any(|name| *name == header::TE)
        && members(request, &header::TE).any(|member| member.eq_ignore_ascii_case(b"trailers"))
}

/// Fields that are no trailers, beside hop-by-hop fields: they are for framing, routing, authentication or the reading of
/// content, which have happened when trailers come (RFC 9110 §6.5.1).
const NO_TRAILERS: [HeaderName; 12] = [
    header::AUTHORIZATION,
    header::CACHE_CONTROL,
    header::CONTENT_ENCODING,
    header::CONTENT_LENGTH,
    header::CONTENT_RANGE,
    header::CONTENT_TYPE,
    header::HOST,
    header::LOCATION,
    header::MAX_FORWARDS,
    header::SET_COOKIE,
    header::VARY,
    header::WWW_AUTHENTICATE,
];

/// Removes the fields that no trailer section may have.
pub fn strip_trailers(trailers: &mut HeaderMap) {
    strip(trailers);
    remove_any(trailers, &NO_TRAILERS);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn hop_by_hop_fields_are_removed() {
        type Lines = &'static [(&'static str, &'static str)];
        let cases: [(Lines, Lines); 8] = [
            (&[("foo", "1")], &[("foo", "1")]),
            (
                &[
                    ("keep-alive", "timeout=5"),
                    ("proxy-connection", "close"),
                    ("te", "trailers"),
                    ("trailer", "foo"),
                    ("transfer-encoding", "chunked"),
                    ("upgrade", "websocket"),
                    ("foo", "1"),
                ],
                &[("foo", "1")],
            ),
            (
                &[
                    ("connection", "foo"),
                    ("foo", "1"),
                    ("foo", "2"),
                    ("bar", "3"),
                ],
                &[("bar", "3")],
            ),
            (
                &[
                    ("connection", "Foo , ,close"),
                    ("connection", "\tBAR"),
                    ("foo", "1"),
                    ("bar", "2"),
                    ("close", "3"),
                ],
                &[],
            ),
            (
                &[("connection", "foo bar, (x)"), ("foo", "1")],
                &[("foo", "1")],
            ),
            (&[("connection", ""), ("foo", "1")], &[("foo", "1")]),
            (&[("connection", "foo"), ("bar", "1")], &[("bar", "1")]),
            (
                &[
                    ("connection", "cache-control, vary, set-cookie, host, x"),
                    ("cache-control", "no-store"),
                    ("vary", "accept"),
                    ("set-cookie", "a=b"),
                    ("host", "h"),
                    ("x", "1"),
                ],
                &[
                    ("cache-control", "no-store"),
                    ("vary", "accept"),
                    ("set-cookie", "a=b"),
                    ("host", "h"),
                ],
            ),
        ];
        for (before, after) in cases {
            let mut found = headers(before);
            strip(&mut found);
            assert_eq!(found, headers(after), "{before:?}");
        }
    }

    #[test]
    fn what_is_for_all_recipients_is_known() {
        let kept = [
            "accept",
            "accept-language",
            "accept-version",
            "access-control-request-method",
            "authorization",
            "cache-group-invalidation",
            "content-digest",
            "cookie",
            "host",
            "if-range",
            "origin",
            "sec-websocket-key",
            "via",
            "x-forwarded-prefix",
        ];
        for name in kept {
            assert!(is_end_to_end(&HeaderName::from_static(name)), "{name}");
        }
        for name in HOP_BY_HOP.iter().chain(&PROXY_SPECIFIC) {
            assert!(!is_end_to_end(name), "{name}");
        }
        for name in ["http2-settings", "close", "x-hop", "x-tenant"] {
            assert!(!is_end_to_end(&HeaderName::from_static(name)), "{name}");
        }
        assert!(END_TO_END.is_sorted() && END_TO_END_PREFIXES.is_sorted());
    }

    #[test]
    fn connection_options_have_no_case() {
        let found = headers(&[("connection", "keep-alive, Upgrade")]);
        assert!(connection_has(&found, "upgrade"));
        assert!(connection_has(&found, "Keep-Alive"));
        assert!(!connection_has(&found, "close"));
        assert!(!connection_has(&HeaderMap::new(), "close"));
    }
}
