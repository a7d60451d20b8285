//! The fields that a route's gate adds to the responses of the requests that pass it.

use std::sync::Arc;

use http::header::{CACHE_CONTROL, EXPIRES};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::semantics::authentication::made_private;
use crate::semantics::cors_policy::{self, CorsPolicy};
use crate::semantics::field_edits::is_lifetime;

/// What is added.
#[derive(Debug, Default)]
pub struct GateFields {
    /// The gate asked who it is: no cache between the gateway and its clients may answer others with the response.
    pub is_private: bool,
    pub cors: Option<Cors>,
}

/// Which pages may read the response to one request.
#[derive(Debug)]
pub enum Cors {
    /// As the policy of its route says.
    ByPolicy {
        policy: Arc<CorsPolicy>,
        /// The request's Origin, where its page may read the response.
        allowed: Option<HeaderValue>,
    },
    /// None: the path can be read as that of routes with different policies.
    Unclear,
}

impl Cors {
    pub fn by_policy(policy: &Arc<CorsPolicy>, request: &HeaderMap) -> Self {
        Self::ByPolicy {
            policy: policy.clone(),
            allowed: policy.allowed(request).cloned(),
        }
    }

    /// Adds the fields of CORS in the place of the API's.
    pub fn add_to(&self, fields: &mut HeaderMap) {
        match self {
            Self::ByPolicy { policy, allowed } => policy.grant(allowed.as_ref(), fields),
            Self::Unclear => cors_policy::strip(fields),
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
        if let Some(cors) = &self.cors {
            cors.add_to(fields);
        }
    }
}
