//! What a request is told about the server it goes to: the base path, Host, and the framing of its content.

use bytes::BytesMut;
use http::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::uri::PathAndQuery;
use http::{HeaderValue, Method, Request, Uri, Version};
use http_body::Body as _;

use super::request_body::RequestBody;
use super::server::Server;
use crate::config::HostPolicy;
use crate::error::{Error, ErrorKind};

/// A request's target as it was given, so that it can be aimed at one server after another.
#[derive(Debug)]
pub(super) struct Target {
    uri: Uri,
    host: Option<HeaderValue>,
}

impl Target {
    pub(super) fn of(request: &Request<RequestBody>) -> Self {
        Self {
            uri: request.uri().clone(),
            host: request.headers().get(HOST).cloned(),
        }
    }

    /// Sets what depends on the server.
    pub(super) fn aim(
        &self,
        request: &mut Request<RequestBody>,
        server: &Server,
        policy: HostPolicy,
    ) -> Result<(), Error> {
        if policy == HostPolicy::Client && self.host.is_some() && server.base_path().is_empty() {
            // The same for each server, and there already.
            return Ok(());
        }
        *request.uri_mut() = join(server.base_path(), &self.uri)?;
        let host = match (policy, &self.host) {
            (HostPolicy::Client, Some(host)) => host.clone(),
            // An HTTP/1.0 client need not send any.
            (HostPolicy::Client, None) | (HostPolicy::Upstream, _) => server.host_value(),
        };
        request.headers_mut().insert(HOST, host);
        Ok(())
    }
}

/// The target in origin form, under `base`: `/api` and `/books/1?page=2` make `/api/books/1?page=2`.
fn join(base: &str, target: &Uri) -> Result<Uri, Error> {
    let given = target.path_and_query().map_or("/", PathAndQuery::as_str);
    // The asterisk form (`OPTIONS *`) is about the server, and has no path to put anything before.
    let joined = if base.is_empty() || given == "*" {
        match target.path_and_query() {
            Some(given) => Ok(given.clone()),
            None => Ok(PathAndQuery::from_static("/")),
        }
    } else {
        let mut joined = BytesMut::with_capacity(base.len() + 1 + given.len());
        joined.extend_from_slice(base.as_bytes());
        if !given.starts_with('/') {
            joined.extend_from_slice(b"/");
        }
        joined.extend_from_slice(given.as_bytes());
        PathAndQuery::from_maybe_shared(joined.freeze())
    };
    joined
        .map(Uri::from)
        .map_err(|error| Error::downstream(ErrorKind::UriTooLong).because(error))
}

/// Sets the fields that frame the content, from the content itself: what the client said about it may be about a
/// connection of its own.
pub(super) fn frame(request: &mut Request<RequestBody>) {
    // Whatever version the client speaks, this hop is ours.
    *request.version_mut() = Version::HTTP_11;
    let length = match request.body() {
        body if body.is_end_stream() => Some(0),
        body => body.size_hint().exact(),
    };
    let expects_content = !matches!(
        *request.method(),
        Method::GET | Method::HEAD | Method::DELETE | Method::OPTIONS | Method::TRACE
    );
    let fields = request.headers_mut();
    fields.remove(CONTENT_LENGTH);
    fields.remove(TRANSFER_ENCODING);
    match length {
        // RFC 9110 §8.6: zero is said where content would be expected.
        Some(0) if !expects_content => {}
        Some(length) => {
            fields.insert(CONTENT_LENGTH, HeaderValue::from(length));
        }
        // hyper would send a GET of unknown length without its content.
        None => {
            fields.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
    }
}
