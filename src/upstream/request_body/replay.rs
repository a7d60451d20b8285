//! The beginning of a stream, kept so that it can be sent again.

use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http_body::Frame;

/// How many bytes of a stream are kept to be sent again, how many of all streams of the process, and how many more each
/// part costs.
const MAX_KEPT: usize = 64 << 10;
const MAX_KEPT_IN_ALL: usize = 16 << 20;
const COST_OF_PART: usize = 64;

/// The parts of a stream that have been read, for as long as they may be sent again.
#[derive(Debug, Default)]
pub(super) struct Replay {
    parts: Vec<Bytes>,
    /// How many of these have been sent in this attempt.
    sent: usize,
    /// The cost of all parts, in bytes.
    cost: usize,
    /// Whether a part is not kept any more.
    lost: bool,
    /// Whether the body has ended.
    pub(super) ended: bool,
}

/// The bytes that all streams keep.
static KEPT_IN_ALL: AtomicUsize = AtomicUsize::new(0);

impl Drop for Replay {
    fn drop(&mut self) {
        self.forget();
    }
}

impl Replay {
    pub(super) fn keep(&mut self, frame: &Frame<Bytes>) {
        if self.lost {
            return;
        }
        // Trailers end the content: by then a server has mostly read the data before them.
        let cost = frame.data_ref().map(|data| data.len() + COST_OF_PART);
        // Whether all streams together leave room for it, which is then taken.
        let reserve = |cost: usize| {
            let grown = |kept: usize| Some(kept + cost).filter(|kept| *kept <= MAX_KEPT_IN_ALL);
            KEPT_IN_ALL
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, grown)
                .is_ok()
        };
        match cost.filter(|cost| self.cost + cost <= MAX_KEPT && reserve(*cost)) {
            Some(cost) => {
                self.cost += cost;
                self.parts.extend(frame.data_ref().cloned());
                self.sent = self.parts.len();
            }
            None => self.forget(),
        }
    }

    pub(super) fn forget(&mut self) {
        self.parts = Vec::new();
        self.sent = 0;
        self.lost = true;
        KEPT_IN_ALL.fetch_sub(std::mem::take(&mut self.cost), Ordering::Relaxed);
    }

    pub(super) fn rewind(&mut self) -> bool {
        self.sent = 0;
        !self.lost
    }

    pub(super) fn next(&self) -> Option<&Bytes> {
        self.parts.get(self.sent)
    }

    pub(super) fn take_next(&mut self) -> Option<Bytes> {
        let next = self.next().cloned()?;
        self.sent += 1;
        Some(next)
    }

    /// The bytes that are sent again before the body is read on.
    pub(super) fn left(&self) -> u64 {
        let left = self.parts.iter().skip(self.sent);
        left.map(|part| part.len() as u64).sum()
    }
}
