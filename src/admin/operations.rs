//! The seam between the admin API and the gateway that it administers.

use std::net::SocketAddr;
use std::pin::Pin;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use serde_json::{Map, Value};
use tokio::sync::watch;

use super::answer::problem;
use super::page::Page;
use crate::config;
use crate::telemetry::access::Reader;
use crate::telemetry::counters::Metrics;
use crate::telemetry::readiness::Stage;

/// Where a request to the admin API came from, among its extensions.
#[derive(Clone, Debug)]
pub(super) struct Caller(pub Option<SocketAddr>);

pub(super) const NO_SOURCE: &str =
    "this gateway was started without a configuration that could be read again";

/// The answer to a request to the admin API.
pub enum Reply {
    Now(Response<Bytes>),
    Later(Pin<Box<dyn Future<Output = Response<Bytes>>>>),
}

/// The operations of a gateway that the admin API uses. Called on the admin API's thread.
pub trait Operations: Send + Sync + 'static {
    /// Whether the gateway takes requests.
    fn stage(&self) -> Stage;

    /// The settings of the admin API in force; `None`: those that it was started with.
    fn settings(&self) -> Option<config::Admin> {
        None
    }

    /// The names of the APIs of which no server is available; `None` for that of `[upstream]`.
    fn unavailable_upstreams(&self) -> Vec<Option<Box<str>>> {
        Vec::new()
    }

    /// The names that an authority has not issued a certificate for yet.
    fn missing_certificates(&self) -> Vec<Box<str>> {
        Vec::new()
    }

    /// The counters of its workers.
    fn metrics(&self) -> &Metrics;

    /// Adds the metrics that no worker counts: the store's size, the health of upstream servers.
    fn gauges(&self, page: &mut Page) {
        let _ = page;
    }

    /// Resources that had to leave the store for want of room since the process was started.
    fn evicted(&self) -> u64 {
        0
    }

    /// The members of `GET /status` that no worker counts, as an object.
    fn state(&self) -> Value {
        Value::Object(Map::new())
    }

    /// `POST /purge`, after the request was authorised.
    fn purge(&self, request: &Request<Bytes>) -> Reply {
        let _ = request;
        let detail = "this gateway cannot purge";
        Reply::Now(problem(StatusCode::NOT_IMPLEMENTED, detail))
    }

    /// `GET /purges`, after the request was authorised. A stream, in the answer's extensions, ends when the sender of `open` is
    /// dropped.
    fn purges(&self, request: &Request<Bytes>, open: watch::Receiver<()>) -> Response<Bytes> {
        let _ = (request, open);
        problem(StatusCode::NOT_IMPLEMENTED, "this gateway cannot purge")
    }

    /// `GET /explain`, after the request was authorised.
    fn explain(&self, request: &Request<Bytes>) -> Response<Bytes> {
        let _ = request;
        problem(StatusCode::NOT_IMPLEMENTED, "this gateway cannot explain")
    }

    /// `GET /config`, after the request was authorised.
    fn configuration(&self) -> Response<Bytes> {
        problem(StatusCode::NOT_IMPLEMENTED, NO_SOURCE)
    }

    /// `GET /stored`, after the request was authorised.
    fn stored(&self, request: &Request<Bytes>) -> Response<Bytes> {
        let _ = request;
        problem(StatusCode::NOT_IMPLEMENTED, "this gateway stores nothing")
    }

    /// `GET /top`, after the request was authorised.
    fn top(&self, request: &Request<Bytes>) -> Response<Bytes> {
        let _ = request;
        problem(StatusCode::NOT_IMPLEMENTED, "this gateway counts no URLs")
    }

    /// `GET /tail`, after the request was authorised: the reader of the access log that it asks for, or why there is none.
    fn tail(&self, request: &Request<Bytes>) -> Result<Reader, Box<Response<Bytes>>> {
        let _ = request;
        let detail = "this gateway has no access log";
        Err(Box::new(problem(StatusCode::NOT_IMPLEMENTED, detail)))
    }

    /// `POST /reload`, after the request was authorised.
    fn reload(&self) -> Response<Bytes> {
        problem(StatusCode::NOT_IMPLEMENTED, NO_SOURCE)
    }
}
