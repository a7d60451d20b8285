//! Operations on a running gateway: purge, memory in use, the servers' health.

use std::sync::Arc;

use http::Method;

use crate::cache::key::Key;
use crate::cache::store::Count;
use crate::config::Asked;
use crate::error::ErrorKind;
use crate::ledger::invalidation::{Applied, Invalidation, Matcher, Route};
use crate::ledger::log::{Purge, PurgeLog};
use crate::proxy::fleet::Invalidated;
use crate::proxy::gateway::Gateway;
use crate::proxy::request::shown_key;
use crate::semantics::authority::host_of;
use crate::semantics::selector::Selector;
use crate::semantics::target::{origin_of, path_and_query, split_query};
use crate::upstream::{Availability, Server, UpstreamShared};

/// So many of what a purge would cover are named.
const NAMED: usize = 10;

/// Bytes by use.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    /// Target URIs with something stored.
    pub resources: u64,
    /// Stored responses: the variants of these.
    pub variants: u64,
    /// Bytes of stored resources, heads and keys included.
    pub stored: u64,
    /// Resources with stored responses that had to leave since the process was started, since there was no room.
    pub evicted: u64,
    /// Bytes held of the budget: stored, evicted but still read, and in flight.
    pub used: u64,
    /// Bytes of content on its way.
    pub in_flight: u64,
    /// Bytes of content on its way that will not be stored and that several may read; beside the budget.
    pub passing: u64,
    /// Bytes of response fields that workers keep ready, about; not in the budget, but bounded.
    pub ready: u64,
    /// Cache groups.
    pub groups: u64,
    /// Their members; their bytes count as those of what is stored.
    pub group_members: u64,
    /// Clients whose rate is remembered; not in the budget, but bounded.
    pub limited_clients: u64,
    /// The byte budget.
    pub limit: u64,
}

/// An upstream server as the workers see it together.
#[derive(Clone, Debug)]
pub struct ServerState {
    /// The name of its API; `None` for that of `[upstream]`.
    pub upstream: Option<Box<str>>,
    pub url: String,
    /// Whether requests go to it.
    pub fit: bool,
    /// Requests in flight to it, those that wait for a connection included.
    pub load: usize,
    pub connections: usize,
    pub waiting: usize,
    /// Requests that failed, by the kind of error, for those that there were.
    pub failures: Vec<(ErrorKind, u64)>,
}

/// What a purge would do, with keys as they are shown.
#[derive(Clone, Debug)]
pub struct PurgePreview {
    pub applied: Applied,
    /// Thousandths of a hit a second that what is covered has, about.
    pub millihits: u64,
    /// The bytes and the keys of those resources that take most memory.
    pub largest: Vec<(u64, String)>,
    /// The thousandths of a hit a second and the keys of those that are asked for most.
    pub top: Vec<(u64, String)>,
}

/// The request by which the route of an operator's URL is found.
pub(super) fn asked_by<'a>(selector: &'a Selector, method: &'a Method) -> Asked<'a> {
    Asked {
        host: selector.authority().map_or("", host_of),
        method,
        path: split_query(selector.path()).0,
    }
}

impl Gateway {
    /// The names of the APIs of which no server gets requests, other than to try whether it is back; `None` for that of
    /// `[upstream]`.
    pub fn unavailable_upstreams(&self) -> Vec<Option<Box<str>>> {
        let now = self.clock.now().mono;
        let settings = self.settings();
        let upstreams = settings.upstreams.iter();
        let unavailable = upstreams.filter(|upstream| !upstream.is_available(now));
        unavailable
            .map(|upstream| upstream.name().map(Into::into))
            .collect()
    }

    pub fn servers(&self) -> Vec<ServerState> {
        let now = self.clock.now().mono;
        let state = |upstream: &UpstreamShared, server: &Arc<Server>| ServerState {
            upstream: upstream.name().map(Into::into),
            url: server.url().to_string(),
            fit: matches!(server.availability(now), Availability::Available(_))
                && !server.takes_only_trials(),
            load: server.load(),
            connections: server.connections(),
            waiting: server.waiting(),
            failures: server.failures(),
        };
        let settings = self.settings();
        let of = |upstream: &UpstreamShared| -> Vec<_> {
            let servers = upstream.servers().iter();
            servers.map(|server| state(upstream, server)).collect()
        };
        settings
            .upstreams
            .iter()
            .flat_map(|upstream| of(upstream))
            .collect()
    }

    /// Carries out a purge, here and in the fleet. When this returns, nothing older is joined or answered any more here.
    pub fn purge(&self, purge: &Invalidation) -> Invalidated {
        self.invalidate(&self.purge_in_key_form(purge), Count::All, |_| ())
    }

    /// Carries out a purge that `actor` asked for, and remembers it with the reason that was given.
    pub fn purge_logged(
        &self,
        purge: &Invalidation,
        actor: String,
        reason: Option<String>,
    ) -> Invalidated {
        let invalidated = self.purge(purge);
        let at = self.clock.now().wall;
        let purge = Purge::new(at, purge, actor, reason, invalidated.applied);
        self.purges.add(purge);
        invalidated
    }

    /// The purges that operators asked for.
    pub const fn purges(&self) -> &Arc<PurgeLog> {
        &self.purges
    }

    /// What [`purge`](Gateway::purge) would do now. Nothing changes.
    pub fn preview_purge(&self, purge: &Invalidation) -> PurgePreview {
        let purge = self.purge_in_key_form(purge);
        let preview = self.store.preview(&purge, self.clock.now(), NAMED);
        let shown = |(weight, key): (u64, Key)| (weight, shown_key(key.as_str()));
        PurgePreview {
            applied: preview.applied,
            millihits: preview.millihits,
            largest: preview.largest.into_iter().map(shown).collect(),
            top: preview.top.into_iter().map(shown).collect(),
        }
    }

    /// What requests for a route find, by the routes in force now. `name` is its name as `check` and `explain` show it.
    ///
    /// # Errors
    /// With a clause that names the nearest route, where there is none of this name.
    pub fn route_matcher(&self, name: &str) -> Result<Matcher, String> {
        let settings = self.settings();
        let route = settings.config.routes.named(name)?.clone();
        let within = Selector::PathPrefix(route.common_path().to_owned());
        let takes = move |target: &str| {
            let (_, authority) = origin_of(target).split_once("://").unwrap_or_default();
            let (path, _) = split_query(path_and_query(target));
            let routes = &settings.config.routes;
            routes.leads_to(&route, host_of(authority), path)
        };
        Ok(Matcher::Route(Route::new(name, within, takes)))
    }

    fn purge_in_key_form(&self, purge: &Invalidation) -> Invalidation {
        let covers = purge.covers.iter().cloned().map(|matcher| match matcher {
            Matcher::Urls(selector) => Matcher::Urls(self.in_key_form(selector)),
            other => other,
        });
        Invalidation {
            covers: covers.collect(),
            strength: purge.strength,
        }
    }

    /// A URL that an operator names, with the query parameters that matter on its route.
    pub(super) fn in_key_form(&self, selector: Selector) -> Selector {
        let settings = self.settings();
        let route = settings
            .config
            .routes
            .find(asked_by(&selector, &Method::GET));
        let query = route.query.clone();
        selector.reduced(&query)
    }

    /// Memory by use, after evictions that are due.
    pub fn memory(&self) -> Memory {
        self.store.drop_expired(self.clock.now().mono);
        self.store.run_pending_tasks();
        let budget = self.store.budget();
        let (groups, group_members) = self.store.group_size();
        let settings = self.settings();
        let limits = settings.limits.as_ref();
        let (stored, in_flight) = (self.store.resource_bytes(), budget.in_flight());
        Memory {
            in_flight,
            passing: budget.passing(),
            ready: self.metrics.sum(|counters| counters.ready_bytes.value()),
            groups: groups as u64,
            group_members: group_members as u64,
            limited_clients: limits.map_or(0, |limits| limits.clients() as u64),
            resources: self.store.resource_count(),
            variants: self.store.variant_count(),
            evicted: self.store.evicted(),
            stored,
            // Keys and the index are the store's own, and in no token.
            used: budget.used().max(stored.saturating_add(in_flight)),
            limit: budget.limit(),
        }
    }
}
