//! ETags of our own: strong, from the content and the fields that say how to read it.

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, ETAG, HeaderMap, HeaderValue};

use crate::config::EtagMode;

/// Whether the route puts a tag of ours on a response with these fields.
pub fn wanted(mode: EtagMode, fields: &HeaderMap) -> bool {
    match mode {
        EtagMode::Off => false,
        EtagMode::Missing => !fields.contains_key(ETAG),
        EtagMode::Replace => true,
    }
}

/// The tag for this content.
pub fn of(fields: &HeaderMap, content: &[Bytes]) -> Option<HeaderValue> {
    let mut hasher = blake3::Hasher::new();
    for name in [CONTENT_TYPE, CONTENT_ENCODING] {
        for value in fields.get_all(name) {
            hasher.update(value.as_bytes());
            hasher.update(b"\n");
        }
        hasher.update(b"\n");
    }
    for piece in content {
        hasher.update(piece);
    }
    let hex = hasher.finalize().to_hex();
    // 128 bits are enough for content that nobody gains from forging.
    HeaderValue::from_str(&format!("\"{}\"", hex.get(..32)?)).ok()
}
