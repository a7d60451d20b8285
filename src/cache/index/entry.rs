//! What the parts of the index are made of, and the bytes that they take.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::cache::budget::tree_entry;
use crate::cache::key::Key;

/// A target URI, in the order of a number.
pub type PathEntry = (u64, Arc<str>);

/// Bytes that it takes at most, beside its text.
pub const PATH_ENTRY: usize = tree_entry(size_of::<PathEntry>());

/// 48 bits of the hash of a tag's name, which two names share by no accident, and 16 of that of its origin, which the keys
/// tell for certain.
pub type TagId = u64;

/// What has a tag.
pub type TagEntry = (TagId, Key);

/// Bytes that it takes at most, beside its text.
pub const TAG_ENTRY: usize = tree_entry(size_of::<TagEntry>());

/// So many entries are read at most before others have their turn.
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
        const { assert!(PATH_ENTRY <= 66 && TAG_ENTRY <= 81) };
    }
}
