//! The name under which a resource is stored: its target URI, with a hash that is keyed per process so that clients
//! who choose URLs cannot choose collisions.

use std::fmt;
use std::hash::{BuildHasher, DefaultHasher, Hash, Hasher, RandomState};
use std::sync::Arc;

use equivalent::Equivalent;

use super::budget::allocated;

/// Makes keys. One a process: all keys that meet in a store must come from the same.
#[derive(Clone, Debug, Default)]
pub struct Keyer(RandomState);

impl Keyer {
    /// The key of `text`, which it shares.
    pub fn owned(&self, text: Arc<str>) -> Key {
        Key {
            hash: self.0.hash_one(&*text),
            text,
        }
    }

    /// The key of `target`, borrowed: enough for a look-up, without an allocation.
    pub fn key<'a>(&self, target: &'a str) -> KeyRef<'a> {
        KeyRef {
            hash: self.0.hash_one(target),
            text: target,
        }
    }
}

/// An owned key. Clones share the text: what is stored, the fill that brought it and its places in the index.
#[derive(Clone, PartialOrd, Ord)]
pub struct Key {
    hash: u64,
    text: Arc<str>,
}

/// Bytes that the text of a key takes, which has so many.
pub fn text_cost(bytes: usize) -> usize {
    // With the counts of who shares it.
    allocated(bytes + 2 * size_of::<usize>())
}

/// A key whose text is borrowed from the request that asks.
#[derive(Clone, Copy, Debug)]
pub struct KeyRef<'a> {
    hash: u64,
    text: &'a str,
}

impl Key {
    pub fn as_ref(&self) -> KeyRef<'_> {
        KeyRef {
            hash: self.hash,
            text: &self.text,
        }
    }

    /// The target URI.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The target URI, to be shared.
    pub fn text(&self) -> &Arc<str> {
        &self.text
    }

    /// The keyed hash of the text.
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// None comes before it in order, which is that of hashes first.
    pub fn first() -> Self {
        Self {
            hash: 0,
            text: Arc::default(),
        }
    }
}

impl<'a> KeyRef<'a> {
    pub fn to_key(self) -> Key {
        Key {
            hash: self.hash,
            text: self.text.into(),
        }
    }

    pub fn as_str(&self) -> &'a str {
        self.text
    }

    /// The keyed hash of the text.
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// A hash that is the same in every process of the same build: for the choice of a server, never for a map.
    pub fn stable_hash(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.text.hash(&mut hasher);
        hasher.finish()
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash && self.text == other.text
    }
}

impl Eq for Key {}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl Hash for KeyRef<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl Equivalent<Key> for KeyRef<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        self.hash == key.hash && *self.text == *key.text
    }
}

/// The hash of a key, for what may be wrong about a key in 2^64.
#[derive(Clone, Copy, Debug)]
pub struct KeyHash(pub u64);

impl Hash for KeyHash {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.0);
    }
}

impl Equivalent<Key> for KeyHash {
    fn equivalent(&self, key: &Key) -> bool {
        self.0 == key.hash
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text.fmt(f)
    }
}

/// Hands on the hash that a key already carries.
#[derive(Clone, Copy, Debug, Default)]
pub struct Prehashed(u64);

impl Hasher for Prehashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

impl BuildHasher for Prehashed {
    type Hasher = Self;

    fn build_hasher(&self) -> Self {
        Self::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_borrowed_key_finds_its_owned_twin() {
        let keyer = Keyer::default();
        let owned = keyer.key("http://a/books").to_key();
        assert!(keyer.key("http://a/books").equivalent(&owned));
        assert!(!keyer.key("http://a/books/").equivalent(&owned));
        assert_eq!(Prehashed::default().hash_one(&owned), owned.hash());
    }

    #[test]
    fn two_processes_hash_differently() {
        let (one, other) = (Keyer::default(), Keyer::default());
        let differ = (0..16).any(|n| {
            let target = format!("http://a/{n}");
            one.key(&target).hash() != other.key(&target).hash()
        });
        assert!(differ, "the hash must depend on more than the text");
    }
}
