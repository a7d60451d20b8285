//! The book API's responses: resources, caching fields and conditional requests. No I/O: a request's parts and
//! content in, a response out.

use bytes::Bytes;
use http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderName, IF_MATCH, IF_NONE_MATCH, LOCATION,
};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, request};
use serde_json::{Value, json};

use super::library::{Library, Refusal};
use super::lines::{Content, Lines};
use crate::semantics::etag::{Comparison, EntityTag, list_names};

/// How long an answer of this API may be reused.
const REUSABLE: HeaderValue = HeaderValue::from_static("public, max-age=60");
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// The resource that a path names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    Books,
    Stream,
    Book(u64),
    Reviews(u64),
    /// The reviews without their last slash: a redirect to [`Target::Reviews`].
    ReviewsUnslashed,
    Review(u64, u64),
    Unknown,
}

impl Target {
    fn of(path: &str) -> Self {
        let id = |segment: &str| segment.parse::<u64>().ok();
        let segments: Vec<_> = path.split('/').skip(1).collect();
        match segments[..] {
            ["books"] => Some(Self::Books),
            ["books", "stream"] => Some(Self::Stream),
            ["books", book] => id(book).map(Self::Book),
            ["books", book, "reviews"] => id(book).map(|_| Self::ReviewsUnslashed),
            ["books", book, "reviews", ""] => id(book).map(Self::Reviews),
            ["books", book, "reviews", review] => id(book)
                .zip(id(review))
                .map(|(book, review)| Self::Review(book, review)),
            _ => None,
        }
        .unwrap_or(Self::Unknown)
    }
}

/// Answers one request. With `no_store`, every response has `Cache-Control: no-store` and no ETag.
pub(super) fn answer(
    library: &mut Library,
    request: &request::Parts,
    content: &Bytes,
    no_store: bool,
) -> Response<Content> {
    let mut response = dispatch(library, request, content).unwrap_or_else(refused);
    if no_store {
        let fields = response.headers_mut();
        fields.insert(CACHE_CONTROL, NO_STORE);
        fields.remove(ETAG);
    }
    response
}

/// Why a request gets an error.
enum Rejection {
    Library(Refusal),
    NotFound,
    /// The methods that the target allows.
    MethodNotAllowed(&'static str),
    NotJson,
    PreconditionFailed,
}

impl From<Refusal> for Rejection {
    fn from(refusal: Refusal) -> Self {
        Self::Library(refusal)
    }
}

/// Performs the request's method on its target.
fn dispatch(
    library: &mut Library,
    request: &request::Parts,
    content: &Bytes,
) -> Result<Response<Content>, Rejection> {
    let target = Target::of(request.uri.path());
    let method = match request.method {
        Method::HEAD => &Method::GET,
        ref method => method,
    };
    let conditions = &request.headers;
    match (method, target) {
        (&Method::GET, Target::Books) => Ok(selected(library.list(), conditions)),
        (&Method::GET, Target::Book(id)) => Ok(selected(library.book(id)?, conditions)),
        (&Method::GET, Target::Reviews(book)) => Ok(selected(library.reviews(book)?, conditions)),
        (&Method::GET, Target::Review(book, review)) => {
            Ok(selected(library.review(book, review)?, conditions))
        }
        (&Method::GET, Target::ReviewsUnslashed) => Ok(redirect(request)),
        (&Method::GET, Target::Stream) => {
            let response = Response::new(Content::Lines(Lines::new(library.lines())));
            let kind = HeaderValue::from_static("application/x-ndjson");
            let response = with(response, CONTENT_TYPE, kind);
            Ok(with(response, CACHE_CONTROL, REUSABLE))
        }
        (&Method::POST, Target::Books) => {
            let (id, json) = library.add_book(&parse(content)?)?;
            Ok(created(&format!("/books/{id}"), json))
        }
        (&Method::POST, Target::Reviews(book)) => {
            let (id, json) = library.add_review(book, &parse(content)?)?;
            Ok(created(&format!("/books/{book}/reviews/{id}"), json))
        }
        (&Method::PUT, Target::Book(id)) => {
            unchanged(&library.book(id)?, conditions)?;
            let json = library.replace_book(id, &parse(content)?)?;
            let tag = entity_tag(&json);
            Ok(with(reply(StatusCode::OK, json), ETAG, tag))
        }
        (&Method::DELETE, Target::Book(id)) => {
            unchanged(&library.book(id)?, conditions)?;
            library.remove_book(id)?;
            Ok(empty(StatusCode::NO_CONTENT))
        }
        (_, Target::Unknown) => Err(Rejection::NotFound),
        (_, Target::Books | Target::Reviews(_)) => {
            Err(Rejection::MethodNotAllowed("GET, HEAD, POST"))
        }
        (_, Target::Book(_)) => Err(Rejection::MethodNotAllowed("GET, HEAD, PUT, DELETE")),
        _ => Err(Rejection::MethodNotAllowed("GET, HEAD")),
    }
}

fn parse(content: &Bytes) -> Result<Value, Rejection> {
    serde_json::from_slice(content).map_err(|_| Rejection::NotJson)
}

/// A strong entity tag that changes with every octet of the representation.
fn entity_tag(json: &str) -> HeaderValue {
    let digest = blake3::hash(json.as_bytes()).to_hex();
    let quoted = format!("\"{}\"", &digest[..16]);
    HeaderValue::from_str(&quoted).expect("hexadecimal digits in quotes are a field value")
}

/// RFC 9110 §13.1.1: a write whose `If-Match` does not name the current representation is not carried out.
fn unchanged(json: &str, conditions: &HeaderMap) -> Result<(), Rejection> {
    let tag = EntityTag::new(entity_tag(json));
    match list_names(conditions, &IF_MATCH, tag.as_ref(), Comparison::Strong) {
        Some(false) => Err(Rejection::PreconditionFailed),
        _ => Ok(()),
    }
}

/// The representation, or 304 when the client has it already (RFC 9110 §13.1.2).
fn selected(json: String, conditions: &HeaderMap) -> Response<Content> {
    let value = entity_tag(&json);
    let tag = EntityTag::new(value.clone());
    let known = list_names(conditions, &IF_NONE_MATCH, tag.as_ref(), Comparison::Weak);
    let response = match known {
        Some(true) => empty(StatusCode::NOT_MODIFIED),
        _ => reply(StatusCode::OK, json),
    };
    with(with(response, CACHE_CONTROL, REUSABLE), ETAG, value)
}

fn redirect(request: &request::Parts) -> Response<Content> {
    let query = request.uri.query().map(|query| format!("?{query}"));
    let location = format!("{}/{}", request.uri.path(), query.unwrap_or_default());
    let response = located(empty(StatusCode::PERMANENT_REDIRECT), &location);
    with(response, CACHE_CONTROL, REUSABLE)
}

fn created(location: &str, json: String) -> Response<Content> {
    located(reply(StatusCode::CREATED, json), location)
}

fn located(response: Response<Content>, location: &str) -> Response<Content> {
    match HeaderValue::from_str(location) {
        Ok(location) => with(response, LOCATION, location),
        // A path may hold octets beyond ASCII.
        Err(_) => problem(StatusCode::BAD_REQUEST, "The path cannot be redirected"),
    }
}

fn refused(rejection: Rejection) -> Response<Content> {
    let (status, error) = match rejection {
        Rejection::Library(Refusal::BookNotFound) => (StatusCode::NOT_FOUND, "Book not found"),
        Rejection::Library(Refusal::ReviewNotFound) => (StatusCode::NOT_FOUND, "Review not found"),
        Rejection::Library(Refusal::Unprocessable(why)) => (StatusCode::UNPROCESSABLE_ENTITY, why),
        Rejection::Library(Refusal::Full) => (
            StatusCode::INSUFFICIENT_STORAGE,
            "The shelves are full: delete a book first",
        ),
        Rejection::NotFound => (StatusCode::NOT_FOUND, "Not found"),
        Rejection::MethodNotAllowed(allowed) => {
            let response = problem(StatusCode::METHOD_NOT_ALLOWED, "Method not allowed");
            return with(response, ALLOW, HeaderValue::from_static(allowed));
        }
        Rejection::NotJson => (StatusCode::BAD_REQUEST, "The content is not JSON"),
        Rejection::PreconditionFailed => (
            StatusCode::PRECONDITION_FAILED,
            "The book has changed since",
        ),
    };
    problem(status, error)
}

/// `{"error": …}` with `no-store`.
pub(super) fn problem(status: StatusCode, error: &str) -> Response<Content> {
    let response = reply(status, json!({ "error": error }).to_string());
    with(response, CACHE_CONTROL, NO_STORE)
}

fn reply(status: StatusCode, json: String) -> Response<Content> {
    let mut response = Response::new(Content::whole(json));
    *response.status_mut() = status;
    with(
        response,
        CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    )
}

fn empty(status: StatusCode) -> Response<Content> {
    let mut response = Response::new(Content::empty());
    *response.status_mut() = status;
    response
}

fn with(
    mut response: Response<Content>,
    name: HeaderName,
    value: HeaderValue,
) -> Response<Content> {
    response.headers_mut().insert(name, value);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(
        library: &mut Library,
        method: &str,
        target: &str,
        fields: &[(&'static str, &str)],
        content: &'static str,
    ) -> Response<Content> {
        let mut request = http::Request::builder().method(method).uri(target);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let (parts, ()) = request
            .body(())
            .expect("the test's own request")
            .into_parts();
        answer(
            library,
            &parts,
            &Bytes::from_static(content.as_bytes()),
            false,
        )
    }

    #[test]
    fn each_request_gets_its_status() {
        let book = r#"{"title": "t", "author": "a"}"#;
        let review = r#"{"rating": 4, "comment": "c"}"#;
        #[rustfmt::skip]
        let table = [
            ("GET", "/books", "", 200),
            ("GET", "/books/stream", "", 200),
            ("GET", "/books/123", "", 200),
            ("HEAD", "/books/123", "", 200),
            ("GET", "/books/999", "", 404),
            ("GET", "/books/abc", "", 404),
            ("GET", "/books/-1", "", 404),
            ("GET", "/books/", "", 404),
            ("GET", "/", "", 404),
            ("PUT", "/nothing", "", 404),
            ("GET", "/books/123/reviews", "", 308),
            ("GET", "/books/123/reviews/", "", 200),
            ("GET", "/books/999/reviews/", "", 404),
            ("GET", "/books/123/reviews/789", "", 200),
            ("GET", "/books/123/reviews/1", "", 404),
            ("POST", "/books", book, 201),
            ("POST", "/books", "{", 400),
            ("POST", "/books", "{}", 422),
            ("POST", "/books/123", book, 405),
            ("POST", "/books/123/reviews/", review, 201),
            ("POST", "/books/999/reviews/", review, 404),
            ("POST", "/books/123/reviews/", book, 422),
            ("PUT", "/books/123", book, 200),
            ("PUT", "/books/999", book, 404),
            ("PUT", "/books/123", "nonsense", 400),
            ("PUT", "/books/123", "[]", 422),
            ("PATCH", "/books/123", "", 405),
            ("DELETE", "/books/456", "", 204),
            ("DELETE", "/books/456", "", 404),
        ];
        let mut library = Library::new();
        for (method, target, content, status) in table {
            let response = ask(&mut library, method, target, &[], content);
            assert_eq!(response.status(), status, "{method} {target} {content}");
        }
    }

    #[test]
    fn the_entity_tag_follows_the_content_and_answers_conditions() {
        let mut library = Library::new();
        let first = ask(&mut library, "GET", "/books/123", &[], "");
        let tag = first.headers()[ETAG]
            .to_str()
            .expect("visible ASCII")
            .to_owned();
        assert!(tag.starts_with('"') && tag.ends_with('"'), "{tag}");
        let weak = format!("W/{tag}");
        let list = format!("\"other\", {tag}");
        for (known, status) in [
            (tag.as_str(), 304),
            (weak.as_str(), 304),
            (list.as_str(), 304),
            ("*", 304),
            ("\"other\"", 200),
        ] {
            let fields = [("if-none-match", known)];
            let response = ask(&mut library, "GET", "/books/123", &fields, "");
            assert_eq!(response.status(), status, "{known}");
            assert_eq!(response.headers()[ETAG], tag.as_str());
        }

        let (if_match, book) = ([("if-match", &*tag)], r#"{"title":"t","author":"a"}"#);
        let put = ask(&mut library, "PUT", "/books/123", &if_match, book);
        assert_eq!(put.status(), 200);
        assert_ne!(put.headers()[ETAG], tag.as_str());
        let lost = ask(&mut library, "PUT", "/books/123", &if_match, book);
        assert_eq!(lost.status(), 412);
    }

    #[test]
    fn the_redirect_keeps_the_query() {
        let response = ask(
            &mut Library::new(),
            "GET",
            "/books/123/reviews?a=b",
            &[],
            "",
        );
        assert_eq!(response.headers()[LOCATION], "/books/123/reviews/?a=b");
    }

    #[test]
    fn errors_are_never_to_be_stored() {
        let response = ask(&mut Library::new(), "GET", "/books/999", &[], "");
        assert_eq!(response.headers()[CACHE_CONTROL], NO_STORE);
    }

    #[test]
    fn an_api_told_so_says_no_store_everywhere() {
        for target in [
            "/books",
            "/books/stream",
            "/books/123",
            "/books/123/reviews",
        ] {
            let (parts, ()) = http::Request::get(target)
                .body(())
                .expect("the test's own request")
                .into_parts();
            let response = answer(&mut Library::new(), &parts, &Bytes::new(), true);
            assert_eq!(response.headers()[CACHE_CONTROL], NO_STORE, "{target}");
            assert!(!response.headers().contains_key(ETAG), "{target}");
        }
    }
}
