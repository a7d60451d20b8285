//! Variants (RFC 9111 §4.1).

use crate::common::{Gateway, Origin, Request, get, reply};

fn asking(fields: &[(&str, &str)]) -> Request {
    fields.iter().fold(get("/a"), |request, (name, value)| {
        request.field(name, value)
    })
}

/// Whether a second request is answered with what the first got, where the origin varies on `vary`.
fn share(vary: &'static str, first: &[(&str, &str)], second: &[(&str, &str)]) -> bool {
    let origin = Origin::answering(
        reply(200)
            .field("Cache-Control", "max-age=60")
            .field("Vary", vary)
            .body("1984"),
    );
    let gateway = Gateway::before(&origin).start();
    gateway.send(&asking(first)).expect(200);
    gateway.send(&asking(second)).expect(200).is_hit()
}

#[test]
fn requests_share_a_variant_where_the_nominated_fields_mean_the_same() {
    // (Vary, first, second, shared)
    let table: &[(&'static str, &[(&str, &str)], &[(&str, &str)], bool)] = &[
        ("X-A", &[("X-A", "1")], &[("X-A", "1")], true),
        ("X-A", &[("X-A", "1")], &[("X-A", "2")], false),
        ("X-A", &[("X-A", "1")], &[], false),
        ("X-A", &[], &[("X-A", "1")], false),
        ("X-A", &[], &[], true),
        ("x-a", &[("X-A", "1")], &[("X-A", "1"), ("X-B", "2")], true),
        (
            "X-A, X-B",
            &[("X-A", "1"), ("X-B", "2")],
            &[("X-B", "2"), ("X-A", "1")],
            true,
        ),
        (
            "X-A, X-B",
            &[("X-A", "1"), ("X-B", "2")],
            &[("X-A", "1")],
            false,
        ),
        (" , X-A ,", &[("X-A", "1")], &[("X-A", "2")], false),
        (
            "X-A",
            &[("X-A", "1, 2")],
            &[("X-A", "1"), ("X-A", "2")],
            true,
        ),
        ("X-A", &[("X-A", "a")], &[("X-A", "A")], false),
        (
            "Accept-Encoding",
            &[("Accept-Encoding", "gzip, br")],
            &[("Accept-Encoding", "br,gzip")],
            true,
        ),
        (
            "Accept-Encoding",
            &[("Accept-Encoding", "gzip")],
            &[("Accept-Encoding", "GZIP")],
            true,
        ),
        (
            "Accept-Encoding",
            &[("Accept-Encoding", "gzip;q=0.5, br")],
            &[("Accept-Encoding", "gzip, br;q=0.5")],
            false,
        ),
        (
            "Accept-Language",
            &[("Accept-Language", "en-US")],
            &[("Accept-Language", "EN-us")],
            true,
        ),
        (
            "Accept-Language",
            &[("Accept-Language", "en;q=1")],
            &[("Accept-Language", "en")],
            true,
        ),
        (
            "Accept-Language",
            &[("Accept-Language", "en")],
            &[("Accept-Language", "de")],
            false,
        ),
        (
            "Accept",
            &[("Accept", "text/html,  application/json")],
            &[("Accept", "text/html,application/json")],
            true,
        ),
        ("*", &[], &[], false),
        ("X-A, *", &[("X-A", "1")], &[("X-A", "1")], false),
    ];
    for (vary, first, second, shared) in table {
        assert_eq!(
            share(vary, first, second),
            *shared,
            "{vary}: {first:?}, {second:?}"
        );
    }
}

fn by_language() -> Origin {
    Origin::start(|request, conn| {
        let language = request
            .fields
            .get("accept-language")
            .unwrap_or("none")
            .to_owned();
        let answer = reply(200)
            .field("Cache-Control", "max-age=60")
            .field("Vary", "Accept-Language");
        conn.reply(
            request,
            &answer
                .field("ETag", format!("\"{language}\""))
                .body(language),
        );
    })
}

#[test]
fn several_variants_are_kept_and_validated_together() {
    // RFC 9111 §4.1, §4.3.1
    let origin = by_language();
    let gateway = Gateway::before(&origin).start();
    for language in ["en", "de", "fr"] {
        let answer = gateway.send(&asking(&[("Accept-Language", language)]));
        assert!(!answer.is_hit());
        assert_eq!(
            answer.fwd("vary-miss"),
            language != "en",
            "{}",
            answer.cache_status()
        );
    }
    for language in ["de", "fr", "en"] {
        let answer = gateway.send(&asking(&[("Accept-Language", language)]));
        assert!(answer.is_hit());
        assert_eq!(answer.text(), language);
    }
    let tags = origin
        .last()
        .fields
        .get("if-none-match")
        .unwrap_or_default()
        .to_owned();
    assert!(tags.contains("\"en\"") && tags.contains("\"de\""), "{tags}");
    assert_eq!(origin.count(), 3);
}

#[test]
fn the_least_recently_used_variant_leaves_first() {
    let origin = by_language();
    let gateway = Gateway::before(&origin)
        .cache("max_variants = 2")
        .manual_clock()
        .start();
    let ask = |language| gateway.send(&asking(&[("Accept-Language", language)]));
    ask("en");
    gateway.advance(super::secs(2));
    ask("de");
    gateway.advance(super::secs(2));
    assert!(ask("en").is_hit());
    gateway.advance(super::secs(2));
    ask("fr");
    assert!(ask("en").is_hit());
    assert!(!ask("de").is_hit());
}

#[test]
fn a_route_s_lists_reduce_what_is_keyed_and_forwarded() {
    let origin = by_language();
    let gateway = Gateway::before(&origin)
        .more("[cache.vary]\nlanguages = [\"en\", \"de\"]")
        .start();
    let first = gateway.send(&asking(&[("Accept-Language", "de-AT, de;q=0.9, en;q=0.5")]));
    assert_eq!(first.text(), "de");
    assert!(
        gateway
            .send(&asking(&[("Accept-Language", "de-CH")]))
            .is_hit()
    );
    assert_eq!(
        gateway
            .send(&asking(&[("Accept-Language", "en-GB")]))
            .text(),
        "en"
    );
}
