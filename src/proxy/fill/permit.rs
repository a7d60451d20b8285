//! The right to bring a fill to its end, and the duty to.

use std::rc::Rc;
use std::sync::Arc;

use crate::cache::collapse::Fill;
use crate::cache::outcome::{NotCommitted, Outcome};
use crate::config::RoutePolicy;
use crate::proxy::tiers::{Change, Intent};
use crate::proxy::worker::Worker;
use crate::tier::fleet::Released;

/// Held by whoever leads a fill. Dropped without an outcome, the fill is abandoned: those who wait for it are told, and may
/// try.
#[must_use]
pub struct Permit {
    worker: Rc<Worker>,
    fill: Arc<Fill>,
    /// What becomes of its response in the fleet; `None` where there is none, or it was not consulted.
    intent: Option<Box<Intent>>,
    finished: bool,
}

impl Permit {
    pub fn new(worker: &Rc<Worker>, fill: Arc<Fill>) -> Self {
        Self {
            worker: worker.clone(),
            fill,
            intent: None,
            finished: false,
        }
    }

    pub fn fill(&self) -> &Arc<Fill> {
        &self.fill
    }

    /// Has its response stored for the fleet as well.
    pub fn intend(&mut self, intent: Intent) {
        self.intent = Some(Box::new(intent));
    }

    /// Ends the fill: the only way out, but for abandoning it. Returns why its response was not stored, where it should have
    /// been.
    pub fn finish(mut self, outcome: Outcome, route: &RoutePolicy) -> Option<NotCommitted> {
        self.finished = true;
        let gateway = &self.worker.gateway;
        let is_kept = gateway.tiers.has_disk() || self.intent.is_some();
        let change = is_kept.then(|| Change::of(&outcome));
        // Whoever waits for the next one would wait in vain again.
        let is_not_for_others = matches!(
            outcome,
            Outcome::Uncacheable { .. } | Outcome::ServerError(_)
        );
        let refused = gateway.store.finish(&self.fill, outcome, &route.cache.vary);
        if let Some(change) = change {
            let now = gateway.clock.now();
            let (tiers, store) = (&gateway.tiers, &gateway.store);
            if let Some(intent) = self.intent.take() {
                match &change {
                    Change::Stored(stored) if refused.is_none() && stored.len() == 1 => {
                        intent.store(store, &self.fill, &stored[0], (&route.cache, now));
                    }
                    Change::Outdated => intent.release(Released::Outdated),
                    _ if is_not_for_others => intent.release(Released::NotShared),
                    _ => intent.release(Released::Failed),
                }
            }
            tiers.follow(store, &self.fill, change, refused, (route, now));
        }
        refused
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if !self.finished {
            self.worker.gateway.store.abandon(&self.fill);
        }
    }
}
