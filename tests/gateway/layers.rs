//! A gateway before a gateway before the API is as correct as one.

use std::time::Duration;

use crate::common::{Answer, Gateway, Origin, get, put, reply};

/// Both are asked for the same resource: its authority is the one that the client names.
fn ask(gateway: &Gateway) -> Answer {
    gateway
        .send(&get("/books/123").field("Host", "books.example"))
        .expect(200)
}

fn layers(origin: &Origin) -> (Gateway, Gateway) {
    let inner = Gateway::before(origin)
        .server("name = \"inner\"")
        .manual_clock()
        .start();
    let outer = Gateway::before_all([inner.url()])
        .server("name = \"outer\"")
        .manual_clock()
        .start();
    (outer, inner)
}

#[test]
fn ages_add_up_and_both_are_listed() {
    let origin = Origin::answering(reply(200).field("Cache-Control", "max-age=60").body("1984"));
    let (outer, inner) = layers(&origin);
    let pass = |seconds| {
        outer.advance(Duration::from_secs(seconds));
        inner.advance(Duration::from_secs(seconds));
    };
    ask(&inner);
    pass(10);
    let through_both = ask(&outer);
    assert_eq!(through_both.age(), Some(10));
    assert_eq!(through_both.list("via"), "1.1 inner, 1.1 outer");
    let caches: Vec<_> = through_both
        .cache_status()
        .split(", ")
        .map(|member| member.split(';').next().unwrap_or_default().to_owned())
        .collect();
    assert_eq!(caches, ["inner", "outer"]);
    pass(10);
    let hit = ask(&outer);
    assert!(hit.is_hit());
    assert_eq!((hit.age(), hit.number("ttl")), (Some(20), Some(40)));
    pass(41);
    assert!(!ask(&outer).is_hit());
    assert_eq!(origin.count(), 2);
}

#[test]
fn a_write_through_the_outer_one_is_seen_through_both() {
    let origin = Origin::answering(reply(200).field("Cache-Control", "max-age=60").body("1984"));
    let (outer, inner) = layers(&origin);
    for gateway in [&outer, &inner] {
        ask(gateway);
        assert!(ask(gateway).is_hit());
    }
    outer
        .send(&put("/books/123", "x").field("Host", "books.example"))
        .expect(200);
    assert!(ask(&outer).fwd("uri-miss"));
    assert_eq!(origin.count(), 3);
}
