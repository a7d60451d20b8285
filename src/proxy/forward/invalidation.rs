//! What a write owes the cache: an invalidation, which is paid whether or not its client stays.

use std::rc::Rc;
use std::sync::Arc;

use http::{HeaderMap, StatusCode};

use crate::cache::store::Count;
use crate::config::RoutePolicy;
use crate::ledger::invalidation::{Invalidation, Matcher, Strength};
use crate::proxy::epoch::Epoch;
use crate::proxy::fleet::Invalidated;
use crate::proxy::forward::client_paths::as_client_sees;
use crate::proxy::forward::written::Written;
use crate::proxy::request::{Request, Target};
use crate::proxy::worker::Worker;
use crate::semantics::groups;
use crate::semantics::invalidation::{is_non_error, related};
use crate::upstream::Server;

/// Owed from the moment a write is sent. Dropped before anything is known of its outcome, it invalidates the target.
pub(in crate::proxy) struct InvalidationPermit {
    worker: Rc<Worker>,
    epoch: Rc<Epoch>,
    route: Arc<RoutePolicy>,
    target: Target,
    owed: Option<Strength>,
}

impl InvalidationPermit {
    pub(in crate::proxy) fn new(worker: &Rc<Worker>, request: &Request) -> Self {
        Self {
            worker: worker.clone(),
            epoch: request.epoch.clone(),
            route: request.route.clone(),
            target: request.whole_target(),
            owed: Some(Strength::Hard),
        }
    }

    /// The write was answered (RFC 9111 §4.4): an error invalidates nothing. Returns the invalidation that
    /// has begun for it.
    pub(in crate::proxy) fn finish(
        mut self,
        status: StatusCode,
        fields: &HeaderMap,
        server: &Server,
    ) -> Option<Invalidated> {
        self.owed = None;
        if !is_non_error(status) {
            return None;
        }
        let written = self.written();
        let mut covers = written.covers();
        let (settings, route) = (&self.epoch.settings, &self.route);
        let base_path = server.base_path();
        let related = as_client_sees(settings, route, &self.target, base_path, |view| {
            related(fields, view)
        });
        for uri in &related {
            let mut key = Vec::new();
            uri.write_key(&mut key);
            let key = String::from_utf8(key).unwrap_or_default();
            covers.push(written.stored_under(key));
            covers.extend(written.aliases(None, &uri.path_and_query));
        }
        let origin = self.target.origin();
        let groups = groups::invalidated(fields).into_iter();
        covers.extend(groups.map(|group| Matcher::tag(origin, group)));
        Some(self.apply(&Invalidation::hard(covers)))
    }

    /// The write was not answered. Where the API had no whole request, it has most likely done nothing, and clients who
    /// break off what they send must not be able to empty the cache: what the write covers is validated before it is used
    /// again. Where it had one, the outcome is unknown.
    pub(in crate::proxy) fn unanswered(mut self, is_sent: bool, is_whole: bool) {
        self.owed = match (is_sent, is_whole) {
            (false, _) => None,
            (true, false) => Some(Strength::Soft),
            (true, true) => Some(Strength::Hard),
        };
    }

    fn written(&self) -> Written<'_> {
        Written {
            gateway: &self.worker.gateway,
            settings: &self.epoch.settings,
            route: &self.route,
            target: self.target.as_str(),
        }
    }

    fn apply(&self, invalidation: &Invalidation) -> Invalidated {
        let counters = self.worker.counters.clone();
        let is_hard = invalidation.strength == Strength::Hard;
        let removed = move |resources: usize| {
            if is_hard {
                counters.invalidations.add(resources as u64);
            }
        };
        let gateway = &self.worker.gateway;
        // To count very many would hold up the worker.
        let invalidated = gateway.invalidate(invalidation, Count::Removed, removed.clone());
        let applied = &invalidated.applied;
        removed(applied.resources);
        tracing::debug!(%invalidation, resources = applied.resources, "a write invalidates");
        invalidated
    }
}

impl Drop for InvalidationPermit {
    fn drop(&mut self) {
        if let Some(strength) = self.owed.take() {
            let covers = self.written().covers();
            // The fleet carries it out, too; nobody waits for that.
            let _announced = self.apply(&Invalidation { covers, strength });
        }
    }
}
