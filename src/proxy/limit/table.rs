//! The clients of a limit: a table of bounded size, whatever keys clients invent.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use governor::nanos::Nanos;
use governor::state::StateStore;
use governor::state::keyed::ShrinkableKeyedStateStore;

/// Parts that are locked one by one.
const SHARDS: usize = 64;

/// Keys in one of them.
const SHARD_KEYS: usize = 4096;

/// When each key has used up what it asked for; the later, the less it may ask now.
///
/// A full part forgets the half of its keys that has the most left. So who comes with many keys gains nothing that many
/// keys do not give anyway, and a client that is being held back stays so as long as others have asked less.
#[derive(Debug)]
pub(super) struct Table {
    shards: Box<[Mutex<HashMap<u64, Nanos>>]>,
    /// The part that is tidied next.
    next: AtomicUsize,
}

impl Default for Table {
    fn default() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            next: AtomicUsize::new(0),
        }
    }
}

impl Table {
    fn shard(&self, at: usize) -> MutexGuard<'_, HashMap<u64, Nanos>> {
        let shard = &self.shards[at % SHARDS];
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StateStore for Table {
    /// A hash that nobody outside can foresee.
    type Key = u64;

    fn measure_and_replace<T, F, E>(&self, key: &u64, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let mut keys = self.shard(*key as usize);
        let before = keys.get(key).copied();
        let (decision, after) = decide(before)?;
        if before.is_none() && keys.len() >= SHARD_KEYS {
            // The half that has least used up is forgotten.
            let mut times: Vec<Nanos> = keys.values().copied().collect();
            let half = times.len() / 2;
            let median = *times.select_nth_unstable(half).1;
            keys.retain(|_, used_until| *used_until > median);
        }
        keys.insert(*key, after);
        Ok(decision)
    }
}

impl ShrinkableKeyedStateStore<u64> for Table {
    /// Forgets keys that have nothing used up, in the part whose turn it is: so no request waits for all of them.
    fn retain_recent(&self, drop_below: Nanos) {
        let mut keys = self.shard(self.next.fetch_add(1, Ordering::Relaxed));
        keys.retain(|_, used_until| *used_until > drop_below);
        if keys.len() * 4 < keys.capacity() {
            keys.shrink_to_fit();
        }
    }

    fn len(&self) -> usize {
        (0..SHARDS).map(|at| self.shard(at).len()).sum()
    }

    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(table: &Table, key: u64, used_until: u64) {
        let put = |_| Ok::<_, ()>(((), Nanos::from(used_until)));
        table.measure_and_replace(&key, put).unwrap();
    }

    fn get(table: &Table, key: u64) -> Option<u64> {
        // Refused, so that nothing changes.
        let seen = table.measure_and_replace(&key, Err::<((), Nanos), _>);
        seen.unwrap_err().map(Nanos::as_u64)
    }

    #[test]
    fn it_never_has_more_keys_than_its_bound() {
        let table = Table::default();
        for key in 0..3 * (SHARDS * SHARD_KEYS) as u64 {
            put(&table, key, key);
        }
        assert!(table.len() <= SHARDS * SHARD_KEYS, "{}", table.len());
        assert!(table.len() >= SHARDS * SHARD_KEYS / 2, "{}", table.len());
    }

    #[test]
    fn what_has_the_most_left_is_forgotten_first() {
        let table = Table::default();
        let of_one_shard = |n: u64| n * SHARDS as u64;
        put(&table, of_one_shard(0), u64::MAX);
        for n in 1..10 * SHARD_KEYS as u64 {
            put(&table, of_one_shard(n), n);
        }
        assert_eq!(get(&table, of_one_shard(0)), Some(u64::MAX));
        assert_eq!(get(&table, of_one_shard(1)), None);
    }

    #[test]
    fn equal_keys_make_room_too() {
        let table = Table::default();
        for n in 0..2 * SHARD_KEYS as u64 {
            put(&table, n * SHARDS as u64, 7);
        }
        assert!(table.len() <= SHARD_KEYS);
    }

    #[test]
    fn keys_that_have_nothing_used_up_leave_part_by_part() {
        let table = Table::default();
        for key in 0..2 * SHARDS as u64 {
            put(&table, key, if key % 2 == 0 { 10 } else { 20 });
        }
        table.retain_recent(Nanos::from(10));
        assert_eq!(table.len(), 2 * SHARDS - 2);
        for _ in 0..SHARDS {
            table.retain_recent(Nanos::from(10));
        }
        assert_eq!(table.len(), SHARDS);
        assert_eq!((get(&table, 0), get(&table, 1)), (None, Some(20)));
    }
}
