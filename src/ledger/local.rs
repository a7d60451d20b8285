//! The ledger of one gateway: it numbers invalidations, and tells which records outside memory they cover. With a file, it
//! outlives its process; a reader of records judges each when it is read, so that nothing need be removed in time.
//!
//! A record's stamp is the [`sequence`](Ledger::sequence) when its upstream request began. A number is seen there only once it is
//! in the file: were it lost with the process, the next one would give it to another invalidation, and a record with it as its stamp
//! would count as younger than that.

#[cfg(test)]
mod tests;

use std::fs;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError, RwLock};

use super::file::{LedgerFile, Medium, Place};
pub use super::file::{OpenError, Outlives};
use super::format::{Content, Slot};
use super::index::{Index, Secret, random};
use super::invalidation::Invalidation;
use super::verdict::{Subject, Verdict};

/// So many numbers are left out after a loss of power: more than can have been given since the kernel last wrote the file out.
const LOST: u64 = 1 << 32;

/// Numbers invalidations, and remembers them for records outside memory.
#[derive(Debug)]
pub struct Ledger {
    sequence: AtomicU64,
    epoch: RwLock<[u8; 16]>,
    /// `None` where nothing is outside memory.
    kept: Option<Kept>,
}

#[derive(Debug)]
struct Kept {
    index: RwLock<Index>,
    writer: Mutex<Writer>,
    is_durable: AtomicBool,
}

#[derive(Debug)]
struct Writer {
    place: Place,
    /// `None` while it cannot be written.
    file: Option<LedgerFile>,
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

fn read<T>(lock: &RwLock<T>) -> std::sync::RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> std::sync::RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

/// The kernel's name for its run; a random one where it has none, as if the machine were always started anew.
fn boot_id() -> [u8; 16] {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let digits: String = text.chars().filter(char::is_ascii_hexdigit).collect();
    u128::from_str_radix(&digits, 16).map_or_else(|_| random(), u128::to_be_bytes)
}

impl Ledger {
    /// A ledger that only counts: there are no records outside memory.
    pub fn in_memory() -> Self {
        Self {
            sequence: AtomicU64::new(0),
            epoch: RwLock::new(random()),
            kept: None,
        }
    }

    /// Opens the ledger in `directory`, which must exist, or makes one; about `limit` matchers are remembered, each in 52 octets of
    /// memory. Fails when another process has it open, or when a file can be neither read nor written.
    pub fn open(
        directory: &Path,
        limit: usize,
        outlives: Outlives,
    ) -> Result<(Self, Opened), OpenError> {
        Self::open_with(directory, limit, outlives, boot_id(), |file| Box::new(file))
    }

    fn open_with(
        directory: &Path,
        limit: usize,
        outlives: Outlives,
        boot: [u8; 16],
        medium: fn(fs::File) -> Box<dyn Medium>,
    ) -> Result<(Self, Opened), OpenError> {
        let place = Place::take(directory, outlives, boot, medium)?;
        let failed = |error| OpenError::Io(directory.join("ledger"), error);
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
            let (epoch, index) = (random(), Index::new(Secret::random(), limit));
            let file = place.write_anew(&epoch, &index, 0).map_err(failed)?;
            let opened = why.map_or(Opened::Fresh, |why| Opened::Damaged { why });
            return Ok((
                Self::kept(epoch, index, 0, Writer::new(place, file)),
                opened,
            ));
        };
        let clean = content.slot.is_clean;
        let mut sequence = content.slot.sequence;
        if rebooted {
            sequence += LOST;
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
        let writer = Writer::new(place, file);
        Ok((
            Self::kept(content.epoch, content.index, sequence, writer),
            opened,
        ))
    }

    fn kept(epoch: [u8; 16], index: Index, sequence: u64, writer: Writer) -> Self {
        Self {
            sequence: AtomicU64::new(sequence),
            epoch: RwLock::new(epoch),
            kept: Some(Kept {
                index: RwLock::new(index),
                writer: Mutex::new(writer),
                is_durable: AtomicBool::new(true),
            }),
        }
    }

    /// The number of the latest invalidation, with which a request's response is stamped: to be read before the request is sent.
    pub fn sequence(&self) -> u64 {
        self.sequence.load(Ordering::SeqCst)
    }

    /// The ledger's incarnation: records of another one do not exist.
    pub fn epoch(&self) -> [u8; 16] {
        *read(&self.epoch)
    }

    /// Records with a lower stamp are not used without validation.
    pub fn floor(&self) -> u64 {
        match &self.kept {
            Some(kept) => read(&kept.index).floor(),
            // Nothing is remembered.
            None => self.sequence(),
        }
    }

    /// Whether invalidations outlive the process: they are written to a file, which has not failed.
    pub fn is_durable(&self) -> bool {
        let kept = self.kept.as_ref();
        kept.is_some_and(|kept| kept.is_durable.load(Ordering::SeqCst))
    }

    /// Gives an invalidation its number, the next one, and writes it down before it returns. It does not fail: when the file
    /// cannot be written, it is removed and a new epoch begins, so that nothing that was stored outside memory is used again.
    /// The number is above `after`, too: others may have given numbers before.
    pub fn append(&self, invalidation: &Invalidation, after: u64) -> u64 {
        let Some(kept) = &self.kept else {
            self.sequence.fetch_max(after, Ordering::SeqCst);
            return self.sequence.fetch_add(1, Ordering::SeqCst) + 1;
        };
        let secret = read(&kept.index).secret;
        let mut recorded = Vec::with_capacity(invalidation.covers.len());
        for matcher in &invalidation.covers {
            secret.record(matcher, &mut recorded);
        }
        let mut writer = kept.writer();
        let number = self.sequence().max(after) + 1;
        let strength = invalidation.strength;
        if let Some(file) = &mut writer.file
            && let Err(error) = file.append(&read(&kept.index), number, strength, &recorded)
        {
            self.fail(kept, &mut writer, &error);
        }
        write(&kept.index).apply(number, strength, &recorded);
        self.sequence.store(number, Ordering::SeqCst);
        let index = read(&kept.index);
        if let Some(file) = &writer.file
            && file.is_too_long(&index)
            && let Err(error) = self.write_anew(&index, self.sequence(), &mut writer)
        {
            self.fail(kept, &mut writer, &error);
        }
        number
    }

    /// Whether a record may be used that was stored in this epoch with this stamp. The answer holds for invalidations that
    /// were acknowledged before the call.
    pub fn judge(&self, stamp: u64, subject: &Subject<'_>) -> Verdict {
        match &self.kept {
            Some(kept) => read(&kept.index).judge(stamp, subject),
            None if stamp < self.sequence() => Verdict::MustValidate,
            None => Verdict::Valid,
        }
    }

    /// Writes the file again after it had failed, or where it has become long; to be called from time to time, on a thread that
    /// may wait for the disk. Invalidations wait meanwhile. Fails when it cannot be written.
    pub fn mend(&self) -> io::Result<()> {
        let Some(kept) = &self.kept else {
            return Ok(());
        };
        let mut writer = kept.writer();
        let index = read(&kept.index);
        match &writer.file {
            Some(file) if !file.is_long(&index) => return Ok(()),
            _ => {}
        }
        let was_durable = writer.file.is_some();
        if let Err(error) = self.write_anew(&index, self.sequence(), &mut writer) {
            // As a rule, the one before is still there, and is written on.
            if was_durable && !writer.place.path().exists() {
                self.fail(kept, &mut writer, &error);
            }
            return Err(error);
        }
        kept.is_durable.store(true, Ordering::SeqCst);
        if !was_durable {
            tracing::info!(path = %writer.place.path().display(), "the ledger's file is written again");
        }
        Ok(())
    }

    /// Has all that was fetched so far validated before it is used, and gives only numbers above `number` from now on: others may
    /// have acknowledged invalidations that this ledger does not know.
    pub fn distrust(&self, number: u64) {
        let Some(kept) = &self.kept else {
            self.sequence.fetch_max(number + 1, Ordering::SeqCst);
            return;
        };
        let mut writer = kept.writer();
        let number = self.sequence().max(number) + 1;
        write(&kept.index).raise_floor(number);
        let index = read(&kept.index);
        if writer.file.is_some()
            && let Err(error) = self.write_anew(&index, number, &mut writer)
        {
            self.fail(kept, &mut writer, &error);
        }
        // Not before it is in the file, as with any number.
        self.sequence.store(number, Ordering::SeqCst);
    }

    /// Marks a clean shutdown: after a reboot, what was stored is used as it is. The ledger goes on; an invalidation after this
    /// takes the mark away.
    pub fn close(&self) {
        let Some(kept) = &self.kept else {
            return;
        };
        let mut writer = kept.writer();
        let closed = writer
            .file
            .as_mut()
            .map(|file| file.close(&read(&kept.index)));
        if let Some(Err(error)) = closed {
            self.fail(kept, &mut writer, &error);
        }
    }

    fn write_anew(&self, index: &Index, sequence: u64, writer: &mut Writer) -> io::Result<()> {
        let file = writer.place.write_anew(&self.epoch(), index, sequence)?;
        writer.file = Some(file);
        Ok(())
    }

    /// Begins a new epoch without a file, which failed.
    fn fail(&self, kept: &Kept, writer: &mut Writer, error: &io::Error) {
        writer.file = None;
        kept.is_durable.store(false, Ordering::SeqCst);
        *write(&self.epoch) = random();
        let path = writer.place.path();
        let path = path.display();
        match writer.place.remove() {
            Ok(()) => tracing::warn!(
                %path, %error,
                "the ledger's file cannot be written: what is stored outside memory is not used any more"
            ),
            Err(remove) => tracing::error!(
                %path, %error, %remove,
                "the ledger's file can be neither written nor removed: remove it before the next start, or what was purged may come back"
            ),
        }
    }
}

impl Kept {
    fn writer(&self) -> std::sync::MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Writer {
    fn new(place: Place, file: LedgerFile) -> Self {
        let file = Some(file);
        Self { place, file }
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
