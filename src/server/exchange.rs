//! One request and its response: from the request's head as hyper has read it to the end of the response.

use std::borrow::Borrow;
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{CONNECTION, HeaderValue, STRICT_TRANSPORT_SECURITY};
use http::{HeaderMap, Method, Request, Response, StatusCode, Version};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::ext::ReasonPhrase;

use super::protocol::Protocols;
use super::service::{ResponseContent, Service};
use super::state::{Action, ContentFraming, Decision, Protocol, State, Stream, StreamEnd};
use crate::error::{Error, ErrorKind};
use crate::proxy::{Peer, RequestContent, Switch};
use crate::semantics::hop_by_hop;

/// Answers one request.
pub(super) fn answer<S, P, W>(
    request: Request<Incoming>,
    state: &Rc<State>,
    peer: P,
    service: W,
    protocols: &Protocols,
) -> impl Future<Output = Result<Response<ContentInFlight<S::Body>>, Infallible>> + use<S, P, W>
where
    S: Service,
    P: Borrow<Rc<Peer>>,
    W: Borrow<Rc<S>>,
{
    let mut in_flight = InFlight::begin(state);
    let (mut head, incoming) = request.into_parts();
    let (content, framing) = content_of(incoming, state);
    let refusal = match framing {
        ContentFraming::Malformed => Some(Error::downstream(ErrorKind::BadRequest)),
        _ => protocols.refusal(&mut head, state),
    };
    let request = Request::from_parts(head, content);
    let accepts_trailers = request.version() == Version::HTTP_11
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
        let state = in_flight.state();
        let persists =
            framing == ContentFraming::Known && state.action() != Action::CloseGracefully;
        prepare_head(&mut response, state, persists);
        if let Some(hsts) = &peer.hsts {
            let fields = response.headers_mut();
            fields.insert(STRICT_TRANSPORT_SECURITY, hsts.clone());
        }
        if may_end_by_close
            && !response.body().is_end_stream()
            && response.body().size_hint().exact().is_none()
        {
            // Without chunked coding, only the connection's end shows where such content ends (RFC 9112 §6.3). In a
            // response of version HTTP/1.1, hyper would announce that the connection persists.
            state.end_response_by_close();
            *response.version_mut() = Version::HTTP_10;
            close_after(&mut response);
        }
        if accepts_trailers && response.body().size_hint().exact().is_none() {
            in_flight.send_trailers();
        }
        Ok(response.map(|body| in_flight.carry(body)))
    }
}

/// Takes a tunnel out of the response, and sets what its head says of the connection: on HTTP/1, whether that `persists`.
fn prepare_head<B>(response: &mut Response<B>, state: &State, persists: bool) {
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        if let Some(switch) = response.extensions_mut().remove::<Switch>()
            && let Some(tunnel) = switch.take()
        {
            state.set_tunnel(tunnel);
        }
    } else if state.protocol() == Protocol::Http1 && !persists {
        close_after(response);
    }
    if response.status() != StatusCode::OK
        && response.status().canonical_reason().is_none()
        && response.extensions().get::<ReasonPhrase>().is_none()
    {
        // The reason phrase may be empty (RFC 9112 §4); hyper would write `<none>`.
        response
            .extensions_mut()
            .insert(ReasonPhrase::from_static(b""));
    }
}

fn close_after<B>(response: &mut Response<B>) {
    response
        .headers_mut()
        .insert(CONNECTION, HeaderValue::from_static("close"));
}

fn content_of(incoming: Incoming, state: &Rc<State>) -> (RequestContent, ContentFraming) {
    if state.protocol() == Protocol::Http2 {
        return (RequestContent::new(incoming), ContentFraming::Known);
    }
    if incoming.is_end_stream() {
        state.on_head();
        return (RequestContent::new(incoming), ContentFraming::Known);
    }
    let framing = state.on_content(incoming.size_hint().exact());
    (
        RequestContent::watched(incoming, state.begin_content()),
        framing,
    )
}

/// Counts as a request in flight until it is dropped: with the future of [`answer`], or with the response's content.
#[derive(Debug)]
struct InFlight {
    state: Rc<State>,
    /// On HTTP/2 only.
    stream: Option<Rc<Stream>>,
    end: StreamEnd,
    /// On HTTP/1: the content is chunked, and the client accepts trailers.
    sends_trailers: bool,
}

impl InFlight {
    pub fn begin(state: &Rc<State>) -> Self {
        Self {
            state: state.clone(),
            stream: state.begin_exchange(),
            end: StreamEnd::Reset,
            sends_trailers: false,
        }
    }

    pub fn state(&self) -> &State {
        &self.state
    }

    /// The trailers of the response are sent, too.
    pub fn send_trailers(&mut self) {
        self.sends_trailers = true;
    }

    /// The request is in flight until `body` is dropped.
    pub fn carry<B: ResponseContent>(self, body: B) -> ContentInFlight<B> {
        ContentInFlight {
            body,
            in_flight: self,
        }
    }

    /// The frame of trailers that hyper is given: on HTTP/1 none, see [`State::set_trailers`].
    fn trailers<E>(&self, mut trailers: HeaderMap) -> Option<Result<Frame<Bytes>, E>> {
        hop_by_hop::strip_trailers(&mut trailers);
        if self.stream.is_some() {
            return Some(Ok(Frame::trailers(trailers)));
        }
        if self.sends_trailers {
            self.state.set_trailers(&trailers);
        }
        None
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.state.end_exchange(self.stream.as_ref(), self.end);
    }
}

/// The content of a response on its way to the client.
#[derive(Debug)]
pub(super) struct ContentInFlight<B: ResponseContent> {
    body: B,
    in_flight: InFlight,
}

impl<B: ResponseContent> Drop for ContentInFlight<B> {
    fn drop(&mut self) {
        // Where the content has a length, hyper does not poll for its end.
        if self.body.is_end_stream() || self.body.size_hint().exact() == Some(0) {
            self.in_flight.end = StreamEnd::Complete;
        }
        let InFlight {
            state, stream, end, ..
        } = &self.in_flight;
        if state.has_write_timed_out() || stream.as_ref().is_some_and(|stream| stream.is_cut_off())
        {
            self.body.cut_off(ErrorKind::ClientWriteTimeout);
        } else if *end == StreamEnd::Reset && state.decision() == Decision::Keep {
            self.body.cut_off(ErrorKind::ClientGone);
        }
    }
}

impl<B: ResponseContent> Body for ContentInFlight<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.get_mut();
        let frame = Pin::new(&mut this.body).poll_frame(cx);
        if let Some(stream) = &this.in_flight.stream {
            // hyper polls for the next frame when the stream's window has room again.
            stream.set_blocked(this.in_flight.state(), frame.is_ready());
        }
        match &frame {
            Poll::Ready(Some(Err(_))) => {
                this.in_flight.end = StreamEnd::Failed;
                this.in_flight.state.fail_content();
            }
            Poll::Ready(None) => this.in_flight.end = StreamEnd::Complete,
            // hyper does not poll after trailers.
            Poll::Ready(Some(Ok(frame))) if frame.is_trailers() => {
                this.in_flight.end = StreamEnd::Complete;
            }
            Poll::Ready(Some(Ok(_))) | Poll::Pending => {}
        }
        frame.map(|frame| match frame?.map(Frame::into_trailers) {
            Ok(Ok(trailers)) => this.in_flight.trailers(trailers),
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
