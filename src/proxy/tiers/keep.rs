//! The second tiers follow the store: a response that is stored is kept there, and one that is superseded is removed.

use std::sync::Arc;

use smallvec::SmallVec;

use super::Tiers;
use super::kept::record_of;
use crate::cache::collapse::Fill;
use crate::cache::outcome::{NotCommitted, Outcome, Superseded};
use crate::cache::record;
use crate::cache::store::Store;
use crate::cache::stored::StoredResponse;
use crate::clock::Now;
use crate::config::RoutePolicy;
use crate::semantics::policy::Policy;

/// What a fill's outcome changes in the store, if it is not refused.
#[derive(Debug)]
pub enum Change {
    /// These are stored.
    Stored(SmallVec<[Arc<StoredResponse>; 1]>),
    /// What was stored is outdated.
    Outdated,
    Nothing,
}

impl Change {
    pub fn of(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Stored(stored) => Self::Stored(SmallVec::from_iter([stored.clone()])),
            Outcome::Freshened { updates, .. } => {
                Self::Stored(updates.iter().map(|(_, new)| new.clone()).collect())
            }
            Outcome::Uncacheable { effect, .. } => match effect {
                Superseded::Nothing => Self::Nothing,
                Superseded::Stale | Superseded::All(_) => Self::Outdated,
            },
            Outcome::ServerError(_) | Outcome::Failed(_) => Self::Nothing,
        }
    }
}

impl Tiers {
    /// Keeps what `fill` has changed in the store, unless that was refused, or its route keeps nothing.
    pub fn follow(
        &self,
        store: &Store,
        fill: &Fill,
        change: Change,
        refused: Option<NotCommitted>,
        (route, now): (&RoutePolicy, Now),
    ) {
        match change {
            Change::Stored(stored) if refused.is_none() => {
                let target = store.canonical(fill.key.as_str());
                if !route.tiers.disk {
                    // What was kept before a reload is older, and must not come back after another one.
                    return self.remove(&target);
                }
                for stored in &stored {
                    self.keep(store, &target, stored, fill.stamp, (&route.cache, now));
                }
            }
            Change::Outdated => self.remove(&store.canonical(fill.key.as_str())),
            Change::Stored(_) | Change::Nothing => {}
        }
    }

    /// Nothing that was kept for `target` is used any more.
    pub fn remove(&self, target: &str) {
        if let Some(disk) = self.disk.load().as_ref()
            && disk.may_come_to_have(target)
        {
            disk.remove(target);
        }
    }

    /// Keeps a response that was asked for when the latest invalidation had the number `stamp`, and which is stored for `target`.
    fn keep(
        &self,
        store: &Store,
        target: &str,
        stored: &Arc<StoredResponse>,
        stamp: u64,
        (policy, now): (&Policy, Now),
    ) {
        let disk = self.disk.load();
        let Some(disk) = disk.as_ref() else {
            return;
        };
        let record = record_of(store, target, stored, stamp, (policy, now));
        // What is kept is in the order in which it was stored: one that was replaced meanwhile comes too late.
        store.if_it_stands(store.key(target), stored, |all| {
            let variants = all.variants().iter();
            let variants: SmallVec<[_; 2]> = variants.map(|it| record::variant(&it.head)).collect();
            // One that this one has replaced, since its request selects it, must not outlive it.
            if record.is_none() || disk.may_have_others(target, &variants) {
                self.remove(target);
            }
            if record.is_some_and(|record| !disk.put(record)) {
                // Nor may an earlier one come back in its place.
                self.remove(target);
            }
        });
    }
}
