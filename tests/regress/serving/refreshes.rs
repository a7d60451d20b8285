//! A refresh behind a stale response has one of three ends: it replaces, it freshens, or the stale response leaves
//! (RFC 5861 §3).

use std::time::Duration;

use crate::common::{Conn, Gate, Gateway, Origin, Reply, Request, get, head, reply};

const STALE: &str = "max-age=1, stale-while-revalidate=3600";

/// Who meets the stale response first.
fn triggers() -> Vec<(&'static str, Request)> {
    vec![
        ("anybody", get("/a")),
        ("with a cookie", get("/a").field("Cookie", "_ga=1")),
        ("with a token", get("/a").field("Authorization", "Bearer x")),
        ("with a key", get("/a").field("X-Api-Key", "1")),
        ("HEAD", head("/a")),
        ("HEAD with a cookie", head("/a").field("Cookie", "_ga=1")),
        (
            "HEAD with a condition",
            head("/a").field("If-None-Match", "\"old\""),
        ),
        (
            "with a condition",
            get("/a").field("If-None-Match", "\"old\""),
        ),
        (
            "with another condition",
            get("/a").field("If-None-Match", "\"x\""),
        ),
        ("with a range", get("/a").field("Range", "bytes=0-1")),
        (
            "that is not to be stored",
            get("/a").field("Cache-Control", "no-store"),
        ),
    ]
}

fn old() -> Reply {
    reply(200)
        .field("Cache-Control", STALE)
        .field("ETag", "\"old\"")
        .body("old")
}

/// Answers `refresh` to every request but the first, to those with a condition of its own if it is a 304.
fn refreshed_by(refresh: Reply) -> (Origin, Gateway) {
    let first = std::sync::atomic::AtomicBool::new(true);
    let origin = Origin::start(move |request, conn| {
        let is_first = first.swap(false, std::sync::atomic::Ordering::SeqCst);
        let personal = ["cookie", "authorization", "x-api-key"];
        let personal = personal.iter().any(|name| request.fields.has(name));
        let answer = match refresh.parts().0 {
            _ if is_first => old(),
            _ if personal => reply(200)
                .field("Cache-Control", "max-age=60")
                .body("personal"),
            304 if !request.fields.has("if-none-match") => old(),
            _ => refresh.clone(),
        };
        conn.reply(request, &answer);
    });
    let gateway = Gateway::before(&origin)
        .cache("max_stored_body = 100")
        .route("/{*rest}", "credential_fields = [\"X-Api-Key\"]")
        .manual_clock()
        .start();
    gateway.get("/a").expect(200);
    gateway.advance(Duration::from_secs(2));
    (origin, gateway)
}

fn new() -> Reply {
    reply(200)
        .field("Cache-Control", "max-age=60")
        .field("ETag", "\"new\"")
}

#[test]
fn what_a_refresh_brings_is_used_whoever_caused_it() {
    let refreshes = [
        ("replaced", new().body("new"), "new"),
        (
            "freshened",
            reply(304)
                .field("Cache-Control", "max-age=60")
                .field("ETag", "\"old\""),
            "old",
        ),
    ];
    for (what, refresh, content) in refreshes {
        for (who, trigger) in triggers() {
            let (origin, gateway) = refreshed_by(refresh.clone());
            for _ in 0..6 {
                gateway.send(&trigger);
                gateway.await_no_fills();
            }
            let told = format!("{what}, {who}");
            let asked = origin.requests();
            assert_eq!(asked.len(), 2, "{told}: {asked:#?}");
            assert_eq!(asked[1].method, "GET", "{told}");
            for name in [
                "cookie",
                "authorization",
                "x-api-key",
                "range",
                "cache-control",
            ] {
                assert!(!asked[1].fields.has(name), "{told}: {name}");
            }
            assert_eq!(
                asked[1].fields.get("if-none-match"),
                Some("\"old\""),
                "{told}"
            );
            let next = gateway.get("/a").expect(200);
            assert!(
                next.is_hit() && next.number("ttl") > Some(0),
                "{told}: {}",
                next.cache_status()
            );
            assert_eq!(next.text(), content, "{told}");
        }
    }
}

#[test]
fn what_a_refresh_brings_that_cannot_be_stored_ends_the_stale_response() {
    let large = "x".repeat(101);
    let refreshes = [
        (
            "not to be stored",
            new().field("Cache-Control", "no-store").body("new"),
        ),
        (
            "private",
            reply(200).field("Cache-Control", "private").body("new"),
        ),
        ("gone", reply(404).body("new")),
        (
            "gone for good",
            reply(410).field("Cache-Control", "no-store").body("new"),
        ),
        (
            "for users only",
            reply(401).field("WWW-Authenticate", "Basic").body("new"),
        ),
        ("forbidden", reply(403).body("new")),
        ("elsewhere", reply(302).field("Location", "/b").body("new")),
        ("too large", new().body(&large)),
        ("too large, of unknown length", new().body(&large).chunked()),
        ("of unknown end", new().body("new").until_close()),
        (
            "another for everybody",
            new().field("Vary", "*").body("new"),
        ),
        (
            "not modified, and not to be stored",
            reply(304)
                .field("Cache-Control", "no-store")
                .field("ETag", "\"old\""),
        ),
    ];
    for (what, refresh) in refreshes {
        for (who, trigger) in triggers() {
            let (origin, gateway) = refreshed_by(refresh.clone());
            gateway.send(&trigger);
            gateway.await_no_fills();
            let asked = origin.count();
            let next = gateway.get("/a");
            let told = format!("{what}, {who}: {} {}", next.status, next.cache_status());
            assert!(!next.is_hit() && origin.count() > asked, "{told}");
            let status = match refresh.parts().0 {
                304 => 200,
                status => status,
            };
            assert_eq!(next.status, status, "{told}");
        }
    }
}

#[test]
fn a_failure_behind_leaves_the_stale_response_where_it_is() {
    for (who, trigger) in triggers() {
        for status in [500, 502, 503, 504] {
            let (origin, gateway) = refreshed_by(reply(status).body("trouble"));
            gateway.send(&trigger);
            gateway.await_no_fills();
            assert_eq!(origin.count(), 2, "{who}, {status}");
            let next = gateway.get("/a").expect(200);
            assert!(next.is_hit() && next.text() == "old", "{who}, {status}");
        }
    }
}

#[test]
fn an_outage_is_not_made_worse_by_refreshes_and_its_end_is_noticed() {
    type Trouble = fn(&Request, &mut Conn);
    let troubles: [(&str, Trouble); 4] = [
        ("500", |request, conn| conn.reply(request, &reply(500))),
        ("503", |request, conn| conn.reply(request, &reply(503))),
        ("a response that breaks off", |_, conn| {
            conn.write(
                "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 9\r\n\r\nne",
            );
            conn.close();
        }),
        ("a connection that breaks off", |_, conn| conn.close()),
    ];
    for (what, trouble) in troubles {
        // With a validator and without.
        for stored in [old(), reply(200).field("Cache-Control", STALE).body("old")] {
            let asked = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
            let counted = asked.clone();
            let well = Gate::new();
            let recovered = well.clone();
            let origin = Origin::start(move |request, conn| {
                match counted.fetch_add(1, std::sync::atomic::Ordering::SeqCst) {
                    0 => {
                        conn.reply(request, &stored);
                        // What breaks off on a connection that was kept is sent once more on another.
                        conn.close();
                    }
                    _ if recovered.is_open() => conn.reply(request, &new().body("new")),
                    _ => trouble(request, conn),
                }
            });
            let gateway = Gateway::before(&origin)
                .upstream("retries = { max = 0 }")
                .manual_clock()
                .start();
            gateway.get("/a").expect(200);
            gateway.advance(Duration::from_secs(2));
            let hits = |told: &str| {
                for _ in 0..20 {
                    let hit = gateway.get("/a").expect(200);
                    assert!(hit.is_hit() && hit.text() == "old", "{what}: {told}");
                    gateway.await_no_fills();
                }
            };
            hits("at first");
            // HEAD and GET with a range, too: it is the same stored response.
            gateway.send(&head("/a")).expect(200);
            gateway.await_no_fills();
            assert_eq!(origin.count(), 2, "{what}");
            gateway.advance(Duration::from_secs(60));
            hits("a minute later");
            assert_eq!(origin.count(), 3, "{what}");
            // Whoever waits for the API asks it at once.
            gateway.send(&get("/a").field("Cache-Control", "no-cache"));
            assert!(origin.count() > 3, "{what}");
            well.open();
            gateway.advance(Duration::from_secs(10));
            assert_eq!(gateway.get("/a").expect(200).text(), "old", "{what}");
            gateway.await_no_fills();
            assert_eq!(gateway.get("/a").expect(200).text(), "new", "{what}");
        }
    }
}

#[test]
fn what_was_fetched_with_credentials_is_refreshed_with_them() {
    let origin = Origin::start(|request, conn| {
        let answer = match request.fields.has("authorization") {
            true => reply(200)
                .field("Cache-Control", format!("public, {STALE}"))
                .body("new"),
            false => reply(401).body("who?"),
        };
        conn.reply(request, &answer);
    });
    let gateway = Gateway::before(&origin).manual_clock().start();
    let known = get("/a").field("Authorization", "Bearer x");
    gateway.send(&known).expect(200);
    gateway.advance(Duration::from_secs(2));
    assert!(gateway.send(&known).expect(200).is_hit());
    gateway.await_no_fills();
    assert!(origin.last().fields.has("authorization"));
    let fresh = gateway.get("/a").expect(200);
    assert!(
        fresh.is_hit() && fresh.number("ttl") > Some(0),
        "{}",
        fresh.cache_status()
    );
    // Somebody without credentials cannot refresh it, and learns so the next time.
    gateway.advance(Duration::from_secs(2));
    assert!(gateway.get("/a").expect(200).is_hit());
    gateway.await_no_fills();
    gateway.get("/a").expect(401);
    gateway.send(&known).expect(200);
    assert!(gateway.get("/a").expect(200).is_hit());
}

#[test]
fn a_part_is_refreshed_too() {
    let part = |tag: &str| {
        reply(206)
            .field("Cache-Control", STALE)
            .field("ETag", tag)
            .field("Content-Range", "bytes 0-9/1000")
            .body("0123456789")
    };
    let origin = Origin::start(move |request, conn| {
        let same = request.fields.get("if-none-match") == Some("\"a\"");
        let answer = match request.fields.has("range") {
            _ if same => reply(304)
                .field("Cache-Control", "max-age=60")
                .field("ETag", "\"a\""),
            true => part("\"a\""),
            false => reply(200)
                .field("Cache-Control", STALE)
                .body("x".repeat(1_000)),
        };
        conn.reply(request, &answer);
    });
    let gateway = Gateway::before(&origin)
        .cache("max_stored_body = 100")
        .manual_clock()
        .start();
    let ask = || {
        gateway
            .send(&get("/a").field("Range", "bytes=0-9"))
            .expect(206)
    };
    ask();
    gateway.advance(Duration::from_secs(2));
    assert!(ask().is_hit());
    gateway.await_no_fills();
    let fresh = ask();
    assert!(
        fresh.is_hit() && fresh.number("ttl") > Some(0),
        "{}",
        fresh.cache_status()
    );
}
