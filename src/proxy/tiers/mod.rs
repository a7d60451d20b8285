//! The second tiers of this gateway: what is stored in memory is kept there, too, and what memory does not have is looked for
//! there before the API is asked. Whatever state they are in, memory and the API do what they do without them.

mod consult;
mod intent;
mod keep;
mod kept;
mod raise;
mod raising;
mod shared;
#[cfg(test)]
mod tests;
mod wanted;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;

pub use self::consult::{Consulted, How, Reads};
pub use self::intent::Intent;
pub use self::keep::Change;
use self::raising::Raising;
pub use self::shared::{Counts, Shared};
pub use self::wanted::Wanted;
use crate::config::Config;
use crate::tier::disk::{Disk, Status};

/// A request waits so long for the tiers, and then asks the API.
const LONGEST: Duration = Duration::from_millis(50);

/// The second tiers, as far as they are open.
#[derive(Debug)]
pub struct Tiers {
    disk: ArcSwapOption<Disk>,
    /// Why it is not open.
    why_closed: Mutex<Option<String>>,
    /// What gateways of a fleet store for each other.
    shared: OnceLock<Shared>,
    raising: Raising,
    /// Milliseconds that a request waits for them.
    longest: AtomicU64,
}

impl Default for Tiers {
    fn default() -> Self {
        Self {
            disk: ArcSwapOption::empty(),
            why_closed: Mutex::default(),
            shared: OnceLock::new(),
            raising: Raising::default(),
            longest: AtomicU64::new(LONGEST.as_millis() as u64),
        }
    }
}

impl Tiers {
    /// Whether there is one on disk.
    pub fn has_disk(&self) -> bool {
        self.disk.load().is_some()
    }

    /// To be called once.
    pub fn share(&self, shared: Shared) {
        let _ = self.shared.set(shared);
    }

    /// `None` where there is no fleet.
    pub fn shared(&self) -> Option<&Shared> {
        self.shared.get()
    }

    pub fn open(&self, disk: Arc<Disk>) {
        self.disk.store(Some(disk));
        self.why_closed().take();
    }

    /// Does without the tier on disk, for this reason, until it is opened again. Blocks the thread while something is being written
    /// there.
    pub fn do_without_disk(&self, why: String) {
        if let Some(disk) = self.disk.swap(None) {
            disk.close();
        }
        *self.why_closed() = Some(why);
    }

    /// Why the tier on disk is not open, where that is known.
    pub fn why_disk_is_closed(&self) -> Option<String> {
        self.why_closed().clone()
    }

    fn why_closed(&self) -> MutexGuard<'_, Option<String>> {
        self.why_closed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// How long a request waits for the tiers before it asks the API.
    pub fn longest(&self) -> Duration {
        Duration::from_millis(self.longest.load(Ordering::Relaxed))
    }

    /// Has requests wait so long, for tests on machines that have much else to do.
    pub fn wait_at_most(&self, longest: Duration) {
        let longest = u64::try_from(longest.as_millis()).unwrap_or(u64::MAX);
        self.longest.store(longest, Ordering::Relaxed);
    }

    /// A new epoch of the ledger has begun: nothing that was kept is used any more.
    pub fn forget(&self, epoch: [u8; 16]) {
        if let Some(disk) = self.disk.load().as_ref() {
            disk.forget(epoch);
        }
    }

    /// What the disk tier does; `None` while it is not open.
    pub fn disk_status(&self) -> Option<Status> {
        self.disk.load().as_ref().map(|disk| disk.status())
    }

    /// Gives the tiers' directory up, once what is to be kept has been written, or after this time. Blocks the thread. Returns
    /// whether it has been.
    pub fn close(&self, limit: Duration) -> bool {
        let Some(disk) = self.disk.load_full() else {
            return true;
        };
        let is_written = disk.flush(limit);
        disk.close();
        is_written
    }
}

/// Bytes of memory that the tiers of this configuration take for themselves: they are not the store's.
pub fn memory(config: &Config) -> u64 {
    let disk = config.disk.as_ref();
    let disk = disk.map_or(0, |disk| disk.index_memory + ledger_memory(config));
    let fleet = config.valkey.as_ref().map_or(0, |_| ledger_memory(config));
    disk + fleet
}

/// Bytes of memory of one matcher that is remembered.
const MATCHER: u64 = 52;

/// Matchers that are remembered.
pub fn matchers(config: &Config) -> usize {
    (ledger_memory(config) / MATCHER) as usize
}

/// Bytes of memory for what was invalidated.
pub fn ledger_memory(config: &Config) -> u64 {
    (config.cache.memory / 64).clamp(1 << 20, 64 << 20)
}
