use super::Precondition::{Failed, NotModified, Proceed};
use super::*;

const EARLIER: &str = "Tue, 15 Nov 1994 12:00:00 GMT";
const MODIFIED: &str = "Tue, 15 Nov 1994 12:45:26 GMT";
const LATER: &str = "Tue, 15 Nov 1994 13:00:00 GMT";
const DATE: &str = "Wed, 16 Nov 1994 12:45:26 GMT";
const AFTER_DATE: &str = "Thu, 17 Nov 1994 12:45:26 GMT";

fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(*name, value.parse().unwrap());
    }
    headers
}

type Lines = &'static [(&'static str, &'static str)];

const STORED: Lines = &[
    ("etag", r#""a""#),
    ("last-modified", MODIFIED),
    ("date", DATE),
];

fn ask(method: &str, request: Lines, status: u16, stored: Lines) -> [Precondition; 2] {
    let validators = Validators::of(&headers(stored));
    let selected = Selected {
        status: StatusCode::from_u16(status).unwrap(),
        validators: &validators,
        received: Timestamp::parse_http_date(DATE.as_bytes()).unwrap(),
    };
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    let request = headers(request);
    if let Some(tag) = headers(stored).get(header::ETAG)
        && names_just(&method, &request, selected.status, tag.as_bytes())
    {
        assert_eq!(evaluate(&method, &request, &selected), NotModified);
    }
    [
        evaluate(&method, &request, &selected),
        evaluate_for_origin(&method, &request, &selected),
    ]
}

#[test]
fn if_none_match_is_compared_weakly() {
    let cases: [(Lines, Precondition); 9] = [
        (&[], Proceed),
        (&[("if-none-match", r#""a""#)], NotModified),
        (&[("if-none-match", r#"W/"a""#)], NotModified),
        (&[("if-none-match", r#""x", W/"a" , "y""#)], NotModified),
        (
            &[("if-none-match", r#""x""#), ("if-none-match", r#""a""#)],
            NotModified,
        ),
        (&[("if-none-match", "*")], NotModified),
        (&[("if-none-match", r#""b""#)], Proceed),
        (&[("if-none-match", "")], Proceed),
        (&[("if-none-match", "a")], NotModified),
    ];
    for (request, expected) in cases {
        assert_eq!(
            ask("GET", request, 200, STORED),
            [expected; 2],
            "{request:?}"
        );
        assert_eq!(
            ask("HEAD", request, 200, STORED),
            [expected; 2],
            "{request:?}"
        );
    }
    let unquoted: Lines = &[("etag", "book-123")];
    let request: Lines = &[("if-none-match", "book-123")];
    assert_eq!(ask("GET", request, 200, unquoted)[0], NotModified);
}

#[test]
fn if_modified_since_compares_with_the_stored_last_modified() {
    let cases: [(Lines, Precondition); 8] = [
        (&[("if-modified-since", EARLIER)], Proceed),
        (&[("if-modified-since", MODIFIED)], NotModified),
        (&[("if-modified-since", LATER)], NotModified),
        (
            &[("if-modified-since", "Tuesday, 15-Nov-94 12:45:26 GMT")],
            NotModified,
        ),
        (
            &[("if-modified-since", "Tue Nov 15 12:45:26 1994")],
            NotModified,
        ),
        (&[("if-modified-since", "yesterday")], Proceed),
        (&[("if-modified-since", "0")], Proceed),
        (
            &[("if-modified-since", LATER), ("if-modified-since", LATER)],
            Proceed,
        ),
    ];
    for (request, expected) in cases {
        assert_eq!(
            ask("GET", request, 200, STORED),
            [expected; 2],
            "{request:?}"
        );
    }
    let request: Lines = &[("if-modified-since", LATER)];
    for method in ["POST", "PUT", "QUERY"] {
        assert_eq!(ask(method, request, 200, STORED)[0], Proceed, "{method}");
    }
}

#[test]
fn if_modified_since_falls_back_on_date_and_then_on_receipt() {
    let dated: Lines = &[("date", DATE)];
    let cases: [(Lines, &str, Precondition); 4] = [
        (dated, AFTER_DATE, NotModified),
        (dated, DATE, NotModified),
        (dated, LATER, Proceed),
        (&[], AFTER_DATE, NotModified),
    ];
    for (stored, since, expected) in cases {
        let validators = Validators::of(&headers(stored));
        let selected = Selected {
            status: StatusCode::OK,
            validators: &validators,
            received: Timestamp::parse_http_date(DATE.as_bytes()).unwrap(),
        };
        let request = headers(&[("if-modified-since", since)]);
        let found = evaluate(&Method::GET, &request, &selected);
        assert_eq!(found, expected, "{stored:?} {since}");
    }
}

#[test]
fn if_none_match_takes_precedence_over_if_modified_since() {
    let cases: [(Lines, Precondition); 2] = [
        (
            &[("if-none-match", r#""b""#), ("if-modified-since", LATER)],
            Proceed,
        ),
        (
            &[("if-none-match", r#""a""#), ("if-modified-since", EARLIER)],
            NotModified,
        ),
    ];
    for (request, expected) in cases {
        assert_eq!(ask("GET", request, 200, STORED)[0], expected, "{request:?}");
    }
}

#[test]
fn preconditions_matter_only_for_success_and_for_methods_that_select() {
    let request: Lines = &[("if-none-match", "*"), ("if-match", r#""b""#)];
    for status in [301, 304, 404, 410, 500] {
        assert_eq!(
            ask("GET", request, status, STORED),
            [Proceed; 2],
            "{status}"
        );
    }
    for method in ["OPTIONS", "TRACE", "CONNECT"] {
        assert_eq!(ask(method, request, 200, STORED), [Proceed; 2], "{method}");
    }
    let request: Lines = &[("if-none-match", r#""a""#)];
    assert_eq!(ask("QUERY", request, 200, STORED)[0], NotModified);
    assert_eq!(ask("PUT", request, 200, STORED), [Proceed, Failed]);
}

#[test]
fn if_match_and_if_unmodified_since_are_not_the_caches() {
    let cases: [(Lines, Precondition); 9] = [
        (&[("if-match", r#""b""#)], Failed),
        (&[("if-match", r#""a""#)], Proceed),
        (&[("if-match", r#"W/"a""#)], Failed),
        (&[("if-match", "*")], Proceed),
        (&[("if-unmodified-since", EARLIER)], Failed),
        (&[("if-unmodified-since", MODIFIED)], Proceed),
        (&[("if-unmodified-since", "soon")], Proceed),
        (
            &[("if-match", r#""a""#), ("if-unmodified-since", EARLIER)],
            Proceed,
        ),
        (
            &[("if-match", r#""b""#), ("if-none-match", r#""a""#)],
            Failed,
        ),
    ];
    for (request, as_origin) in cases {
        assert_eq!(
            ask("GET", request, 200, STORED)[1],
            as_origin,
            "{request:?}"
        );
        assert!(origin_must_decide(&headers(request)), "{request:?}");
    }
    for (name, expected) in [
        ("if-none-match", true),
        ("if-modified-since", true),
        ("if-match", false),
    ] {
        assert_eq!(is_conditional(&headers(&[(name, "*")])), expected, "{name}");
    }
    let request: Lines = &[("if-match", r#""b""#)];
    assert_eq!(ask("GET", request, 200, STORED)[0], Proceed);
    let undated: Lines = &[("etag", r#""a""#)];
    let request: Lines = &[("if-unmodified-since", EARLIER)];
    assert_eq!(ask("GET", request, 200, undated)[1], Proceed);
    assert!(!origin_must_decide(&headers(&[("if-none-match", "*")])));
}

#[test]
fn a_304_carries_what_guides_caches_and_no_metadata_of_content() {
    let selected = headers(&[
        ("date", DATE),
        ("etag", r#""a""#),
        ("vary", "accept"),
        ("cache-control", "max-age=1"),
        ("expires", "0"),
        ("content-location", "/a"),
        ("content-type", "text/plain"),
        ("content-length", "3"),
        ("content-encoding", "gzip"),
        ("content-language", "en"),
        ("last-modified", MODIFIED),
        ("access-control-allow-origin", "*"),
        ("link", "</a>; rel=up"),
        ("link", "</b>; rel=next"),
    ]);
    let mut expected = selected.clone();
    for gone in [
        "content-type",
        "content-length",
        "content-encoding",
        "content-language",
        "last-modified",
    ] {
        expected.remove(gone);
    }
    assert_eq!(not_modified_fields(&selected), expected);

    let without_tag = headers(&[("last-modified", MODIFIED), ("content-length", "3")]);
    let expected = headers(&[("last-modified", MODIFIED)]);
    assert_eq!(not_modified_fields(&without_tag), expected);
}

#[test]
fn a_list_of_the_one_tag_is_seen_at_once() {
    let cases: [(&str, Lines, u16, &str, bool); 9] = [
        ("GET", &[("if-none-match", r#""a""#)], 200, r#""a""#, true),
        (
            "HEAD",
            &[("if-none-match", r#"W/"a""#)],
            200,
            r#"W/"a""#,
            true,
        ),
        (
            "GET",
            &[("if-none-match", r#""a,b""#)],
            200,
            r#""a,b""#,
            true,
        ),
        ("GET", &[("if-none-match", r#""a""#)], 404, r#""a""#, false),
        ("PUT", &[("if-none-match", r#""a""#)], 200, r#""a""#, false),
        ("GET", &[("if-none-match", "*")], 200, "*", false),
        ("GET", &[("if-none-match", "a,b")], 200, "a,b", false),
        (
            "GET",
            &[("if-none-match", r#""a""#), ("if-none-match", r#""b""#)],
            200,
            r#""a""#,
            false,
        ),
        ("GET", &[("if-modified-since", DATE)], 200, r#""a""#, false),
    ];
    for (method, request, status, tag, seen) in cases {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let status = StatusCode::from_u16(status).unwrap();
        let just = names_just(&method, &headers(request), status, tag.as_bytes());
        assert_eq!(just, seen, "{method} {request:?} {status} {tag}");
        let validators = Validators::of(&headers(&[("etag", tag)]));
        let selected = Selected {
            status,
            validators: &validators,
            received: Timestamp::from_secs(0),
        };
        let whole = evaluate(&method, &headers(request), &selected);
        assert!(!just || whole == NotModified);
    }
}
