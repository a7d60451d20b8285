//! Whether the response to a POST is a representation of its target (RFC 9110 §9.3.3).

use http::{HeaderMap, StatusCode, header};

use super::authority::TargetUri;
use super::list;
use super::reference::resolve;

/// Whether the response to a POST is also the response to a GET of `target`: a 200 with the target as Content-Location (RFC
/// 9110 §8.7). Where it has explicit freshness as well, it may be stored for a later GET.
pub fn answers_get(target: &TargetUri, status: StatusCode, response: &HeaderMap) -> bool {
    status == StatusCode::OK && content_location_is_target(target, response)
}

/// Whether Content-Location, once, refers to the target itself.
fn content_location_is_target(target: &TargetUri, response: &HeaderMap) -> bool {
    let reference = list::only_line(response, &header::CONTENT_LOCATION);
    let reference = reference.and_then(|value| std::str::from_utf8(value).ok());
    let uri = reference.and_then(|reference| resolve(target, reference));
    uri.as_ref() == Some(target)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::semantics::authority::Scheme;

    fn target(path_and_query: &str) -> TargetUri {
        TargetUri {
            scheme: Scheme::Http,
            authority: "api.example:8080".into(),
            path_and_query: path_and_query.into(),
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

    #[test]
    fn only_a_200_with_one_content_location_is_what_a_get_would_bring() {
        let base = target("/books/7");
        let mut response = HeaderMap::new();
        response.insert(header::CONTENT_LOCATION, "/books/7".parse().unwrap());
        for (status, expected) in [
            (200, true),
            (201, false),
            (203, false),
            (303, false),
            (404, false),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(answers_get(&base, status, &response), expected, "{status}");
        }
        response.append(header::CONTENT_LOCATION, "/books/7".parse().unwrap());
        assert!(!answers_get(&base, StatusCode::OK, &response));
    }
}
