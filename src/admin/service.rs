//! The admin API's service: its endpoints, who may use them, and the dispatch.

use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{
    ALLOW, AUTHORIZATION, CACHE_CONTROL, DATE, HOST, HeaderName, HeaderValue, ORIGIN,
    WWW_AUTHENTICATE,
};
use http::request::Parts;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Limited};
use tokio::sync::watch;

use super::answer::{json as document, problem, text, with_type};
use super::content::{Content, Stream};
use super::live::{Live, MAX_LISTENERS};
use super::operations::{Caller, Operations, Reply};
use super::page::Page;
use super::stream::Lines;
use super::{dashboard, metrics, process};
use crate::clock::Clock;
use crate::config;
use crate::error::Error;
use crate::semantics::authority::TargetView;
use crate::server::{Answer, Peer, RequestContent, Service};
use crate::telemetry::readiness::Stage;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Bytes of content that a request may have at most.
const MAX_CONTENT: usize = 256 << 10;

struct Endpoint {
    path: &'static str,
    method: Method,
    /// Whether it needs the token, where one is configured, and refuses pages of other sites.
    guarded: bool,
    /// Whether it is for load balancers and the like, which may use any name in Host.
    is_health_check: bool,
    answer: fn(&AdminService, &Request<Bytes>) -> Reply,
}

const ENDPOINTS: [Endpoint; 13] = [
    Endpoint {
        path: "/healthz",
        method: Method::GET,
        guarded: false,
        is_health_check: true,
        answer: |_, _| Reply::Now(text(StatusCode::OK, "ok\n")),
    },
    Endpoint {
        path: "/readyz",
        method: Method::GET,
        guarded: false,
        is_health_check: true,
        answer: |service, _| Reply::Now(readyz(&*service.operations)),
    },
    Endpoint {
        path: "/metrics",
        method: Method::GET,
        guarded: false,
        is_health_check: false,
        answer: |service, request| Reply::Now(service.metrics(request.headers())),
    },
    Endpoint {
        path: "/status",
        method: Method::GET,
        guarded: true,
        is_health_check: false,
        answer: |service, _| Reply::Now(document(StatusCode::OK, &service.live.status())),
    },
    Endpoint {
        path: "/live",
        method: Method::GET,
        guarded: true,
        is_health_check: false,
        answer: |service, _| Reply::Now(service.events()),
    },
    Endpoint {
        path: "/purge",
        method: Method::POST,
        guarded: true,
        is_health_check: false,
        answer: |service, request| service.operations.purge(request),
    },
    Endpoint {
        path: "/purges",
        method: Method::GET,
        guarded: true,
        is_health_check: false,
        answer: |service, request| {
            Reply::Now(service.operations.purges(request, service.live.open()))
        },
    },
    Endpoint {
        path: "/explain",
        method: Method::GET,
        guarded: true,
        is_health_check: false,
        answer: |service, request| Reply::Now(service.operations.explain(request)),
    },
    Endpoint {
        path: "/config",
        method: Method::GET,
        guarded: true,
        is_health_check: false,
        answer: |service, _| Reply::Now(service.operations.configuration()),
    },
    Endpoint {
        path: "/stored",
        method: Method::GET,
        guarded: true,
        is_health_check: false,
        answer: |service, request| Reply::Now(service.operations.stored(request)),
    },
    Endpoint {
        path: "/top",
        method: Method::GET,
        guarded: true,
        is_health_check: false,
        answer: |service, request| Reply::Now(service.operations.top(request)),
    },
    Endpoint {
        path: "/tail",
        method: Method::GET,
        guarded: true,
        is_health_check: false,
        answer: |service, request| Reply::Now(service.tail(request)),
    },
    Endpoint {
        path: "/reload",
        method: Method::POST,
        guarded: true,
        is_health_check: false,
        answer: |service, _| Reply::Now(service.operations.reload()),
    },
];

/// A gateway whose API is down stays ready: it answers from its store, and with 503 where it cannot. The text says so.
fn readyz(operations: &dyn Operations) -> Response<Bytes> {
    match operations.stage() {
        Stage::Ready => match &operations.unavailable_upstreams()[..] {
            [] => match &operations.missing_certificates()[..] {
                [] => text(StatusCode::OK, "ready\n"),
                // An authority may have to be answered before there is one: a balancer is to send its requests here.
                missing => {
                    let names = missing.join(", ");
                    let words = format!("ready, but there is no certificate for {names} yet\n");
                    text(StatusCode::OK, words)
                }
            },
            [None] => text(
                StatusCode::OK,
                "ready, but no upstream server is available\n",
            ),
            unavailable => {
                let name = |name: &Option<Box<str>>| match name {
                    None => "[upstream]".to_owned(),
                    Some(name) => format!("[upstreams.{name}]"),
                };
                let names: Vec<_> = unavailable.iter().map(name).collect();
                let names = names.join(" and of ");
                text(
                    StatusCode::OK,
                    format!("ready, but no server of {names} is available\n"),
                )
            }
        },
        Stage::Starting => text(StatusCode::SERVICE_UNAVAILABLE, "starting\n"),
        Stage::ShuttingDown => text(StatusCode::SERVICE_UNAVAILABLE, "shutting down\n"),
        Stage::Draining => text(StatusCode::SERVICE_UNAVAILABLE, "draining\n"),
    }
}

/// Answers requests to the admin API.
pub(super) struct AdminService {
    operations: Arc<dyn Operations>,
    config: config::Admin,
    clock: Clock,
    live: Rc<Live>,
}

impl AdminService {
    /// To be made within its runtime. Streams of events end when the sender of `open` is dropped.
    pub fn new(
        operations: Arc<dyn Operations>,
        config: config::Admin,
        clock: Clock,
        open: watch::Receiver<()>,
    ) -> Self {
        Self {
            live: Live::start(operations.clone(), clock.clone(), open),
            operations,
            config,
            clock,
        }
    }

    /// A stream of events, which [`finish`](Self::finish) puts in the place of the content.
    fn events(&self) -> Response<Bytes> {
        let Some(events) = self.live.listen() else {
            let detail = format!("{MAX_LISTENERS} streams are open already");
            return problem(StatusCode::SERVICE_UNAVAILABLE, &detail);
        };
        let mut response = with_type(StatusCode::OK, "text/event-stream", Bytes::new());
        response.extensions_mut().insert(Stream::Events(events));
        response
    }

    /// A stream of lines, likewise.
    fn tail(&self, request: &Request<Bytes>) -> Response<Bytes> {
        let reader = match self.operations.tail(request) {
            Ok(reader) => reader,
            Err(refusal) => return *refusal,
        };
        let mut response = with_type(StatusCode::OK, "application/x-ndjson", Bytes::new());
        let stream = Stream::Tailed(Lines::new(Arc::new(reader), self.live.open()));
        response.extensions_mut().insert(stream);
        response
    }

    fn metrics(&self, fields: &HeaderMap) -> Response<Bytes> {
        let mut page = Page::default();
        metrics::write(&mut page, self.operations.metrics());
        self.operations.gauges(&mut page);
        process::write(&mut page);
        let (media_type, content) = page.into_content(fields);
        with_type(StatusCode::OK, media_type, content)
    }

    async fn answer(&self, peer: &Peer, request: Request<RequestContent>) -> Response<Bytes> {
        let settings = self.operations.settings();
        let config = settings.as_ref().unwrap_or(&self.config);
        let path = request.uri().path();
        let endpoint = ENDPOINTS.iter().find(|endpoint| endpoint.path == path);
        if !endpoint.is_some_and(|endpoint| endpoint.is_health_check)
            && let Err(refusal) = check_host(config, peer, &request)
        {
            return *refusal;
        }
        let Some(endpoint) = endpoint else {
            if let Some(file) = dashboard::answer(request.method(), path) {
                return file;
            }
            let paths: Vec<_> = ENDPOINTS.iter().map(|endpoint| endpoint.path).collect();
            let detail = format!(
                "no such endpoint; the endpoints are {}, and the dashboard at /",
                paths.join(", ")
            );
            return problem(StatusCode::NOT_FOUND, &detail);
        };
        if let Err(refusal) = admit(config, endpoint, request.method(), request.headers()) {
            return *refusal;
        }
        let (mut head, content) = request.into_parts();
        head.extensions.insert(Caller(peer.addr));
        match Limited::new(content, MAX_CONTENT).collect().await {
            Ok(content) => {
                let request = Request::from_parts(head, content.to_bytes());
                match (endpoint.answer)(self, &request) {
                    Reply::Now(response) => response,
                    Reply::Later(response) => response.await,
                }
            }
            Err(error) if error.is::<http_body_util::LengthLimitError>() => problem(
                StatusCode::PAYLOAD_TOO_LARGE,
                "the content is larger than 256 KiB",
            ),
            Err(_) => problem(StatusCode::BAD_REQUEST, "the content ended early"),
        }
    }

    fn finish(&self, mut response: Response<Bytes>) -> Response<Content> {
        let date = self.clock.now().wall.to_http_date();
        let fields = response.headers_mut();
        if let Ok(date) = HeaderValue::try_from(date) {
            fields.insert(DATE, date);
        }
        fields.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        match response.extensions_mut().remove::<Stream>() {
            Some(stream) => response.map(|_| stream.into()),
            None => response.map(Content::from),
        }
    }
}

/// Whether a request may use `endpoint`; the refusal where it may not.
fn admit(
    config: &config::Admin,
    endpoint: &Endpoint,
    method: &Method,
    fields: &HeaderMap,
) -> Result<(), Box<Response<Bytes>>> {
    let is_read = endpoint.method == Method::GET;
    if *method != endpoint.method && !(is_read && *method == Method::HEAD) {
        let allowed = if is_read { "GET, HEAD" } else { "POST" };
        let mut refusal = problem(
            StatusCode::METHOD_NOT_ALLOWED,
            &format!("this endpoint accepts {allowed} only"),
        );
        let fields = refusal.headers_mut();
        fields.insert(ALLOW, HeaderValue::from_static(allowed));
        return Err(Box::new(refusal));
    }
    if !endpoint.guarded {
        return Ok(());
    }
    if config.token.is_some() && !has_token(config, fields) {
        let mut refusal = problem(
            StatusCode::UNAUTHORIZED,
            "this endpoint needs `Authorization: Bearer` with the token of [admin]",
        );
        let fields = refusal.headers_mut();
        fields.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        return Err(Box::new(refusal));
    }
    if is_cross_site(fields) {
        let refusal = problem(
            StatusCode::FORBIDDEN,
            "the request comes from a page of another site, which may not use the admin API",
        );
        return Err(Box::new(refusal));
    }
    Ok(())
}

/// Whether the request's authority is a name of the admin API. A page whose own name was made to resolve to this
/// address (DNS rebinding) sends that name: it may neither change nor read anything.
fn check_host(
    config: &config::Admin,
    peer: &Peer,
    request: &Request<RequestContent>,
) -> Result<(), Box<Response<Bytes>>> {
    // No page can reach a Unix socket, and none knows the token.
    if peer.addr.is_none() || has_token(config, request.headers()) {
        return Ok(());
    }
    let target = TargetView::from_request(
        request.method(),
        request.uri(),
        request.headers(),
        peer.scheme,
        request.version(),
    );
    let target =
        target.map_err(|bad| Box::new(problem(StatusCode::BAD_REQUEST, &bad.to_string())))?;
    if config.is_own_host(&target.authority) {
        return Ok(());
    }
    let detail = format!(
        "{} is not a name of this admin API: use its IP address or localhost, send the token, or add the name to \
         `hosts` in [admin]",
        target.authority
    );
    Err(Box::new(problem(StatusCode::MISDIRECTED_REQUEST, &detail)))
}

fn has_token(config: &config::Admin, fields: &HeaderMap) -> bool {
    // RFC 6750 §2.1
    let given = fields.get(AUTHORIZATION);
    let given = given.and_then(|value| value.as_bytes().split_at_checked(7));
    let given = given.filter(|(scheme, _)| scheme.eq_ignore_ascii_case(b"bearer "));
    match (&config.token, given) {
        (Some(token), Some((_, given))) => token.matches(given.trim_ascii()),
        _ => false,
    }
}

/// Whether a browser sends this for a page of another site: opening such a page on the gateway's machine must not purge
/// anything. Where there is no Origin, Sec-Fetch-Site may tell (W3C Fetch Metadata).
fn is_cross_site(fields: &HeaderMap) -> bool {
    let site = fields.get(SEC_FETCH_SITE).map(HeaderValue::as_bytes);
    if site.is_some_and(|site| site != b"same-origin" && site != b"none") {
        return true;
    }
    let Some(origin) = fields.get(ORIGIN) else {
        return false;
    };
    let host = fields.get(HOST).map(HeaderValue::as_bytes);
    let authority = origin
        .to_str()
        .ok()
        .and_then(|origin| origin.split_once("://"))
        .map(|(_, authority)| authority.as_bytes());
    authority.is_none() || authority != host
}

impl Service for AdminService {
    type Body = Content;

    fn handle(
        self: &Rc<Self>,
        peer: &Rc<Peer>,
        parts: Parts,
        content: RequestContent,
    ) -> Answer<Content> {
        let (service, peer) = (self.clone(), peer.clone());
        let request = Request::from_parts(parts, content);
        Answer::later(async move {
            let response = service.answer(&peer, request).await;
            service.finish(response)
        })
    }

    fn refuse(
        self: &Rc<Self>,
        _peer: &Rc<Peer>,
        error: Error,
        _parts: Option<&Parts>,
    ) -> Response<Content> {
        self.finish(problem(error.kind().status(), error.explanation()))
    }

    async fn drained(self: &Rc<Self>) {}
}
