//! How long a stream of content may stall.

use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::error::{Error, ErrorKind};
use crate::upstream::deadline::Deadline;

#[derive(Default)]
pub(super) struct StallTimer {
    /// The limit, even while it is off.
    limit: Option<Duration>,
    /// The limit in force.
    stall: Option<Duration>,
    /// Whether the deadline runs for the content that is waited for now.
    armed: bool,
    deadline: Deadline,
    /// The task that waits for content.
    waker: Option<Waker>,
}

impl StallTimer {
    pub(super) fn set_limit(&mut self, limit: Duration) {
        self.limit = Some(limit);
    }

    /// Turns the limit on or off; the time runs anew.
    pub(super) fn turn(&mut self, on: bool) {
        self.stall = self.limit.filter(|_| on);
        self.armed = false;
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// Content has come.
    pub(super) fn disarm(&mut self) {
        self.armed = false;
    }

    /// Ready with the error to end with when content has not come in time.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Error> {
        self.waker = Some(cx.waker().clone());
        let Some(stall) = self.stall else {
            return Poll::Pending;
        };
        if !self.armed {
            self.deadline.arm(stall);
            self.armed = true;
        }
        self.deadline
            .poll_passed(cx)
            .map(|()| Error::downstream(ErrorKind::RequestBodyTimeout))
    }
}
