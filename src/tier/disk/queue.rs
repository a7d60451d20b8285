//! What waits to be written: bounded, filled by workers without waiting, emptied by the writer.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use smallvec::SmallVec;

use super::epoch::Epoch;
use super::index::{Sequence, short};
use super::record::Header;
use crate::tier::Record;

/// Removals that may wait: 24 octets each, and they are never refused. Where more wait, for the tier is off, everything
/// is forgotten instead.
const MAX_REMOVALS: usize = 256 * 1024;

/// Bytes that one operation takes in memory, besides its record's.
const OVERHEAD: u64 = 256;

/// Something to be written.
#[derive(Debug)]
pub enum Op {
    Put(Box<Put>),
    Remove {
        generation: u32,
        hash: u64,
        sequence: Sequence,
    },
    /// A new epoch begins: all segments are of earlier ones.
    Forget(Arc<Epoch>),
}

#[derive(Debug)]
pub struct Put {
    pub generation: u32,
    pub record: Record,
    pub header: Header,
    pub sequence: Sequence,
}

impl Op {
    fn bytes(&self) -> u64 {
        match self {
            Self::Put(put) => put.header.length() + OVERHEAD,
            Self::Remove { .. } | Self::Forget(_) => 0,
        }
    }
}

#[derive(Debug, Default)]
struct Waiting {
    ops: VecDeque<Op>,
    /// Of records that wait, or that are being written.
    bytes: u64,
    /// The variants of these records, by the hash of their target.
    variants: HashMap<u64, SmallVec<[u64; 1]>>,
    removals: usize,
    last: Sequence,
    /// The writer has taken something that it has not finished.
    is_writing: bool,
    is_stopped: bool,
}

impl Waiting {
    fn enter(&mut self, put: &Put) {
        self.bytes += put.header.length() + OVERHEAD;
        let variants = self.variants.entry(put.header.hash).or_default();
        variants.push(short(&put.record.variant));
    }

    fn leave(&mut self, put: &Put) {
        self.bytes = (self.bytes).saturating_sub(put.header.length() + OVERHEAD);
        let hash = put.header.hash;
        let Some(variants) = self.variants.get_mut(&hash) else {
            return;
        };
        let own = short(&put.record.variant);
        if let Some(at) = variants.iter().position(|variant| *variant == own) {
            variants.swap_remove(at);
        }
        if variants.is_empty() {
            self.variants.remove(&hash);
        }
    }
}

#[derive(Debug)]
pub struct Queue {
    max: u64,
    waiting: Mutex<Waiting>,
    /// Something has come, or the queue has been stopped.
    filled: Condvar,
    /// All has been written.
    emptied: Condvar,
}

impl Queue {
    /// Holds records of `max` bytes.
    pub fn new(max: u64) -> Self {
        Self {
            max,
            waiting: Mutex::default(),
            filled: Condvar::new(),
            emptied: Condvar::new(),
        }
    }

    /// False when there is no room.
    pub fn put(&self, generation: u32, record: Record, header: Header) -> bool {
        let mut put = Put {
            generation,
            record,
            header,
            sequence: 0,
        };
        let bytes = put.header.length() + OVERHEAD;
        let mut waiting = self.lock();
        // One that is larger than all that may wait can be written all the same, alone.
        let fits = waiting.bytes == 0 || waiting.bytes.saturating_add(bytes) <= self.max;
        if waiting.is_stopped || !fits {
            return false;
        }
        waiting.last += 1;
        put.sequence = waiting.last;
        waiting.enter(&put);
        waiting.ops.push_back(Op::Put(Box::new(put)));
        drop(waiting);
        self.filled.notify_one();
        true
    }

    /// Gives the removal's place in order; `None` when too many wait.
    pub fn remove(&self, generation: u32, hash: u64) -> Option<Sequence> {
        let mut waiting = self.lock();
        if waiting.removals >= MAX_REMOVALS {
            return None;
        }
        waiting.removals += 1;
        waiting.last += 1;
        let sequence = waiting.last;
        waiting.ops.push_back(Op::Remove {
            generation,
            hash,
            sequence,
        });
        drop(waiting);
        self.filled.notify_one();
        Some(sequence)
    }

    /// What waits is not written, unless it is of the new epoch.
    pub fn forget(&self, epoch: Arc<Epoch>) {
        let mut waiting = self.lock();
        let generation = epoch.generation();
        waiting.ops.retain(|op| match op {
            Op::Put(put) => put.generation == generation,
            Op::Remove { generation: of, .. } => *of == generation,
            Op::Forget(_) => false,
        });
        waiting.ops.push_front(Op::Forget(epoch));
        (waiting.bytes, waiting.variants) = (0, HashMap::new());
        let ops = std::mem::take(&mut waiting.ops);
        for op in &ops {
            if let Op::Put(put) = op {
                waiting.enter(put);
            }
        }
        waiting.ops = ops;
        let is_removal = |op: &&Op| matches!(op, Op::Remove { .. });
        waiting.removals = waiting.ops.iter().filter(is_removal).count();
        drop(waiting);
        self.filled.notify_one();
    }

    /// Takes what waits, up to so many bytes; waits for something at most so long. `None` when the queue has been stopped.
    /// What was taken before counts as finished.
    pub fn take(&self, bytes: u64, wait: Duration) -> Option<VecDeque<Op>> {
        let mut waiting = self.lock();
        waiting.is_writing = false;
        if waiting.ops.is_empty() {
            self.emptied.notify_all();
            let is_idle = |waiting: &mut Waiting| waiting.ops.is_empty() && !waiting.is_stopped;
            let waited = self.filled.wait_timeout_while(waiting, wait, is_idle);
            waiting = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        if waiting.is_stopped {
            return None;
        }
        let (mut taken, mut sum) = (VecDeque::new(), 0);
        while sum < bytes
            && let Some(op) = waiting.ops.pop_front()
        {
            sum += op.bytes();
            taken.push_back(op);
        }
        waiting.is_writing = !taken.is_empty();
        Some(taken)
    }

    /// Something that was taken has been written, or is given up.
    pub fn done(&self, op: &Op) {
        let mut waiting = self.lock();
        match op {
            Op::Put(put) => waiting.leave(put),
            Op::Remove { .. } => waiting.removals = waiting.removals.saturating_sub(1),
            Op::Forget(_) => {}
        }
    }

    /// Puts back what was taken and could not be written. In the place of each record, and of each that waits, comes a removal
    /// of what is stored of its target: an earlier record must not stand for the one that is given up. Returns the hashes of
    /// these targets and the places of the removals in order.
    pub fn give_up(&self, taken: VecDeque<Op>) -> Vec<(u64, Sequence)> {
        let mut waiting = self.lock();
        let mut given_up = Vec::new();
        let ops = std::mem::take(&mut waiting.ops);
        for op in taken.into_iter().chain(ops) {
            let op = match op {
                Op::Put(put) => {
                    waiting.leave(&put);
                    waiting.removals += 1;
                    let (generation, hash, sequence) =
                        (put.generation, put.header.hash, put.sequence);
                    given_up.push((hash, sequence));
                    Op::Remove {
                        generation,
                        hash,
                        sequence,
                    }
                }
                op => op,
            };
            waiting.ops.push_back(op);
        }
        given_up
    }

    /// Whether a record of the target with this hash waits or is being written, of a variant that is `wanted`.
    pub fn has(&self, hash: u64, wanted: impl Fn(u64) -> bool) -> bool {
        let waiting = self.lock();
        let variants = waiting.variants.get(&hash);
        variants.is_some_and(|variants| variants.iter().any(|variant| wanted(*variant)))
    }

    /// Waits until the queue has been stopped, at most so long; tells whether it has been.
    pub fn stopped_within(&self, limit: Duration) -> bool {
        let waiting = self.lock();
        let goes_on = |waiting: &mut Waiting| !waiting.is_stopped;
        let waited = self.filled.wait_timeout_while(waiting, limit, goes_on);
        waited.unwrap_or_else(PoisonError::into_inner).0.is_stopped
    }

    /// Waits until all has been written, at most so long; tells whether it has been.
    pub fn flush(&self, limit: Duration) -> bool {
        let waiting = self.lock();
        let is_busy = |waiting: &mut Waiting| {
            (!waiting.ops.is_empty() || waiting.is_writing) && !waiting.is_stopped
        };
        let waited = self.emptied.wait_timeout_while(waiting, limit, is_busy);
        let waiting = waited.unwrap_or_else(PoisonError::into_inner).0;
        waiting.ops.is_empty() && !waiting.is_writing
    }

    pub fn stop(&self) {
        self.lock().is_stopped = true;
        self.filled.notify_all();
        self.emptied.notify_all();
    }

    pub fn is_stopped(&self) -> bool {
        self.lock().is_stopped
    }

    pub fn bytes(&self) -> u64 {
        self.lock().bytes
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
