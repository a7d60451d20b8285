//! The client's preconditions (RFC 9110 §13): when they are evaluated, in which order, and with which result.

use http::{HeaderMap, HeaderName, Method, StatusCode, header};

use super::etag::{Comparison, Strength, Tag, list_names};
use super::list;
use super::method::is_retrieval;
use super::time::Timestamp;
use super::validation::Validators;

/// The result of evaluating the preconditions of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precondition {
    /// All hold, or there are none: the method is performed.
    Proceed,
    /// Answer 304 (Not Modified), with [`not_modified_fields`].
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

/// Evaluates the preconditions that are a cache's to evaluate: If-None-Match, else If-Modified-Since (RFC 9111
/// §4.3.2). If-Range is [`super::range::select`]'s.
pub fn evaluate(method: &Method, request: &HeaderMap, selected: &Selected<'_>) -> Precondition {
    // RFC 9111 §4.3.2: never for requests that a stored response cannot satisfy.
    if !is_retrieval(method) || !evaluates(method, selected.status) {
        return Precondition::Proceed;
    }
    validation_preconditions(method, request, selected)
}

/// Whether If-None-Match is just this entity tag, the selected response's: then [`evaluate`] gives
/// [`Precondition::NotModified`]. Nearly all conditional requests are such, and this looks at nothing else.
pub fn names_just(method: &Method, request: &HeaderMap, status: StatusCode, tag: &[u8]) -> bool {
    let mut lines = request.get_all(header::IF_NONE_MATCH).iter();
    lines.next().is_some_and(|line| line.as_bytes() == tag)
        && lines.next().is_none()
        && Tag::parse(tag).strength != Strength::Malformed
        && is_retrieval(method)
        && evaluates(method, status)
}

/// Evaluates all preconditions in the order of RFC 9110 §13.2.2, in the origin server's place: only for
/// representations whose entity tags are the gateway's own.
pub fn evaluate_for_origin(
    method: &Method,
    request: &HeaderMap,
    selected: &Selected<'_>,
) -> Precondition {
    if !evaluates(method, selected.status) {
        return Precondition::Proceed;
    }
    let tag = selected.validators.etag.as_ref();
    let holds = match list_names(request, &header::IF_MATCH, tag, Comparison::Strong) {
        Some(named) => named,
        None => unmodified_since(request, selected.validators).unwrap_or(true),
    };
    if !holds {
        return Precondition::Failed;
    }
    validation_preconditions(method, request, selected)
}

/// Whether a 304 (Not Modified) may answer the request.
pub fn is_conditional(request: &HeaderMap) -> bool {
    request.contains_key(header::IF_NONE_MATCH) || request.contains_key(header::IF_MODIFIED_SINCE)
}

/// Whether the request has preconditions that only the origin server evaluates (RFC 9111 §4.3.2): it has to be
/// forwarded with them.
pub fn origin_must_decide(request: &HeaderMap) -> bool {
    request.contains_key(header::IF_MATCH) || request.contains_key(header::IF_UNMODIFIED_SINCE)
}

/// Representation metadata that a 304 leaves out (RFC 9110 §15.4.5), and fields about content that it does not have.
const NOT_IN_304: [HeaderName; 8] = [
    header::CONTENT_TYPE,
    header::CONTENT_LENGTH,
    header::CONTENT_ENCODING,
    header::CONTENT_LANGUAGE,
    header::CONTENT_RANGE,
    header::TRANSFER_ENCODING,
    header::TRAILER,
    HeaderName::from_static("content-digest"),
];

/// The fields of a 304 made from the selected response's (RFC 9110 §15.4.5). Last-Modified stays where there is no
/// entity tag: by it the client finds the stored response to update.
pub fn not_modified_fields(selected: &HeaderMap) -> HeaderMap {
    let with_etag = selected.contains_key(header::ETAG);
    let mut fields = HeaderMap::with_capacity(selected.keys_len());
    for (name, value) in selected {
        let left_out = NOT_IN_304.contains(name) || (with_etag && name == header::LAST_MODIFIED);
        if !left_out {
            fields.append(name.clone(), value.clone());
        }
    }
    fields
}

/// RFC 9110 §13.2.1: only for methods that select a representation, and only where the answer without preconditions
/// would be a success.
fn evaluates(method: &Method, status: StatusCode) -> bool {
    let selects = !matches!(method.as_str(), "CONNECT" | "OPTIONS" | "TRACE");
    selects && status.is_success()
}

/// Steps 3 and 4 of RFC 9110 §13.2.2.
fn validation_preconditions(
    method: &Method,
    request: &HeaderMap,
    selected: &Selected<'_>,
) -> Precondition {
    let tag = selected.validators.etag.as_ref();
    match list_names(request, &header::IF_NONE_MATCH, tag, Comparison::Weak) {
        Some(true) if is_retrieval(method) => Precondition::NotModified,
        Some(true) => Precondition::Failed,
        // §13.1.3: If-Modified-Since is ignored beside If-None-Match.
        Some(false) => Precondition::Proceed,
        None if modified_since(method, request, selected) => Precondition::Proceed,
        None => Precondition::NotModified,
    }
}

/// Whether If-Modified-Since holds; true when it is to be ignored, as with several dates or an invalid one (§13.1.3).
fn modified_since(method: &Method, request: &HeaderMap, selected: &Selected<'_>) -> bool {
    // §13.1.3: ignored with other methods.
    if !matches!(*method, Method::GET | Method::HEAD) {
        return true;
    }
    let since = list::only_line(request, &header::IF_MODIFIED_SINCE);
    let Some(since) = since.and_then(Timestamp::parse_http_date) else {
        return true;
    };
    let validators = selected.validators;
    // RFC 9111 §4.3.2: without Last-Modified, by Date; without that, by the time of receipt.
    let modified = match &validators.last_modified {
        Some(last_modified) => last_modified.time,
        None => validators.date.unwrap_or(selected.received),
    };
    modified.as_secs() > since.as_secs()
}

/// Whether If-Unmodified-Since holds; `None` when it is absent or to be ignored (§13.1.4).
fn unmodified_since(request: &HeaderMap, validators: &Validators) -> Option<bool> {
    let since = list::only_line(request, &header::IF_UNMODIFIED_SINCE)?;
    let since = Timestamp::parse_http_date(since)?;
    let modified = validators.last_modified.as_ref()?.time;
    Some(modified.as_secs() <= since.as_secs())
}

#[cfg(test)]
mod tests;
