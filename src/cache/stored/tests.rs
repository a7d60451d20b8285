use http::StatusCode;

use super::*;
use crate::cache::budget::Budget;
use crate::cache::head::Draft;
use crate::cache::resource::Resource;
use crate::clock::Clock;
use crate::semantics::cache_control::ResponseDirectives;
use crate::semantics::freshness::{Freshness, Receipt};
use crate::semantics::vary::VariantKey;
use crate::semantics::{policy::Policy, validation::Validators};

pub(crate) fn head() -> Head {
    let (headers, now) = (http::HeaderMap::new(), Clock::system().now());
    let receipt = Receipt {
        request_time: now.wall,
        response_time: now.wall,
    };
    let (status, directives) = (StatusCode::OK, ResponseDirectives::default());
    let policy = Policy::default();
    Draft {
        status,
        reason: None,
        origin_validators: Validators::default(),
        freshness: Freshness::compute(status, &headers, &directives, receipt, false, &policy),
        received: now.mono,
        variant: VariantKey::default(),
        digest: None,
        groups: Box::default(),
        tags: http::HeaderMap::new(),
        search: None,
        content_length: None,
        age: None,
        receipt,
        credentialed: false,
        epoch: 0,
        stamp: 0,
        headers,
    }
    .packed()
}

fn body(budget: &Arc<Budget>, octets: &'static [u8]) -> Content {
    let token = Token::take(budget, octets.len() as u64).unwrap();
    Content::Complete(StoredBody::new(&[Bytes::from_static(octets)], token))
}

fn one(content: Content) -> Bytes {
    match content {
        Content::Complete(StoredBody::One(bytes)) => bytes,
        other => panic!("{other:?}"),
    }
}

/// A million of them are kept: what grows here costs a million times as much.
#[test]
fn a_stored_response_is_small() {
    const { assert!(OWN <= 192 && size_of::<Resource>() <= 16) };
}

#[test]
fn a_small_body_is_counted_as_long_as_it_is_read() {
    let budget = Budget::new(10_000);
    let (head, content) = (head(), body(&budget, b"hello"));
    let token = Token::take(&budget, StoredResponse::cost(&head, &content));
    let stored = Arc::new(StoredResponse::new(head, content, token));
    let counted = budget.used();
    assert_eq!(counted, stored.weight());
    let slice = one(stored.content()).slice(1..4);
    drop(stored);
    assert_eq!(budget.used(), counted);
    assert_eq!(slice, "ell");
    drop(slice);
    assert_eq!(budget.used(), 0);
}

#[test]
fn what_no_token_covers_keeps_its_own() {
    let budget = Budget::new(10_000);
    let stored = Arc::new(StoredResponse::new(head(), body(&budget, b"hello"), None));
    assert_eq!((stored.content_len(), budget.used()), (5, 5));
    assert_eq!(one(stored.content()), "hello");
}

#[test]
fn an_empty_body_holds_nobody() {
    let budget = Budget::new(10_000);
    let token = Token::take(&budget, 100);
    let stored = Arc::new(StoredResponse::new(head(), body(&budget, b""), token));
    let empty = one(stored.content());
    assert_eq!((empty.len(), Arc::strong_count(&stored)), (0, 1));
}
