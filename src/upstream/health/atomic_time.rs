//! A point in time that threads share, or none.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::clock::Monotonic;

/// `None` at first. Stored are the milliseconds of the clock that all workers share, plus one; 0 is `None`.
#[derive(Debug, Default)]
pub(super) struct AtomicTime(AtomicU64);

impl AtomicTime {
    pub(super) fn set(&self, at: Monotonic) {
        self.0.store(at.as_millis() + 1, Ordering::Release);
    }

    pub(super) fn clear(&self) {
        self.0.store(0, Ordering::Release);
    }

    pub(super) fn read(&self) -> Option<Monotonic> {
        let stored = self.0.load(Ordering::Acquire);
        stored.checked_sub(1).map(Monotonic::from_millis)
    }

    /// Sets `at` unless a time is set for which `is_over` is false. Returns whether it did.
    pub(super) fn replace_if(&self, at: Monotonic, is_over: impl Fn(Monotonic) -> bool) -> bool {
        self.0
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |stored| {
                let free = match stored.checked_sub(1) {
                    None => true,
                    Some(set) => is_over(Monotonic::from_millis(set)),
                };
                free.then_some(at.as_millis() + 1)
            })
            .is_ok()
    }

    pub(super) fn is_ahead(&self, now: Monotonic) -> bool {
        self.read().is_some_and(|at| now < at)
    }
}
