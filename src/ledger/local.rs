//! The ledger of one gateway: it numbers invalidations, and tells which records outside memory they cover. With a file, it
//! outlives its process; a reader of records judges each when it is read, so that nothing need be removed in time.
//!
//! A record's stamp is the [`sequence`](Ledger::sequence) when its upstream request began. A number is seen there only once it is
//! in the file: were it lost with the process, the next one would give it to another invalidation, and a record with it as its stamp
//! would count as younger than that.

mod kept;
#[cfg(test)]
mod tests;

use std::fs;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

pub use self::kept::Durability;
use self::kept::{Kept, Standing, lock};
use super::calendar::Reading;
use super::directory::Directory;
use super::file::Place;
pub use super::file::{OpenError, Outlives};
use super::format::{Content, Slot};
use super::index::{Index, Secret, random};
use super::invalidation::Invalidation;
use super::verdict::{Subject, Verdict};
use crate::faults::Faults;

/// So many numbers are left out after a loss of power: more than can have been given since the kernel last wrote the file out.
const LOST: u64 = 1 << 32;

/// Numbers invalidations, and remembers them for records outside memory.
#[derive(Debug)]
pub struct Ledger {
    kept: Arc<Kept>,
    /// `None` where nothing is synced.
    syncer: Option<Syncer>,
}

/// The thread that syncs the file, so that those who append to it need not wait for the device.
#[derive(Debug)]
struct Syncer {
    asked: Arc<(Mutex<Asked>, Condvar)>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Asked {
    is_wanted: bool,
    is_stopping: bool,
}

/// What was found where a ledger was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opened {
    /// No file: this is the first epoch.
    Fresh,
    Replayed {
        /// Matchers that are remembered.
        count: usize,
        /// Its last process had shut down.
        clean: bool,
        /// The machine was started anew without a shutdown of that process: what it acknowledged last may be lost, so all that
        /// was fetched before is validated.
        rebooted: bool,
    },
    /// The file could not be used, for this reason: a new epoch has begun.
    Damaged { why: String },
}

/// The kernel's name for its run; a random one where it has none, as if the machine were always started anew.
fn boot_id() -> [u8; 16] {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let digits: String = text.chars().filter(char::is_ascii_hexdigit).collect();
    u128::from_str_radix(&digits, 16).map_or_else(|_| random(), u128::to_be_bytes)
}

impl Ledger {
    /// Opens the ledger in `directory`, or makes one; about `limit` matchers are remembered, each in 52 octets of
    /// memory. Fails when another process has it open, or when a file can be neither read nor written.
    pub fn open(
        directory: Arc<Directory>,
        limit: usize,
        outlives: Outlives,
        faults: Faults,
    ) -> Result<(Self, Opened), OpenError> {
        Self::open_after(directory, limit, outlives, faults, boot_id())
    }

    fn open_after(
        directory: Arc<Directory>,
        limit: usize,
        outlives: Outlives,
        faults: Faults,
        boot: [u8; 16],
    ) -> Result<(Self, Opened), OpenError> {
        let place = Place::take(directory, outlives, boot, faults)?;
        let path = place.path();
        let failed = |error| OpenError::Io(path.clone(), error);
        let (content, why) = match place.read(limit).map_err(failed)? {
            None => (None, None),
            Some(Err(why)) => (None, Some(why)),
            Some(Ok(content)) => match lost(&content, boot) {
                Lost::Something(why) => (None, Some(why.to_owned())),
                Lost::Nothing => (Some((content, false)), None),
                Lost::MaybeSome => (Some((content, true)), None),
            },
        };
        let Some((mut content, rebooted)) = content else {
            let index = Index::new(Secret::random(), limit);
            let kept = Kept::new(place, random(), index, 0, None);
            kept.write_anew().map_err(failed)?;
            let opened = why.map_or(Opened::Fresh, |why| Opened::Damaged { why });
            let ledger = Self::keeping(kept, outlives);
            return Ok((ledger.map_err(failed)?, opened));
        };
        let clean = content.slot.is_clean;
        let mut sequence = content.slot.sequence;
        if content.slot.boot != boot && !clean {
            // A number that was lost before anybody was told of it may be the stamp of a record.
            sequence += LOST;
        }
        if rebooted {
            content.index.raise_floor(sequence);
        }
        let slot = Slot {
            end: content.end,
            sequence,
            boot,
            is_clean: false,
            is_synced: outlives == Outlives::Machine,
            ..content.slot
        };
        let file = place.resume(&content, slot).map_err(failed)?;
        let opened = Opened::Replayed {
            count: content.index.len(),
            clean,
            rebooted,
        };
        let kept = Kept::new(place, content.epoch, content.index, sequence, Some(file));
        Ok((Self::keeping(kept, outlives).map_err(failed)?, opened))
    }

    fn keeping(kept: Kept, outlives: Outlives) -> std::io::Result<Self> {
        let kept = Arc::new(kept);
        let syncer = match outlives {
            Outlives::Process => None,
            Outlives::Machine => Some(Syncer::start(kept.clone())?),
        };
        Ok(Self { kept, syncer })
    }

    /// The number of the latest invalidation, with which a request's response is stamped: to be read before the request is sent.
    pub fn sequence(&self) -> u64 {
        self.kept.sequence()
    }

    /// The ledger's incarnation: records of another one do not exist.
    pub fn epoch(&self) -> [u8; 16] {
        self.kept.epoch()
    }

    /// Records with a lower stamp are not used without validation.
    pub fn floor(&self) -> u64 {
        self.kept.floor()
    }

    /// Whether invalidations outlive the process: they are written to a file, which has not failed.
    pub fn is_durable(&self) -> bool {
        self.kept.settled().standing == Standing::Written
    }

    /// Gives an invalidation its number, the next one, and writes it down before it returns, but does not wait for the device. It
    /// does not fail: when the file cannot be written, it is removed and a new epoch begins, so that nothing that was stored
    /// outside memory is used again. The number is above `after`, too: others may have given numbers before.
    pub fn append(&self, invalidation: &Invalidation, after: u64) -> u64 {
        let number = self.kept.append(invalidation, after);
        if let Some(syncer) = &self.syncer {
            syncer.ask(|asked| asked.is_wanted = true);
        }
        number
    }

    /// Whether the invalidation with this number outlives what it is to; `None` while that is not known.
    pub fn durability(&self, number: u64) -> Option<Durability> {
        self.kept
            .settled()
            .durability(self.syncer.is_some(), number)
    }

    /// Waits until that is known. May be dropped at any time. It does not hold the ledger: who drops that last waits for the
    /// device.
    pub fn settled(&self, number: u64) -> impl Future<Output = Durability> + use<> {
        let mut settled = self.kept.settled.subscribe();
        let is_synced = self.syncer.is_some();
        async move {
            let settled = settled
                .wait_for(|settled| settled.durability(is_synced, number).is_some())
                .await;
            let durability = settled.ok().and_then(|it| it.durability(is_synced, number));
            durability.unwrap_or(Durability::Failed)
        }
    }

    /// Has all that was appended reach the device, where it is to, on this thread.
    pub fn sync(&self) {
        if self.syncer.is_some() {
            self.kept.sync();
        }
    }

    /// Whether a record may be used that was stored in this epoch with this stamp. The answer holds for invalidations that
    /// were acknowledged before the call.
    pub fn judge(&self, stamp: u64, subject: &Subject<'_>) -> Verdict {
        self.kept.judge(stamp, subject)
    }

    /// Writes the file again after it had failed, or where it has become long; to be called from time to time, on a thread that
    /// may wait for the disk. Invalidations do not wait meanwhile. Fails when it cannot be written.
    pub fn mend(&self) -> std::io::Result<()> {
        match self.kept.is_good() {
            true => Ok(()),
            false => self.kept.write_anew(),
        }
    }

    /// Whether the wall clock shows less at `now` than it must, or nobody knows what it must show: then no age can be told of what was
    /// stored before.
    pub fn is_set_back(&self, now: Reading) -> bool {
        self.kept.is_set_back(now)
    }

    /// Notes for this process, and the one after it, what the wall clock shows; to be called each second or so. Where it was set back, what
    /// was stored before must be [distrusted](Self::distrust) by then. `must`: as the last thing that the process does.
    pub fn note_time(&self, now: Reading, must: bool) {
        self.kept.note_time(now, must);
    }

    /// Whether the directory is where it was, and nobody else can have taken it.
    pub fn is_in_place(&self) -> bool {
        self.kept.is_in_place()
    }

    /// Ends its use: nothing that is stored in its epoch is used any more, and its file is removed. It is not to be mended.
    pub fn abandon(&self) {
        self.kept.abandon();
    }

    /// Has all that was fetched so far validated before it is used, and gives only numbers above `number` from now on: others may
    /// have acknowledged invalidations that this ledger does not know. To be followed by [`sync`](Self::sync) where the caller holds
    /// no lock.
    pub fn distrust(&self, number: u64) {
        self.kept.distrust(number);
    }

    /// Marks a clean shutdown: after a reboot, what was stored is used as it is. The ledger goes on; an invalidation after this
    /// takes the mark away.
    pub fn close(&self) {
        self.kept.close();
    }
}

impl Syncer {
    fn start(kept: Arc<Kept>) -> std::io::Result<Self> {
        let asked = Arc::<(Mutex<Asked>, Condvar)>::default();
        let asking = asked.clone();
        let run = move || {
            let (asked, changed) = &*asking;
            let mut guard = lock(asked);
            loop {
                let is_idle = |asked: &mut Asked| !asked.is_wanted && !asked.is_stopping;
                let waited = changed.wait_while(guard, is_idle);
                guard = waited.unwrap_or_else(PoisonError::into_inner);
                if !std::mem::take(&mut guard.is_wanted) {
                    return;
                }
                drop(guard);
                // All that has been appended by now, however many have.
                kept.sync();
                guard = lock(asked);
            }
        };
        let thread = thread::Builder::new().name("ledger-sync".to_owned());
        let thread = Some(thread.spawn(run)?);
        Ok(Self { asked, thread })
    }

    fn ask(&self, ask: impl FnOnce(&mut Asked)) {
        let (asked, changed) = &*self.asked;
        ask(&mut lock(asked));
        changed.notify_one();
    }
}

impl Drop for Syncer {
    fn drop(&mut self) {
        self.ask(|asked| asked.is_stopping = true);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What may have been lost of what a ledger's file held.
enum Lost {
    Nothing,
    /// The end of it, with the machine's power.
    MaybeSome,
    /// Nobody knows what, for this reason.
    Something(&'static str),
}

fn lost(content: &Content, boot: [u8; 16]) -> Lost {
    let slot = &content.slot;
    let is_whole = content.end >= slot.end;
    let lost_power = slot.boot != boot && !slot.is_clean;
    match (is_whole, lost_power) {
        (true, false) => Lost::Nothing,
        (true, true) if slot.is_synced => Lost::Nothing,
        // Pages of a file reach the device in any order.
        (_, true) => Lost::MaybeSome,
        (false, false) => Lost::Something("a record is damaged or missing"),
    }
}
