//! A URL, or the beginning of URLs, that an operator names. It is read as a request's target is, so that it finds the
//! responses that were stored for one.

use std::fmt;

use super::authority::{Scheme, normal_authority};
use super::percent;
use super::query_rule::QueryRule;
use super::target::{origin_of, path_and_query, split_query};

/// Target URIs, in the form of the store's keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selector {
    /// One path and query, on every host.
    PathAndQuery(String),
    /// One target URI.
    Target(String),
    /// One target URI without a query, with all queries.
    TargetPath(String),
    /// A path and all below it, with all queries, on every host. Without a slash at its end, so it is empty for all.
    PathPrefix(String),
    /// An origin and a path, and all below it, with all queries.
    TargetPrefix(String),
}

const NO_URL: &str = "is no URL: write a path such as /books/123, which is meant on every host, or http://host/books/123";
const NO_PREFIX: &str = "is not the beginning of a URL: write a path such as /books, which is meant on every host, or \
     http://host or http://host/books";

impl Selector {
    /// Reads one URL. Fails with the mistake and its correction.
    pub fn url(text: &str) -> Result<Self, String> {
        let (origin, path_and_query) = read(text, NO_URL)?;
        Ok(match origin {
            None => Self::PathAndQuery(path_and_query),
            Some(origin) => Self::Target(origin + &path_and_query),
        })
    }

    /// Reads the beginning of URLs, which ends with a whole segment. Fails with the mistake and its correction.
    pub fn prefix(text: &str) -> Result<Self, String> {
        let (origin, path) = read(text, NO_PREFIX)?;
        if path.contains('?') {
            return Err("has a query: a prefix is a path, and covers all queries of it".to_owned());
        }
        let path = match path.as_str() {
            "/" => "",
            path => path,
        };
        Ok(match origin {
            None => Self::PathPrefix(path.to_owned()),
            Some(origin) => Self::TargetPrefix(origin + path),
        })
    }

    /// The same URL with the query parameters that matter by `rule`.
    pub fn reduced(self, rule: &QueryRule) -> Self {
        let reduce = |text: String| match split_query(&text) {
            (_, None) => text,
            (base, Some(query)) => match rule.reduce(query) {
                None => base.to_owned(),
                Some(query) => format!("{base}?{query}"),
            },
        };
        match self {
            Self::PathAndQuery(text) => Self::PathAndQuery(reduce(text)),
            Self::Target(text) => Self::Target(reduce(text)),
            other => other,
        }
    }

    /// Whether the target URI `key` is meant. Two that are the same to a response with No-Vary-Search are for the store to
    /// compare.
    pub fn covers(&self, key: &str) -> bool {
        match self {
            Self::PathAndQuery(named) => path_and_query(key) == named,
            Self::Target(target) => key == target,
            Self::TargetPath(target) => split_query(key).0 == target,
            Self::PathPrefix(prefix) => is_below(path_and_query(key), prefix),
            Self::TargetPrefix(prefix) => is_below(key, prefix),
        }
    }

    /// Path and query, where one URL is named; else the prefix.
    pub fn path(&self) -> &str {
        match self {
            Self::PathAndQuery(path) | Self::PathPrefix(path) => path,
            Self::Target(target) | Self::TargetPath(target) | Self::TargetPrefix(target) => {
                path_and_query(target)
            }
        }
    }

    /// The authority that is named; `None` where every host is meant.
    pub fn authority(&self) -> Option<&str> {
        match self {
            Self::PathAndQuery(_) | Self::PathPrefix(_) => None,
            Self::Target(target) | Self::TargetPath(target) | Self::TargetPrefix(target) => {
                let scheme_and_authority = origin_of(target).split_once("://");
                scheme_and_authority.map(|(_, authority)| authority)
            }
        }
    }

    /// The target URI that is named, on the host of `key` where none is named; `None` for a prefix.
    pub fn target_beside(&self, key: &str) -> Option<String> {
        match self {
            Self::PathAndQuery(path_and_query) => {
                Some(format!("{}{path_and_query}", origin_of(key)))
            }
            Self::Target(target) => Some(target.clone()),
            Self::TargetPath(_) | Self::PathPrefix(_) | Self::TargetPrefix(_) => None,
        }
    }
}

/// In plain words, for the log.
impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PathAndQuery(path) => write!(f, "{path} on every host"),
            Self::Target(target) => f.write_str(target),
            Self::TargetPath(target) => write!(f, "{target} with all queries"),
            Self::PathPrefix(prefix) if prefix.is_empty() => {
                f.write_str("every path on every host")
            }
            Self::PathPrefix(prefix) => write!(f, "{prefix} and all below it on every host"),
            Self::TargetPrefix(prefix) => write!(f, "{prefix} and all below it"),
        }
    }
}

/// Whether `text` is the prefix, or goes on after it with a segment or a query.
fn is_below(text: &str, prefix: &str) -> bool {
    text.strip_prefix(prefix).is_some_and(|rest| {
        rest.is_empty() || rest.starts_with(['/', '?']) || prefix.ends_with('/')
    })
}

/// The origin, if there is one, and the path and query; both in normal form.
fn read(text: &str, otherwise: &str) -> Result<(Option<String>, String), String> {
    if text.chars().any(|c| c.is_ascii_control() || c == ' ') {
        return Err("has white space, which URLs have only as %20".to_owned());
    }
    // RFC 9110 §7.1: a fragment is no part of a request's target.
    let text = text.split_once('#').map_or(text, |(uri, _)| uri);
    if text.starts_with('/') {
        return Ok((None, percent::normal(text).into_owned()));
    }
    let (scheme, rest) = text.split_once("://").ok_or(otherwise)?;
    let scheme = Scheme::parse(scheme).ok_or("has a scheme that is neither http nor https")?;
    let (authority, rest) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let authority = normal_authority(authority, scheme).map_err(|_| otherwise)?;
    if authority.is_empty() {
        return Err(otherwise.to_owned());
    }
    let slash = if rest.starts_with('/') { "" } else { "/" };
    let path_and_query = format!("{slash}{}", percent::normal(rest));
    let origin = format!("{}://{authority}", scheme.as_str());
    Ok((Some(origin), path_and_query))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_read_as_a_request_would_be() {
        let path = |path: &str| Ok(Selector::PathAndQuery(path.to_owned()));
        let target = |target: &str| Ok(Selector::Target(target.to_owned()));
        for (text, expected) in [
            ("/shop", path("/shop")),
            ("/shop?a=%62#c", path("/shop?a=b")),
            ("/caf%c3%a9", path("/caf%C3%A9")),
            ("/caf\u{e9}", path("/caf%C3%A9")),
            ("/a?f={\"b\":1}", path("/a?f=%7B%22b%22:1%7D")),
            ("/a?f=%7b%22b%22:1%7d", path("/a?f=%7B%22b%22:1%7D")),
            ("/a|b", path("/a%7Cb")),
            ("//books", path("//books")),
            ("/a://b", path("/a://b")),
            ("http://other.test/shop", target("http://other.test/shop")),
            (
                "HTTP://OTHER.test:80/Shop",
                target("http://other.test/Shop"),
            ),
            ("https://other.test:443?a", target("https://other.test/?a")),
            ("http://other.test:8080", target("http://other.test:8080/")),
            ("http://[::1]:80/#x", target("http://[::1]/")),
        ] {
            assert_eq!(Selector::url(text), expected, "{text}");
        }
        for (text, why) in [
            ("", "is no URL"),
            ("shop", "is no URL"),
            ("other.test/shop", "is no URL"),
            ("?a", "is no URL"),
            ("#a", "is no URL"),
            ("http:/shop", "is no URL"),
            ("http://", "is no URL"),
            ("http:///shop", "is no URL"),
            ("http://me@other.test/", "is no URL"),
            ("http://other.test:x/", "is no URL"),
            ("ftp://other.test/", "has a scheme"),
            ("/a b", "has white space"),
            ("/a\n", "has white space"),
        ] {
            let refused = Selector::url(text).unwrap_err();
            assert!(refused.starts_with(why), "{text}: {refused}");
        }
    }

    #[test]
    fn a_path_of_one_origin_is_meant_with_all_queries() {
        let path = Selector::TargetPath("http://h.test/books".to_owned());
        for (key, covered) in [
            ("http://h.test/books", true),
            ("http://h.test/books?", true),
            ("http://h.test/books?a=/b", true),
            ("http://h.test/books/", false),
            ("http://h.test/books/1", false),
            ("http://h.test/bookshop", false),
            ("http://h.test:8080/books", false),
            ("https://h.test/books", false),
        ] {
            assert_eq!(path.covers(key), covered, "{key}");
        }
        assert_eq!(path.path(), "/books");
    }

    #[test]
    fn a_prefix_ends_with_a_segment_and_an_authority_is_whole() {
        let keys = [
            "http://h.test/",
            "http://h.test/?a",
            "http://h.test/books",
            "http://h.test/books?a",
            "http://h.test/books/",
            "http://h.test/books/1",
            "http://h.test/bookshop",
            "http://h.test.evil/books",
            "http://h.test:8080/books",
            "https://h.test/books",
        ];
        for (prefix, covered) in [
            ("/", &keys[..]),
            ("http://h.test", &keys[..7]),
            ("HTTP://H.test:80/", &keys[..7]),
            ("http://h.test/books", &keys[2..6]),
            ("http://h.test/books/", &keys[4..6]),
            ("http://h.test/%62ooks/1", &keys[5..6]),
            ("http://h.test/book", &[]),
            ("http://h.tes", &[]),
            ("http://h.test:8080", &keys[8..9]),
            ("/books/", &keys[4..6]),
            ("/books/1", &keys[5..6]),
            ("/bookshop", &keys[6..7]),
            ("/book", &[]),
        ] {
            let selector = Selector::prefix(prefix).expect(prefix);
            let found: Vec<_> = keys
                .into_iter()
                .filter(|key| selector.covers(key))
                .collect();
            assert_eq!(found, covered, "{prefix}");
        }
        for text in [
            "",
            "books",
            "http://",
            "http:///",
            "/books?page",
            "ftp://a",
            "https",
        ] {
            assert!(Selector::prefix(text).is_err(), "{text}");
        }
    }
}
