//! The file of a ledger and what it holds, for all threads that append to it, read it or have it synced.
//!
//! Who appends holds `writer`, and waits for the kernel only. The device is waited for by others: `device` is held by the one who
//! syncs the file, or puts another one in its place; `renewing` by the one who writes that other one.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use tokio::sync::watch;

use crate::ledger::calendar::{Calendar, Reading};
use crate::ledger::file::{LedgerFile, Place, Remembered};
use crate::ledger::index::{Index, Recorded, random};
use crate::ledger::invalidation::{Invalidation, Strength};
use crate::ledger::verdict::{Subject, Verdict};

/// Whether an invalidation outlives what it is to outlive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    Durable,
    /// The ledger's file has failed. The invalidation holds in this process; with what is stored outside memory, what it covers may
    /// come back after it.
    Failed,
}

#[derive(Debug)]
pub(super) struct Kept {
    place: Place,
    sequence: AtomicU64,
    epoch: RwLock<[u8; 16]>,
    index: RwLock<Index>,
    pub(super) writer: Mutex<Writer>,
    device: Mutex<()>,
    renewing: Mutex<()>,
    calendar: Mutex<Calendar>,
    pub(super) settled: watch::Sender<Settled>,
}

#[derive(Debug)]
pub(super) struct Writer {
    /// `None` while it cannot be written.
    file: Option<LedgerFile>,
    /// What has been appended since the file began to be written anew.
    since: Option<Vec<Appended>>,
}

#[derive(Debug)]
struct Appended {
    number: u64,
    strength: Strength,
    recorded: Vec<Recorded>,
}

/// How far the ledger outlives the process.
#[derive(Clone, Copy, Debug)]
pub(super) struct Settled {
    pub(super) standing: Standing,
    /// Invalidations up to this number have reached the device, where they are to.
    synced: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// The file is written.
    Written,
    /// It has failed, and is gone: the next process begins a new epoch.
    Gone,
    /// It has failed, and cannot be removed: the next process may read it.
    Left,
}

impl Settled {
    /// `is_synced`: invalidations are to reach the device.
    pub(super) fn durability(self, is_synced: bool, number: u64) -> Option<Durability> {
        match (self.standing, is_synced) {
            (_, true) if self.synced >= number => Some(Durability::Durable),
            (Standing::Written, true) => None,
            // After a loss of power, all that is outside memory is validated; otherwise, none of it is used.
            (Standing::Written | Standing::Gone, false) => Some(Durability::Durable),
            (Standing::Gone, true) | (Standing::Left, _) => Some(Durability::Failed),
        }
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

impl Kept {
    /// `file` is `None` where it is still to be written.
    pub(super) fn new(
        place: Place,
        epoch: [u8; 16],
        index: Index,
        sequence: u64,
        file: Option<LedgerFile>,
    ) -> Self {
        Self {
            sequence: AtomicU64::new(sequence),
            epoch: RwLock::new(epoch),
            index: RwLock::new(index),
            calendar: Mutex::new(place.calendar()),
            place,
            writer: Mutex::new(Writer { file, since: None }),
            device: Mutex::default(),
            renewing: Mutex::default(),
            settled: watch::Sender::new(Settled {
                standing: Standing::Written,
                synced: sequence,
            }),
        }
    }

    pub(super) fn sequence(&self) -> u64 {
        self.sequence.load(Ordering::SeqCst)
    }

    pub(super) fn epoch(&self) -> [u8; 16] {
        *read(&self.epoch)
    }

    pub(super) fn floor(&self) -> u64 {
        read(&self.index).floor()
    }

    pub(super) fn settled(&self) -> Settled {
        *self.settled.borrow()
    }

    pub(super) fn judge(&self, stamp: u64, subject: &Subject<'_>) -> Verdict {
        read(&self.index).judge(stamp, subject)
    }

    /// Whether the file need not be written anew.
    pub(super) fn is_good(&self) -> bool {
        let writer = lock(&self.writer);
        let file = writer.file.as_ref();
        file.is_some_and(|file| !file.is_long(&read(&self.index)))
    }

    pub(super) fn append(&self, invalidation: &Invalidation, after: u64) -> u64 {
        let secret = read(&self.index).secret;
        let mut recorded = Vec::with_capacity(invalidation.covers.len());
        for matcher in &invalidation.covers {
            secret.record(matcher, &mut recorded);
        }
        let strength = invalidation.strength;
        let mut writer = lock(&self.writer);
        let number = self.sequence().max(after) + 1;
        if let Some(file) = &mut writer.file {
            let appended = file.append(&read(&self.index), number, strength, &recorded);
            let appended = appended.and_then(|()| match file.is_too_long() {
                false => Ok(()),
                true => Err(io::Error::other(
                    "it is too long, and could not be written anew",
                )),
            });
            if let Err(error) = appended {
                self.fail(&mut writer, &error);
            }
        }
        write(&self.index).apply(number, strength, &recorded);
        if let Some(since) = &mut writer.since {
            since.push(Appended {
                number,
                strength,
                recorded,
            });
        }
        self.sequence.store(number, Ordering::SeqCst);
        number
    }

    /// Has what was appended so far reach the device.
    pub(super) fn sync(&self) {
        let _device = lock(&self.device);
        let writer = lock(&self.writer);
        let Some(file) = &writer.file else {
            return;
        };
        let (medium, number) = (file.medium.clone(), file.slot.sequence);
        drop(writer);
        match medium.sync() {
            Ok(()) => self.note_synced(number),
            // It may have failed meanwhile.
            Err(error) => {
                let mut writer = lock(&self.writer);
                if writer.file.is_some() {
                    self.fail(&mut writer, &error);
                }
            }
        }
    }

    fn note_synced(&self, number: u64) {
        self.settled
            .send_modify(|settled| settled.synced = settled.synced.max(number));
    }

    /// Writes all that is remembered to a file that takes the place of the one that is there, if one is. Those who append meanwhile
    /// wait neither for the device nor for what is long.
    pub(super) fn write_anew(&self) -> io::Result<()> {
        let _renewing = lock(&self.renewing);
        let (epoch, sequence) = {
            let mut writer = lock(&self.writer);
            writer.since = Some(Vec::new());
            (self.epoch(), self.sequence())
        };
        let had_failed = self.settled().standing != Standing::Written;
        let snapshot = read(&self.index).snapshot();
        let remembered = Remembered::of(epoch, &snapshot, sequence);
        drop(snapshot);
        let written = self.place.write_new(&remembered);
        let written = written.and_then(|new| self.put_in_place(new, epoch));
        lock(&self.writer).since = None;
        match &written {
            Ok(()) if had_failed => {
                let path = self.place.path();
                tracing::info!(path = %path.display(), "the ledger's file is written again");
            }
            Ok(()) => {}
            Err(_) => self.place.drop_new(),
        }
        written
    }

    /// Puts a file in the place of the one that is there which holds all that was remembered when this was being written anew.
    fn put_in_place(&self, mut new: LedgerFile, epoch: [u8; 16]) -> io::Result<()> {
        // Nothing that is appended meanwhile is acknowledged as synced before it is in the new file.
        let _device = lock(&self.device);
        let appended = lock(&self.writer).since.replace(Vec::new());
        self.follow(&mut new, appended)?;
        new.medium.sync()?;
        let synced = new.slot.sequence;
        let mut writer = lock(&self.writer);
        if self.epoch() != epoch {
            return Err(io::Error::other("the file before it has failed meanwhile"));
        }
        let appended = writer.since.take();
        self.follow(&mut new, appended)?;
        // A floor may have been raised since the first one was written.
        for _ in 0..2 {
            new.number(&read(&self.index), self.sequence())?;
        }
        self.place.put_new_in_place()?;
        writer.file = Some(new);
        self.settled
            .send_modify(|settled| settled.standing = Standing::Written);
        drop(writer);
        if let Err(error) = self.place.sync_directory() {
            // Which of the two files is there after a loss of power is not known now: neither must be.
            self.fail(&mut lock(&self.writer), &error);
            return Err(error);
        }
        self.note_synced(synced);
        Ok(())
    }

    fn follow(&self, new: &mut LedgerFile, appended: Option<Vec<Appended>>) -> io::Result<()> {
        for it in appended.into_iter().flatten() {
            new.append(&read(&self.index), it.number, it.strength, &it.recorded)?;
        }
        Ok(())
    }

    pub(super) fn distrust(&self, number: u64) {
        let mut writer = lock(&self.writer);
        let number = self.sequence().max(number) + 1;
        write(&self.index).raise_floor(number);
        if let Some(file) = &mut writer.file {
            let index = read(&self.index);
            // Both states have it: where one is damaged, the other one counts.
            let written = (0..2).try_for_each(|_| file.number(&index, number));
            drop(index);
            if let Err(error) = written {
                self.fail(&mut writer, &error);
            }
        }
        // Not before it is in the file, as with any number.
        self.sequence.store(number, Ordering::SeqCst);
    }

    pub(super) fn is_set_back(&self, now: Reading) -> bool {
        lock(&self.calendar).is_set_back(now)
    }

    pub(super) fn note_time(&self, now: Reading, must: bool) {
        if let Err(error) = self.place.note_time(&mut lock(&self.calendar), now, must) {
            tracing::debug!(%error, "what the clock shows cannot be noted");
        }
    }

    pub(super) fn is_in_place(&self) -> bool {
        self.place.is_in_place()
    }

    pub(super) fn abandon(&self) {
        // Where that fails, it is as if the directory came from a backup.
        let _ = self.end_epoch(&mut lock(&self.writer));
    }

    pub(super) fn close(&self) {
        let _device = lock(&self.device);
        let mut writer = lock(&self.writer);
        let closed = writer
            .file
            .as_mut()
            .map(|file| file.close(&read(&self.index)));
        if let Some(Err(error)) = closed {
            self.fail(&mut writer, &error);
        }
    }

    /// Begins a new epoch without a file, which failed.
    pub(super) fn fail(&self, writer: &mut Writer, error: &io::Error) {
        let path = self.place.path();
        let path = path.display();
        match self.end_epoch(writer) {
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

    /// Fails when the file cannot be removed.
    fn end_epoch(&self, writer: &mut Writer) -> io::Result<()> {
        writer.file = None;
        *write(&self.epoch) = random();
        let removed = self.place.remove();
        self.settled.send_modify(|settled| match removed {
            Ok(()) => settled.standing = Standing::Gone,
            Err(_) => settled.standing = Standing::Left,
        });
        removed
    }
}
