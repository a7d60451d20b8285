//! The answer of a route that has `respond`.

use http::header::{ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, LOCATION, RETRY_AFTER};
use http::{HeaderValue, Method, Response, StatusCode};

use crate::config::{Respond, RoutePolicy};
use crate::error::{Error, ErrorKind};
use crate::proxy::request::Request;
use crate::proxy::response::body::Body;
use crate::semantics::method;
use crate::semantics::target::split_query;
use crate::telemetry::counters::Counters;

/// The response to `request` of the route that has `respond`.
///
/// # Errors
/// A downstream [`Error`] where the request's path says no place to be redirected to.
pub(super) fn answer(
    request: &Request,
    route: &RoutePolicy,
    respond: &Respond,
    counters: &Counters,
) -> Result<Response<Body>, Error> {
    let is_head = *request.method() == Method::HEAD;
    let mut response = Response::new(match is_head || respond.content.is_empty() {
        true => Body::empty(),
        false => Body::full(respond.content.clone(), counters),
    });
    *response.status_mut() = respond.status;
    let location = location(request, respond)?;
    let fields = response.headers_mut();
    if is_head && !respond.content.is_empty() {
        fields.insert(CONTENT_LENGTH, respond.content.len().into());
    }
    if let Some(content_type) = &respond.content_type {
        fields.insert(CONTENT_TYPE, content_type.clone());
    }
    if let Some(retry_after) = respond.retry_after {
        fields.insert(RETRY_AFTER, retry_after.as_secs().into());
    }
    if let Some(location) = location {
        fields.insert(LOCATION, location);
    }
    if respond.status == StatusCode::METHOD_NOT_ALLOWED {
        fields.insert(ALLOW, allowed(request));
    }
    if let Some(cache_control) = cache_control(route, respond.status) {
        fields.insert(CACHE_CONTROL, cache_control);
    }
    Ok(response)
}

fn location(request: &Request, respond: &Respond) -> Result<Option<HeaderValue>, Error> {
    let Some(location) = &respond.location else {
        return Ok(None);
    };
    let (path, _) = split_query(request.target.path_and_query());
    let own = request.path_and_query();
    let (_, query) = split_query(&own);
    // Where the readings differ, the client could choose what the names stand for.
    let target = match request.readings().len() {
        1 => location.of(path, query),
        _ => None,
    };
    let value = target.and_then(|target| HeaderValue::from_str(&target).ok());
    match value {
        Some(value) => Ok(Some(value)),
        None => Err(Error::downstream(ErrorKind::BadRequest)
            .detail("the path cannot be read as one that is redirected")),
    }
}

/// The methods of the request's path that have another answer (RFC 9110 §15.5.6).
fn allowed(request: &Request) -> HeaderValue {
    let is_refused = |method: &Method| {
        let gate = request.route_of(method).gate.as_ref();
        let respond = gate.and_then(|gate| gate.respond.as_ref());
        respond.is_some_and(|respond| respond.status == StatusCode::METHOD_NOT_ALLOWED)
    };
    let all = method::ALLOWED;
    let all = all.to_str().unwrap_or_default().split(", ");
    let methods: Vec<&str> = all
        .filter(|name| {
            let method = Method::from_bytes(name.as_bytes());
            method.is_ok_and(|method| !is_refused(&method))
        })
        .collect();
    HeaderValue::from_str(&methods.join(", ")).unwrap_or(HeaderValue::from_static(""))
}

/// A lifetime where the route has one for clients. A redirect for good could otherwise be kept for years (RFC 9110 §15.4.2,
/// §15.4.9), and outlive a mistake.
fn cache_control(route: &RoutePolicy, status: StatusCode) -> Option<HeaderValue> {
    if let Some(ttl) = route.client_ttl {
        return HeaderValue::from_str(&format!("max-age={ttl}")).ok();
    }
    match status {
        StatusCode::MOVED_PERMANENTLY | StatusCode::PERMANENT_REDIRECT => {
            Some(HeaderValue::from_static("max-age=3600"))
        }
        _ if status.is_redirection() => None,
        _ => Some(HeaderValue::from_static("no-store")),
    }
}
