//! Hit-for-miss markers of resources that nothing is stored of. They have a space of their own, in which those that expire
//! first leave first.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::cache::budget::{Budget, Token, tree_entry};
use crate::cache::index::Index;
use crate::cache::key::{Key, KeyHash, KeyRef, Prehashed};
use crate::cache::resource::Resource;
use crate::clock::Monotonic;

#[derive(Debug)]
pub struct Markers {
    /// Bounded by `expiry`.
    resources: moka::sync::Cache<Key, Resource, Prehashed>,
    expiry: Mutex<Expiry>,
    /// How many there are, so that nobody looks among none.
    count: AtomicU64,
    /// Bytes that they may take.
    share: u64,
}

/// When the last marker of a resource expires, and the hash of the resource's key.
type Place = (Monotonic, u64);

#[derive(Debug)]
struct Expiry {
    /// The soonest first, each with the bytes that it takes.
    places: BTreeMap<Place, u64>,
    /// Covers all of them.
    token: Token,
}

impl Markers {
    /// For markers that take at most `share` bytes of `budget`. `index` learns which leave.
    pub fn new(share: u64, budget: &Arc<Budget>, index: &Arc<Index>) -> Self {
        let expiry = Expiry {
            places: BTreeMap::new(),
            token: Token::empty(budget),
        };
        let index = index.clone();
        Self {
            resources: moka::sync::Cache::builder()
                .eviction_listener(move |key, resource, _| index.note_eviction(key, &resource))
                .build_with_hasher(Prehashed::default()),
            expiry: Mutex::new(expiry),
            count: AtomicU64::new(0),
            share,
        }
    }

    pub fn get(&self, key: KeyRef<'_>) -> Option<Resource> {
        let any = self.count() > 0;
        any.then(|| self.resources.get(&key)).flatten()
    }

    /// Puts `resource`, which has nothing but markers, in the place of what is here for `key`, whose shard is locked. Others
    /// leave where there is no room; and where the budget has none, `resource` does not stay. Returns whether it does.
    pub fn insert(&self, key: &Key, resource: Resource) -> bool {
        let mut expiry = self.expiry();
        self.take_out(&mut expiry, key.as_ref());
        let bytes = weight(key, &resource);
        if bytes > self.share {
            return false;
        }
        while expiry.token.bytes() + bytes > self.share {
            self.drop_first(&mut expiry, |_| true);
        }
        let stays = expiry.token.grow(bytes);
        if stays {
            expiry.places.insert(place(key.hash(), &resource), bytes);
            self.resources.insert(key.clone(), resource);
            self.note(&expiry);
        }
        stays
    }

    /// Takes out what is here for `key`, whose shard is locked.
    pub fn remove(&self, key: KeyRef<'_>) {
        // Most of what is stored had no marker before, and waits for nobody.
        if self.count() > 0 && self.resources.contains_key(&key) {
            self.take_out(&mut self.expiry(), key);
        }
    }

    /// Takes out those that have expired at `now`, `most` of them at once.
    pub fn drop_expired(&self, now: Monotonic, most: usize) {
        if self.count() > 0 {
            let mut expiry = self.expiry();
            let is_due = |until| until <= now;
            let mut dropped = (0..most).map(|_| self.drop_first(&mut expiry, is_due));
            while dropped.next() == Some(true) {}
        }
    }

    pub fn count(&self) -> u64 {
        self.count.load(Ordering::Acquire)
    }

    pub fn bytes(&self) -> u64 {
        self.expiry().token.bytes()
    }

    pub fn run_pending_tasks(&self) {
        self.resources.run_pending_tasks();
    }

    fn expiry(&self) -> MutexGuard<'_, Expiry> {
        self.expiry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_out(&self, expiry: &mut Expiry, key: KeyRef<'_>) {
        if let Some(resource) = self.resources.remove(&key) {
            expiry.forget(place(key.hash(), &resource));
            self.note(expiry);
        }
    }

    /// Takes out the one that expires first, if it does when it is `due`. Returns whether it did.
    fn drop_first(&self, expiry: &mut Expiry, due: impl Fn(Monotonic) -> bool) -> bool {
        let first = expiry.places.keys().next().copied();
        let Some(first) = first.filter(|(until, _)| due(*until)) else {
            return false;
        };
        // Not under its shard's lock: who has looked it up meanwhile looks again.
        self.resources.invalidate(&KeyHash(first.1));
        expiry.forget(first);
        self.note(expiry);
        true
    }

    fn note(&self, expiry: &Expiry) {
        let count = expiry.places.len() as u64;
        self.count.store(count, Ordering::Release);
    }
}

impl Expiry {
    fn forget(&mut self, place: Place) {
        let bytes = self.places.remove(&place).unwrap_or(0);
        let left = self.token.bytes().saturating_sub(bytes);
        self.token.shrink_to(left);
    }
}

fn place(hash: u64, resource: &Resource) -> Place {
    let until = resource.markers().iter().map(|marker| marker.until).max();
    (until.unwrap_or_default(), hash)
}

fn weight(key: &Key, resource: &Resource) -> u64 {
    let place = tree_entry(size_of::<(Place, u64)>()) as u64;
    resource.weight(key.as_str().len()) + place
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::cache::key::Keyer;
    use crate::cache::resource::{Marker, Several, Unshared};
    use crate::semantics::vary::VariantKey;

    fn marker(secs: u64) -> Resource {
        let marker = Marker {
            variant: VariantKey::default(),
            digest: None,
            until: Monotonic::default().after(Duration::from_secs(secs)),
            why: Unshared::TooLarge,
            stamp: 0,
        };
        Resource::from(Several {
            markers: smallvec::smallvec![marker],
            ..Several::default()
        })
    }

    fn key(keyer: &Keyer, n: u64) -> Key {
        keyer.key(&format!("http://a/{n:02}")).to_key()
    }

    #[test]
    fn markers_that_expire_first_leave_first_and_their_bytes_with_them() {
        let (keyer, budget) = (Keyer::default(), Budget::new(1 << 20));
        let one = weight(&key(&keyer, 0), &marker(1));
        let markers = Markers::new(3 * one, &budget, &Arc::default());
        let there = |markers: &Markers| -> Vec<u64> {
            let is_there = |n: &u64| markers.get(key(&keyer, *n).as_ref()).is_some();
            (0..10).filter(is_there).collect()
        };
        for (n, secs) in [(0, 30), (1, 10), (2, 20)] {
            markers.insert(&key(&keyer, n), marker(secs));
        }
        assert_eq!(there(&markers), [0, 1, 2]);
        // Used last, and it leaves all the same.
        markers.insert(&key(&keyer, 3), marker(40));
        assert_eq!(there(&markers), [0, 2, 3]);
        // The same once more takes the place of the former.
        markers.insert(&key(&keyer, 2), marker(50));
        assert_eq!((there(&markers), markers.count()), (vec![0, 2, 3], 3));
        assert_eq!((markers.bytes(), budget.used()), (3 * one, 3 * one));
        markers.drop_expired(Monotonic::default().after(Duration::from_secs(40)), 1);
        assert_eq!(there(&markers), [2, 3]);
        markers.drop_expired(Monotonic::default().after(Duration::from_secs(40)), 9);
        assert_eq!(there(&markers), [2]);
        markers.remove(key(&keyer, 2).as_ref());
        assert_eq!((there(&markers), markers.count()), (vec![], 0));
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn a_marker_without_room_does_not_stay() {
        let (keyer, budget) = (Keyer::default(), Budget::new(1 << 20));
        let one = weight(&key(&keyer, 0), &marker(1));
        let few = Markers::new(one + 8, &budget, &Arc::default());
        few.insert(&key(&keyer, 0), marker(1));
        let large = keyer.key(&"x".repeat(100)).to_key();
        few.insert(&large, marker(9));
        assert_eq!((few.count(), few.bytes()), (1, one), "it drives out none");
        drop(few);
        let all = Token::take(&budget, (1 << 20) - one + 1);
        let some = Markers::new(1 << 20, &budget, &Arc::default());
        some.insert(&key(&keyer, 0), marker(1));
        assert_eq!((some.count(), some.bytes()), (0, 0));
        drop(all);
    }
}
