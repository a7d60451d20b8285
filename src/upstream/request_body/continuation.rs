//! Content whose client waits for a 100 (Continue) (RFC 9110 §10.1.1).

use std::task::{Context, Poll, ready};

use crate::upstream::deadline::Deadline;
use crate::upstream::expectation::{Expectation, MAX_WAIT};

pub(super) struct Continuation {
    expectation: Expectation,
    deadline: Deadline,
    armed: bool,
}

impl Continuation {
    pub(super) fn new(expectation: Expectation) -> Self {
        Self {
            expectation,
            deadline: Deadline::default(),
            armed: false,
        }
    }

    pub(super) fn expectation(&self) -> Expectation {
        self.expectation.clone()
    }

    /// Ready when the content may be read: the API wants it, or has not answered for [`MAX_WAIT`].
    pub(super) fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.expectation.poll_met(cx).is_ready() {
            return Poll::Ready(());
        }
        if !self.armed {
            self.armed = true;
            self.deadline.arm(MAX_WAIT);
        }
        ready!(self.deadline.poll_passed(cx));
        // A final response that came in time still counts.
        self.expectation.meet();
        self.expectation.poll_met(cx)
    }
}
