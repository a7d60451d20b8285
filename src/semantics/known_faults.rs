//! Faults that other caches are known for, as tests: none of them may be ours.

use http::{HeaderMap, Method, StatusCode, header};

use super::partial::Partial;
use super::policy::VaryPolicy;
use super::preconditions::{Precondition, Selected, evaluate};
use super::range::{RangeSelection, RangeSpec, select};
use super::time::Timestamp;
use super::validation::{Candidate, Validators, freshen, named_by_304};
use super::vary::{VariantKey, Vary};

fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(*name, value.parse().unwrap());
    }
    headers
}

#[test]
fn a_304_adds_fields_that_the_stored_response_did_not_have() {
    let stored = headers(&[("etag", r#""a""#)]);
    let update = headers(&[
        ("etag", r#""a""#),
        ("cache-control", "max-age=60"),
        ("x", "1"),
    ]);
    assert_eq!(freshen(&stored, &update), update);
}

#[test]
fn a_304_that_omits_fields_leaves_the_stored_ones() {
    let stored = headers(&[("etag", r#""a""#), ("content-type", "a/b"), ("x", "1")]);
    let update = headers(&[("etag", r#""a""#)]);
    assert_eq!(freshen(&stored, &update), stored);
}

#[test]
fn repeated_set_cookie_lines_stay_lines_through_an_update() {
    let stored = headers(&[("set-cookie", "a=1"), ("set-cookie", "b=2"), ("x", "1")]);
    let kept = freshen(&stored, &headers(&[("x", "2")]));
    let lines: Vec<_> = kept.get_all(header::SET_COOKIE).iter().collect();
    assert_eq!(lines, ["a=1", "b=2"]);
}

#[test]
fn a_304_for_another_representation_updates_nothing() {
    let stored = Validators::of(&headers(&[("etag", r#""a""#)]));
    let update = headers(&[("etag", r#""b""#)]);
    let candidate = Candidate {
        validators: &stored,
        selected: true,
    };
    assert!(named_by_304(&update, [candidate].into_iter()).is_empty());
}

#[test]
fn a_stored_206_never_answers_as_a_whole_response() {
    let part = headers(&[("content-range", "bytes 0-4/10")]);
    let partial = Partial::of_206(&part).unwrap();
    assert!(!partial.is_complete());
    let whole = RangeSpec::From {
        first: 0,
        last: u64::MAX,
    };
    assert_eq!(partial.satisfy(&[whole]), None);
}

#[test]
fn a_weak_entity_tag_never_vouches_for_a_range() {
    let stored = Validators::of(&headers(&[("etag", r#"W/"a""#)]));
    let request = headers(&[("range", "bytes=0-1"), ("if-range", r#"W/"a""#)]);
    let found = select(&Method::GET, &request, StatusCode::OK, &stored, 10);
    assert_eq!(found, RangeSelection::Whole);
    let part = headers(&[("etag", r#"W/"a""#), ("content-range", "bytes 5-9/10")]);
    let combined = Partial::new(10).combines_with(&stored, StatusCode::PARTIAL_CONTENT, &part);
    assert_eq!(combined, None);
}

#[test]
fn vary_is_not_compared_by_octets_alone() {
    let policy = VaryPolicy::default();
    let vary = Vary::parse(&headers(&[("vary", "Accept-Encoding")]));
    let one = headers(&[("accept-encoding", "gzip, br")]);
    let another = headers(&[("accept-encoding", "BR"), ("accept-encoding", "gzip;q=1.0")]);
    assert!(VariantKey::of(&vary, &one, &policy).matches(&another, &policy));
}

#[test]
fn an_entity_tag_without_quotes_is_neither_fatal_nor_lost() {
    let stored = Validators::of(&headers(&[("etag", "book-123")]));
    let selected = Selected {
        status: StatusCode::OK,
        validators: &stored,
        received: Timestamp::default(),
    };
    for (sent, expected) in [
        ("book-123", Precondition::NotModified),
        (r#""book-123""#, Precondition::NotModified),
        ("book-124", Precondition::Proceed),
    ] {
        let mut request = HeaderMap::new();
        request.insert(header::IF_NONE_MATCH, sent.parse().unwrap());
        assert_eq!(
            evaluate(&Method::GET, &request, &selected),
            expected,
            "{sent}"
        );
    }
}
