//! Conditions and ranges of requests whose responses are not shared: directly the API answers 304 and 206, and so it is
//! through the gateway (RFC 9110 §13, §14).

use std::time::Duration;

use crate::common::{Conn, Gateway, Origin, Request, get, reply};

const CREDENTIALS: [(&str, &str); 3] = [
    ("Authorization", "Bearer x"),
    ("Cookie", "session=1"),
    ("X-Api-Key", "1"),
];

/// What says that a response is not for everybody, or nothing of it.
const UNSHARED: [&str; 7] = [
    "private, max-age=0, must-revalidate",
    "no-store",
    "private",
    "private, max-age=60",
    "max-age=60",
    "no-cache",
    "max-age=0",
];

fn whole(request: &Request, conn: &mut Conn, says: &str, tag: &str) {
    let described = |answer: crate::common::Reply| {
        answer
            .field("ETag", tag)
            .field("Cache-Control", says)
            .field("Accept-Ranges", "bytes")
    };
    let names = |field| request.fields.get(field) == Some(tag);
    let applies = !request.fields.has("if-range") || names("if-range");
    let answer = match request.fields.get("range") {
        _ if names("if-none-match") => described(reply(304)),
        Some("bytes=2-4") if applies => described(reply(206))
            .field("Content-Range", "bytes 2-4/10")
            .body("234"),
        _ => described(reply(200)).body("0123456789"),
    };
    conn.reply(request, &answer);
}

fn before(says: &'static str) -> (Origin, Gateway) {
    let origin = Origin::start(move |request, conn| whole(request, conn, says, "\"a\""));
    let gateway = start(&origin);
    (origin, gateway)
}

fn start(origin: &Origin) -> Gateway {
    Gateway::before(origin)
        .route("/{*rest}", "credential_fields = [\"X-Api-Key\"]")
        .manual_clock()
        .start()
}

fn same() -> Request {
    get("/a").field("If-None-Match", "\"a\"")
}

fn part() -> Request {
    get("/a").field("Range", "bytes=2-4")
}

#[test]
fn with_credentials_a_condition_is_the_api_s_to_answer() {
    for says in UNSHARED {
        for (name, value) in CREDENTIALS {
            let (origin, gateway) = before(says);
            for nth in 1..4 {
                let answer = gateway.send(&same().field(name, value));
                assert_eq!(
                    answer.status,
                    304,
                    "{says}, {name}, {nth}: {}",
                    answer.cache_status()
                );
                assert_eq!(answer.field("etag"), Some("\"a\""), "{says}, {name}");
                assert_eq!(origin.last().fields.get("if-none-match"), Some("\"a\""));
                assert_eq!(origin.count(), nth, "{says}, {name}");
            }
            let other = get("/a")
                .field("If-None-Match", "\"old\"")
                .field(name, value);
            assert_eq!(gateway.send(&other).expect(200).text(), "0123456789");
        }
    }
}

#[test]
fn with_credentials_a_range_is_the_api_s_to_cut() {
    for says in UNSHARED {
        for (name, value) in CREDENTIALS {
            let (origin, gateway) = before(says);
            let ask = |request: Request| gateway.send(&request.field(name, value));
            for nth in 1..4 {
                let answer = ask(part()).expect(206);
                assert_eq!(answer.text(), "234", "{says}, {name}");
                assert_eq!(origin.count(), nth, "{says}, {name}");
            }
            let whole = ask(part().field("If-Range", "\"old\"")).expect(200);
            assert_eq!(whole.text(), "0123456789", "{says}, {name}");
            let cut = ask(part().field("If-Range", "\"a\"")).expect(206);
            assert_eq!(cut.text(), "234", "{says}, {name}");
        }
    }
}

#[test]
fn without_credentials_conditions_and_ranges_hold_whatever_proves_unshareable() {
    for says in UNSHARED {
        let (origin, gateway) = before(says);
        for nth in 0..4 {
            // What was learned of it is forgotten in between.
            gateway.advance(Duration::from_secs(if nth == 2 { 60 } else { 0 }));
            let answer = gateway.send(&same());
            assert_eq!(
                answer.status,
                304,
                "{says}, {nth}: {}",
                answer.cache_status()
            );
            assert_eq!(answer.field("etag"), Some("\"a\""), "{says}");
            assert_eq!(answer.field("content-length"), None, "{says}");
            let answer = gateway.send(&part()).expect(206);
            assert_eq!(
                answer.text(),
                "234",
                "{says}, {nth}: {}",
                answer.cache_status()
            );
            assert_eq!(
                answer.field("content-range"),
                Some("bytes 2-4/10"),
                "{says}"
            );
        }
        let other = get("/a").field("If-None-Match", "\"old\"");
        assert_eq!(
            gateway.send(&other).expect(200).text(),
            "0123456789",
            "{says}"
        );
        if says.contains("private") || says == "no-store" {
            gateway.send(&same()).expect(304);
            assert_eq!(
                origin.last().fields.get("if-none-match"),
                Some("\"a\""),
                "{says}"
            );
            gateway.send(&part()).expect(206);
            assert_eq!(
                origin.last().fields.get("range"),
                Some("bytes=2-4"),
                "{says}"
            );
        }
    }
}

#[test]
fn conditions_hold_where_the_end_of_the_content_cannot_be_told() {
    let origin = Origin::start(|request, conn| {
        let same = request.fields.get("if-none-match") == Some("\"a\"");
        let answer = if same {
            reply(304)
        } else {
            reply(200).body("0123456789").until_close()
        };
        conn.reply(
            request,
            &answer
                .field("ETag", "\"a\"")
                .field("Cache-Control", "max-age=60"),
        );
    });
    let gateway = start(&origin);
    for _ in 0..3 {
        gateway.send(&same()).expect(304);
    }
    assert!(origin.last().fields.has("if-none-match"));
}

#[test]
fn what_says_that_it_is_shared_is_stored_behind_credentials_too() {
    for says in ["public, max-age=60", "s-maxage=60"] {
        for (name, value) in CREDENTIALS {
            let (origin, gateway) = before(says);
            let ask = |request: Request| gateway.send(&request.field(name, value));
            // The API's own answer to the client's own condition; nothing is stored yet.
            assert!(!ask(same()).expect(304).says("stored"));
            // A condition that does not hold brings the whole.
            let changed = ask(get("/a").field("If-None-Match", "\"old\"")).expect(200);
            assert!(
                changed.says("stored"),
                "{says}, {name}: {}",
                changed.cache_status()
            );
            assert_eq!(origin.count(), 2, "{says}, {name}");
            assert!(ask(same()).expect(304).is_hit(), "{says}, {name}");
            assert!(ask(part()).expect(206).is_hit(), "{says}, {name}");
            assert!(gateway.get("/a").expect(200).is_hit(), "{says}, {name}");
            // Stale, it is validated for all.
            gateway.advance(Duration::from_secs(61));
            let validated = ask(get("/a").field("If-None-Match", "\"old\"")).expect(200);
            assert_eq!(origin.last().fields.get("if-none-match"), Some("\"a\""));
            assert!(
                validated.says("fwd-status=304"),
                "{}",
                validated.cache_status()
            );
            assert!(gateway.get("/a").expect(200).is_hit(), "{says}, {name}");
            assert_eq!(origin.count(), 3, "{says}, {name}");
        }
    }
}

#[test]
fn each_user_has_conditions_of_their_own_beside_what_all_share() {
    // Everybody has a representation of their own, and the anonymous one is stored.
    let origin = Origin::start(|request, conn| {
        let user = request
            .fields
            .get("authorization")
            .unwrap_or("nobody")
            .to_owned();
        whole(request, conn, "max-age=10", &format!("\"{user}\""));
    });
    let gateway = start(&origin);
    gateway.get("/a").expect(200);
    gateway.advance(Duration::from_secs(11));
    for user in ["winston", "julia", "winston"] {
        let tag = format!("\"{user}\"");
        let ask = |tag: &str| {
            let request = get("/a")
                .field("If-None-Match", tag)
                .field("Authorization", user);
            gateway.send(&request)
        };
        assert_eq!(ask(&tag).expect(304).field("etag"), Some(&*tag));
        assert_eq!(ask("\"nobody\"").expect(200).field("etag"), Some(&*tag));
    }
    let asked = origin.count();
    let stored = gateway.send(&same().field("Cache-Control", "max-stale, only-if-cached"));
    assert_eq!(stored.expect(200).field("etag"), Some("\"nobody\""));
    assert_eq!(origin.count(), asked);
}

#[test]
fn what_proved_unshareable_is_stored_as_soon_as_it_is_not() {
    let origin = Origin::scripted([
        reply(200).field("Cache-Control", "no-store").body("1"),
        reply(200).field("Cache-Control", "max-age=60").body("2"),
    ]);
    let gateway = start(&origin);
    gateway.get("/a").expect(200);
    let second = gateway.get("/a").expect(200);
    assert!(second.says("stored"), "{}", second.cache_status());
    assert_eq!(second.text(), "2");
    assert!(gateway.get("/a").expect(200).is_hit());
    assert_eq!(origin.count(), 2);
}

#[test]
fn a_route_that_shares_behind_credentials_fetches_the_whole() {
    let (origin, gateway) = (
        Origin::start(|request, conn| whole(request, conn, "max-age=60", "\"a\"")),
        (),
    );
    let () = gateway;
    let gateway = Gateway::before(&origin)
        .route("/{*rest}", "ignore = [\"credentials\"]")
        .start();
    let first = gateway
        .send(&same().field("Authorization", "Bearer x"))
        .expect(304);
    assert!(first.says("stored"), "{}", first.cache_status());
    assert!(gateway.get("/a").expect(200).is_hit());
    assert_eq!(origin.count(), 1);
}

#[test]
fn what_one_user_s_answer_says_is_no_mark_for_the_others() {
    let origin = Origin::start(|request, conn| {
        let says = match request.fields.has("authorization") {
            true => "private, max-age=60",
            false => "max-age=60",
        };
        whole(request, conn, says, "\"a\"");
    });
    let gateway = start(&origin);
    gateway
        .send(&get("/a").field("Authorization", "Bearer x"))
        .expect(200);
    let first = gateway.get("/a").expect(200);
    assert!(
        !first.cache_status().contains("private"),
        "{}",
        first.cache_status()
    );
    gateway.advance(Duration::from_secs(61));
    gateway
        .send(&get("/a").field("Authorization", "Bearer x"))
        .expect(200);
    let stored = gateway.send(&get("/a").field("Cache-Control", "max-stale, only-if-cached"));
    stored.expect(200);
}
