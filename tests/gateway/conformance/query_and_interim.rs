//! The family of HTTP caching: QUERY, No-Vary-Search, POST responses that answer a GET, interim responses.

use crate::common::{Gateway, Origin, post, put, reply, request};

#[test]
fn a_query_is_cached_by_its_content_and_invalidated_with_its_uri() {
    // RFC 10008
    let origin = Origin::start(|request, conn| {
        let answer = reply(200)
            .field("Cache-Control", "max-age=60")
            .body(request.text().to_uppercase());
        conn.reply(request, &answer);
    });
    let gateway = Gateway::before(&origin).start();
    let query = |content: &str, kind: &str| {
        gateway.send(
            &request("QUERY", "/books")
                .body(content)
                .field("Content-Type", kind),
        )
    };
    assert!(query("a=1", "text/plain").fwd("uri-miss"));
    let hit = query("a=1", "text/plain");
    assert_eq!(
        (hit.is_hit(), hit.text().as_str()),
        (true, "A=1"),
        "{}",
        hit.cache_status()
    );
    assert_eq!(query("a=2", "text/plain").text(), "A=2");
    assert!(
        !query("a=1", "application/json").is_hit(),
        "another type is another query"
    );
    assert!(query("a=2", "text/plain").is_hit());
    assert!(!gateway.get("/books").is_hit(), "a GET is not a QUERY");
    gateway.send(&put("/books", "x")).expect(200);
    assert!(!query("a=1", "text/plain").is_hit());
}

#[test]
fn parameters_that_do_not_matter_do_not_make_another_key() {
    let origin = Origin::answering(
        reply(200)
            .field("Cache-Control", "max-age=60")
            .field("No-Vary-Search", "key-order, params=(\"utm\")")
            .body("1984"),
    );
    let gateway = Gateway::before(&origin).start();
    gateway.get("/a?x=1&y=2&utm=mail").expect(200);
    assert!(gateway.get("/a?y=2&x=1&utm=web").is_hit());
    assert!(gateway.get("/a?y=2&x=1").is_hit());
    assert!(!gateway.get("/a?y=3&x=1").is_hit());
    gateway.send(&put("/a?x=1&y=2", "x")).expect(200);
    assert!(!gateway.get("/a?y=2&x=1").is_hit());
}

#[test]
fn a_post_that_says_so_answers_a_later_get() {
    // RFC 9110 §9.3.3
    for (location, freshness, answers) in [
        ("/a", "max-age=60", true),
        ("/b", "max-age=60", false),
        ("/a", "no-store", false),
    ] {
        let origin = Origin::answering(
            reply(200)
                .field("Cache-Control", freshness)
                .field("Content-Location", location)
                .body("1984"),
        );
        let gateway = Gateway::before(&origin).start();
        assert_eq!(gateway.send(&post("/a", "x")).expect(200).text(), "1984");
        assert_eq!(
            gateway.get("/a").is_hit(),
            answers,
            "{location} {freshness}"
        );
    }
}

#[test]
fn interim_responses_are_neither_stored_nor_taken_for_final() {
    // RFC 9110 §15.2
    let origin = Origin::start(|request, conn| {
        conn.write("HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\nCache-Control: max-age=3600\r\n\r\n");
        conn.reply(
            request,
            &reply(200).field("Cache-Control", "max-age=60").body("1984"),
        );
    });
    let gateway = Gateway::before(&origin).start();
    assert_eq!(gateway.get("/a").expect(200).text(), "1984");
    let hit = gateway.get("/a").expect(200);
    assert!(hit.is_hit());
    assert_eq!(
        (hit.field("link"), hit.field("cache-control")),
        (None, Some("max-age=60"))
    );
}

#[test]
fn a_head_s_answer_is_not_stored_for_a_get() {
    // RFC 9110 §9.3.2
    let origin = Origin::answering(reply(200).field("Cache-Control", "max-age=60").body("1984"));
    let gateway = Gateway::before(&origin).start();
    gateway.send(&request("HEAD", "/a"));
    assert!(!gateway.get("/a").is_hit());
}
