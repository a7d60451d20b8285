//! The answer to a preflight (Fetch, "CORS-preflight fetch").

use std::sync::Arc;

use http::{Method, Response, StatusCode};

use crate::config::RoutePolicy;
use crate::error::{Error, ErrorKind};
use crate::proxy::request::Request;
use crate::proxy::response::body::Body;
use crate::proxy::response::gate_fields::Cors;
use crate::semantics::cors_policy::preflight_method;

/// The CORS of a request, of which `routes` are those that its path can be read as. `None` where it is the API's affair.
pub(super) fn cors(routes: &[Arc<RoutePolicy>], request: &Request) -> Option<Cors> {
    let mut policies = routes
        .iter()
        .map(|route| route.gate.as_ref()?.cors.as_ref());
    let first = policies.next()?;
    if policies.any(|policy| policy != first) {
        return Some(Cors::Unclear);
    }
    Some(Cors::by_policy(first?, request.received()))
}

/// The response to `request`, where it is a preflight.
///
/// # Errors
/// A downstream [`Error`] where its page may read nothing.
pub(super) fn answer(request: &Request, cors: &Cors) -> Option<Result<Response<Body>, Error>> {
    let method: Method = preflight_method(request.method(), request.received())?;
    let Cors::ByPolicy {
        policy,
        allowed: Some(allowed),
    } = cors
    else {
        return Some(Err(Error::downstream(ErrorKind::OriginDenied)));
    };
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let fields = response.headers_mut();
    policy.grant(Some(allowed), fields);
    policy.answer_preflight(&method, request.received(), fields);
    Some(Ok(response))
}
