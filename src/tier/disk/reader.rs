//! How records are read: at once where the page cache has them, else by threads that wait for the device.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::epoch::Epoch;
use super::index::Entry;
use super::record::{self, Unfit};
use super::segment::Segment;
use super::shared::Shared;
use super::status::count;
use crate::tier::Record;

/// Requests that may wait for a reader, for each of them.
const WAITING: usize = 64;

/// What a request for a target reads.
#[derive(Debug)]
pub struct Request {
    pub target: Box<str>,
    pub epoch: Arc<Epoch>,
    pub entries: Vec<Entry>,
}

/// Requests that wait for a reader.
#[derive(Debug)]
pub struct Readers {
    max: usize,
    waiting: Mutex<Waiting>,
    filled: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    requests: VecDeque<(Request, oneshot::Sender<Vec<Record>>)>,
    is_stopped: bool,
}

impl Readers {
    pub fn new(readers: usize) -> Self {
        Self {
            max: WAITING * readers,
            waiting: Mutex::default(),
            filled: Condvar::new(),
        }
    }

    /// Has a reader read; `None` when too many requests wait.
    pub fn submit(&self, request: Request) -> Option<oneshot::Receiver<Vec<Record>>> {
        let (sender, receiver) = oneshot::channel();
        let mut waiting = self.lock();
        if waiting.is_stopped || waiting.requests.len() >= self.max {
            return None;
        }
        waiting.requests.push_back((request, sender));
        drop(waiting);
        self.filled.notify_one();
        Some(receiver)
    }

    /// Reads what is asked for, until it is stopped: one thread of several.
    pub fn run(&self, shared: &Shared) {
        while let Some((request, sender)) = self.next() {
            // Nobody waits for it any more.
            if sender.is_closed() {
                continue;
            }
            let read = |entry: &Entry| read(shared, &request, entry, Device::Waits);
            let records = request
                .entries
                .iter()
                .filter_map(|entry| match read(entry) {
                    Read::Record(record) => Some(*record),
                    Read::Nothing | Read::NotCached => None,
                });
            let _ = sender.send(records.collect());
        }
    }

    fn next(&self) -> Option<(Request, oneshot::Sender<Vec<Record>>)> {
        let is_idle = |waiting: &mut Waiting| waiting.requests.is_empty() && !waiting.is_stopped;
        let waited = self.filled.wait_while(self.lock(), is_idle);
        let mut waiting = waited.unwrap_or_else(PoisonError::into_inner);
        if waiting.is_stopped {
            return None;
        }
        waiting.requests.pop_front()
    }

    pub fn stop(&self) {
        let mut waiting = self.lock();
        waiting.is_stopped = true;
        waiting.requests.clear();
        drop(waiting);
        self.filled.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What came of reading one record.
#[derive(Debug)]
pub enum Read {
    Record(Box<Record>),
    /// It cannot be had: it has left, cannot be read, or is not what was written.
    Nothing,
    /// The page cache does not have it whole.
    NotCached,
}

/// Whether a read may wait for the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Device {
    Waits,
    DoesNotWait,
}

/// Reads a record and verifies it; what is not what was written leaves the index.
pub fn read(shared: &Shared, request: &Request, entry: &Entry, device: Device) -> Read {
    let Some(segment) = shared.segment(entry.place.segment) else {
        return Read::Nothing;
    };
    let octets = match octets(shared, &segment, entry, device) {
        Ok(Some(octets)) => octets,
        Ok(None) => return Read::NotCached,
        Err(error) => {
            shared.note_unread(&error, &segment);
            return Read::Nothing;
        }
    };
    match record::read(octets, entry.place, &request.target, &request.epoch) {
        Ok(record) => Read::Record(Box::new(record)),
        Err(Unfit::OtherTarget) => Read::Nothing,
        Err(Unfit::Corrupt) => {
            // Where it has been removed meanwhile, with its epoch, there is nothing to complain of.
            if shared
                .index
                .lock(entry.hash)
                .remove(entry.hash, entry.place)
            {
                count(&shared.counters.corrupt, 1);
                tracing::debug!(path = %segment.path.display(), offset = entry.place.offset, "a stored response is corrupt");
            }
            Read::Nothing
        }
    }
}

/// The octets of a record, as far as the file has them; `None` when the page cache does not.
fn octets(
    shared: &Shared,
    segment: &Segment,
    entry: &Entry,
    device: Device,
) -> io::Result<Option<Vec<u8>>> {
    let mut octets = vec![0; entry.length() as usize];
    let offset = entry.place.offset.into();
    if device == Device::DoesNotWait {
        let read = shared.files.read_cached(&segment.file, &mut octets, offset);
        return Ok(read
            .is_ok_and(|read| read == octets.len())
            .then_some(octets));
    }
    let read = shared.files.read(&segment.file, &mut octets, offset)?;
    octets.truncate(read);
    Ok(Some(octets))
}
