//! A body that is being filled by one writer and read by many, each at its own pace.
//!
//! While the body may still be stored, all of it is kept. Once it may not ([`Writer::stop_storing`]), only a window
//! is kept: the writer waits for its readers, and [`Writer::charge_laggards`] parts with those who hold the others up for
//! too long.

mod state;
mod stored;
mod writer;

use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::HeaderMap;
use smallvec::SmallVec;

use self::state::State;
pub use self::stored::{StoredBody, counted};
pub use self::writer::{OverBudget, Window, Writer};
use super::budget::Budget;
use super::sync::{Mutex, MutexGuard};
use crate::error::Error;

/// Bytes of an allocation, and the largest body that is kept in one piece.
pub const SEGMENT: usize = 64 * 1024;

/// What a reader gets next.
#[derive(Debug)]
pub enum Chunk {
    Data(Bytes),
    Trailers(HeaderMap),
}

/// The shared part: readers and the writer hold it.
#[derive(Debug)]
pub struct SharedBody {
    state: Mutex<State>,
}

type Wakers = SmallVec<[Waker; 4]>;

fn wake(wakers: Wakers) {
    wakers.into_iter().for_each(Waker::wake);
}

impl SharedBody {
    /// An empty body and its one writer; bytes are counted against `budget`.
    pub fn new(budget: &Arc<Budget>) -> (Arc<Self>, Writer) {
        let body = Arc::new(Self {
            state: Mutex::new(State::new(budget)),
        });
        let writer = Writer::new(body.clone());
        (body, writer)
    }

    /// A reader from the first byte on; `None` when the first bytes are gone already.
    pub fn reader(self: &Arc<Self>) -> Option<Reader> {
        let slot = self.lock().place_reader()?;
        Some(Reader {
            body: self.clone(),
            slot,
        })
    }

    /// Whether anybody reads it, and whether it may still be stored. Wakes the writer's task when a reader leaves.
    pub fn poll_use(&self, cx: &mut Context<'_>) -> (bool, bool) {
        let mut state = self.lock();
        state.writer = Some(cx.waker().clone());
        (state.has_readers(), state.window().is_none())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads a [`SharedBody`] from its first byte.
#[derive(Debug)]
pub struct Reader {
    body: Arc<SharedBody>,
    slot: usize,
}

impl Reader {
    /// The next piece of the body; `None` after its verified end.
    pub fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Chunk, Error>>> {
        let mut state = self.body.lock();
        let Some(next) = state.read(self.slot) else {
            return state.poll_end(self.slot, cx.waker());
        };
        let writer = if next.is_ok() && state.trim() {
            state.writer.take()
        } else {
            None
        };
        drop(state);
        if let Some(writer) = writer {
            writer.wake();
        }
        Poll::Ready(Some(next.map(Chunk::Data)))
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut state = self.body.lock();
        state.leave(self.slot);
        state.trim();
        let writer = state.writer.take();
        drop(state);
        if let Some(writer) = writer {
            writer.wake();
        }
    }
}

#[cfg(test)]
mod tests;
