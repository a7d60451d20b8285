//! One line in the access log for each request: when the last byte of its response has gone, when its client has left
//! before, or when it was refused.

use std::borrow::Cow;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

use http::header::{HOST, HeaderValue, REFERER, USER_AGENT};
use http::request::Parts;
use http::{HeaderMap, Method, Response, StatusCode, Version};

use crate::clock::{Clock, Now};
use crate::config::RoutePolicy;
use crate::error::ErrorKind;
use crate::proxy::epoch::Epoch;
use crate::proxy::request::Request;
use crate::proxy::request::peer::Peer;
use crate::proxy::response::body::{Body, Trail};
use crate::proxy::response::counted::outcome;
use crate::proxy::response::error::Reported;
use crate::proxy::response::spanned;
use crate::proxy::worker::Worker;
use crate::semantics::cache_status::{CacheResult, CacheStatus, Detail, ForwardReason};
use crate::telemetry::access::{AccessWriter, Record, RequestLine, Upstream};
use crate::telemetry::by_route::Outcome;
use crate::upstream::{Trials, Waiting};

/// Octets of a target that a line shows of a request that was refused.
const MAX_TARGET: usize = 1024;

/// Clients that left before their response had begun, as nginx writes them.
const CLIENT_LEFT: u16 = 499;

/// The record of the line; the line is written when this is dropped.
#[derive(Debug)]
struct Line {
    log: Rc<AccessWriter>,
    /// Whether the log has it, or only those who read live.
    is_logged: bool,
    clock: Clock,
    began: Now,
    peer: Rc<Peer>,
    client: Option<IpAddr>,
    user: Option<Box<str>>,
    route: Option<Arc<RoutePolicy>>,
    /// Where it has one and lines name it.
    request_id: Option<Box<str>>,
    request: Option<Head>,
    status: StatusCode,
    bytes: u64,
    /// Where somebody reads live, who may look at it.
    url: Option<Box<str>>,
    result: Outcome,
    reason: Option<&'static str>,
    /// `None` where the request waited for no API.
    trials: Option<Trials>,
    cache: Box<[u8]>,
    failure: Option<ErrorKind>,
    detail: Option<Arc<str>>,
}

/// The parts of a request's head that the line names.
#[derive(Debug)]
struct Head {
    method: Method,
    target: Box<str>,
    version: Version,
    host: Option<HeaderValue>,
    user_agent: Option<HeaderValue>,
    referer: Option<HeaderValue>,
}

/// Whether the log has a line for it: not where its route has none, nor for a hit that others stand for.
fn is_logged(
    worker: &Worker,
    response: &Response<Body>,
    request: &Request,
    status: &CacheStatus,
) -> bool {
    if !worker.access.is_logged() {
        return false;
    }
    if !request.route.access_log && !response.status().is_server_error() {
        return false;
    }
    let each = request.epoch.settings.config.log.access_hits;
    each <= 1 || status.result() != Some(CacheResult::Hit) || worker.access.takes_hit(each)
}

/// Has the line for `response` written at its end, and read by those who read the log live.
pub fn follow(
    worker: &Worker,
    response: &mut Response<Body>,
    request: &Request,
    status: &CacheStatus,
) {
    let is_logged = is_logged(worker, response, request, status);
    let is_read = worker.access.is_read();
    if !is_logged && !is_read {
        return;
    }
    let mut line = Line::of(worker, request, response.status());
    line.is_logged = is_logged;
    line.url = is_read.then(|| request.target.as_str().into());
    line.result = outcome(response, status);
    line.reason = (status.detail.map(Detail::text)).or(status.forward.map(ForwardReason::token));
    let mut cache = Vec::new();
    status.write_to(&request.epoch.settings.identity.name, &mut cache);
    line.cache = cache.into();
    line.reports(response);
    response.body_mut().set_trail(Box::new(line));
}

/// Writes the line of a request whose client left before there was a response.
pub fn client_left(worker: &Worker, request: &Request) {
    worker.counters.count_error(ErrorKind::ClientGone);
    worker.count_left(request);
    spanned::client_left(request);
    if worker.access.is_on() {
        let status = StatusCode::from_u16(CLIENT_LEFT).unwrap_or(StatusCode::BAD_REQUEST);
        let mut line = Line::of(worker, request, status);
        line.is_logged = worker.access.is_logged() && request.route.access_log;
        line.url = (worker.access.is_read()).then(|| request.target.as_str().into());
        line.failure = Some(ErrorKind::ClientGone);
    }
}

/// Has the line for the answer to a request that was not understood written at its end. `parts` is what is known of
/// it.
pub fn follow_refusal(
    worker: &Worker,
    response: &mut Response<Body>,
    peer: &Rc<Peer>,
    parts: Option<&Parts>,
) {
    if !worker.access.is_on() {
        return;
    }
    let epoch = worker.epoch();
    let client = parts.and_then(|parts| client_of(peer, &parts.headers, &epoch));
    let request = parts.map(|parts| {
        let target = parts.uri.to_string();
        let end = target.floor_char_boundary(MAX_TARGET);
        Head::new(&parts.method, &target[..end], parts.version, &parts.headers)
    });
    let mut line = Line {
        log: worker.access.clone(),
        is_logged: worker.access.is_logged(),
        clock: worker.gateway.clock.clone(),
        began: worker.gateway.clock.now(),
        peer: peer.clone(),
        client,
        user: None,
        route: None,
        request_id: None,
        request,
        status: response.status(),
        bytes: 0,
        url: None,
        result: Outcome::Error,
        reason: None,
        trials: None,
        cache: Box::default(),
        failure: None,
        detail: None,
    };
    line.reports(response);
    response.body_mut().set_trail(Box::new(line));
}

impl Head {
    fn new(method: &Method, target: &str, version: Version, fields: &HeaderMap) -> Self {
        let field = |name| fields.get(name).cloned();
        Self {
            method: method.clone(),
            target: target.into(),
            version,
            host: field(HOST),
            user_agent: field(USER_AGENT),
            referer: field(REFERER),
        }
    }
}

impl Line {
    fn of(worker: &Worker, request: &Request, status: StatusCode) -> Self {
        let head = Head::new(
            request.method(),
            &request.path_and_query(),
            request.parts.version,
            request.received(),
        );
        let names_id = worker.access.names_request_id();
        Self {
            log: worker.access.clone(),
            is_logged: worker.access.is_logged(),
            clock: worker.gateway.clock.clone(),
            began: request.began,
            peer: request.peer.clone(),
            client: client_of(&request.peer, request.received(), &request.epoch),
            user: request.user.clone(),
            route: Some(request.strict_route().clone()),
            request_id: names_id
                .then(|| request.known_id().map(Into::into))
                .flatten(),
            request: Some(head),
            status,
            bytes: 0,
            url: None,
            result: Outcome::Error,
            reason: None,
            trials: request.waiting.as_ref().map(Waiting::trials),
            cache: Box::default(),
            failure: None,
            detail: None,
        }
    }

    fn reports(&mut self, response: &Response<Body>) {
        if let Some(Reported { kind, detail }) = response.extensions().get() {
            self.failure = Some(*kind);
            self.detail = Some(detail.clone());
        }
    }

    /// Cache-Status as it came true: a response that broke off is not stored.
    fn cache(&self) -> Option<Cow<'_, str>> {
        let said = std::str::from_utf8(&self.cache).ok()?;
        match self.failure {
            _ if said.is_empty() => None,
            None => Some(said.into()),
            Some(_) => {
                let kept: Vec<_> = (said.split("; "))
                    .filter(|parameter| *parameter != "stored")
                    .collect();
                Some(kept.join("; ").into())
            }
        }
    }
}

/// The client that trusted proxies name, where it is not the one at the other end of the connection.
fn client_of(peer: &Peer, fields: &HeaderMap, epoch: &Epoch) -> Option<IpAddr> {
    let proxies = &epoch.settings.config.server.trusted_proxies;
    if proxies.is_empty() {
        return None;
    }
    let client = peer.client(fields, proxies)?;
    peer.addr
        .is_none_or(|addr| addr.ip() != client)
        .then_some(client)
}

impl Trail for Line {
    fn sent(&mut self, bytes: u64) {
        self.bytes += bytes;
    }

    fn failed(&mut self, why: ErrorKind) {
        self.failure = Some(why);
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let now = self.clock.now();
        let head = self.request.as_ref();
        let cache = self.cache();
        let server = self.trials.as_ref().and_then(|trials| {
            let server = trials.server.as_ref()?;
            Some((server.url().to_string(), trials))
        });
        let record = Record {
            time: self.began.wall,
            peer: self.peer.addr,
            client: self.client,
            user: self.user.as_deref(),
            request: head.map(|head| RequestLine {
                method: &head.method,
                target: &head.target,
                version: head.version,
            }),
            scheme: self.peer.scheme,
            host: head.and_then(|head| head.host.as_ref()?.to_str().ok()),
            url: self.url.as_deref(),
            route: self.route.as_ref().map(|route| route.shown_name()),
            request_id: self.request_id.as_deref(),
            status: self.status,
            bytes: self.bytes,
            duration: now.mono.since(self.began.mono),
            result: self.result,
            reason: self.reason,
            cache: cache.as_deref(),
            failure: self.failure,
            detail: self.detail.as_deref(),
            tls: self.peer.tls,
            upstream: (server.as_ref()).map(|(server, trials)| Upstream {
                server,
                attempts: trials.count,
                duration: trials.duration,
            }),
            user_agent: head.and_then(|head| head.user_agent.as_ref()),
            referer: head.and_then(|head| head.referer.as_ref()),
        };
        self.log.log(&record, self.is_logged);
    }
}
