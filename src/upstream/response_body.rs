//! The content that comes from upstream.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::server::Server;
use crate::error::Error;

/// How the end of a response's content is known (RFC 9112 §6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is no content: HEAD, 204, 304, or a length of zero.
    Empty,
    /// Content-Length, in bytes.
    Length(u64),
    Chunked,
    /// Content ends when the connection does: a broken connection and a complete response look alike.
    Close,
}

/// The content of a response, read from its connection. The connection goes back to the worker's pool when the end has
/// been read, and is closed when this is dropped before.
#[derive(Debug)]
pub struct UpstreamBody {
    incoming: Incoming,
    framing: Framing,
    ended: bool,
    server: Arc<Server>,
}

impl UpstreamBody {
    /// The server that answered.
    pub fn server(&self) -> &Server {
        &self.server
    }

    pub fn framing(&self) -> Framing {
        self.framing
    }

    /// Whether all content has been read up to an end that the message itself states. False for
    /// [`Framing::Close`], always.
    pub fn end_verified(&self) -> bool {
        self.ended && self.framing != Framing::Close
    }
}

impl Body for UpstreamBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        Poll::Ready(Some(Err(Error::internal())))
    }

    fn is_end_stream(&self) -> bool {
        self.ended
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
