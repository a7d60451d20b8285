//! A purge of very many responses by a tag holds before they are removed: it is published, and carried out behind the answer.
//!
//! While it is published, whatever looks a key up, or changes one, carries it out for that key first. So does the removal
//! behind it for all other keys, and then it is published no more. What it covers is told by the stamp of a response: the number of
//! the latest invalidation when the request for it began.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::publication::{Published, Removal, Tag};
use super::{Shard, Store};
use crate::cache::key::KeyRef;
use crate::cache::resource::Resource;
use crate::cache::sync::MutexGuard;
use crate::ledger::invalidation::{Applied, Invalidation, Strength};

/// From so many members on, a purge by tags is published. Fewer are removed while it is awaited.
const PUBLISHED_FROM: u64 = 2_048;

/// So many keys are removed in a row, and then other threads have a turn.
const AT_ONCE: usize = 64;

impl Store {
    /// What is stored for `key`.
    pub fn look_up(&self, key: KeyRef<'_>) -> Option<Resource> {
        let published = self.publication.now();
        let found = self.resources.get(key)?;
        match published {
            Some(published) if published.covers(key.as_str(), &found) => {
                let _shard = self.locked(key);
                self.resources.get(key)
            }
            _ => Some(found),
        }
    }

    /// Locks the shard of `key`, of which nothing is stored then that a published invalidation covers.
    pub(super) fn locked(&self, key: KeyRef<'_>) -> MutexGuard<'_, Shard> {
        let shard = self.shard(key.hash());
        if let Some(published) = self.publication.now() {
            self.carry_out(&published, key);
        }
        shard
    }

    /// Carries an invalidation out for `key`, whose shard is locked. Fills in flight have been told of it.
    fn carry_out(&self, published: &Published, key: KeyRef<'_>) {
        let found = self.resources.get(key);
        if found.is_some_and(|found| published.covers(key.as_str(), &found)) {
            self.resources.remove(&key.to_key());
        }
    }

    /// Carries out an invalidation as [`apply`](Self::apply) does. When this returns, it holds. What it covers may still have to be
    /// removed, where it is so much that others would have to wait for the answer.
    pub fn begin(&self, invalidation: &Invalidation) -> (Applied, Option<Removal>) {
        // What another one covers would be counted again.
        let tags = match self.publication.now() {
            Some(_) => None,
            None => Published::tags_of(invalidation),
        };
        let published = tags.and_then(|tags| {
            let (resources, bytes) = self.count(&tags);
            let is_much = resources as u64 >= self.published_from.load(Ordering::Relaxed);
            let published = is_much
                .then(|| self.publish(invalidation, tags))
                .flatten()?;
            Some((published, resources, bytes))
        });
        let Some((published, resources, bytes)) = published else {
            return (self.apply(invalidation), None);
        };
        for matcher in &invalidation.covers {
            self.apply_to_fills(matcher, Strength::Hard);
        }
        let applied = Applied {
            sequence: published.sequence,
            resources,
            bytes,
        };
        (applied, Some(Removal(published)))
    }

    /// Publishes an invalidation, which gets the next number. `None` where another one is published.
    fn publish(&self, invalidation: &Invalidation, tags: Vec<Tag>) -> Option<Arc<Published>> {
        let mut published = self.publication.lock();
        if published.is_some() {
            return None;
        }
        let sequence = self.number(invalidation);
        let new = Arc::new(Published { sequence, tags });
        *published = Some(new.clone());
        self.publication.is_any.store(true, Ordering::Release);
        Some(new)
    }

    /// Resources that have one of these tags, and the bytes that they take.
    fn count(&self, tags: &[Tag]) -> (usize, u64) {
        self.take_out_evicted();
        let (mut count, mut bytes) = (0, 0);
        let mut counted = HashSet::new();
        for tag in tags {
            let index = self.resources.index();
            index.each_tagged(tag.origin.as_deref(), &tag.name, |key, weight| {
                if tags.len() == 1 || counted.insert(key.hash()) {
                    count += 1;
                    bytes += u64::from(weight);
                }
            });
        }
        (count, bytes)
    }

    /// Removes what an invalidation covers that holds already. Others have their turns meanwhile.
    pub fn remove(&self, removal: Removal) {
        let Removal(published) = removal;
        for tag in &published.tags {
            let index = self.resources.index();
            let keys = index.tagged(tag.origin.as_deref(), &tag.name);
            for keys in keys.chunks(AT_ONCE) {
                for key in keys {
                    let _shard = self.shard(key.hash());
                    self.carry_out(&published, key.as_ref());
                }
                std::thread::yield_now();
            }
        }
        self.run_pending_tasks();
        let mut now = self.publication.lock();
        self.publication.is_any.store(false, Ordering::Release);
        *now = None;
    }

    /// Publishes purges of so many members from now on, for tests.
    #[doc(hidden)]
    pub fn publish_from(&self, members: u64) {
        self.published_from.store(members, Ordering::Relaxed);
    }

    pub(super) const PUBLISHED_FROM: u64 = PUBLISHED_FROM;
}
