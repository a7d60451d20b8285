//! How a fill ends: what is stored changes by it, and then those who wait for it are told.

use std::sync::Arc;

use smallvec::SmallVec;

use super::{Shard, Store};
use crate::cache::collapse::{Ask, Fill};
use crate::cache::key::Key;
use crate::cache::outcome::{NotCommitted, Outcome, Settled, Superseded};
use crate::cache::resource::{Marker, Resource, Several};
use crate::cache::stored::StoredResponse;
use crate::clock::{Monotonic, Now};
use crate::ledger::invalidation::Strength;
use crate::semantics::freshness::MustValidate;
use crate::semantics::policy::VaryPolicy;

/// Markers of one resource; the oldest leaves first.
const MAX_MARKERS: usize = 8;

/// So many expired markers at most leave for one that comes: nobody waits for all that a burst has left.
const EXPIRED_AT_ONCE: usize = 16;

impl Store {
    /// Ends a fill: first what is stored changes, then those who wait for the fill are told. Returns why its response was not
    /// stored, where it should have been.
    pub fn finish(
        &self,
        fill: &Arc<Fill>,
        outcome: Outcome,
        vary: &VaryPolicy,
    ) -> Option<NotCommitted> {
        let (result, settled) = match outcome {
            Outcome::Stored(stored) => (
                self.commit(fill, stored.clone(), vary),
                Settled::Stored(stored),
            ),
            Outcome::Freshened { answer, updates } => {
                (self.freshen(fill, &updates), Settled::Stored(answer))
            }
            Outcome::Uncacheable {
                effect,
                received,
                is_for_leader_only,
            } => {
                match effect {
                    Superseded::Nothing => self.take_off(fill),
                    Superseded::Stale => self.end_staleness(fill, received, vary),
                    Superseded::All(marker) => self.mark(fill, marker, received.mono, vary),
                }
                let settled = match is_for_leader_only {
                    true => Settled::LeaderOnly,
                    false => Settled::Unshared,
                };
                (Ok(()), settled)
            }
            Outcome::ServerError(status) => {
                self.take_off(fill);
                (Ok(()), Settled::ServerError(status))
            }
            Outcome::Failed(error) => {
                self.take_off(fill);
                (Ok(()), Settled::Failed(error))
            }
        };
        fill.settle(settled);
        result.err()
    }

    /// Ends a fill that nobody brought to its end.
    pub fn abandon(&self, fill: &Arc<Fill>) {
        self.take_off(fill);
        fill.settle(Settled::Abandoned);
    }

    /// Stores a response in place of every variant that the fill's request selects. Fails when an invalidation came since the
    /// fill began, or the budget is used up; nothing is stored then.
    fn commit(
        &self,
        fill: &Arc<Fill>,
        stored: Arc<StoredResponse>,
        vary: &VaryPolicy,
    ) -> Result<(), NotCommitted> {
        if !stored.is_counted() {
            self.take_off(fill);
            return Err(NotCommitted::OverBudget);
        }
        self.search.learn(fill.key.as_str(), stored.head.search());
        let home = self.search.canonical(fill.key.as_str());
        let committed = if home == fill.key.as_str() {
            let mut shard = self.locked(fill.key.as_ref());
            self.end(&mut shard, fill);
            self.commit_under(&fill.key, fill, stored, vary)
        } else {
            let home = self.key(&home).to_key();
            let shard = self.locked(home.as_ref());
            let committed = self.commit_under(&home, fill, stored, vary);
            drop(shard);
            // Only now: till it was stored under its other key, an invalidation had to find it among those in flight.
            self.take_off(fill);
            committed
        };
        self.take_out_evicted();
        committed
    }

    /// Stores under `key`, whose shard is locked.
    fn commit_under(
        &self,
        key: &Key,
        fill: &Fill,
        stored: Arc<StoredResponse>,
        vary: &VaryPolicy,
    ) -> Result<(), NotCommitted> {
        let stored = self.as_invalidated(fill, stored)?;
        let before = self.resources.get(key.as_ref());
        let before = before.as_ref();
        let mut next = before.map_or_else(Several::default, Resource::to_several);
        if next.has_unknown_selectors(&stored.head) {
            return Err(NotCommitted::Overtaken);
        }
        let asked = (&fill.ask.headers, fill.ask.digest.as_ref());
        let is_replaced =
            |old: &Arc<StoredResponse>| self.cors.is_replaced(key.as_str(), &old.head, asked, vary);
        for old in next.variants.iter().filter(|old| is_replaced(old)) {
            if stored.is_part_of(old) {
                return Err(NotCommitted::Superseded);
            }
            // RFC 9111 §4: the most recent one is used. An API that reads its data and then hangs dates what it has read by
            // the time when it answers, so only the order of the requests tells which that is.
            if old.head.requested() > stored.head.requested() {
                return Err(NotCommitted::Outdated);
            }
        }
        next.variants.retain(|old| !is_replaced(old));
        next.markers
            .retain(|marker| !marks(marker, &fill.ask, vary));
        next.variants.insert(0, stored);
        next.drop_unselectable();
        while next.variants.len() > self.max_variants && next.evict_least_recently_used() {}
        self.fit(key, &mut next)?;
        self.put(key, before, next);
        Ok(())
    }

    /// Replaces stored responses by freshened ones (RFC 9111 §4.3.4), where they still stand. Fails when an invalidation came
    /// since the fill began; nothing is replaced then.
    fn freshen(
        &self,
        fill: &Arc<Fill>,
        updates: &[(Arc<StoredResponse>, Arc<StoredResponse>)],
    ) -> Result<(), NotCommitted> {
        let mut shard = self.locked(fill.key.as_ref());
        self.end(&mut shard, fill);
        let updates = updates.iter().map(|(old, new)| {
            let new = self.as_invalidated(fill, new.clone())?;
            Ok((old.clone(), new))
        });
        let updates: SmallVec<[_; 2]> = updates.collect::<Result<_, _>>()?;
        self.replace(&fill.key, &updates);
        Ok(())
    }

    /// `stored`, which `fill` brought, as the invalidations leave it that came since the fill began.
    pub(super) fn as_invalidated(
        &self,
        fill: &Fill,
        stored: Arc<StoredResponse>,
    ) -> Result<Arc<StoredResponse>, NotCommitted> {
        match fill.invalidation(stored.head.groups()) {
            None => Ok(stored),
            Some(Strength::Soft) => Ok(self.expired(&stored)),
            Some(Strength::Hard) => Err(NotCommitted::Invalidated),
        }
    }

    /// Notes at `now` that responses like the fill's cannot be shared, and removes what it supersedes.
    fn mark(&self, fill: &Arc<Fill>, marker: Marker, now: Monotonic, vary: &VaryPolicy) {
        let mut shard = self.locked(fill.key.as_ref());
        self.end(&mut shard, fill);
        if fill.is_invalidated() {
            return;
        }
        let before = self.resources.get(fill.key.as_ref());
        let before = before.as_ref();
        if before.is_some_and(|before| marker.is_known(before, &fill.ask, now, vary)) {
            return;
        }
        let mut next = before.map_or_else(Several::default, Resource::to_several);
        // A response that may not be stored supersedes those that are stored for the same request.
        let asked = (&fill.ask.headers, fill.ask.digest.as_ref());
        let key = fill.key.as_str();
        let is_replaced =
            |old: &Arc<StoredResponse>| self.cors.is_replaced(key, &old.head, asked, vary);
        let mut replaced = next.variants.iter().filter(|old| is_replaced(old));
        if replaced.any(|old| old.head.requested() > fill.started()) {
            return;
        }
        next.variants.retain(|old| !is_replaced(old));
        next.markers.retain(|old| !marks(old, &fill.ask, vary));
        next.markers.truncate(MAX_MARKERS - 1);
        next.markers.insert(0, marker);
        self.resources.drop_expired(now, EXPIRED_AT_ONCE);
        self.put(&fill.key, before, next);
        drop(shard);
        self.take_out_evicted();
    }

    /// Has what the fill's request selects and is stale at `now` validated before it is used again.
    fn end_staleness(&self, fill: &Arc<Fill>, now: Now, vary: &VaryPolicy) {
        let mut shard = self.locked(fill.key.as_ref());
        self.end(&mut shard, fill);
        if fill.is_invalidated() {
            return;
        }
        let Some(current) = self.resources.get(fill.key.as_ref()) else {
            return;
        };
        let asked = (&fill.ask.headers, fill.ask.digest.as_ref());
        let is_stale = |old: &&Arc<StoredResponse>| {
            let freshness = &old.head.freshness;
            freshness.must_validate != Some(MustValidate::NoCache)
                && !freshness.is_fresh(old.head.resident(now))
                && self.cors.selects(fill.key.as_str(), &old.head, asked, vary)
        };
        let stale = current.variants().iter().filter(is_stale);
        let updates: Vec<_> = stale.map(|old| (old.clone(), self.expired(old))).collect();
        if !updates.is_empty() {
            self.replace(&fill.key, &updates);
        }
    }

    /// Takes the fill off the list of those in flight.
    fn take_off(&self, fill: &Arc<Fill>) {
        let mut shard = self.locked(fill.key.as_ref());
        self.end(&mut shard, fill);
    }

    /// Takes the fill off the list of those in flight.
    fn end(&self, shard: &mut Shard, fill: &Arc<Fill>) {
        let Some(fills) = shard.fills.get_mut(&fill.key) else {
            return;
        };
        fills.retain(|other| !Arc::ptr_eq(other, fill));
        if fills.is_empty() {
            shard.fills.remove(&fill.key);
        }
    }

    /// Evicts variants of `resource` until the store has room for the rest. Fails where one alone is too large.
    pub(super) fn fit(&self, key: &Key, resource: &mut Several) -> Result<(), NotCommitted> {
        while Resource::from(resource.clone()).weight(key.as_str().len())
            > self.resources.capacity()
        {
            if !resource.evict_least_recently_used() {
                return Err(NotCommitted::OverBudget);
            }
        }
        Ok(())
    }
}

fn marks(marker: &Marker, ask: &Ask, vary: &VaryPolicy) -> bool {
    marker.digest == ask.digest && marker.variant.matches(&ask.headers, vary)
}

impl Marker {
    /// Whether the resource has a marker like this one for the request already, which will last for more than half of its
    /// time, and no stored response: then nothing is to be written.
    fn is_known(&self, resource: &Resource, ask: &Ask, now: Monotonic, vary: &VaryPolicy) -> bool {
        let half = self.until.since(now) / 2;
        let lasts = |old: &&Marker| old.why == self.why && self.until.since(old.until) < half;
        let mut alike = resource.markers().iter().filter(lasts);
        resource.variants().is_empty() && alike.any(|old| marks(old, ask, vary))
    }
}
