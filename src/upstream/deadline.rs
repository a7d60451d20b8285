//! The timer of a connection's exchanges. Arming it again for the next wait neither allocates nor, most of the time,
//! touches the timer wheel. A deadline that has passed leaves time for a last look ([`LAST_LOOK`]).

use std::future::Future as _;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::task::unconstrained;
use tokio::time::{Instant, Sleep};

use crate::clock::LAST_LOOK;
pub(super) use crate::clock::timer_now;

/// A timer that is made at its first use and armed any number of times.
#[derive(Debug, Default)]
pub(super) struct Deadline {
    sleep: Option<Pin<Box<Sleep>>>,
    /// It has passed, and the last look is under way or over.
    passed: bool,
}

impl Deadline {
    pub(super) fn arm(&mut self, after: Duration) {
        self.arm_at(far(timer_now(), after));
    }

    pub(super) fn arm_at(&mut self, at: Instant) {
        self.passed = false;
        match &mut self.sleep {
            Some(sleep) => sleep.as_mut().reset(at),
            None => self.sleep = Some(Box::pin(tokio::time::sleep_until(at))),
        }
    }

    /// Ready when the deadline has passed; never before it is armed.
    pub(super) fn poll_passed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(sleep) = &mut self.sleep else {
            return Poll::Pending;
        };
        loop {
            // A peer that sends without end uses up the budget of the task that reads it: the deadline holds all the same.
            ready!(pin!(unconstrained(sleep.as_mut())).poll(cx));
            if self.passed {
                return Poll::Ready(());
            }
            self.passed = true;
            sleep.as_mut().reset(timer_now() + LAST_LOOK);
        }
    }
}

/// `from` plus `after`; plus a year where an instant cannot hold the sum.
pub(super) fn far(from: Instant, after: Duration) -> Instant {
    from.checked_add(after)
        .unwrap_or_else(|| from + Duration::from_secs(365 * 24 * 60 * 60))
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_deadline_that_passed_leaves_time_for_a_last_look_each_time_it_is_armed() {
        let mut deadline = Deadline::default();
        for _ in 0..2 {
            let begun = timer_now();
            deadline.arm(Duration::from_secs(1));
            // The process was stopped for longer than that.
            tokio::time::advance(Duration::from_secs(60)).await;
            let first = poll_fn(|cx| Poll::Ready(deadline.poll_passed(cx))).await;
            assert!(first.is_pending());
            poll_fn(|cx| deadline.poll_passed(cx)).await;
            assert!(timer_now() - begun >= Duration::from_secs(60) + LAST_LOOK);
            let again = poll_fn(|cx| Poll::Ready(deadline.poll_passed(cx))).await;
            assert!(again.is_ready(), "it stays passed");
        }
    }
}
