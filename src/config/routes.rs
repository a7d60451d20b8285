//! `[[route]]`: which policy a request has, by its host, its path and its method.
//!
//! Where a path can be read in several ways (see `readings`), and these lead to different routes, the gateway cannot know
//! which of them the API will take, so the request is forwarded and the cache stays out of it. Beside gates and rules for
//! requests, paths with dot segments are refused: no client that means well sends them.

use std::fmt;
use std::sync::Arc;

use smallvec::SmallVec;

use super::fields::RequestRules;
use super::gate::{Gate, warn_beside_respond};
use super::invalidates::{path, tag};
use super::matched::Matched;
use super::rate_limit::RateLimit;
use super::reach::{Found, Readings, open_base, open_twin, unreachable};
use super::readers::{list, or_off, size, timeout};
use super::readings::{has_dot_segment, is_plain, readings};
use super::rewrite;
use super::route::{Draft, RoutePolicy};
use super::route_limits::RouteLimits;
use super::route_tiers::RouteTiers;
use super::route_tree::{Asked, RouteTree};
use super::section::Section;
use super::upstreams::{self, Destination, NamedUpstream};

/// All routes.
#[derive(Clone)]
pub struct Routes {
    /// In the order of the file.
    listed: Arc<[Arc<RoutePolicy>]>,
    default: Arc<RoutePolicy>,
    /// For paths that could be read as those of several routes: by the API that all lead to.
    ambiguous: Arc<[Arc<RoutePolicy>]>,
    /// The same for the listed routes that rewrite paths, in the order of the file; `None` for the others.
    rewriting: Arc<[Option<Arc<RoutePolicy>>]>,
    /// For those that lead to several APIs.
    unclear: Arc<RoutePolicy>,
    /// For paths with dot segments; `None` where no route has a gate or rules for requests that they could lead round.
    dotted: Option<Arc<RoutePolicy>>,
    /// To indices into `listed`.
    tree: Arc<RouteTree>,
}

impl Routes {
    /// The policy for a request; the default route's when no route takes it.
    pub fn find(&self, asked: Asked<'_>) -> &Arc<RoutePolicy> {
        self.find_with_readings(asked).0
    }

    /// The same, and where APIs may read the path as those of several routes, these.
    pub fn find_with_readings(&self, asked: Asked<'_>) -> (&Arc<RoutePolicy>, Readings<'_>) {
        let alone = |route| (route, Readings::new());
        if let Some(default) = self.default_alone() {
            return alone(default);
        }
        if is_plain(asked.path) {
            return alone(self.policy(self.tree.find(asked, asked.path)));
        }
        if let Some(dotted) = &self.dotted
            && has_dot_segment(asked.path)
        {
            return alone(dotted);
        }
        let found = self.found(asked);
        match found[..] {
            [route] => alone(self.policy(route)),
            ref routes => {
                let readings = routes.iter().map(|route| self.policy(*route));
                (self.ambiguous(routes), readings.collect())
            }
        }
    }

    /// The routes that the path of `asked` can be read as, each once; that of strict APIs first.
    fn found(&self, asked: Asked<'_>) -> SmallVec<[Option<usize>; 2]> {
        let mut found = SmallVec::new();
        for path in readings(asked.path) {
            let route = self.tree.find(asked, &path);
            if !found.contains(&route) {
                found.push(route);
            }
        }
        found
    }

    fn ambiguous(&self, routes: &[Option<usize>]) -> &Arc<RoutePolicy> {
        let destination = |route| self.policy(route).destination;
        let strict = routes.first().copied().flatten();
        let to = destination(strict);
        let is_same = routes.iter().all(|route| destination(*route) == to);
        let to = to.upstream().filter(|_| is_same);
        let rewriting = strict.and_then(|route| self.rewriting[route].as_ref());
        let plain = to.and_then(|upstream| self.ambiguous.get(upstream));
        match (to, rewriting) {
            (Some(_), Some(rewriting)) => rewriting,
            _ => plain.unwrap_or(&self.unclear),
        }
    }

    /// Whether clients know any path of this API under another.
    pub fn rewrite(&self, upstream: usize) -> bool {
        let mut routes = self.rewriting.iter().flatten();
        routes.any(|route| route.destination == Destination::Upstream(upstream))
    }

    /// Whether each path of clients is that of an API, and of one and the same.
    pub fn keep_paths(&self) -> bool {
        self.ambiguous.len() <= 1 && self.rewriting.iter().all(Option::is_none)
    }

    /// The policies that a request may have, as the APIs of each kind may read its path, each once: as strict ones do
    /// first.
    pub fn readings(&self, asked: Asked<'_>) -> Readings<'_> {
        if self.listed.is_empty() || is_plain(asked.path) {
            return Readings::from_iter([self.find(asked)]);
        }
        let found = self.found(asked).into_iter();
        found.map(|route| self.policy(route)).collect()
    }

    /// The default route's policy, where there is no other route: nothing of a request need be looked at then.
    pub fn default_alone(&self) -> Option<&Arc<RoutePolicy>> {
        self.listed.is_empty().then_some(&self.default)
    }

    /// Whether any route is for some hosts only.
    pub fn are_by_host(&self) -> bool {
        self.tree.has_hosts()
    }

    /// Whether what is stored of any route has keys of more than its URL.
    pub fn has_longer_keys(&self) -> bool {
        let mut all = self.listed.iter().chain([&self.default]);
        all.any(|route| route.requests.is_some())
    }

    /// The policy of requests that no route takes.
    pub fn default_route(&self) -> &Arc<RoutePolicy> {
        &self.default
    }

    /// The routes of the file, in its order.
    pub fn listed(&self) -> &[Arc<RoutePolicy>] {
        &self.listed
    }

    /// Has no route store bodies of more than `most` bytes.
    pub fn limit_bodies(&mut self, most: u64) {
        let limit = |policy: &Arc<RoutePolicy>| {
            let mut policy = policy.clone();
            if policy.max_stored_body > most {
                Arc::make_mut(&mut policy).max_stored_body = most;
            }
            policy
        };
        self.listed = self.listed.iter().map(limit).collect();
        self.default = limit(&self.default);
        self.ambiguous = self.ambiguous.iter().map(limit).collect();
        let limit_any = |policy: &Option<_>| policy.as_ref().map(limit);
        self.rewriting = self.rewriting.iter().map(limit_any).collect();
    }

    fn policy(&self, index: Option<usize>) -> &Arc<RoutePolicy> {
        match index {
            Some(index) => &self.listed[index],
            None => &self.default,
        }
    }

    /// Reads every `[[route]]` of the file; each begins with `default`'s choices. `configured`: the second tiers that there are.
    pub(super) fn read(
        root: &mut Section<'_>,
        default: &Draft,
        upstreams: &[NamedUpstream],
        configured: RouteTiers,
    ) -> Self {
        let mut listed: Vec<Arc<RoutePolicy>> = Vec::new();
        let mut places = Vec::new();
        let mut are_all_listed = true;
        let mut tree = RouteTree::default();
        root.sections("route", |section| {
            let Some(route) = read_route(section, default, upstreams, &mut tree, &listed) else {
                are_all_listed = false;
                return;
            };
            if let Some(given) = section.given("tiers") {
                route.tiers.warn(section, &given, configured);
            }
            listed.push(Arc::new(route));
            places.push(section.given("match").unwrap_or(section.span()));
        });
        if listed.iter().all(|route| route.cache.ttl.is_none()) {
            default.warn_without_ttl(root, |key| root.given_in("cache", key));
        }
        let default = default.clone().finish();
        let has_default = upstreams.first().is_some_and(|first| first.name.is_none());
        let default = match has_default {
            true => default,
            false => passed_to(Destination::Nowhere, &default),
        };
        let routes = Self::new(listed, tree, default, upstreams.len());
        if !are_all_listed {
            // The tree has some that the list has not. It is never asked.
            return routes;
        }
        for (route, place) in routes.listed.iter().zip(places) {
            let find = |asked: Asked<'_>| Found {
                policy: routes.find(asked),
                readings: routes.readings(asked),
            };
            let found = |asked: Asked<'_>| &**routes.find(asked);
            let said = [
                unreachable(route, find),
                open_base(route, found),
                open_twin(route, found),
            ];
            for why in said.into_iter().flatten() {
                root.warning(place.clone(), format!("the route \"{}\" {why}", route.name));
            }
        }
        routes
    }

    fn new(
        listed: Vec<Arc<RoutePolicy>>,
        tree: RouteTree,
        default: RoutePolicy,
        upstreams: usize,
    ) -> Self {
        let is_gated = default.gate.is_some() || listed.iter().any(|route| route.gate.is_some());
        let has_rules = listed.iter().any(|route| route.requests.is_some());
        let is_guarded = is_gated || has_rules || default.requests.is_some();
        let unclear = |destination, route: &RoutePolicy| RoutePolicy {
            gate: is_gated.then(Gate::of_readings),
            requests: match has_rules {
                true => Some(RequestRules::of_readings(route.requests.as_ref())),
                false => route.requests.clone(),
            },
            ..passed_to(destination, route)
        };
        let passed = |destination| Arc::new(unclear(destination, &default));
        let rewriting = |route: &Arc<RoutePolicy>| {
            let passed = unclear(route.destination, route);
            passed.rewrite.is_some().then(|| Arc::new(passed))
        };
        Self {
            rewriting: listed.iter().map(rewriting).collect(),
            listed: listed.into(),
            ambiguous: (0..upstreams)
                .map(Destination::Upstream)
                .map(passed)
                .collect(),
            unclear: passed(Destination::Unclear),
            dotted: is_guarded.then(|| passed(Destination::Dotted)),
            default: Arc::new(default),
            tree: Arc::new(tree),
        }
    }
}

/// A policy for requests that the cache stays out of.
fn passed_to(destination: Destination, default: &RoutePolicy) -> RoutePolicy {
    RoutePolicy {
        destination,
        bypass: true,
        ..default.clone()
    }
}

/// Reads one route and adds it to `tree`, after those that are `listed`. `None`, with the mistake noted, where it is not
/// clear which requests it is for.
fn read_route(
    section: &mut Section<'_>,
    default: &Draft,
    upstreams: &[NamedUpstream],
    tree: &mut RouteTree,
    listed: &[Arc<RoutePolicy>],
) -> Option<RoutePolicy> {
    let matched = Matched::read(section);
    let is_answered_here = section.given("respond").is_some() && !section.is_off("respond");
    let destination = upstreams::read_choice(section, upstreams, is_answered_here);
    let pattern = matched.as_ref().map_or("", |matched| &*matched.pattern);
    let rewrite = rewrite::read(section, pattern);
    let draft = default.clone().read(section, pattern);
    warn_beside_respond(section);
    let mut invalidates = Vec::new();
    section.set("invalidates", &mut invalidates, list(path(pattern)));
    let mut tags = Vec::new();
    section.set("tags", &mut tags, list(tag(pattern)));
    let rate_limit = section.section("rate_limit", RateLimit::read);
    let (mut exchange_timeout, mut min_body_rate) = (None, None);
    section.set("exchange_timeout", &mut exchange_timeout, |value| {
        or_off(timeout)(value).map(Some)
    });
    section.set("min_body_rate", &mut min_body_rate, |value| {
        or_off(size(1..=u64::MAX))(value).map(Some)
    });
    let limits = RouteLimits::read(section);
    draft.warn_without_ttl(section, |key| section.given(key));
    let matched = matched.filter(|matched| matched.add_to(tree, listed, section))?;
    Some(RoutePolicy {
        name: matched.name(),
        index: listed.len() + 1,
        line: section.line(),
        pattern: matched.pattern,
        hosts: matched.hosts,
        methods: matched.methods,
        destination: destination?,
        rewrite,
        invalidates,
        tags,
        rate_limit,
        exchange_timeout,
        min_body_rate,
        limits,
        ..draft.finish()
    })
}

impl Default for Routes {
    fn default() -> Self {
        Self::new(Vec::new(), RouteTree::default(), RoutePolicy::default(), 1)
    }
}

impl PartialEq for Routes {
    fn eq(&self, other: &Self) -> bool {
        // The tree follows from the patterns.
        self.listed == other.listed && self.default == other.default
    }
}

impl fmt::Debug for Routes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Routes")
            .field("listed", &self.listed)
            .field("default", &self.default)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
