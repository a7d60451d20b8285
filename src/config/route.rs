//! `[[route]]`: which policy a request's path has.

use std::sync::Arc;

use crate::semantics::policy::Policy;
use crate::semantics::time::DeltaSeconds;

/// The choices for the requests of one route.
#[derive(Clone, Debug, PartialEq)]
pub struct RoutePolicy {
    /// As written in `match`; empty for the default route.
    pub pattern: String,
    /// What the rules read.
    pub cache: Policy,
    pub etag: EtagMode,
    /// Requests are forwarded: nothing is looked up, nothing stored.
    pub bypass: bool,
    /// The freshness lifetime that clients are told; `None` means the origin's.
    pub client_ttl: Option<DeltaSeconds>,
    /// Bytes of the largest body that is stored.
    pub max_stored_body: u64,
    /// Cache-Status tells the key and details.
    pub debug: bool,
}

impl Default for RoutePolicy {
    fn default() -> Self {
        Self {
            pattern: String::new(),
            cache: Policy::default(),
            etag: EtagMode::default(),
            bypass: false,
            client_ttl: None,
            max_stored_body: 8 << 20,
            debug: false,
        }
    }
}

/// Whether the gateway makes ETags of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EtagMode {
    #[default]
    Off,
    /// Where the origin sent none.
    Missing,
    /// In place of the origin's.
    Replace,
}

/// All routes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Routes {
    default: Arc<RoutePolicy>,
}

impl Routes {
    /// The policy for `path`; the default route's when no pattern matches.
    pub fn find(&self, _path: &str) -> &Arc<RoutePolicy> {
        &self.default
    }
}
