//! Cache groups and their members, as trees of numbers: a membership takes the same few bytes whatever the names are, and
//! what is taken out gives its memory back.

use std::collections::{BTreeMap, BTreeSet};

use super::budget::tree_entry;
use super::key::Key;

/// Bytes that a membership takes at most.
pub const MEMBERSHIP: usize = tree_entry(size_of::<(GroupId, u64)>());

/// Bytes that a resource's key takes at most where the resource has groups, beside its text.
pub const MEMBER: usize = tree_entry(size_of::<(u64, Member)>());

/// The hash of a group's name, and that of its origin.
pub type GroupId = (u32, u32);

#[derive(Debug, Default)]
pub struct Memberships {
    /// By group; the members are the hashes of their keys.
    all: BTreeSet<(GroupId, u64)>,
    /// How many different groups those are.
    groups: usize,
    members: BTreeMap<u64, Member>,
}

#[derive(Debug)]
struct Member {
    key: Key,
    /// In how many groups it is.
    groups: u32,
}

impl Memberships {
    /// The members of the groups from `first` to `last`.
    pub fn members(&self, first: GroupId, last: GroupId) -> impl Iterator<Item = &Key> {
        let members = self.all.range((first, 0)..=(last, u64::MAX));
        let members = members.filter_map(|(_, hash)| self.members.get(hash));
        members.map(|member| &member.key)
    }

    /// How many groups there are, and their members in all.
    pub fn size(&self) -> (usize, usize) {
        (self.groups, self.all.len())
    }

    /// Enters a key under a group.
    pub fn insert(&mut self, group: GroupId, key: &Key) {
        let is_new = !self.has(group);
        if !self.all.insert((group, key.hash())) {
            return;
        }
        self.groups += usize::from(is_new);
        let member = || Member {
            key: key.clone(),
            groups: 0,
        };
        self.members.entry(key.hash()).or_insert_with(member).groups += 1;
    }

    /// Takes a key out of a group.
    pub fn remove(&mut self, group: GroupId, key: &Key) {
        if !self.all.remove(&(group, key.hash())) {
            return;
        }
        self.groups -= usize::from(!self.has(group));
        if let Some(member) = self.members.get_mut(&key.hash()) {
            member.groups -= 1;
            if member.groups == 0 {
                self.members.remove(&key.hash());
            }
        }
    }

    fn has(&self, group: GroupId) -> bool {
        let mut members = self.all.range((group, 0)..=(group, u64::MAX));
        members.next().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::key::Keyer;

    #[test]
    fn what_is_taken_out_is_no_member_of_any_group() {
        let keyer = Keyer::default();
        let [a, b] = ["http://a/1", "http://a/2"].map(|target| keyer.key(target).to_key());
        let mut memberships = Memberships::default();
        let (books, others) = ((7, 1), (7, 2));
        for (group, key) in [(books, &a), (books, &a), (books, &b), (others, &a)] {
            memberships.insert(group, key);
        }
        assert_eq!(memberships.size(), (2, 3));
        let of = |memberships: &Memberships, first, last| {
            let members = memberships.members(first, last);
            let mut members: Vec<_> = members.map(|key| key.as_str().to_owned()).collect();
            members.sort_unstable();
            members
        };
        assert_eq!(of(&memberships, books, books), ["http://a/1", "http://a/2"]);
        assert_eq!(of(&memberships, others, others), ["http://a/1"]);
        assert_eq!(of(&memberships, books, others).len(), 3);
        assert!(of(&memberships, (8, 0), (8, u32::MAX)).is_empty());
        for (group, key) in [(books, &a), (books, &a), (others, &b), (others, &a)] {
            memberships.remove(group, key);
        }
        assert_eq!(memberships.size(), (1, 1));
        assert_eq!(memberships.members.len(), 1);
        memberships.remove(books, &b);
        assert_eq!((memberships.size(), memberships.members.len()), ((0, 0), 0));
    }

    /// A million of them are kept: what grows here costs a million times as much.
    #[test]
    fn a_membership_is_small() {
        const { assert!(MEMBERSHIP <= 48 && MEMBER <= 112) };
    }
}
