//! What a write makes invalid (RFC 9111 §4.4).

use http::{HeaderMap, Method, StatusCode};
use smallvec::SmallVec;

use super::authority::{Scheme, TargetUri};

/// Whether the method is safe (RFC 9110 §9.2.1, and the registry of methods); an unknown one is not.
pub fn is_safe(method: &Method) -> bool {
    matches!(
        method.as_str(),
        "GET" | "HEAD" | "OPTIONS" | "TRACE" | "QUERY" | "PROPFIND" | "REPORT" | "SEARCH" | "PRI"
    )
}

/// Whether a final response with this status, to an unsafe request, invalidates.
pub fn is_non_error(status: StatusCode) -> bool {
    status.is_success() || status.is_redirection()
}

/// The URIs in Location and Content-Location that a successful write to `target` invalidates too: those of the same
/// origin, or of `also` (the upstream's own authorities), which are mapped to the target's.
pub fn related(
    _target: &TargetUri,
    _response: &HeaderMap,
    _also: &[(Scheme, &str)],
) -> SmallVec<[TargetUri; 2]> {
    SmallVec::new()
}
