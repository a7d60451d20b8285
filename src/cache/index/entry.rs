//! The entries of the index, and the bytes that they take.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::cache::budget::tree_entry;
use crate::cache::key::Key;

/// A target URI, in the order of a number.
pub type PathEntry = (u64, Arc<str>);

/// Bytes that it takes at most, beside its text: the entry, and how many bytes the resource takes.
pub const PATH_ENTRY: usize = tree_entry(size_of::<PathEntry>() + size_of::<u32>());

/// 48 bits of the hash of a tag's name: no two names share them by accident. Then 16 bits of the hash of its origin, which is
/// compared with the key's.
pub type TagId = u64;

/// A member of a tag.
pub type TagEntry = (TagId, Key);

/// Bytes that it takes at most, beside its text: the entry, and how many bytes the resource takes.
pub const TAG_ENTRY: usize = tree_entry(size_of::<TagEntry>() + size_of::<u32>());

/// At most so many entries are read under one lock, so that others need not wait long.
pub const CHUNK: usize = 1024;

pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A million of them are kept: what grows here costs a million times as much.
    #[test]
    fn entries_are_small() {
        const { assert!(PATH_ENTRY <= 68 && TAG_ENTRY <= 92) };
    }
}
