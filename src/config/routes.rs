//! `[[route]]`: which policy a request's path has.
//!
//! A path can be spelt in many ways, and no spelling may lead past a route. Octets that RFC 3986 §6.2.2 calls
//! equivalent are made equal before a path is compared: `/%62ooks/1` is `/books/1`. Others are equal to some APIs only:
//! those that decode `%2F`, collapse `//`, resolve `..` or drop `;…` before they route. Where such a reading leads to
//! another route than the strict one, the gateway cannot know which of them the API will take, so the request is
//! forwarded and the cache stays out of it.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use super::invalidates::template;
use super::paths::{PathTree, Refusal, foreign_syntax};
use super::rate_limit::RateLimit;
use super::readers::{list, or_off, size, timeout};
use super::route::{Draft, RoutePolicy, read_pattern};
use super::section::Section;
use crate::semantics::percent::{self, Octet};

/// All routes.
#[derive(Clone)]
pub struct Routes {
    /// In the order of the file.
    listed: Arc<[Arc<RoutePolicy>]>,
    default: Arc<RoutePolicy>,
    /// For paths that could be read as those of two routes.
    ambiguous: Arc<RoutePolicy>,
    /// To indices into `listed`.
    tree: Arc<PathTree<usize>>,
}

impl Routes {
    /// The policy for `path`, which has no query; the default route's when no pattern matches.
    pub fn find(&self, path: &str) -> &Arc<RoutePolicy> {
        if self.listed.is_empty() {
            return &self.default;
        }
        if is_plain(path) {
            return self.policy(self.tree.find(path));
        }
        let strict = self.tree.find(&strict_reading(path));
        let lenient = self.tree.find(&lenient_reading(path));
        match strict == lenient {
            true => self.policy(strict),
            false => &self.ambiguous,
        }
    }

    /// The policies that `path` may have, as strict and as forgiving APIs read it; the same twice where all read it
    /// alike.
    pub fn readings(&self, path: &str) -> [&Arc<RoutePolicy>; 2] {
        if self.listed.is_empty() || is_plain(path) {
            return [self.find(path); 2];
        }
        [strict_reading(path), lenient_reading(path)].map(|path| self.policy(self.tree.find(&path)))
    }

    /// Whether a write to some route invalidates others by their paths.
    pub fn invalidate_paths(&self) -> bool {
        self.listed
            .iter()
            .any(|route| !route.invalidates.is_empty())
    }

    /// The policy of paths that match no pattern.
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
        self.ambiguous = limit(&self.ambiguous);
    }

    fn policy(&self, index: Option<usize>) -> &Arc<RoutePolicy> {
        match index {
            Some(index) => &self.listed[index],
            None => &self.default,
        }
    }

    /// Reads every `[[route]]` of the file; each begins with `default`'s choices.
    pub(super) fn read(root: &mut Section<'_>, default: &Draft) -> Self {
        let mut listed: Vec<Arc<RoutePolicy>> = Vec::new();
        let mut tree = PathTree::default();
        root.sections("route", |section| {
            let pattern = read_pattern(section);
            let draft = default.clone().read(section);
            let mut invalidates = Vec::new();
            let known = pattern.as_ref().map_or("", |(_, pattern)| pattern.as_str());
            section.set("invalidates", &mut invalidates, list(template(known)));
            let rate_limit = section.section("rate_limit", RateLimit::read);
            let (mut exchange_timeout, mut min_body_rate) = (None, None);
            section.set("exchange_timeout", &mut exchange_timeout, |value| {
                or_off(timeout)(value).map(Some)
            });
            section.set("min_body_rate", &mut min_body_rate, |value| {
                or_off(size(1..=u64::MAX))(value).map(Some)
            });
            draft.warn_without_ttl(section, |key| section.given(key));
            let Some((value, pattern)) = pattern else {
                return;
            };
            match insert(&mut tree, &pattern, listed.len()) {
                Ok(()) => listed.push(Arc::new(RoutePolicy {
                    pattern,
                    invalidates,
                    rate_limit,
                    exchange_timeout,
                    min_body_rate,
                    ..draft.finish()
                })),
                Err(Refusal::Malformed(fault)) => {
                    value.refuse_text::<()>(fault);
                }
                Err(Refusal::Duplicate(earlier)) => {
                    let earlier = &listed[earlier].pattern;
                    value.refuse_text::<()>(format!(
                        "matches the same paths as the route \"{earlier}\""
                    ));
                }
            }
        });
        if listed.iter().all(|route| route.cache.ttl.is_none()) {
            default.warn_without_ttl(root, |key| root.given_in("cache", key));
        }
        Self::new(listed, tree, default.clone().finish())
    }

    fn new(listed: Vec<Arc<RoutePolicy>>, tree: PathTree<usize>, default: RoutePolicy) -> Self {
        let ambiguous = RoutePolicy {
            bypass: true,
            ..default.clone()
        };
        Self {
            listed: listed.into(),
            default: Arc::new(default),
            ambiguous: Arc::new(ambiguous),
            tree: Arc::new(tree),
        }
    }
}

impl Default for Routes {
    fn default() -> Self {
        Self::new(Vec::new(), PathTree::default(), RoutePolicy::default())
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

fn insert(tree: &mut PathTree<usize>, pattern: &str, index: usize) -> Result<(), Refusal<usize>> {
    if pattern.contains(['?', '#']) {
        return Err(Refusal::Malformed(
            "has a query or fragment; routes match the path alone",
        ));
    }
    if let Some(fault) = foreign_syntax(pattern) {
        return Err(Refusal::Malformed(fault));
    }
    if pattern.contains(|c: char| c.is_ascii_whitespace() || c.is_ascii_control()) {
        return Err(Refusal::Malformed(
            "has white space, which paths have only as %20",
        ));
    }
    let pattern = percent::encoded_pattern(pattern);
    tree.insert(&unreserved_decoded(&pattern), index)
}

/// Whether there is one way only to read `path`.
fn is_plain(path: &str) -> bool {
    let bytes = path.as_bytes();
    let mut before = 0;
    for &byte in bytes {
        match byte {
            b'%' | b';' => return false,
            _ if Octet::of(byte) == Octet::Encoded => return false,
            b'/' | b'.' if before == b'/' => return false,
            _ => before = byte,
        }
    }
    true
}

/// The path as strict APIs read it.
fn strict_reading(path: &str) -> String {
    unreserved_decoded(&percent::encoded(path)).into_owned()
}

/// The path with all unreserved characters decoded (RFC 3986 §6.2.2.2), also beside a percent sign that encodes nothing.
fn unreserved_decoded(path: &str) -> Cow<'_, str> {
    match percent::is_plain(path) {
        true => Cow::Borrowed(path),
        false => Cow::Owned(percent::decode(path, percent::is_unreserved)),
    }
}

/// The path as the most forgiving API would read it.
fn lenient_reading(path: &str) -> String {
    let decoded = percent::decode(path, |octet| octet.is_ascii()).replace('\\', "/");
    let mut segments: Vec<&str> = Vec::new();
    let mut is_directory = true;
    for segment in decoded.split('/') {
        let name = segment.split_once(';').map_or(segment, |(name, _)| name);
        is_directory = matches!(name, "" | "." | "..");
        match name {
            "" | "." => {}
            ".." => {
                segments.pop();
            }
            name => segments.push(name),
        }
    }
    let end = if is_directory && !segments.is_empty() {
        "/"
    } else {
        ""
    };
    percent::encoded(&format!("/{}{end}", segments.join("/"))).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn config(text: &str) -> Config {
        let text = format!("[upstream]\nservers = \"http://a\"\n{text}");
        Config::parse(&text, "test", &|_| None).expect("a valid file")
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
            let policy = config.route(path);
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
    fn the_lenient_reading_is_that_of_the_most_forgiving_api() {
        for (path, read) in [
            ("/", "/"),
            ("", "/"),
            ("*", "/*"),
            ("/a/b", "/a/b"),
            ("/a/b/", "/a/b/"),
            ("//a///b//", "/a/b/"),
            ("/a/./b/.", "/a/b/"),
            ("/a/../../b", "/b"),
            ("/..", "/"),
            ("/a/b/..", "/a/"),
            ("/a;x=1/b;y", "/a/b"),
            ("/a%2fb%5Cc", "/a/b/c"),
            ("/%2e%2e/a", "/a"),
            ("/%C3%a9", "/%C3%A9"),
            ("/é", "/%C3%A9"),
            ("/%25", "/%"),
            ("/%", "/%"),
            ("/%4", "/%4"),
        ] {
            assert_eq!(lenient_reading(path), read, "{path:?}");
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
            let ttl = config.route(path).cache.ttl.clone();
            ttl.map(|ttl| (ttl.value.as_secs(), ttl.mode, ttl.statuses.len()))
        };
        use crate::config::EtagMode::{Missing, Off};
        use crate::semantics::policy::TtlMode::{Cap, Fallback};
        assert_eq!(ttl("/"), Some((300, Fallback, 2)));
        assert_eq!(ttl("/a"), Some((300, Cap, 2)));
        assert_eq!(ttl("/b"), None);
        assert_eq!(ttl("/c"), Some((3600, Fallback, 1)));
        let etags = ["/", "/a", "/b"].map(|path| config.route(path).etag);
        assert_eq!(etags, [Missing, Missing, Off]);
    }
}
