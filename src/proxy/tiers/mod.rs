//! The second tiers of this gateway: what is stored in memory is kept there, too, and what memory does not have is looked for
//! there before the API is asked. Whatever state they are in, memory and the API do what they do without them.

mod keep;
mod raise;
mod raising;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

pub use self::keep::Change;
pub use self::raise::Wanted;
use self::raising::Raising;
use crate::config::Config;
use crate::tier::disk::{Disk, Status};

/// A request waits so long for the tiers, and then asks the API.
const LONGEST: Duration = Duration::from_millis(50);

/// The second tiers, as far as they are open.
#[derive(Debug)]
pub struct Tiers {
    disk: OnceLock<Arc<Disk>>,
    raising: Raising,
    /// Milliseconds that a request waits for them.
    longest: AtomicU64,
}

impl Default for Tiers {
    fn default() -> Self {
        Self {
            disk: OnceLock::new(),
            raising: Raising::default(),
            longest: AtomicU64::new(LONGEST.as_millis() as u64),
        }
    }
}

impl Tiers {
    /// Whether there is any.
    pub fn is_any(&self) -> bool {
        self.disk.get().is_some()
    }

    pub fn open(&self, disk: Arc<Disk>) {
        // It is opened once.
        let _ = self.disk.set(disk);
    }

    /// How long a request waits for the tiers before it asks the API.
    fn longest(&self) -> Duration {
        Duration::from_millis(self.longest.load(Ordering::Relaxed))
    }

    /// Has requests wait so long, for tests on machines that have much else to do.
    pub fn wait_at_most(&self, longest: Duration) {
        let longest = u64::try_from(longest.as_millis()).unwrap_or(u64::MAX);
        self.longest.store(longest, Ordering::Relaxed);
    }

    /// A new epoch of the ledger has begun: nothing that was kept is used any more.
    pub fn forget(&self, epoch: [u8; 16]) {
        if let Some(disk) = self.disk.get() {
            disk.forget(epoch);
        }
    }

    /// What the disk tier does; `None` while it is not open.
    pub fn disk_status(&self) -> Option<Status> {
        self.disk.get().map(|disk| disk.status())
    }

    /// Gives the tiers' directory up, once what is to be kept has been written, or after this time. Blocks the thread. Returns
    /// whether it has been.
    pub fn close(&self, limit: Duration) -> bool {
        let Some(disk) = self.disk.get() else {
            return true;
        };
        let is_written = disk.flush(limit);
        disk.close();
        is_written
    }
}

/// Bytes of memory that the tiers of this configuration take for themselves: they are not the store's.
pub fn memory(config: &Config) -> u64 {
    match &config.disk {
        Some(disk) => disk.index_memory + ledger_memory(config),
        None => 0,
    }
}

/// Bytes of memory for what was invalidated.
pub fn ledger_memory(config: &Config) -> u64 {
    (config.cache.memory / 64).clamp(1 << 20, 64 << 20)
}
