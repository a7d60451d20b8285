//! The service that answers requests, and the content of its responses.

use std::error::Error as StdError;
use std::future::Future;
use std::rc::Rc;

use bytes::Bytes;
use http::Response;
use http::request::Parts;
use http_body::Body;
use http_body_util::Full;

use crate::error::{Error, ErrorKind};
use crate::proxy::{Answer, Peer, RequestContent};

pub(super) type BoxError = Box<dyn StdError + Send + Sync>;

/// The content of a response, as the server sends it.
pub trait ResponseContent: Body<Data = Bytes, Error: Into<BoxError>> + Unpin {
    /// The client is sent no more of it, for this reason. Called at most once, before it is dropped.
    fn cut_off(&mut self, _why: ErrorKind) {}
}

impl ResponseContent for Full<Bytes> {}

/// Answers the requests of one worker. It is made on the worker's thread and stays there.
pub trait Service: 'static {
    /// The content of responses. An error in it aborts the message, see [`crate::server`].
    type Body: ResponseContent + 'static;

    /// Answers one request. When the client leaves, the answer is dropped.
    ///
    /// The response carries neither Content-Length nor Transfer-Encoding unless it answers HEAD or is a 304: the
    /// body's size hint decides the framing.
    fn handle(
        self: &Rc<Self>,
        peer: &Rc<Peer>,
        parts: Parts,
        content: RequestContent,
    ) -> Answer<Self::Body>;

    /// The response to a request that is refused before [`Service::handle`]: its head is malformed or too large, or did not
    /// arrive in time. `parts` is its head, where that could be read. On HTTP/1 the connection closes after it.
    fn refuse(
        self: &Rc<Self>,
        peer: &Rc<Peer>,
        error: Error,
        parts: Option<&Parts>,
    ) -> Response<Self::Body>;

    /// Completes when nothing runs that outlives its connection, such as fills and invalidations.
    fn drained(self: &Rc<Self>) -> impl Future<Output = ()>;
}
