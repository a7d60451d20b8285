//! An invalidation of very many responses holds before they are removed: it is published, and carried out behind the answer.
//!
//! While it is published, whatever looks a key up, or changes one, carries it out for that key first. So does the removal
//! behind it for all other keys, and then it is published no more. What it covers is told by the stamp of a response: the number of
//! the latest invalidation when the request for it began.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::publication::{Published, Publishing, Removal, is_used_as_it_is, may_be_published};
use super::{Shard, Store};
use crate::cache::key::KeyRef;
use crate::cache::resource::Resource;
use crate::cache::stored::StoredResponse;
use crate::cache::sync::MutexGuard;
use crate::ledger::invalidation::{Applied, Invalidation, Matcher, Strength};
use crate::semantics::target::target_of;

/// From so many resources on, what a matcher covers is removed behind the answer. Fewer are removed while it is awaited.
const PUBLISHED_FROM: u64 = 2_048;

/// So many keys are removed in a row, and then other threads have a turn.
const AT_ONCE: usize = 64;

/// What is known of the extent of an invalidation by the time that it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// All that it covers, which takes some time for each: for those who want to know.
    All,
    /// What has been removed already: [`Store::remove`] tells the rest.
    Removed,
}

/// Those that were published before an invalidation, as they were then.
type Before = Vec<(u64, Arc<Published>)>;

impl Store {
    /// What is stored for `key`.
    pub fn look_up(&self, key: KeyRef<'_>) -> Option<Resource> {
        let published = self.publication.now();
        let found = self.resources.get(key)?;
        let Some(published) = published else {
            return Some(found);
        };
        let changes = |it: &Arc<Published>| it.changes(it.sequence(), key.as_str(), &found);
        match published.iter().any(changes) {
            true => {
                let _shard = self.locked(key);
                self.resources.get(key)
            }
            false => Some(found),
        }
    }

    /// Locks the shard of `key`. What is stored for it is then as the published invalidations leave it.
    pub(super) fn locked(&self, key: KeyRef<'_>) -> MutexGuard<'_, Shard> {
        let shard = self.shard(key.hash());
        if let Some(all) = self.publication.now() {
            all.iter()
                .for_each(|published| self.carry_out(published, key));
        }
        shard
    }

    /// Carries an invalidation out for `key`, whose shard is locked. Fills in flight have been told of it.
    fn carry_out(&self, published: &Published, key: KeyRef<'_>) {
        let Some(found) = self.resources.get(key) else {
            return;
        };
        let sequence = published.sequence();
        if !published.changes(sequence, key.as_str(), &found) {
            return;
        }
        let owned = key.to_key();
        let is_any = match published.strength {
            Strength::Hard => self.resources.remove(&owned).is_some(),
            Strength::Soft => {
                let is_covered = |old: &_| published.covers(sequence, key.as_str(), old);
                self.expire(&owned, &found, is_covered)
            }
        };
        if is_any {
            published.carried_out.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Carries out an invalidation as [`apply`](Self::apply) does. When this returns, it holds. What it covers may still have to be
    /// removed, where it is so much that others would have to wait for the answer.
    pub fn begin(&self, invalidation: &Invalidation, count: Count) -> (Applied, Option<Removal>) {
        self.take_out_evicted();
        let covers = invalidation.covers.iter();
        let (many, few): (Vec<_>, Vec<_>) = covers.partition(|matcher| self.covers_much(matcher));
        if many.is_empty() {
            return (self.apply(invalidation), None);
        }
        let before = self.publication.now();
        let before: Before = before
            .iter()
            .flat_map(|all| all.iter())
            .map(|published| (published.sequence(), published.clone()))
            .collect();
        let sequence = self.number(invalidation);
        let how = invalidation.strength;
        let many: Vec<_> = many.into_iter().cloned().collect();
        // What is stored from here on, and was asked for before, has a lower stamp.
        let publishing = self.publication.publish(sequence, many.clone(), how);
        let (removal, joined) = match publishing {
            Publishing::Begun(new) => (Some(Removal(new)), None),
            Publishing::Joined(joined) => (None, Some(joined)),
            Publishing::Full => return (self.apply_numbered(invalidation, sequence), None),
        };
        let covers = &invalidation.covers;
        covers
            .iter()
            .for_each(|matcher| self.apply_to_fills(matcher, how));
        drop(joined);
        let mut applied = Applied {
            sequence,
            ..Applied::default()
        };
        few.into_iter()
            .for_each(|matcher| self.apply_to_stored(matcher, how, &mut applied));
        if count == Count::All {
            self.count(&many, how, &before, &mut applied);
        }
        (applied, removal)
    }

    /// Whether so much is stored of what a matcher may cover that it is removed behind the answer.
    fn covers_much(&self, matcher: &Matcher) -> bool {
        if !may_be_published(matcher) {
            return false;
        }
        let least = self.published_from.load(Ordering::Relaxed);
        let mut count = 0;
        let mut next = || {
            count += 1;
            match count >= least {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        };
        if least == 0 {
            return true;
        }
        let index = self.resources.index();
        let all_queries = self.search.has_any();
        let visited = match matcher {
            Matcher::Urls(selector) => index.each_selected(selector, all_queries, |_, _| next()),
            Matcher::Route(route) => {
                index.each_selected(route.within(), all_queries, |_, _| next())
            }
            Matcher::Tag { name, origin } => {
                index.each_tagged(origin.as_deref(), name, |_, _| next())
            }
            Matcher::All => index.each(|_, _| next()),
        };
        visited.is_break()
    }

    /// Adds what these matchers cover, as the invalidations `before` leave it.
    fn count(&self, covers: &[Matcher], how: Strength, before: &Before, applied: &mut Applied) {
        let index = self.resources.index();
        let mut counted = HashSet::new();
        let is_by_index = how == Strength::Hard && before.is_empty();
        let mut add = |key: KeyRef<'_>, bytes: u32| {
            let is_first = covers.len() == 1 || counted.insert(key.hash());
            if is_first && bytes > 0 && (is_by_index || self.would_change(key, how, before)) {
                applied.resources += 1;
                applied.bytes += u64::from(bytes);
            }
            ControlFlow::Continue(())
        };
        let all_queries = self.search.has_any();
        for matcher in covers {
            let _ = match matcher {
                Matcher::Urls(selector) => {
                    index.each_selected(selector, all_queries, |target, bytes| {
                        match self.is_selected(selector, target) {
                            true => add(self.key(target), bytes),
                            false => ControlFlow::Continue(()),
                        }
                    })
                }
                Matcher::Route(route) => {
                    index.each_selected(route.within(), all_queries, |target, bytes| {
                        match route.takes(target_of(target)) {
                            true => add(self.key(target), bytes),
                            false => ControlFlow::Continue(()),
                        }
                    })
                }
                Matcher::Tag { name, origin } => {
                    index.each_tagged(origin.as_deref(), name, |key, bytes| {
                        add(key.as_ref(), bytes)
                    })
                }
                Matcher::All => index.each(|target, bytes| add(self.key(target), bytes)),
            };
        }
    }

    /// Whether an invalidation of this strength changes anything that is stored for `key`, as those `before` leave it.
    fn would_change(&self, key: KeyRef<'_>, how: Strength, before: &Before) -> bool {
        let Some(resource) = self.resources.get(key) else {
            return false;
        };
        let of = |strength| {
            before
                .iter()
                .filter(move |(_, other)| other.strength == strength)
        };
        let is_gone = of(Strength::Hard)
            .any(|(sequence, other)| other.changes(*sequence, key.as_str(), &resource));
        let is_stale = |stored: &StoredResponse| {
            !is_used_as_it_is(stored)
                || of(Strength::Soft)
                    .any(|(sequence, other)| other.covers(*sequence, key.as_str(), stored))
        };
        let mut variants = resource.variants().iter();
        !is_gone && variants.any(|stored| how == Strength::Hard || !is_stale(stored))
    }

    /// Removes what an invalidation covers that holds already, or expires it. Others have their turns meanwhile. Returns for how many
    /// resources it was carried out, look-ups of them included.
    pub fn remove(&self, removal: Removal) -> usize {
        let Removal(published) = removal;
        let _turn = self.publication.turn();
        loop {
            let settled = published.settled();
            for matcher in &published.covers {
                for keys in self.covered(matcher).chunks(AT_ONCE) {
                    for key in keys {
                        let _shard = self.shard(key.hash());
                        self.carry_out(&published, key.as_ref());
                    }
                    // moka has whoever stores next do what is put off too long.
                    self.resources.run_pending_tasks();
                    std::thread::yield_now();
                }
            }
            if self.publication.withdraw(&published, settled) {
                break;
            }
        }
        self.run_pending_tasks();
        let count = published.carried_out.load(Ordering::Relaxed);
        usize::try_from(count).unwrap_or(usize::MAX)
    }

    /// Publishes invalidations of so many resources from now on, for tests.
    #[doc(hidden)]
    pub fn publish_from(&self, resources: u64) {
        self.published_from.store(resources, Ordering::Relaxed);
    }

    pub(super) const PUBLISHED_FROM: u64 = PUBLISHED_FROM;
}
