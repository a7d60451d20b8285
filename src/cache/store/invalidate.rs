//! Invalidation, hard and soft: what is stored leaves, or is validated before it is used again; and fills in flight,
//! which may have been asked for before whatever happened, bring nothing that is used as it is.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::{Arc, PoisonError};

use super::Store;
use super::publication::is_used_as_it_is;
use crate::cache::collapse::Fill;
use crate::cache::key::Key;
use crate::cache::resource::Resource;
use crate::cache::stored::StoredResponse;
use crate::cache::sync::Mutex;
use crate::clock::Now;
use crate::ledger::invalidation::{Applied, Invalidation, Matcher, Strength};
use crate::semantics::selector::Selector;
use crate::semantics::target::{origin_of, split_query, target_of};

/// What an invalidation would do.
#[derive(Debug)]
pub struct Preview {
    pub applied: Applied,
    /// Thousandths of a hit a second that what is covered has: about how many requests more the API would get for a while.
    pub millihits: u64,
    /// The bytes and the keys of those resources that take most memory, the largest first.
    pub largest: Vec<(u64, Key)>,
    /// The thousandths of a hit a second and the keys of those that are asked for most, the most frequent first.
    pub top: Vec<(u64, Key)>,
}

/// Those of the greatest weight, so many at most.
struct Greatest {
    most: usize,
    found: BinaryHeap<Reverse<(u64, Key)>>,
}

impl Greatest {
    fn new(most: usize) -> Self {
        Self {
            most,
            found: BinaryHeap::with_capacity(most + 1),
        }
    }

    fn add(&mut self, weight: u64, key: &Key) {
        let is_full = self.found.len() >= self.most;
        let least = self.found.peek().map_or(0, |Reverse((least, _))| *least);
        if is_full && weight <= least {
            return;
        }
        self.found.push(Reverse((weight, key.clone())));
        if self.found.len() > self.most {
            self.found.pop();
        }
    }

    /// The greatest first.
    fn in_order(self) -> Vec<(u64, Key)> {
        let sorted = self.found.into_sorted_vec().into_iter();
        sorted.map(|Reverse(found)| found).collect()
    }
}

impl Store {
    /// Carries out an invalidation, which moves the store's [`sequence`](Store::sequence) by one. When this returns, nothing
    /// that it covers and that was asked for before is stored any more as it was, nor joined, and none of it will be.
    pub fn apply(&self, invalidation: &Invalidation) -> Applied {
        let sequence = self.number(invalidation);
        self.apply_numbered(invalidation, sequence)
    }

    /// Carries out an invalidation that has its number.
    pub(super) fn apply_numbered(&self, invalidation: &Invalidation, sequence: u64) -> Applied {
        let mut applied = Applied {
            sequence,
            ..Applied::default()
        };
        let how = invalidation.strength;
        for matcher in &invalidation.covers {
            self.apply_to_fills(matcher, how);
            self.apply_to_stored(matcher, how, &mut applied);
        }
        if applied.resources > 1 {
            // moka frees what it has removed only in its pending tasks.
            self.run_pending_tasks();
        }
        applied
    }

    /// Applies an invalidation to what is stored, and counts it.
    pub(super) fn apply_to_stored(&self, matcher: &Matcher, how: Strength, applied: &mut Applied) {
        for key in self.covered(matcher) {
            if let Some(bytes) = self.apply_to(&key, how) {
                applied.resources += 1;
                applied.bytes += bytes;
            }
        }
    }

    /// What [`apply`](Store::apply) would do now, of which so many resources are named at most. Nothing changes.
    pub fn preview(&self, invalidation: &Invalidation, now: Now, most: usize) -> Preview {
        let mut keys: Vec<_> = invalidation
            .covers
            .iter()
            .flat_map(|matcher| self.covered(matcher))
            .collect();
        keys.sort_unstable();
        keys.dedup();
        let mut applied = Applied {
            sequence: self.sequence(),
            ..Applied::default()
        };
        let (mut largest, mut top) = (Greatest::new(most), Greatest::new(most));
        let mut millihits: u64 = 0;
        for key in keys {
            let resource = self.look_up(key.as_ref());
            let is_changed = |resource: &Resource| match invalidation.strength {
                Strength::Hard => !resource.variants().is_empty(),
                Strength::Soft => resource
                    .variants()
                    .iter()
                    .any(|stored| is_used_as_it_is(stored)),
            };
            if let Some(resource) = resource.filter(is_changed) {
                let bytes = resource.weight(key.as_str().len());
                applied.resources += 1;
                applied.bytes += bytes;
                let rate = hit_rate(&resource, now);
                millihits = millihits.saturating_add(rate);
                if rate > 0 {
                    top.add(rate, &key);
                }
                largest.add(bytes, &key);
            }
        }
        Preview {
            applied,
            millihits,
            largest: largest.in_order(),
            top: top.in_order(),
        }
    }

    /// The keys of what is stored and covered.
    pub(super) fn covered(&self, matcher: &Matcher) -> Vec<Key> {
        match matcher {
            Matcher::Urls(selector) => self.selected(selector),
            Matcher::Tag { name, origin } => {
                // A response that was evicted may have been stored again without the tag.
                self.take_out_evicted();
                self.resources.index().tagged(origin.as_deref(), name)
            }
            Matcher::Route(route) => {
                let index = self.resources.index();
                let mut found = index.selected(route.within(), self.search.has_any());
                found.retain(|target| route.takes(target_of(target)));
                self.keys(found)
            }
            Matcher::All => self.keys(self.resources.index().all()),
        }
    }

    /// The keys of what is stored for the target URIs that `selector` names.
    pub(super) fn selected(&self, selector: &Selector) -> Vec<Key> {
        if let Selector::Target(target) = selector
            && !self.has_longer_keys()
        {
            return vec![self.key(&self.canonical(target)).to_key()];
        }
        let mut found = self
            .resources
            .index()
            .selected(selector, self.search.has_any());
        found.retain(|target| self.is_selected(selector, target));
        self.keys(found)
    }

    fn keys(&self, targets: Vec<Arc<str>>) -> Vec<Key> {
        let keys = targets.into_iter().map(|target| self.keyer.owned(target));
        keys.collect()
    }

    /// Whether requests for what `selector` names find what is stored for `key`, or fills in flight for it.
    pub fn is_selected(&self, selector: &Selector, key: &str) -> bool {
        let key = target_of(key);
        let is_same = |target: String| {
            split_query(&target).0 == split_query(key).0
                && self.canonical(&target) == self.canonical(key)
        };
        selector.covers(key)
            || (self.search.applies_to(key) && selector.target_beside(key).is_some_and(is_same))
    }

    /// Applies an invalidation to all that is stored for `key`, markers too, and to fills in flight for it. Returns the bytes
    /// of the resource, where any response was stored; or, softly, where any need not have been validated.
    fn apply_to(&self, key: &Key, how: Strength) -> Option<u64> {
        let mut shard = self.locked(key.as_ref());
        let bytes = |resource: Resource| resource.weight(key.as_str().len());
        match how {
            Strength::Hard => {
                if let Some(fills) = shard.fills.remove(key) {
                    fills.iter().for_each(|fill| fill.invalidate(how));
                }
                self.resources.remove(key).map(bytes)
            }
            Strength::Soft => {
                let fills = shard.fills.get(key).into_iter().flatten();
                fills.for_each(|fill| fill.invalidate(how));
                let current = self.resources.get(key.as_ref())?;
                let is_any = self.expire(key, &current, is_used_as_it_is);
                is_any.then(|| bytes(current))
            }
        }
    }

    /// Has those responses of `current`, which is stored for `key`, validated before their next use that are `covered`. The shard of
    /// the key is locked. Returns whether there are any.
    pub(super) fn expire(
        &self,
        key: &Key,
        current: &Resource,
        covered: impl Fn(&StoredResponse) -> bool,
    ) -> bool {
        let used = current.variants().iter().filter(|old| covered(old));
        let updates: Vec<_> = used.map(|old| (old.clone(), self.expired(old))).collect();
        let is_any = !updates.is_empty();
        if is_any {
            self.replace(key, &updates);
        }
        is_any
    }

    /// Applies an invalidation to the fills in flight that it may cover.
    pub(super) fn apply_to_fills(&self, matcher: &Matcher, how: Strength) {
        match matcher {
            Matcher::Urls(Selector::Target(target)) if !self.has_longer_keys() => {
                // Others are found with what is stored for the target.
                if self.search.applies_to(target) {
                    let (base, _) = split_query(target);
                    self.each_covered_fill(
                        |key| split_query(key).0 == base,
                        |fill| fill.invalidate(how),
                    );
                }
            }
            Matcher::Urls(selector) => self.each_covered_fill(
                |key| self.is_selected(selector, key),
                |fill| fill.invalidate(how),
            ),
            Matcher::Tag { name, origin } => {
                let origin = origin.as_deref();
                // Whether it has the tag, its response will tell.
                self.each_covered_fill(
                    |key| origin.is_none_or(|origin| origin_of(key) == origin),
                    |fill| fill.invalidate_group(name, how),
                );
            }
            Matcher::Route(route) => self.each_covered_fill(
                |key| route.takes(target_of(key)),
                |fill| fill.invalidate(how),
            ),
            Matcher::All => self.each_covered_fill(|_| true, |fill| fill.invalidate(how)),
        }
    }

    /// Nothing that a fill brings which is in flight now is stored.
    pub fn bar_fills(&self) {
        self.apply_to_fills(&Matcher::All, Strength::Hard);
    }

    /// Visits the fills in flight for the keys that are `covered`, and returns when none of them is just being stored as it
    /// was before.
    fn each_covered_fill(&self, covered: impl Fn(&str) -> bool, visit: impl Fn(&Fill)) {
        let lock = |shard| Mutex::lock(shard).unwrap_or_else(PoisonError::into_inner);
        let mut any = false;
        for shard in &self.shards {
            let shard = lock(shard);
            let fills = shard.fills.iter().filter(|(key, _)| covered(key.as_str()));
            for fill in fills.flat_map(|(_, fills)| fills) {
                visit(fill);
                any = true;
            }
        }
        if any {
            // One that is stored under another key than its own holds the lock of that key's shard meanwhile, and not that
            // of its own.
            self.shards.iter().for_each(|shard| drop(lock(shard)));
        }
    }
}

/// Thousandths of a hit a second since its responses were stored or validated; what is younger than a second counts as that
/// old.
fn hit_rate(resource: &Resource, now: Now) -> u64 {
    let rates = resource.variants().iter().map(|stored| {
        let resident = stored.head.resident(now).as_millis().max(1_000);
        let rate = u128::from(stored.hits()) * 1_000_000 / resident;
        u64::try_from(rate).unwrap_or(u64::MAX)
    });
    rates.fold(0, u64::saturating_add)
}
