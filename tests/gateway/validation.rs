//! What is stored is validated for the request at hand: never by what another variant, or a mere part, is known by.

use std::time::Duration;

use crate::common::{Gateway, Origin, get, http_date, reply};

const STALE: Duration = Duration::from_secs(61);

#[test]
fn another_variants_date_never_validates() {
    let modified = http_date(-3600);
    let origin = Origin::start({
        let modified = modified.clone();
        move |request, conn| {
            let language = request.fields.get("accept-language").unwrap_or("en");
            let answer = if request.fields.has("if-modified-since") {
                reply(304)
            } else {
                reply(200).body(language)
            };
            let answer = answer
                .field("Vary", "Accept-Language")
                .field("Last-Modified", &modified)
                .field("Cache-Control", "max-age=60");
            conn.reply(request, &answer);
        }
    });
    let gateway = Gateway::before(&origin).start();
    for language in ["de", "en", "fr"] {
        let request = get("/books").field("Accept-Language", language);
        assert_eq!(gateway.send(&request).expect(200).text(), language);
        assert!(gateway.send(&request).expect(200).is_hit(), "{language}");
    }
    let asked = origin.requests();
    let conditional = |request: &crate::common::Request| {
        request.fields.has("if-modified-since") || request.fields.has("if-none-match")
    };
    assert!(!asked.iter().any(conditional), "{asked:#?}");
}

#[test]
fn a_304_may_name_another_variant_by_its_strong_tag() {
    let origin = Origin::start(|request, conn| {
        let language = request.fields.get("accept-language").unwrap_or("");
        let own = if language == "de" { "\"de\"" } else { "\"en\"" };
        let known = request.fields.get("if-none-match").unwrap_or("");
        let answer = if known.contains(own) {
            reply(304)
        } else {
            reply(200).body(own)
        };
        let answer = answer
            .field("Vary", "Accept-Language")
            .field("ETag", own)
            .field("Cache-Control", "max-age=60");
        conn.reply(request, &answer);
    });
    let gateway = Gateway::before(&origin).start();
    let ask = |language| gateway.send(&get("/books").field("Accept-Language", language));
    assert!(ask("de").expect(200).fwd("uri-miss"));
    assert!(ask("en").expect(200).fwd("vary-miss"));
    let named = ask("fr").expect(200);
    assert!(named.fwd("vary-miss") && named.says("fwd-status=304"));
    assert_eq!(named.text(), "\"en\"");
    for (language, body) in [("fr", "\"en\""), ("en", "\"en\""), ("de", "\"de\"")] {
        let hit = ask(language).expect(200);
        assert_eq!((hit.is_hit(), &*hit.text()), (true, body));
    }
    assert_eq!(origin.count(), 3);
}

#[test]
fn the_tag_of_the_only_variant_is_not_offered_for_another() {
    // An API that tags versions would call the German book current for a French client.
    let origin = Origin::start(|request, conn| {
        let language = request.fields.get("accept-language").unwrap_or("");
        let answer = if request.fields.has("if-none-match") {
            reply(304)
        } else {
            reply(200).body(language)
        };
        let answer = answer
            .field("Vary", "Accept-Language")
            .field("ETag", "\"version-1\"")
            .field("Cache-Control", "max-age=60");
        conn.reply(request, &answer);
    });
    let gateway = Gateway::before(&origin).start();
    for language in ["de", "fr", "en"] {
        let request = get("/books").field("Accept-Language", language);
        assert_eq!(gateway.send(&request).expect(200).text(), language);
        assert!(!origin.last().fields.has("if-none-match"), "{language}");
    }
}

#[test]
fn a_304_that_names_another_representation_is_not_used() {
    let origin = Origin::start(|request, conn| {
        let (status, tag) = if request.fields.has("if-none-match") {
            (304, "\"b\"")
        } else {
            (200, "\"a\"")
        };
        let answer = reply(status)
            .field("ETag", tag)
            .field("Cache-Control", "max-age=60");
        let answer = if status == 200 {
            answer.body("whole")
        } else {
            answer
        };
        conn.reply(request, &answer);
    });
    let gateway = Gateway::before(&origin).manual_clock().start();
    gateway.get("/books").expect(200);
    gateway.advance(STALE);
    assert_eq!(gateway.get("/books").expect(200).text(), "whole");
    let asked = origin.requests();
    assert!(asked[1].fields.has("if-none-match"));
    assert!(!asked[2].fields.has("if-none-match"), "asked again without");
    assert_eq!(asked.len(), 3);
}

#[test]
fn a_partial_response_is_not_validated_as_a_whole() {
    // Too large to be stored whole, and without a strong validator to combine its parts by.
    let whole = "0123456789".repeat(500);
    let origin = Origin::start({
        let whole = whole.clone();
        move |request, conn| {
            let fields = |answer: crate::common::Reply| {
                let answer = answer.field("ETag", "W/\"a\"");
                answer.field("Cache-Control", "max-age=600")
            };
            let answer = if request.fields.has("if-none-match") {
                reply(304)
            } else if request.fields.has("range") {
                reply(206)
                    .field("Content-Range", "bytes 0-9/5000")
                    .body(&whole[..10])
            } else {
                reply(200).body(&whole)
            };
            conn.reply(request, &fields(answer));
        }
    });
    let gateway = Gateway::before(&origin)
        .cache("max_stored_body = \"1KiB\"\nuncacheable_ttl = \"1s\"")
        .manual_clock()
        .start();
    let part = get("/books").field("Range", "bytes=0-9");
    assert_eq!(gateway.send(&part).expect(206).text(), whole[..10]);
    let again = gateway.send(&part).expect(206);
    assert!(again.is_hit(), "{}", again.cache_status());
    assert_eq!(again.text(), whole[..10]);
    gateway.advance(Duration::from_secs(2));
    assert_eq!(gateway.get("/books").expect(200).text(), whole);
    gateway.advance(Duration::from_secs(700));
    assert_eq!(gateway.get("/books").expect(200).text(), whole);
    let conditional = |request: &crate::common::Request| request.fields.has("if-none-match");
    assert!(!origin.requests().iter().any(conditional));
}

#[test]
fn what_if_range_proves_known_is_not_sent_again() {
    let answer = reply(200)
        .field("ETag", "\"a\"")
        .field("Content-Type", "text/plain")
        .field("Content-Language", "en")
        .field("Last-Modified", http_date(-60))
        .field("Cache-Control", "max-age=600")
        .body("0123456789");
    let origin = Origin::answering(answer);
    let gateway = Gateway::before(&origin).start();
    gateway.get("/books").expect(200);

    let part = get("/books").field("Range", "bytes=2-4");
    let first = gateway.send(&part).expect(206);
    assert_eq!(first.text(), "234");
    assert_eq!(first.field("content-range"), Some("bytes 2-4/10"));
    assert_eq!(first.field("content-type"), Some("text/plain"));

    let rest = gateway
        .send(&part.clone().field("If-Range", "\"a\""))
        .expect(206);
    assert_eq!(rest.text(), "234");
    assert_eq!(rest.field("etag"), Some("\"a\""));
    assert!(rest.field("cache-control").is_some());
    for known in ["content-type", "content-language", "last-modified"] {
        assert_eq!(rest.field(known), None, "{known}");
    }
    for other in ["\"b\"", "W/\"a\"", "a"] {
        let whole = gateway
            .send(&part.clone().field("If-Range", other))
            .expect(200);
        assert_eq!(whole.text(), "0123456789", "{other}");
    }
}
