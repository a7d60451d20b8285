//! Content-Range (RFC 9110 §14.4).

use http::{HeaderMap, HeaderValue};

use super::range::ByteRange;

/// The value of a Content-Range field in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentRange {
    /// `bytes first-last/complete`; `complete` is `None` for `*`.
    Satisfied {
        range: ByteRange,
        complete: Option<u64>,
    },
    /// `bytes */complete`, in a 416.
    Unsatisfied { complete: u64 },
}

impl ContentRange {
    /// `None` without the field, with another unit, or when it is invalid: the content must not be combined then.
    pub fn of(_headers: &HeaderMap) -> Option<Self> {
        None
    }

    pub fn to_value(self) -> HeaderValue {
        HeaderValue::from_static("bytes */0")
    }
}
