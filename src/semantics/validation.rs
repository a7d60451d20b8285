//! Validating stored responses: the conditional request, what its answer names, and the update of stored fields
//! (RFC 9111 §3.2, §4.3).

use http::{HeaderMap, HeaderValue, StatusCode};
use smallvec::SmallVec;

use super::etag::EntityTag;
use super::range::ByteRange;
use super::time::Timestamp;

/// The validators of a response, and its Date, which says how strong and how recent they are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Validators {
    pub etag: Option<EntityTag>,
    pub last_modified: Option<LastModified>,
    pub date: Option<Timestamp>,
}

/// A Last-Modified field (RFC 9110 §8.8.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastModified {
    /// As it was received, for If-Modified-Since.
    pub value: HeaderValue,
    pub time: Timestamp,
    /// Whether it identifies one version (§8.8.2.2): Date is at least a second later.
    pub strong: bool,
}

/// Which of the candidates a 304 identifies, by their position; empty: none, the 304 may not be used.
pub type Named = SmallVec<[usize; 4]>;

impl Validators {
    pub fn of(_headers: &HeaderMap) -> Self {
        Self::default()
    }

    pub fn is_empty(&self) -> bool {
        self.etag.is_none() && self.last_modified.is_none()
    }

    /// Whether one of them is strong, so that ranges may be combined and If-Range used.
    pub fn has_strong(&self) -> bool {
        false
    }

    /// Whether both have the same strong validator.
    pub fn share_strong(&self, _other: &Self) -> bool {
        false
    }
}

/// Makes `request` a conditional request for the stored `candidates` (RFC 9111 §4.3.1). Takes the client's own
/// preconditions and Range out. Returns whether it became conditional.
pub fn conditional_fields<'a>(
    _request: &mut HeaderMap,
    _candidates: impl Iterator<Item = &'a Validators>,
) -> bool {
    false
}

/// Makes `request` one for the missing part of an incomplete stored response (RFC 9111 §3.3). Returns false when the
/// validators are not strong, so that the parts could not be combined.
pub fn range_fields(_request: &mut HeaderMap, _missing: ByteRange, _stored: &Validators) -> bool {
    false
}

/// Takes the preconditions and Range out of a request.
pub fn strip_conditionals(_request: &mut HeaderMap) {}

/// Which of `candidates` a 304 with the fields `update` identifies (RFC 9111 §4.3.4).
pub fn named_by_304<'a>(
    _update: &HeaderMap,
    _candidates: impl Iterator<Item = &'a Validators>,
) -> Named {
    Named::new()
}

/// The fields of a stored response after an update (RFC 9111 §3.2).
pub fn freshen(stored: &HeaderMap, _update: &HeaderMap) -> HeaderMap {
    stored.clone()
}

/// What a response to HEAD means for a stored response that could have been chosen for it (RFC 9111 §4.3.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadOutcome {
    /// [`freshen`] the stored response with the HEAD's fields.
    Update,
    /// The stored response is to be considered stale.
    Invalidate,
    /// Not a 200: says nothing about the stored response.
    Ignore,
}

/// `stored_length`: the complete length of the stored representation, in octets.
pub fn compare_with_head(
    _stored: &Validators,
    _stored_length: Option<u64>,
    _head_status: StatusCode,
    _head: &HeaderMap,
) -> HeadOutcome {
    HeadOutcome::Invalidate
}
