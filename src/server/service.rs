//! What answers requests, and the content of its responses.

use std::error::Error as StdError;
use std::future::Future;
use std::rc::Rc;

use bytes::Bytes;
use http::request::Parts;
use http::{Request, Response};
use http_body::Body;
use http_body_util::Full;

use crate::error::{Error, ErrorKind};
use crate::proxy::{Peer, RequestContent};

pub(super) type BoxError = Box<dyn StdError + Send + Sync>;

/// The content of a response, as the door sends it.
pub trait ResponseContent: Body<Data = Bytes, Error: Into<BoxError>> + Unpin {
    /// The client is sent no more of it, for this reason; it is dropped then.
    fn cut_off(&mut self, _why: ErrorKind) {}
}

impl ResponseContent for Full<Bytes> {}

/// What answers the requests of one worker. It lives on the worker's thread and is made there.
pub trait Service: 'static {
    /// The content of responses. An error in it aborts the message: see the module's words.
    type Body: ResponseContent + 'static;

    /// Answers one request. When the client leaves, the future is dropped where it stands.
    ///
    /// The response carries neither Content-Length nor Transfer-Encoding unless it answers HEAD or is a 304: the
    /// body's size hint decides the framing.
    fn handle(
        self: &Rc<Self>,
        peer: &Rc<Peer>,
        request: Request<RequestContent>,
    ) -> impl Future<Output = Response<Self::Body>>;

    /// The response to a request that never got as far as [`Service::handle`]: a malformed or oversized head, or one
    /// that did not arrive in time; `parts` is what is known of it. On HTTP/1 the connection closes after it.
    fn refuse(
        self: &Rc<Self>,
        peer: &Rc<Peer>,
        error: Error,
        parts: Option<&Parts>,
    ) -> Response<Self::Body>;

    /// Done when nothing runs any more that a connection does not wait for, such as fills and invalidations.
    fn drained(self: &Rc<Self>) -> impl Future<Output = ()>;
}
