//! What operators ask of a running gateway: purge, explain, how much memory.

use serde_json::{Value, json};
use std::sync::Arc;

use super::gateway::Gateway;
use super::receive::split_query;
use crate::cache::key::Key;
use crate::cache::stored::{Marker, Resource, StoredResponse};
use crate::clock::Now;
use crate::semantics::vary::VariantKey;
use crate::upstream::{Fitness, Server};

/// Targets that one explanation lists at most.
const MAX_EXPLAINED: usize = 100;

/// Where the bytes are.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    /// Target URIs with something stored.
    pub resources: u64,
    /// Bytes of stored resources, heads and keys included.
    pub stored: u64,
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
    pub url: String,
    /// Whether requests go to it.
    pub fit: bool,
    /// Requests in flight to it, those that wait for a connection included.
    pub load: usize,
    pub connections: usize,
    pub waiting: usize,
}

impl Gateway {
    /// Whether any upstream server is thought to be able to answer.
    pub fn is_upstream_available(&self) -> bool {
        self.settings().upstream.is_available(self.clock.now().mono)
    }

    pub fn servers(&self) -> Vec<ServerState> {
        let now = self.clock.now().mono;
        let state = |server: &Arc<Server>| ServerState {
            url: server.url().to_string(),
            fit: matches!(server.fitness(now), Fitness::Fit(_)) && !server.is_cut_off(),
            load: server.load(),
            connections: server.connections(),
            waiting: server.waiting(),
        };
        self.settings()
            .upstream
            .servers()
            .iter()
            .map(state)
            .collect()
    }

    /// Removes what is stored by `url` (one target URI; a path alone means it on every host), by `prefix` of either, by
    /// cache `group`, or `all` (`true`). Returns how many resources were removed; `None` when `what` is none of these.
    pub fn purge(&self, what: &str, value: &str) -> Option<usize> {
        let store = &self.store;
        Some(match what {
            "all" if value == "true" => store.invalidate_prefix(""),
            "url" if value.starts_with('/') => store.invalidate_where(|key| path_of(key) == value),
            "url" => usize::from(store.invalidate_target(value)),
            "prefix" if value.starts_with('/') => {
                store.invalidate_where(|key| path_of(key).starts_with(value))
            }
            "prefix" if !value.is_empty() => store.invalidate_prefix(value),
            "group" => store.invalidate_group_everywhere(value),
            _ => return None,
        })
    }

    /// What is known of `url` (a path alone means it on every host): its route, what is stored, what is in flight.
    pub fn explain(&self, url: &str) -> Value {
        let store = &self.store;
        let now = self.clock.now();
        let resources: Vec<(Key, Resource)> = if url.starts_with('/') {
            store.find(|key| path_of(key) == url, MAX_EXPLAINED)
        } else {
            let target = store.canonical(url);
            let key = store.key(&target);
            let found = store.look_up(key);
            found
                .map(|found| (key.to_key(), found))
                .into_iter()
                .collect()
        };
        let settings = self.settings();
        let path = path_of(url);
        let route = settings.config.route(split_query(path).0);
        let pattern = if route.pattern.is_empty() {
            "(default)"
        } else {
            route.pattern.as_str()
        };
        json!({
            "url": url,
            "route": pattern,
            "bypass": route.bypass,
            "stored": resources.iter().map(|(key, resource)| describe(key, resource, now)).collect::<Vec<_>>(),
            "fills": store.fills_for(|key| key == url || path_of(key) == url),
        })
    }

    /// Where the memory is, after evictions that are due.
    pub fn memory(&self) -> Memory {
        self.store.run_pending_tasks();
        let budget = self.store.budget();
        let (groups, group_members) = self.store.group_size();
        let settings = self.settings();
        let limits = settings.limits.as_ref();
        Memory {
            in_flight: budget.in_flight(),
            passing: budget.passing(),
            ready: self.metrics.sum(|counters| counters.ready_bytes.value()),
            groups: groups as u64,
            group_members: group_members as u64,
            limited_clients: limits.map_or(0, |limits| limits.clients() as u64),
            resources: self.store.resource_count(),
            stored: self.store.resource_bytes(),
            used: budget.used(),
            limit: budget.limit(),
        }
    }
}

/// Path and query of a target URI.
fn path_of(target: &str) -> &str {
    let rest = target.split_once("://").map_or(target, |(_, rest)| rest);
    rest.find('/').map_or("/", |at| &rest[at..])
}

fn describe(key: &Key, resource: &Resource, now: Now) -> Value {
    json!({
        "key": key.as_str(),
        "bytes": resource.weight(key.as_str().len()),
        "variants": resource.variants().iter().map(|stored| describe_variant(stored, now)).collect::<Vec<_>>(),
        "markers": resource.markers().iter().map(|marker| describe_marker(marker, now)).collect::<Vec<_>>(),
    })
}

fn describe_variant(stored: &StoredResponse, now: Now) -> Value {
    let head = &stored.head;
    let resident = head.resident(now);
    let fields: Vec<_> = head
        .fields
        .to_map()
        .iter()
        .map(|(name, value)| json!([name.as_str(), String::from_utf8_lossy(value.as_bytes())]))
        .collect();
    json!({
        "status": head.status.as_u16(),
        "fresh": head.freshness.is_fresh(resident),
        "age": head.freshness.age(resident).as_secs(),
        "ttl": head.freshness.ttl(resident),
        "lifetime": head.freshness.lifetime.as_secs(),
        "lifetime_from": format!("{:?}", head.freshness.source),
        "must_validate": head.freshness.must_validate.map(|why| format!("{why:?}")),
        "selected_by": head.variant().map(VariantKey::describe).unwrap_or_default(),
        "groups": head.groups(),
        "query": head.digest().is_some(),
        "content_bytes": stored.content_len(),
        "complete": stored.parts().is_none(),
        "fields": fields,
    })
}

fn describe_marker(marker: &Marker, now: Now) -> Value {
    json!({
        "why": format!("{:?}", marker.why),
        "for_seconds": marker.until.since(now.mono).as_secs(),
        "selected_by": marker.variant.describe().into_iter().collect::<Vec<_>>(),
    })
}
