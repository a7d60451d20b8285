//! The beginning of content that goes upstream while it arrives, kept so that it can be sent again.

use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http_body::Frame;

/// So much of a stream is kept to be sent again, in bytes, and of all streams of the process; with what each part of it
/// costs besides.
const MAX_KEPT: usize = 64 << 10;
const MAX_KEPT_IN_ALL: usize = 16 << 20;
const COST_OF_PART: usize = 64;

/// What has been taken from a stream, for as long as it may be sent again.
#[derive(Debug, Default)]
pub(super) struct Replay {
    taken: Vec<Bytes>,
    /// How many of these have been given in this attempt.
    given: usize,
    /// What they cost, in bytes.
    cost: usize,
    /// Whether something that was taken is not there any more.
    lost: bool,
    /// Whether the body has said that nothing more comes.
    pub(super) ended: bool,
}

/// Takes room for so many bytes more, where there is some.
fn is_room_for(cost: usize) -> bool {
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
        // Trailers end the content: by then a server has mostly taken what is before them.
        let cost = frame.data_ref().map(|data| data.len() + COST_OF_PART);
        match cost.filter(|cost| self.cost + cost <= MAX_KEPT && is_room_for(*cost)) {
            Some(cost) => {
                self.cost += cost;
                self.taken.extend(frame.data_ref().cloned());
                self.given = self.taken.len();
            }
            None => self.forget(),
        }
    }

    pub(super) fn forget(&mut self) {
        self.taken = Vec::new();
        self.given = 0;
        self.lost = true;
        KEPT_IN_ALL.fetch_sub(std::mem::take(&mut self.cost), Ordering::Relaxed);
    }

    pub(super) fn rewind(&mut self) -> bool {
        self.given = 0;
        !self.lost
    }

    pub(super) fn next(&self) -> Option<&Bytes> {
        self.taken.get(self.given)
    }

    pub(super) fn give(&mut self) -> Option<Bytes> {
        let next = self.next().cloned()?;
        self.given += 1;
        Some(next)
    }

    /// What is given before the body is asked again, in bytes.
    pub(super) fn left(&self) -> u64 {
        let left = self.taken.iter().skip(self.given);
        left.map(|part| part.len() as u64).sum()
    }
}
