//! Content that has no end of its own: an hour of it is no sign that anything is wrong.

use http::HeaderMap;
use http::header::CONTENT_TYPE;

/// Media types of streams of events, of records, and of calls.
const ENDLESS: [&str; 8] = [
    "text/event-stream",
    "application/x-ndjson",
    "application/ndjson",
    "application/jsonl",
    "application/json-seq",
    "application/stream+json",
    "application/grpc",
    "multipart/x-mixed-replace",
];

/// Whether a message with these fields says that its content may go on for as long as both sides like.
pub fn is_endless(fields: &HeaderMap) -> bool {
    let Some(value) = fields.get(CONTENT_TYPE) else {
        return false;
    };
    let media_type = value.as_bytes().split(|byte| *byte == b';').next();
    let media_type = media_type.unwrap_or_default().trim_ascii();
    ENDLESS.iter().any(|endless| {
        // `application/grpc+proto` is of gRPC's kind, too.
        let kind = media_type.get(..endless.len()).unwrap_or_default();
        let rest = &media_type[kind.len()..];
        kind.eq_ignore_ascii_case(endless.as_bytes()) && matches!(rest.first(), None | Some(b'+'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn streams_are_known_by_their_media_type() {
        for (media_type, endless) in [
            ("text/event-stream", true),
            ("Text/Event-Stream; charset=utf-8", true),
            (" application/x-ndjson ;a=b", true),
            ("application/grpc", true),
            ("application/grpc+proto", true),
            ("application/grpc-web", false),
            ("application/json", false),
            ("text/event-streams", false),
            ("text/event", false),
            ("", false),
        ] {
            let value = HeaderValue::from_static(media_type);
            let fields = HeaderMap::from_iter([(CONTENT_TYPE, value)]);
            assert_eq!(is_endless(&fields), endless, "{media_type}");
        }
        assert!(!is_endless(&HeaderMap::new()));
    }
}
