//! What the access log is told of a request and its response.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use http::{HeaderValue, Method, StatusCode, Version};

use crate::error::ErrorKind;
use crate::semantics::time::Timestamp;

/// What a line says of a request and its response. It has no credentials: neither Authorization nor Cookie is logged, and
/// secrets in a query are replaced.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// When the request was received.
    pub time: Timestamp,
    /// Where the connection comes from; `None` behind a Unix socket.
    pub peer: Option<SocketAddr>,
    /// The client, as trusted proxies name it.
    pub client: Option<IpAddr>,
    /// `None` where it could not be read.
    pub request: Option<RequestLine<'a>>,
    pub host: Option<&'a str>,
    pub status: StatusCode,
    /// Content sent.
    pub bytes: u64,
    /// From the request's head to the response's last byte.
    pub duration: Duration,
    /// Our member of Cache-Status: the result and its reason.
    pub cache: Option<&'a str>,
    /// Why the gateway answered with an error of its own, or what broke the response off.
    pub failure: Option<ErrorKind>,
    /// What exactly was wrong, as text.
    pub detail: Option<&'a str>,
    pub user_agent: Option<&'a HeaderValue>,
    pub referer: Option<&'a HeaderValue>,
}

/// The first line of a request.
#[derive(Clone, Copy, Debug)]
pub struct RequestLine<'a> {
    pub method: &'a Method,
    /// Path and query as the client sent them.
    pub target: &'a str,
    pub version: Version,
}
