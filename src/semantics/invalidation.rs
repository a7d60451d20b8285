//! What a write makes invalid (RFC 9111 §4.4).

use http::{HeaderMap, Method, StatusCode, header};
use smallvec::SmallVec;

use super::authority::TargetUri;
use super::list;
use super::reference::{ClientView, resolve};

/// Whether the method is safe (RFC 9110 §9.2.1, and the registry of methods); an unknown one is not.
pub fn is_safe(method: &Method) -> bool {
    matches!(
        method.as_str(),
        "GET" | "HEAD" | "OPTIONS" | "TRACE" | "QUERY" | "PROPFIND" | "REPORT" | "SEARCH" | "PRI"
    )
}

/// Whether a final response with this status is a "non-error response", so that the answer to an unsafe request
/// invalidates.
pub fn is_non_error(status: StatusCode) -> bool {
    status.is_success() || status.is_redirection()
}

/// Other URIs that a successful write makes invalid: those in Location and Content-Location, where their origin is the
/// target's. Each is read as the client reads it, and as the API may have meant it: a URI of one of its servers, or
/// below its base path, is one of ours.
pub fn related(response: &HeaderMap, view: &ClientView<'_>) -> SmallVec<[TargetUri; 2]> {
    let target = view.target;
    let mut found: SmallVec<[TargetUri; 2]> = SmallVec::new();
    for name in [&header::LOCATION, &header::CONTENT_LOCATION] {
        for value in response.get_all(name) {
            let Ok(reference) = std::str::from_utf8(list::trim(value.as_bytes())) else {
                continue;
            };
            let meant = view.of(reference);
            for reference in [Some(reference), meant.as_deref()].into_iter().flatten() {
                let uri = resolve(target, reference);
                found.extend(uri.filter(|uri| uri != target && !found.contains(uri)));
            }
        }
    }
    found
}

/// Whether Content-Location refers to the target itself: the response then holds the target's new representation
/// (RFC 9110 §8.7), and one to POST may be stored for it (§9.3.3).
pub fn content_location_is_target(target: &TargetUri, response: &HeaderMap) -> bool {
    let mut lines = response.get_all(header::CONTENT_LOCATION).iter();
    let Some(value) = lines.next().filter(|_| lines.next().is_none()) else {
        return false;
    };
    let reference = std::str::from_utf8(list::trim(value.as_bytes())).ok();
    let uri = reference.and_then(|reference| resolve(target, reference));
    uri.as_ref() == Some(target)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::semantics::authority::Scheme;
    use crate::semantics::reference::ApiServer;

    fn target(path_and_query: &str) -> TargetUri {
        TargetUri {
            scheme: Scheme::Http,
            authority: "api.example:8080".into(),
            path_and_query: path_and_query.into(),
        }
    }

    #[test]
    fn methods_are_safe_only_when_known_to_be() {
        for method in [
            "GET", "HEAD", "OPTIONS", "TRACE", "QUERY", "PROPFIND", "REPORT", "SEARCH",
        ] {
            assert!(
                is_safe(&Method::from_bytes(method.as_bytes()).unwrap()),
                "{method}"
            );
        }
        for method in [
            "POST", "PUT", "DELETE", "PATCH", "MKCOL", "FOO", "get", "M-SEARCH", "LOCK",
        ] {
            assert!(
                !is_safe(&Method::from_bytes(method.as_bytes()).unwrap()),
                "{method}"
            );
        }
    }

    #[test]
    fn only_success_and_redirection_invalidate() {
        for (status, expected) in [
            (100, false),
            (200, true),
            (201, true),
            (204, true),
            (299, true),
            (303, true),
            (399, true),
            (400, false),
            (404, false),
            (500, false),
            (599, false),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(is_non_error(status), expected, "{status}");
        }
    }

    #[test]
    fn location_and_content_location_are_related() {
        type Lines = &'static [(&'static str, &'static str)];
        let servers = ["127.0.0.1:5000", "127.0.0.1:6000"].map(|authority| ApiServer {
            scheme: Scheme::Http,
            authority: authority.into(),
            base_path: "/v1".into(),
        });
        let cases: [(Lines, &[&str]); 13] = [
            (&[], &[]),
            (&[("location", "/books/7")], &["/books/7"]),
            (&[("content-location", "books/7")], &["/books/7"]),
            (
                &[("location", "/a"), ("content-location", "/b")],
                &["/a", "/b"],
            ),
            (&[("location", "/a"), ("content-location", "/a")], &["/a"]),
            (&[("location", "/books")], &[]),
            (
                &[("location", "http://127.0.0.1:5000/books/7")],
                &["/books/7"],
            ),
            (&[("location", "http://127.0.0.1:5001/books/7")], &[]),
            // Below the base path, the URI is that of the API; as it stands, the client could ask for it, too.
            (&[("location", "/v1/books/7")], &["/v1/books/7", "/books/7"]),
            (
                &[("content-location", "http://127.0.0.1:6000/v1/books/7#a")],
                &["/books/7"],
            ),
            (&[("location", "//127.0.0.1:5000/v1?a")], &["/?a"]),
            (&[("location", "/v1/books")], &["/v1/books"]),
            (
                &[("location", "http://api.example:8080/v1/a")],
                &["/v1/a", "/a"],
            ),
        ];
        for (lines, expected) in cases {
            let mut response = HeaderMap::new();
            for (name, value) in lines {
                response.append(*name, value.parse().unwrap());
            }
            let view = ClientView {
                target: &target("/books"),
                base_path: "/v1",
                servers: &servers,
            };
            let found = related(&response, &view);
            let expected: Vec<_> = expected.iter().map(|path| target(path)).collect();
            assert_eq!(found.as_slice(), expected, "{lines:?}");
        }
    }

    #[test]
    fn content_location_may_be_the_target() {
        let base = target("/books/7?x");
        for (value, expected) in [
            ("/books/7?x", true),
            ("7?x", true),
            ("?x", true),
            ("http://api.example:8080/books/7?x", true),
            ("/books/7", false),
            ("http://other/books/7?x", false),
        ] {
            let mut response = HeaderMap::new();
            response.insert(header::CONTENT_LOCATION, value.parse().unwrap());
            assert_eq!(
                content_location_is_target(&base, &response),
                expected,
                "{value}"
            );
        }
        assert!(!content_location_is_target(&base, &HeaderMap::new()));
    }
}
