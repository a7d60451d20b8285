//! Polls several futures, and takes the one that is ready first.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

/// Polls `futures` in their order up to one that is ready. Returns its place and its output; it must not be polled again.
pub(super) fn poll_first<'a, F: Future + Unpin + 'a>(
    futures: impl Iterator<Item = &'a mut F>,
    cx: &mut Context<'_>,
) -> Poll<(usize, F::Output)> {
    for (at, future) in futures.enumerate() {
        if let Poll::Ready(output) = Pin::new(future).poll(cx) {
            return Poll::Ready((at, output));
        }
    }
    Poll::Pending
}
