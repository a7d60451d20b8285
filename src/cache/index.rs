//! The index of stored responses, by path and by tag: an invalidation costs as much as it matches. Entries come and go under
//! the lock of the key's shard, together with the resource. moka evicts under no such lock: evictions are noted, and their
//! entries are removed later, under that lock.

pub mod entry;
mod paths;
mod tags;

use std::hash::{BuildHasher as _, RandomState};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use self::entry::{TagId, lock};
use self::paths::{Numbers, Paths, Place, Visit};
use self::tags::Tags;
use super::key::Key;
use super::resource::Resource;
use crate::semantics::selector::Selector;
use crate::semantics::target::origin_of;

const SHARDS: usize = 64;

/// The bits of a tag's number that are its origin's.
const ORIGIN_BITS: TagId = 0xffff;

/// The keys of stored resources, by path and by tag.
#[derive(Debug)]
pub struct Index {
    /// Keyed, so that names and hosts cannot be chosen to collide.
    hasher: RandomState,
    numbers: Numbers,
    /// By the hash of the key.
    paths: Box<[Mutex<Paths>]>,
    /// By the hash of the tag's name.
    tags: Box<[Mutex<Tags>]>,
    /// Resources that were evicted, to be taken out.
    evicted: Mutex<Vec<Evicted>>,
    /// Whether there are any.
    has_evicted: AtomicBool,
}

/// A resource that was evicted.
#[derive(Debug)]
pub struct Evicted {
    pub key: Arc<Key>,
    tags: Box<[TagId]>,
}

/// What the index keeps of how many bytes a resource takes.
fn bytes_of(key: &Key, resource: &Resource) -> u32 {
    match resource.variants().is_empty() {
        true => 0,
        false => u32::try_from(resource.weight(key.as_str().len())).unwrap_or(u32::MAX),
    }
}

fn collected(
    visit_all: impl FnOnce(&mut dyn FnMut(&Arc<str>, u32) -> ControlFlow<()>) -> ControlFlow<()>,
) -> Vec<Arc<str>> {
    let mut found = Vec::new();
    let _ = visit_all(&mut |target, _| {
        found.push(target.clone());
        ControlFlow::Continue(())
    });
    found
}

fn shard<T>(shards: &[Mutex<T>], hash: usize) -> &Mutex<T> {
    &shards[hash % SHARDS]
}

impl Default for Index {
    fn default() -> Self {
        Self {
            hasher: RandomState::default(),
            numbers: Numbers::default(),
            paths: (0..SHARDS).map(|_| Mutex::default()).collect(),
            tags: (0..SHARDS).map(|_| Mutex::default()).collect(),
            evicted: Mutex::default(),
            has_evicted: AtomicBool::new(false),
        }
    }
}

impl Index {
    /// Enters `now`, which is stored for `key` in the place of `before`, by its path and its tags. The key's shard is locked.
    pub fn enter(&self, key: &Key, before: Option<&Resource>, now: &Resource) {
        let bytes = bytes_of(key, now);
        if before.is_none_or(|before| bytes_of(key, before) != bytes) {
            let number = self.numbers.of(key.as_str());
            lock(self.paths_of(key)).insert(number, key.text().clone(), bytes);
        }
        if let Some(before) = before.filter(|before| before.groups().next().is_some()) {
            self.take_out_tags(key, &self.tags_of(key, before), Some(now));
        }
        let tags = self.tags_of(key, now);
        for tag in tags {
            lock(self.members_of(tag)).insert(tag, key, bytes);
        }
    }

    /// Removes the entries of `before`: nothing is stored for `key` any more. The key's shard is locked.
    pub fn leave(&self, key: &Key, before: &Resource) {
        let number = self.numbers.of(key.as_str());
        lock(self.paths_of(key)).remove(number, key.text().clone());
        self.take_out_tags(key, &self.tags_of(key, before), None);
    }

    /// Notes that `resource` was evicted; cheap, and takes no other lock: moka calls it while it evicts.
    pub fn note_eviction(&self, key: Arc<Key>, resource: &Resource) {
        let tags = self.tags_of(&key, resource);
        lock(&self.evicted).push(Evicted { key, tags });
        self.has_evicted.store(true, Ordering::Release);
    }

    /// The evictions since the last call, for [`take_out`](Self::take_out).
    pub fn evicted(&self) -> Vec<Evicted> {
        let any = self.has_evicted.load(Ordering::Acquire)
            && self.has_evicted.swap(false, Ordering::AcqRel);
        match any {
            true => std::mem::take(&mut *lock(&self.evicted)),
            false => Vec::new(),
        }
    }

    /// Removes the entries of an evicted resource, except those of `now`, which is stored for the same key. The key's shard is
    /// locked.
    pub fn take_out(&self, evicted: &Evicted, now: Option<&Resource>) {
        let key = &*evicted.key;
        if now.is_none() {
            let number = self.numbers.of(key.as_str());
            lock(self.paths_of(key)).remove(number, key.text().clone());
        }
        self.take_out_tags(key, &evicted.tags, now);
    }

    /// The stored target URIs that `selector` covers, and few others. `all_queries`: queries other than the named one may be
    /// the same to a response (No-Vary-Search).
    pub fn selected(&self, selector: &Selector, all_queries: bool) -> Vec<Arc<str>> {
        collected(|visit| self.each_selected(selector, all_queries, visit))
    }

    /// Visits what [`selected`](Self::selected) finds, each with the bytes that the resource takes (0 where it has no responses),
    /// until `visit` breaks off. It must not come back to the index.
    pub fn each_selected(
        &self,
        selector: &Selector,
        all_queries: bool,
        mut visit: impl Visit,
    ) -> ControlFlow<()> {
        let place = Place::of(selector, &self.numbers, all_queries);
        let mut all = self.paths.iter();
        all.try_for_each(|paths| place.find(&self.numbers, paths, &mut visit))
    }

    /// All stored target URIs.
    pub fn all(&self) -> Vec<Arc<str>> {
        collected(|visit| self.each(visit))
    }

    /// Visits all stored target URIs, as [`each_selected`](Self::each_selected) does.
    pub fn each(&self, mut visit: impl Visit) -> ControlFlow<()> {
        let mut all = self.paths.iter();
        all.try_for_each(|paths| paths::all(paths, &mut visit))
    }

    /// The keys of resources with the tag `name`, of one origin or of all.
    pub fn tagged(&self, origin: Option<&str>, name: &str) -> Vec<Key> {
        let mut found = Vec::new();
        let _ = self.each_tagged(origin, name, |key, _| {
            found.push(key.clone());
            ControlFlow::Continue(())
        });
        found
    }

    /// Visits the keys of resources with the tag `name`, of one origin or of all, each with the bytes that the resource takes, until
    /// `visit` breaks off. It must not come back to the index.
    pub fn each_tagged(
        &self,
        origin: Option<&str>,
        name: &str,
        mut visit: impl FnMut(&Key, u32) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let name = self.hash(name) & !ORIGIN_BITS;
        let (first, last) = match origin.map(|origin| self.hash(origin) & ORIGIN_BITS) {
            Some(origin) => (name | origin, name | origin),
            None => (name, name | ORIGIN_BITS),
        };
        tags::visit(
            self.members_of(name),
            first,
            last,
            |key, bytes| match origin.is_none_or(|origin| origin_of(key.as_str()) == origin) {
                true => visit(key, bytes),
                false => ControlFlow::Continue(()),
            },
        )
    }

    /// Tags now, and their members in all.
    pub fn tag_size(&self) -> (usize, usize) {
        let sizes = self.tags.iter().map(|tags| lock(tags).size());
        sizes.fold((0, 0), |sum, size| (sum.0 + size.0, sum.1 + size.1))
    }

    fn paths_of(&self, key: &Key) -> &Mutex<Paths> {
        // The lowest bits choose the shard of the store.
        shard(&self.paths, (key.hash() >> 32) as usize)
    }

    /// Removes a key from those of `tags` that `now` does not have.
    fn take_out_tags(&self, key: &Key, tags: &[TagId], now: Option<&Resource>) {
        if tags.is_empty() {
            return;
        }
        let kept = now.map(|now| self.tags_of(key, now)).unwrap_or_default();
        for tag in tags.iter().filter(|tag| kept.binary_search(tag).is_err()) {
            lock(self.members_of(*tag)).remove(*tag, key);
        }
    }

    /// Sorted.
    fn tags_of(&self, key: &Key, resource: &Resource) -> Box<[TagId]> {
        let mut tags = resource.groups().peekable();
        if tags.peek().is_none() {
            return Box::default();
        }
        let origin = self.hash(origin_of(key.as_str())) & ORIGIN_BITS;
        let id = |name| self.hash(name) & !ORIGIN_BITS | origin;
        let mut tags: Box<[TagId]> = tags.map(id).collect();
        tags.sort_unstable();
        tags
    }

    fn members_of(&self, tag: TagId) -> &Mutex<Tags> {
        // Those of all origins together.
        shard(&self.tags, (tag >> 16) as usize)
    }

    fn hash(&self, text: &str) -> u64 {
        self.hasher.hash_one(text)
    }
}
