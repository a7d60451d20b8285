//! Which responses are stored (RFC 9111 §3), and what of them.

use super::{before, is_reused, with};
use crate::common::{Gateway, Origin, get, reply};

#[test]
fn directives_that_forbid_storing_are_heeded_however_they_are_written() {
    for says in [
        "no-store",
        "No-Store, max-age=60",
        "max-age=60, no-store",
        "max-age=60, no-store=\"x\"",
        "private, max-age=60",
        "PRIVATE, max-age=60",
        "max-age=60, private=",
        // §5.2.2.4: stored or not, never reused without validation
        "no-cache, max-age=60",
        "max-age=60, no-cache",
        "No-Cache",
        // §5.2.2.3: understood, but then no-store counts where the status is not
    ] {
        assert!(!is_reused(200, &[("Cache-Control", says)], 0), "{says}");
    }
    for lines in [
        &[
            ("Cache-Control", "max-age=60"),
            ("Cache-Control", "no-store"),
        ][..],
        &[("Cache-Control", "max-age=60"), ("Vary", "*")],
        &[("Cache-Control", "max-age=60"), ("Vary", "Accept, *")],
        &[
            ("Cache-Control", "no-store, must-understand, max-age=60, x"),
            ("Vary", "*"),
        ],
    ] {
        assert!(!is_reused(200, lines, 0), "{lines:?}");
    }
    for says in [
        "public, max-age=60",
        "must-understand, no-store, max-age=60",
        "max-age=60, no-transform",
    ] {
        assert!(is_reused(200, &[("Cache-Control", says)], 0), "{says}");
    }
    assert!(!is_reused(
        599,
        &[("Cache-Control", "must-understand, no-store, max-age=60")],
        0
    ));
    assert!(!is_reused(
        599,
        &[("Cache-Control", "must-understand, max-age=60")],
        0
    ));
}

#[test]
fn fields_that_a_directive_names_are_not_stored_but_reach_the_one_who_asked() {
    // RFC 9111 §5.2.2.4, §5.2.2.7
    for directive in [
        "private=\"x-user\"",
        "no-cache=\"x-user\"",
        "private=\"X-Other, X-User\"",
    ] {
        let says = format!("max-age=60, {directive}");
        let (_origin, gateway) = before(&[
            ("Cache-Control", &says),
            ("X-User", "winston"),
            ("X-Kept", "yes"),
        ]);
        assert_eq!(
            gateway.get("/a").field("x-user"),
            Some("winston"),
            "{directive}"
        );
        let hit = gateway.get("/a");
        assert!(hit.is_hit(), "{directive}");
        assert_eq!(
            (hit.field("x-user"), hit.field("x-kept")),
            (None, Some("yes")),
            "{directive}"
        );
    }
}

#[test]
fn responses_to_requests_with_credentials_are_shared_only_at_the_origin_s_word() {
    // RFC 9111 §3.5, and the same for Cookie and for what the operator lists
    let table = [
        ("Authorization", "max-age=60", false),
        ("Authorization", "public, max-age=60", true),
        ("Authorization", "s-maxage=60", true),
        ("Authorization", "must-revalidate, max-age=60", true),
        ("Cookie", "public, max-age=60", true),
        ("Cookie", "s-maxage=60", true),
        ("X-API-Key", "public, max-age=60", true),
        ("X-API-Key", "max-age=60", false),
    ];
    for (field, says, shared) in table {
        let origin = Origin::answering(reply(200).field("Cache-Control", says).body("1984"));
        let gateway = Gateway::before(&origin)
            .cache("credential_fields = [\"X-API-Key\"]")
            .start();
        gateway.send(&get("/a").field(field, "secret")).expect(200);
        let second = gateway.send(&get("/a").field(field, "another"));
        assert_eq!(
            second.is_hit(),
            shared,
            "{field}: {says}: {}",
            second.cache_status()
        );
    }
    // Neither heuristics nor the operator make it shared.
    let origin = Origin::answering(
        reply(200)
            .field("Last-Modified", "Sun, 01 Nov 2020 08:00:00 GMT")
            .body("1984"),
    );
    let gateway = Gateway::before(&origin)
        .route("/{*all}", "ttl = \"1h\"")
        .start();
    for field in ["Authorization", "Cookie"] {
        gateway.send(&get("/b").field(field, "secret")).expect(200);
        assert!(
            !gateway.send(&get("/b").field(field, "secret")).is_hit(),
            "{field}"
        );
    }
}

#[test]
fn a_cookie_is_stored_only_where_the_origin_says_that_it_is_for_all() {
    // RFC 9111 §7.3 permits more, and set_cookie = "store" too.
    for (says, reused) in [
        ("public, max-age=60", true),
        ("max-age=60", false),
        ("s-maxage=60", true),
    ] {
        assert_eq!(
            is_reused(200, &[("Cache-Control", says), ("Set-Cookie", "a=b")], 0),
            reused,
            "{says}"
        );
    }
    let heuristic = [
        ("Last-Modified", "Sun, 01 Nov 2020 08:00:00 GMT"),
        ("Set-Cookie", "a=b"),
    ];
    assert!(!is_reused(200, &heuristic, 0));
}

#[test]
fn a_request_s_no_store_keeps_its_response_out() {
    // RFC 9111 §5.2.1.5
    let (origin, gateway) = before(&[("Cache-Control", "max-age=60")]);
    gateway
        .send(&get("/a").field("Cache-Control", "no-store"))
        .expect(200);
    assert!(gateway.get("/a").fwd("uri-miss"));
    assert_eq!(origin.count(), 2);
}

#[test]
fn hop_by_hop_fields_are_neither_stored_nor_passed_on() {
    // RFC 9110 §7.6.1, RFC 9111 §3.1
    let (origin, gateway) = before(&[
        ("Cache-Control", "max-age=60"),
        ("Connection", "X-Hop, keep-alive"),
        ("X-Hop", "1"),
        ("Keep-Alive", "timeout=5"),
        ("Proxy-Authenticate", "Basic"),
        ("Proxy-Connection", "keep-alive"),
        ("X-End", "1"),
    ]);
    let request = get("/a")
        .field("Connection", "X-Mine")
        .field("X-Mine", "1")
        .field("Proxy-Authorization", "Basic x")
        .field("X-Kept", "1");
    for answer in [gateway.send(&request), gateway.send(&request)] {
        for name in ["x-hop", "keep-alive", "proxy-connection"] {
            assert_eq!(answer.field(name), None, "{name}");
        }
        assert_eq!(answer.field("x-end"), Some("1"));
    }
    assert_eq!(
        gateway.get("/a").field("proxy-authenticate"),
        None,
        "not from the store"
    );
    let seen = origin.last();
    assert!(!seen.fields.has("x-mine") && seen.fields.has("x-kept"));
    assert!(
        !seen
            .fields
            .all("connection")
            .any(|value| value.to_lowercase().contains("x-mine"))
    );
}

#[test]
fn targeted_fields_go_before_cache_control() {
    // RFC 9213 §2.2: (fields, reused)
    let table: &[(&[(&str, &str)], bool)] = &[
        (
            &[
                ("CDN-Cache-Control", "max-age=60"),
                ("Cache-Control", "no-store"),
            ],
            true,
        ),
        (
            &[
                ("CDN-Cache-Control", "no-store"),
                ("Cache-Control", "max-age=60"),
            ],
            false,
        ),
        (
            &[("CDN-Cache-Control", "max-age=60"), ("Expires", "0")],
            true,
        ),
        (
            &[
                ("Bookend-Cache-Control", "no-store"),
                ("CDN-Cache-Control", "max-age=60"),
            ],
            false,
        ),
        // invalid or empty: ignored
        (
            &[
                ("CDN-Cache-Control", "max-age=60, &"),
                ("Cache-Control", "no-store"),
            ],
            false,
        ),
        (
            &[("CDN-Cache-Control", ""), ("Cache-Control", "max-age=60")],
            true,
        ),
        (
            &[
                ("CDN-Cache-Control", "max-age=\"60\""),
                ("Cache-Control", "max-age=60"),
            ],
            false,
        ),
    ];
    for (lines, reused) in table {
        assert_eq!(is_reused(200, lines, 0), *reused, "{lines:?}");
    }
}

#[test]
fn what_may_not_be_stored_says_why() {
    let table = [
        ("no-store", "detail=no-store"),
        ("private", "detail=private"),
    ];
    for (says, detail) in table {
        let origin = Origin::answering(with(reply(200), &[("Cache-Control", says)]).body("1984"));
        let gateway = Gateway::before(&origin).start();
        for _ in 0..2 {
            let answer = gateway.get("/a");
            assert!(
                answer.says(detail) && !answer.says("stored"),
                "{}",
                answer.cache_status()
            );
        }
    }
}
