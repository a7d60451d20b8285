//! The disk tier: stored responses in files of one directory, which outlive the process.
//!
//! # On disk
//!
//! `MANIFEST` names the format's version and the epoch, and is what a process locks. `seg-…` are *segments*: files of a
//! fixed size to which one thread appends, each with a footer once it is full. Together they are a log: a record replaces
//! an earlier one of the same target and variant, and a *removal* all earlier ones of its target. When there is no room,
//! the oldest segment is evicted; of its records, those that have been used are copied to the end of the log, up to a
//! quarter of a segment.
//!
//! Each octet is covered by a checksum that depends on the epoch, so that what is torn, altered, of another epoch or in
//! another place is not found. Nothing is synced: after a crash of the machine, what was not written yet is not there. Where
//! the files themselves are damaged, a record may come back that was replaced or removed before. Neither does harm, for
//! the ledger decides by a record's stamp whether it may be used.
//!
//! # In memory
//!
//! The index has 32 octets a record in hash tables, at most 76 bytes with what these leave free. Requests are answered by
//! workers at once where the page cache has the record, else by reader threads. What is put waits in a queue of bounded
//! size for the writer thread. A start loads the footers, latest first, while records are already served.
//!
//! # When writing fails
//!
//! After an error the tier is off: it stores nothing, goes on to serve what can be read, and tries again after ten seconds,
//! then after twice as long, up to five minutes.

mod active;
mod epoch;
mod files;
mod index;
mod log;
mod manifest;
mod queue;
mod reader;
mod record;
mod recovery;
mod segment;
mod settings;
mod shared;
mod status;
#[cfg(test)]
mod tests;
mod writer;

use std::fmt;
use std::fs::TryLockError;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use self::epoch::Epoch;
use self::files::{Faulty, Files, System};
use self::index::Entry;
use self::manifest::Found;
use self::reader::{Device, Read, Readers, Request};
use self::record::Header;
use self::settings::Retry;
pub use self::settings::Settings;
use self::shared::Shared;
use self::status::count;
pub use self::status::{Counts, State, Status};
use self::writer::Writer;
use crate::clock::Clock;
use crate::ledger::directory::{Directory, Unfit};
use crate::tier::Record;

/// Bytes that a request reads on a worker's own thread, at most.
const MAX_INLINE: u32 = 256 * 1024;

/// Bytes that a request reads, at most, but for a single record.
const MAX_READ: u64 = 16 << 20;

/// The disk tier. It is closed when it is dropped.
#[derive(Debug)]
pub struct Disk {
    shared: Arc<Shared>,
    readers: Arc<Readers>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// Why the tier cannot be opened.
#[derive(Debug)]
pub enum OpenError {
    /// Another process uses the directory.
    Locked(PathBuf),
    Unfit(Unfit),
    Io(PathBuf, io::Error),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Locked(path) => {
                write!(f, "another process uses the directory {}", path.display())
            }
            Self::Unfit(unfit) => unfit.fmt(f),
            Self::Io(path, error) => write!(f, "{}: {error}", path.display()),
        }
    }
}

impl std::error::Error for OpenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(_, error) => Some(error),
            Self::Unfit(unfit) => unfit.source(),
            Self::Locked(_) => None,
        }
    }
}

impl Disk {
    /// Opens the directory, or makes it, and begins to load what is there; returns at once. Records of another epoch do not
    /// exist.
    ///
    /// # Errors
    /// When the directory cannot be made, read or locked, or others can write to it.
    pub fn open(settings: Settings, epoch: [u8; 16], clock: Clock) -> Result<Arc<Self>, OpenError> {
        match settings.faults.is_any() {
            false => Self::open_with(settings, epoch, clock, Box::new(System), Retry::default()),
            true => {
                let files = Box::new(Faulty(settings.faults.clone()));
                Self::open_with(settings, epoch, clock, files, Retry::SOON)
            }
        }
    }

    fn open_with(
        settings: Settings,
        epoch: [u8; 16],
        clock: Clock,
        files: Box<dyn Files>,
        retry: Retry,
    ) -> Result<Arc<Self>, OpenError> {
        let path = settings.path.clone();
        let failed = |error| OpenError::Io(path.clone(), error);
        Directory::make(&path).map_err(OpenError::Unfit)?;
        let manifest = files.open(&path.join("MANIFEST")).map_err(failed)?;
        match manifest.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(OpenError::Locked(path)),
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        let found = manifest::read(&*files, &manifest).map_err(failed)?;
        let is_known = found == Found::Epoch(epoch);
        if let Found::Version(version) = found {
            let path = path.display();
            tracing::info!(%path, version, "what the disk tier has stored is in another version of the format: it starts anew");
        }
        let readers = settings.readers.max(1);
        let shared = Shared::new(settings, retry, clock, files, manifest, epoch);
        let disk = Arc::new(Self {
            shared: Arc::new(shared),
            readers: Arc::new(Readers::new(readers)),
            threads: Mutex::default(),
        });
        disk.start(readers, is_known).map_err(failed)?;
        Ok(disk)
    }

    fn start(&self, readers: usize, is_known: bool) -> io::Result<()> {
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        let writer = Writer::new(Arc::clone(&self.shared), is_known);
        let named = |name: &str| thread::Builder::new().name(name.to_owned());
        threads.push(named("disk-write").spawn(move || writer.run())?);
        for _ in 0..readers {
            let (shared, readers) = (Arc::clone(&self.shared), Arc::clone(&self.readers));
            threads.push(named("disk-read").spawn(move || readers.run(&shared))?);
        }
        Ok(())
    }

    /// Whether there may be a record of a target; without reading anything. While loading, only what is loaded counts.
    pub fn may_have(&self, target: &str) -> bool {
        let epoch = self.shared.epoch.load();
        let hash = epoch.hash(target);
        let shard = self.shared.index.lock(hash);
        shard.any(epoch.generation(), hash, self.shared.now(), |_| true)
    }

    /// Whether there may be a record of a target, or there may come to be one: since something waits to be written, or not all is
    /// loaded yet.
    pub fn may_come_to_have(&self, target: &str) -> bool {
        let shared = &self.shared;
        let hash = shared.epoch.load().hash(target);
        // What leaves the queue, or is loaded, is in the index before: that is looked at last.
        shared.queue.has(hash, |_| true) || !shared.loading.is_complete() || self.may_have(target)
    }

    /// Whether there is, or may come to be, a record of another variant of the target than these.
    pub fn may_have_others(&self, target: &str, variants: &[[u8; 16]]) -> bool {
        let shared = &self.shared;
        let epoch = shared.epoch.load();
        let hash = epoch.hash(target);
        let is_other = |variant: u64| {
            !variants
                .iter()
                .map(index::short)
                .any(|known| known == variant)
        };
        if shared.queue.has(hash, is_other) || !shared.loading.is_complete() {
            return true;
        }
        let shard = shared.index.lock(hash);
        let is_other = |entry: &Entry| is_other(entry.variant);
        shard.any(epoch.generation(), hash, shared.now(), is_other)
    }

    /// Every variant of a target that can be read and is what was written, the latest first. They count as used.
    ///
    /// It waits for the device where the page cache does not have them. When too many wait already, the answer is empty.
    pub async fn get(&self, target: &str) -> Vec<Record> {
        let counters = &self.shared.counters;
        let mut records = self.read(target).await;
        let now = self.shared.now();
        records.retain(|record| record.until > now);
        records.sort_by_key(|record| std::cmp::Reverse(record.stored));
        let counter = if records.is_empty() {
            &counters.misses
        } else {
            &counters.hits
        };
        count(counter, 1);
        records
    }

    async fn read(&self, target: &str) -> Vec<Record> {
        let shared = &self.shared;
        let epoch = shared.epoch.load_full();
        let hash = epoch.hash(target);
        let generation = epoch.generation();
        let mut entries = Vec::new();
        let now = shared.now();
        (shared.index.lock(hash)).find(generation, hash, now, &mut entries);
        if entries.is_empty() {
            return Vec::new();
        }
        let mut request = Request {
            target: target.into(),
            epoch,
            entries,
        };
        // The latest first: more than this is not read at once.
        let mut room = MAX_READ;
        request
            .entries
            .sort_by_key(|entry| std::cmp::Reverse(entry.place));
        request.entries.retain(|entry| {
            let is_first = room == MAX_READ;
            let length = u64::from(entry.length());
            let fits = is_first || length <= room;
            room = room.saturating_sub(length);
            fits
        });
        let (mut records, mut left) = (Vec::new(), Vec::new());
        let mut inline = 0;
        for entry in &request.entries {
            // Others wait for the worker meanwhile: what is long is read by a reader, even where the page cache has it.
            if inline + entry.length() > MAX_INLINE {
                left.push(*entry);
                continue;
            }
            match reader::read(shared, &request, entry, Device::DoesNotWait) {
                Read::Record(record) => {
                    inline += entry.length();
                    records.push(*record);
                }
                Read::Nothing => {}
                Read::NotCached => left.push(*entry),
            }
        }
        if !left.is_empty() {
            request.entries = left;
            match self.readers.submit(request) {
                // Fails when the tier is dropped.
                Some(answer) => records.extend(answer.await.unwrap_or_default()),
                None => count(&shared.counters.reads_refused, 1),
            }
        }
        // A new epoch may have begun meanwhile.
        if shared.epoch.load().generation() != generation {
            records.clear();
        }
        records
    }

    /// Has a record written. False when it cannot be: too many wait to be written, the tier is off, or it is too long.
    pub fn put(&self, record: Record) -> bool {
        let is_queued = self.queue(record);
        if !is_queued {
            count(&self.shared.counters.dropped, 1);
        }
        is_queued
    }

    fn queue(&self, record: Record) -> bool {
        let shared = &self.shared;
        if shared.is_off() {
            return false;
        }
        let epoch = shared.epoch.load();
        let hash = epoch.hash(&record.target);
        let room = shared.settings.segment_size();
        let Some(header) = Header::of(&record, hash) else {
            return false;
        };
        let needed = u64::from(segment::HEADER) + header.length() + segment::footer_length(1);
        needed <= room && shared.queue.put(epoch.generation(), record, header)
    }

    /// Removes all variants of a target, also those that wait to be written. They do not come back after a restart, once
    /// what is queued now has been written.
    pub fn remove(&self, target: &str) {
        let shared = &self.shared;
        let epoch = shared.epoch.load_full();
        let hash = epoch.hash(target);
        let mut shard = shared.index.lock(hash);
        // The order of the queue is the order in which the index sees it.
        if let Some(sequence) = shared.queue.remove(epoch.generation(), hash) {
            shard.remove_all(hash, sequence);
            return;
        }
        drop(shard);
        let path = shared.settings.path.display();
        tracing::warn!(%path, "the disk tier forgets everything: nothing can be written, and too many removals wait for that");
        self.forget(*epoch.octets());
    }

    /// Begins another epoch: nothing that is stored exists any more.
    pub fn forget(&self, epoch: [u8; 16]) {
        let shared = &self.shared;
        let forgetting = shared.forgetting.lock();
        let _forgetting = forgetting.unwrap_or_else(PoisonError::into_inner);
        let generation = shared.epoch.load().generation().wrapping_add(1);
        let epoch = Arc::new(Epoch::new(epoch, generation));
        shared.epoch.store(Arc::clone(&epoch));
        shared.index.clear(generation);
        shared.queue.forget(epoch);
    }

    /// Waits until what is queued has been written, at most so long; tells whether it has been. Blocks the thread.
    pub fn flush(&self, limit: Duration) -> bool {
        self.shared.queue.flush(limit)
    }

    pub fn status(&self) -> Status {
        self.shared.status()
    }

    /// Stops storing and gives the directory up, so that another process can open it. What waits to be written is given
    /// up: [`Disk::flush`] comes before. Blocks the thread while something is being written.
    pub fn close(&self) {
        self.shared.queue.stop();
        self.readers.stop();
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        for thread in threads.drain(..) {
            let _ = thread.join();
        }
        // A process that another thread is just starting has the file open as well: until then it would stay locked.
        let _ = self.shared.manifest.unlock();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.close();
    }
}
