//! The content of responses to clients: one enum, never boxed.

use std::future::Future as _;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use smallvec::SmallVec;
use tokio::task::unconstrained;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::cache::body::{Chunk, Reader};
use crate::cache::collapse::Follower;
use crate::clock::timer_now;
use crate::error::{Error, ErrorKind};
use crate::proxy::limit::Share;
use crate::semantics::range::ByteRange;
use crate::telemetry::counters::Counters;
use crate::upstream::UpstreamBody;

/// The content of a response.
#[derive(Debug, Default)]
pub struct Body {
    source: Source,
    trail: Option<Box<dyn Trail>>,
    expiry: Option<Box<Expiry>>,
}

/// Follows a response's content on its way, and drops when that ends.
pub trait Trail: std::fmt::Debug {
    /// `bytes` more of content were handed to the connection.
    fn sent(&mut self, bytes: u64);

    /// It breaks off here, for this reason.
    fn failed(&mut self, why: ErrorKind);
}

#[derive(Debug, Default)]
enum Source {
    #[default]
    Empty,
    One(Bytes),
    Pieces(Pieces),
    // Boxed: they are large, and what is made for each hit is moved a dozen times on its way out.
    Fill(Box<FillBody>),
    Upstream(Box<Passed>),
}

/// When content has to have ended.
#[derive(Debug)]
struct Expiry {
    at: Instant,
    /// Made when the content is waited for.
    sleep: Option<Pin<Box<Sleep>>>,
}

/// Pieces of stored content, in order.
#[derive(Debug)]
struct Pieces {
    /// In reverse, so that the next is popped off.
    rest: Vec<Bytes>,
    left: u64,
}

/// Content of a fill that is still going on, or a range of it.
#[derive(Debug)]
struct FillBody {
    reader: Reader,
    cut: Cut,
    /// Only the whole has trailers.
    trailers: bool,
    counters: Arc<Counters>,
    _follower: Option<Following>,
}

/// The octets of a range, cut out of content as that comes.
#[derive(Debug, Default)]
struct Cut {
    /// Bytes before the range.
    skip: u64,
    /// Bytes of the range still to come; `None` to the end, whose place is not known.
    left: Option<u64>,
}

/// Counts a follower for as long as it waits or reads.
#[derive(Debug)]
pub struct Following {
    pub follower: Follower,
    counters: Arc<Counters>,
}

impl Following {
    pub fn new(follower: Follower, counters: Arc<Counters>) -> Self {
        counters.followers.add(1);
        Self { follower, counters }
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        self.counters.followers.sub(1);
    }
}

/// Content that passes through without being kept.
#[derive(Debug)]
struct Passed {
    body: UpstreamBody,
    /// The range that is passed on, where it is not all.
    cut: Option<Cut>,
    counters: Rc<PassCounters>,
    /// Its part of what may last.
    share: Option<Share>,
}

/// The counters of content that passes through.
#[derive(Debug)]
pub struct PassCounters(pub Arc<Counters>);

impl Body {
    pub fn empty() -> Self {
        Self::default()
    }

    /// Content in one piece.
    pub fn full(bytes: Bytes, counters: &Counters) -> Self {
        counters.bytes_sent.add(bytes.len() as u64);
        let source = if bytes.is_empty() {
            Source::Empty
        } else {
            Source::One(bytes)
        };
        Self {
            source,
            trail: None,
            expiry: None,
        }
    }

    /// Counts towards what may last, as long as it does.
    pub fn holding(mut self, share: Option<Share>) -> Self {
        if let Source::Upstream(passed) = &mut self.source {
            passed.share = share;
        }
        self
    }

    /// Content in pieces.
    pub fn pieces(pieces: SmallVec<[Bytes; 2]>, counters: &Counters) -> Self {
        let mut rest = pieces.into_vec();
        if rest.len() <= 1 {
            return Self::full(rest.pop().unwrap_or_default(), counters);
        }
        let left = rest.iter().map(|piece| piece.len() as u64).sum();
        counters.bytes_sent.add(left);
        rest.reverse();
        Self {
            source: Source::Pieces(Pieces { rest, left }),
            trail: None,
            expiry: None,
        }
    }

    /// The content of a fill from its first byte; `length` is its length if that is known.
    pub fn fill(
        reader: Reader,
        length: Option<u64>,
        follower: Option<Following>,
        counters: Arc<Counters>,
    ) -> Self {
        Self::of_fill(reader, (0, length), true, follower, counters)
    }

    /// `length` bytes of a fill's content, after the first `skip`.
    pub fn fill_range(
        reader: Reader,
        skip: u64,
        length: u64,
        follower: Option<Following>,
        counters: Arc<Counters>,
    ) -> Self {
        Self::of_fill(reader, (skip, Some(length)), false, follower, counters)
    }

    fn of_fill(
        reader: Reader,
        (skip, left): (u64, Option<u64>),
        trailers: bool,
        follower: Option<Following>,
        counters: Arc<Counters>,
    ) -> Self {
        let body = FillBody {
            reader,
            cut: Cut { skip, left },
            trailers,
            counters,
            _follower: follower,
        };
        Self {
            source: Source::Fill(Box::new(body)),
            trail: None,
            expiry: None,
        }
    }

    /// Content that is passed on as it comes from upstream.
    pub fn upstream(body: UpstreamBody, counters: Arc<Counters>) -> Self {
        Self::passed(body, None, counters)
    }

    /// A range of such content.
    pub fn upstream_range(body: UpstreamBody, range: ByteRange, counters: Arc<Counters>) -> Self {
        let cut = Cut {
            skip: range.first(),
            left: Some(range.len()),
        };
        Self::passed(body, Some(cut), counters)
    }

    fn passed(body: UpstreamBody, cut: Option<Cut>, counters: Arc<Counters>) -> Self {
        let passed = Passed {
            body,
            cut,
            counters: Rc::new(PassCounters(counters)),
            share: None,
        };
        Self {
            source: Source::Upstream(Box::new(passed)),
            trail: None,
            expiry: None,
        }
    }

    /// Whether a client may take its time for it: it comes in more than one piece.
    pub fn is_long(&self) -> bool {
        !matches!(self.source, Source::Empty | Source::One(_))
    }

    /// Whether trailers may come behind it: not behind what is stored, nor behind a range.
    pub fn may_trail(&self) -> bool {
        match &self.source {
            Source::Empty | Source::One(_) | Source::Pieces(_) => false,
            Source::Fill(fill) => fill.trailers,
            Source::Upstream(passed) => passed.cut.is_none(),
        }
    }

    /// Has it fail with [`ErrorKind::ExchangeTimeout`] when it has not ended by then.
    pub fn end_by(&mut self, at: Instant) {
        self.expiry = Some(Box::new(Expiry { at, sleep: None }));
    }

    /// The client gets no more of it, for this reason.
    pub fn fails(&mut self, why: ErrorKind) {
        if let Some(trail) = &mut self.trail {
            trail.failed(why);
        }
    }

    /// Who is told what becomes of this content, and is not from here on.
    pub fn take_trail(&mut self) -> Option<Box<dyn Trail>> {
        self.trail.take()
    }

    /// Has `trail` told what becomes of this content.
    pub fn set_trail(&mut self, trail: Box<dyn Trail>) {
        self.trail = Some(trail);
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = self.get_mut();
        if let (Source::One(bytes), None, None) = (&mut this.source, &this.trail, &this.expiry) {
            // A plain hit has nothing else to tell or to ask.
            let bytes = std::mem::take(bytes);
            this.source = Source::Empty;
            return Poll::Ready(Some(Ok(Frame::data(bytes))));
        }
        let frame = this.source.poll_frame(cx);
        if let Some(expiry) = &mut this.expiry
            && !matches!(frame, Poll::Ready(None | Some(Err(_))))
            && expiry.has_passed(frame.is_pending(), cx)
        {
            // The upstream need not go on for it.
            this.source = Source::Empty;
            let error = Error::upstream(ErrorKind::ExchangeTimeout);
            this.fails(error.kind());
            return Poll::Ready(Some(Err(error)));
        }
        let frame = ready!(frame);
        match (&mut this.trail, &frame) {
            (Some(trail), Some(Ok(frame))) => {
                trail.sent(frame.data_ref().map_or(0, |data| data.len() as u64));
            }
            (Some(trail), Some(Err(error))) => trail.failed(error.kind()),
            _ => {}
        }
        // Among the causes hyper would find the API's reset, and pass its code on as ours: NO_ERROR, which clients take for
        // an end (RFC 9113 §8.1), or REFUSED_STREAM, by which nothing was done (§8.7).
        Poll::Ready(frame.map(|frame| frame.map_err(|error| error.share())))
    }

    fn is_end_stream(&self) -> bool {
        self.source.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Empty => SizeHint::with_exact(0),
            Source::One(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Source::Pieces(pieces) => SizeHint::with_exact(pieces.left),
            Source::Fill(body) => {
                let left = body.cut.left;
                left.map_or_else(SizeHint::default, SizeHint::with_exact)
            }
            Source::Upstream(passed) => match &passed.cut {
                Some(Cut {
                    left: Some(left), ..
                }) => SizeHint::with_exact(*left),
                _ => passed.body.size_hint(),
            },
        }
    }
}

impl Source {
    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::One(_) => false,
            Self::Pieces(pieces) => pieces.rest.is_empty(),
            // The verified end of the fill is still to be seen, even after the last byte.
            Self::Fill(_) => false,
            Self::Upstream(passed) => passed.has_ended(),
        }
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        match self {
            Self::Empty => Poll::Ready(None),
            Self::One(bytes) => {
                let bytes = std::mem::take(bytes);
                *self = Self::Empty;
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Self::Pieces(pieces) => Poll::Ready(pieces.rest.pop().map(|piece| {
                pieces.left -= piece.len() as u64;
                Ok(Frame::data(piece))
            })),
            Self::Fill(body) => body.poll_frame(cx),
            Self::Upstream(passed) => passed.poll_frame(cx),
        }
    }
}

impl Passed {
    fn has_ended(&self) -> bool {
        self.cut.as_ref().is_some_and(Cut::has_ended) || self.body.is_end_stream()
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        loop {
            if self.cut.as_ref().is_some_and(Cut::has_ended) {
                return Poll::Ready(None);
            }
            let Some(frame) = ready!(Pin::new(&mut self.body).poll_frame(cx)?) else {
                return Poll::Ready(None);
            };
            let data = match frame.into_data() {
                Ok(data) => data,
                // Only the whole has trailers.
                Err(_) if self.cut.is_some() => continue,
                Err(frame) => return Poll::Ready(Some(Ok(frame))),
            };
            let data = match &mut self.cut {
                Some(cut) => cut.take(data),
                None => Some(data),
            };
            if let Some(data) = data {
                self.counters.0.bytes_sent.add(data.len() as u64);
                return Poll::Ready(Some(Ok(Frame::data(data))));
            }
        }
    }
}

impl Expiry {
    /// `waiting` for more of the content, it is to be polled again then.
    fn has_passed(&mut self, waiting: bool, cx: &mut Context<'_>) -> bool {
        if !waiting {
            return timer_now() >= self.at;
        }
        let sleep = self
            .sleep
            .get_or_insert_with(|| Box::pin(sleep_until(self.at)));
        // Content without end uses up the task's turn, and its deadline passes meanwhile.
        pin!(unconstrained(sleep.as_mut())).poll(cx).is_ready()
    }
}

impl FillBody {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        loop {
            if !self.trailers && self.cut.has_ended() {
                return Poll::Ready(None);
            }
            let data = match ready!(self.reader.poll_chunk(cx)) {
                Some(Ok(Chunk::Data(data))) => data,
                Some(Ok(Chunk::Trailers(trailers))) if self.trailers => {
                    return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
                }
                Some(Ok(Chunk::Trailers(_))) | None => return Poll::Ready(None),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
            };
            if let Some(data) = self.cut.take(data) {
                self.counters.bytes_sent.add(data.len() as u64);
                return Poll::Ready(Some(Ok(Frame::data(data))));
            }
        }
    }
}

impl Cut {
    fn has_ended(&self) -> bool {
        self.left == Some(0)
    }

    /// The part of the next `data` that belongs to the range.
    fn take(&mut self, mut data: Bytes) -> Option<Bytes> {
        let skipped = self.skip.min(data.len() as u64);
        self.skip -= skipped;
        let _ = data.split_to(skipped as usize);
        if let Some(left) = &mut self.left {
            data.truncate(usize::try_from(*left).unwrap_or(usize::MAX));
            *left -= data.len() as u64;
        }
        (!data.is_empty()).then_some(data)
    }
}
