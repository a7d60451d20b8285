//! What the operator decides about the tier, and what follows from it.

use std::path::PathBuf;
use std::time::Duration;

use crate::faults::Faults;

/// The least size that makes sense: four segments of the smallest kind.
const SMALLEST_SEGMENT: u64 = 4 * 1024;

/// Offsets and lengths in the index have 30 bits.
const LARGEST_SEGMENT: u64 = 1 << 30;

/// What the operator decides about the tier.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The directory; it is made if it is not there.
    pub path: PathBuf,
    /// Bytes on disk, at most.
    pub size: u64,
    /// Bytes of a segment file: 64 MiB, except in tests. At most a quarter of `size` is used.
    pub segment: u64,
    /// Bytes that may wait to be written, at most.
    pub queue: u64,
    /// Bytes of memory for the index, at most: where more records are on disk, the oldest leave.
    pub index_memory: u64,
    /// Threads that read what the page cache does not have; at least one.
    pub readers: usize,
    /// Of its files; none but in tests.
    pub faults: Faults,
}

impl Settings {
    /// Bytes of a segment: at least four fit into `size`.
    pub(super) fn segment_size(&self) -> u64 {
        (self.segment)
            .min(self.size / 4)
            .clamp(SMALLEST_SEGMENT, LARGEST_SEGMENT)
    }
}

/// How long the tier stays off after an error before it is tried again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Retry {
    /// After the first error.
    pub first: Duration,
    /// It doubles with each failure up to this.
    pub longest: Duration,
}

impl Retry {
    /// For a test that waits for it.
    pub const SOON: Self = Self {
        first: Duration::from_millis(50),
        longest: Duration::from_millis(200),
    };
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            first: Duration::from_secs(10),
            longest: Duration::from_secs(300),
        }
    }
}
