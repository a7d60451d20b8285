//! The client's preconditions (RFC 9110 §13).

use super::before;
use crate::common::{Gateway, Origin, get, put, reply};

const MODIFIED: &str = "Sun, 01 Nov 2020 08:00:00 GMT";

#[test]
fn if_none_match_and_if_modified_since_are_evaluated_against_what_is_stored() {
    // RFC 9110 §13.1.2, §13.1.3, §13.2.2: (ETag, request fields, 304)
    let table: &[(&str, &[(&str, &str)], bool)] = &[
        ("\"v1\"", &[("If-None-Match", "\"v1\"")], true),
        ("\"v1\"", &[("If-None-Match", "W/\"v1\"")], true),
        ("W/\"v1\"", &[("If-None-Match", "\"v1\"")], true),
        ("\"v1\"", &[("If-None-Match", "\"v0\", \"v1\"")], true),
        (
            "\"v1\"",
            &[("If-None-Match", "\"v0\""), ("If-None-Match", "\"v1\"")],
            true,
        ),
        ("\"v1\"", &[("If-None-Match", " , \"v1\" ,")], true),
        ("\"a,b\"", &[("If-None-Match", "\"x\", \"a,b\"")], true),
        ("\"v1\"", &[("If-None-Match", "*")], true),
        ("book-123", &[("If-None-Match", "book-123")], true),
        ("\"v1\"", &[("If-None-Match", "\"v2\"")], false),
        ("\"v1\"", &[("If-None-Match", "\"V1\"")], false),
        ("\"v1\"", &[("If-None-Match", "\"v\"")], false),
        ("\"v1\"", &[("If-Modified-Since", MODIFIED)], true),
        (
            "\"v1\"",
            &[("If-Modified-Since", "Mon, 01 Nov 2021 08:00:00 GMT")],
            true,
        ),
        (
            "\"v1\"",
            &[("If-Modified-Since", "Fri, 01 Nov 2019 08:00:00 GMT")],
            false,
        ),
        (
            "\"v1\"",
            &[("If-Modified-Since", "Sunday, 01-Nov-20 08:00:00 GMT")],
            true,
        ),
        (
            "\"v1\"",
            &[("If-Modified-Since", "Sun Nov  1 08:00:00 2020")],
            true,
        ),
        ("\"v1\"", &[("If-Modified-Since", "not a date")], false),
        // If-None-Match goes before If-Modified-Since
        (
            "\"v1\"",
            &[("If-None-Match", "\"v2\""), ("If-Modified-Since", MODIFIED)],
            false,
        ),
        (
            "\"v1\"",
            &[
                ("If-None-Match", "\"v1\""),
                ("If-Modified-Since", "Fri, 01 Nov 2019 08:00:00 GMT"),
            ],
            true,
        ),
    ];
    for (tag, conditions, not_modified) in table {
        let (origin, gateway) = before(&[
            ("Cache-Control", "max-age=60"),
            ("ETag", tag),
            ("Last-Modified", MODIFIED),
            ("Content-Type", "text/plain"),
        ]);
        gateway.get("/a").expect(200);
        let request = conditions.iter().fold(get("/a"), |request, (name, value)| {
            request.field(name, value)
        });
        let answer = gateway.send(&request);
        assert_eq!(answer.status == 304, *not_modified, "{tag}: {conditions:?}");
        assert!(answer.is_hit());
        assert_eq!(origin.count(), 1);
        if *not_modified {
            // §15.4.5
            assert_eq!(answer.field("etag"), Some(*tag));
            assert!(answer.field("date").is_some() && answer.field("cache-control").is_some());
            assert_eq!(
                (answer.text().as_str(), answer.field("content-type")),
                ("", None)
            );
        }
    }
}

#[test]
fn a_miss_fetches_the_whole_without_the_client_s_conditions() {
    let (origin, gateway) = before(&[("Cache-Control", "max-age=60"), ("ETag", "\"v1\"")]);
    let answer = gateway.send(
        &get("/a")
            .field("If-None-Match", "\"v1\"")
            .field("Range", "bytes=0-1"),
    );
    assert_eq!(answer.status, 304);
    let asked = origin.last();
    assert!(!asked.fields.has("if-none-match") && !asked.fields.has("range"));
    assert_eq!(gateway.get("/a").expect(200).text(), "1984");
    assert_eq!(origin.count(), 1);
}

#[test]
fn if_match_and_if_unmodified_since_are_the_origin_s_to_evaluate() {
    // RFC 9111 §4.3.2
    for field in [("If-Match", "\"v1\""), ("If-Unmodified-Since", MODIFIED)] {
        let origin = Origin::start(|request, conn| {
            let asked = request.fields.has("if-match") || request.fields.has("if-unmodified-since");
            let answer = if asked {
                reply(412)
            } else {
                reply(200)
                    .field("Cache-Control", "max-age=60")
                    .field("ETag", "\"v1\"")
                    .body("1984")
            };
            conn.reply(request, &answer);
        });
        let gateway = Gateway::before(&origin).start();
        gateway.get("/a").expect(200);
        gateway.send(&get("/a").field(field.0, field.1)).expect(412);
        assert_eq!(origin.count(), 2);
        assert!(gateway.get("/a").is_hit());
    }
}

#[test]
fn tags_of_our_own_give_304s_and_settle_if_match() {
    let book = std::sync::Arc::new(std::sync::Mutex::new("1984".to_owned()));
    let shelf = book.clone();
    let origin = Origin::start(move |request, conn| {
        let mut book = shelf.lock().unwrap();
        if request.method == "PUT" {
            assert!(
                !request.fields.has("if-match"),
                "the origin has never heard of the tag"
            );
            *book = request.text();
        }
        conn.reply(request, &reply(200).field("ETag", "constant").body(&*book));
    });
    let gateway = Gateway::before(&origin)
        .route("/{*all}", "ttl = \"1h\"\netag = \"replace\"")
        .start();
    let first = gateway.get("/a").expect(200);
    let tag = first.field("etag").expect("a tag").to_owned();
    assert!(tag.starts_with('"') && tag != "constant", "{tag}");
    assert_eq!(
        gateway.send(&get("/a").field("If-None-Match", &tag)).status,
        304
    );
    gateway
        .send(&put("/a", "changed").field("If-Match", "\"another\""))
        .expect(412);
    gateway
        .send(&put("/a", "changed").field("If-Match", &tag))
        .expect(200);
    let second = gateway.get("/a").expect(200);
    assert_eq!(second.text(), "changed");
    assert_ne!(second.field("etag"), Some(&*tag));
    gateway
        .send(&put("/a", "again").field("If-Match", &tag))
        .expect(412);
}

#[test]
fn a_head_freshens_what_has_a_tag_of_ours() {
    // RFC 9111 §4.3.5: the origin's own tag, which the route does not believe, is no reason to doubt what is stored
    let origin = Origin::answering(
        reply(200)
            .field("Cache-Control", "max-age=10")
            .field("ETag", "\"theirs\"")
            .body("1984"),
    );
    let gateway = Gateway::before(&origin)
        .route("/{*all}", "etag = \"replace\"")
        .manual_clock()
        .start();
    gateway.get("/a").expect(200);
    let ours = gateway.get("/a").field("etag").expect("a tag").to_owned();
    gateway.advance(super::secs(11));
    let headed = gateway.send(&crate::common::head("/a"));
    assert!(!headed.is_hit());
    let hit = gateway.get("/a").expect(200);
    assert!(hit.is_hit(), "{}", hit.cache_status());
    assert_eq!(hit.field("etag"), Some(&*ours));
}
