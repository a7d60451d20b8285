//! Validation (RFC 9111 §4.3): what is asked, what a 304 names and updates, and what it must not.

use super::{secs, with};
use crate::common::{Gateway, Origin, get, head, reply};

const ETAG: (&str, &str) = ("ETag", "\"v1\"");

/// Answers the first request with `first`, and conditional ones with a 304 that has `update`.
fn validating(
    first: &'static [(&'static str, &'static str)],
    update: &'static [(&'static str, &'static str)],
) -> Origin {
    Origin::start(move |request, conn| {
        let conditional =
            request.fields.has("if-none-match") || request.fields.has("if-modified-since");
        let answer = if conditional {
            with(reply(304), update)
        } else {
            with(reply(200), first).body("1984")
        };
        conn.reply(request, &answer);
    })
}

#[test]
fn a_stale_response_is_validated_with_what_it_has() {
    // RFC 9111 §4.3.1
    let modified = "Sun, 01 Nov 2020 08:00:00 GMT";
    let table: &[(
        &'static [(&'static str, &'static str)],
        Option<&str>,
        Option<&str>,
    )] = &[
        (
            &[("Cache-Control", "max-age=1"), ETAG],
            Some("\"v1\""),
            None,
        ),
        (
            &[("Cache-Control", "max-age=1"), ("ETag", "W/\"v1\"")],
            Some("W/\"v1\""),
            None,
        ),
        (
            &[
                ("Cache-Control", "max-age=1"),
                ("Last-Modified", "Sun, 01 Nov 2020 08:00:00 GMT"),
            ],
            None,
            Some(modified),
        ),
        (
            &[("Cache-Control", "max-age=1"), ("ETag", "book-123")],
            Some("book-123"),
            None,
        ),
    ];
    for (first, tag, since) in table {
        let origin = validating(first, &[("Cache-Control", "max-age=60")]);
        let gateway = Gateway::before(&origin).manual_clock().start();
        gateway.get("/a").expect(200);
        gateway.advance(secs(2));
        let answer = gateway.get("/a").expect(200);
        assert_eq!(answer.text(), "1984", "{first:?}");
        assert!(
            answer.fwd("stale") && answer.says("fwd-status=304"),
            "{first:?}: {}",
            answer.cache_status()
        );
        let asked = origin.last();
        assert_eq!(asked.fields.get("if-none-match"), *tag, "{first:?}");
        if since.is_some() {
            assert_eq!(asked.fields.get("if-modified-since"), *since, "{first:?}");
        }
        assert!(gateway.get("/a").is_hit(), "freshened: {first:?}");
    }
}

#[test]
fn a_304_replaces_fields_whole_and_leaves_the_content_s_own() {
    // RFC 9111 §3.2
    let origin = validating(
        &[
            ("Cache-Control", "max-age=1"),
            ETAG,
            ("X-Old", "1"),
            ("X-Kept", "1"),
            ("X-Two", "a"),
            ("X-Two", "b"),
            ("Content-Type", "text/plain"),
        ],
        &[
            ("Cache-Control", "max-age=60"),
            ETAG,
            ("X-Old", "2"),
            ("X-New", "1"),
            ("X-Two", "c"),
            ("Content-Length", "99"),
            ("Content-Range", "bytes 0-1/2"),
            ("Connection", "X-Hop"),
            ("X-Hop", "1"),
        ],
    );
    let gateway = Gateway::before(&origin).manual_clock().start();
    gateway.get("/a").expect(200);
    gateway.advance(secs(2));
    gateway.get("/a").expect(200);
    let hit = gateway.get("/a").expect(200);
    assert!(hit.is_hit());
    assert_eq!(
        (hit.field("x-old"), hit.field("x-kept"), hit.field("x-new")),
        (Some("2"), Some("1"), Some("1"))
    );
    assert_eq!(hit.list("x-two"), "c");
    assert_eq!(
        (
            hit.field("content-length"),
            hit.field("content-range"),
            hit.field("x-hop")
        ),
        (Some("4"), None, None)
    );
    assert_eq!(hit.text(), "1984");
}

#[test]
fn a_304_that_names_another_response_is_not_used() {
    // RFC 9111 §4.3.4
    let origin = Origin::start(|request, conn| {
        let answer = match request.fields.has("if-none-match") {
            true => reply(304).field("ETag", "\"other\""),
            false => reply(200)
                .field("Cache-Control", "max-age=1")
                .field("ETag", "\"v1\"")
                .body("1984"),
        };
        conn.reply(request, &answer);
    });
    let gateway = Gateway::before(&origin).manual_clock().start();
    gateway.get("/a").expect(200);
    gateway.advance(secs(2));
    let answer = gateway.get("/a").expect(200);
    assert_eq!(answer.text(), "1984");
    assert!(
        !origin.last().fields.has("if-none-match"),
        "asked again without conditions"
    );
}

#[test]
fn a_full_response_to_a_validation_takes_the_stored_one_s_place() {
    // RFC 9111 §4.3.3
    let origin = Origin::start(|request, conn| {
        let version = if request.fields.has("if-none-match") {
            "2"
        } else {
            "1"
        };
        conn.reply(
            request,
            &reply(200)
                .field("Cache-Control", "max-age=5")
                .field("ETag", format!("\"{version}\""))
                .body(version),
        );
    });
    let gateway = Gateway::before(&origin).manual_clock().start();
    assert_eq!(gateway.get("/a").text(), "1");
    gateway.advance(secs(6));
    assert_eq!(gateway.get("/a").text(), "2");
    let hit = gateway.get("/a");
    assert!(hit.is_hit());
    assert_eq!(hit.text(), "2");
}

#[test]
fn a_304_for_one_user_does_not_get_into_what_all_share() {
    // RFC 9111 §3.5, §4.3.4
    let origin = Origin::start(|request, conn| {
        let answer = match request.fields.has("if-none-match") {
            true => reply(304)
                .field("ETag", "\"v1\"")
                .field("X-User", "winston")
                .field("Set-Cookie", "session=1")
                .field("Cache-Control", "max-age=60"),
            false => reply(200)
                .field("Cache-Control", "max-age=10")
                .field("ETag", "\"v1\"")
                .body("1984"),
        };
        conn.reply(request, &answer);
    });
    let gateway = Gateway::before(&origin).manual_clock().start();
    gateway.get("/a").expect(200);
    gateway.advance(secs(11));
    let own = gateway
        .send(&get("/a").field("Authorization", "Bearer x"))
        .expect(200);
    assert_eq!(own.field("x-user"), Some("winston"), "who asked gets it");
    let stored = gateway.send(&get("/a").field("Cache-Control", "max-stale, only-if-cached"));
    assert_eq!(
        (
            stored.status,
            stored.field("x-user"),
            stored.field("set-cookie")
        ),
        (200, None, None)
    );
}

#[test]
fn fields_that_a_304_s_directives_name_are_not_stored() {
    let origin = validating(
        &[("Cache-Control", "max-age=1"), ETAG],
        &[
            ("Cache-Control", "max-age=60, private=\"x-user\""),
            ETAG,
            ("X-User", "winston"),
        ],
    );
    let gateway = Gateway::before(&origin).manual_clock().start();
    gateway.get("/a").expect(200);
    gateway.advance(secs(2));
    assert_eq!(gateway.get("/a").field("x-user"), Some("winston"));
    let hit = gateway.get("/a");
    assert!(hit.is_hit());
    assert_eq!(hit.field("x-user"), None);
}

#[test]
fn no_cache_is_validated_each_time() {
    // RFC 9111 §5.2.2.4
    let origin = validating(
        &[("Cache-Control", "no-cache"), ETAG],
        &[("Cache-Control", "no-cache"), ETAG],
    );
    let gateway = Gateway::before(&origin).start();
    gateway.get("/a").expect(200);
    for n in 2..5 {
        assert!(gateway.get("/a").expect(200).says("fwd-status=304"));
        assert_eq!(origin.count(), n);
    }
}

#[test]
fn head_is_answered_from_a_stored_get_and_freshens_or_invalidates_it() {
    // RFC 9110 §9.3.2, RFC 9111 §4.3.5
    let (get_tag, other) = (("ETag", "\"v1\""), ("ETag", "\"v2\""));
    for (tag, survives) in [(get_tag, true), (other, false)] {
        let origin = Origin::start(move |request, conn| {
            let answer = match &*request.method {
                "HEAD" => with(
                    reply(200),
                    &[tag, ("Cache-Control", "max-age=60"), ("X-New", "1")],
                )
                .body("1984"),
                _ => with(reply(200), &[get_tag, ("Cache-Control", "max-age=10")]).body("1984"),
            };
            conn.reply(request, &answer);
        });
        let gateway = Gateway::before(&origin).manual_clock().start();
        gateway.get("/a").expect(200);
        let from_store = gateway.send(&head("/a"));
        assert!(from_store.is_hit() && from_store.field("content-length") == Some("4"));
        gateway.advance(secs(11));
        assert_eq!(gateway.send(&head("/a")).status, 200);
        let after = gateway.get("/a").expect(200);
        assert_eq!(
            after.is_hit(),
            survives,
            "{tag:?}: {}",
            after.cache_status()
        );
        if survives {
            assert_eq!(after.field("x-new"), Some("1"));
        }
    }
}
