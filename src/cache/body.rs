//! A body that is being filled by one writer and read by many, each at its own pace.
//!
//! While the body may still be stored, all of it is kept. Once it may not ([`Writer::stop_storing`]), only a window
//! is kept: the writer waits for its readers, and [`Writer::cut_laggards`] parts with those who hold the others up.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use smallvec::SmallVec;

use super::budget::{Budget, Token};
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

/// A complete body as it is stored.
#[derive(Clone, Debug)]
pub enum StoredBody {
    /// In one piece, possibly empty.
    One(Bytes),
    /// In pieces, for bodies beyond [`SEGMENT`].
    Pieces { pieces: Arc<[Bytes]>, length: u64 },
}

impl StoredBody {
    /// Bytes of content.
    pub fn len(&self) -> u64 {
        match self {
            Self::One(bytes) => bytes.len() as u64,
            Self::Pieces { length, .. } => *length,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The pieces in order.
    pub fn pieces(&self) -> &[Bytes] {
        match self {
            Self::One(bytes) => std::slice::from_ref(bytes),
            Self::Pieces { pieces, .. } => pieces,
        }
    }

    /// The pieces of the half-open byte range `from..to`, without copying.
    pub fn slice(&self, from: u64, to: u64) -> SmallVec<[Bytes; 2]> {
        let mut out = SmallVec::new();
        let mut start = 0;
        for piece in self.pieces() {
            let end = start + piece.len() as u64;
            if end > from && start < to && from < to {
                let low = from.saturating_sub(start) as usize;
                let high = (to.min(end) - start) as usize;
                out.push(piece.slice(low..high));
            }
            start = end;
        }
        out
    }

    /// A stored body of these pieces; small ones and scattered ones are brought together. Every slice that is ever
    /// taken of it keeps `token`.
    pub fn new(pieces: &[Bytes], token: Token) -> Self {
        let length: usize = pieces.iter().map(Bytes::len).sum();
        if length == 0 {
            return Self::One(Bytes::new());
        }
        if length <= SEGMENT {
            return Self::One(Bytes::from_owner(Counted {
                bytes: join(pieces, length),
                _token: token,
            }));
        }
        let scattered = length / pieces.len() < SEGMENT / 8;
        let pieces = if scattered {
            regroup(pieces)
        } else {
            pieces.to_vec()
        };
        let token = Arc::new(token);
        let count = |bytes| counted(bytes, token.clone());
        Self::Pieces {
            pieces: pieces.into_iter().map(count).collect(),
            length: length as u64,
        }
    }
}

/// `bytes`, keeping `token` for as long as anybody holds a slice of them.
pub fn counted<T: Send + 'static>(bytes: Bytes, token: T) -> Bytes {
    Bytes::from_owner(Counted {
        bytes,
        _token: token,
    })
}

/// Bytes that are counted against the budget for as long as anybody holds a slice of them.
struct Counted<B, T> {
    bytes: B,
    _token: T,
}

impl<B: AsRef<[u8]>, T> AsRef<[u8]> for Counted<B, T> {
    fn as_ref(&self) -> &[u8] {
        self.bytes.as_ref()
    }
}

fn join(pieces: &[Bytes], length: usize) -> Box<[u8]> {
    let mut joined = Vec::with_capacity(length);
    for piece in pieces {
        joined.extend_from_slice(piece);
    }
    joined.into_boxed_slice()
}

fn regroup(pieces: &[Bytes]) -> Vec<Bytes> {
    let mut groups = Vec::new();
    let mut group = Vec::with_capacity(SEGMENT);
    for piece in pieces {
        group.extend_from_slice(piece);
        if group.len() >= SEGMENT {
            groups.push(std::mem::replace(&mut group, Vec::with_capacity(SEGMENT)).into());
        }
    }
    if !group.is_empty() {
        group.shrink_to_fit();
        groups.push(group.into());
    }
    groups
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
            token: Some(Token::empty(budget)),
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

    /// The whole body for the store. Readers that are not through yet go on in slices of it, so that the bytes of the
    /// fill are let go.
    fn seal(&mut self) -> Option<StoredBody> {
        let token = self.token.take()?;
        let stored = StoredBody::new(self.pieces.make_contiguous(), token);
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

    /// Cuts off every reader that is more than half a window behind; they see [`ErrorKind::ReaderTooSlow`].
    pub fn cut_laggards(&mut self) {
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
            place.cut = true;
            wakers.extend(place.waker.take());
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
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn budget() -> Arc<Budget> {
        Budget::new(1 << 20)
    }

    fn poll(reader: &mut Reader) -> Poll<Option<Result<Chunk, Error>>> {
        reader.poll_chunk(&mut Context::from_waker(Waker::noop()))
    }

    fn read_all(reader: &mut Reader) -> Result<Vec<u8>, ErrorKind> {
        let mut out = Vec::new();
        loop {
            match poll(reader) {
                Poll::Ready(Some(Ok(Chunk::Data(data)))) => out.extend_from_slice(&data),
                Poll::Ready(Some(Ok(Chunk::Trailers(_)))) => {}
                Poll::Ready(Some(Err(error))) => return Err(error.kind()),
                Poll::Ready(None) => return Ok(out),
                Poll::Pending => panic!("the body has not ended"),
            }
        }
    }

    #[test]
    fn a_late_reader_gets_the_body_from_its_first_byte() {
        let (body, mut writer) = SharedBody::new(&budget());
        let mut early = body.reader().unwrap();
        writer.push(b"one ").unwrap();
        assert!(
            matches!(poll(&mut early), Poll::Ready(Some(Ok(Chunk::Data(data)))) if data == "one ")
        );
        assert!(poll(&mut early).is_pending());
        let mut late = body.reader().unwrap();
        writer.push(b"two").unwrap();
        let stored = writer.seal().unwrap();
        writer.end(None);
        assert_eq!(read_all(&mut late).unwrap(), b"one two");
        assert_eq!(read_all(&mut early).unwrap(), b"two");
        assert_eq!(stored.pieces().concat(), b"one two");
    }

    #[test]
    fn a_waiting_reader_is_woken_once_a_push() {
        let (body, mut writer) = SharedBody::new(&budget());
        let mut reader = body.reader().unwrap();
        let count = Arc::new(Count::default());
        let waker = Waker::from(count.clone());
        assert!(
            reader
                .poll_chunk(&mut Context::from_waker(&waker))
                .is_pending()
        );
        writer.push(b"a").unwrap();
        writer.push(b"b").unwrap();
        assert_eq!(count.0.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn a_writer_that_is_dropped_fails_its_readers_after_their_bytes() {
        let (body, mut writer) = SharedBody::new(&budget());
        let mut reader = body.reader().unwrap();
        writer.push(b"half").unwrap();
        drop(writer);
        assert!(matches!(
            poll(&mut reader),
            Poll::Ready(Some(Ok(Chunk::Data(_))))
        ));
        assert_eq!(read_all(&mut reader), Err(ErrorKind::ResponseIncomplete));
    }

    #[test]
    fn bytes_are_counted_until_the_last_slice_is_gone() {
        let budget = budget();
        let (body, mut writer) = SharedBody::new(&budget);
        writer.push(&[7; 1000]).unwrap();
        assert_eq!(budget.used(), 1000);
        let stored = writer.seal().unwrap();
        writer.end(None);
        drop(body);
        let held = stored.slice(10, 20);
        drop(stored);
        assert_eq!(budget.used(), 1000);
        drop(held);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn a_body_beyond_the_budget_is_refused_whole() {
        let (_body, mut writer) = SharedBody::new(&Budget::new(10));
        writer.push(&[0; 10]).unwrap();
        assert_eq!(writer.push(&[0; 1]), Err(OverBudget));
        assert_eq!(writer.received(), 10);
    }

    #[test]
    fn the_window_holds_the_writer_and_laggards_are_cut() {
        let (body, mut writer) = SharedBody::new(&budget());
        let (mut fast, mut slow) = (body.reader().unwrap(), body.reader().unwrap());
        writer.push(&[1; 600]).unwrap();
        writer.stop_storing(1000);
        let cx = &mut Context::from_waker(Waker::noop());
        assert!(writer.poll_room(cx).is_ready());
        writer.push(&[2; 600]).unwrap();
        assert!(writer.poll_room(cx).is_pending());
        assert!(!writer.laggards_hold_up_others());
        while poll(&mut fast).is_ready() {}
        assert!(writer.laggards_hold_up_others());
        writer.cut_laggards();
        assert!(writer.poll_room(cx).is_ready());
        assert_eq!(read_all(&mut slow), Err(ErrorKind::ReaderTooSlow));
        assert!(body.reader().is_none(), "the first bytes are gone");
        assert!(writer.seal().is_none(), "an unstorable body is not stored");
        writer.end(None);
        assert_eq!(read_all(&mut fast).unwrap(), b"");
    }

    #[test]
    fn trailers_come_once_after_the_last_byte() {
        let (body, mut writer) = SharedBody::new(&budget());
        let mut reader = body.reader().unwrap();
        writer.push(b"x").unwrap();
        let mut trailers = HeaderMap::new();
        trailers.insert("grade", http::HeaderValue::from_static("A"));
        writer.end(Some(trailers));
        assert!(matches!(
            poll(&mut reader),
            Poll::Ready(Some(Ok(Chunk::Data(_))))
        ));
        assert!(matches!(
            poll(&mut reader),
            Poll::Ready(Some(Ok(Chunk::Trailers(_))))
        ));
        assert!(matches!(poll(&mut reader), Poll::Ready(None)));
    }

    #[test]
    fn slices_of_a_body_in_pieces_are_exact() {
        let pieces: Vec<Bytes> = (0..3u8).map(|n| Bytes::from(vec![n; SEGMENT])).collect();
        let token = Token::take(&budget(), 3 * SEGMENT as u64).unwrap();
        let body = StoredBody::new(&pieces, token);
        let (from, to) = (SEGMENT as u64 - 2, 2 * SEGMENT as u64 + 1);
        let slice = body.slice(from, to).concat();
        assert_eq!(slice.len() as u64, to - from);
        assert_eq!((slice[0], slice[2], slice[slice.len() - 1]), (0, 1, 2));
        assert!(body.slice(5, 5).is_empty());
    }

    #[test]
    fn many_small_pieces_are_brought_together() {
        let pieces: Vec<Bytes> = (0..2000).map(|_| Bytes::from_static(&[9; 100])).collect();
        let token = Token::take(&budget(), 200_000).unwrap();
        let body = StoredBody::new(&pieces, token);
        assert_eq!(body.len(), 200_000);
        assert!(body.pieces().len() <= 4, "{} pieces", body.pieces().len());
    }
}
