//! Polls the future of a connection, and acts between two polls on what the worker has decided about it.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;

use super::state::{Action, State};

/// Why a connection is not polled any more.
pub(super) enum Driven<E> {
    Ended(Result<(), E>),
    /// It is to be dropped at once.
    Stopped,
    /// It has been idle for some time, and gives up its buffers.
    Parked,
}

/// Polls `connection` until it ends or the worker has decided against it. `close_gracefully` is called once, when the
/// connection is to take no further request.
pub(super) async fn drive<C, E>(
    state: &State,
    mut connection: Pin<&mut C>,
    close_gracefully: impl Fn(Pin<&mut C>),
) -> Driven<E>
where
    C: Future<Output = Result<(), E>>,
{
    let mut is_closing = false;
    poll_fn(|cx| {
        state.register_waker(cx);
        loop {
            if state.action() == Action::Stop {
                return Poll::Ready(Driven::Stopped);
            }
            let abandoned = state.is_content_abandoned();
            // Before it is closed: a request that has just arrived is still answered.
            if let Poll::Ready(ended) = connection.as_mut().poll(cx) {
                return Poll::Ready(Driven::Ended(ended));
            }
            match state.is_content_abandoned() {
                // hyper has been polled since its reader was dropped: it has read the rest, or will read nothing more.
                true if abandoned => state.end_content(),
                true => continue,
                false => {}
            }
            if state.park_if_idle() {
                return Poll::Ready(Driven::Parked);
            }
            if is_closing || state.action() != Action::CloseGracefully {
                return Poll::Pending;
            }
            is_closing = true;
            state.begin_graceful_close();
            close_gracefully(connection.as_mut());
        }
    })
    .await
}
