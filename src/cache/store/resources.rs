//! What is found by a target URI: resources with stored responses, of which the least recently used leave first; and in a
//! space of their own those with markers alone, so that what cannot be stored drives out nothing that is.

use std::sync::Arc;

use moka::policy::EvictionPolicy;

use super::markers::Markers;
use crate::cache::budget::Budget;
use crate::cache::index::GroupIndex;
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
}

impl Resources {
    /// For a store of at most `memory` bytes. `groups` learns which resources leave.
    pub fn new(memory: u64, budget: &Arc<Budget>, groups: Arc<GroupIndex>) -> Self {
        // moka evicts a little late, and bodies in flight need room too.
        let capacity = memory - memory / 8;
        let stored = moka::sync::Cache::builder()
            .max_capacity(capacity)
            .weigher(|key: &Key, resource: &Resource| {
                u32::try_from(resource.weight(key.as_str().len())).unwrap_or(u32::MAX)
            })
            // LRU rather than TinyLFU: what Cache-Status calls stored is there for the next request.
            .eviction_policy(EvictionPolicy::lru())
            .eviction_listener(move |key: Arc<Key>, resource: Resource, _| {
                groups.enqueue_removal(&key, &resource);
            })
            .build_with_hasher(Prehashed::default());
        Self {
            stored,
            capacity,
            markers: Markers::new(memory / MARKERS_PART, budget),
        }
    }

    pub fn get(&self, key: KeyRef<'_>) -> Option<Resource> {
        self.stored.get(&key).or_else(|| self.markers.get(key))
    }

    /// Puts `resource` in the place of what is there for `key`, whose shard is locked.
    pub fn insert(&self, key: &Key, resource: Resource) {
        if resource.variants().is_empty() {
            self.markers.insert(key, resource);
            self.stored.invalidate(&key.as_ref());
        } else {
            self.stored.insert(key.clone(), resource);
            self.markers.remove(key.as_ref());
        }
    }

    /// Takes out what is there for `key`, whose shard is locked. Returns it where any response was stored.
    pub fn remove(&self, key: KeyRef<'_>) -> Option<Resource> {
        self.markers.remove(key);
        self.stored.remove(&key)
    }

    pub fn iter(&self) -> impl Iterator<Item = (Arc<Key>, Resource)> {
        self.stored.iter().chain(self.markers.iter())
    }

    /// How many there are, about.
    pub fn count(&self) -> u64 {
        self.stored.entry_count() + self.markers.count()
    }

    /// Bytes that they take, about.
    pub fn bytes(&self) -> u64 {
        self.stored.weighted_size() + self.markers.bytes()
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
