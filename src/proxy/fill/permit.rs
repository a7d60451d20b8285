//! The right to bring a fill to its end, and the duty to.

use std::rc::Rc;
use std::sync::Arc;

use crate::cache::collapse::Fill;
use crate::cache::outcome::{NotCommitted, Outcome};
use crate::proxy::tiers::Change;
use crate::proxy::worker::Worker;
use crate::semantics::policy::Policy;

/// Held by whoever leads a fill. Dropped without an outcome, the fill is abandoned: those who wait for it are told, and may
/// try.
#[must_use]
pub struct Permit {
    worker: Rc<Worker>,
    fill: Arc<Fill>,
    finished: bool,
}

impl Permit {
    pub fn new(worker: &Rc<Worker>, fill: Arc<Fill>) -> Self {
        Self {
            worker: worker.clone(),
            fill,
            finished: false,
        }
    }

    pub fn fill(&self) -> &Arc<Fill> {
        &self.fill
    }

    /// Ends the fill: the only way out, but for abandoning it. Returns why its response was not stored, where it should have
    /// been.
    pub fn finish(mut self, outcome: Outcome, policy: &Policy) -> Option<NotCommitted> {
        self.finished = true;
        let gateway = &self.worker.gateway;
        let change = gateway.tiers.is_any().then(|| Change::of(&outcome));
        let refused = gateway.store.finish(&self.fill, outcome, &policy.vary);
        if let Some(change) = change {
            let now = gateway.clock.now();
            let (tiers, store) = (&gateway.tiers, &gateway.store);
            tiers.follow(store, &self.fill, change, refused, (policy, now));
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
