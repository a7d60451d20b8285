//! Invalidation by writes (RFC 9111 §4.4).

use http::{HeaderMap, StatusCode, header};
use smallvec::SmallVec;

use super::authority::TargetUri;
use super::list;
use super::reference::{ClientView, resolve};

/// Whether a final response with this status is a "non-error response", so that the answer to an unsafe request
/// invalidates.
pub fn is_non_error(status: StatusCode) -> bool {
    status.is_success() || status.is_redirection()
}

/// Other URIs that a successful write makes invalid: those in Location and Content-Location, where their origin is the
/// target's. Each is read as the client reads it, and as the API may have meant it: a URI of one of its servers, or
/// below its base path, is one of the gateway.
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

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;
    use crate::semantics::authority::Scheme;
    use crate::semantics::reference::{ApiServer, ClientPaths};

    /// Clients know each path as the API does.
    struct Unchanged;

    impl ClientPaths for Unchanged {
        fn are_rewritten(&self, _: usize) -> bool {
            false
        }

        fn known_as<'p>(&self, _: usize, path: &'p str) -> Option<Cow<'p, str>> {
            Some(Cow::Borrowed(path))
        }
    }

    fn target(path_and_query: &str) -> TargetUri {
        TargetUri {
            scheme: Scheme::Http,
            authority: "api.example:8080".into(),
            path_and_query: path_and_query.into(),
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
            api: 0,
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
                api: 0,
                api_target: "/books",
                paths: &Unchanged,
                base_path: "/v1",
                servers: &servers,
            };
            let found = related(&response, &view);
            let expected: Vec<_> = expected.iter().map(|path| target(path)).collect();
            assert_eq!(found.as_slice(), expected, "{lines:?}");
        }
    }
}
