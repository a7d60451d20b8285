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
        }
    }

    /// The write was answered (RFC 9111 §4.4): an error invalidates nothing.
    pub(in crate::proxy) fn finish(
        mut self,
        status: StatusCode,
        fields: &HeaderMap,
        server: &Server,
    ) {
        if !is_non_error(status) {
            self.owed = None;
            return;
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
            tracing::debug!(?groups, count, "a write invalidated groups");
        }
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

    /// What the route says that a write to it changes, with all queries.
    fn apply_to_listed(&self, how: Invalidation) {
        let (path, _) = split_query(self.target.path_and_query());
        for template in &self.route.invalidates {
            let Some(path) = template.for_request(&self.route.pattern, path) else {
                continue;
            };
            let path = percent::normal(&path);
            let origin = self.target.origin();
            self.apply(&format!("{origin}{path}"), how);
            let (store, group) = (&self.worker.gateway.store, path_group(&path));
            match how {
                Invalidation::Hard => {
                    let queries = store.invalidate_group(origin, &group);
                    self.worker.counters.invalidations.add(queries as u64);
                }
                Invalidation::Soft => drop(store.invalidate_group_softly(origin, &group)),
            }
        }
    }

    fn apply(&self, target: &str, how: Invalidation) {
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
        if let Some(how) = self.owed {
            self.apply(self.target.as_str(), how);
            self.apply_to_listed(how);
        }
    }
}

fn key_text(uri: &TargetUri) -> String {
    let mut octets = Vec::new();
    uri.write_key(&mut octets);
    String::from_utf8(octets).unwrap_or_default()
}
