//! The configuration: what the operator wrote, checked as a whole and turned into plain data that never changes.

mod access_template;
pub mod acme;
pub mod admin;
pub mod balance;
pub mod cache;
pub mod certificate;
pub mod disk;
#[cfg(test)]
mod documented;
pub mod effective;
mod env;
pub mod fields;
pub mod gate;
mod hosts;
mod invalidates;
mod listen_addr;
pub mod listener;
pub mod load;
pub mod log;
mod matched;
pub mod mistake;
mod negotiation;
mod path_template;
mod paths;
pub mod places;
pub mod rate_limit;
mod reach;
mod readers;
mod readings;
mod renamed;
mod report;
mod rewrite;
pub mod route;
mod route_limits;
mod route_names;
mod route_tiers;
mod route_tree;
pub mod routes;
pub mod schema;
pub mod secret;
mod section;
pub mod server;
mod server_url;
pub mod traces;
mod ttl;
pub mod units;
pub mod upstream;
mod upstreams;
pub mod valkey;
pub mod valkey_servers;
mod value;

pub use self::access_template::{AccessPart, AccessTemplate, AccessToken};
pub use self::acme::Acme;
pub use self::admin::Admin;
pub use self::balance::{Balance, Circuit, Ejection, Health, Retries};
pub use self::cache::{Cache, HugePages};
pub use self::certificate::Certificate;
pub use self::disk::Disk;
pub use self::env::Lookup;
pub use self::gate::{Auth, Gate, Respond};
pub use self::hosts::HostPattern;
pub use self::invalidates::Template;
pub use self::listen_addr::ListenAddr;
pub use self::listener::Listener;
pub use self::load::{AdminAddr, Overrides, Source};
pub use self::log::{AccessFormat, AccessTarget, Log, LogFormat, NO_FILTER, is_filter};
pub use self::mistake::{Mistake, Place};
pub use self::rate_limit::{CountBy, RateLimit};
pub use self::reach::Readings;
pub use self::readings::{is_unreadable, readings};
pub use self::route::{EtagMode, RoutePolicy, WriteScope};
pub use self::route_limits::RouteLimits;
pub use self::route_tiers::RouteTiers;
pub use self::route_tree::Asked;
pub use self::routes::Routes;
pub use self::secret::Secret;
pub use self::section::nearest;
pub use self::server::{Http2, Server};
pub use self::server_url::{Endpoint, ServerUrl};
pub use self::traces::Traces;
pub use self::upstream::{HostPolicy, Protocol, Upstream};
pub use self::upstreams::{Destination, NamedUpstream};
pub use self::valkey::Valkey;

/// All that an operator chose, or left at its default.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    pub server: Server,
    /// That of `[upstream]` first, where there is one, then those of `[upstreams.NAME]`.
    pub upstreams: Vec<NamedUpstream>,
    pub cache: Cache,
    /// `None` where nothing is kept beyond the process.
    pub disk: Option<Disk>,
    /// `None` where it shares nothing with other gateways.
    pub valkey: Option<Valkey>,
    /// `None` when the admin listener is off.
    pub admin: Option<Admin>,
    pub log: Log,
    /// `None` where no request is recorded.
    pub traces: Option<Traces>,
    pub routes: Routes,
    /// What the file says that cannot mean what it seems to.
    pub warnings: Vec<Mistake>,
    /// Notes about keys that the file gives under their former names.
    pub notes: Vec<Mistake>,
}

impl Config {
    /// The defaults, in front of `servers`.
    pub fn in_front_of(servers: Vec<ServerUrl>) -> Self {
        Self {
            server: Server::default(),
            upstreams: vec![NamedUpstream {
                name: None,
                upstream: Upstream::in_front_of(servers),
            }],
            cache: Cache::default(),
            disk: None,
            valkey: None,
            admin: Some(Admin::default()),
            log: Log::default(),
            traces: None,
            routes: Routes::default(),
            warnings: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// What `new` changes that is bound when the gateway starts, and so stays as it is until it starts again.
    pub fn bound_changes(&self, new: &Self) -> Vec<&'static str> {
        let (cache, log) = (&self.cache, &self.log);
        let mut changes = self.server.bound_changes(&new.server);
        let bound = [
            ("[cache] memory", cache.memory != new.cache.memory),
            (
                "[cache] huge_pages",
                cache.huge_pages != new.cache.huge_pages,
            ),
            (
                "[cache] max_variants",
                cache.max_variants != new.cache.max_variants,
            ),
            ("[disk]", self.disk != new.disk),
            ("[valkey]", self.valkey != new.valkey),
            (
                "[admin] listen",
                self.admin.is_some() != new.admin.is_some(),
            ),
            ("[log] format", log.format != new.log.format),
        ];
        let changed = bound.into_iter().filter(|(_, is_changed)| *is_changed);
        changes.extend(changed.map(|(name, _)| name));
        changes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_reload_cannot_change_is_named() {
        let parse = |text: &str| {
            let text = format!("[upstream]\nservers = \"http://a\"\n{text}");
            Config::parse(&text, "test", &|_| None).expect("a valid file")
        };
        let old = parse("");
        for (text, bound) in [
            ("host = 'upstream'", &[][..]),
            ("[cache]\nttl = '5m'\nwindow = '2MiB'", &[]),
            ("[[route]]\nmatch = '/'", &[]),
            (
                "[cache]\nmemory = '1GiB'\nmax_variants = 1",
                &["[cache] memory", "[cache] max_variants"],
            ),
            ("[server.rate_limit]\nrequests = 1\nper = '1s'", &[]),
            ("[server.http2]\nmax_concurrent_streams = 1", &[]),
            ("[[listener]]\nlisten = ':8081'", &[]),
            (
                "[admin]\nlisten = 'off'\n[log]\naccess = 'off'\nformat = 'json'",
                &["[admin] listen", "[log] format"],
            ),
            (
                "[admin]\nlisten = ':9091'\ntoken = 'a'\nhosts = 'b'\n[log]\naccess_file = '/a'\nlevel = 'warn'",
                &[],
            ),
            (
                "[server]\nworkers = 7\nmax_requests = 1\nname = 'edge'\nhead_timeout = '1s'",
                &["[server] workers"],
            ),
        ] {
            assert_eq!(old.bound_changes(&parse(text)), bound, "{text}");
        }
    }
}
