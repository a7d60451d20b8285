//! Which records are there, and where: 32 octets of memory each in hash tables, behind one lock a shard.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use hashbrown::hash_table::{Entry as Slot, HashTable};

use super::record::Place;
use crate::semantics::time::Timestamp;

/// Locks, so that workers rarely meet.
const SHARDS: usize = 64;

/// Variants of a target that are remembered: where there are more, those that were written first leave.
const MAX_VARIANTS: usize = 32;

/// Memory of an entry where a table has just grown: 33 octets, in tables that are seven sixteenths full.
pub const WORST_ENTRY: u64 = 76;

/// How often a record was used since it was written, up to this.
const MAX_USES: u32 = 3;

/// A record that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    pub hash: u64,
    /// The first half of the variant's digest.
    pub variant: u64,
    pub place: Place,
    /// Octets, and in the two highest bits how often it was used.
    length_and_uses: u32,
    /// Seconds since the Unix epoch, rounded up.
    until: u32,
}

impl Entry {
    /// A record that has not been used. `length` is less than 2^30.
    pub fn new(hash: u64, variant: u64, place: Place, length: u32, until: u32) -> Self {
        Self {
            hash,
            variant,
            place,
            length_and_uses: length & !(MAX_USES << 30),
            until,
        }
    }

    pub fn length(&self) -> u32 {
        self.length_and_uses & !(MAX_USES << 30)
    }

    pub fn uses(&self) -> u32 {
        self.length_and_uses >> 30
    }

    pub fn is_of_use(&self, now: Timestamp) -> bool {
        u64::from(self.until) > now.as_secs()
    }

    fn mark_used(&mut self) {
        if self.uses() < MAX_USES {
            self.length_and_uses += 1 << 30;
        }
    }
}

/// The half of a variant's digest that the index keeps.
pub fn short(variant: &[u8; 16]) -> u64 {
    let first = variant.first_chunk();
    first.map_or(0, |first| u64::from_le_bytes(*first))
}

/// Seconds since the Unix epoch, rounded up.
pub fn seconds(time: Timestamp) -> u32 {
    let secs = time.as_millis().div_ceil(1000);
    u32::try_from(secs).unwrap_or(u32::MAX)
}

/// When something is put or removed, in the order of the queue.
pub type Sequence = u64;

/// What was removed, and has not been seen to for good.
#[derive(Clone, Copy, Debug)]
struct Removed {
    at: Sequence,
    /// Its removal is on disk.
    is_written: bool,
}

#[derive(Debug, Default)]
struct Shard {
    /// Counts the epochs: what belongs to another is not entered.
    generation: u32,
    entries: HashTable<Entry>,
    /// By hash: a record that was put before that is not entered.
    removed: HashMap<u64, Removed>,
}

#[derive(Debug)]
pub struct Index {
    shards: Box<[Mutex<Shard>]>,
}

/// A shard, under its lock.
pub struct Locked<'a>(MutexGuard<'a, Shard>);

impl Index {
    pub fn new() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
        }
    }

    /// The shard of a hash.
    pub fn lock(&self, hash: u64) -> Locked<'_> {
        // The table takes its place from the low bits and its tag from the high ones.
        let shard = (hash >> 40) as usize % SHARDS;
        Locked(guard(&self.shards[shard]))
    }

    /// Forgets everything; from here on, only what belongs to `generation` is entered.
    pub fn clear(&self, generation: u32) {
        for shard in &self.shards {
            *guard(shard) = Shard {
                generation,
                ..Shard::default()
            };
        }
    }

    /// Removes the entries of which `keep` is false; gives how many these were.
    pub fn retain(&self, mut keep: impl FnMut(&Entry) -> bool) -> usize {
        let mut removed = 0;
        for shard in &self.shards {
            let mut shard = guard(shard);
            let before = shard.entries.len();
            shard.entries.retain(|entry| keep(entry));
            removed += before - shard.entries.len();
        }
        removed
    }

    pub fn len(&self) -> usize {
        self.shards.iter().map(|s| guard(s).entries.len()).sum()
    }

    /// Bytes of memory.
    pub fn bytes(&self) -> usize {
        let bytes = |shard: &Mutex<Shard>| {
            let shard = guard(shard);
            shard.entries.allocation_size() + shard.removed.capacity() * size_of::<(u64, Removed)>()
        };
        self.shards.iter().map(bytes).sum::<usize>() + SHARDS * size_of::<Mutex<Shard>>()
    }

    /// All segments have been loaded: removals that are on disk need not be remembered.
    pub fn loaded(&self) {
        for shard in &self.shards {
            let mut shard = guard(shard);
            shard.removed.retain(|_, removed| !removed.is_written);
            shard.removed.shrink_to_fit();
        }
    }
}

impl Locked<'_> {
    /// The records of a target that may be of use; they are marked as used. None where they belong to another generation.
    pub fn find(&mut self, generation: u32, hash: u64, now: Timestamp, found: &mut Vec<Entry>) {
        if self.0.generation != generation {
            return;
        }
        for entry in self.0.entries.iter_hash_mut(hash) {
            if entry.hash == hash && entry.is_of_use(now) {
                entry.mark_used();
                found.push(*entry);
            }
        }
    }

    /// Whether any record of a target that may be of use is one of those that are `wanted`.
    pub fn any(
        &self,
        generation: u32,
        hash: u64,
        now: Timestamp,
        wanted: impl Fn(&Entry) -> bool,
    ) -> bool {
        self.0.generation == generation
            && (self.0.entries.iter_hash(hash))
                .any(|entry| entry.hash == hash && entry.is_of_use(now) && wanted(entry))
    }

    /// Enters a record that was put at `sequence`, unless a later one or a removal is known. What is loaded was put at 0.
    pub fn insert(&mut self, generation: u32, entry: Entry, sequence: Sequence) {
        let shard = &mut *self.0;
        let is_removed = (shard.removed.get(&entry.hash)).is_some_and(|it| it.at >= sequence);
        if shard.generation != generation || is_removed {
            return;
        }
        let is_same = |it: &Entry| it.hash == entry.hash && it.variant == entry.variant;
        let rehash = |it: &Entry| it.hash;
        match shard.entries.entry(entry.hash, is_same, rehash) {
            Slot::Occupied(mut slot) if slot.get().place < entry.place => *slot.get_mut() = entry,
            Slot::Occupied(_) => {}
            Slot::Vacant(slot) => {
                slot.insert(entry);
                self.bound_variants(entry.hash);
            }
        }
    }

    fn bound_variants(&mut self, hash: u64) {
        let variants = self.0.entries.iter_hash(hash).filter(|it| it.hash == hash);
        let places: Vec<_> = variants.map(|entry| entry.place).collect();
        if places.len() > MAX_VARIANTS
            && let Some(first) = places.iter().min()
        {
            self.remove(hash, *first);
        }
    }

    /// A record has been copied.
    pub fn relocate(&mut self, hash: u64, from: Place, to: Entry) {
        let is_it = |entry: &Entry| entry.hash == hash && entry.place == from;
        if let Some(entry) = self.0.entries.find_mut(hash, is_it) {
            *entry = to;
        }
    }

    /// Removes the record at a place; false where it is not there.
    pub fn remove(&mut self, hash: u64, place: Place) -> bool {
        let is_it = |entry: &Entry| entry.hash == hash && entry.place == place;
        let found = self.0.entries.find_entry(hash, is_it);
        found.map(|entry| entry.remove()).is_ok()
    }

    /// Removes all records of a hash that were put before `sequence`, also those that are yet to be written or loaded.
    pub fn remove_all(&mut self, hash: u64, sequence: Sequence) {
        let shard = &mut *self.0;
        while let Ok(entry) = shard.entries.find_entry(hash, |entry| entry.hash == hash) {
            entry.remove();
        }
        let removed = Removed {
            at: sequence,
            is_written: false,
        };
        shard.removed.insert(hash, removed);
    }

    /// A removal was found on disk: what was written before it does not exist. That is loaded after it.
    pub fn remove_earlier(&mut self, generation: u32, hash: u64) {
        if self.0.generation == generation {
            let removed = Removed {
                at: 0,
                is_written: true,
            };
            self.0.removed.entry(hash).or_insert(removed);
        }
    }

    /// The removal of `sequence` has been written. It need not be remembered where all segments have been loaded.
    pub fn removal_written(
        &mut self,
        hash: u64,
        sequence: Sequence,
        all_loaded: impl Fn() -> bool,
    ) {
        let shard = &mut *self.0;
        let Some(removed) = shard.removed.get_mut(&hash) else {
            return;
        };
        if removed.at != sequence {
            return;
        }
        removed.is_written = true;
        if all_loaded() {
            shard.removed.remove(&hash);
        }
    }
}

fn guard(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}
