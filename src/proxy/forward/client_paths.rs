//! How a client knows the paths of the APIs: under which path of the gateway a request for one of theirs is sent on as that.

use std::borrow::Cow;
use std::cmp::Reverse;

use http::Method;

use crate::config::{Asked, Destination, RoutePolicy, Routes};
use crate::proxy::gateway::Settings;
use crate::proxy::request::Target;
use crate::semantics::authority::host_of;
use crate::semantics::path_form::Named;
use crate::semantics::percent;
use crate::semantics::reference::{ClientPaths, ClientView};
use crate::semantics::rewrite::Rewrite;
use crate::semantics::target::split_query;

/// Has `see` look at a response as the client sees it that sent a request for `target`, which took `route`. `base_path` is
/// that of the server that answered.
pub fn as_client_sees<T>(
    settings: &Settings,
    route: &RoutePolicy,
    target: &Target,
    base_path: &str,
    see: impl FnOnce(&ClientView<'_>) -> T,
) -> T {
    let (path, query) = split(target.path_and_query());
    let host = host_of(target.authority());
    let paths = KnownPaths::of(&settings.config.routes, route, host, path);
    let sent = route.api_path(path).unwrap_or(Cow::Borrowed(path));
    see(&ClientView {
        target: &target.to_uri(),
        api: route.destination.upstream().unwrap_or_default(),
        api_target: &format!("{sent}{query}"),
        base_path,
        servers: &settings.api_servers,
        paths: &paths,
    })
}

/// The same resource of the API under other paths of the gateway, with the same query: target URIs of the same origin. `route`
/// is the one that a write to the target took; `None` for one that a GET takes.
pub fn aliases(
    routes: &Routes,
    route: Option<&RoutePolicy>,
    (origin, authority): (&str, &str),
    path_and_query: &str,
) -> Vec<String> {
    if routes.keep_paths() {
        return Vec::new();
    }
    let (path, query) = split(path_and_query);
    let host = host_of(authority);
    let asked = Asked {
        host,
        method: &Method::GET,
        path,
    };
    let route = route.unwrap_or_else(|| routes.find(asked));
    let known = KnownPaths::of(routes, route, host, path)
        .aliases()
        .into_iter();
    let target = |path: String| format!("{origin}{}{query}", percent::normal(&path));
    known.map(target).collect()
}

/// A path, and its query with the question mark.
fn split(path_and_query: &str) -> (&str, &str) {
    let (path, _) = split_query(path_and_query);
    path_and_query.split_at(path.len())
}

/// The paths of the gateway that lead to a path of an API, for a client that names its host.
struct KnownPaths<'a> {
    routes: &'a Routes,
    host: &'a str,
    /// The route that the client's request took, and what its path said.
    route: &'a RoutePolicy,
    path: &'a str,
    named: Named<'a>,
}

impl<'a> KnownPaths<'a> {
    fn of(routes: &'a Routes, route: &'a RoutePolicy, host: &'a str, path: &'a str) -> Self {
        let rewrite = route.rewrite.as_ref();
        Self {
            routes,
            host,
            route,
            path,
            named: rewrite
                .and_then(|rewrite| rewrite.named(path))
                .unwrap_or_default(),
        }
    }

    /// All other paths of the gateway by which the API gets what it gets for the request's own.
    fn aliases(&self) -> Vec<String> {
        let Destination::Upstream(api) = self.route.destination else {
            return Vec::new();
        };
        if !self.routes.rewrite(api) {
            return Vec::new();
        }
        let Some(path) = self.route.api_path(self.path) else {
            return Vec::new();
        };
        let own = self.leads_to(&path, api, &path).then(|| path.to_string());
        let rewriting = self.rewriting(api).into_iter();
        let rewritten = rewriting.filter_map(|route| self.by(route, api, &path));
        let mut all: Vec<_> = own.into_iter().chain(rewritten).collect();
        all.sort_unstable();
        all.dedup();
        all.retain(|alias| percent::normal(alias) != self.path);
        all
    }

    /// The routes that rewrite paths for this API, the request's own first, then those that say most of the API's path.
    fn rewriting(&self, api: usize) -> Vec<&RoutePolicy> {
        let others = self.routes.listed().iter().map(|route| &**route);
        let others = others.filter(|route| !std::ptr::eq(*route, self.route));
        let leads = |route: &&RoutePolicy| route.destination == Destination::Upstream(api);
        let all = std::iter::once(self.route).chain(others).filter(leads);
        let mut all: Vec<_> = all.filter(|route| route.rewrite.is_some()).collect();
        all.sort_by_key(|route| {
            let said = route.rewrite.as_ref().map(Rewrite::specificity);
            (!std::ptr::eq(*route, self.route), Reverse(said))
        });
        all
    }

    /// The path by which this route leads to that path of the API.
    fn by(&self, route: &RoutePolicy, api: usize, path: &str) -> Option<String> {
        let known = route.rewrite.as_ref()?.to_client(path, &self.named)?;
        self.leads_to(&known, api, path).then_some(known)
    }

    /// The policy of a request by the same client.
    fn found(&self, method: &Method, path: &str) -> &RoutePolicy {
        self.routes.find(Asked {
            host: self.host,
            method,
            path,
        })
    }

    /// Whether a GET of the gateway's `known`, or a request with a method of the own route's, is sent to the API as one for
    /// `path`.
    fn leads_to(&self, known: &str, api: usize, path: &str) -> bool {
        let leads = |method| {
            let found = self.found(method, known);
            let sent = found.api_path(known);
            found.destination == Destination::Upstream(api)
                && sent.is_some_and(|sent| percent::normal(&sent) == percent::normal(path))
        };
        leads(&Method::GET) || self.route.methods.first().is_some_and(leads)
    }
}

impl ClientPaths for KnownPaths<'_> {
    fn are_rewritten(&self, api: usize) -> bool {
        self.routes.rewrite(api)
    }

    fn known_as<'p>(&self, api: usize, path: &'p str) -> Option<Cow<'p, str>> {
        if self.routes.keep_paths() {
            return Some(Cow::Borrowed(path));
        }
        // An API that was told the prefix which it does not see names what clients see.
        let taken = self.found(&Method::GET, path);
        let rewrite = taken.rewrite.as_ref();
        if taken.destination == Destination::Upstream(api)
            && rewrite.is_some_and(|rewrite| rewrite.is_clients_own(path))
        {
            return Some(Cow::Borrowed(path));
        }
        let mut rewriting = self.rewriting(api).into_iter();
        let rewritten = rewriting.find_map(|route| self.by(route, api, path));
        match rewritten {
            Some(known) => Some(Cow::Owned(known)),
            None => self
                .leads_to(path, api, path)
                .then_some(Cow::Borrowed(path)),
        }
    }
}
