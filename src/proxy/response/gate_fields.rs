//! The fields that a route's gate adds to the responses of the requests that pass it.

use std::sync::Arc;

use http::header::CACHE_CONTROL;
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::semantics::authentication::made_private;
use crate::semantics::cors_policy::CorsPolicy;

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
    pub cors: Option<Cors>,
}

/// The CORS of a route for one request.
#[derive(Debug)]
pub struct Cors {
    pub policy: Arc<CorsPolicy>,
    /// The request's Origin, where its page may read the response.
    pub allowed: Option<HeaderValue>,
}

impl Cors {
    pub fn of(policy: &Arc<CorsPolicy>, request: &HeaderMap) -> Self {
        Self {
            policy: policy.clone(),
            allowed: policy.allowed(request).cloned(),
        }
    }
}

impl GateFields {
    /// Adds them; those of CORS take the place of the API's.
    pub fn add_to(&self, fields: &mut HeaderMap) {
        if self.is_private {
            let value = made_private(fields);
            fields.insert(CACHE_CONTROL, value);
            for name in OF_OTHER_CACHES {
                fields.remove(name);
            }
        }
        if let Some(Cors { policy, allowed }) = &self.cors {
            policy.grant(allowed.as_ref(), fields);
        }
    }
}
