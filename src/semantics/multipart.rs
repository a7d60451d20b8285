//! Framing of multipart/byteranges (RFC 9110 §14.6), with the length of the whole known before the first octet.

use bytes::Bytes;
use http::HeaderValue;

use super::range::ByteRange;

/// The framing of a 206 with several parts. The content is, for each part, [`Part::head`] and then the octets of
/// [`Part::range`]; and at the end [`Multipart::tail`].
#[derive(Clone, Debug)]
pub struct Multipart {
    pub content_type: HeaderValue,
    pub parts: Vec<Part>,
    pub tail: Bytes,
}

#[derive(Clone, Debug)]
pub struct Part {
    pub head: Bytes,
    pub range: ByteRange,
}

impl Multipart {
    /// `boundary_seed` should be hard to guess, so that content cannot be made to hold the boundary.
    /// `content_type` is the representation's own, repeated in each part.
    pub fn new(
        _ranges: &[ByteRange],
        _complete_length: u64,
        _content_type: Option<&HeaderValue>,
        _boundary_seed: u128,
    ) -> Self {
        Self {
            content_type: HeaderValue::from_static("multipart/byteranges"),
            parts: Vec::new(),
            tail: Bytes::new(),
        }
    }

    /// The length of the whole content, in octets.
    pub fn content_length(&self) -> u64 {
        0
    }
}
