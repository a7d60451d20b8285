//! How long to wait for a response. The time does not run while the upstream waits for the client's content.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Instant;

use super::deadline::{self, Deadline};
use super::request_body::{Awaiting, Upload};
use crate::turn;

/// Waits for a response's head, at most `timeout` from when the upstream had all of the request that could be sent; `None`
/// when that has passed.
///
/// `written` returns when the latest part of the request was written.
pub(super) async fn head_within<F: Future>(
    timeout: Duration,
    sending: F,
    deadline: &mut Deadline,
    written: impl Fn() -> Instant,
    upload: Option<&Upload>,
) -> Option<F::Output> {
    deadline.arm(timeout);
    let mut sending = pin!(sending);
    poll_fn(|cx| {
        let late = turn::is_over();
        match sending.as_mut().poll(cx) {
            Poll::Ready(sent) => return Poll::Ready(Some(sent)),
            Poll::Pending if late => return turn::put_off(cx),
            Poll::Pending => {}
        }
        poll_overdue(deadline, &written, upload, timeout, cx).map(|()| None)
    })
    .await
}

/// Ready when `timeout` has passed since the upstream had all of the request that could be sent. When the timer fires and
/// more has been written since it was armed, it is armed again.
pub(super) fn poll_overdue(
    deadline: &mut Deadline,
    written: impl Fn() -> Instant,
    upload: Option<&Upload>,
    timeout: Duration,
    cx: &mut Context<'_>,
) -> Poll<()> {
    while deadline.poll_passed(cx).is_ready() {
        let now = deadline::timer_now();
        let until = match upload.map(Upload::awaiting) {
            Some(Awaiting::Client) => deadline::far(now, timeout),
            Some(Awaiting::Upstream(at)) => deadline::far(at.max(written()), timeout),
            Some(Awaiting::NotStarted) | None => deadline::far(written(), timeout),
        };
        if until <= now {
            return Poll::Ready(());
        }
        deadline.arm_at(Instant::max(until, now));
    }
    Poll::Pending
}
