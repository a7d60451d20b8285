//! A bound on the streams that a client resets before their response has ended (CVE-2023-44487): such a request costs the
//! API as much as any other, and its client next to nothing. The bound is a token bucket. A stream that has lasted is no such
//! request: event streams end when their reader leaves, and a proxy in front has those of all its users on one connection.

/// Milliseconds after which a token is added.
const REFILL: u64 = 1_000;

/// A stream that is reset after so many milliseconds does not count.
const LASTING: u64 = 1_000;

/// The streams that a connection's client may still reset.
#[derive(Clone, Copy, Debug)]
pub(super) struct Resets {
    max: u32,
    left: u32,
    /// When a token was last added by time, in milliseconds of the worker's coarse clock.
    since: u64,
}

/// How a response on a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) enum StreamEnd {
    /// The client has, or will have, all of it.
    Complete,
    /// The client reset the stream, or took nothing of it for too long.
    Reset,
    /// It broke off on our side.
    Failed,
}

impl Resets {
    pub fn new(max: u32, now: u64) -> Self {
        Self {
            max,
            left: max,
            since: now,
        }
    }

    /// Counts a stream that began at `began` and has ended: a complete one adds a token, one that was soon reset takes one.
    /// Returns false when there is none to take.
    pub fn count(&mut self, end: StreamEnd, began: u64, now: u64) -> bool {
        match end {
            StreamEnd::Complete => self.left = (self.left + 1).min(self.max),
            StreamEnd::Failed => {}
            StreamEnd::Reset if now.saturating_sub(began) >= LASTING => {}
            StreamEnd::Reset => {
                let refills = now.saturating_sub(self.since) / REFILL;
                self.since += refills * REFILL;
                let refills = u32::try_from(refills).unwrap_or(u32::MAX);
                let left = self.left.saturating_add(refills).min(self.max);
                self.left = left.saturating_sub(1);
                return left > 0;
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_may_reset_so_many_and_more_as_others_end_and_time_passes() {
        use StreamEnd::{Complete, Failed, Reset};
        // (end, milliseconds, within the bound)
        #[rustfmt::skip]
        let table = [
            (Reset, 0, true), (Reset, 0, true), (Reset, 0, true), (Reset, 0, false),
            (Complete, 0, true), (Reset, 0, true), (Reset, 0, false),
            (Failed, 0, true), (Reset, 0, false),
            (Reset, 999, false), (Reset, 1_000, true), (Reset, 1_999, false), (Reset, 2_000, true),
            // Never more than the bound at once.
            (Complete, 3_000, true), (Complete, 3_000, true), (Complete, 3_000, true), (Complete, 3_000, true),
            (Reset, 90_000, true), (Reset, 90_000, true), (Reset, 90_000, true), (Reset, 90_000, false),
        ];
        let mut resets = Resets::new(3, 0);
        for (at, (outcome, now, expected)) in table.into_iter().enumerate() {
            assert_eq!(
                resets.count(outcome, now, now),
                expected,
                "{at}: {outcome:?}"
            );
        }
        // One that has lasted takes no token, not even the last.
        for (began, now, expected) in [
            (90_000, 91_000, true),
            (90_001, 91_000, true),
            (90_001, 91_000, false),
            (90_000, 91_000, true),
        ] {
            assert_eq!(resets.count(Reset, began, now), expected, "{began}");
        }
    }
}
