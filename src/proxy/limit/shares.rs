//! Bounds on what goes on at once: in all, and for each client.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::client::Client;

/// Tables, so that workers seldom wait for one another.
const SHARDS: usize = 16;

/// Counts what goes on now. A client is remembered only as long as something goes on for it.
#[derive(Debug, Default)]
pub struct Shares {
    all: AtomicUsize,
    each: [Mutex<HashMap<Client, usize>>; SHARDS],
    /// Spreads the clients over the tables.
    hasher: RandomState,
}

/// Counts as one until it is dropped.
#[derive(Debug)]
pub struct Share {
    shares: Arc<Shares>,
    client: Option<Client>,
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
            let mut table = self.table(&client);
            let count = table.entry(client).or_default();
            if *count >= each {
                if *count == 0 {
                    table.remove(&client);
                }
                return Err(Full::Client);
            }
            *count += 1;
            share.client = Some(client);
        }
        Ok(share)
    }

    fn table(&self, client: &Client) -> MutexGuard<'_, HashMap<Client, usize>> {
        let table = self.hasher.hash_one(client) as usize % SHARDS;
        self.each[table]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.shares.all.fetch_sub(1, Ordering::Relaxed);
        let Some(client) = self.client else {
            return;
        };
        let mut table = self.shares.table(&client);
        if let Some(count) = table.get_mut(&client) {
            *count -= 1;
            if *count == 0 {
                table.remove(&client);
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
        let remembered = |table: &Mutex<HashMap<_, _>>| table.lock().unwrap().len();
        assert_eq!(shares.each.iter().map(remembered).sum::<usize>(), 0);
    }
}
