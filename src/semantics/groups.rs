//! Cache groups (RFC 9875).

use http::HeaderMap;

/// The groups that a response belongs to (Cache-Groups); empty without the field or when it is invalid.
pub fn memberships(_response: &HeaderMap) -> Vec<Box<str>> {
    Vec::new()
}

/// The groups that a response to an unsafe request invalidates (Cache-Group-Invalidation).
pub fn invalidated(_response: &HeaderMap) -> Vec<Box<str>> {
    Vec::new()
}
