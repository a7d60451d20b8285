//! A request on its way upstream.

use std::rc::Rc;
use std::time::Duration;

use http::Request;

use super::request_body::RequestBody;
use super::waiting::Waiting;
use crate::telemetry::traces::Parent;

/// A request to be sent upstream.
#[derive(Debug)]
pub struct Outgoing {
    /// Which API it is for, by its place in the configuration's list; `None` where there is none for it.
    pub upstream: Option<usize>,
    /// The target is in origin form, as it is forwarded: the server's base path is put before it here. Hop-by-hop
    /// fields are gone and forwarding fields are there already; framing fields are set here, from the body.
    ///
    /// Interim responses (1xx) are passed to the [`OnInterim`](super::OnInterim) in its extensions.
    pub request: Request<RequestBody>,
    /// Whether a second sending does no more than the first (RFC 9110 §9.2.2): such a request is sent again when the
    /// connection broke before anything of its response had come.
    pub idempotent: bool,
    /// From the end of the request to the end of the response's head; `None` means as the upstream is configured.
    pub response_timeout: Option<Duration>,
    /// On how many other servers it is tried; `None` likewise.
    pub max_retries: Option<usize>,
    /// Requests with the same hash go to the same server under consistent hashing.
    pub hash: Option<u64>,
    /// How far the request has come, for a caller that may cancel it by dropping the future of [`Upstreams::send`](super::Upstreams::send).
    pub waiting: Option<Waiting>,
    /// What the spans of its attempts belong to; `None` where it is not recorded.
    pub trace: Option<Rc<Parent>>,
}

/// Makes a request once more, as it was; `None` when that cannot be done.
pub type Maker<'a> = dyn Fn() -> Option<Request<RequestBody>> + 'a;
