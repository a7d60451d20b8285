//! How a path may be read.
//!
//! A path can be spelt in many ways, and no spelling may lead past a route. Octets that RFC 3986 §6.2.2 calls
//! equivalent are made equal before a path is compared: `/%62ooks/1` is `/books/1`. Others are equal to some APIs only:
//! those that decode `%2F`, collapse `//`, resolve `..` or drop `;…` before they route.
//!
//! Those that do some of this and not all of it read neither what is sent nor what [`lenient_reading`] gives. Where that
//! would matter most, beside gates, paths with dot segments are refused: what these are resolved to depends on all the rest.

use std::borrow::Cow;

use crate::semantics::percent::{self, Octet};

/// Whether there is one way only to read `path`.
pub fn is_plain(path: &str) -> bool {
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
pub(super) fn strict_reading(path: &str) -> String {
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

/// The path as the most forgiving API would read it.
pub fn lenient_reading(path: &str) -> String {
    let ready = split_ready(path);
    let mut segments: Vec<&str> = Vec::new();
    let mut is_directory = true;
    for name in names(&ready) {
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
}
