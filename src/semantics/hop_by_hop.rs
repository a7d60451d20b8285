//! Fields that are for the next hop only (RFC 9110 §7.6.1).

use http::HeaderMap;

/// Removes Connection, the fields it names, and those that are hop-by-hop by definition.
pub fn strip(_headers: &mut HeaderMap) {}

/// Whether Connection names `option` (compared without regard to case).
pub fn connection_has(_headers: &HeaderMap, _option: &str) -> bool {
    false
}
