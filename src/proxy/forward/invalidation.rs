//! What a write owes the cache: an invalidation, which is paid whether or not its client stays.

use std::rc::Rc;
use std::sync::Arc;

use http::{HeaderMap, StatusCode};

use crate::cache::collapse::Invalidation;
use crate::config::RoutePolicy;
use crate::proxy::epoch::Epoch;
use crate::proxy::request::{Request, Target};
use crate::proxy::worker::Worker;
use crate::semantics::authority::TargetUri;
use crate::semantics::groups;
use crate::semantics::invalidation::{is_non_error, related};
use crate::semantics::percent;
use crate::semantics::reference::ClientView;
use crate::semantics::target::split_query;
use crate::upstream::Server;

/// Owed from the moment a write is sent. Dropped before anything is known of its outcome, it invalidates the target.
pub(in crate::proxy) struct InvalidationPermit {
    worker: Rc<Worker>,
    epoch: Rc<Epoch>,
    route: Arc<RoutePolicy>,
    target: Target,
    owed: Option<Invalidation>,
    /// Invalidations begun so far, as the store counts them.
    begun: u64,
}

/// The group of all queries of a path; no group that a response names begins with a control character.
pub(in crate::proxy) fn path_group(path: &str) -> String {
    format!("\0{path}")
}

impl InvalidationPermit {
    pub(in crate::proxy) fn new(worker: &Rc<Worker>, request: &Request) -> Self {
        Self {
            worker: worker.clone(),
            epoch: request.epoch.clone(),
            route: request.route.clone(),
            target: request.target.clone(),
            owed: Some(Invalidation::Hard),
            begun: 0,
        }
    }

    /// The write was answered (RFC 9111 §4.4): an error invalidates nothing. Returns how many invalidations have begun for
    /// it.
    pub(in crate::proxy) fn finish(
        mut self,
        status: StatusCode,
        fields: &HeaderMap,
        server: &Server,
    ) -> u64 {
        if !is_non_error(status) {
            self.owed = None;
            return 0;
        }
        let view = ClientView {
            target: &self.target.to_uri(),
            base_path: server.base_path(),
            servers: &self.epoch.settings.api_servers,
        };
        for uri in related(fields, &view) {
            self.apply(&key_text(&uri), Invalidation::Hard);
        }
        let groups = groups::invalidated(fields);
        if !groups.is_empty() {
            let store = &self.worker.gateway.store;
            let count = store.invalidate_groups(self.target.origin(), &groups);
            self.begun += 1;
            let groups = groups.join(", ");
            tracing::debug!(groups, count, "a write invalidated groups");
        }
        if let Some(how) = self.owed.take() {
            self.pay(how);
        }
        self.begun
    }

    /// The write was not answered. Where the API had no whole request, it has most likely done nothing, and clients who
    /// break off what they send must not be able to empty the cache: what the write covers is validated before it is used
    /// again. Where it had one, the outcome is unknown.
    pub(in crate::proxy) fn unanswered(mut self, is_sent: bool, is_whole: bool) {
        self.owed = match (is_sent, is_whole) {
            (false, _) => None,
            (true, false) => Some(Invalidation::Soft),
            (true, true) => Some(Invalidation::Hard),
        };
    }

    /// Invalidates the target, and what the route says that a write to it changes, with all queries.
    fn pay(&mut self, how: Invalidation) {
        let (target, route) = (self.target.clone(), self.route.clone());
        self.apply(target.as_str(), how);
        let (path, _) = split_query(target.path_and_query());
        for template in &route.invalidates {
            let Some(path) = template.for_request(&route.pattern, path) else {
                continue;
            };
            let path = percent::normal(&path);
            let origin = target.origin();
            self.apply(&format!("{origin}{path}"), how);
            let (store, group) = (&self.worker.gateway.store, path_group(&path));
            self.begun += 1;
            match how {
                Invalidation::Hard => {
                    let queries = store.invalidate_group(origin, &group);
                    self.worker.counters.invalidations.add(queries as u64);
                }
                Invalidation::Soft => drop(store.invalidate_group_softly(origin, &group)),
            }
        }
    }

    fn apply(&mut self, target: &str, how: Invalidation) {
        self.begun += 1;
        let store = &self.worker.gateway.store;
        match how {
            Invalidation::Hard => {
                if store.invalidate_target(target) {
                    self.worker.counters.invalidations.inc();
                }
            }
            Invalidation::Soft => drop(store.invalidate_target_softly(target)),
        }
    }
}

impl Drop for InvalidationPermit {
    fn drop(&mut self) {
        if let Some(how) = self.owed.take() {
            self.pay(how);
        }
    }
}

fn key_text(uri: &TargetUri) -> String {
    let mut octets = Vec::new();
    uri.write_key(&mut octets);
    String::from_utf8(octets).unwrap_or_default()
}
