//! Who may ask the desk for what, and who answers.

use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{
    ALLOW, AUTHORIZATION, CACHE_CONTROL, DATE, HOST, HeaderName, HeaderValue, ORIGIN,
    WWW_AUTHENTICATE,
};
use http::request::Parts;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};

use super::answer::{problem, text, with_type};
use super::page::{self, Page};
use super::{Desk, metrics, process};
use crate::clock::Clock;
use crate::config;
use crate::error::Error;
use crate::semantics::authority::TargetView;
use crate::server::{Peer, RequestContent, Service};
use crate::telemetry::readiness::Stage;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The most content that a request may have.
const CONTENT: usize = 256 << 10;

/// What can be asked for.
struct Counter {
    path: &'static str,
    method: Method,
    /// Whether the token is asked for.
    guarded: bool,
    /// Whether it is for load balancers and the like, which call us by any name.
    is_health_check: bool,
    answer: fn(&Clerk, &Request<Bytes>) -> Response<Bytes>,
}

const COUNTERS: [Counter; 5] = [
    Counter {
        path: "/healthz",
        method: Method::GET,
        guarded: false,
        is_health_check: true,
        answer: |_, _| text(StatusCode::OK, "ok\n"),
    },
    Counter {
        path: "/readyz",
        method: Method::GET,
        guarded: false,
        is_health_check: true,
        answer: |clerk, _| readyz(&*clerk.desk),
    },
    Counter {
        path: "/metrics",
        method: Method::GET,
        guarded: false,
        is_health_check: false,
        answer: |clerk, _| clerk.metrics(),
    },
    Counter {
        path: "/purge",
        method: Method::POST,
        guarded: true,
        is_health_check: false,
        answer: |clerk, request| clerk.desk.purge(request),
    },
    Counter {
        path: "/explain",
        method: Method::GET,
        guarded: true,
        is_health_check: false,
        answer: |clerk, request| clerk.desk.explain(request),
    },
];

/// A gateway whose API is down stays ready: it has answers in store, and says 503 itself where it has none. Whoever
/// looks is told.
fn readyz(desk: &dyn Desk) -> Response<Bytes> {
    match desk.stage() {
        Stage::Ready if desk.is_upstream_available() => text(StatusCode::OK, "ready\n"),
        Stage::Ready => text(StatusCode::OK, "ready, but no upstream server is healthy\n"),
        Stage::Starting => text(StatusCode::SERVICE_UNAVAILABLE, "starting\n"),
        Stage::Draining => text(StatusCode::SERVICE_UNAVAILABLE, "draining\n"),
    }
}

/// Answers at the desk.
pub(super) struct Clerk {
    desk: Arc<dyn Desk>,
    config: config::Admin,
    clock: Clock,
}

impl Clerk {
    pub fn new(desk: Arc<dyn Desk>, config: config::Admin, clock: Clock) -> Self {
        Self {
            desk,
            config,
            clock,
        }
    }

    fn metrics(&self) -> Response<Bytes> {
        let mut page = Page::default();
        metrics::write(&mut page, self.desk.metrics());
        self.desk.gauges(&mut page);
        process::write(&mut page);
        with_type(StatusCode::OK, page::MEDIA_TYPE, page.into_text())
    }

    async fn answer(&self, peer: &Peer, request: Request<RequestContent>) -> Response<Bytes> {
        let path = request.uri().path();
        let counter = COUNTERS.iter().find(|counter| counter.path == path);
        if !counter.is_some_and(|counter| counter.is_health_check)
            && let Err(refusal) = self.check_host(peer, &request)
        {
            return *refusal;
        }
        let Some(counter) = counter else {
            let paths: Vec<_> = COUNTERS.iter().map(|counter| counter.path).collect();
            let detail = format!("there is nothing here; there is {}", paths.join(", "));
            return problem(StatusCode::NOT_FOUND, &detail);
        };
        if let Err(refusal) = self.admit(counter, request.method(), request.headers()) {
            return *refusal;
        }
        let (head, content) = request.into_parts();
        match Limited::new(content, CONTENT).collect().await {
            Ok(content) => {
                let request = Request::from_parts(head, content.to_bytes());
                (counter.answer)(self, &request)
            }
            Err(error) if error.is::<http_body_util::LengthLimitError>() => {
                problem(StatusCode::PAYLOAD_TOO_LARGE, "the content is too large")
            }
            Err(_) => problem(StatusCode::BAD_REQUEST, "the content broke off"),
        }
    }

    /// Whether a request may go to `counter`; the refusal where it may not.
    fn admit(
        &self,
        counter: &Counter,
        method: &Method,
        fields: &HeaderMap,
    ) -> Result<(), Box<Response<Bytes>>> {
        let is_read = counter.method == Method::GET;
        if *method != counter.method && !(is_read && *method == Method::HEAD) {
            let allowed = if is_read { "GET, HEAD" } else { "POST" };
            let mut refusal = problem(
                StatusCode::METHOD_NOT_ALLOWED,
                &format!("this takes {allowed} only"),
            );
            let fields = refusal.headers_mut();
            fields.insert(ALLOW, HeaderValue::from_static(allowed));
            return Err(Box::new(refusal));
        }
        if !counter.guarded {
            return Ok(());
        }
        if self.config.token.is_some() && !self.has_token(fields) {
            let mut refusal = problem(
                StatusCode::UNAUTHORIZED,
                "this needs Authorization: Bearer with the admin token",
            );
            let fields = refusal.headers_mut();
            fields.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            return Err(Box::new(refusal));
        }
        if is_cross_site(fields) {
            let refusal = problem(
                StatusCode::FORBIDDEN,
                "this comes from a page of another site, and pages may not do it",
            );
            return Err(Box::new(refusal));
        }
        Ok(())
    }

    /// Whether a request calls us by a name that we have. A page whose own name has been made to lead to this address
    /// (DNS rebinding) calls us by that name: it may neither change nor read anything.
    fn check_host(
        &self,
        peer: &Peer,
        request: &Request<RequestContent>,
    ) -> Result<(), Box<Response<Bytes>>> {
        // No page can reach a Unix socket, and none knows the token.
        if peer.addr.is_none() || self.has_token(request.headers()) {
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
        if self.config.is_own_host(&target.authority) {
            return Ok(());
        }
        let detail = format!(
            "{} is no name of this admin API: ask by its address or localhost, send the token, or add the name to \
             `hosts` in [admin]",
            target.authority
        );
        Err(Box::new(problem(StatusCode::MISDIRECTED_REQUEST, &detail)))
    }

    fn has_token(&self, fields: &HeaderMap) -> bool {
        let token = self.config.token.as_ref();
        token.is_some_and(|token| bearer(fields).is_some_and(|candidate| token.matches(candidate)))
    }

    fn finish(&self, mut response: Response<Bytes>) -> Response<Full<Bytes>> {
        let date = self.clock.now().wall.to_http_date();
        let fields = response.headers_mut();
        if let Ok(date) = HeaderValue::try_from(date) {
            fields.insert(DATE, date);
        }
        fields.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response.map(Full::new)
    }
}

/// The token of `Authorization: Bearer` (RFC 6750 §2.1).
fn bearer(fields: &HeaderMap) -> Option<&[u8]> {
    let (scheme, token) = fields.get(AUTHORIZATION)?.as_bytes().split_at_checked(7)?;
    scheme
        .eq_ignore_ascii_case(b"bearer ")
        .then(|| token.trim_ascii())
}

/// Whether a browser sends this for the page of another site: whoever visits one from the gateway's machine must not
/// purge by that. Where there is no Origin, Sec-Fetch-Site may tell (W3C Fetch Metadata).
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

impl Service for Clerk {
    type Body = Full<Bytes>;

    async fn handle(
        self: &Rc<Self>,
        peer: &Rc<Peer>,
        request: Request<RequestContent>,
    ) -> Response<Full<Bytes>> {
        let response = self.answer(peer, request).await;
        self.finish(response)
    }

    fn refuse(
        self: &Rc<Self>,
        _peer: &Rc<Peer>,
        error: Error,
        _parts: Option<&Parts>,
    ) -> Response<Full<Bytes>> {
        self.finish(problem(error.kind().status(), error.explanation()))
    }

    async fn drained(self: &Rc<Self>) {}
}
