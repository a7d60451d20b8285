//! Which resources belong to which cache group (RFC 9875). Entries carry the resource's address, so that the clean-up
//! after an eviction never takes away what a later resource with the same key has added.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::key::{Key, Prehashed};
use super::stored::{Identity, Resource};

/// Groups and their members.
#[derive(Debug, Default)]
pub struct GroupIndex {
    groups: Mutex<HashMap<Box<str>, HashMap<Key, usize, Prehashed>>>,
    /// Resources that left the store, to be taken out of their groups.
    removed: Mutex<Vec<Removed>>,
}

#[derive(Debug)]
struct Removed {
    key: Key,
    /// Kept till then, so that its address is given to no other.
    identity: Identity,
    groups: Vec<Box<str>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl GroupIndex {
    /// Enters `resource` under each of its groups.
    pub fn add(&self, key: &Key, resource: &Resource) {
        let mut groups = resource.groups().peekable();
        if groups.peek().is_none() {
            return;
        }
        self.clean_up();
        let mut index = lock(&self.groups);
        for group in groups {
            let members = match index.get_mut(group) {
                Some(members) => members,
                None => index.entry(group.into()).or_default(),
            };
            members.insert(key.clone(), resource.address());
        }
    }

    /// Notes that `resource` left the store; cheap, and takes no other lock: moka calls it while it evicts.
    pub fn enqueue_removal(&self, key: &Key, resource: &Resource) {
        let groups: Vec<Box<str>> = resource.groups().map(Into::into).collect();
        if !groups.is_empty() {
            let removed = Removed {
                key: key.clone(),
                identity: resource.identity(),
                groups,
            };
            lock(&self.removed).push(removed);
        }
    }

    /// The keys that may belong to `group`.
    pub fn members(&self, group: &str) -> Vec<Key> {
        let index = lock(&self.groups);
        index
            .get(group)
            .into_iter()
            .flat_map(HashMap::keys)
            .cloned()
            .collect()
    }

    /// Groups now, and their members in all.
    pub fn size(&self) -> (usize, usize) {
        let index = lock(&self.groups);
        (index.len(), index.values().map(HashMap::len).sum())
    }

    /// Takes out what left the store.
    pub fn clean_up(&self) {
        let removed = std::mem::take(&mut *lock(&self.removed));
        if removed.is_empty() {
            return;
        }
        let mut index = lock(&self.groups);
        for removed in removed {
            let Removed {
                key,
                identity,
                groups,
            } = removed;
            for group in groups {
                let Some(members) = index.get_mut(&group) else {
                    continue;
                };
                if members.get(&key) == Some(&identity.address()) {
                    members.remove(&key);
                }
                if members.is_empty() {
                    index.remove(&group);
                }
            }
        }
    }
}
