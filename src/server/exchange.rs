//! One request and its response, as the connection's deadlines see them.

use std::borrow::Borrow;
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{CONNECTION, HeaderValue};
use http::{HeaderMap, Method, Request, Response, StatusCode, Version};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::ext::ReasonPhrase;

use super::protocol::Protocols;
use super::service::{ResponseContent, Service};
use super::state::{Followed, Orders, Outcome, Protocol, State, Stream, Verdict};
use crate::error::{Error, ErrorKind};
use crate::proxy::{Peer, RequestContent, Switch};
use crate::semantics::hop_by_hop;

/// One request, from its head to its response's.
pub(super) fn exchange<S, P, W>(
    request: Request<Incoming>,
    state: &Rc<State>,
    peer: P,
    service: W,
    protocols: &Protocols,
) -> impl Future<Output = Result<Response<Content<S::Body>>, Infallible>> + use<S, P, W>
where
    S: Service,
    P: Borrow<Rc<Peer>>,
    W: Borrow<Rc<S>>,
{
    let mut exchange = Exchange::begin(state);
    let (mut head, incoming) = request.into_parts();
    let (content, followed) = content_of(incoming, state);
    let refusal = match followed {
        Followed::Malformed => Some(Error::downstream(ErrorKind::BadRequest)),
        _ => protocols.refusal(&mut head, state),
    };
    let request = Request::from_parts(head, content);
    let takes_trailers = request.version() == Version::HTTP_11
        && request.method() != Method::HEAD
        && hop_by_hop::takes_trailers(request.headers());
    let may_end_by_close =
        request.version() == Version::HTTP_10 && request.method() != Method::HEAD;
    async move {
        let (peer, service) = (peer.borrow(), service.borrow());
        let mut response = match refusal {
            None => service.handle(peer, request).await,
            Some(error) => {
                let (parts, _content) = request.into_parts();
                service.refuse(peer, error, Some(&parts))
            }
        };
        let state = exchange.state();
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            if let Some(switch) = response.extensions_mut().remove::<Switch>()
                && let Some(tunnel) = switch.take()
            {
                state.will_tunnel(tunnel);
            }
        } else if state.protocol() == Protocol::Http1
            && (followed != Followed::Known || state.orders() == Orders::WindDown)
        {
            response
                .headers_mut()
                .insert(CONNECTION, HeaderValue::from_static("close"));
        }
        if response.status() != StatusCode::OK
            && response.status().canonical_reason().is_none()
            && response.extensions().get::<ReasonPhrase>().is_none()
        {
            // A phrase may be empty (RFC 9112 §4); hyper would write `<none>`.
            response
                .extensions_mut()
                .insert(ReasonPhrase::from_static(b""));
        }
        if may_end_by_close
            && !response.body().is_end_stream()
            && response.body().size_hint().exact().is_none()
        {
            // Without chunked coding, only the connection's end shows where such content ends (RFC 9112 §6.3). hyper
            // would announce that a connection goes on after a response of HTTP/1.1.
            state.response_ends_by_close();
            *response.version_mut() = Version::HTTP_10;
            response
                .headers_mut()
                .insert(CONNECTION, HeaderValue::from_static("close"));
        }
        if takes_trailers && response.body().size_hint().exact().is_none() {
            exchange.sends_trailers();
        }
        Ok(response.map(|body| exchange.carry(body)))
    }
}

fn content_of(incoming: Incoming, state: &Rc<State>) -> (RequestContent, Followed) {
    if state.protocol() == Protocol::Http2 {
        return (RequestContent::new(incoming), Followed::Known);
    }
    if incoming.is_end_stream() {
        state.follow_head();
        return (RequestContent::new(incoming), Followed::Known);
    }
    let followed = state.follow_content(incoming.size_hint().exact());
    (
        RequestContent::watched(incoming, state.content_begins()),
        followed,
    )
}

/// Counts as a request in flight until it is dropped: with the handler's future, or at the end of the response.
#[derive(Debug)]
struct Exchange {
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
