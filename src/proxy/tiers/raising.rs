//! Work on one target that several requests want at the same time is done once.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use tokio::sync::watch;

/// Targets that are being raised, by the hash of their key: requests that come meanwhile wait for the same.
#[derive(Debug, Default)]
pub struct Raising(Mutex<HashMap<u64, watch::Receiver<()>>>);

impl Raising {
    /// Waits for the work on this key, which `begin` begins where nobody does it yet.
    pub async fn share(&self, hash: u64, begin: impl FnOnce(watch::Sender<()>)) {
        let mut ended = {
            let mut raising = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            match raising.get(&hash) {
                Some(ended) if ended.has_changed().is_ok() => ended.clone(),
                _ => {
                    let (end, ended) = watch::channel(());
                    raising.insert(hash, ended.clone());
                    begin(end);
                    ended
                }
            }
        };
        // Fails when its sender is dropped: the work has ended.
        let _ = ended.changed().await;
    }

    pub fn ended(&self, hash: u64) {
        let mut raising = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        raising.remove(&hash);
    }
}
