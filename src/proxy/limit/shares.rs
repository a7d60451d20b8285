//! Bounds on what goes on at once: in all, and for each client.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use super::client::Client;

/// Tables, so that workers seldom wait for one another.
const SHARDS: usize = 16;

/// Counts what goes on now. A client is remembered only as long as something goes on for it.
#[derive(Debug, Default)]
pub struct Shares {
    all: AtomicUsize,
    each: [Mutex<HashTable<Count>>; SHARDS],
    /// Spreads the clients over the tables.
    hasher: RandomState,
}

#[derive(Debug)]
struct Count {
    client: Client,
    /// The client's, which is computed once a share.
    hash: u64,
    held: usize,
}

/// Counts as one until it is dropped.
#[derive(Debug)]
pub struct Share {
    shares: Arc<Shares>,
    /// The owner of the share, and its hash.
    client: Option<(Client, u64)>,
}

/// Why there is no room for one more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    All,
    Client,
}

impl Shares {
    /// One more for `client`, where fewer than `most` go on, and fewer than `each` of the client's. Nobody's client has
    /// no share of its own.
    ///
    /// # Errors
    /// [`Full`], and nothing is counted.
    pub fn enter(
        self: &Arc<Self>,
        client: Option<Client>,
        most: usize,
        each: usize,
    ) -> Result<Share, Full> {
        let before = self.all.fetch_add(1, Ordering::Relaxed);
        let mut share = Share {
            shares: self.clone(),
            client: None,
        };
        if before >= most {
            return Err(Full::All);
        }
        if let Some(client) = client {
            let hash = self.hasher.hash_one(client);
            let mut table = self.table(hash);
            match table.entry(hash, |count| count.client == client, |count| count.hash) {
                Entry::Occupied(mut found) => {
                    let count = found.get_mut();
                    if count.held >= each {
                        return Err(Full::Client);
                    }
                    count.held += 1;
                }
                Entry::Vacant(_) if each == 0 => return Err(Full::Client),
                Entry::Vacant(vacant) => {
                    let held = 1;
                    vacant.insert(Count { client, hash, held });
                }
            }
            share.client = Some((client, hash));
        }
        Ok(share)
    }

    /// How many go on now.
    pub fn held(&self) -> usize {
        self.all.load(Ordering::Relaxed)
    }

    fn table(&self, hash: u64) -> MutexGuard<'_, HashTable<Count>> {
        // The table itself places what it holds by the other bits.
        let table = (hash >> 32) as usize % SHARDS;
        self.each[table]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.shares.all.fetch_sub(1, Ordering::Relaxed);
        let Some((client, hash)) = self.client else {
            return;
        };
        let mut table = self.shares.table(hash);
        if let Ok(mut found) = table.find_entry(hash, |count| count.client == client) {
            found.get_mut().held -= 1;
            if found.get().held == 0 {
                found.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_client_has_its_share_and_all_together_theirs() {
        let shares = Arc::<Shares>::default();
        let client = |last| Some(Client::V4([192, 0, 2, last]));
        let mut held = Vec::new();
        // (client, most, each, outcome)
        let table = [
            (client(1), 5, 2, Ok(())),
            (client(1), 5, 2, Ok(())),
            (client(1), 5, 2, Err(Full::Client)),
            (client(2), 5, 2, Ok(())),
            (client(3), 5, 0, Err(Full::Client)),
            // Nobody knows whose they are.
            (None, 5, 0, Ok(())),
            (None, 5, 0, Ok(())),
            (client(2), 5, 2, Err(Full::All)),
            (None, 5, 2, Err(Full::All)),
        ];
        for (at, (client, most, each, expected)) in table.into_iter().enumerate() {
            let entered = shares
                .enter(client, most, each)
                .map(|share| held.push(share));
            assert_eq!(entered, expected, "{at}");
        }
        held.remove(0);
        assert!(
            shares.enter(client(1), 5, 2).is_ok(),
            "what has ended makes room"
        );
        held.clear();
        assert_eq!(shares.all.load(Ordering::Relaxed), 0);
        let remembered = |table: &Mutex<HashTable<_>>| table.lock().unwrap().len();
        assert_eq!(shares.each.iter().map(remembered).sum::<usize>(), 0);
    }
}
