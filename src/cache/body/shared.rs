//! A body as its readers see it.

use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll};

use super::state::{Chunk, State};
use crate::cache::sync::{Mutex, MutexGuard};
use crate::error::Error;

/// The shared part: readers and the writer hold it.
#[derive(Debug)]
pub struct SharedBody {
    state: Mutex<State>,
}

impl SharedBody {
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

    /// An empty body without a writer.
    pub(super) fn of(state: State) -> Self {
        Self {
            state: Mutex::new(state),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
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
