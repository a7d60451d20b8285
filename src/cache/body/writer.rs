//! The one who fills a body.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::HeaderMap;

use super::shared::SharedBody;
use super::state::{End, State, Window, wake};
use super::stored::StoredBody;
use crate::cache::budget::Budget;
use crate::error::{Error, ErrorKind};

/// Fills a [`SharedBody`]. Dropped before [`Writer::end`], it fails the body.
#[derive(Debug)]
pub struct Writer {
    body: Arc<SharedBody>,
    ended: bool,
}

/// The budget had no room for more bytes of a body that was to be stored.
#[derive(Debug, PartialEq, Eq)]
pub struct OverBudget;

impl SharedBody {
    /// An empty body and its one writer; bytes are counted against `budget`.
    pub fn new(budget: &Arc<Budget>) -> (Arc<Self>, Writer) {
        let body = Arc::new(Self::of(State::new(budget)));
        let writer = Writer {
            body: body.clone(),
            ended: false,
        };
        (body, writer)
    }
}

impl Writer {
    /// Appends a copy of `data` and wakes the readers. In window mode the budget is not asked: the window bounds it.
    ///
    /// # Errors
    /// [`OverBudget`], with nothing appended, while the body may be stored and the budget is used up.
    pub fn push(&mut self, data: &[u8]) -> Result<(), OverBudget> {
        self.append(data)?;
        let wakers = self.body.lock().reader_wakers();
        wake(wakers);
        Ok(())
    }

    /// Appends the last bytes without waking anybody: they are to be stored before a reader can have them all.
    ///
    /// # Errors
    /// As [`Writer::push`].
    pub fn append(&mut self, data: &[u8]) -> Result<(), OverBudget> {
        let mut state = self.body.lock();
        if state.window().is_none() && !state.may_grow(data.len()) {
            return Err(OverBudget);
        }
        state.append(data);
        Ok(())
    }

    /// Bytes received so far.
    pub fn received(&self) -> u64 {
        self.body.lock().received
    }

    /// Whether anybody still reads, and was not cut off.
    pub fn has_readers(&self) -> bool {
        self.body.lock().has_readers()
    }

    /// From here on the body is not to be stored: about as many bytes are kept for the slowest reader as `window` says.
    pub fn stop_storing(&mut self, window: Window) {
        self.body.lock().open_window(window);
    }

    /// Ready when there is room for more in the window (always, while the body may be stored), or nobody reads.
    pub fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.body.lock();
        if state.trim() {
            return Poll::Ready(());
        }
        state.writer = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Whether some reader has read everything while another keeps the window full.
    pub fn slow_readers_hold_up_others(&self) -> bool {
        let state = self.body.lock();
        state.window().is_some() && state.any_reader_has_all()
    }

    /// Others have waited for `waited`: that is on the account of every reader who is more than half a window behind, and
    /// who owes more than `most` is cut off, and sees [`ErrorKind::ReaderTooSlow`]. One that has everything owes nothing:
    /// readers of about the same pace, who are behind by turns, part with nobody.
    pub fn charge_slow_readers(&mut self, waited: Duration, most: Duration) {
        let mut state = self.body.lock();
        let Some(window) = state.window() else {
            return;
        };
        let line = state.received.saturating_sub(window.each / 2);
        let wakers = state.charge(line, waited, most);
        state.trim();
        drop(state);
        wake(wakers);
    }

    /// The whole body for the store, after its verified last byte; `None` when it was declared unstorable.
    /// [`Writer::end`] is still to be called.
    pub fn seal(&mut self) -> Option<StoredBody> {
        let mut state = self.body.lock();
        if state.window().is_none() {
            state.seal()
        } else {
            None
        }
    }

    /// Ends the body after its verified last byte.
    pub fn end(mut self, trailers: Option<HeaderMap>) {
        self.ended = true;
        let mut state = self.body.lock();
        state.end = End::Complete(trailers);
        let wakers = state.reader_wakers();
        drop(state);
        wake(wakers);
    }

    /// Ends the body with a failure that every reader sees after the bytes it can still have.
    pub fn fail(mut self, error: Error) {
        self.end_with(error);
    }

    fn end_with(&mut self, error: Error) {
        self.ended = true;
        let mut state = self.body.lock();
        state.end = End::Failed(error);
        let wakers = state.reader_wakers();
        drop(state);
        wake(wakers);
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if !self.ended {
            self.end_with(Error::upstream(ErrorKind::ResponseIncomplete));
        }
    }
}
