//! What a write covers, whatever its answer says: the URL that it went to, under each path that leads to the same of the API, and
//! what its route says that a write changes.

use http::Method;

use crate::config::{Asked, RoutePolicy, WriteScope};
use crate::ledger::invalidation::Matcher;
use crate::proxy::forward::client_paths::aliases;
use crate::proxy::gateway::{Gateway, Settings};
use crate::semantics::authority::host_of;
use crate::semantics::percent;
use crate::semantics::selector::Selector;
use crate::semantics::target::{origin_of, path_and_query, split_query};

/// Methods that `explain` asks about.
const WRITES: [Method; 4] = [Method::POST, Method::PUT, Method::PATCH, Method::DELETE];

/// The URL of a write, and the route that the write took.
pub struct Written<'a> {
    pub gateway: &'a Gateway,
    pub settings: &'a Settings,
    pub route: &'a RoutePolicy,
    /// In normal form. Without its origin, where it is only to be told what would be covered on every host.
    pub target: &'a str,
}

impl Written<'_> {
    /// All that the write covers.
    pub fn covers(&self) -> Vec<Matcher> {
        let (origin, path_and_query) = (origin_of(self.target), path_and_query(self.target));
        let mut covers = vec![
            Matcher::target(self.target),
            self.stored_under(self.target.to_owned()),
        ];
        covers.dedup();
        let (path, _) = split_query(path_and_query);
        covers.extend(self.aliases(Some(self.route), path_and_query));
        let templates = self.route.invalidates.iter();
        let paths =
            templates.filter_map(|template| template.for_request(&self.route.pattern, path));
        covers
            .extend(paths.map(|path| Matcher::path(format!("{origin}{}", percent::normal(&path)))));
        if self.route.invalidate == WriteScope::Hierarchy {
            covers.extend(self.hierarchy(path));
        }
        covers
    }

    /// The same of the API under other paths of the target's origin.
    pub fn aliases(&self, route: Option<&RoutePolicy>, path_and_query: &str) -> Vec<Matcher> {
        let aliases = self.alias_targets(route, path_and_query).into_iter();
        aliases.map(|target| self.stored_under(target)).collect()
    }

    /// The target as the route of a GET stores it, which may leave out other parameters of its query than a write's.
    pub fn stored_under(&self, target: String) -> Matcher {
        Matcher::Urls(self.gateway.in_key_form(Selector::Target(target)))
    }

    /// The path above, with all queries, and all below, also under each other path that leads to the same of the API.
    fn hierarchy(&self, path: &str) -> Vec<Matcher> {
        let origin = origin_of(self.target);
        let mut covers = Vec::new();
        let mut targets = vec![format!("{origin}{path}")];
        targets.extend(self.alias_targets(Some(self.route), path));
        for target in targets {
            let path = path_and_query(&target);
            let bare = path.strip_suffix('/').unwrap_or(path);
            let below = format!("{origin}{bare}");
            covers.push(Matcher::Urls(Selector::TargetPrefix(below)));
            // `/` has nothing above it.
            let Some((above, _)) = bare.rsplit_once('/') else {
                continue;
            };
            // Lists are at `/books` with one API, and at `/books/` with another.
            let mut lists = vec![format!("{above}/")];
            lists.extend((!above.is_empty()).then(|| above.to_owned()));
            for list in lists {
                let aliases = self.alias_targets(None, &list);
                covers.push(Matcher::path(format!("{origin}{list}")));
                covers.extend(aliases.into_iter().map(Matcher::path));
            }
        }
        covers
    }

    fn alias_targets(&self, route: Option<&RoutePolicy>, path_and_query: &str) -> Vec<String> {
        let origin = origin_of(self.target);
        let (_, authority) = origin.split_once("://").unwrap_or_default();
        let routes = &self.settings.config.routes;
        aliases(routes, route, (origin, authority), path_and_query)
    }
}

impl Gateway {
    /// What a successful write to the URL that `selector` names would invalidate, in words; beside what its answer names.
    pub fn write_invalidates(&self, selector: &Selector) -> Vec<String> {
        let settings = self.settings();
        let (Selector::Target(target) | Selector::PathAndQuery(target)) = selector else {
            return Vec::new();
        };
        let mut words: Vec<String> = Vec::new();
        for method in &WRITES {
            let route = settings.config.routes.find(Asked {
                host: selector.authority().map_or("", host_of),
                method,
                path: split_query(selector.path()).0,
            });
            let written = Written {
                gateway: self,
                settings: &settings,
                route,
                target,
            };
            for covered in written.covers() {
                let covered = covered.to_string();
                if !words.contains(&covered) {
                    words.push(covered);
                }
            }
        }
        words
    }
}
