//! The client's preconditions (RFC 9110 §13).

use http::{HeaderMap, Method, StatusCode};

use super::time::Timestamp;
use super::validation::Validators;

/// What the preconditions of a request ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precondition {
    /// All hold, or there are none: the method is performed.
    Proceed,
    /// Answer 304 (Not Modified).
    NotModified,
    /// Answer 412 (Precondition Failed).
    Failed,
}

/// The response that was selected for a request.
#[derive(Clone, Copy, Debug)]
pub struct Selected<'a> {
    pub status: StatusCode,
    pub validators: &'a Validators,
    /// When it was received, in place of a missing Date.
    pub received: Timestamp,
}

/// Evaluates the preconditions that a cache may: If-None-Match, else If-Modified-Since (RFC 9111 §4.3.2).
pub fn evaluate(_method: &Method, _request: &HeaderMap, _selected: &Selected<'_>) -> Precondition {
    Precondition::Proceed
}

/// Evaluates all preconditions in the order of RFC 9110 §13.2.2, in the origin server's place: only for
/// representations whose entity tags are the gateway's own.
pub fn evaluate_for_origin(
    _method: &Method,
    _request: &HeaderMap,
    _selected: &Selected<'_>,
) -> Precondition {
    Precondition::Proceed
}

/// Whether the request has preconditions that only the origin server may evaluate: If-Match, If-Unmodified-Since.
pub fn origin_must_decide(_request: &HeaderMap) -> bool {
    false
}

/// The fields of a 304 made from the selected response's (RFC 9110 §15.4.5).
pub fn not_modified_fields(selected: &HeaderMap) -> HeaderMap {
    selected.clone()
}
