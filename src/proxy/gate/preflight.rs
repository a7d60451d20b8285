//! The answer to a preflight (Fetch, "CORS-preflight fetch").

use std::sync::Arc;

use http::{Method, Response, StatusCode};

use crate::config::RoutePolicy;
use crate::error::{Error, ErrorKind};
use crate::proxy::request::Request;
use crate::proxy::response::body::Body;
use crate::semantics::cors_policy::{CorsPolicy, preflight_method};

/// The CORS of a request's routes; none where the two that its path can be read as have others.
pub(super) fn policy(routes: &[Arc<RoutePolicy>]) -> Option<&Arc<CorsPolicy>> {
    let of = |route: &Arc<RoutePolicy>| route.gate.as_ref()?.cors.clone();
    let (first, last) = (routes.first()?, routes.last()?);
    let is_clear = of(first) == of(last);
    let gate = first.gate.as_ref().filter(|_| is_clear)?;
    gate.cors.as_ref()
}

/// The response to `request`, where it is a preflight.
///
/// # Errors
/// A downstream [`Error`] where its page may read nothing.
pub(super) fn answer(
    request: &Request,
    policy: &CorsPolicy,
) -> Option<Result<Response<Body>, Error>> {
    let method: Method = preflight_method(request.method(), request.received())?;
    if policy.allowed(request.received()).is_none() {
        return Some(Err(Error::downstream(ErrorKind::OriginDenied)));
    }
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let fields = response.headers_mut();
    policy.grant(policy.allowed(request.received()), fields);
    policy.answer_preflight(&method, request.received(), fields);
    Some(Ok(response))
}
