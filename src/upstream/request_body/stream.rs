//! Content that is sent on while it arrives from the client.

use std::cell::{Cell, RefCell};
use std::error::Error as StdError;
use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use tokio::time::Instant;

use super::continuation::Continuation;
use super::failure::client_failure;
use super::replay::Replay;
use super::stall::StallTimer;
use crate::error::Error;
use crate::upstream::deadline;
use crate::upstream::expectation::Expectation;

type BoxError = Box<dyn StdError + Send + Sync>;
type BoxBody = Pin<Box<dyn Body<Data = Bytes, Error = BoxError>>>;

/// Content that is sent on while it arrives, trailers included.
#[derive(Debug)]
pub struct RequestStream(Rc<Streaming>);

impl RequestStream {
    pub(super) fn share(&self) -> Self {
        Self(self.0.clone())
    }

    pub(super) fn expectation(&self) -> Option<Expectation> {
        self.0.expectation()
    }

    pub(super) fn poll_frame(
        &self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        self.0.poll_frame(cx)
    }

    pub(super) fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }

    /// An error of `body` that is not an [`Error`] itself is reported as [`ErrorKind::ClientGone`](crate::error::ErrorKind::ClientGone).
    pub fn new<B>(body: B) -> Self
    where
        B: Body<Data = Bytes> + 'static,
        B::Error: Into<BoxError>,
    {
        Self(Rc::new(Streaming {
            states_length: body.size_hint().exact().is_some(),
            ended: Cell::new(false),
            body: RefCell::new(Box::pin(body.map_err(Into::into))),
            awaiting: Cell::new(Awaiting::NotStarted),
            sent: Cell::new(0),
            replay: RefCell::default(),
            failure: RefCell::new(None),
            stall: RefCell::default(),
            continuation: RefCell::new(None),
        }))
    }

    /// Fails when it stalls for longer than that, except while its response is on the way.
    pub fn with_stall_timeout(self, stall: Duration) -> Self {
        self.0.stall.borrow_mut().set_limit(stall);
        self.upload().limit_stalls(true);
        self
    }

    /// The content is not read before `expectation` is met, or the upstream has not answered for a second: the client gets a
    /// 100 (Continue) when it is read.
    pub fn expecting_continue(self, expectation: Expectation) -> Self {
        *self.0.continuation.borrow_mut() = Some(Continuation::new(expectation));
        self
    }

    /// A handle that knows how far this stream got.
    pub fn upload(&self) -> Upload {
        Upload(self.0.clone())
    }
}

/// How far a streamed request body got.
#[derive(Clone, Debug)]
pub struct Upload(Rc<Streaming>);

impl Upload {
    /// Goes back to the beginning, for another attempt. Returns whether all of the content can still be sent.
    pub(in crate::upstream) fn rewind(&self) -> bool {
        self.0.awaiting.set(Awaiting::NotStarted);
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

    /// Whether the client broke it off before all of it had been read: no server has had a whole request then.
    pub fn was_broken_off(&self) -> bool {
        self.0.failure.borrow().is_some() && !self.is_whole()
    }

    /// Whether all of it has been read, by its end or by the length that it stated: that is a whole request to the
    /// server, whatever the client does after that.
    pub fn is_whole(&self) -> bool {
        let Streaming { body, .. } = &*self.0;
        let is_all = || self.0.states_length && body.borrow().size_hint().exact() == Some(0);
        self.0.ended.get() || self.0.replay.borrow().ended || is_all()
    }

    pub(in crate::upstream) fn awaiting(&self) -> Awaiting {
        self.0.awaiting.get()
    }

    /// Turns the stall timeout on or off.
    pub(in crate::upstream) fn limit_stalls(&self, limited: bool) {
        self.0.stall.borrow_mut().turn(limited);
    }

    /// Whether a server that answers with `status` now may refuse it without having read it: only a part has been sent, or
    /// more than sockets hold. Such a server may close its connection without notice.
    pub(in crate::upstream) fn may_be_refused_unread(&self, status: StatusCode) -> bool {
        let may_be_unread = !self.is_whole() || self.0.sent.get() > HELD_BY_SOCKETS;
        !status.is_success() && may_be_unread
    }

    /// A final response came. Returns whether it came instead of a 100 (Continue): the content is never sent then.
    pub(in crate::upstream) fn is_refused(&self) -> bool {
        let expectation = self.0.expectation();
        expectation.is_some_and(|expectation| expectation.end())
    }
}

/// Bytes that sockets take of a request's content, about, without its server reading any.
const HELD_BY_SOCKETS: u64 = 64 << 10;

/// Which side is waited for while content is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::upstream) enum Awaiting {
    /// Neither: no content has been read yet.
    NotStarted,
    /// The upstream takes more; the client has to send it.
    Client,
    /// The upstream has had the latest content since then: it has to take it, or to answer.
    Upstream(Instant),
}

struct Streaming {
    /// Whether it stated its length at the beginning.
    states_length: bool,
    /// Whether its end came with the latest frame.
    ended: Cell<bool>,
    body: RefCell<BoxBody>,
    awaiting: Cell<Awaiting>,
    /// Bytes that have been read for the server, over all attempts.
    sent: Cell<u64>,
    replay: RefCell<Replay>,
    failure: RefCell<Option<Error>>,
    stall: RefCell<StallTimer>,
    continuation: RefCell<Option<Continuation>>,
}

impl Streaming {
    fn is_end_stream(&self) -> bool {
        self.replay.borrow().next().is_none() && self.body.borrow().is_end_stream()
    }

    /// The size of the rest of the body, and of the parts that are sent again before it.
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

    /// The expectation that it still waits for.
    fn expectation(&self) -> Option<Expectation> {
        let continuation = self.continuation.borrow();
        continuation.as_ref().map(Continuation::expectation)
    }

    fn poll_frame(&self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let mut continuation = self.continuation.borrow_mut();
        if let Some(waiting) = continuation.as_mut() {
            if waiting.poll_over(cx).is_pending() {
                // The upstream has not been sent all: its deadline does not run.
                self.awaiting.set(Awaiting::Client);
                return Poll::Pending;
            }
            *continuation = None;
        }
        if let Some(again) = self.replay.borrow_mut().take_next() {
            self.awaiting.set(Awaiting::Upstream(deadline::timer_now()));
            return Poll::Ready(Some(Ok(Frame::data(again))));
        }
        // The body is not polled again after its end.
        let has_ended = self.replay.borrow().ended;
        let polled = match has_ended {
            true => Poll::Ready(None),
            false => self.body.borrow_mut().as_mut().poll_frame(cx),
        };
        self.replay.borrow_mut().ended |= matches!(polled, Poll::Ready(None));
        if let Poll::Ready(Some(Ok(_))) = &polled {
            self.ended.set(self.body.borrow().is_end_stream());
        }
        let polled = match polled {
            Poll::Pending => {
                let ended = self.stall.borrow_mut().poll(cx);
                ended.map(|error| Some(Err(error.into())))
            }
            ready => {
                self.stall.borrow_mut().disarm();
                ready
            }
        };
        self.awaiting.set(match &polled {
            Poll::Pending => Awaiting::Client,
            Poll::Ready(_) => Awaiting::Upstream(deadline::timer_now()),
        });
        polled.map(|frame| {
            let frame = frame?;
            Some(match frame {
                Ok(frame) => {
                    let length = frame.data_ref().map_or(0, |data| data.len() as u64);
                    self.sent.set(self.sent.get().saturating_add(length));
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
            .field("awaiting", &self.awaiting.get())
            .field("replay", &self.replay)
            .finish_non_exhaustive()
    }
}
