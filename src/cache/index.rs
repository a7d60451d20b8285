//! Which resources belong to which cache group (RFC 9875), and how that follows what is stored. What is found here is
//! compared with what is stored before it is used.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::key::{Key, KeyRef};
use super::membership::{GroupId, Memberships};
use super::resource::Resource;
use crate::semantics::target::origin_of;

/// Groups and their members.
#[derive(Debug, Default)]
pub struct GroupIndex {
    /// Keyed, so that names and hosts cannot be chosen to collide.
    hasher: RandomState,
    memberships: Mutex<Memberships>,
    /// Resources that left the store, or were replaced in it, to be taken out of their groups.
    removed: Mutex<Vec<Removed>>,
    /// Whether there are any.
    has_removed: AtomicBool,
}

#[derive(Debug)]
struct Removed {
    key: Key,
    groups: Box<[GroupId]>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl GroupIndex {
    /// Enters `resource`, which has been stored, under each of its groups. `current` is what is stored for a key.
    pub fn add(
        &self,
        key: &Key,
        resource: &Resource,
        current: impl Fn(KeyRef<'_>) -> Option<Resource>,
    ) {
        self.clean_up(&current);
        let groups = self.groups_of(key, resource);
        if groups.is_empty() {
            return;
        }
        let mut memberships = lock(&self.memberships);
        for group in &groups {
            memberships.insert(*group, key);
        }
        // It may have been evicted before it was entered, and taken out again before that, too.
        self.take_out(&mut memberships, key, &groups, &current);
    }

    /// Notes that `resource` left the store; cheap, and takes no other lock: moka calls it while it evicts.
    pub fn enqueue_removal(&self, key: &Key, resource: &Resource) {
        let groups = self.groups_of(key, resource);
        if !groups.is_empty() {
            let key = key.clone();
            lock(&self.removed).push(Removed { key, groups });
            self.has_removed.store(true, Ordering::Release);
        }
    }

    /// The keys that may belong to `group`, of one origin or of all.
    pub fn members(&self, origin: Option<&str>, group: &str) -> Vec<Key> {
        let name = self.hash(group);
        let origin = origin.map(|origin| self.hash(origin));
        let (first, last) = (origin.unwrap_or(0), origin.unwrap_or(u32::MAX));
        let memberships = lock(&self.memberships);
        let members = memberships.members((name, first), (name, last));
        members.cloned().collect()
    }

    /// Groups now, and their members in all.
    pub fn size(&self) -> (usize, usize) {
        let memberships = lock(&self.memberships);
        memberships.size()
    }

    /// Takes out what left the store. `current` is what is stored for a key.
    pub fn clean_up(&self, current: impl Fn(KeyRef<'_>) -> Option<Resource>) {
        if !self.has_removed.swap(false, Ordering::AcqRel) {
            return;
        }
        let removed = std::mem::take(&mut *lock(&self.removed));
        let mut memberships = lock(&self.memberships);
        for Removed { key, groups } in &removed {
            self.take_out(&mut memberships, key, groups, &current);
        }
    }

    /// Takes a key out of those of the groups that what is stored for it does not belong to.
    fn take_out(
        &self,
        memberships: &mut Memberships,
        key: &Key,
        groups: &[GroupId],
        current: impl Fn(KeyRef<'_>) -> Option<Resource>,
    ) {
        let current = current(key.as_ref());
        let mut kept: Vec<u32> = current.iter().flat_map(|now| self.names_of(now)).collect();
        kept.sort_unstable();
        for group in groups {
            if kept.binary_search(&group.0).is_err() {
                memberships.remove(*group, key);
            }
        }
    }

    fn groups_of(&self, key: &Key, resource: &Resource) -> Box<[GroupId]> {
        let mut names = self.names_of(resource).peekable();
        if names.peek().is_none() {
            return Box::default();
        }
        let origin = self.hash(origin_of(key.as_str()));
        names.map(|name| (name, origin)).collect()
    }

    fn names_of(&self, resource: &Resource) -> impl Iterator<Item = u32> {
        resource.groups().map(|group| self.hash(group))
    }

    fn hash(&self, text: &str) -> u32 {
        self.hasher.hash_one(text) as u32
    }
}
