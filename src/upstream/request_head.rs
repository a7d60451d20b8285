//! Sets the parts of a request's head that depend on the server: the base path, Host, and the framing of its content.

use bytes::BytesMut;
use http::header::{CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING, UPGRADE};
use http::uri::PathAndQuery;
use http::{HeaderValue, Method, Request, Uri, Version};
use http_body::Body as _;

use super::request_body::RequestBody;
use super::server::Server;
use crate::config::HostPolicy;
use crate::error::{Error, ErrorKind};

/// A request's target as it was given, so that it can be sent to one server after another.
#[derive(Debug)]
pub(super) struct Target {
    uri: Uri,
    has_host: bool,
}

impl Target {
    pub(super) fn of(request: &Request<RequestBody>) -> Self {
        Self {
            uri: request.uri().clone(),
            has_host: request.headers().contains_key(HOST),
        }
    }

    /// Sets the target and Host for `server`.
    pub(super) fn set_server(
        &self,
        request: &mut Request<RequestBody>,
        server: &Server,
        policy: HostPolicy,
    ) -> Result<(), Error> {
        *request.uri_mut() = join(server.base_path(), &self.uri)?;
        // An HTTP/1.0 client need not send any Host.
        if policy == HostPolicy::Upstream || !self.has_host {
            request.headers_mut().insert(HOST, server.host_value());
        }
        Ok(())
    }
}

/// The target in origin form, under `base`: `/api` and `/books/1?page=2` make `/api/books/1?page=2`.
fn join(base: &str, target: &Uri) -> Result<Uri, Error> {
    let given = target.path_and_query().map_or("/", PathAndQuery::as_str);
    // The asterisk form (`OPTIONS *`) is about the server, and has no path that `base` could be put before.
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

/// The head of a request whose server is set, in the form that it has in HTTP/2: the host is part of the target, and there
/// are no connection-specific fields (RFC 9113 §8.2.2, §8.3.1).
pub(super) fn into_http2(
    request: Request<RequestBody>,
    scheme: &'static str,
) -> Result<(Request<()>, RequestBody), Error> {
    let (mut head, body) = request.into_parts();
    let bad = |error: http::Error| Error::downstream(ErrorKind::BadRequest).because(error);
    let host = head.headers.remove(HOST);
    let host = host.as_ref().map_or(&b""[..], HeaderValue::as_bytes);
    let target = head.uri.path_and_query().cloned();
    let uri = Uri::builder()
        .scheme(scheme)
        .authority(host)
        .path_and_query(target.unwrap_or(PathAndQuery::from_static("/")))
        .build();
    head.uri = uri.map_err(bad)?;
    head.version = Version::HTTP_2;
    for name in [CONNECTION, TRANSFER_ENCODING, UPGRADE] {
        head.headers.remove(name);
    }
    Ok((Request::from_parts(head, ()), body))
}

/// Sets the framing fields from the content itself: the client's were for the client's connection.
pub(super) fn frame(request: &mut Request<RequestBody>) {
    // The client's version is for the client's connection.
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
        // RFC 9110 §8.6: a length of zero is sent where content would be expected.
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
