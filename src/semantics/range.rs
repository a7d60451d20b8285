//! Range requests (RFC 9110 §14): which part of a representation answers a request.

use http::{HeaderMap, Method, StatusCode};
use smallvec::SmallVec;

use super::validation::Validators;

/// Octets of a representation, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ByteRange {
    first: u64,
    last: u64,
}

impl ByteRange {
    /// `None` when `last` lies before `first`, or is `u64::MAX` (no length could hold it).
    pub const fn new(first: u64, last: u64) -> Option<Self> {
        if last < first || last == u64::MAX {
            None
        } else {
            Some(Self { first, last })
        }
    }

    pub const fn first(self) -> u64 {
        self.first
    }

    pub const fn last(self) -> u64 {
        self.last
    }

    /// The offset behind the last octet.
    pub const fn end(self) -> u64 {
        self.last + 1
    }

    /// The number of octets, at least one.
    #[allow(clippy::len_without_is_empty)]
    pub const fn len(self) -> u64 {
        self.last - self.first + 1
    }
}

/// One range as it was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RangeSpec {
    /// `first-` (`last` is `None`) or `first-last`.
    From { first: u64, last: Option<u64> },
    /// `-length`: the last octets.
    Suffix { length: u64 },
}

/// The ranges of a Range field in bytes.
pub type RangeSet = SmallVec<[RangeSpec; 4]>;

/// What a request's Range selects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RangeSelection {
    /// No applicable Range: the whole representation, 200.
    Whole,
    /// 206 with Content-Range.
    Single(ByteRange),
    /// 206 with multipart/byteranges.
    Several(Vec<ByteRange>),
    /// 416 with `Content-Range: bytes */length`.
    Unsatisfiable,
}

/// The ranges that the request asks for; `None` without a Range field, with another unit, or with an invalid one: the
/// field is then ignored (§14.2).
pub fn requested(_request: &HeaderMap) -> Option<RangeSet> {
    None
}

/// What the request selects of a response with this status, these validators and this complete length in octets.
pub fn select(
    _method: &Method,
    _request: &HeaderMap,
    _status: StatusCode,
    _validators: &Validators,
    _complete_length: u64,
) -> RangeSelection {
    RangeSelection::Whole
}
