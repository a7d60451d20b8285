//! The properties that the definition of a method gives it (RFC 9110 §9.2).

use http::{HeaderValue, Method};

/// The methods that are forwarded, for Allow.
pub const ALLOWED: HeaderValue =
    HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS, TRACE, QUERY");

/// Whether the method is safe (RFC 9110 §9.2.1, and the registry of methods); an unknown one is not.
pub fn is_safe(method: &Method) -> bool {
    matches!(
        method.as_str(),
        "GET" | "HEAD" | "OPTIONS" | "TRACE" | "QUERY" | "PROPFIND" | "REPORT" | "SEARCH" | "PRI"
    )
}

/// Whether a second sending of the method does no more than the first: a safe one, PUT and DELETE (RFC 9110 §9.2.2). An
/// unknown one may do more.
pub fn is_idempotent(method: &Method) -> bool {
    is_safe(method) || matches!(*method, Method::PUT | Method::DELETE)
}

/// Whether a stored response may answer the method. The QUERY draft answers a conditional QUERY as HTTP does a GET.
pub fn is_retrieval(method: &Method) -> bool {
    matches!(method.as_str(), "GET" | "HEAD" | "QUERY")
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn methods_are_idempotent_only_when_known_to_be() {
        for (method, expected) in [
            ("GET", true),
            ("HEAD", true),
            ("OPTIONS", true),
            ("TRACE", true),
            ("PUT", true),
            ("DELETE", true),
            ("QUERY", true),
            ("PROPFIND", true),
            ("POST", false),
            ("PATCH", false),
            ("MKCOL", false),
            ("FOO", false),
            ("put", false),
        ] {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            assert_eq!(is_idempotent(&method), expected, "{method}");
        }
    }
}
