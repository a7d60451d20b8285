//! The QUERY method: what of a request goes into its key beside the target URI.

use http::HeaderMap;

/// Whether `method` is QUERY.
pub fn is_query(method: &http::Method) -> bool {
    method.as_str() == "QUERY"
}

/// Feeds the request fields that describe the content to a digest, in an unambiguous form; the content's octets are
/// to follow. False when the content has no usable Content-Type: such a request is not cached.
pub fn describe(_request: &HeaderMap, _feed: impl FnMut(&[u8])) -> bool {
    false
}
