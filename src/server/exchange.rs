//! One request and its response: from the request's head as hyper has read it to the end of the response.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

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
use crate::proxy::{Answer, Peer, RequestContent, Switch};
use crate::semantics::hop_by_hop;
use crate::turn;

/// Answers one request.
pub(super) fn answer<S: Service>(
    request: Request<Incoming>,
    state: &Rc<State>,
    peer: &Rc<Peer>,
    service: &Rc<S>,
    protocols: &Protocols,
) -> Answering<S::Body> {
    let in_flight = InFlight::begin(state);
    let (mut head, incoming) = request.into_parts();
    let (content, framing) = content_of(incoming, state);
    let refusal = match framing {
        ContentFraming::Malformed => Some(Error::downstream(ErrorKind::BadRequest)),
        _ => protocols.refusal(&mut head, state),
    };
    let has_content = head.method != Method::HEAD;
    let exchange = Exchange {
        in_flight,
        framing,
        accepts_trailers: has_content
            && head.version == Version::HTTP_11
            && hop_by_hop::takes_trailers(&head.headers),
        may_end_by_close: has_content && head.version == Version::HTTP_10,
    };
    let answer = match refusal {
        None => service.handle(peer, head, content),
        Some(error) => Answer::Now(service.refuse(peer, error, Some(&head))),
    };
    match answer {
        Answer::Now(response) => Answering::Made(Some(exchange.end(response, peer))),
        Answer::Later(response) => Answering::Awaited {
            is_put_off: state.protocol() == Protocol::Http2,
            response,
            exchange: Some(exchange),
            peer: peer.clone(),
        },
    }
}

/// The response to a request, or what waits for it.
pub(super) enum Answering<B: ResponseContent> {
    /// `None` once it has been taken.
    Made(Option<Response<ContentInFlight<B>>>),
    Awaited {
        /// Not begun yet. On HTTP/2 a request waits for the task's next turn: its client may have sent its reset with it, and
        /// hyper looks for that only behind a poll. Such a request is to cost the API nothing (CVE-2023-44487).
        is_put_off: bool,
        response: Pin<Box<dyn Future<Output = Response<B>>>>,
        exchange: Option<Exchange>,
        peer: Rc<Peer>,
    },
}

impl<B: ResponseContent> Future for Answering<B> {
    type Output = Result<Response<ContentInFlight<B>>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let response = match self.get_mut() {
            Self::Made(response) => response.take(),
            Self::Awaited { is_put_off, .. } if *is_put_off => {
                *is_put_off = false;
                return turn::put_off(cx);
            }
            Self::Awaited {
                response,
                exchange,
                peer,
                ..
            } => {
                let response = ready!(response.as_mut().poll(cx));
                exchange.take().map(|exchange| exchange.end(response, peer))
            }
        };
        response.map_or(Poll::Pending, |response| Poll::Ready(Ok(response)))
    }
}

/// What is known of a request until its response has been made.
pub(super) struct Exchange {
    in_flight: InFlight,
    framing: ContentFraming,
    /// On HTTP/1: trailers may come behind the response's content.
    accepts_trailers: bool,
    /// The client takes the end of the connection for the end of the response's content.
    may_end_by_close: bool,
}

impl Exchange {
    /// The response as hyper gets it.
    #[inline]
    fn end<B: ResponseContent>(
        mut self,
        mut response: Response<B>,
        peer: &Peer,
    ) -> Response<ContentInFlight<B>> {
        self.prepare(&mut response, peer);
        response.map(|body| self.in_flight.carry(body))
    }

    /// Makes `response` ready to be sent.
    fn prepare<B: ResponseContent>(&mut self, response: &mut Response<B>, peer: &Peer) {
        let state = self.in_flight.state();
        let persists =
            self.framing == ContentFraming::Known && state.action() != Action::CloseGracefully;
        prepare_head(response, state, persists);
        if let Some(hsts) = &peer.hsts {
            let fields = response.headers_mut();
            fields.insert(STRICT_TRANSPORT_SECURITY, hsts.clone());
        }
        if !(self.may_end_by_close || self.accepts_trailers)
            || response.body().size_hint().exact().is_some()
        {
            return;
        }
        if self.may_end_by_close && !response.body().is_end_stream() {
            // Without chunked coding, only the connection's end shows where such content ends (RFC 9112 §6.3). In a
            // response of version HTTP/1.1, hyper would announce that the connection persists.
            state.end_response_by_close();
            *response.version_mut() = Version::HTTP_10;
            close_after(response);
        }
        if self.accepts_trailers {
            self.in_flight.send_trailers();
        }
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

/// Counts as a request in flight until it is dropped: with its [`Answering`], or with the response's content.
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
            state.count_abort();
            self.body.cut_off(ErrorKind::ClientWriteTimeout);
        } else if *end == StreamEnd::Reset && state.decision() == Decision::Keep {
            state.count_abort();
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
        match frame {
            Poll::Ready(Some(Ok(frame))) if frame.is_trailers() => match frame.into_trailers() {
                Ok(trailers) => Poll::Ready(this.in_flight.trailers(trailers)),
                Err(frame) => Poll::Ready(Some(Ok(frame))),
            },
            frame => frame,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
