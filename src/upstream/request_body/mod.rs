//! The content that goes upstream. A streamed body keeps its beginning, so that it can be sent again as long as it is no
//! longer than that, and the deadline of the response does not run while the content is still on its way.

mod replay;

use std::cell::{Cell, RefCell};
use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use tokio::time::Instant;

use self::replay::Replay;
use crate::error::{Error, ErrorKind};
use crate::upstream::deadline::{self, Deadline};
use crate::upstream::expectation::{Expectation, PATIENCE};

type BoxError = Box<dyn StdError + Send + Sync>;
type BoxBody = Pin<Box<dyn Body<Data = Bytes, Error = BoxError>>>;

/// The content of a request that goes upstream.
#[derive(Debug)]
pub enum RequestBody {
    Empty,
    /// All of it, in memory: may be sent as often as need be.
    Full(Bytes),
    /// As it comes from the client: may be sent again while all that has come is kept.
    Stream(RequestStream),
}

impl RequestBody {
    /// What the content waits for, where its client holds it back.
    pub fn expectation(&self) -> Option<Expectation> {
        match self {
            Self::Stream(stream) => stream.0.expectation(),
            Self::Empty | Self::Full(_) => None,
        }
    }

    /// Another hold of the same content, for another attempt.
    pub(in crate::upstream) fn share(&self) -> Self {
        match self {
            Self::Empty => Self::Empty,
            Self::Full(content) => Self::Full(content.clone()),
            Self::Stream(stream) => Self::Stream(RequestStream(stream.0.clone())),
        }
    }

    /// Follows a streamed body on its way; `None` for the others, which go out at once.
    pub fn upload(&self) -> Option<Upload> {
        match self {
            Self::Stream(stream) => Some(Upload(stream.0.clone())),
            Self::Empty | Self::Full(_) => None,
        }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        match self.get_mut() {
            Self::Empty => Poll::Ready(None),
            Self::Full(content) if content.is_empty() => Poll::Ready(None),
            Self::Full(content) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(content))))),
            Self::Stream(stream) => stream.0.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Full(content) => content.is_empty(),
            Self::Stream(stream) => stream.0.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Full(content) => SizeHint::with_exact(content.len() as u64),
            Self::Stream(stream) => stream.0.size_hint(),
        }
    }
}

/// Content that is passed on while it arrives, trailers included.
#[derive(Debug)]
pub struct RequestStream(Rc<Streaming>);

impl RequestStream {
    /// An error of `body` that is not an [`Error`] itself is reported as [`ErrorKind::ClientGone`].
    pub fn new<B>(body: B) -> Self
    where
        B: Body<Data = Bytes> + 'static,
        B::Error: Into<BoxError>,
    {
        Self(Rc::new(Streaming {
            states_length: body.size_hint().exact().is_some(),
            ended: Cell::new(false),
            body: RefCell::new(Box::pin(body.map_err(Into::into))),
            turn: Cell::new(Turn::Unasked),
            replay: RefCell::default(),
            failure: RefCell::new(None),
            watch: RefCell::default(),
            held: RefCell::new(None),
        }))
    }

    /// Lets it stall for no longer than that, except while its response is on the way.
    pub fn impatient(self, stall: Duration) -> Self {
        self.0.watch.borrow_mut().patience = Some(stall);
        self.upload().limit_stalls(true);
        self
    }

    /// Not to be read before `expectation` is met, or the upstream has been silent for a second: reading is what asks
    /// the client for it.
    pub fn held(self, expectation: Expectation) -> Self {
        *self.0.held.borrow_mut() = Some(Hold {
            expectation,
            deadline: Deadline::default(),
            armed: false,
        });
        self
    }

    /// Asks later how far this stream got.
    pub fn upload(&self) -> Upload {
        Upload(self.0.clone())
    }
}

/// How far a streamed request body got.
#[derive(Clone, Debug)]
pub struct Upload(Rc<Streaming>);

impl Upload {
    /// Goes back to the beginning, for another attempt. Whether all of the content can still be had.
    pub(in crate::upstream) fn rewind(&self) -> bool {
        self.0.turn.set(Turn::Unasked);
        self.0.failure.borrow().is_none() && self.0.replay.borrow_mut().rewind()
    }

    /// A response came: nothing is sent again.
    pub(in crate::upstream) fn forget(&self) {
        self.0.replay.borrow_mut().forget();
    }

    /// Why the stream broke off, if it did.
    pub(in crate::upstream) fn failure(&self) -> Option<Error> {
        self.0.failure.borrow().as_ref().map(Error::share)
    }

    /// Whether the client broke it off before all of it had been taken: no server has had a whole request then.
    pub fn was_broken_off(&self) -> bool {
        self.0.failure.borrow().is_some() && !self.is_whole()
    }

    /// Whether all of it has been taken, by its end or by the length that it stated: that is a whole request to the
    /// server, whatever the client does after that.
    pub fn is_whole(&self) -> bool {
        let Streaming { body, .. } = &*self.0;
        let is_all = || self.0.states_length && body.borrow().size_hint().exact() == Some(0);
        self.0.ended.get() || self.0.replay.borrow().ended || is_all()
    }

    pub(in crate::upstream) fn turn(&self) -> Turn {
        self.0.turn.get()
    }

    /// Whether there is a limit to how long the client may send nothing while more is asked for.
    pub(in crate::upstream) fn limit_stalls(&self, limited: bool) {
        let mut watch = self.0.watch.borrow_mut();
        watch.stall = watch.patience.filter(|_| limited);
        watch.armed = false;
        watch.wake();
    }

    /// A final response came. Whether it came instead of a word that the content is wanted: it is never sent then.
    pub(in crate::upstream) fn is_refused(&self) -> bool {
        let expectation = self.0.expectation();
        expectation.is_some_and(|expectation| expectation.end())
    }
}

/// Whose move it is while content is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::upstream) enum Turn {
    /// The upstream has not asked for content yet.
    Unasked,
    /// The upstream would take more; the client has to send it.
    Client,
    /// The upstream has had the latest content since then: it has to take it, or to answer.
    Upstream(Instant),
}

struct Streaming {
    /// Whether it said at the beginning how long it is.
    states_length: bool,
    /// Whether its end came with the latest frame.
    ended: Cell<bool>,
    body: RefCell<BoxBody>,
    turn: Cell<Turn>,
    replay: RefCell<Replay>,
    failure: RefCell<Option<Error>>,
    watch: RefCell<Watch>,
    held: RefCell<Option<Hold>>,
}

/// How long a stream of content may stall.
#[derive(Default)]
struct Watch {
    /// The limit, and the same as long as it holds.
    patience: Option<Duration>,
    stall: Option<Duration>,
    /// Whether the deadline runs for the content that is waited for now.
    armed: bool,
    deadline: Deadline,
    /// Who waits for content.
    waker: Option<Waker>,
}

impl Watch {
    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// The error to end with, when there is one.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Error> {
        self.waker = Some(cx.waker().clone());
        let Some(stall) = self.stall else {
            return Poll::Pending;
        };
        if !self.armed {
            self.deadline.arm(stall);
            self.armed = true;
        }
        self.deadline
            .poll_passed(cx)
            .map(|()| Error::downstream(ErrorKind::RequestBodyTimeout))
    }
}

/// Content that waits to be asked for.
struct Hold {
    expectation: Expectation,
    deadline: Deadline,
    armed: bool,
}

impl Hold {
    /// Ready when it has been waited for long enough.
    fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.expectation.poll_met(cx).is_ready() {
            return Poll::Ready(());
        }
        if !self.armed {
            self.armed = true;
            self.deadline.arm(PATIENCE);
        }
        ready!(self.deadline.poll_passed(cx));
        // What came in time stands.
        self.expectation.meet();
        self.expectation.poll_met(cx)
    }
}

impl Streaming {
    fn is_end_stream(&self) -> bool {
        self.replay.borrow().next().is_none() && self.body.borrow().is_end_stream()
    }

    /// Of what the body has still to give, and of what is given again before that.
    fn size_hint(&self) -> SizeHint {
        let again = self.replay.borrow().left();
        let left = self.body.borrow().size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(left.lower().saturating_add(again));
        if let Some(upper) = left.upper() {
            hint.set_upper(upper.saturating_add(again));
        }
        hint
    }

    /// What it still waits for.
    fn expectation(&self) -> Option<Expectation> {
        let held = self.held.borrow();
        held.as_ref().map(|hold| hold.expectation.clone())
    }

    /// The body's next frame; it is not asked again after its end.
    fn poll_body(&self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if self.replay.borrow().ended {
            return Poll::Ready(None);
        }
        let polled = self.body.borrow_mut().as_mut().poll_frame(cx);
        self.replay.borrow_mut().ended |= matches!(polled, Poll::Ready(None));
        if let Poll::Ready(Some(Ok(_))) = &polled {
            self.ended.set(self.body.borrow().is_end_stream());
        }
        polled
    }

    fn poll_frame(&self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let mut held = self.held.borrow_mut();
        if let Some(hold) = held.as_mut() {
            if hold.poll_over(cx).is_pending() {
                // It is not the upstream that keeps anyone waiting: it has not been sent all.
                self.turn.set(Turn::Client);
                return Poll::Pending;
            }
            *held = None;
        }
        if let Some(again) = self.replay.borrow_mut().give() {
            self.turn.set(Turn::Upstream(deadline::timer_now()));
            return Poll::Ready(Some(Ok(Frame::data(again))));
        }
        let polled = self.poll_body(cx);
        let polled = match polled {
            Poll::Pending => {
                let ended = self.watch.borrow_mut().poll(cx);
                ended.map(|error| Some(Err(error.into())))
            }
            ready => {
                self.watch.borrow_mut().armed = false;
                ready
            }
        };
        self.turn.set(match &polled {
            Poll::Pending => Turn::Client,
            Poll::Ready(_) => Turn::Upstream(deadline::timer_now()),
        });
        polled.map(|frame| {
            let frame = frame?;
            Some(match frame {
                Ok(frame) => {
                    self.replay.borrow_mut().keep(&frame);
                    Ok(frame)
                }
                Err(error) => {
                    let error = client_failure(error);
                    *self.failure.borrow_mut() = Some(error.share());
                    Err(error)
                }
            })
        })
    }
}

impl fmt::Debug for Streaming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Streaming")
            .field("turn", &self.turn.get())
            .field("replay", &self.replay)
            .finish_non_exhaustive()
    }
}

/// Why a client's content broke off.
pub fn client_failure(error: BoxError) -> Error {
    match error.downcast::<Error>() {
        Ok(error) => *error,
        Err(error) if is_malformed(&*error) => Error::downstream(ErrorKind::BadRequest)
            .detail("the request's content is malformed")
            .because(error),
        Err(error) => Error::downstream(ErrorKind::ClientGone).because(error),
    }
}

/// Whether content broke off since it could not be decoded.
fn is_malformed(error: &(dyn StdError + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            use io::ErrorKind::{InvalidData, InvalidInput};
            return matches!(error.kind(), InvalidData | InvalidInput);
        }
        cause = error.source();
    }
    false
}
