//! `[[route]]`: which policy a request has, by its host, its path and its method.
//!
//! Where a path can be read in two ways (see `readings`), and these lead to different routes, the gateway cannot know which
//! of them the API will take, so the request is forwarded and the cache stays out of it. Beside gates and rules for requests,
//! paths with dot segments are refused: an API may read them in yet other ways, and so as that of a third route.

use std::fmt;
use std::sync::Arc;

use super::fields::RequestRules;
use super::gate::{Gate, warn_beside_respond};
use super::invalidates::template;
use super::matched::Matched;
use super::rate_limit::RateLimit;
use super::reach::{Found, open_base, unreachable};
use super::readers::{list, or_off, size, timeout};
use super::readings::{has_dot_segment, is_plain, lenient_reading, strict_reading};
use super::rewrite;
use super::route::{Draft, RoutePolicy};
use super::route_limits::RouteLimits;
use super::route_tree::{Asked, RouteTree};
use super::section::Section;
use super::upstreams::{self, Destination, NamedUpstream};

/// All routes.
#[derive(Clone)]
pub struct Routes {
    /// In the order of the file.
    listed: Arc<[Arc<RoutePolicy>]>,
    default: Arc<RoutePolicy>,
    /// For paths that could be read as those of two routes: by the API that both lead to.
    ambiguous: Arc<[Arc<RoutePolicy>]>,
    /// The same for the listed routes that rewrite paths, in the order of the file; `None` for the others.
    rewriting: Arc<[Option<Arc<RoutePolicy>>]>,
    /// For those that lead to two APIs.
    unclear: Arc<RoutePolicy>,
    /// For paths with dot segments; `None` where no route has a gate or rules for requests that they could lead round.
    dotted: Option<Arc<RoutePolicy>>,
    /// To indices into `listed`.
    tree: Arc<RouteTree>,
}

impl Routes {
    /// The policy for a request; the default route's when no route takes it.
    pub fn find(&self, asked: Asked<'_>) -> &Arc<RoutePolicy> {
        if let Some(default) = self.default_alone() {
            return default;
        }
        if is_plain(asked.path) {
            return self.policy(self.tree.find(asked, asked.path));
        }
        if let Some(dotted) = &self.dotted
            && has_dot_segment(asked.path)
        {
            return dotted;
        }
        let strict = self.tree.find(asked, &strict_reading(asked.path));
        let lenient = self.tree.find(asked, &lenient_reading(asked.path));
        match strict == lenient {
            true => self.policy(strict),
            false => self.ambiguous(strict, lenient),
        }
    }

    fn ambiguous(&self, strict: Option<usize>, lenient: Option<usize>) -> &Arc<RoutePolicy> {
        let destination = |route| self.policy(route).destination;
        let to = destination(strict);
        let to = to.upstream().filter(|_| to == destination(lenient));
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

    /// The policies that a request may have, as strict and as forgiving APIs read its path; the same twice where all read
    /// it alike.
    pub fn readings(&self, asked: Asked<'_>) -> [&Arc<RoutePolicy>; 2] {
        if self.listed.is_empty() || is_plain(asked.path) {
            return [self.find(asked); 2];
        }
        [strict_reading(asked.path), lenient_reading(asked.path)]
            .map(|path| self.policy(self.tree.find(asked, &path)))
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

    /// Reads every `[[route]]` of the file; each begins with `default`'s choices.
    pub(super) fn read(
        root: &mut Section<'_>,
        default: &Draft,
        upstreams: &[NamedUpstream],
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
                readings: routes.readings(asked).map(|route| &**route),
            };
            let found = |asked: Asked<'_>| &**routes.find(asked);
            for why in [unreachable(route, find), open_base(route, found)]
                .into_iter()
                .flatten()
            {
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
    section.set("invalidates", &mut invalidates, list(template(pattern)));
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
mod tests {
    use super::*;
    use crate::config::Config;

    fn config(text: &str) -> Config {
        let text = format!("[upstream]\nservers = \"http://a\"\n{text}");
        Config::parse(&text, "test", &|_| None).expect("a valid file")
    }

    fn at<'c>(config: &'c Config, path: &str) -> &'c RoutePolicy {
        config.routes.find(Asked {
            host: "a",
            method: &http::Method::GET,
            path,
        })
    }

    #[test]
    fn no_spelling_of_a_path_leads_past_its_route() {
        let config = config(
            "[[route]]\nmatch = '/books/{id}'\n[[route]]\nmatch = '/admin/{*rest}'\n\
             [[route]]\nmatch = '/bücher/~a'\n[[route]]\nmatch = '/a\"b/`{id}'\n",
        );
        let book = "/books/{id}";
        // `None` where the readings differ.
        for (path, pattern) in [
            ("/", Some("")),
            ("/books", Some("")),
            ("/books/1", Some(book)),
            ("/books/%31", Some(book)),
            ("/%62ooks/1", Some(book)),
            ("/%62%6F%6f%6bs/%31", Some(book)),
            ("/books/a%20b", Some(book)),
            ("/books/100%", Some(book)),
            ("/books/%zz", Some(book)),
            ("/books/%C3%A9", Some(book)),
            ("/books/x;v=1", Some(book)),
            ("/b%C3%BCcher/~a", Some("/bücher/~a")),
            ("/b%c3%bccher/%7ea", Some("/bücher/~a")),
            ("/bücher/~a", Some("/bücher/~a")),
            ("/a\"b/`1", Some("/a\"b/`{id}")),
            ("/a%22b/%601", Some("/a\"b/`{id}")),
            ("/a%22b/%60%7b%22%7d", Some("/a\"b/`{id}")),
            ("/books/{\"a\"}", Some(book)),
            ("/films/a%2Fb//c", Some("")),
            ("/films/..", Some("")),
            ("/books%2F1", None),
            ("/books%2f1", None),
            ("//books/1", None),
            ("/books//1", None),
            ("/books/./1", None),
            ("/films/../books/1", None),
            ("/films/%2e%2E/books/1", None),
            ("/books;x/1", None),
            ("/books\\1", None),
            ("/books/1/..", Some("")),
            ("/books/1/../2", None),
            ("/admin%2Fkeys", None),
            ("/admin;/keys", None),
            ("/books/..%2fadmin/keys", None),
            ("/admin/a%2Fb", Some("/admin/{*rest}")),
        ] {
            let policy = at(&config, path);
            match pattern {
                Some(pattern) => assert_eq!(
                    (&*policy.pattern, policy.bypass),
                    (pattern, false),
                    "{path}"
                ),
                None => assert!(policy.bypass, "{path}: {policy:?}"),
            }
        }
    }

    #[test]
    fn paths_with_dot_segments_are_refused_beside_gates_and_rules_alone() {
        let book = "[[route]]\nmatch = '/books/{id}'\n";
        for (text, refused) in [
            (book.to_owned(), false),
            (
                format!("{book}ttl = '1m'\nrate_limit = {{ requests = 1, per = '1s' }}"),
                false,
            ),
            (format!("{book}deny = '10.0.0.0/8'"), true),
            (format!("{book}respond = {{ status = 404 }}"), true),
            (
                format!("{book}request_fields = {{ remove = ['X-A'] }}"),
                true,
            ),
            (format!("{book}key_fields = ['X-A']"), true),
            (
                format!("[cache]\nrequest_fields = {{ remove = ['X-A'] }}\n{book}"),
                true,
            ),
            (
                format!("[cache]\nallow = '10.0.0.0/8'\n{book}allow = []"),
                true,
            ),
            // What holds for every path cannot be led round.
            ("[cache]\nallow = '10.0.0.0/8'".to_owned(), false),
        ] {
            let config = config(&text);
            for path in ["/a/../b", "/books%2f..%2f..%2fx", "/books/1/.."] {
                let found = at(&config, path).destination;
                assert_eq!(found == Destination::Dotted, refused, "{text}: {path}");
            }
            assert_ne!(at(&config, "//books/1").destination, Destination::Dotted);
        }
    }

    #[test]
    fn a_route_begins_with_the_choices_of_the_cache_section() {
        let config = config(
            "[cache]\nttl = '5m'\netag = 'missing'\nstatuses = [200, 404]\n\
             [[route]]\nmatch = '/a'\nttl_mode = 'cap'\n\
             [[route]]\nmatch = '/b'\nttl = 'off'\netag = 'off'\n\
             [[route]]\nmatch = '/c'\nttl = '1h'\nstatuses = 200\n",
        );
        let ttl = |path: &str| {
            let ttl = at(&config, path).cache.ttl.clone();
            ttl.map(|ttl| (ttl.lifetimes[0].1.as_secs(), ttl.mode, ttl.lifetimes.len()))
        };
        use crate::config::EtagMode::{Missing, Off};
        use crate::semantics::policy::TtlMode::{Cap, Fallback};
        assert_eq!(ttl("/"), Some((300, Fallback, 2)));
        assert_eq!(ttl("/a"), Some((300, Cap, 2)));
        assert_eq!(ttl("/b"), None);
        assert_eq!(ttl("/c"), Some((3600, Fallback, 1)));
        let etags = ["/", "/a", "/b"].map(|path| at(&config, path).etag);
        assert_eq!(etags, [Missing, Missing, Off]);
    }
}
