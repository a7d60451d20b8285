//! The record of one exchange, from which a line of the access log is written.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use http::{HeaderValue, Method, StatusCode, Version};

use crate::error::ErrorKind;
use crate::semantics::authority::Scheme;
use crate::semantics::time::Timestamp;
use crate::telemetry::by_route::Outcome;

/// A request and its response, as a line of the access log has them. Neither Authorization nor Cookie is logged, and secrets
/// in a query are replaced.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// When the request was received.
    pub time: Timestamp,
    /// The peer of the connection; `None` behind a Unix socket.
    pub peer: Option<SocketAddr>,
    /// The client, as trusted proxies name it.
    pub client: Option<IpAddr>,
    /// The user whose password the gateway has verified.
    pub user: Option<&'a str>,
    /// `None` where the request could not be read.
    pub request: Option<RequestLine<'a>>,
    pub scheme: Scheme,
    pub host: Option<&'a str>,
    /// The target URI in its normal form; `None` where it is not known, or nobody looks at it.
    pub url: Option<&'a str>,
    /// The name of its route for users; `None` where it was refused before it had one.
    pub route: Option<&'a str>,
    /// Its id, where it has one and lines name it.
    pub request_id: Option<&'a str>,
    pub status: StatusCode,
    /// Content sent.
    pub bytes: u64,
    /// From the request's head to the response's last byte.
    pub duration: Duration,
    /// As the metrics count it.
    pub result: Outcome,
    /// The token of why it was not simply answered from the store, or not stored.
    pub reason: Option<&'static str>,
    /// Our member of Cache-Status.
    pub cache: Option<&'a str>,
    /// Why the gateway answered with an error of its own, or why the response was aborted.
    pub failure: Option<ErrorKind>,
    /// Details of the failure, as text.
    pub detail: Option<&'a str>,
    /// The version of TLS that the client speaks; `None` without TLS.
    pub tls: Option<&'static str>,
    /// How the API was asked; `None` where it was not asked for this request.
    pub upstream: Option<Upstream<'a>>,
    pub user_agent: Option<&'a HeaderValue>,
    pub referer: Option<&'a HeaderValue>,
}

/// How an API was asked.
#[derive(Clone, Copy, Debug)]
pub struct Upstream<'a> {
    /// The URL of the server that was tried last.
    pub server: &'a str,
    /// How often servers were tried.
    pub attempts: u32,
    /// From the latest sending to the head of the response, or to the failure; `None` where nothing was sent.
    pub duration: Option<Duration>,
}

/// The first line of a request.
#[derive(Clone, Copy, Debug)]
pub struct RequestLine<'a> {
    pub method: &'a Method,
    /// Path and query as the client sent them.
    pub target: &'a str,
    pub version: Version,
}
