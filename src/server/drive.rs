//! A connection's future is polled here, and between two polls what the worker has decided about it is obeyed.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;

use super::state::{Orders, State};

/// Why a connection is not polled any more.
pub(super) enum Driven<E> {
    Ended(Result<(), E>),
    /// All is to stop.
    Stopped,
    /// It has been idle for some time.
    Asleep,
}

/// Polls `connection` until there is a reason not to, and tells it once when it is to take no further request.
pub(super) async fn drive<C, E>(
    state: &State,
    mut connection: Pin<&mut C>,
    wind_down: impl Fn(Pin<&mut C>),
) -> Driven<E>
where
    C: Future<Output = Result<(), E>>,
{
    let mut told = false;
    poll_fn(|cx| {
        state.watch(cx);
        loop {
            if state.orders() == Orders::Stop {
                return Poll::Ready(Driven::Stopped);
            }
            let abandoned = state.is_content_abandoned();
            // Before it is told: a request that has just arrived is still answered.
            if let Poll::Ready(ended) = connection.as_mut().poll(cx) {
                return Poll::Ready(Driven::Ended(ended));
            }
            match state.is_content_abandoned() {
                // hyper has seen that nobody reads it: it has read the rest, or reads nothing any more.
                true if abandoned => state.content_ends(),
                true => continue,
                false => {}
            }
            if state.falls_asleep() {
                return Poll::Ready(Driven::Asleep);
            }
            if told || state.orders() != Orders::WindDown {
                return Poll::Pending;
            }
            told = true;
            state.winds_down();
            wind_down(connection.as_mut());
        }
    })
    .await
}
