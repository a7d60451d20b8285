//! The content of a request as its connection gives it. On HTTP/1 the connection is told when all of it has been read,
//! or when nobody will read the rest: before that it is not between two messages, whatever has been answered.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

/// What a connection learns of the content of one request.
pub trait ContentWatch: fmt::Debug {
    /// All of it has been read, or it broke off.
    fn ended(&self);

    /// Nobody reads the rest.
    fn abandoned(&self);
}

/// The content of a request.
#[derive(Debug)]
pub struct RequestContent {
    incoming: Incoming,
    /// `None` once it has been told, and where the end is a stream's.
    watch: Option<Box<dyn ContentWatch>>,
}

impl RequestContent {
    /// Content whose connection does not depend on its end.
    pub fn new(incoming: Incoming) -> Self {
        Self {
            incoming,
            watch: None,
        }
    }

    /// Content whose end `watch` learns of.
    pub fn watched(incoming: Incoming, watch: Box<dyn ContentWatch>) -> Self {
        Self {
            incoming,
            watch: Some(watch),
        }
    }
}

impl Body for RequestContent {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = self.get_mut();
        let frame = ready!(Pin::new(&mut this.incoming).poll_frame(cx));
        // hyper hands the last octets of a Content-Length over after it has noted the end of the message.
        let ended = !matches!(frame, Some(Ok(_))) || this.incoming.is_end_stream();
        if ended && let Some(watch) = this.watch.take() {
            watch.ended();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

impl Drop for RequestContent {
    fn drop(&mut self) {
        if let Some(watch) = self.watch.take() {
            watch.abandoned();
        }
    }
}
