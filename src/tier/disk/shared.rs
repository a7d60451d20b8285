//! What the threads of the tier share.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use arc_swap::ArcSwap;

use super::epoch::Epoch;
use super::files::Files;
use super::index::Index;
use super::queue::Queue;
use super::segment::Segment;
use super::settings::{Retry, Settings};
use super::status::{Counters, State, Status, count};
use crate::clock::Clock;
use crate::semantics::time::Timestamp;

/// Milliseconds between two complaints of the same.
const TOLD_EACH: u64 = 60_000;

#[derive(Debug)]
pub struct Shared {
    pub settings: Settings,
    pub retry: Retry,
    pub clock: Clock,
    pub files: Box<dyn Files>,
    /// The manifest, which is locked as long as it is open.
    pub manifest: File,
    pub epoch: ArcSwap<Epoch>,
    /// Held while a new epoch begins.
    pub forgetting: Mutex<()>,
    pub index: Index,
    /// By number: the greater, the later.
    pub segments: RwLock<BTreeMap<u32, Arc<Segment>>>,
    pub queue: Queue,
    pub counters: Counters,
    pub loading: Loading,
    /// Why the tier is off; what must be fast reads `is_off`.
    off: Mutex<Option<String>>,
    is_off: AtomicBool,
    /// When it was last told that something cannot be read, in milliseconds; 0 for never.
    unread_told: AtomicU64,
}

/// How far loading has come.
#[derive(Debug, Default)]
pub struct Loading {
    pub segments: AtomicU64,
    pub done: AtomicU64,
    is_complete: AtomicBool,
}

impl Loading {
    pub fn complete(&self) {
        self.is_complete.store(true, Ordering::Release);
    }

    pub fn is_complete(&self) -> bool {
        self.is_complete.load(Ordering::Acquire)
    }
}

impl Shared {
    pub fn new(
        settings: Settings,
        retry: Retry,
        clock: Clock,
        files: Box<dyn Files>,
        manifest: File,
        epoch: [u8; 16],
    ) -> Self {
        Self {
            queue: Queue::new(settings.queue),
            settings,
            retry,
            clock,
            files,
            manifest,
            epoch: ArcSwap::from_pointee(Epoch::new(epoch, 0)),
            forgetting: Mutex::default(),
            index: Index::new(),
            segments: RwLock::default(),
            counters: Counters::default(),
            loading: Loading::default(),
            off: Mutex::default(),
            is_off: AtomicBool::new(false),
            unread_told: AtomicU64::new(0),
        }
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now().wall
    }

    pub fn segment(&self, id: u32) -> Option<Arc<Segment>> {
        let segments = self.segments.read();
        let segments = segments.unwrap_or_else(PoisonError::into_inner);
        segments.get(&id).cloned()
    }

    pub fn add_segment(&self, segment: Arc<Segment>) {
        let segments = self.segments.write();
        let mut segments = segments.unwrap_or_else(PoisonError::into_inner);
        segments.insert(segment.id, segment);
    }

    /// All segments, the one that was written first in front.
    pub fn all_segments(&self) -> Vec<Arc<Segment>> {
        let segments = self.segments.read();
        let segments = segments.unwrap_or_else(PoisonError::into_inner);
        segments.values().cloned().collect()
    }

    /// Bytes of all segments, and their number.
    pub fn disk_use(&self) -> (u64, usize) {
        let segments = self.segments.read();
        let segments = segments.unwrap_or_else(PoisonError::into_inner);
        let bytes = segments.values().map(|segment| segment.bytes()).sum();
        (bytes, segments.len())
    }

    /// The segment that was written first, unless there is no other.
    pub fn oldest_segment(&self) -> Option<Arc<Segment>> {
        let segments = self.segments.read();
        let segments = segments.unwrap_or_else(PoisonError::into_inner);
        let oldest = segments.first_key_value().map(|(_, it)| Arc::clone(it));
        oldest.filter(|_| segments.len() > 1)
    }

    /// Removes a segment and what the index says of it.
    pub fn drop_segment(&self, segment: &Segment) {
        let segments = self.segments.write();
        segments
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&segment.id);
        let left = self.index.retain(|entry| entry.place.segment != segment.id);
        count(&self.counters.evicted, left as u64);
        self.remove_file(segment);
    }

    /// Removes what is of no use any more from the index, once all has been loaded: until then it stands for what it
    /// replaced.
    pub fn drop_expired(&self) {
        if self.loading.is_complete() {
            let now = self.now();
            let left = self.index.retain(|entry| entry.is_of_use(now));
            count(&self.counters.evicted, left as u64);
        }
    }

    /// Removes a segment's file. Where that fails it takes room until the next start, which removes it.
    pub fn remove_file(&self, segment: &Segment) {
        if let Err(error) = self.files.remove(&segment.path) {
            self.note_error(&error, "removing a segment");
        }
    }

    /// Entries that the index may have.
    pub fn max_records(&self) -> u64 {
        (self.settings.index_memory / super::index::WORST_ENTRY).max(1)
    }

    /// Tells of a record that cannot be read: once, and once a minute where it goes on. There may be one a request.
    pub fn note_unread(&self, error: &io::Error, segment: &Segment) {
        count(&self.counters.errors, 1);
        let (now, last) = (self.now().as_millis(), &self.unread_told);
        let told = last.load(Ordering::Relaxed);
        let is_long_ago = told == 0 || now.abs_diff(told) >= TOLD_EACH;
        let is_told = |now| last.compare_exchange(told, now, Ordering::Relaxed, Ordering::Relaxed);
        if is_long_ago && is_told(now.max(1)).is_ok() {
            let path = segment.path.display();
            tracing::warn!(%error, %path, "the disk tier cannot read what it has stored: the API is asked for it");
        }
    }

    pub fn note_error(&self, error: &io::Error, doing: &str) {
        count(&self.counters.errors, 1);
        tracing::debug!(%error, doing, "an operation of the disk tier failed");
    }

    pub fn is_off(&self) -> bool {
        self.is_off.load(Ordering::Relaxed)
    }

    /// Stores nothing from now on; gives whether it did until now.
    pub fn turn_off(&self, reason: String) -> bool {
        let before = self.off().replace(reason);
        self.is_off.store(true, Ordering::Relaxed);
        before.is_none()
    }

    /// Stores again; gives whether it did not until now.
    pub fn turn_on(&self) -> bool {
        let before = self.off().take();
        self.is_off.store(false, Ordering::Relaxed);
        before.is_some()
    }

    fn off(&self) -> MutexGuard<'_, Option<String>> {
        self.off.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn status(&self) -> Status {
        let (bytes, segments) = self.disk_use();
        let state = match &*self.off() {
            Some(reason) => State::Off {
                reason: reason.clone(),
            },
            None if self.loading.is_complete() => State::Serving,
            None => State::Loading {
                segments_done: self.loading.done.load(Ordering::Relaxed),
                segments: self.loading.segments.load(Ordering::Relaxed),
            },
        };
        Status {
            state,
            records: self.index.len() as u64,
            bytes,
            index_bytes: self.index.bytes() as u64,
            queued_bytes: self.queue.bytes(),
            segments: segments as u64,
            counts: self.counters.read(),
        }
    }
}
