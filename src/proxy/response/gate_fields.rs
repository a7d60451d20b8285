//! The fields that a route's gate adds to the responses of the requests that pass it.

use http::header::CACHE_CONTROL;
use http::{HeaderMap, HeaderName};

use crate::semantics::authentication::made_private;

/// Fields that other caches precede Cache-Control by (RFC 9213).
const OF_OTHER_CACHES: [HeaderName; 2] = [
    HeaderName::from_static("cdn-cache-control"),
    HeaderName::from_static("surrogate-control"),
];

/// What is added.
#[derive(Debug, Default)]
pub struct GateFields {
    /// The gate asked who it is: no cache between the gateway and its clients may answer others with the response.
    pub is_private: bool,
}

impl GateFields {
    pub fn add_to(&self, fields: &mut HeaderMap) {
        if self.is_private {
            let value = made_private(fields);
            fields.insert(CACHE_CONTROL, value);
            for name in OF_OTHER_CACHES {
                fields.remove(name);
            }
        }
    }
}
