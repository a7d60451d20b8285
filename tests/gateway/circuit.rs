//! An API that is silent keeps nobody waiting for long: what is stored stands in for it, and the rest is refused at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::common::{Gate, Gateway, Origin, post, reply};

const PAUSE: Duration = Duration::from_millis(250);

/// An API that hangs while it is told to.
fn api() -> (Origin, Arc<AtomicBool>) {
    let hangs = Arc::new(AtomicBool::new(false));
    let hung = hangs.clone();
    let origin = Origin::start(move |request, conn| {
        if hung.load(Ordering::SeqCst) {
            return conn.await_close();
        }
        let lines = "max-age=10, stale-if-error=600";
        conn.reply(
            request,
            &reply(200).field("Cache-Control", lines).body("1984"),
        );
    });
    (origin, hangs)
}

/// Its clock stands still: a circuit stays open until the test says so.
fn before(origin: &Origin) -> Gateway {
    Gateway::before(origin)
        .upstream("response_timeout = '200ms'\ncircuit.failures = 3")
        .manual_clock()
        .start()
}

/// Has one book stored, and then the API silent until its circuit is open.
fn fall_silent(gateway: &Gateway, hangs: &AtomicBool) {
    gateway.get("/books/0").expect(200);
    hangs.store(true, Ordering::SeqCst);
    for n in 1..=3 {
        gateway.get(&format!("/books/{n}")).expect(504);
    }
}

#[test]
fn what_would_wait_for_a_silent_api_is_refused_at_once_and_served_when_it_is_back() {
    let (origin, hangs) = api();
    let gateway = before(&origin);
    fall_silent(&gateway, &hangs);
    let asked = origin.count();
    for request in [crate::common::get("/books/4"), post("/books", "1984")] {
        let refused = gateway.send(&request).expect(503);
        assert_eq!(refused.field("retry-after"), Some("1"));
        let said = refused.field("proxy-status").unwrap_or_default();
        assert!(said.contains("error=destination_unavailable"), "{said}");
    }
    assert_eq!(origin.count(), asked, "nobody waited for it");
    assert_eq!(gateway.metric("bookend_upstream_up"), 0);
    assert_eq!(gateway.metric("bookend_upstream_unavailable_total"), 2);
    hangs.store(false, Ordering::SeqCst);
    gateway.advance(PAUSE);
    for n in 4..8 {
        gateway.get(&format!("/books/{n}")).expect(200);
    }
    assert_eq!(gateway.metric("bookend_upstream_up"), 1);
}

#[test]
fn what_is_stored_stands_in_for_a_silent_api_at_once() {
    let (origin, hangs) = api();
    let gateway = before(&origin);
    fall_silent(&gateway, &hangs);
    let asked = origin.count();
    // Stale by then; a trial is let through, and in vain.
    gateway.advance(Duration::from_secs(20));
    let mut waited = 0;
    for _ in 0..4 {
        let before = origin.count();
        let stale = gateway.get("/books/0").expect(200);
        assert_eq!(stale.text(), "1984");
        assert!(
            stale.fwd("stale") && stale.says("detail=stale-if-error"),
            "{}",
            stale.cache_status()
        );
        waited += origin.count() - before;
    }
    assert_eq!((waited, origin.count()), (1, asked + 1));
}

#[test]
fn who_is_refused_is_told_when_the_api_is_asked_again() {
    let (origin, hangs) = api();
    let gateway = Gateway::before(&origin)
        .upstream("response_timeout = '200ms'")
        .upstream("circuit = { failures = 1, time = '30s', max_time = '60s' }")
        .manual_clock()
        .start();
    let told = || {
        let refused = gateway.get("/books/1").expect(503);
        refused.field("retry-after").unwrap_or_default().to_owned()
    };
    hangs.store(true, Ordering::SeqCst);
    gateway.get("/books/1").expect(504);
    assert_eq!(told(), "30");
    gateway.advance(Duration::from_millis(10_001));
    assert_eq!(told(), "20");
    gateway.advance(Duration::from_millis(19_998));
    assert_eq!(told(), "1");
}

#[test]
fn the_pause_that_an_api_has_asked_for_is_told_when_it_is_silent_after_that() {
    let origin = Origin::start(|request, conn| match request.target.as_str() {
        "/busy" => conn.reply(request, &reply(503).field("Retry-After", 40)),
        _ => conn.await_close(),
    });
    let gateway = Gateway::before(&origin)
        .upstream("response_timeout = '200ms'\ncircuit.failures = 1")
        .manual_clock()
        .start();
    let busy = gateway.get("/busy").expect(503);
    assert_eq!(busy.field("retry-after"), Some("40"), "its own word");
    gateway.get("/silent").expect(504);
    gateway.advance(Duration::from_millis(100));
    let refused = gateway.get("/silent").expect(503);
    assert_eq!(refused.field("retry-after"), Some("40"));
}

#[test]
fn who_is_refused_because_checks_fail_is_told_when_there_is_another() {
    let origin = Origin::answering(reply(500));
    let gateway = Gateway::before(&origin)
        .upstream("health = { path = '/healthz', interval = '7s', unhealthy = 1 }")
        .start();
    crate::common::await_that("it is out", || gateway.get("/").status == 503);
    let refused = gateway.get("/").expect(503);
    assert_eq!(refused.field("retry-after"), Some("7"));
}

#[test]
fn one_request_tries_a_silent_api_and_the_others_are_refused_meanwhile() {
    let gate = Gate::new();
    let held = gate.clone();
    let origin = Origin::start(move |request, conn| match request.target.as_str() {
        "/trial" => {
            held.pass();
            conn.reply(request, &reply(200).body("back"));
        }
        "/silent" => conn.await_close(),
        _ => conn.reply(request, &reply(500)),
    });
    let gateway = Gateway::before(&origin)
        .upstream("response_timeout = '1s'\ncircuit.failures = 1")
        .manual_clock()
        .start();
    for _ in 0..4 {
        gateway.get("/broken").expect(500);
    }
    gateway.get("/silent").expect(504);
    gateway.advance(PAUSE);
    let mut trial = gateway.client();
    trial.start(&crate::common::get("/trial"));
    gate.await_arrivals(1);
    gateway.get("/broken").expect(503);
    gate.open();
    trial.answer("GET").finish().expect(200);
    gateway.get("/broken").expect(500);
}
