//! A body that is being filled by one writer and read by many, each at its own pace.
//!
//! While the body may still be stored, all of it is kept. Once it may not ([`Writer::stop_storing`]), only a window
//! is kept: the writer waits for its readers, and [`Writer::charge_laggards`] parts with those who hold the others up for
//! too long.

mod stored;

use std::collections::VecDeque;
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use smallvec::SmallVec;

pub use self::stored::{StoredBody, counted};
use super::budget::{Budget, Token};
use super::sync::{Mutex, MutexGuard};
use crate::error::{Error, ErrorKind};

/// Bytes of the first allocation for a body; later ones are [`SEGMENT`].
const FIRST_SEGMENT: usize = 16 * 1024;
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

#[derive(Debug)]
struct State {
    /// Pieces still kept, in order.
    pieces: VecDeque<Bytes>,
    /// How many pieces before the kept ones were let go.
    dropped: u64,
    /// Bytes in the pieces that were let go.
    dropped_bytes: u64,
    /// Bytes received in all.
    received: u64,
    end: End,
    /// Bytes that may be kept beyond what every reader has read; `None` while the body may be stored.
    window: Option<u64>,
    readers: Vec<Option<Place>>,
    writer: Option<Waker>,
    token: Option<Token>,
}

#[derive(Debug)]
enum End {
    Open,
    Complete(Option<HeaderMap>),
    Failed(Error),
}

/// Where a reader stands.
#[derive(Debug)]
struct Place {
    /// Bytes handed to it so far, counted from the start of the body.
    offset: u64,
    /// The piece it reads next, counted from the start of the body.
    piece: u64,
    waker: Option<Waker>,
    /// How long others have waited for it since it last had everything.
    owed: Duration,
    cut: bool,
    /// The trailers have been handed to it.
    ended: bool,
}

type Wakers = SmallVec<[Waker; 4]>;

fn wake(wakers: Wakers) {
    wakers.into_iter().for_each(Waker::wake);
}

impl SharedBody {
    /// An empty body and its one writer; bytes are counted against `budget`.
    pub fn new(budget: &Arc<Budget>) -> (Arc<Self>, Writer) {
        let state = State {
            pieces: VecDeque::new(),
            dropped: 0,
            dropped_bytes: 0,
            received: 0,
            end: End::Open,
            window: None,
            readers: Vec::new(),
            writer: None,
            token: Some(Token::in_flight(budget)),
        };
        let body = Arc::new(Self {
            state: Mutex::new(state),
        });
        let writer = Writer {
            body: body.clone(),
            open: BytesMut::new(),
            ended: false,
        };
        (body, writer)
    }

    /// A reader from the first byte on; `None` when the first bytes are gone already.
    pub fn reader(self: &Arc<Self>) -> Option<Reader> {
        let mut state = self.lock();
        if state.dropped > 0 {
            return None;
        }
        let place = Place {
            offset: 0,
            piece: 0,
            waker: None,
            owed: Duration::ZERO,
            cut: false,
            ended: false,
        };
        let vacant = state.readers.iter().position(Option::is_none);
        let slot = vacant.unwrap_or(state.readers.len());
        match vacant {
            Some(slot) => state.readers[slot] = Some(place),
            None => state.readers.push(Some(place)),
        }
        Some(Reader {
            body: self.clone(),
            slot,
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn places(&self) -> impl Iterator<Item = &Place> {
        self.readers.iter().flatten().filter(|place| !place.cut)
    }

    /// Lets go of what every reader has passed; only in window mode. Returns whether the writer has room.
    fn trim(&mut self) -> bool {
        let Some(window) = self.window else {
            return true;
        };
        let slowest = self
            .places()
            .map(|place| place.piece)
            .min()
            .unwrap_or(u64::MAX);
        while self.dropped < slowest {
            let Some(piece) = self.pieces.pop_front() else {
                break;
            };
            self.dropped += 1;
            self.dropped_bytes += piece.len() as u64;
        }
        let kept = self.received - self.dropped_bytes;
        if let Some(token) = &mut self.token {
            token.shrink_to(kept);
        }
        kept < window
    }

    /// The whole body for the store, `unused` being what is left of its last segment. Readers that are not through yet go
    /// on in slices of it, so that the bytes of the fill are let go.
    fn seal(&mut self, unused: usize) -> Option<StoredBody> {
        let token = self.token.take()?.arrived();
        let pieces = self.pieces.make_contiguous();
        let stored = StoredBody::of_segments(pieces, unused, token);
        let mut from = 0;
        for piece in &mut self.pieces {
            let to = from + piece.len() as u64;
            let slices = stored.slice(from, to);
            if let [slice] = slices.as_slice() {
                *piece = slice.clone();
            }
            from = to;
        }
        Some(stored)
    }

    fn reader_wakers(&mut self) -> Wakers {
        self.readers
            .iter_mut()
            .flatten()
            .filter_map(|place| place.waker.take())
            .collect()
    }
}

/// Fills a [`SharedBody`]. Dropped before [`Writer::end`], it fails the body.
#[derive(Debug)]
pub struct Writer {
    body: Arc<SharedBody>,
    open: BytesMut,
    ended: bool,
}

/// The budget had no room for more bytes of a body that was to be stored.
#[derive(Debug, PartialEq, Eq)]
pub struct OverBudget;

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
    pub fn append(&mut self, mut data: &[u8]) -> Result<(), OverBudget> {
        let body = self.body.clone();
        let mut state = body.lock();
        if state.window.is_none()
            && !state
                .token
                .as_mut()
                .is_none_or(|token| token.grow(data.len() as u64))
        {
            return Err(OverBudget);
        }
        state.received += data.len() as u64;
        while !data.is_empty() {
            if self.open.capacity() == 0 {
                self.open =
                    BytesMut::with_capacity(if state.dropped + state.pieces.len() as u64 == 0 {
                        FIRST_SEGMENT
                    } else {
                        SEGMENT
                    });
            }
            let fits = data.len().min(self.open.capacity());
            self.open.extend_from_slice(&data[..fits]);
            state.pieces.push_back(self.open.split().freeze());
            data = &data[fits..];
        }
        Ok(())
    }

    /// Bytes received so far.
    pub fn received(&self) -> u64 {
        self.body.lock().received
    }

    /// Whether anybody still reads, and was not cut off.
    pub fn has_readers(&self) -> bool {
        self.body.lock().places().next().is_some()
    }

    /// From here on the body is not to be stored: at most about `window` bytes are kept for the slowest reader.
    pub fn stop_storing(&mut self, window: u64) {
        let mut state = self.body.lock();
        state.window = Some(window);
        state.trim();
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
    pub fn laggards_hold_up_others(&self) -> bool {
        let state = self.body.lock();
        let received = state.received;
        state.window.is_some() && state.places().any(|place| place.offset == received)
    }

    /// Others have waited for `waited`: that is on the account of every reader who is more than half a window behind, and
    /// who owes more than `most` is cut off, and sees [`ErrorKind::ReaderTooSlow`]. One that has everything owes nothing:
    /// readers of about the same pace, who are behind by turns, part with nobody.
    pub fn charge_laggards(&mut self, waited: Duration, most: Duration) {
        let mut state = self.body.lock();
        let Some(window) = state.window else { return };
        let line = state.received.saturating_sub(window / 2);
        let mut wakers = Wakers::new();
        for place in state
            .readers
            .iter_mut()
            .flatten()
            .filter(|place| place.offset < line)
        {
            place.owed = place.owed.saturating_add(waited);
            if place.owed > most {
                place.cut = true;
                wakers.extend(place.waker.take());
            }
        }
        state.trim();
        drop(state);
        wake(wakers);
    }

    /// The whole body for the store, after its verified last byte; `None` when it was declared unstorable.
    /// [`Writer::end`] is still to be called.
    pub fn seal(&mut self) -> Option<StoredBody> {
        let mut state = self.body.lock();
        if state.window.is_none() {
            state.seal(self.open.capacity())
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
        let State {
            pieces,
            dropped,
            end,
            readers,
            ..
        } = &mut *state;
        let Some(place) = readers[self.slot].as_mut() else {
            return Poll::Ready(None);
        };
        if place.cut {
            return Poll::Ready(Some(Err(Error::downstream(ErrorKind::ReaderTooSlow))));
        }
        let index = usize::try_from(place.piece - *dropped).unwrap_or(usize::MAX);
        if let Some(piece) = pieces.get(index) {
            place.piece += 1;
            place.offset += piece.len() as u64;
            let piece = piece.clone();
            let writer = if state.trim() {
                state.writer.take()
            } else {
                None
            };
            drop(state);
            if let Some(writer) = writer {
                writer.wake();
            }
            return Poll::Ready(Some(Ok(Chunk::Data(piece))));
        }
        match end {
            End::Open => {
                place.waker = Some(cx.waker().clone());
                place.owed = Duration::ZERO;
                Poll::Pending
            }
            End::Complete(trailers) => {
                let trailers = trailers
                    .clone()
                    .filter(|_| !std::mem::replace(&mut place.ended, true));
                Poll::Ready(trailers.map(|trailers| Ok(Chunk::Trailers(trailers))))
            }
            End::Failed(error) => Poll::Ready(Some(Err(error.share()))),
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut state = self.body.lock();
        state.readers[self.slot] = None;
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
