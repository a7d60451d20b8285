//! What is found by a target URI: resources with stored responses, of which the least recently used leave first; and in a
//! space of their own those with markers alone, so that what cannot be stored drives out nothing that is.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use moka::policy::EvictionPolicy;

use super::markers::Markers;
use crate::cache::budget::Budget;
use crate::cache::index::Index;
use crate::cache::key::{Key, KeyRef, Prehashed};
use crate::cache::resource::Resource;
use crate::clock::Monotonic;

/// The part of the memory for resources with markers alone.
const MARKERS_PART: u64 = 16;

#[derive(Debug)]
pub struct Resources {
    stored: moka::sync::Cache<Key, Resource, Prehashed>,
    /// Bytes that `stored` has room for.
    capacity: u64,
    markers: Markers,
    index: Arc<Index>,
    /// How many of `stored` were evicted.
    evicted: Arc<AtomicU64>,
    /// The stored responses of all of `stored`. Below zero for a moment, where one leaves while it is being entered.
    variants: Arc<AtomicI64>,
}

fn variants(resource: &Resource) -> i64 {
    i64::try_from(resource.variants().len()).unwrap_or(i64::MAX)
}

impl Resources {
    /// For a store of at most `memory` bytes.
    pub fn new(memory: u64, budget: &Arc<Budget>) -> Self {
        let index = Arc::new(Index::default());
        let evicted = Arc::new(AtomicU64::new(0));
        let count = Arc::new(AtomicI64::new(0));
        // moka evicts a little late, and bodies in flight need room too.
        let capacity = memory - memory / 8;
        let stored = moka::sync::Cache::builder()
            .max_capacity(capacity)
            .weigher(|key: &Key, resource: &Resource| {
                u32::try_from(resource.weight(key.as_str().len())).unwrap_or(u32::MAX)
            })
            // LRU rather than TinyLFU: what Cache-Status calls stored is there for the next request.
            .eviction_policy(EvictionPolicy::lru())
            .eviction_listener({
                let (index, evicted, count) = (index.clone(), evicted.clone(), count.clone());
                // It hears of what is replaced or removed too.
                move |key, resource, cause| {
                    count.fetch_sub(variants(&resource), Ordering::Relaxed);
                    if cause.was_evicted() {
                        evicted.fetch_add(1, Ordering::Relaxed);
                        index.note_eviction(key, &resource);
                    }
                }
            })
            .build_with_hasher(Prehashed::default());
        Self {
            stored,
            capacity,
            markers: Markers::new(memory / MARKERS_PART, budget, &index),
            index,
            evicted,
            variants: count,
        }
    }

    pub fn get(&self, key: KeyRef<'_>) -> Option<Resource> {
        self.stored.get(&key).or_else(|| self.markers.get(key))
    }

    /// Puts `resource` in the place of what is there for `key`, whose shard is locked; `before` is what was found there since.
    pub fn insert(&self, key: &Key, before: Option<&Resource>, resource: Resource) {
        let stays = if resource.variants().is_empty() {
            let stays = self.markers.insert(key, resource.clone());
            self.stored.invalidate(&key.as_ref());
            stays
        } else {
            self.variants
                .fetch_add(variants(&resource), Ordering::Relaxed);
            self.stored.insert(key.clone(), resource.clone());
            self.markers.remove(key.as_ref());
            true
        };
        match before {
            _ if stays => self.index.enter(key, before, &resource),
            Some(before) => self.index.leave(key, before),
            None => {}
        }
    }

    /// Takes out what is there for `key`, whose shard is locked. Returns it where any response was stored.
    pub fn remove(&self, key: &Key) -> Option<Resource> {
        self.markers.remove(key.as_ref());
        let stored = self.stored.remove(&key.as_ref());
        if let Some(stored) = &stored {
            self.index.leave(key, stored);
        }
        stored
    }

    /// All that is stored, in no order. None counts as used by it.
    pub fn each(&self) -> impl Iterator<Item = (Arc<Key>, Resource)> {
        self.stored.iter()
    }

    /// What is there, by path and by tag.
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// How many there are, about.
    pub fn count(&self) -> u64 {
        self.stored.entry_count() + self.markers.count()
    }

    /// How many stored responses they have.
    pub fn variants(&self) -> u64 {
        let count = self.variants.load(Ordering::Relaxed);
        u64::try_from(count).unwrap_or_default()
    }

    /// Bytes that they take, about.
    pub fn bytes(&self) -> u64 {
        self.stored.weighted_size() + self.markers.bytes()
    }

    /// How many had to leave since there was no room for them.
    pub fn evicted(&self) -> u64 {
        self.evicted.load(Ordering::Relaxed)
    }

    /// Bytes that there is room for: a resource that takes more does not stay.
    pub fn capacity(&self) -> u64 {
        self.capacity
    }

    /// Takes out markers that have expired at `now`, `most` of them at once.
    pub fn drop_expired(&self, now: Monotonic, most: usize) {
        self.markers.drop_expired(now, most);
    }

    /// Does what moka has put off: evictions above all.
    pub fn run_pending_tasks(&self) {
        self.stored.run_pending_tasks();
        self.markers.run_pending_tasks();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::budget::Token;
    use crate::cache::content::Content;
    use crate::cache::key::Keyer;
    use crate::cache::resource::{Marker, Several, Unshared};
    use crate::cache::stored::StoredResponse;
    use crate::cache::stored::tests::head;
    use crate::semantics::vary::VariantKey;
    use std::time::Duration;

    const MEMORY: u64 = 1 << 20;

    fn stored(groups: &[&str]) -> Resource {
        let mut draft = head().draft();
        draft.groups = groups.iter().map(|group| (*group).into()).collect();
        let body = crate::cache::body::StoredBody::new(&[], Token::empty(&Budget::new(0)));
        let response = StoredResponse::new(draft.packed(), Content::Complete(body), None);
        Resource::One(Arc::new(response))
    }

    fn marked() -> Resource {
        Resource::from(Several {
            markers: smallvec::smallvec![Marker {
                variant: VariantKey::default(),
                digest: None,
                until: Monotonic::default().after(Duration::from_secs(1)),
                why: Unshared::TooLarge,
                stamp: 0,
            }],
            ..Several::default()
        })
    }

    /// What the index knows: target URIs, tags, and memberships.
    fn known(resources: &Resources) -> (usize, (usize, usize)) {
        let index = resources.index();
        (index.all().len(), index.tag_size())
    }

    /// As the store does it where no shard is locked.
    fn take_out_evicted(resources: &Resources) {
        for evicted in resources.index().evicted() {
            let now = resources.get(evicted.key.as_ref().as_ref());
            resources.index().take_out(&evicted, now.as_ref());
        }
    }

    #[test]
    fn the_index_follows_what_is_there() {
        let resources = Resources::new(MEMORY, &Budget::new(MEMORY));
        let key = Keyer::default().key("http://a/books").to_key();
        let put = |resource: Resource| {
            let before = resources.get(key.as_ref());
            resources.insert(&key, before.as_ref(), resource);
            take_out_evicted(&resources);
        };
        for (resource, expected) in [
            (stored(&["a", "b"]), (1, (2, 2))),
            (stored(&["b", "c", "d"]), (1, (3, 3))),
            (marked(), (1, (0, 0))),
            (marked(), (1, (0, 0))),
            (stored(&["a"]), (1, (1, 1))),
            (stored(&[]), (1, (0, 0))),
            (stored(&["a"]), (1, (1, 1))),
        ] {
            let is_stored = !resource.variants().is_empty();
            put(resource);
            assert_eq!(known(&resources), expected);
            assert_eq!(resources.variants(), u64::from(is_stored));
        }
        assert!(resources.remove(&key).is_some());
        assert_eq!(known(&resources), (0, (0, 0)));
        assert_eq!(resources.variants(), 0);
        put(marked());
        assert!(resources.remove(&key).is_none());
        take_out_evicted(&resources);
        assert_eq!(known(&resources), (0, (0, 0)));
    }

    #[test]
    fn what_does_not_stay_is_not_in_the_index() {
        let budget = Budget::new(MEMORY);
        let resources = Resources::new(MEMORY, &budget);
        let keyer = Keyer::default();
        let used = Token::take(&budget, MEMORY).expect("all of it");
        for n in 0..3 {
            resources.insert(
                &keyer.key(&format!("http://a/{n}")).to_key(),
                None,
                marked(),
            );
        }
        assert_eq!(known(&resources).0, 0, "no room for a marker");
        drop(used);
        // Far more than there is room for.
        for n in 0..5_000 {
            let key = keyer.key(&format!("http://a/{n}")).to_key();
            resources.insert(&key, None, stored(&["all"]));
        }
        resources.run_pending_tasks();
        take_out_evicted(&resources);
        let (count, tags) = known(&resources);
        assert!(0 < count && count < 5_000, "{count}");
        assert_eq!((resources.count(), tags), (count as u64, (1, count)));
        assert_eq!(resources.variants(), count as u64);
        resources.insert(&keyer.key("http://a/m").to_key(), None, marked());
        resources.drop_expired(Monotonic::default().after(Duration::from_secs(2)), 9);
        take_out_evicted(&resources);
        assert_eq!(known(&resources).0, count);
    }
}
