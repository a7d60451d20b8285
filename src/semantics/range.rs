//! Range requests (RFC 9110 §14): which part of a representation answers a request.

mod byte_range;

use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use smallvec::SmallVec;

use super::etag::{EntityTag, Strength, Tag};
use super::list;
use super::query::is_query;
use super::time::Timestamp;
use super::validation::Validators;

pub use self::byte_range::ByteRange;
pub(crate) use self::byte_range::decimal;

/// One range as it was asked for (RFC 9110 §14.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RangeSpec {
    /// `first-last`, or `first-` with `last` at `u64::MAX`.
    From { first: u64, last: u64 },
    /// `-length`: the last octets.
    Suffix { length: u64 },
}

impl RangeSpec {
    /// Reads one range of a Range field; `None` when it is invalid.
    fn parse(spec: &[u8]) -> Option<Self> {
        let dash = spec.iter().position(|&byte| byte == b'-')?;
        let (first, last) = (&spec[..dash], &spec[dash + 1..]);
        if first.is_empty() {
            let length = decimal(last)?;
            return Some(Self::Suffix { length });
        }
        let first = decimal(first)?;
        let last = match last {
            [] => u64::MAX,
            digits => decimal(digits)?,
        };
        (first <= last).then_some(Self::From { first, last })
    }

    /// The octets it means of a representation; `None` when it is not satisfiable.
    pub fn resolve(self, complete_length: u64) -> Option<ByteRange> {
        let end = complete_length.checked_sub(1)?;
        match self {
            Self::From { first, last } => ByteRange::new(first, last.min(end)),
            Self::Suffix { length: 0 } => None,
            Self::Suffix { length } => ByteRange::new(complete_length.saturating_sub(length), end),
        }
    }
}

/// The ranges of a Range field, in the order they were asked for; at least one.
pub type RangeSet = SmallVec<[RangeSpec; 4]>;

/// The part of a representation that a request's Range selects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RangeSelection {
    /// No applicable Range: the whole representation, 200.
    Whole,
    /// 206 with Content-Range.
    Single(ByteRange),
    /// 206 with multipart/byteranges; at least two, none overlapping another, in the order they were asked for.
    Multiple(Vec<ByteRange>),
    /// 416 with `Content-Range: bytes */length`.
    Unsatisfiable,
}

/// More ranges than this are not worth the parts: the field is ignored (RFC 9110 §14.2, §17.15).
const MOST_RANGES: usize = 64;
/// "Many" ranges have to be in ascending order.
const MOST_UNORDERED: usize = 8;
/// More than two ranges that overlap are a sign of a broken client or of an attack.
const MOST_OVERLAPS: usize = 1;

/// The ranges in octets that the request asks for. `None` without a Range field, with another range unit, with a range
/// that is invalid, or with too many: the field is ignored then (§14.2).
pub fn requested(request: &HeaderMap) -> Option<RangeSet> {
    let value = list::only_line(request, &header::RANGE)?;
    let equals = value.iter().position(|&byte| byte == b'=')?;
    let (unit, ranges) = (&value[..equals], &value[equals + 1..]);
    if !unit.eq_ignore_ascii_case(b"bytes") {
        return None;
    }
    let mut set = RangeSet::new();
    for member in list::split(ranges) {
        if set.len() == MOST_RANGES {
            return None;
        }
        set.push(RangeSpec::parse(member)?);
    }
    (!set.is_empty()).then_some(set)
}

/// Whether the request's Range applies to a response with this status and these validators, of any length.
pub fn applies(
    method: &Method,
    request: &HeaderMap,
    status: StatusCode,
    validators: &Validators,
) -> bool {
    request.contains_key(header::RANGE)
        // §14.2 defines ranges for GET only; the QUERY draft takes them over.
        && (*method == Method::GET || is_query(method))
        && status == StatusCode::OK
        && if_range_holds(request, validators)
}

/// The part that the request selects of a response with this status, these validators and this complete length in octets.
/// Preconditions come before (RFC 9110 §13.2.2), except If-Range.
pub fn select(
    method: &Method,
    request: &HeaderMap,
    status: StatusCode,
    validators: &Validators,
    complete_length: u64,
) -> RangeSelection {
    if !applies(method, request, status, validators) {
        return RangeSelection::Whole;
    }
    // A representation without octets has no part to send (§14.2).
    match requested(request) {
        Some(set) if complete_length > 0 => satisfy(&set, complete_length),
        _ => RangeSelection::Whole,
    }
}

/// The ranges of a set that a representation of this length has.
pub fn satisfy(set: &[RangeSpec], complete_length: u64) -> RangeSelection {
    let mut ranges: Vec<ByteRange> = Vec::with_capacity(set.len());
    let mut overlaps = 0;
    let mut ascending = true;
    let mut previous = 0;
    for range in set.iter().filter_map(|spec| spec.resolve(complete_length)) {
        ascending &= previous <= range.first();
        previous = range.first();
        overlaps += coalesce(&mut ranges, range);
    }
    if overlaps > MOST_OVERLAPS || (set.len() > MOST_UNORDERED && !ascending) {
        return RangeSelection::Whole;
    }
    match ranges.as_slice() {
        [] => RangeSelection::Unsatisfiable,
        [only] => RangeSelection::Single(*only),
        _ => RangeSelection::Multiple(ranges),
    }
}

/// Whether If-Range lets the Range apply (RFC 9110 §13.1.5); true without the field.
pub fn if_range_holds(request: &HeaderMap, validators: &Validators) -> bool {
    let mut lines = request.get_all(header::IF_RANGE).iter();
    let Some(value) = lines.next() else {
        return true;
    };
    if lines.next().is_some() {
        return false;
    }
    let value = list::trim(value.as_bytes());
    let tag = Tag::parse(value);
    if tag.strength != Strength::Malformed {
        let current = validators.etag.as_ref().map(EntityTag::tag);
        return current.is_some_and(|current| tag.strong_eq(current));
    }
    let date = Timestamp::parse_http_date(value);
    let modified = validators.last_modified.as_ref().filter(|lm| lm.strong);
    matches!((date, modified), (Some(date), Some(modified)) if date.as_secs() == modified.time.as_secs())
}

/// Fields of the representation that a client with an earlier part of it has already (RFC 9110 §15.3.7).
const KNOWN_FROM_THE_FIRST_PART: [http::HeaderName; 3] = [
    header::CONTENT_TYPE,
    header::CONTENT_ENCODING,
    header::CONTENT_LANGUAGE,
];

/// The fields of a 206 made from the selected response's, without those of its framing: the caller adds Content-Range
/// or the multipart's Content-Type, and Content-Length (RFC 9110 §15.3.7).
pub fn partial_fields(selected: &HeaderMap, request: &HeaderMap) -> HeaderMap {
    let mut fields = selected.clone();
    fields.remove(header::CONTENT_LENGTH);
    fields.remove(header::CONTENT_RANGE);
    if request.contains_key(header::IF_RANGE) {
        for name in &KNOWN_FROM_THE_FIRST_PART {
            fields.remove(name);
        }
        if fields.contains_key(header::ETAG) {
            fields.remove(header::LAST_MODIFIED);
        }
    }
    fields
}

/// The value of Content-Range in a 416 (RFC 9110 §15.5.17).
pub fn unsatisfied(complete_length: u64) -> HeaderValue {
    super::content_range::ContentRange::Unsatisfied {
        complete: complete_length,
    }
    .to_value()
}

/// Adds a range, joined with those it overlaps and in the place of the first of them (§15.3.7.2); returns how many those
/// were. Ranges that only touch stay apart: they were asked for as parts.
fn coalesce(ranges: &mut Vec<ByteRange>, mut range: ByteRange) -> usize {
    let before = ranges.len();
    let mut place = None;
    // The join of ranges that overlap reaches no octet that neither of them does, so one pass finds them all.
    while let Some(at) = ranges.iter().position(|other| other.overlaps(range)) {
        range = range.around(ranges.remove(at));
        place = place.or(Some(at));
    }
    let overlapped = before - ranges.len();
    ranges.insert(place.unwrap_or(before), range);
    overlapped
}

#[cfg(test)]
mod tests;
