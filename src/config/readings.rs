//! How a path may be read.
//!
//! A path can be spelt in many ways, and no spelling may lead past a route. Octets that RFC 3986 §6.2.2 calls
//! equivalent are made equal before a path is compared: `/%62ooks/1` is `/books/1`. Others are equal to some APIs only:
//! those that decode `%2F`, collapse `//` or take what follows for a host, resolve `..`, or drop `;…` before they route. An API may do any of these and not
//! the others, so a path has as many readings as there are combinations of those that change it.

use std::borrow::Cow;

use smallvec::SmallVec;

use crate::semantics::percent::{self, Octet};
use crate::semantics::target::split_query;

/// Whether there is one way only to read `path`.
pub(super) fn is_plain(path: &str) -> bool {
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

/// What an API may do to a path before it routes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Habits {
    /// Decodes every octet of ASCII, and takes `\` for `/`.
    decodes: bool,
    /// Drops what follows a `;` in a segment, before it decodes.
    drops_first: bool,
    /// The same afterwards.
    drops_parameters: bool,
    /// Takes several slashes for one.
    merges_slashes: bool,
    /// Resolves `.` and `..`.
    resolves_dots: bool,
    /// Takes the first segment behind two slashes for a host, as a resolved reference (RFC 3986 §4.2).
    takes_host: bool,
}

impl Habits {
    /// Of every kind of API, the strict ones first.
    fn combinations() -> impl Iterator<Item = Self> {
        (0..64_u8).map(|bits| Self {
            drops_first: bits & 1 > 0,
            decodes: bits & 2 > 0,
            drops_parameters: bits & 4 > 0,
            merges_slashes: bits & 8 > 0,
            resolves_dots: bits & 16 > 0,
            takes_host: bits & 32 > 0,
        })
    }

    /// The habits that make a difference to `path`, among others.
    fn that_matter(path: &str) -> Self {
        let ready = split_ready(path);
        Self {
            decodes: ready != unreserved_decoded(path),
            drops_first: path.contains(';'),
            drops_parameters: ready.contains(';'),
            // A segment without its parameters may be empty, and one that is resolved leaves a slash too many.
            merges_slashes: ready.contains("//") || ready.contains("/;"),
            resolves_dots: names(&ready).any(|name| matches!(name, "." | "..")),
            takes_host: ready.starts_with("//"),
        }
    }

    /// Whether it has no habit that `other` has not.
    const fn are_among(self, other: Self) -> bool {
        (!self.decodes || other.decodes)
            && (!self.drops_first || other.drops_first)
            && (!self.drops_parameters || other.drops_parameters)
            && (!self.merges_slashes || other.merges_slashes)
            && (!self.resolves_dots || other.resolves_dots)
            && (!self.takes_host || other.takes_host)
    }

    /// The path as an API with these habits reads it.
    fn reading(self, path: &str) -> String {
        let mut ready = strict_reading(path);
        if self.drops_first {
            let names: Vec<_> = names(&ready).collect();
            ready = names.join("/");
        }
        if self.decodes {
            ready = split_ready(&ready);
        }
        let mut rest = ready.strip_prefix('/').unwrap_or(&ready);
        if self.takes_host && rest.starts_with('/') {
            let after_slashes = rest.trim_start_matches('/');
            rest = after_slashes.split_once('/').map_or("", |(_, rest)| rest);
        }
        let mut segments: Vec<&str> = Vec::new();
        // Whether the path ends with a slash.
        let mut is_open = false;
        for segment in rest.split('/') {
            let name = match self.drops_parameters {
                true => segment.split_once(';').map_or(segment, |(name, _)| name),
                false => segment,
            };
            is_open = true;
            match name {
                "" if self.merges_slashes => {}
                "." if self.resolves_dots => {}
                ".." if self.resolves_dots => {
                    segments.pop();
                }
                name => {
                    segments.push(name);
                    is_open = false;
                }
            }
        }
        let end = if is_open && !segments.is_empty() {
            "/"
        } else {
            ""
        };
        percent::encoded(&format!("/{}{end}", segments.join("/"))).into_owned()
    }
}

/// The path as the APIs of each kind may read it, each reading once: that of strict ones first.
pub fn readings(path: &str) -> SmallVec<[String; 2]> {
    let mut readings = SmallVec::from_iter([strict_reading(path)]);
    if is_plain(path) {
        return readings;
    }
    let matter = Habits::that_matter(path);
    for habits in Habits::combinations().filter(|habits| habits.are_among(matter)) {
        let reading = habits.reading(path);
        if !readings.contains(&reading) {
            readings.push(reading);
        }
    }
    readings
}

/// Octets that all readings of a path may have together: they are looked at before any limit counts the request.
const MOST_READ: usize = 64 << 10;

/// Whether the path can be read in so many ways, at such a length, that no route is looked for. No client that means well
/// sends one: of two readings, each may have half of the octets.
pub fn is_unreadable(path_and_query: &str) -> bool {
    // So short a path may be read in all ways.
    if path_and_query.len() <= MOST_READ / 64 {
        return false;
    }
    let (path, _) = split_query(path_and_query);
    if is_plain(path) {
        return false;
    }
    let matter = Habits::that_matter(path);
    let readings = Habits::combinations().filter(|habits| habits.are_among(matter));
    readings.count().saturating_mul(path.len()) > MOST_READ
}

/// The path as strict APIs read it.
fn strict_reading(path: &str) -> String {
    unreserved_decoded(&percent::encoded(path)).into_owned()
}

/// The path with all unreserved characters decoded (RFC 3986 §6.2.2.2), also beside a percent sign that encodes nothing.
pub(super) fn unreserved_decoded(path: &str) -> Cow<'_, str> {
    match percent::is_plain(path) {
        true => Cow::Borrowed(path),
        false => Cow::Owned(percent::decode(path, percent::is_unreserved)),
    }
}

/// The path with all decoded that an API might decode before it splits it.
fn split_ready(path: &str) -> String {
    percent::decode(path, |octet| octet.is_ascii()).replace('\\', "/")
}

/// The segments of a path that is `split_ready`, without their parameters.
fn names(path: &str) -> impl Iterator<Item = &str> {
    path.split('/')
        .map(|segment| segment.split_once(';').map_or(segment, |(name, _)| name))
}

/// Whether any API might see a segment `.` or `..` in the path.
pub(super) fn has_dot_segment(path: &str) -> bool {
    !is_plain(path) && names(&split_ready(path)).any(|name| matches!(name, "." | ".."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dot_segment_is_seen_in_every_spelling() {
        for path in [
            "/.",
            "/..",
            "/a/./b",
            "/a/../b",
            "/%2e%2E/a",
            "/a/.%2e",
            "/a%2f..%2F..%2fb",
            "/a%2F%2e",
            "/..;x/a",
            "/a;b=c/..",
            "/..%3Bx/a",
            "/a\\..\\b",
            "/a%5C..%5cb",
            "//a/b/../../c",
        ] {
            assert!(has_dot_segment(path), "{path}");
        }
        for path in [
            "/",
            "*",
            "/a/b.json",
            "/.well-known/a",
            "/a/..b/b../...",
            "/a/%2Eb",
            "/a;../b",
            "/a%2Fb//c",
            "/a/%252e%252e/b",
        ] {
            assert!(!has_dot_segment(path), "{path}");
        }
    }

    #[test]
    fn the_reading_of_the_most_forgiving_api_is_among_them() {
        for (path, read) in [
            ("/", "/"),
            ("*", "*"),
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
            let readings = readings(path);
            assert!(
                readings.iter().any(|reading| reading == read),
                "{path:?}: {readings:?}"
            );
        }
    }

    #[test]
    fn an_api_may_do_any_of_it_and_not_the_rest() {
        #[rustfmt::skip]
        let cases: [(&str, &[&str]); 10] = [
            ("/a/b", &["/a/b"]),
            ("/a%C3%A9/%20", &["/a%C3%A9/%20", "/a%C3%A9/ "]),
            ("//x/admin", &["//x/admin", "/x/admin", "/admin"]),
            ("//x", &["//x", "/x", "/"]),
            ("/a;x", &["/a;x", "/a"]),
            ("/a%2Fb", &["/a%2Fb", "/a/b"]),
            ("/admin%2Fopen;x", &["/admin%2Fopen;x", "/admin%2Fopen", "/admin/open;x", "/admin/open"]),
            ("//a%2Fb", &["//a%2Fb", "//a/b", "/a%2Fb", "/a/b", "/", "/b"]),
            // What follows the `;` is dropped before it is decoded, or not.
            ("/a;x%2Fb", &["/a;x%2Fb", "/a", "/a;x/b", "/a/b"]),
            ("/a/./b", &["/a/./b", "/a/b"]),
        ];
        for (path, expected) in cases {
            let mut readings = readings(path);
            readings[1..].sort_unstable();
            let mut expected = expected.to_vec();
            expected[1..].sort_unstable();
            assert_eq!(readings.as_slice(), expected, "{path}");
        }
    }

    #[test]
    fn a_long_path_that_can_be_read_in_many_ways_is_not_read() {
        let long = |start: &str, octets: usize| format!("{start}{}", "a".repeat(octets));
        for (path, expected) in [
            (long("/", 8_000), false),
            (long("/caf%C3%A9/", 8_000), false),
            (long("/a%2Fb/", 8_000), false),
            (long("/a;x/", 8_000), false),
            (long("//h;x%2Fb/./", 900), false),
            (long("//h;x%2Fb/./", 2_000), true),
            (long("//h;x%2Fb/", 8_000), true),
        ] {
            assert_eq!(is_unreadable(&path), expected, "{}", &path[..12]);
        }
    }
}
