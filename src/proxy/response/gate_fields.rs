//! The fields that a route's gate adds to the responses of the requests that pass it.

use std::sync::Arc;

use http::header::{CACHE_CONTROL, EXPIRES};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::semantics::authentication::made_private;
use crate::semantics::cors_policy::CorsPolicy;
use crate::semantics::field_edits::is_lifetime;

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
    /// Adds them; `targeted` are the route's own targeted fields. Those of CORS take the place of the API's.
    pub fn add_to(&self, fields: &mut HeaderMap, targeted: &[HeaderName]) {
        if self.is_private {
            let value = made_private(fields);
            fields.insert(CACHE_CONTROL, value);
            // Each cache may have a field of its own that it follows in the place of Cache-Control (RFC 9213 §3).
            let is_targeted = |name: &&HeaderName| {
                (is_lifetime(name) || targeted.contains(*name))
                    && ![CACHE_CONTROL, EXPIRES].contains(*name)
            };
            let found: Vec<_> = fields.keys().filter(is_targeted).cloned().collect();
            for name in found {
                fields.remove(name);
            }
        }
        if let Some(Cors { policy, allowed }) = &self.cors {
            policy.grant(allowed.as_ref(), fields);
        }
    }
}
