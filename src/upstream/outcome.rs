//! The failure of a request that got no response.

use http::Request;

use super::request_body::RequestBody;
use crate::error::Error;

/// Why no response came, and whether the request may be sent again.
#[derive(Debug)]
pub(super) struct Unanswered {
    pub(super) error: Error,
    /// The request itself, when none of it has been written.
    pub(super) unsent: Option<Request<RequestBody>>,
    pub(super) resend: Resend,
}

/// Whether a request that was not answered may be sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Resend {
    /// The server has not processed it: it has refused it, or none of it was written.
    Always,
    /// The connection broke before anything was read, as a pooled one does that its peer has closed meanwhile.
    IfIdempotent,
    /// The server has answered in part, or has had the request for too long: it may have processed it.
    Never,
}
