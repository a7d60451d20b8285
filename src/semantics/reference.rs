//! URI references in messages, resolved against the target URI (RFC 3986 §5).

use std::borrow::Cow;

use super::authority::{Scheme, TargetUri, normal_authority};

/// Resolves a URI reference against the target (RFC 3986 §5.2); `None` when it is not valid, or of another origin.
pub fn resolve(target: &TargetUri, reference: &str, also: &[(Scheme, &str)]) -> Option<TargetUri> {
    if !reference.bytes().all(|byte| matches!(byte, 0x21..=0x7e)) {
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
            same_origin(target, scheme, authority, also)?;
            normal_path("", rest)
        }
        // A scheme without an authority names no origin.
        None if rest.len() != reference.len() => return None,
        None => relative(&target.path_and_query, rest),
    };
    Some(TargetUri {
        scheme: target.scheme,
        authority: target.authority.clone(),
        path_and_query: path_and_query.into(),
    })
}

/// The scheme before the first colon, if what is before it is one (RFC 3986 §3.1), and what comes after.
fn split_scheme(reference: &str) -> (Option<&str>, &str) {
    let end = reference.find([':', '/', '?']).unwrap_or(reference.len());
    let (scheme, rest) = reference.split_at(end);
    match rest.strip_prefix(':') {
        Some(rest) => (Some(scheme), rest),
        None => (None, reference),
    }
}

fn same_origin(
    target: &TargetUri,
    scheme: Scheme,
    authority: &str,
    also: &[(Scheme, &str)],
) -> Option<()> {
    let authority = normal_authority(authority, scheme).ok()?;
    let is = |s: Scheme, a: &str| s == scheme && a == authority;
    let same = !authority.is_empty()
        && (is(target.scheme, &target.authority) || also.iter().any(|&(s, a)| is(s, a)));
    same.then_some(())
}

/// A reference without scheme and authority, against the path and query of the base (RFC 3986 §5.2.2).
fn relative(base: &str, reference: &str) -> String {
    let base_path = base.split_once('?').map_or(base, |(path, _)| path);
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
    let (path, query) = match reference.find('?') {
        Some(at) => reference.split_at(at),
        None => (reference, ""),
    };
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
        ] {
            let found = resolve(&base, reference, &[]);
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
            "caf\u{e9}",
        ] {
            assert_eq!(resolve(&base, reference, &[]), None, "{reference}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn whatever_the_reference_the_origin_stays(reference in "[a-z:/?#.@]{0,16}") {
            let base = target("/a/b?c");
            if let Some(found) = resolve(&base, &reference, &[]) {
                prop_assert_eq!(found.scheme, base.scheme);
                prop_assert_eq!(found.authority, base.authority);
                prop_assert!(found.path_and_query.starts_with('/'));
            }
        }
    }
}
