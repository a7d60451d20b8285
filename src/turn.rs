//! How much a task may read or write before others have their turn.

use std::task::{Context, Poll};

use tokio::task::coop;

/// What one part of a task's budget is worth, in bytes: tokio gives 128 parts a turn, so that is an eighth of a MiB.
const SHARE: usize = 1 << 10;

/// Bytes that are written to one client before others have their turn. They cost the system's copy alone, and less than reads;
/// yet hundreds of clients that take large bodies would keep everybody else waiting for seconds.
pub const WRITTEN: usize = 256 << 10;

/// Takes from the turn of the running task what `read` bytes are worth.
///
/// By itself a read costs one part, however much it brings: a peer that floods with small frames or interim responses,
/// each of which costs time of its own, would have megabytes of them looked at in one turn, and everybody else of this
/// worker would wait for as long.
pub fn take(read: usize, cx: &mut Context<'_>) {
    for _ in 0..read / SHARE {
        // To ask for a part that is not there would wake the task.
        if !coop::has_budget_remaining() {
            return;
        }
        if let Poll::Ready(part) = coop::poll_proceed(cx) {
            part.made_progress();
        }
    }
}

/// Whether nothing is left of the running task's turn. What it asks for then is not looked at: that nothing is there is
/// no sign that a peer keeps anybody waiting.
pub fn is_over() -> bool {
    !coop::has_budget_remaining()
}

/// Leaves it to the task's next turn.
pub fn put_off<T>(cx: &Context<'_>) -> Poll<T> {
    cx.waker().wake_by_ref();
    Poll::Pending
}

#[cfg(test)]
pub mod tests {
    use std::future::poll_fn;

    use super::*;

    /// Polls in a new turn of which nothing is left.
    pub async fn late<T>(mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>) -> Poll<T> {
        tokio::task::yield_now().await;
        poll_fn(|cx| {
            while let Poll::Ready(part) = coop::poll_proceed(cx) {
                part.made_progress();
            }
            Poll::Ready(poll(cx))
        })
        .await
    }

    /// Bytes that a task takes in its first turn from a source that never runs dry, `each` at a time.
    async fn read_in_a_turn(each: usize) -> usize {
        let mut read = 0;
        tokio::spawn(poll_fn(move |cx| {
            while let Poll::Ready(part) = coop::poll_proceed(cx) {
                part.made_progress();
                take(each, cx);
                read += each;
            }
            Poll::Ready(read)
        }))
        .await
        .expect("a task")
    }

    #[tokio::test]
    async fn a_turn_ends_after_so_many_bytes_in_whatever_pieces_they_come() {
        for each in [2 << 10, 8 << 10, 64 << 10, 200 << 10] {
            let read = read_in_a_turn(each).await;
            assert!(read <= (128 << 10) + each, "{read} bytes, {each} at a time");
        }
    }

    #[tokio::test]
    async fn what_is_small_costs_nothing_more() {
        assert_eq!(read_in_a_turn(600).await, 128 * 600);
    }
}
