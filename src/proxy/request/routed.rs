//! Which route takes a request, and which others might, where its path can be read in several ways.

use std::borrow::Cow;
use std::sync::Arc;

use http::Method;
use http::request::Parts;

use super::target::Target;
use crate::config::{Asked, RoutePolicy, Routes};
use crate::semantics::authority::host_of;
use crate::semantics::cors_policy::preflight_method;
use crate::semantics::target::split_query;

/// The routes that APIs may read a path as, where these are several.
pub(super) type Several = Option<Box<[Arc<RoutePolicy>]>>;

/// The policy of a request, and the routes that APIs may read its path as.
pub(super) fn route(
    routes: &Routes,
    parts: &Parts,
    target: &Target,
) -> (Arc<RoutePolicy>, Several) {
    match routes.default_alone() {
        Some(route) => (route.clone(), None),
        None => {
            let method = route_method(parts, target, routes);
            find(routes, asked(routes, target, &method))
        }
    }
}

/// The method by which a request is routed: that of the request which a preflight asks for, unless a route is for OPTIONS by name.
pub(super) fn route_method<'a>(
    parts: &'a Parts,
    target: &Target,
    routes: &Routes,
) -> Cow<'a, Method> {
    let own = &parts.method;
    match *own == Method::OPTIONS {
        true if let Some(asked_for) = preflight_method(own, &parts.headers)
            && !routes
                .find(asked(routes, target, own))
                .methods
                .contains(own) =>
        {
            Cow::Owned(asked_for)
        }
        _ => Cow::Borrowed(own),
    }
}

pub(super) fn find(routes: &Routes, asked: Asked<'_>) -> (Arc<RoutePolicy>, Several) {
    let (route, readings) = routes.find_with_readings(asked);
    let several = (!readings.is_empty()).then(|| readings.into_iter().cloned().collect());
    (route.clone(), several)
}

/// What says which route takes a request with this target and method.
pub(super) fn asked<'a>(routes: &Routes, target: &'a Target, method: &'a Method) -> Asked<'a> {
    Asked {
        host: match routes.are_by_host() {
            true => host_of(target.authority()),
            false => "",
        },
        method,
        path: split_query(target.path_and_query()).0,
    }
}
