//! URI references in messages, resolved against the target URI (RFC 3986 §5).

use std::borrow::Cow;
use std::ops::Range;

use super::authority::{Scheme, TargetUri, normal_authority};
use super::percent;
use super::target::split_query;

/// A server of an API, as references in responses may name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiServer {
    /// The number of its API.
    pub api: usize,
    pub scheme: Scheme,
    /// In normal form.
    pub authority: Box<str>,
    /// The gateway puts it before the path of each request to this server: empty, or `/…` without a slash at its end.
    pub base_path: Box<str>,
}

/// How a client knows the paths of the APIs.
pub trait ClientPaths {
    /// Whether it knows any path of this API under another.
    fn are_rewritten(&self, api: usize) -> bool;

    /// The path under which it knows `path` of this API, both without a query; `None` where no path leads to it.
    fn known_as<'p>(&self, api: usize, path: &'p str) -> Option<Cow<'p, str>>;
}

/// The view of a client that sent its request for `target` to the gateway: in it the references of a response are resolved.
#[derive(Clone, Copy)]
pub struct ClientView<'a> {
    pub target: &'a TargetUri,
    /// The API that answered.
    pub api: usize,
    /// Path and query as it got them, without its base path.
    pub api_target: &'a str,
    /// That of the server that answered.
    pub base_path: &'a str,
    /// All servers of all APIs.
    pub servers: &'a [ApiServer],
    pub paths: &'a dyn ClientPaths,
}

impl ClientView<'_> {
    /// The reference as the client has to see it: a URI of an API's server becomes a URI of the gateway, without the base path
    /// and under the path by which the client knows it. `None` where it stays as it is, also since nothing of the gateway's
    /// leads to it.
    pub fn of(&self, reference: &str) -> Option<String> {
        let (uri, fragment) = match reference.find('#') {
            Some(at) => reference.split_at(at),
            None => (reference, ""),
        };
        let (scheme, rest) = split_scheme(uri);
        match (scheme, rest.strip_prefix("//")) {
            (None, None) => self.of_path(rest, fragment),
            // A scheme without an authority names no server.
            (Some(_), None) => None,
            (None, Some(rest)) => self.of_authority(None, rest, fragment),
            (Some(scheme), Some(rest)) => {
                self.of_authority(Some(Scheme::parse(scheme)?), rest, fragment)
            }
        }
    }

    /// `rest` is an authority, a path and a query.
    fn of_authority(&self, scheme: Option<Scheme>, rest: &str, fragment: &str) -> Option<String> {
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, rest) = rest.split_at(end);
        // User information would be the API's own.
        let authority = authority
            .rsplit_once('@')
            .map_or(authority, |(_, host)| host);
        let names = |known: &str, of: Scheme| {
            let normal = |scheme| normal_authority(authority, scheme);
            // An API that gets another scheme in X-Forwarded-Proto writes that one before its own address.
            [Some(of), scheme]
                .into_iter()
                .flatten()
                .any(|scheme| normal(scheme).is_ok_and(|normal| normal == known))
        };
        let (path, query) = path_and_rest(rest);
        let path = without_dots(path);
        let servers = self
            .servers
            .iter()
            .filter(|server| names(&server.authority, server.scheme));
        let left = servers.map(|server| {
            let to_https = scheme == Some(Scheme::Https) && server.scheme == Scheme::Http;
            let scheme = if to_https {
                Scheme::Https
            } else {
                self.target.scheme
            };
            let left = below(&path, &server.base_path).unwrap_or(&path);
            (scheme, server.api, left)
        });
        // Of several servers at one address, the one with the longest base path is meant, and of two alike that of the API
        // that answered.
        let left = left.min_by_key(|(_, api, left)| (left.len(), *api != self.api));
        let names_server = left.is_some();
        // An API that trusts X-Forwarded-Host gives its own URIs the gateway's authority.
        let ours = || {
            let scheme = scheme.unwrap_or(self.target.scheme);
            let is_ours =
                !authority.is_empty() && names(&self.target.authority, self.target.scheme);
            let left = below(&path, self.base_path)?;
            is_ours.then_some((scheme, self.api, left))
        };
        let (scheme, api, left) = left.or_else(ours)?;
        let known = self.paths.known_as(api, or_root(left))?;
        if !names_server && *known == *or_root(&path) {
            return None;
        }
        Some(self.absolute(scheme, &known, query) + fragment)
    }

    /// `rest` is a path and a query, or less.
    fn of_path(&self, rest: &str, fragment: &str) -> Option<String> {
        let is_rewritten = self.paths.are_rewritten(self.api);
        if self.base_path.is_empty() && !is_rewritten {
            return None;
        }
        let (given, query) = path_and_rest(rest);
        let from_root = given.starts_with('/');
        let may_differ =
            |path: &str| is_rewritten || path.split('/').any(|segment| segment == "..");
        let path = if from_root {
            without_dots(given)
        } else if !given.is_empty() && may_differ(given) {
            // It is relative to the path that the API got. It may leave the base path and enter it again.
            let request = format!("{}{}", self.base_path, self.api_target);
            Cow::Owned(relative(&request, given))
        } else {
            return None;
        };
        let left = below(&path, self.base_path)?;
        let left = &*self.paths.known_as(self.api, or_root(left))?;
        let seen = match from_root {
            true => Cow::Borrowed(rest),
            false => Cow::Owned(relative(&self.target.path_and_query, rest)),
        };
        if seen == format!("{left}{query}") {
            return None;
        }
        let is_path =
            !left[left.len().min(1)..].starts_with(|c| matches!(c, '/' | '\\' | '\0'..=' '));
        // Behind its first slash, a second would begin a host; a backslash is one to browsers, and tabs are nothing.
        let left = match is_path {
            true => format!("{left}{query}"),
            false => self.absolute(self.target.scheme, left, query),
        };
        Some(left + fragment)
    }

    /// A URI of the gateway.
    fn absolute(&self, scheme: Scheme, path: &str, query: &str) -> String {
        match &*self.target.authority {
            // An HTTP/1.0 client need not name the gateway: a path without an authority must not begin with two slashes
            // (RFC 3986 §4.2).
            "" => format!("/.{path}{query}"),
            authority => format!("{}://{authority}{path}{query}", scheme.as_str()),
        }
    }
}

/// A reference's path, and its query with the question mark.
fn path_and_rest(reference: &str) -> (&str, &str) {
    let (path, _) = split_query(reference);
    reference.split_at(path.len())
}

/// The path of a URI without one is `/` (RFC 9110 §4.2.3).
fn or_root(path: &str) -> &str {
    match path {
        "" => "/",
        path => path,
    }
}

/// A path from the root without dot segments.
fn without_dots(path: &str) -> Cow<'_, str> {
    match path.contains("/.") {
        true => Cow::Owned(normal_path("", path)),
        false => Cow::Borrowed(path),
    }
}

/// The rest of `path` below `base`, in any equivalent spelling: empty, or a path from the slash on.
fn below<'p>(path: &'p str, base: &str) -> Option<&'p str> {
    let mut rest = path;
    for segment in base.split('/').skip(1) {
        rest = rest.strip_prefix('/')?;
        let (given, after) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        if percent::normal(given) != percent::normal(segment) {
            return None;
        }
        rest = after;
    }
    Some(rest)
}

/// Where in a Refresh field its URI stands, as browsers read it: `5; url=/a`, in quotes or not.
pub fn in_refresh(value: &str) -> Option<Range<usize>> {
    let rest = value.trim_start();
    let after_time = rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
    if after_time.len() == rest.len() {
        return None;
    }
    let rest = after_time
        .trim_start()
        .strip_prefix([';', ','])?
        .trim_start();
    let named = rest
        .split_at_checked(3)
        .filter(|(name, _)| name.eq_ignore_ascii_case("url"))
        .and_then(|(_, rest)| rest.trim_start().strip_prefix('='));
    let rest = named.map_or(rest, str::trim_start);
    let uri = match rest.strip_prefix(['\'', '"']) {
        Some(quoted) => quoted.split(['\'', '"']).next()?,
        None => rest.trim_end(),
    };
    // `uri` is a part of `value`.
    let start = uri.as_ptr() as usize - value.as_ptr() as usize;
    Some(start..start + uri.len())
}

/// Resolves a URI reference against the target (RFC 3986 §5.2), in normal form; `None` when it is not valid, or of another
/// origin.
pub fn resolve(target: &TargetUri, reference: &str) -> Option<TargetUri> {
    // A client that follows the reference percent-encodes octets beyond ASCII.
    if reference
        .bytes()
        .any(|byte| matches!(byte, 0..=0x20 | 0x7f))
    {
        return None;
    }
    // §7.1: the fragment is no part of the target URI.
    let reference = reference.split_once('#').map_or(reference, |(uri, _)| uri);
    let (scheme, rest) = split_scheme(reference);
    let scheme = match scheme {
        Some(scheme) => Scheme::parse(scheme)?,
        None => target.scheme,
    };
    let path_and_query = match rest.strip_prefix("//") {
        Some(rest) => {
            let end = rest.find(['/', '?']).unwrap_or(rest.len());
            let (authority, rest) = rest.split_at(end);
            let authority = normal_authority(authority, scheme).ok()?;
            let is_same_origin = scheme == target.scheme && authority == *target.authority;
            if authority.is_empty() || !is_same_origin {
                return None;
            }
            normal_path("", rest)
        }
        // A scheme without an authority names no origin.
        None if rest.len() != reference.len() => return None,
        None => relative(&target.path_and_query, rest),
    };
    Some(TargetUri {
        scheme: target.scheme,
        authority: target.authority.clone(),
        path_and_query: percent::normal(&path_and_query).into(),
    })
}

/// The scheme before the first colon, if there is one (RFC 3986 §3.1), and the rest.
fn split_scheme(reference: &str) -> (Option<&str>, &str) {
    let end = reference.find([':', '/', '?']).unwrap_or(reference.len());
    let (scheme, rest) = reference.split_at(end);
    match rest.strip_prefix(':') {
        Some(rest) => (Some(scheme), rest),
        None => (None, reference),
    }
}

/// A reference without scheme and authority, against the path and query of the base (RFC 3986 §5.2.2).
fn relative(base: &str, reference: &str) -> String {
    let (base_path, _) = split_query(base);
    match reference.as_bytes().first() {
        None => base.to_owned(),
        Some(b'?') => format!("{base_path}{reference}"),
        Some(b'/') => normal_path("", reference),
        Some(_) => {
            let directory = base_path.rfind('/').map_or("/", |at| &base_path[..=at]);
            normal_path(directory, reference)
        }
    }
}

/// The path `directory` + `reference` without dot segments (RFC 3986 §5.2.4), and the reference's query.
fn normal_path(directory: &str, reference: &str) -> String {
    let (path, query) = path_and_rest(reference);
    let path: Cow<'_, str> = match directory {
        "" => Cow::Borrowed(path),
        directory => Cow::Owned(format!("{directory}{path}")),
    };
    let mut kept: Vec<&str> = Vec::new();
    let mut ends_in_directory = false;
    for segment in path.split('/').skip(1) {
        ends_in_directory = matches!(segment, "." | "..");
        match segment {
            "." => {}
            ".." => {
                kept.pop();
            }
            segment => kept.push(segment),
        }
    }
    let mut normal = String::with_capacity(path.len() + query.len() + 1);
    for segment in &kept {
        normal.push('/');
        normal.push_str(segment);
    }
    if ends_in_directory || kept.is_empty() {
        normal.push('/');
    }
    normal.push_str(query);
    normal
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn target(path_and_query: &str) -> TargetUri {
        TargetUri {
            scheme: Scheme::Http,
            authority: "api.example:8080".into(),
            path_and_query: path_and_query.into(),
        }
    }

    #[test]
    fn references_resolve_as_rfc_3986_shows() {
        // RFC 3986 §5.4, with a base of this gateway's.
        let base = target("/b/c/d;p?q");
        for (reference, expected) in [
            ("g", "/b/c/g"),
            ("./g", "/b/c/g"),
            ("g/", "/b/c/g/"),
            ("/g", "/g"),
            ("//api.example:8080/g", "/g"),
            ("?y", "/b/c/d;p?y"),
            ("g?y", "/b/c/g?y"),
            ("#s", "/b/c/d;p?q"),
            ("g#s", "/b/c/g"),
            ("g?y#s", "/b/c/g?y"),
            (";x", "/b/c/;x"),
            ("", "/b/c/d;p?q"),
            (".", "/b/c/"),
            ("./", "/b/c/"),
            ("..", "/b/"),
            ("../g", "/b/g"),
            ("../..", "/"),
            ("../../g", "/g"),
            ("../../../g", "/g"),
            ("/./g", "/g"),
            ("/../g", "/g"),
            ("g.", "/b/c/g."),
            ("..g", "/b/c/..g"),
            ("./g/.", "/b/c/g/"),
            ("g/../h", "/b/c/h"),
            ("g;x=1/../y", "/b/c/y"),
            ("g?y/../x", "/b/c/g?y/../x"),
            ("http://API.example:8080", "/"),
            ("http://api.example:8080?y", "/?y"),
            ("HTTP://api.example:8080/g//h", "/g//h"),
            ("caf\u{e9}", "/b/c/caf%C3%A9"),
            ("/%67%2f%c3%a9?%7e", "/g%2F%C3%A9?~"),
        ] {
            let found = resolve(&base, reference);
            assert_eq!(found, Some(target(expected)), "{reference}");
        }
    }

    #[test]
    fn another_origin_is_never_invalidated() {
        let base = target("/books");
        for reference in [
            "http://api.example/x",
            "http://api.example:8081/x",
            "https://api.example:8080/x",
            "http://other:8080/x",
            "//other/x",
            "http://user@api.example:8080/x",
            "http:///x",
            "http:x",
            "g:h",
            "ftp://api.example:8080/x",
            "http://[::1/x",
            "a b",
        ] {
            assert_eq!(resolve(&base, reference), None, "{reference}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn whatever_the_reference_the_origin_stays(reference in "[a-z:/?#.@]{0,16}") {
            let base = target("/a/b?c");
            if let Some(found) = resolve(&base, &reference) {
                prop_assert_eq!(found.scheme, base.scheme);
                prop_assert_eq!(found.authority, base.authority);
                prop_assert!(found.path_and_query.starts_with('/'));
            }
        }
    }
}
