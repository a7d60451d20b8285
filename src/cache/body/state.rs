//! The state of a body that its readers and its writer share, under its lock.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use smallvec::SmallVec;

use super::stored::{SEGMENT, StoredBody};
use crate::cache::budget::{Budget, InFlight, Passing};
use crate::error::{Error, ErrorKind};

/// A reader's next result.
#[derive(Debug)]
pub enum Chunk {
    Data(Bytes),
    Trailers(HeaderMap),
}

/// How many bytes of a body that is not to be stored are kept for its slowest reader.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    /// Of this body.
    pub each: u64,
    /// Of all such bodies together; beyond it each has a [`SEGMENT`](SEGMENT).
    pub all: u64,
}

pub(super) type Wakers = SmallVec<[Waker; 4]>;

pub(super) fn wake(wakers: Wakers) {
    wakers.into_iter().for_each(Waker::wake);
}

/// Bytes of the first allocation for a body; later ones are [`SEGMENT`].
const FIRST_SEGMENT: usize = 16 * 1024;

/// Bytes that a piece takes beside its octets: those of small chunks, each of which is read at once, are many. A piece
/// that is a whole segment is not worth counting.
pub(super) const PIECE: u64 = size_of::<Bytes>() as u64;

#[derive(Debug)]
pub(super) struct State {
    /// Pieces still kept, in order.
    pieces: VecDeque<Bytes>,
    /// Content that no reader has read yet, and room for more: it grows into one piece, whatever the size of the chunks.
    tail: BytesMut,
    /// How many pieces before the kept ones were let go.
    dropped: u64,
    /// Bytes in the pieces that were let go.
    dropped_bytes: u64,
    /// Bytes received in all.
    pub(super) received: u64,
    pub(super) end: End,
    /// `None` while the body may be stored.
    window: Option<(Window, Passing)>,
    readers: Vec<Option<Place>>,
    pub(super) writer: Option<Waker>,
    token: Option<InFlight>,
}

#[derive(Debug)]
pub(super) enum End {
    Open,
    Complete(Option<HeaderMap>),
    Failed(Error),
}

/// Where a reader stands.
#[derive(Debug, Default)]
struct Place {
    /// Bytes handed to it so far, counted from the start of the body.
    offset: u64,
    /// The piece it reads next, counted from the start of the body, and how much of that it has had already.
    piece: u64,
    skip: usize,
    waker: Option<Waker>,
    /// How long others have waited for it since it last had everything.
    owed: Duration,
    cut: bool,
    /// The trailers have been handed to it.
    ended: bool,
}

impl State {
    pub(super) fn new(budget: &Arc<Budget>) -> Self {
        Self {
            pieces: VecDeque::new(),
            tail: BytesMut::new(),
            dropped: 0,
            dropped_bytes: 0,
            received: 0,
            end: End::Open,
            window: None,
            readers: Vec::new(),
            writer: None,
            token: Some(InFlight::empty(budget)),
        }
    }

    /// A reader's slot; `None` when the first bytes are gone already.
    pub(super) fn place_reader(&mut self) -> Option<usize> {
        if self.dropped > 0 {
            return None;
        }
        let vacant = self.readers.iter().position(Option::is_none);
        let slot = vacant.unwrap_or(self.readers.len());
        match vacant {
            Some(slot) => self.readers[slot] = Some(Place::default()),
            None => self.readers.push(Some(Place::default())),
        }
        Some(slot)
    }

    pub(super) fn leave(&mut self, slot: usize) {
        self.readers[slot] = None;
    }

    /// Those who read and were not cut off.
    pub(super) fn has_readers(&self) -> bool {
        self.places().next().is_some()
    }

    pub(super) fn any_reader_has_all(&self) -> bool {
        self.places().any(|place| place.offset == self.received)
    }

    fn places(&self) -> impl Iterator<Item = &Place> {
        self.readers.iter().flatten().filter(|place| !place.cut)
    }

    pub(super) fn window(&self) -> Option<Window> {
        self.window.as_ref().map(|(window, _)| *window)
    }

    pub(super) fn open_window(&mut self, window: Window) {
        if let Some(token) = &self.token {
            self.window = Some((window, token.passing()));
        }
        self.trim();
    }

    /// Asks the budget for `bytes` more, which are to be appended.
    #[must_use]
    pub(super) fn may_grow(&mut self, bytes: usize) -> bool {
        let piece = if self.tail.is_empty() { PIECE } else { 0 };
        let token = self.token.as_mut();
        token.is_none_or(|token| token.grow(bytes as u64 + piece))
    }

    pub(super) fn append(&mut self, mut data: &[u8]) {
        self.received += data.len() as u64;
        while !data.is_empty() {
            // The last segment takes what it has room for.
            let room = self.tail.capacity() - self.tail.len();
            let fits = data.len().min(room);
            if fits == 0 {
                let is_first = self.tail.is_empty() && self.dropped == 0 && self.pieces.is_empty();
                self.close_tail();
                let size = if is_first { FIRST_SEGMENT } else { SEGMENT };
                self.tail = BytesMut::with_capacity(size);
                continue;
            }
            self.tail.extend_from_slice(&data[..fits]);
            data = &data[fits..];
        }
        self.count_passing();
    }

    fn close_tail(&mut self) {
        if !self.tail.is_empty() {
            self.pieces.push_back(self.tail.split().freeze());
        }
    }

    /// Bytes that are kept, and what keeping them costs.
    fn kept(&self) -> u64 {
        let pieces = self.pieces.len() as u64 + u64::from(!self.tail.is_empty());
        self.received - self.dropped_bytes + pieces * PIECE
    }

    fn count_passing(&mut self) {
        let kept = self.kept();
        if let Some((_, passing)) = &mut self.window {
            let counted = self.token.as_ref().map_or(0, InFlight::bytes);
            passing.set(kept.saturating_sub(counted));
        }
    }

    /// Lets go of what every reader has passed; only in window mode. Returns whether the writer has room.
    pub(super) fn trim(&mut self) -> bool {
        if self.window.is_none() {
            return true;
        }
        let slowest = self.places().map(|place| place.piece).min();
        if slowest.is_none() {
            self.close_tail();
        }
        while self.dropped < slowest.unwrap_or(u64::MAX) {
            let Some(piece) = self.pieces.pop_front() else {
                break;
            };
            self.dropped += 1;
            self.dropped_bytes += piece.len() as u64;
        }
        let kept = self.kept();
        if let Some(token) = &mut self.token {
            token.shrink_to(kept);
        }
        self.count_passing();
        let Some((window, passing)) = &self.window else {
            return true;
        };
        kept < window.each && (kept < SEGMENT as u64 || passing.of_all() < window.all)
    }

    /// The whole body for the store. Readers that are not through yet go on in it, so that the bytes of the fill are let
    /// go.
    pub(super) fn seal(&mut self) -> Option<StoredBody> {
        self.close_tail();
        let mut token = self.token.take()?.arrived();
        token.shrink_to(self.received);
        let unused = self.tail.capacity();
        self.tail = BytesMut::new();
        let stored = StoredBody::of_segments(self.pieces.make_contiguous(), unused, token);
        self.pieces = stored.pieces().iter().cloned().collect();
        for place in self.readers.iter_mut().flatten() {
            let (piece, skip) = find(&self.pieces, place.offset);
            (place.piece, place.skip) = (piece as u64, skip);
        }
        Some(stored)
    }

    pub(super) fn reader_wakers(&mut self) -> Wakers {
        self.readers
            .iter_mut()
            .flatten()
            .filter_map(|place| place.waker.take())
            .collect()
    }

    /// Puts `waited` on the account of every reader behind `line`. Those who then owe more than `most` are cut off.
    pub(super) fn charge(&mut self, line: u64, waited: Duration, most: Duration) -> Wakers {
        let mut wakers = Wakers::new();
        let places = self.readers.iter_mut().flatten();
        for place in places.filter(|place| place.offset < line) {
            place.owed = place.owed.saturating_add(waited);
            if place.owed > most {
                place.cut = true;
                wakers.extend(place.waker.take());
            }
        }
        wakers
    }

    /// The next result for the reader of `slot`; `None` when it has read all that has come.
    pub(super) fn read(&mut self, slot: usize) -> Option<Result<Bytes, Error>> {
        let place = self.readers[slot].as_ref()?;
        if place.cut {
            return Some(Err(Error::downstream(ErrorKind::ReaderTooSlow)));
        }
        let index = usize::try_from(place.piece - self.dropped).ok()?;
        if index == self.pieces.len() {
            self.close_tail();
        }
        let (piece, place) = (self.pieces.get(index)?, self.readers[slot].as_mut()?);
        let next = piece.slice(place.skip..);
        place.piece += 1;
        place.skip = 0;
        place.offset += next.len() as u64;
        Some(Ok(next))
    }

    /// For a reader that has all that has come.
    pub(super) fn poll_end(
        &mut self,
        slot: usize,
        waker: &Waker,
    ) -> Poll<Option<Result<Chunk, Error>>> {
        let Some(place) = self.readers[slot].as_mut() else {
            return Poll::Ready(None);
        };
        match &self.end {
            End::Open => {
                place.waker = Some(waker.clone());
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

/// The piece with the octet at `offset`, and how many of its octets are before that.
fn find(pieces: &VecDeque<Bytes>, offset: u64) -> (usize, usize) {
    let mut before = 0;
    for (index, piece) in pieces.iter().enumerate() {
        let end = before + piece.len() as u64;
        if offset < end {
            return (index, (offset - before) as usize);
        }
        before = end;
    }
    (pieces.len(), 0)
}
