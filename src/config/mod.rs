//! The configuration: what the operator wrote, checked as a whole and turned into plain data that never changes.

pub mod admin;
pub mod cache;
#[cfg(test)]
mod documented;
mod env;
pub mod load;
pub mod log;
pub mod mistake;
mod paths;
pub mod route;
pub mod routes;
pub mod secret;
pub mod server;
pub mod units;
pub mod upstream;
mod value;
mod walk;

use std::sync::Arc;

pub use self::admin::Admin;
pub use self::cache::Cache;
pub use self::env::Lookup;
pub use self::load::{AdminAddr, Overrides, Source};
pub use self::log::{AccessFormat, AccessTarget, Log, LogFormat};
pub use self::mistake::{Mistake, Place};
pub use self::route::{EtagMode, RoutePolicy};
pub use self::routes::Routes;
pub use self::secret::Secret;
pub use self::server::{Http2, ListenAddr, Server};
pub use self::upstream::{Endpoint, HostPolicy, ServerUrl, Upstream};

/// All that an operator chose, or left at its default.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    pub server: Server,
    pub upstream: Upstream,
    pub cache: Cache,
    /// `None` when the admin listener is off.
    pub admin: Option<Admin>,
    pub log: Log,
    pub routes: Routes,
}

impl Config {
    /// The defaults, in front of `servers`.
    pub fn in_front_of(servers: Vec<ServerUrl>) -> Self {
        Self {
            server: Server::default(),
            upstream: Upstream::in_front_of(servers),
            cache: Cache::default(),
            admin: Some(Admin::default()),
            log: Log::default(),
            routes: Routes::default(),
        }
    }

    /// The policy of the route that `path` (without its query) belongs to; the default route when no other matches.
    pub fn route(&self, path: &str) -> &Arc<RoutePolicy> {
        self.routes.find(path)
    }
}
