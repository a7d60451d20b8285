//! How many streams a client may reset before their response has ended (CVE-2023-44487): a request costs the API as much
//! when nobody waits for its response, and costs its client next to nothing.

/// Milliseconds after which one more may be reset.
const REFILL: u64 = 1_000;

/// What a connection's client may still reset.
#[derive(Clone, Copy, Debug)]
pub(super) struct Resets {
    most: u32,
    left: u32,
    /// Milliseconds of the worker's coarse clock: since then there was no refill by time.
    since: u64,
}

/// How a response on a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) enum Outcome {
    /// Whole.
    Ended,
    /// The client gave it up, or took nothing of it for too long.
    Reset,
    /// It broke off on our side.
    Failed,
}

impl Resets {
    pub fn new(most: u32, now: u64) -> Self {
        Self {
            most,
            left: most,
            since: now,
        }
    }

    /// Counts a response; false when the client has reset more than it may.
    pub fn count(&mut self, outcome: Outcome, now: u64) -> bool {
        match outcome {
            Outcome::Ended => self.left = (self.left + 1).min(self.most),
            Outcome::Failed => {}
            Outcome::Reset => {
                let refills = now.saturating_sub(self.since) / REFILL;
                self.since += refills * REFILL;
                let refills = u32::try_from(refills).unwrap_or(u32::MAX);
                let left = self.left.saturating_add(refills).min(self.most);
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
        use Outcome::{Ended, Failed, Reset};
        // (outcome, milliseconds, within bounds)
        #[rustfmt::skip]
        let table = [
            (Reset, 0, true), (Reset, 0, true), (Reset, 0, true), (Reset, 0, false),
            (Ended, 0, true), (Reset, 0, true), (Reset, 0, false),
            (Failed, 0, true), (Reset, 0, false),
            (Reset, 999, false), (Reset, 1_000, true), (Reset, 1_999, false), (Reset, 2_000, true),
            // Never more than the bound at once.
            (Ended, 3_000, true), (Ended, 3_000, true), (Ended, 3_000, true), (Ended, 3_000, true),
            (Reset, 90_000, true), (Reset, 90_000, true), (Reset, 90_000, true), (Reset, 90_000, false),
        ];
        let mut resets = Resets::new(3, 0);
        for (at, (outcome, now, expected)) in table.into_iter().enumerate() {
            assert_eq!(resets.count(outcome, now), expected, "{at}: {outcome:?}");
        }
    }
}
