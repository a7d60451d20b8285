//! The store, as the fleet sees it.

use std::sync::Arc;
use std::thread;

use crate::cache::store::{Count, Store};
use crate::ledger::invalidation::{Applied, Invalidation, Matcher};
use crate::ledger::remembered::Remembered;
use crate::tier::fleet::{Epoch, Memory, Stored};
use crate::tier::sabotage::{Sabotage, is_on};

/// What this gateway has stored.
#[derive(Debug)]
pub struct StoreMemory {
    store: Arc<Store>,
    remembered: Arc<Remembered>,
}

impl StoreMemory {
    /// What the fleet invalidates is remembered in `remembered`, too.
    pub fn new(store: Arc<Store>, remembered: Arc<Remembered>) -> Self {
        Self { store, remembered }
    }

    /// Neither stale-if-error nor stale-while-revalidate lets it be used without.
    fn validate_stored(&self) {
        let everything = Invalidation::soft(vec![Matcher::All]);
        carry_out(&self.store, &everything, Count::Removed, |_| ());
    }
}

impl Memory for StoreMemory {
    fn apply(&self, invalidation: &Invalidation, number: u64) {
        if is_on(Sabotage::Deaf) {
            return;
        }
        self.remembered.apply(invalidation, number);
        let applied = carry_out(&self.store, invalidation, Count::Removed, |_| ());
        // The one who asked for it is told that it holds here: on this thread, no client waits.
        if let Some(ledger) = self.store.ledger() {
            ledger.sync();
        }
        tracing::debug!(
            %invalidation, number, resources = applied.resources,
            "an invalidation of the fleet"
        );
    }

    fn begin_epoch(&self, epoch: Epoch, stored: Stored) {
        self.remembered.begin(epoch);
        if is_on(Sabotage::EpochWithoutBar) {
            return;
        }
        self.store.bar_fills();
        if stored == Stored::Validated {
            self.validate_stored();
        }
    }

    fn raise_floor(&self, floor: u64) {
        self.remembered.raise_floor(floor);
    }

    fn validate_all(&self) {
        tracing::info!(
            "the fleet's ledger does not go back so far: all that is stored is validated before it is used"
        );
        self.validate_stored();
    }
}

/// Carries out an invalidation. When this returns, it holds; where it covers very much, a thread removes that behind, and tells
/// `removed` of how many resources.
pub fn carry_out(
    store: &Arc<Store>,
    invalidation: &Invalidation,
    count: Count,
    removed: impl FnOnce(usize) + Send + Clone + 'static,
) -> Applied {
    let (applied, removal) = store.begin(invalidation, count);
    if let Some(removal) = removal {
        let (behind, left, tell) = (store.clone(), removal.clone(), removed.clone());
        let thread = thread::Builder::new().name("bookend-purge".to_owned());
        if thread.spawn(move || tell(behind.remove(left))).is_err() {
            // There is no thread to be had.
            removed(store.remove(removal));
        }
    }
    applied
}
