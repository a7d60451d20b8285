//! Invalidation, hard and soft: what is stored leaves, or is validated before it is used again; and fills in flight,
//! which may have been asked for before whatever happened, bring nothing that is used as it is.

use std::sync::{Arc, PoisonError};

use super::Store;
use crate::cache::collapse::{Fill, Invalidation};
use crate::cache::key::{Key, KeyRef};
use crate::cache::stored::StoredResponse;
use crate::cache::sync::Mutex;
use crate::semantics::freshness::MustValidate;
use crate::semantics::selector::Selector;
use crate::semantics::target::{origin_of, split_query};

/// Each call of a public function here is one invalidation, and moves the store's [`sequence`](Store::sequence) by one.
impl Store {
    /// Removes all that is stored for a target URI, and for those that its No-Vary-Search makes the same. Returns whether
    /// any response was stored.
    pub fn invalidate_target(&self, target: &str) -> bool {
        self.apply_to_target(target, Invalidation::Hard)
    }

    /// Has all that is stored for a target URI, and for those that its No-Vary-Search makes the same, validated before it
    /// is used again. Returns whether any response was stored that need not have been.
    pub fn invalidate_target_softly(&self, target: &str) -> bool {
        self.apply_to_target(target, Invalidation::Soft)
    }

    fn apply_to_target(&self, target: &str, how: Invalidation) -> bool {
        self.begin_invalidation();
        if self.search.applies_to(target) {
            let (base, _) = split_query(target);
            self.apply_to_fills(|key| split_query(key).0 == base, how);
        }
        self.apply(self.key(&self.search.canonical(target)), how)
    }

    /// Removes all that is stored for `key`, markers too; fills in flight for it are neither stored nor joined any more.
    /// Returns whether any response was stored.
    pub fn invalidate(&self, key: KeyRef<'_>) -> bool {
        self.begin_invalidation();
        self.apply(key, Invalidation::Hard)
    }

    fn apply(&self, key: KeyRef<'_>, how: Invalidation) -> bool {
        let mut shard = self.shard(key.hash());
        match how {
            Invalidation::Hard => {
                if let Some(fills) = shard.fills.remove(&key) {
                    fills.iter().for_each(|fill| fill.invalidate());
                }
                self.resources.remove(key)
            }
            Invalidation::Soft => {
                let fills = shard.fills.get(&key);
                fills
                    .into_iter()
                    .flatten()
                    .for_each(|fill| fill.invalidate_softly());
                self.invalidate_stored_softly(key)
            }
        }
    }

    /// Has every response that is stored for `key`, whose shard is locked, validated before its next use.
    fn invalidate_stored_softly(&self, key: KeyRef<'_>) -> bool {
        let Some(current) = self.resources.get(key) else {
            return false;
        };
        let is_used_as_it_is = |stored: &&Arc<StoredResponse>| {
            stored.head.freshness.must_validate != Some(MustValidate::NoCache)
        };
        let used = current.variants().iter().filter(is_used_as_it_is);
        let updates: Vec<_> = used.map(|old| (old.clone(), self.expired(old))).collect();
        if !updates.is_empty() {
            self.replace(&key.to_key(), &updates);
        }
        !updates.is_empty()
    }

    /// Fills in flight for the keys that are `covered` are joined by nobody any more. Hard: nor are they stored.
    fn apply_to_fills(&self, covered: impl Fn(&str) -> bool, how: Invalidation) {
        self.each_covered_fill(covered, |fill| match how {
            Invalidation::Hard => fill.invalidate(),
            Invalidation::Soft => fill.invalidate_softly(),
        });
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

    /// Removes all stored responses of a cache group of one origin (RFC 9875), `origin` being `scheme://authority`.
    /// Returns how many resources had any.
    pub fn invalidate_group(&self, origin: &str, group: &str) -> usize {
        self.apply_to_groups(Some(origin), &[group], Invalidation::Hard)
    }

    /// The same for several groups at once.
    pub fn invalidate_groups(&self, origin: &str, groups: &[impl AsRef<str>]) -> usize {
        self.apply_to_groups(Some(origin), groups, Invalidation::Hard)
    }

    /// Has all stored responses of a cache group of one origin validated before they are used again. Returns how many
    /// resources had any that need not have been.
    pub fn invalidate_group_softly(&self, origin: &str, group: &str) -> usize {
        self.apply_to_groups(Some(origin), &[group], Invalidation::Soft)
    }

    /// Removes the members of a cache group, whatever their origin. Returns how many resources.
    pub fn invalidate_group_everywhere(&self, group: &str) -> usize {
        self.apply_to_groups(None, &[group], Invalidation::Hard)
    }

    /// `origin` is `None` for all.
    fn apply_to_groups(
        &self,
        origin: Option<&str>,
        groups: &[impl AsRef<str>],
        how: Invalidation,
    ) -> usize {
        self.begin_invalidation();
        let covered = |key: &str| origin.is_none_or(|origin| origin_of(key) == origin);
        // Those in flight may turn out to belong to one.
        self.each_covered_fill(covered, |fill| {
            groups
                .iter()
                .for_each(|group| fill.invalidate_group(group.as_ref(), how));
        });
        let mut count = 0;
        for group in groups.iter().map(AsRef::as_ref) {
            let stored = |key: &&Key| {
                let resource = self.resources.get(key.as_ref());
                covered(key.as_str()) && resource.is_some_and(|resource| resource.has_group(group))
            };
            let members = self.groups.members(origin, group);
            let stored = members.iter().filter(stored);
            count += stored.filter(|key| self.apply(key.as_ref(), how)).count();
        }
        self.groups.clean_up(|key| self.look_up(key));
        count
    }

    /// Removes the resources that an operator names. Returns how many.
    pub fn invalidate_selected(&self, selector: &Selector) -> usize {
        match selector {
            Selector::Target(target) => self.invalidate_target(target).into(),
            _ => self.invalidate_where(|key| self.is_selected(selector, key)),
        }
    }

    /// Whether requests for what `selector` names find what is stored for `key`, or fills in flight for it.
    pub fn is_selected(&self, selector: &Selector, key: &str) -> bool {
        let is_same = |target: String| {
            split_query(&target).0 == split_query(key).0
                && self.canonical(&target) == self.canonical(key)
        };
        selector.covers(key)
            || (self.search.applies_to(key) && selector.target_beside(key).is_some_and(is_same))
    }

    /// Removes the resources whose target URI is `covered`; each is looked at. Returns how many.
    pub fn invalidate_where(&self, covered: impl Fn(&str) -> bool) -> usize {
        self.begin_invalidation();
        self.apply_to_fills(&covered, Invalidation::Hard);
        let keys: Vec<Key> = self
            .resources
            .iter()
            .filter(|(key, _)| covered(key.as_str()))
            .map(|(key, _)| Key::clone(&key))
            .collect();
        let stored = keys.iter();
        let count = stored
            .filter(|key| self.apply(key.as_ref(), Invalidation::Hard))
            .count();
        // moka frees what it has removed only in its pending tasks.
        self.run_pending_tasks();
        count
    }
}
