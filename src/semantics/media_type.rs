//! Media types of content that may last for any time: streams, which have no end of their own, and calls. An hour of such
//! content is no sign that anything is wrong.

use http::HeaderMap;
use http::header::CONTENT_TYPE;

/// Media types of streams of events and of records.
const STREAMS: [&str; 7] = [
    "text/event-stream",
    "application/x-ndjson",
    "application/ndjson",
    "application/jsonl",
    "application/json-seq",
    "application/stream+json",
    "multipart/x-mixed-replace",
];

/// Media types of gRPC calls, over HTTP/2 and as browsers send them.
const CALLS: [&str; 3] = [
    "application/grpc",
    "application/grpc-web",
    "application/grpc-web-text",
];

/// Whether, by its fields, a message's content may go on for any time.
pub fn is_endless(fields: &HeaderMap) -> bool {
    is_one_of(fields, STREAMS.iter().chain(&CALLS))
}

/// Whether a message with these fields belongs to a gRPC call, with any coding of its messages.
pub fn is_grpc(fields: &HeaderMap) -> bool {
    is_one_of(fields, CALLS.iter())
}

/// Whether a message's content is parts of a representation (RFC 9110 §14.6).
pub fn is_multipart_byteranges(fields: &HeaderMap) -> bool {
    is_one_of(fields, ["multipart/byteranges"].iter())
}

fn is_one_of<'a>(fields: &HeaderMap, mut known: impl Iterator<Item = &'a &'a str>) -> bool {
    let Some(value) = fields.get(CONTENT_TYPE) else {
        return false;
    };
    let media_type = value.as_bytes().split(|byte| *byte == b';').next();
    let media_type = media_type.unwrap_or_default().trim_ascii();
    known.any(|known| {
        // `application/grpc+proto` is of gRPC's kind, too.
        let kind = media_type.get(..known.len()).unwrap_or_default();
        let rest = &media_type[kind.len()..];
        // The last octets tell most of them apart.
        let ends_alike = match (kind.last(), known.as_bytes().last()) {
            (Some(kind), Some(known)) => kind.eq_ignore_ascii_case(known),
            _ => false,
        };
        ends_alike
            && kind.eq_ignore_ascii_case(known.as_bytes())
            && matches!(rest.first(), None | Some(b'+'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn streams_and_calls_are_known_by_their_media_type() {
        for (media_type, is_stream, is_call) in [
            ("text/event-stream", true, false),
            ("Text/Event-Stream; charset=utf-8", true, false),
            (" application/x-ndjson ;a=b", true, false),
            ("application/grpc", true, true),
            ("Application/gRPC+proto", true, true),
            ("application/grpc-web", true, true),
            ("application/grpc-web+proto; a=b", true, true),
            ("application/grpc-web-text", true, true),
            ("application/grpc-websocket", false, false),
            ("application/grpcx", false, false),
            ("application/json", false, false),
            ("text/event-streams", false, false),
            ("text/event", false, false),
            ("", false, false),
        ] {
            let value = HeaderValue::from_static(media_type);
            let fields = HeaderMap::from_iter([(CONTENT_TYPE, value)]);
            assert_eq!(is_endless(&fields), is_stream, "{media_type}");
            assert_eq!(is_grpc(&fields), is_call, "{media_type}");
        }
        assert!(!is_endless(&HeaderMap::new()) && !is_grpc(&HeaderMap::new()));
    }
}
