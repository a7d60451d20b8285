//! The one place where an error becomes a response: its status, a problem document (RFC 9457) that says what was
//! wrong, and Proxy-Status (RFC 9209) where the fault lies behind us.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONNECTION, CONTENT_TYPE, DATE, HeaderValue, RETRY_AFTER};
use http::{HeaderName, Method, Response, StatusCode};
use serde_json::json;

use crate::clock::Now;
use crate::error::{Error, ErrorKind, Side};
use crate::proxy::forward::fields::add_via;
use crate::proxy::gateway::Identity;
use crate::proxy::limit::whole_seconds;
use crate::proxy::response::body::Body;
use crate::proxy::worker::Worker;
use crate::semantics::cache_status::CacheStatus;
use crate::semantics::method::ALLOWED;
use crate::semantics::structured::{Buffer, write_string};
use crate::semantics::time::DeltaSeconds;
use crate::telemetry::counters::Counters;

const PROXY_STATUS: HeaderName = HeaderName::from_static("proxy-status");

/// The error that a response reports, for the access log; one of the response's extensions.
#[derive(Clone, Debug)]
pub struct Reported {
    pub(super) kind: ErrorKind,
    pub(super) detail: Arc<str>,
}

impl Reported {
    pub fn of(error: &Error) -> Self {
        Self {
            kind: error.kind(),
            detail: error.to_string().into(),
        }
    }
}

/// The response that reports `error`; Via, Date and Cache-Status are added by whoever sends it.
pub fn respond(
    error: &Error,
    method: &Method,
    identity: &Identity,
    counters: &Counters,
) -> Response<Body> {
    counters.count_error(error.kind());
    let status = error.status();
    let problem = problem(error, status);
    let mut response = Response::new(if *method == Method::HEAD {
        Body::empty()
    } else {
        Body::full(problem, counters)
    });
    *response.status_mut() = status;
    response.extensions_mut().insert(Reported::of(error));
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("application/problem+json"),
    );
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if error.side() != Side::Downstream {
        let mut member = Buffer::from_slice(identity.name.as_bytes());
        member.extend_from_slice(b"; error=");
        member.extend_from_slice(error.kind().proxy_status_type().as_bytes());
        member.extend_from_slice(b"; details=");
        write_string(error.explanation(), &mut member);
        if let Ok(value) = HeaderValue::from_bytes(&member) {
            headers.append(PROXY_STATUS, value);
        }
    }
    if status == StatusCode::SERVICE_UNAVAILABLE || status == StatusCode::TOO_MANY_REQUESTS {
        let known = error.retry_after().unwrap_or_default();
        let seconds = whole_seconds(known).max(DeltaSeconds::new(1));
        headers.insert(RETRY_AFTER, seconds.as_secs().into());
    }
    if error.kind() == ErrorKind::BadRequest {
        // Nobody knows where a malformed request ends: what follows may be another's idea of it (RFC 9112 §11.2).
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    if error.kind() == ErrorKind::MethodNotAllowed {
        headers.insert(http::header::ALLOW, ALLOWED);
    }
    response
}

fn problem(error: &Error, status: StatusCode) -> Bytes {
    let problem = json!({
        "type": "about:blank",
        "title": status.canonical_reason().unwrap_or("Error"),
        "status": status.as_u16(),
        "detail": error.explanation(),
        "error": error.kind().token(),
    });
    let mut text = problem.to_string();
    text.push('\n');
    text.into()
}

impl Worker {
    /// The response that reports an error to a request that was not understood.
    pub(in crate::proxy) fn rescue(&self, error: &Error, method: &Method) -> Response<Body> {
        let epoch = self.epoch();
        let identity = &epoch.settings.identity;
        let mut response = respond(error, method, identity, &self.counters);
        self.date(&mut response, self.gateway.clock.now());
        let fields = response.headers_mut();
        add_via(fields, identity, None);
        CacheStatus::default().append_to(fields, &identity.name);
        response
    }

    /// Dates a response of our own.
    pub(in crate::proxy) fn date(&self, response: &mut Response<Body>, now: Now) {
        if let Ok(date) = HeaderValue::from_str(&now.wall.to_http_date()) {
            response.headers_mut().insert(DATE, date);
        }
    }
}
