//! The beginning of a stream, kept so that it can be sent again.

use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http_body::Frame;

/// How much of a stream is kept to be sent again, in bytes, how much of all streams of the process, and what each part
/// costs besides.
const MAX_KEPT: usize = 64 << 10;
const MAX_KEPT_IN_ALL: usize = 16 << 20;
const COST_OF_PART: usize = 64;

/// What has been read of a stream, for as long as it may be sent again.
#[derive(Debug, Default)]
pub(super) struct Replay {
    parts: Vec<Bytes>,
    /// How many of these have been sent in this attempt.
    sent: usize,
    /// What they cost, in bytes.
    cost: usize,
    /// Whether a part is not kept any more.
    lost: bool,
    /// Whether the body has said that nothing more comes.
    pub(super) ended: bool,
}

/// Reserves room for so many bytes more; whether there was room.
fn reserve(cost: usize) -> bool {
    let grown = |kept: usize| Some(kept + cost).filter(|kept| *kept <= MAX_KEPT_IN_ALL);
    KEPT_IN_ALL
        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, grown)
        .is_ok()
}

/// What all streams keep, in bytes.
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
        // Trailers end the content: by then a server has mostly read what is before them.
        let cost = frame.data_ref().map(|data| data.len() + COST_OF_PART);
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

    /// What is sent again before the body is read on, in bytes.
    pub(super) fn left(&self) -> u64 {
        let left = self.parts.iter().skip(self.sent);
        left.map(|part| part.len() as u64).sum()
    }
}
