//! The end of a request's span: when the last byte of its response has gone, or its client has left before. It says what the line in
//! the access log says, by the names of OpenTelemetry's semantic conventions, and ours for what the cache did.

use http::Response;
use http::header::USER_AGENT;

use crate::error::ErrorKind;
use crate::proxy::request::Request;
use crate::proxy::response::body::{Body, Trail};
use crate::proxy::response::counted::outcome;
use crate::proxy::response::error::Reported;
use crate::semantics::authority::{Scheme, host_of};
use crate::semantics::cache_status::{CacheStatus, Detail, ForwardReason};
use crate::semantics::target::split_query;
use crate::telemetry::access::without_secrets;
use crate::telemetry::traces::http as names;
use crate::telemetry::traces::{OpenSpan, Value};

const CACHE_RESULT: &str = "bookend.cache.result";
const CACHE_REASON: &str = "bookend.cache.reason";
/// Seconds of freshness that are left, negative when stale.
const CACHE_TTL: &str = "bookend.cache.ttl";
const REQUEST_ID: &str = "bookend.request.id";

/// Has the request's span, where it has one, end with `response`.
pub(super) fn follow(response: &mut Response<Body>, request: &Request, status: &CacheStatus) {
    let Some(mut span) = request.take_span() else {
        return;
    };
    describe(&mut span, request);
    span.set(CACHE_RESULT, outcome(response, status).token());
    let reason = (status.detail.map(Detail::text)).or(status.forward.map(ForwardReason::token));
    if let Some(reason) = reason {
        span.set(CACHE_REASON, reason);
    }
    if let Some(ttl) = status.ttl {
        span.set(CACHE_TTL, ttl);
    }
    span.set_status(response.status());
    // Semantic conventions: what a client has done wrong is no error of the server's.
    match response.extensions().get::<Reported>() {
        Some(Reported { kind, detail }) if response.status().is_server_error() => {
            span.fail(kind.token(), Some(detail));
        }
        _ if response.status().is_server_error() => span.fail_by_status(response.status()),
        _ => {}
    }
    let body = response.body_mut();
    let before = body.take_trail();
    body.set_trail(Box::new(SpanTrail {
        span,
        bytes: 0,
        before,
    }));
}

/// Ends the span of a request whose client left before there was a response.
pub(super) fn client_left(request: &Request) {
    if let Some(mut span) = request.take_span() {
        describe(&mut span, request);
        span.fail(ErrorKind::ClientGone.token(), None);
    }
}

fn describe(span: &mut OpenSpan, request: &Request) {
    span.set_method(request.method());
    let target = request.path_and_query();
    let clean = without_secrets(&target);
    let (path, query) = split_query(&clean);
    span.set(names::URL_PATH, Value::text(path));
    if let Some(query) = query {
        span.set(names::URL_QUERY, Value::text(query));
    }
    span.set(names::URL_SCHEME, request.target.scheme().as_str());
    let authority = request.target.authority();
    let host = host_of(authority);
    let port = authority.get(host.len()..).unwrap_or_default();
    let port = port.strip_prefix(':').and_then(|port| port.parse().ok());
    let default = match request.target.scheme() {
        Scheme::Http => 80,
        Scheme::Https => 443,
    };
    let address = host.trim_matches(['[', ']']);
    span.set(names::SERVER_ADDRESS, Value::text(address));
    span.set(names::SERVER_PORT, port.unwrap_or(default));
    if let Some(route) = request.route_template() {
        span.set(names::HTTP_ROUTE, Value::text(route));
    }
    span.set_version(request.parts.version);
    if let Some(address) = request.address() {
        span.set(names::CLIENT_ADDRESS, Value::text(&address.to_string()));
    }
    if let Some(peer) = request.peer.addr {
        span.set(names::PEER_ADDRESS, Value::text(&peer.ip().to_string()));
        span.set(names::PEER_PORT, i64::from(peer.port()));
    }
    if let Some(agent) = request.received().get(USER_AGENT) {
        span.set(names::USER_AGENT, Value::octets(agent.as_bytes()));
    }
    if let Some(id) = request.known_id() {
        span.set(REQUEST_ID, Value::text(id));
    }
}

/// The span goes on as long as the response's content.
#[derive(Debug)]
struct SpanTrail {
    span: OpenSpan,
    bytes: u64,
    /// The line in the access log.
    before: Option<Box<dyn Trail>>,
}

impl Trail for SpanTrail {
    fn sent(&mut self, bytes: u64) {
        self.bytes += bytes;
        if let Some(before) = &mut self.before {
            before.sent(bytes);
        }
    }

    fn failed(&mut self, why: ErrorKind) {
        self.span.fail(why.token(), None);
        if let Some(before) = &mut self.before {
            before.failed(why);
        }
    }
}

impl Drop for SpanTrail {
    fn drop(&mut self) {
        let size = Value::count(self.bytes);
        self.span.set(names::HTTP_RESPONSE_SIZE, size);
    }
}
