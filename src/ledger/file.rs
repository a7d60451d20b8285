//! The ledger's file: opened, appended to, written anew.

use std::fmt;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::format::{self, Content, RECORDS, Slot};
use super::index::{Index, Recorded};
use super::invalidation::Strength;

const NAME: &str = "ledger";
/// While it is written anew.
const NEW_NAME: &str = "ledger.new";
const LOCK_NAME: &str = "ledger.lock";

/// No ledger is as large: what is longer is not read.
const MAX_LENGTH: u64 = 1 << 30;

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

/// What octets are written to. Tests have one that fails.
pub(super) trait Medium: Send + fmt::Debug {
    fn write_at(&self, octets: &[u8], offset: u64) -> io::Result<()>;
    /// What was written outlives the machine's power when this returns.
    fn sync(&self) -> io::Result<()>;
}

impl Medium for File {
    fn write_at(&self, octets: &[u8], offset: u64) -> io::Result<()> {
        self.write_all_at(octets, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }
}

/// Where a ledger's file lies, and how it is opened.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) directory: PathBuf,
    pub(super) outlives: Outlives,
    /// The kernel's name for its run.
    pub(super) boot: [u8; 16],
    pub(super) medium: fn(File) -> Box<dyn Medium>,
    /// Held as long as the ledger is open.
    lock: File,
}

impl Place {
    /// Takes the directory, which must exist. Fails when another process has it.
    pub(super) fn take(
        directory: &Path,
        outlives: Outlives,
        boot: [u8; 16],
        medium: fn(File) -> Box<dyn Medium>,
    ) -> Result<Self, OpenError> {
        let path = directory.join(LOCK_NAME);
        let io = |error| OpenError::Io(path.clone(), error);
        // A file of its own: the ledger's is replaced from time to time.
        let lock = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(io)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self {
                directory: directory.to_owned(),
                outlives,
                boot,
                medium,
                lock,
            }),
            Err(TryLockError::WouldBlock) => Err(OpenError::InUse(directory.to_owned())),
            Err(TryLockError::Error(error)) => Err(io(error)),
        }
    }

    pub(super) fn path(&self) -> PathBuf {
        self.directory.join(NAME)
    }

    /// Reads the file; `None` where there is none. Inside it, what is wrong where it cannot be used.
    pub(super) fn read(&self, limit: usize) -> io::Result<Option<Result<Content, String>>> {
        match fs::metadata(self.path()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
            Ok(metadata) if metadata.len() > MAX_LENGTH => {
                return Ok(Some(Err("it is too long".to_owned())));
            }
            Ok(_) => {}
        }
        let octets = fs::read(self.path())?;
        Ok(Some(format::read(&octets, limit)))
    }

    /// Goes on with a file that was read, from `slot` on. What is torn at its end is cut.
    pub(super) fn resume(&self, content: &Content, slot: Slot) -> io::Result<LedgerFile> {
        let file = OpenOptions::new().write(true).open(self.path())?;
        file.set_len(content.end)?;
        let mut file = LedgerFile {
            medium: (self.medium)(file),
            slot,
            compacted: RECORDS,
        };
        file.write_slot(&content.index)?;
        // The mark of a clean shutdown must be gone before anything is acknowledged that a loss of power may take.
        file.medium.sync()?;
        Ok(file)
    }

    /// Writes a file with all that `index` remembers in the place of the one that is there, if one is.
    pub(super) fn write_anew(
        &self,
        epoch: &[u8; 16],
        index: &Index,
        sequence: u64,
    ) -> io::Result<LedgerFile> {
        let new = self.directory.join(NEW_NAME);
        let written = self.write_new(&new, epoch, index, sequence);
        if written.is_err() {
            // There may be no such file.
            let _ = fs::remove_file(&new);
        }
        written
    }

    fn write_new(
        &self,
        new: &Path,
        epoch: &[u8; 16],
        index: &Index,
        sequence: u64,
    ) -> io::Result<LedgerFile> {
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(new)?;
        let medium = (self.medium)(file);
        let records = format::index(index, RECORDS);
        let end = RECORDS + records.len() as u64;
        let slot = Slot {
            counter: 1,
            end,
            sequence,
            floor: index.floor(),
            boot: self.boot,
            is_clean: false,
            is_synced: self.outlives == Outlives::Machine,
        };
        medium.write_at(&format::header(epoch, &index.secret, &slot), 0)?;
        medium.write_at(&records, RECORDS)?;
        medium.sync()?;
        fs::rename(new, self.path())?;
        if let Err(error) = self.sync_directory() {
            // Which of the two files is there after a loss of power is not known now: neither must be.
            let _ = self.remove();
            return Err(error);
        }
        Ok(LedgerFile {
            medium,
            slot,
            compacted: end,
        })
    }

    /// Removes the file, so that the next process begins a new epoch.
    pub(super) fn remove(&self) -> io::Result<()> {
        match fs::remove_file(self.path()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => self.sync_directory(),
        }
    }

    fn sync_directory(&self) -> io::Result<()> {
        File::open(&self.directory)?.sync_all()
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
    medium: Box<dyn Medium>,
    pub(super) slot: Slot,
    /// Its length in octets when it was written anew.
    compacted: u64,
}

impl LedgerFile {
    /// Writes an invalidation. When this fails, what is in the file is not known.
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
        // The mark of a clean shutdown must not outlive what follows it.
        let must_sync = self.slot.is_synced || self.slot.is_clean;
        self.slot.end = at + record.len() as u64;
        self.slot.sequence = number;
        self.slot.is_clean = false;
        self.write_slot(index)?;
        match must_sync {
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
        self.slot.end > self.bound(index)
    }

    /// Whether it cannot wait any more.
    pub(super) fn is_too_long(&self, index: &Index) -> bool {
        self.slot.end > 2 * self.bound(index)
    }

    fn bound(&self, index: &Index) -> u64 {
        let needed = (index.len() * format::ENTRY) as u64;
        SMALL.max(2 * needed.max(self.compacted))
    }
}
