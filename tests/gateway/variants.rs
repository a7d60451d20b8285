//! Which stored response a request selects (RFC 9111 §4.1), seen from outside.

use crate::common::{Answer, Gateway, Origin, Request, get, reply};

/// An origin that sends `vary`, and counts its answers in their content.
fn varying(vary: &'static [&'static str]) -> Origin {
    let count = std::sync::atomic::AtomicUsize::new(0);
    Origin::start(move |request, conn| {
        let n = count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let answer = vary
            .iter()
            .fold(reply(200), |answer, line| answer.field("Vary", line));
        let answer = answer
            .field("Cache-Control", "max-age=60")
            .body(n.to_string());
        conn.reply(request, &answer);
    })
}

fn with(lines: &[(&str, &str)]) -> Request {
    lines.iter().fold(get("/books"), |request, (name, value)| {
        request.field(name, value)
    })
}

#[test]
fn requests_that_differ_in_nothing_significant_share_a_variant() {
    type Lines = &'static [(&'static str, &'static str)];
    let cases: [(&'static str, Lines, Lines); 10] = [
        ("Foo", &[("Foo", "1")], &[("foo", "1")]),
        ("Foo", &[("Foo", "1, 2")], &[("Foo", "1"), ("Foo", "2")]),
        ("Foo", &[("Foo", "1, 2")], &[("Foo", " 1 ,2 ")]),
        ("Foo", &[], &[("Bar", "1")]),
        (
            "Accept-Language",
            &[("Accept-Language", "en, de")],
            &[("Accept-Language", "de,EN")],
        ),
        (
            "Accept-Language",
            &[("Accept-Language", "en;q=0.5, de")],
            &[("Accept-Language", "de;q=1.0, en;q=0.50")],
        ),
        (
            "Accept-Encoding",
            &[("Accept-Encoding", "gzip, br")],
            &[("Accept-Encoding", "BR, gzip")],
        ),
        (
            "Accept",
            &[("Accept", "application/json, */*;q=0.1")],
            &[("Accept", "*/*; q=0.1, Application/JSON")],
        ),
        (
            "accept, FOO",
            &[("Foo", "1"), ("Accept", "a/b")],
            &[("Accept", "a/b"), ("Foo", "1")],
        ),
        ("", &[("Foo", "1")], &[("Foo", "2")]),
    ];
    for (vary, one, another) in cases {
        let origin = varying(Box::leak(Box::new([vary])));
        let gateway = Gateway::before(&origin).start();
        gateway.send(&with(one)).expect(200);
        assert!(
            gateway.send(&with(another)).expect(200).is_hit(),
            "{vary}: {one:?} {another:?}"
        );
    }
}

#[test]
fn requests_that_differ_have_variants_of_their_own_side_by_side() {
    let origin = varying(&["Foo", "Bar"]);
    let gateway = Gateway::before(&origin).start();
    let requests = [
        with(&[]),
        with(&[("Foo", "1")]),
        with(&[("Foo", "2")]),
        with(&[("Foo", "")]),
        with(&[("Foo", "1"), ("Bar", "1")]),
        with(&[("Foo", "a")]),
        with(&[("Foo", "A")]),
        with(&[("Foo", "1, 2")]),
    ];
    let first: Vec<_> = requests
        .iter()
        .map(|request| gateway.send(request).expect(200))
        .collect();
    assert!(first[0].fwd("uri-miss"));
    for answer in &first[1..] {
        assert!(answer.fwd("vary-miss"), "{}", answer.cache_status());
    }
    for (request, before) in requests.iter().zip(&first) {
        let again = gateway.send(request).expect(200);
        assert!(again.is_hit(), "{request:?}");
        assert_eq!(again.text(), before.text());
    }
}

#[test]
fn a_star_in_vary_never_matches() {
    let cases: [&'static [&'static str]; 8] = [
        &["*"],
        &["*, *"],
        &["Foo, *"],
        &["*, Foo"],
        &[", *"],
        &["Foo", "*"],
        &["*", "Foo"],
        &["X-Forwarded-For"],
    ];
    for vary in cases {
        let origin = varying(vary);
        let gateway = Gateway::before(&origin).start();
        for _ in 0..2 {
            assert!(
                !gateway.send(&with(&[("Foo", "1")])).expect(200).is_hit(),
                "{vary:?}"
            );
        }
        assert_eq!(origin.count(), 2, "{vary:?}");
    }
}

#[test]
fn a_route_reduces_what_it_keys_and_forwards() {
    let origin = varying(&["Accept-Language, Accept-Encoding"]);
    let gateway = Gateway::before(&origin)
        .route(
            "/books",
            "vary = { languages = [\"en\", \"de\"], encodings = [\"gzip\"] }",
        )
        .start();
    let ask = |language: &str, coding: &str| -> Answer {
        let request = with(&[("Accept-Language", language), ("Accept-Encoding", coding)]);
        gateway.send(&request).expect(200)
    };
    ask("de-AT, fr;q=0.9", "gzip, deflate, br");
    assert_eq!(origin.last().fields.get("accept-language"), Some("de"));
    assert_eq!(origin.last().fields.get("accept-encoding"), Some("gzip"));
    assert!(ask("fr, DE;q=0.1", "br;q=1.0, gzip;q=0.2").is_hit());
    assert!(ask("en-GB, de;q=0.5", "gzip").fwd("vary-miss"));
}

#[test]
fn a_default_response_without_vary_stands_back() {
    let origin = Origin::start(|request, conn| {
        let answer = match request.fields.get("accept-language") {
            Some(language) => reply(200).field("Vary", "Accept-Language").body(language),
            None => reply(200).body("default"),
        };
        conn.reply(request, &answer.field("Cache-Control", "max-age=60"));
    });
    let gateway = Gateway::before(&origin).start();
    let german = with(&[("Accept-Language", "de")]);
    gateway.send(&german).expect(200);
    gateway.send(&with(&[])).expect(200);
    let again = gateway.send(&german).expect(200);
    assert!(again.is_hit(), "{}", again.cache_status());
    assert_eq!(again.text(), "de");
}
