//! The ledger's file: opened, appended to, written anew.

use std::fmt;
use std::fs::{File, TryLockError};
use std::io::{self, Read as _};
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use super::calendar::{Calendar, Reading};
use super::directory::{Directory, How};
use super::format::{self, Content, RECORDS, Slot};
use super::index::{Index, Recorded, Secret, Snapshot};
use super::invalidation::Strength;
use crate::faults::{Fate, Faults, Operation};

const NAME: &str = "ledger";
/// While it is written anew.
const NEW_NAME: &str = "ledger.new";
const LOCK_NAME: &str = "ledger.lock";

/// No ledger is as large: what is longer is not read.
const MAX_LENGTH: u64 = if cfg!(test) { 1 << 20 } else { 1 << 30 };

/// A file shorter than this is not worth being written anew, in octets.
const SMALL: u64 = if cfg!(test) { 64 << 10 } else { 4 << 20 };

/// Why a ledger cannot be opened.
#[derive(Debug)]
pub enum OpenError {
    /// Another process has it open.
    InUse(PathBuf),
    Io(PathBuf, io::Error),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InUse(directory) => {
                let directory = directory.display();
                write!(
                    f,
                    "{directory} is in use by another process: give each its own"
                )
            }
            Self::Io(path, error) => write!(f, "{}: {error}", path.display()),
        }
    }
}

impl std::error::Error for OpenError {}

/// What an acknowledged invalidation outlives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outlives {
    /// The process: it was given to the kernel.
    Process,
    /// The machine's power: it is on the device.
    Machine,
}

/// What octets are written to: the one who appends and the one who syncs have it both.
#[derive(Debug)]
pub(super) struct Medium {
    file: File,
    faults: Faults,
}

impl Medium {
    fn write_at(&self, octets: &[u8], offset: u64) -> io::Result<()> {
        match self.faults.of(Operation::LedgerWrite) {
            Fate::Done => self.file.write_all_at(octets, offset),
            Fate::Short => {
                let (half, rest) = octets.split_at(octets.len() / 2);
                self.file.write_all_at(half, offset)?;
                self.file.write_all_at(rest, offset + half.len() as u64)
            }
            Fate::Fails(number) => Err(io::Error::from_raw_os_error(number)),
        }
    }

    /// What was written outlives the machine's power when this returns.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.faults.check(Operation::LedgerSync)?;
        match cfg!(test) {
            // Nobody loses power there, and thousands of files are written.
            true => Ok(()),
            false => self.file.sync_data(),
        }
    }
}

/// Where a ledger's file lies, and how it is opened.
#[derive(Debug)]
pub(super) struct Place {
    directory: Arc<Directory>,
    pub(super) outlives: Outlives,
    /// The kernel's name for its run.
    pub(super) boot: [u8; 16],
    faults: Faults,
    /// Held as long as the ledger is open.
    lock: File,
}

impl Place {
    /// Takes the directory. Fails when another process has it.
    pub(super) fn take(
        directory: Arc<Directory>,
        outlives: Outlives,
        boot: [u8; 16],
        faults: Faults,
    ) -> Result<Self, OpenError> {
        let path = directory.path().join(LOCK_NAME);
        let io = |error| OpenError::Io(path.clone(), error);
        // A file of its own: the ledger's is replaced from time to time.
        let lock = directory.open(LOCK_NAME, How::Made).map_err(io)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self {
                directory,
                outlives,
                boot,
                faults,
                lock,
            }),
            Err(TryLockError::WouldBlock) => Err(OpenError::InUse(directory.path().to_owned())),
            Err(TryLockError::Error(error)) => Err(io(error)),
        }
    }

    pub(super) fn path(&self) -> PathBuf {
        self.directory.path().join(NAME)
    }

    /// Reads the file; `None` where there is none. Inside it, what is wrong where it cannot be used.
    pub(super) fn read(&self, limit: usize) -> io::Result<Option<Result<Content, String>>> {
        let mut file = match self.directory.open(NAME, How::AsItIs) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file?,
        };
        if file.metadata()?.len() > MAX_LENGTH {
            return Ok(Some(Err("it is too long".to_owned())));
        }
        let mut octets = Vec::new();
        file.read_to_end(&mut octets)?;
        Ok(Some(format::read(&octets, limit)))
    }

    /// Goes on with a file that was read, from `slot` on. What is torn at its end is cut.
    pub(super) fn resume(&self, content: &Content, slot: Slot) -> io::Result<LedgerFile> {
        let file = self.directory.open(NAME, How::AsItIs)?;
        file.set_len(content.end)?;
        let mut file = LedgerFile {
            medium: self.medium(file),
            slot,
            compacted: RECORDS,
        };
        file.write_slot(&content.index)?;
        // The mark of a clean shutdown must be gone before anything is acknowledged that a loss of power may take.
        file.medium.sync()?;
        Ok(file)
    }

    /// Writes a file with all that is remembered, beside the one that is there. When this returns, it is on the device.
    pub(super) fn write_new(&self, remembered: &Remembered) -> io::Result<LedgerFile> {
        let file = self.directory.open(NEW_NAME, How::Emptied)?;
        let medium = self.medium(file);
        let slot = Slot {
            counter: 1,
            end: RECORDS + remembered.records.len() as u64,
            sequence: remembered.sequence,
            floor: remembered.floor,
            boot: self.boot,
            is_clean: false,
            is_synced: self.outlives == Outlives::Machine,
        };
        let Remembered { epoch, secret, .. } = remembered;
        let written = medium
            .write_at(&format::header(epoch, secret, &slot), 0)
            .and_then(|()| medium.write_at(&remembered.records, RECORDS))
            .and_then(|()| medium.sync());
        if let Err(error) = written {
            self.drop_new();
            return Err(error);
        }
        Ok(LedgerFile {
            medium,
            compacted: slot.end,
            slot,
        })
    }

    /// Removes the file that was written beside the one that is there.
    pub(super) fn drop_new(&self) {
        // The next one is written over it where it stays.
        let _ = self.directory.remove(NEW_NAME);
    }

    /// Puts the file that was written in the place of the one that is there.
    pub(super) fn put_new_in_place(&self) -> io::Result<()> {
        self.directory.rename(NEW_NAME, NAME)
    }

    /// Removes the file, so that the next process begins a new epoch.
    pub(super) fn remove(&self) -> io::Result<()> {
        self.directory.remove(NAME)
    }

    /// What an earlier process has noted of the clock.
    pub(super) fn calendar(&self) -> Calendar {
        Calendar::read(&self.directory, self.boot)
    }

    pub(super) fn note_time(
        &self,
        calendar: &mut Calendar,
        now: Reading,
        must: bool,
    ) -> io::Result<()> {
        calendar.note(&self.directory, now, must)
    }

    /// Whether the directory is where it was, and nobody else can have taken it.
    pub(super) fn is_in_place(&self) -> bool {
        self.directory.is_in_place(LOCK_NAME, &self.lock)
    }

    /// Which files there are outlives the machine's power when this returns.
    pub(super) fn sync_directory(&self) -> io::Result<()> {
        self.faults.check(Operation::LedgerSync)?;
        self.directory.sync()
    }

    fn medium(&self, file: File) -> Arc<Medium> {
        let faults = self.faults.clone();
        Arc::new(Medium { file, faults })
    }
}

/// All that a file holds that is written anew.
pub(super) struct Remembered {
    pub(super) epoch: [u8; 16],
    pub(super) secret: Secret,
    pub(super) sequence: u64,
    pub(super) floor: u64,
    /// As they are written.
    pub(super) records: Vec<u8>,
}

impl Remembered {
    pub(super) fn of(epoch: [u8; 16], index: &Snapshot, sequence: u64) -> Self {
        Self {
            epoch,
            secret: index.secret,
            sequence,
            floor: index.floor,
            records: format::index(index, RECORDS),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // Closing it would do, were it not for children that inherited the descriptor.
        let _ = self.lock.unlock();
    }
}

/// A ledger's file that is open for appending.
#[derive(Debug)]
pub(super) struct LedgerFile {
    pub(super) medium: Arc<Medium>,
    pub(super) slot: Slot,
    /// Its length in octets when it was written anew.
    compacted: u64,
}

impl LedgerFile {
    /// Writes an invalidation, which outlives the process when this returns. When this fails, what is in the file is not known.
    pub(super) fn append(
        &mut self,
        index: &Index,
        number: u64,
        strength: Strength,
        recorded: &[Recorded],
    ) -> io::Result<()> {
        let at = self.slot.end;
        let record = format::invalidation(&index.secret, at, number, strength, recorded);
        self.medium.write_at(&record, at)?;
        self.slot.end = at + record.len() as u64;
        self.number(index, number)
    }

    /// Writes the index's floor and the number of the latest invalidation.
    pub(super) fn number(&mut self, index: &Index, number: u64) -> io::Result<()> {
        self.slot.sequence = number;
        let was_clean = std::mem::take(&mut self.slot.is_clean);
        self.write_slot(index)?;
        match was_clean {
            // The mark of a clean shutdown must not outlive what follows it. That comes last: nobody waits any more.
            true => self.medium.sync(),
            false => Ok(()),
        }
    }

    /// Marks a clean shutdown.
    pub(super) fn close(&mut self, index: &Index) -> io::Result<()> {
        self.medium.sync()?;
        self.slot.is_clean = true;
        self.write_slot(index)?;
        self.medium.sync()
    }

    fn write_slot(&mut self, index: &Index) -> io::Result<()> {
        self.slot.counter += 1;
        self.slot.floor = index.floor();
        let octets = self.slot.encode(&index.secret);
        self.medium.write_at(&octets, self.slot.place())
    }

    /// Whether it is worth being written anew: it is twice as long as it was, or would be.
    pub(super) fn is_long(&self, index: &Index) -> bool {
        let needed = (index.len() * format::ENTRY) as u64;
        self.slot.end > SMALL.max(2 * needed.max(self.compacted))
    }

    /// Whether it would soon be longer than any that is read, since it could not be written anew.
    pub(super) fn is_too_long(&self) -> bool {
        self.slot.end > MAX_LENGTH / 2
    }
}
