//! When a stale response may be served (RFC 9111 §4.2.4, RFC 5861), and what a request may ask of freshness (§5.2.1).

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use super::{before, secs, with};
use crate::common::{Gateway, Origin, get, reply};

/// An origin whose status can be changed; 0 closes the connection.
fn moody(lines: &'static [(&'static str, &'static str)]) -> (Origin, Arc<AtomicU16>) {
    let status = Arc::new(AtomicU16::new(200));
    let mood = status.clone();
    let origin = Origin::start(move |request, conn| match mood.load(Ordering::SeqCst) {
        0 => conn.close(),
        200 => conn.reply(request, &with(reply(200), lines).body("1984")),
        status => conn.reply(request, &reply(status).body("trouble")),
    });
    (origin, status)
}

#[test]
fn request_directives_are_honoured() {
    // RFC 9111 §5.2.1: (Cache-Control of the request, after so many seconds of max-age=60, a hit)
    let table = [
        ("max-age=30", 20, true),
        ("max-age=30", 40, false),
        ("max-age=0", 0, false),
        ("max-age=\"30\"", 20, true),
        ("MAX-AGE=30", 40, false),
        ("no-cache", 0, false),
        ("min-fresh=30", 20, true),
        ("min-fresh=30", 40, false),
        ("max-stale", 100, true),
        ("max-stale=50", 100, true),
        ("max-stale=30", 100, false),
        ("max-stale=30, max-age=0", 0, false),
        ("only-if-cached", 20, true),
        ("unknown, also=\"this\"", 20, true),
        ("", 20, true),
    ];
    for (says, after, hit) in table {
        let (_origin, gateway) = before(&[("Cache-Control", "max-age=60")]);
        gateway.get("/a").expect(200);
        gateway.advance(secs(after));
        let answer = gateway
            .send(&get("/a").field("Cache-Control", says))
            .expect(200);
        assert_eq!(
            answer.is_hit(),
            hit,
            "{says} after {after}: {}",
            answer.cache_status()
        );
    }
}

#[test]
fn pragma_counts_only_without_cache_control() {
    // RFC 9111 §5.4
    let (_origin, gateway) = before(&[("Cache-Control", "max-age=60")]);
    gateway.get("/a").expect(200);
    assert!(
        !gateway
            .send(&get("/a").field("Pragma", "no-cache"))
            .is_hit()
    );
    let both = get("/a")
        .field("Pragma", "no-cache")
        .field("Cache-Control", "max-age=30");
    assert!(gateway.send(&both).is_hit());
    assert!(
        gateway
            .send(&get("/a").field("Pragma", "something"))
            .is_hit()
    );
}

#[test]
fn only_if_cached_is_answered_504_from_an_empty_store() {
    // RFC 9111 §5.2.1.7
    let (origin, gateway) = before(&[("Cache-Control", "max-age=60")]);
    let request = get("/a").field("Cache-Control", "only-if-cached");
    let answer = gateway.send(&request).expect(504);
    assert_eq!(origin.count(), 0);
    // Ours says what happened, where RFC 9211 §2 would rather have it say nothing.
    assert_eq!(answer.cache_status(), "bookend; detail=only-if-cached");
}

#[test]
fn stale_responses_stand_in_for_errors_exactly_where_they_may() {
    // (response fields, status of the failing origin (0: closes), seconds after the lifetime of 10, served stale)
    let table: &[(&'static [(&'static str, &'static str)], u16, u64, bool)] = &[
        // RFC 5861 §4
        (
            &[("Cache-Control", "max-age=10, stale-if-error=60")],
            500,
            50,
            true,
        ),
        (
            &[("Cache-Control", "max-age=10, stale-if-error=60")],
            502,
            50,
            true,
        ),
        (
            &[("Cache-Control", "max-age=10, stale-if-error=60")],
            503,
            50,
            true,
        ),
        (
            &[("Cache-Control", "max-age=10, stale-if-error=60")],
            504,
            50,
            true,
        ),
        (
            &[("Cache-Control", "max-age=10, stale-if-error=60")],
            0,
            50,
            true,
        ),
        (
            &[("Cache-Control", "max-age=10, stale-if-error=60")],
            503,
            70,
            false,
        ),
        (
            &[("Cache-Control", "max-age=10, stale-if-error=60")],
            0,
            70,
            false,
        ),
        (
            &[("Cache-Control", "max-age=10, stale-if-error=60")],
            404,
            50,
            false,
        ),
        (&[("Cache-Control", "max-age=10")], 503, 1, false),
        // RFC 9111 §4.2.4
        (
            &[(
                "Cache-Control",
                "max-age=10, stale-if-error=60, must-revalidate",
            )],
            503,
            50,
            false,
        ),
        (
            &[(
                "Cache-Control",
                "max-age=10, stale-if-error=60, proxy-revalidate",
            )],
            503,
            50,
            false,
        ),
        (
            &[("Cache-Control", "s-maxage=10, stale-if-error=60")],
            503,
            50,
            false,
        ),
        (
            &[("Cache-Control", "max-age=10, stale-if-error=60, no-cache")],
            503,
            0,
            false,
        ),
    ];
    for (lines, failing, beyond, served) in table {
        let (origin, status) = moody(lines);
        let gateway = Gateway::before(&origin).manual_clock().start();
        gateway.get("/a").expect(200);
        gateway.advance(secs(10 + beyond));
        status.store(*failing, Ordering::SeqCst);
        let answer = gateway.get("/a");
        assert_eq!(
            answer.status == 200,
            *served,
            "{lines:?}, {failing}, {beyond}: {} {}",
            answer.status,
            answer.cache_status()
        );
        if *served {
            assert_eq!(answer.text(), "1984");
            assert!(
                answer.number("ttl").is_some_and(|ttl| ttl < 0),
                "{}",
                answer.cache_status()
            );
            assert!(answer.fwd("stale"), "{}", answer.cache_status());
        }
    }
}

#[test]
fn must_revalidate_without_an_origin_is_504() {
    // RFC 9111 §5.2.2.2
    for says in [
        "max-age=10, must-revalidate",
        "max-age=10, proxy-revalidate",
        "s-maxage=10",
    ] {
        let lines: &'static [(&str, &str)] = Box::leak(Box::new([("Cache-Control", says)]));
        let (origin, status) = moody(lines);
        let gateway = Gateway::before(&origin).manual_clock().start();
        gateway.get("/a").expect(200);
        gateway.advance(secs(11));
        status.store(0, Ordering::SeqCst);
        let answer = gateway.get("/a");
        assert_eq!(answer.status, 504, "{says}: {}", answer.text());
        assert!(answer.field("proxy-status").is_some());
    }
}

#[test]
fn a_request_that_wanted_it_younger_gets_the_fresh_one_when_the_origin_is_gone() {
    let (origin, status) = moody(&[("Cache-Control", "max-age=60, stale-if-error=60")]);
    let gateway = Gateway::before(&origin).manual_clock().start();
    gateway.get("/a").expect(200);
    gateway.advance(secs(30));
    status.store(0, Ordering::SeqCst);
    let asks = get("/a").field("Cache-Control", "max-age=5, stale-if-error=60");
    let answer = gateway.send(&asks);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let counted = || {
        let stale = gateway.sum(|counted| counted.stale_hits.value());
        (gateway.sum(|counted| counted.hits.value()), stale)
    };
    assert_eq!(counted(), (1, 0), "it is fresh");
    gateway.advance(secs(31));
    gateway.send(&asks).expect(200);
    assert_eq!(counted(), (1, 1), "and now it is stale");
}

#[test]
fn stale_while_revalidate_is_exact_in_its_window_and_fetches_once_behind() {
    // RFC 5861 §3
    let (origin, gateway) = before(&[("Cache-Control", "max-age=10, stale-while-revalidate=20")]);
    gateway.get("/a").expect(200);
    gateway.advance(secs(29));
    let stale = gateway.get("/a").expect(200);
    assert!(
        stale.is_hit() && stale.number("ttl").is_some_and(|ttl| ttl < 0),
        "{}",
        stale.cache_status()
    );
    origin.await_requests(2);
    gateway.await_no_fills();
    let fresh = gateway.get("/a");
    assert!(
        fresh.is_hit() && fresh.number("ttl").is_some_and(|ttl| ttl > 0),
        "{}",
        fresh.cache_status()
    );
    gateway.advance(secs(31));
    assert!(gateway.get("/a").fwd("stale"), "beyond the window");
    assert_eq!(origin.count(), 3);
}

#[test]
fn a_route_s_windows_count_where_the_origin_says_nothing() {
    let (origin, status) = moody(&[("Cache-Control", "max-age=10")]);
    let gateway = Gateway::before(&origin)
        .route("/{*all}", "stale_if_error = \"1m\"")
        .manual_clock()
        .start();
    gateway.get("/a").expect(200);
    gateway.advance(secs(30));
    status.store(503, Ordering::SeqCst);
    gateway.get("/a").expect(200);
}
