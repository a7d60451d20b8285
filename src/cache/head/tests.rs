use std::sync::{Arc, Weak};

use bytes::Bytes;
use http::header::{AGE, DATE, ETAG, LAST_MODIFIED};

use super::*;
use crate::clock::Clock;

/// A message in one buffer, and what tells whether the buffer is still kept.
fn message(lines: &[(http::HeaderName, &'static str)]) -> (HeaderMap, Weak<String>) {
    struct Buffer(Arc<String>);
    impl AsRef<[u8]> for Buffer {
        fn as_ref(&self) -> &[u8] {
            self.0.as_bytes()
        }
    }
    let text: Arc<String> = Arc::new(lines.iter().map(|(_, value)| *value).collect());
    let kept = Arc::downgrade(&text);
    let buffer = Bytes::from_owner(Buffer(text));
    let mut from = 0;
    let values = lines.iter().map(|(name, value)| {
        let slice = buffer.slice(from..from + value.len());
        from += value.len();
        (name.clone(), HeaderValue::from_maybe_shared(slice).unwrap())
    });
    (values.collect(), kept)
}

#[test]
fn a_stored_head_keeps_nothing_of_the_buffer_that_it_was_read_from() {
    let lines = [
        (DATE, "Wed, 25 Nov 2026 08:00:00 GMT"),
        (ETAG, "\"a\""),
        (LAST_MODIFIED, "Sun, 01 Nov 2026 08:00:00 GMT"),
        (AGE, "5"),
    ];
    // The origin's own tag may be another than the one that clients see.
    for tag in ["\"a\"", "\"b\""] {
        let (mut headers, kept) = message(&lines);
        let (origin, origin_kept) = message(&[lines[0].clone(), (ETAG, tag), lines[2].clone()]);
        let now = Clock::system().now();
        let receipt = Receipt {
            request_time: now.wall,
            response_time: now.wall,
        };
        let directives = ResponseDirectives::default();
        let policy = Policy::default();
        let status = StatusCode::OK;
        let head = Draft {
            status,
            reason: None,
            origin_validators: Validators::of(&origin),
            freshness: Freshness::compute(status, &headers, &directives, receipt, false, &policy),
            received: now.mono,
            variant: VariantKey::of(&Vary::None, &headers, &policy.vary),
            digest: None,
            groups: Box::default(),
            tags: HeaderMap::new(),
            search: None,
            content_length: None,
            age: headers.remove(AGE),
            receipt,
            credentialed: false,
            epoch: 0,
            stamp: 0,
            headers: headers.clone(),
        };
        let head = head.packed();
        drop((headers, origin));
        assert!(kept.upgrade().is_none() && origin_kept.upgrade().is_none());
        assert_eq!(head.origin_validators().etag.unwrap().as_value(), tag);
        assert_eq!(head.validators().etag.unwrap().as_value(), "\"a\"");
        assert_eq!(head.age().unwrap(), "5");
        assert_eq!(head.rare.as_ref().unwrap().origin.is_some(), tag == "\"b\"");
    }
}
