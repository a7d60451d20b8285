//! A client's preconditions meet what is stored (RFC 9110 §13, RFC 9111 §4.3.2), one origin's answer at a time.

use std::time::Duration;

use crate::common::{Answer, Gateway, Origin, Reply, Request, get, head, http_date, reply};

const EARLIER: i64 = -7200;
const MODIFIED: i64 = -3600;

fn tagged(tag: &str) -> Reply {
    reply(200)
        .field("ETag", tag)
        .field("Cache-Control", "max-age=60")
        .field("Content-Type", "text/plain")
        .body("a book")
}

fn warmed(answer: Reply) -> (Origin, Gateway) {
    let origin = Origin::answering(answer);
    let gateway = Gateway::before(&origin).start();
    gateway.get("/books").expect(200);
    (origin, gateway)
}

#[test]
fn if_none_match_is_answered_from_the_store() {
    // (stored tag, If-None-Match lines, whether it is a 304)
    let cases: [(&str, &[&str], bool); 13] = [
        ("\"a\"", &["\"a\""], true),
        ("\"a\"", &["W/\"a\""], true),
        ("W/\"a\"", &["\"a\""], true),
        ("\"a\"", &["\"b\""], false),
        ("\"a\"", &["\"b\", \"c\", \"a\""], true),
        ("\"a\"", &["\"a\", \"b\""], true),
        ("\"a\"", &["\"b\",,W/\"a\" ,"], true),
        ("\"a\"", &["\"b\"", "\"a\""], true),
        ("\"a,b\"", &["\"x\", \"a,b\""], true),
        ("\"a,b\"", &["\"a\", \"b\""], false),
        ("\"a\"", &["*"], true),
        ("book-123", &["book-123"], true),
        ("book-123", &["book-124"], false),
    ];
    for (tag, lines, expected) in cases {
        let (origin, gateway) = warmed(tagged(tag));
        for make in [get, head] {
            let request = lines.iter().fold(make("/books"), |request, line| {
                request.field("If-None-Match", line)
            });
            let answer = gateway.send(&request);
            assert_eq!(
                answer.status == 304,
                expected,
                "{tag} {lines:?} {}",
                answer.status
            );
            assert!(answer.is_hit());
            assert_eq!(answer.field("etag"), Some(tag));
            if expected {
                not_modified(&answer);
            }
        }
        assert_eq!(origin.count(), 1);
    }
}

fn not_modified(answer: &Answer) {
    assert!(answer.body.is_empty());
    for kept in ["date", "cache-control", "etag", "age"] {
        assert!(answer.field(kept).is_some(), "{kept}");
    }
    for left_out in ["content-type", "content-length"] {
        assert_eq!(answer.field(left_out), None, "{left_out}");
    }
}

#[test]
fn if_modified_since_is_answered_from_the_store() {
    let dated = reply(200)
        .date_field("Last-Modified", MODIFIED)
        .field("Cache-Control", "max-age=60")
        .body("a book");
    let (origin, gateway) = warmed(dated);
    let since = |value: String| get("/books").field("If-Modified-Since", value);
    let cases = [
        (since(http_date(MODIFIED + 60)), 304),
        (since(http_date(60)), 304),
        (since(http_date(EARLIER)), 200),
        (since("yesterday".to_owned()), 200),
        (since("0".to_owned()), 200),
        (
            since(http_date(60)).field("If-Modified-Since", http_date(60)),
            200,
        ),
        (since(http_date(60)).field("If-None-Match", "\"a\""), 200),
    ];
    for (request, expected) in cases {
        let answer = gateway.send(&request).expect(expected);
        assert!(answer.is_hit(), "{request:?}");
    }
    assert_eq!(origin.count(), 1);
}

#[test]
fn if_modified_since_is_compared_with_date_where_there_is_nothing_better() {
    let (_origin, gateway) = warmed(tagged("\"a\""));
    let since = |seconds| get("/books").field("If-Modified-Since", http_date(seconds));
    gateway.send(&since(60)).expect(304);
    gateway.send(&since(EARLIER)).expect(200);
}

#[test]
fn if_match_and_if_unmodified_since_are_the_origins_to_evaluate() {
    let origin = Origin::start(|request, conn| {
        let answer =
            match request.fields.has("if-match") || request.fields.has("if-unmodified-since") {
                true => reply(412),
                false => tagged("\"a\""),
            };
        conn.reply(request, &answer);
    });
    let gateway = Gateway::before(&origin).start();
    gateway.get("/books").expect(200);
    for (name, value) in [
        ("If-Match", "\"b\"".to_owned()),
        ("If-Unmodified-Since", http_date(EARLIER)),
    ] {
        let answer = gateway.send(&get("/books").field(name, &value)).expect(412);
        assert!(!answer.is_hit(), "{name}");
        assert_eq!(origin.last().fields.get(name), Some(value.as_str()));
    }
    assert!(gateway.get("/books").expect(200).is_hit());
}

#[test]
fn an_error_that_is_stored_is_never_a_304() {
    let gone = reply(404)
        .field("ETag", "\"a\"")
        .field("Cache-Control", "max-age=60")
        .body("no book");
    let origin = Origin::answering(gone);
    let gateway = Gateway::before(&origin).start();
    gateway.get("/books").expect(404);
    let answer = gateway
        .send(&get("/books").field("If-None-Match", "\"a\""))
        .expect(404);
    assert!(answer.is_hit());
    assert_eq!(answer.text(), "no book");
}

#[test]
fn conditions_of_a_miss_meet_the_response_that_was_fetched() {
    for (tag, expected) in [("\"a\"", 304), ("\"b\"", 200)] {
        let origin = Origin::answering(tagged("\"a\""));
        let gateway = Gateway::before(&origin).start();
        let answer = gateway
            .send(&get("/books").field("If-None-Match", tag))
            .expect(expected);
        assert!(answer.fwd("uri-miss"), "{}", answer.cache_status());
        assert!(!origin.last().fields.has("if-none-match"));
        assert!(gateway.get("/books").expect(200).is_hit());
    }
}

#[test]
fn a_304_for_us_is_a_200_for_a_client_with_another_tag() {
    let origin = validating();
    let gateway = Gateway::before(&origin).manual_clock().start();
    gateway.get("/books").expect(200);
    for (tag, expected) in [("\"old\"", 200), ("\"a\"", 304)] {
        gateway.advance(Duration::from_secs(61));
        let answer = gateway
            .send(&get("/books").field("If-None-Match", tag))
            .expect(expected);
        assert_eq!(
            answer.number("fwd-status"),
            Some(304),
            "{}",
            answer.cache_status()
        );
        assert_eq!(origin.last().fields.get("if-none-match"), Some("\"a\""));
        let text = if expected == 200 { "a book" } else { "" };
        assert_eq!(answer.text(), text);
    }
}

/// An origin whose book never changes.
fn validating() -> Origin {
    Origin::start(|request: &Request, conn| {
        let answer = match request.fields.get("if-none-match") {
            Some("\"a\"") => reply(304)
                .field("ETag", "\"a\"")
                .field("Cache-Control", "max-age=60")
                .field("X-Validated", "yes"),
            _ => tagged("\"a\"")
                .field("X-Validated", "no")
                .field("X-Kept", "yes"),
        };
        conn.reply(request, &answer);
    })
}

#[test]
fn a_304_updates_what_it_carries_and_keeps_the_rest() {
    let origin = validating();
    let gateway = Gateway::before(&origin).manual_clock().start();
    gateway.get("/books").expect(200);
    gateway.advance(Duration::from_secs(61));
    for _ in 0..2 {
        let answer = gateway.get("/books").expect(200);
        assert_eq!(answer.text(), "a book");
        assert_eq!(answer.field("x-validated"), Some("yes"));
        assert_eq!(answer.field("x-kept"), Some("yes"));
        assert_eq!(answer.field("content-length"), Some("6"));
    }
    assert_eq!(origin.count(), 2);
}
