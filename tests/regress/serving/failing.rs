//! An API that fails: HEAD gets what GET gets (RFC 5861 §4, RFC 9111 §4.2.4).

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use crate::common::{Gate, Gateway, Origin, get, reply, request};

/// An origin whose status can be changed; 0 closes the connection.
fn failing(says: &'static str) -> (Origin, Arc<AtomicU16>) {
    let status = Arc::new(AtomicU16::new(200));
    let current = status.clone();
    let origin = Origin::start(move |request, conn| match current.load(Ordering::SeqCst) {
        0 => conn.close(),
        200 => {
            let answer = reply(200)
                .field("Cache-Control", says)
                .field("ETag", "\"a\"");
            conn.reply(request, &answer.body("1984"));
        }
        status => conn.reply(request, &reply(status).body("trouble")),
    });
    (origin, status)
}

#[test]
fn head_gets_what_get_gets() {
    let lines: [(&str, &str); 9] = [
        ("max-age=10, stale-if-error=60", ""),
        ("max-age=10", "stale_if_error = \"1m\""),
        ("max-age=10", "stale_if_disconnected = \"1m\""),
        ("max-age=10", "stale_if_disconnected = \"0s\""),
        ("max-age=10, stale-while-revalidate=60", ""),
        ("max-age=10, must-revalidate, stale-if-error=60", ""),
        ("max-age=10, stale-if-error=5", ""),
        ("s-maxage=10", ""),
        ("no-cache, stale-if-error=60", ""),
    ];
    let fields: [&[(&str, &str)]; 7] = [
        &[],
        &[("Authorization", "Bearer x")],
        &[("Cookie", "a=b"), ("If-None-Match", "\"a\"")],
        &[("If-None-Match", "\"a\"")],
        &[("Cache-Control", "no-cache")],
        &[("Cache-Control", "max-age=0, stale-if-error=600")],
        &[("Cache-Control", "no-store")],
    ];
    for (says, route) in lines {
        for fields in fields {
            for failure in [0, 500, 503, 404] {
                let told = ["GET", "HEAD"].map(|method| {
                    let (origin, status) = failing(says);
                    let gateway = Gateway::before(&origin)
                        .route("/{*rest}", route)
                        .manual_clock()
                        .start();
                    gateway.get("/a").expect(200);
                    gateway.advance(Duration::from_secs(20));
                    status.store(failure, Ordering::SeqCst);
                    let fields = fields.iter();
                    let asked = fields.fold(request(method, "/a"), |request, (name, value)| {
                        request.field(name, value)
                    });
                    let answer = gateway.send(&asked);
                    let stale = answer.number("ttl").map(|_| answer.verdict().join("; "));
                    (answer.status, stale)
                });
                assert_eq!(told[0], told[1], "{says}, {route}, {fields:?}, {failure}");
            }
        }
    }
}

#[test]
fn head_waits_for_a_get_that_is_under_way() {
    let gate = Gate::new();
    let passed = gate.clone();
    let origin = Origin::start(move |request, conn| {
        passed.pass();
        let answer = reply(200)
            .field("Cache-Control", "max-age=10")
            .field("ETag", "\"a\"");
        conn.reply(request, &answer.body("1984"));
    });
    let gateway = Gateway::before(&origin).start();
    let (mut one, mut other) = (gateway.client(), gateway.client());
    one.start(&get("/a"));
    gate.await_arrivals(1);
    other.start(&request("HEAD", "/a"));
    gateway.await_sum(1, |counted| counted.followers.value());
    gate.open();
    let head = other.answer("HEAD").finish().expect(200);
    assert_eq!(head.field("content-length"), Some("4"));
    assert!(head.says("collapsed"), "{}", head.cache_status());
    assert_eq!(one.answer("GET").finish().expect(200).text(), "1984");
    assert_eq!(origin.count(), 1);
}

#[test]
fn a_stale_response_stands_in_for_requests_that_are_passed_on() {
    let (origin, status) = failing("max-age=10, stale-if-error=60");
    let gateway = Gateway::before(&origin).manual_clock().start();
    gateway.get("/a").expect(200);
    gateway.advance(Duration::from_secs(20));
    for failure in [0, 503] {
        status.store(failure, Ordering::SeqCst);
        for asked in [
            get("/a"),
            get("/a")
                .field("Cookie", "a=b")
                .field("If-None-Match", "\"x\""),
            get("/a").field("Cookie", "a=b").field("Range", "bytes=0-1"),
            request("HEAD", "/a"),
        ] {
            let answer = gateway.send(&asked);
            assert!(
                matches!(answer.status, 200 | 206),
                "{failure}, {asked:?}: {answer:?}"
            );
            assert!(
                answer.says("detail=stale-if-error"),
                "{}",
                answer.cache_status()
            );
        }
    }
}
