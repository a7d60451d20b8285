//! Tags and their members, as a tree of numbers and keys: a membership takes the same few bytes however long the tag's name
//! is, and its memory is given back when it is removed.

use std::collections::BTreeMap;
use std::ops::{Bound, ControlFlow};
use std::sync::Mutex;

use super::entry::{CHUNK, TagEntry as Entry, TagId, lock};
use crate::cache::key::Key;

#[derive(Debug, Default)]
pub struct Tags {
    /// Each with the bytes that the resource takes, about.
    members: BTreeMap<Entry, u32>,
    /// How many different tags those have.
    count: usize,
}

impl Tags {
    /// How many tags there are, and their members in all.
    pub fn size(&self) -> (usize, usize) {
        (self.count, self.members.len())
    }

    /// Enters a key under a tag, whose resource takes so many bytes.
    pub fn insert(&mut self, tag: TagId, key: &Key, bytes: u32) {
        let is_new = !self.has(tag);
        self.members.insert((tag, key.clone()), bytes);
        self.count += usize::from(is_new);
    }

    /// Removes a key from a tag.
    pub fn remove(&mut self, tag: TagId, key: &Key) {
        if self.members.remove(&(tag, key.clone())).is_some() {
            self.count -= usize::from(!self.has(tag));
        }
    }

    fn has(&self, tag: TagId) -> bool {
        let mut from = self.members.range((tag, Key::first())..);
        from.next().is_some_and(|((other, _), _)| *other == tag)
    }
}

/// Visits the members of the tags from `first` to `last`, each with the bytes that its resource takes, a [`CHUNK`] under one lock,
/// until `visit` breaks off.
pub fn visit(
    tags: &Mutex<Tags>,
    first: TagId,
    last: TagId,
    mut visit: impl FnMut(&Key, u32) -> ControlFlow<()>,
) -> ControlFlow<()> {
    let mut from = Bound::Included((first, Key::first()));
    loop {
        let tags = lock(tags);
        let entries = tags.members.range((from, Bound::Unbounded)).take(CHUNK);
        let (mut count, mut end) = (0, None);
        for (entry, bytes) in entries.take_while(|((tag, _), _)| *tag <= last) {
            visit(&entry.1, *bytes)?;
            count += 1;
            end = Some(entry);
        }
        match end {
            Some(end) if count == CHUNK => from = Bound::Excluded(end.clone()),
            _ => return ControlFlow::Continue(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::key::Keyer;

    fn members(tags: &Mutex<Tags>, first: TagId, last: TagId) -> Vec<Key> {
        let mut found = Vec::new();
        let _ = visit(tags, first, last, |key, bytes| {
            assert_eq!(bytes, 7);
            found.push(key.clone());
            ControlFlow::Continue(())
        });
        found
    }

    #[test]
    fn what_is_taken_out_has_no_tag() {
        let keyer = Keyer::default();
        let [a, b] = ["http://a/1", "http://a/2"].map(|target| keyer.key(target).to_key());
        let (books, others) = (71, 72);
        let tags = Mutex::new(Tags::default());
        for (tag, key) in [(books, &a), (books, &a), (books, &b), (others, &a)] {
            lock(&tags).insert(tag, key, 7);
        }
        assert_eq!(lock(&tags).size(), (2, 3));
        let of = |first, last| {
            let members = members(&tags, first, last);
            let mut members: Vec<_> = members.iter().map(|key| key.as_str().to_owned()).collect();
            members.sort_unstable();
            members
        };
        assert_eq!(of(books, books), ["http://a/1", "http://a/2"]);
        assert_eq!(of(others, others), ["http://a/1"]);
        assert_eq!(of(books, others).len(), 3);
        assert!(of(80, 89).is_empty());
        for (tag, key) in [(books, &a), (books, &a), (others, &b), (others, &a)] {
            lock(&tags).remove(tag, key);
        }
        assert_eq!(lock(&tags).size(), (1, 1));
        lock(&tags).remove(books, &b);
        assert_eq!(lock(&tags).size(), (0, 0));
    }

    #[test]
    fn more_members_than_are_taken_at_once_are_found() {
        let keyer = Keyer::default();
        let tags = Mutex::new(Tags::default());
        for n in 0..2 * CHUNK + 1 {
            let key = keyer.key(&format!("http://a/{n}")).to_key();
            lock(&tags).insert(71, &key, 7);
        }
        assert_eq!(members(&tags, 70, 79).len(), 2 * CHUNK + 1);
    }
}
