//! Which stored responses the API may be asked about for a request.

use http::HeaderName;

use crate::cache::store::Store;
use crate::cache::stored::StoredResponse;
use crate::proxy::lookup::selects;
use crate::proxy::request::Request;
use crate::semantics::vary;

/// Whether the API may be asked if a stored response is current for the request: one that it selects, or could be told to
/// take instead (RFC 9111 §4.3.1).
pub fn may_be_validated(store: &Store, stored: &StoredResponse, request: &Request) -> bool {
    let (head, headers) = (&stored.head, request.headers());
    if head.digest() != request.digest.as_ref() || head.origin_validators().is_empty() {
        return false;
    }
    let Some(variant) = head.variant() else {
        return selects(store, head, request);
    };
    if variant.is_any() {
        return true;
    }
    let fields = head.fields.to_map();
    let suits = |name: &HeaderName| vary::suits(name, headers, &fields);
    variant.nearly_matches(headers, &request.route.cache.vary, suits)
        && store
            .cors()
            .may_answer(request.target.as_str(), head, headers)
}
