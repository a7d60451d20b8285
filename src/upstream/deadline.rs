//! The timer of a connection's exchanges. Arming it again for the next wait neither allocates nor, most of the time,
//! touches the timer wheel.

use std::future::Future as _;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::task::unconstrained;
use tokio::time::{Instant, Sleep};

pub(super) use crate::clock::timer_now;

/// A timer that is made at its first use and armed any number of times.
#[derive(Debug, Default)]
pub(super) struct Deadline {
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Deadline {
    pub(super) fn arm(&mut self, after: Duration) {
        self.arm_at(far(timer_now(), after));
    }

    pub(super) fn arm_at(&mut self, at: Instant) {
        match &mut self.sleep {
            Some(sleep) => sleep.as_mut().reset(at),
            None => self.sleep = Some(Box::pin(tokio::time::sleep_until(at))),
        }
    }

    /// Ready when the deadline has passed; never before it is armed.
    pub(super) fn poll_passed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.sleep {
            // A peer that sends without end uses up the budget of the task that reads it: the deadline holds all the same.
            Some(sleep) => pin!(unconstrained(sleep.as_mut())).poll(cx),
            None => Poll::Pending,
        }
    }
}

/// `from` plus `after`; a sum beyond what an instant can hold is a year.
pub(super) fn far(from: Instant, after: Duration) -> Instant {
    from.checked_add(after)
        .unwrap_or_else(|| from + Duration::from_secs(365 * 24 * 60 * 60))
}
