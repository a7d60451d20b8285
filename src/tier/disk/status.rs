//! What the tier tells of itself.

use std::sync::atomic::{AtomicU64, Ordering};

/// What the tier does at the moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It serves what it has loaded so far.
    Loading {
        segments_done: u64,
        segments: u64,
    },
    Serving,
    /// Nothing is stored, for writing has failed; what is stored is still read. It is tried again.
    Off {
        reason: String,
    },
}

/// What the tier holds and has done since it was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    pub state: State,
    /// Records that can be read.
    pub records: u64,
    /// Bytes of the segments.
    pub bytes: u64,
    /// Bytes of memory for the index.
    pub index_bytes: u64,
    /// Bytes of records that wait to be written.
    pub queued_bytes: u64,
    /// Segment files.
    pub segments: u64,
    pub counts: Counts,
}

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Numbers since the tier was opened.
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct Counts {
            $($(#[$doc])* pub $name: u64,)*
        }

        #[derive(Debug, Default)]
        pub(super) struct Counters {
            $(pub(super) $name: AtomicU64,)*
        }

        impl Counters {
            pub(super) fn read(&self) -> Counts {
                Counts {
                    $($name: self.$name.load(Ordering::Relaxed),)*
                }
            }
        }
    };
}

counters! {
    /// Records that were put and written.
    written_records,
    /// Bytes written in all: records, copies, footers.
    written_bytes,
    /// Bytes of records that were copied because they had been used, when their segment was evicted.
    copied_bytes,
    /// Requests for a target that found a record.
    hits,
    /// Requests for a target that found none.
    misses,
    /// Records that were not queued or not written: no room in the queue, too large, or the tier was off.
    dropped,
    /// Requests that were given up because too many waited to be read.
    reads_refused,
    /// Records that left to make room, and those that had expired by then.
    evicted,
    /// Records that were not what had been written.
    corrupt,
    /// Operations on files that failed.
    errors,
}

pub(super) fn count(counter: &AtomicU64, by: u64) {
    counter.fetch_add(by, Ordering::Relaxed);
}
