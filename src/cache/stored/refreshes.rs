//! When a stale response may be refreshed behind a client's back: not at once where that has just failed.

use std::sync::atomic::{AtomicU32, Ordering};

use crate::clock::Monotonic;

/// How the refreshes of one stored response have failed: in which second the next is due, and how many have failed.
#[derive(Debug, Default)]
pub struct Refreshes(AtomicU32);

/// Failures that make the wait for the next refresh longer.
const MOST_FAILURES: u32 = 3;
const FAILURES_BITS: u32 = 2;

impl Refreshes {
    pub fn is_due(&self, now: Monotonic) -> bool {
        seconds(now) >= self.0.load(Ordering::Relaxed) >> FAILURES_BITS
    }

    /// A refresh has failed at `now`: the next one waits for a second, twice as long after each that fails too, eight
    /// seconds at most.
    pub fn failed(&self, now: Monotonic) {
        let failures = self.0.load(Ordering::Relaxed) & MOST_FAILURES;
        // The second that has begun counts for none.
        let due = seconds(now) + 1 + (1 << failures);
        let failures = (failures + 1).min(MOST_FAILURES);
        self.0
            .store((due << FAILURES_BITS) | failures, Ordering::Relaxed);
    }
}

/// Of the monotonic clock, as far as they can be counted beside the failures: for seventeen years.
fn seconds(time: Monotonic) -> u32 {
    let most = u32::MAX >> (FAILURES_BITS + 1);
    u32::try_from(time.as_millis() / 1000).map_or(most, |seconds| seconds.min(most))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refreshes_that_fail_are_tried_again_later_each_time_and_never_much_later() {
        let refreshes = Refreshes::default();
        let mut now = 3_700;
        assert!(refreshes.is_due(Monotonic::from_millis(now)));
        for most in [2_000, 3_000, 5_000, 9_000, 9_000, 9_000] {
            refreshes.failed(Monotonic::from_millis(now));
            assert!(!refreshes.is_due(Monotonic::from_millis(now + most - 1_000)));
            now += most;
            assert!(refreshes.is_due(Monotonic::from_millis(now)), "{most}");
        }
        refreshes.failed(Monotonic::from_millis(u64::MAX / 1_000));
    }
}
