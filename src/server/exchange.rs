//! One request and its response, as the connection's deadlines see them.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};

use super::ResponseContent;
use super::state::{Outcome, State, Stream, Verdict};
use crate::error::ErrorKind;
use crate::semantics::hop_by_hop;

/// Counts as a request in flight until it is dropped: with the handler's future, or at the end of the response.
#[derive(Debug)]
pub(super) struct Exchange {
    state: Rc<State>,
    /// On HTTP/2 only.
    stream: Option<Rc<Stream>>,
    outcome: Outcome,
    /// On HTTP/1: the content is chunked, and its client takes trailers.
    trails: bool,
}

impl Exchange {
    pub fn begin(state: &Rc<State>) -> Self {
        Self {
            state: state.clone(),
            stream: state.exchange_begins(),
            outcome: Outcome::Reset,
            trails: false,
        }
    }

    pub fn state(&self) -> &State {
        &self.state
    }

    /// The trailers of the response go out, too.
    pub fn sends_trailers(&mut self) {
        self.trails = true;
    }

    /// Ties the exchange to the content of its response.
    pub fn carry<B: ResponseContent>(self, body: B) -> Content<B> {
        Content {
            body,
            exchange: self,
        }
    }
}

impl Exchange {
    /// What hyper is told of trailers: on HTTP/1, nothing.
    fn trail<E>(&self, mut trailers: HeaderMap) -> Option<Result<Frame<Bytes>, E>> {
        hop_by_hop::strip_trailers(&mut trailers);
        if self.stream.is_some() {
            return Some(Ok(Frame::trailers(trailers)));
        }
        if self.trails {
            self.state.trails(&trailers);
        }
        None
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.state.exchange_ends(self.stream.as_ref(), self.outcome);
    }
}

/// The content of a response on its way to the client.
#[derive(Debug)]
pub(super) struct Content<B: ResponseContent> {
    body: B,
    exchange: Exchange,
}

impl<B: ResponseContent> Drop for Content<B> {
    fn drop(&mut self) {
        // With a length, hyper asks for no more than that.
        if self.body.is_end_stream() || self.body.size_hint().exact() == Some(0) {
            self.exchange.outcome = Outcome::Ended;
        }
        let Exchange {
            state,
            stream,
            outcome,
            ..
        } = &self.exchange;
        if state.is_write_overdue() || stream.as_ref().is_some_and(|stream| stream.is_cut_off()) {
            self.body.cut_off(ErrorKind::ClientWriteTimeout);
        } else if *outcome == Outcome::Reset && state.verdict() == Verdict::Carry {
            self.body.cut_off(ErrorKind::ClientGone);
        }
    }
}

impl<B: ResponseContent> Body for Content<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.get_mut();
        let frame = Pin::new(&mut this.body).poll_frame(cx);
        if let Some(stream) = &this.exchange.stream {
            // hyper asks for the next frame when the stream's window has room again.
            stream.holds(this.exchange.state(), frame.is_ready());
        }
        match &frame {
            Poll::Ready(Some(Err(_))) => {
                this.exchange.outcome = Outcome::Failed;
                this.exchange.state.content_failed();
            }
            Poll::Ready(None) => this.exchange.outcome = Outcome::Ended,
            // Nothing is asked for after them.
            Poll::Ready(Some(Ok(frame))) if frame.is_trailers() => {
                this.exchange.outcome = Outcome::Ended;
            }
            Poll::Ready(Some(Ok(_))) | Poll::Pending => {}
        }
        frame.map(|frame| match frame?.map(Frame::into_trailers) {
            Ok(Ok(trailers)) => this.exchange.trail(trailers),
            Ok(Err(frame)) => Some(Ok(frame)),
            Err(error) => Some(Err(error)),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
