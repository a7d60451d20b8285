//! Methods: which are looked up, stored, forwarded, and what they make invalid (RFC 9110 §9, RFC 9111 §4, §4.4).

use super::bench::{Bench, Page, Rows, brief, ok};
use super::with;
use crate::common::{Gateway, Origin, Request, delete, get, head, post, put, reply, request};

const FRESH: (&str, &str) = ("Cache-Control", "max-age=60");

/// A page whose GET is stored, and that answers any other method with `status` and these fields.
fn page<'a>(
    bench: &'a Bench,
    status: u16,
    lines: &'static [(&'static str, &'static str)],
) -> Page<'a> {
    let page = bench.page(move |_, request| match &*request.method {
        "GET" | "HEAD" => ok(&[FRESH]),
        _ => with(reply(status), lines),
    });
    page.get().expect(200);
    assert!(page.get().is_hit());
    page
}

#[test]
fn which_answers_invalidate() {
    // RFC 9111 §4.4: every status class, every method that is not known to be safe
    let bench = Bench::new();
    let mut failed = Rows::default();
    for method in [
        "POST", "PUT", "DELETE", "PATCH", "M-SEARCH", "LOCK", "get", "Post", "X-OWN",
    ] {
        for status in [
            200, 201, 202, 204, 207, 299, 301, 302, 303, 307, 400, 403, 404, 409, 412, 428, 500,
            503, 599,
        ] {
            let page = page(&bench, status, &[]);
            let answer = page.send(&page.request(method));
            failed.check(answer.status == status && answer.fwd("method"), || {
                format!("{method} {status}: {}", brief(&answer))
            });
            let hit = page.get().is_hit();
            failed.check(hit == (status >= 400), || {
                format!("{method} {status}, and then a hit: {hit}")
            });
        }
    }
}

#[test]
fn safe_methods_invalidate_nothing() {
    // RFC 9110 §9.2.1
    let bench = Bench::new();
    for method in ["OPTIONS", "TRACE", "PROPFIND", "REPORT", "SEARCH", "HEAD"] {
        let page = page(&bench, 200, &[("Location", "/elsewhere")]);
        page.send(&page.request(method));
        assert!(page.get().is_hit(), "{method}");
    }
}

#[test]
fn answers_to_other_methods_are_never_stored() {
    // RFC 9110 §9.2.3, §9.3
    let bench = Bench::new();
    let mut failed = Rows::default();
    for method in [
        "PUT", "DELETE", "PATCH", "POST", "OPTIONS", "TRACE", "M-SEARCH", "PROPFIND", "HEAD",
    ] {
        let page = bench.answering([ok(&[
            ("Cache-Control", "public, max-age=60"),
            ("ETag", "\"v1\""),
        ])]);
        for nth in 1..4 {
            let answer = page.send(&page.request(method));
            failed.check(!answer.is_hit() && page.count() == nth, || {
                format!("{method} no. {nth}: {}", brief(&answer))
            });
        }
        failed.check(!page.get().is_hit(), || format!("{method} stored for GET"));
    }
}

#[test]
fn a_write_is_forwarded_with_all_that_it_has() {
    // RFC 9110 §9.3.3, §13.2.1
    let bench = Bench::new();
    let page = page(&bench, 200, &[]);
    for method in ["POST", "PUT", "PATCH", "DELETE"] {
        let request = page
            .request(method)
            .body("content")
            .field("If-Match", "\"v1\"")
            .field("If-None-Match", "\"v2\"")
            .field("If-Modified-Since", "Sun, 06 Nov 1994 08:49:37 GMT")
            .field("Range", "bytes=0-1")
            .field("Cache-Control", "no-store, max-age=0")
            .field("Content-Type", "text/plain")
            .field("Content-Encoding", "x-own")
            .field("Cookie", "a=b; c=d")
            .field("Authorization", "Basic x");
        page.send(&request);
        let seen = page.last();
        assert_eq!((&*seen.method, &*seen.text()), (method, "content"));
        for (name, value) in &request.fields.0 {
            assert_eq!(seen.fields.get(name), Some(&**value), "{method} {name}");
        }
        assert_eq!(seen.fields.get("content-length"), Some("7"));
    }
}

#[test]
fn conditions_of_a_passed_request_go_upstream() {
    // RFC 9110 §13.2.1: where nothing can be stored there is no cache to evaluate them
    let bench = Bench::new();
    let page = bench.page(|_, request| {
        let known = request.fields.get("if-none-match") == Some("\"v1\"");
        let status = if known { 304 } else { 200 };
        with(
            reply(status),
            &[("Cache-Control", "private"), ("ETag", "\"v1\"")],
        )
    });
    page.get().expect(200);
    let known = page.ask(&[("If-None-Match", "\"v1\"")]);
    assert_eq!((known.status, known.is_hit()), (304, false));
    assert_eq!(page.last().fields.get("if-none-match"), Some("\"v1\""));
    // a client's no-store makes a request of its own, too
    let bench = Bench::new();
    let page = bench.answering([reply(304).field("ETag", "\"v1\"")]);
    let known = page.ask(&[("If-None-Match", "\"v1\""), ("Cache-Control", "no-store")]);
    assert_eq!(known.status, 304);
    assert_eq!(page.last().fields.get("if-none-match"), Some("\"v1\""));
}

#[test]
fn location_and_content_location_of_every_form_are_invalidated() {
    // RFC 9111 §4.4, RFC 3986 §5: (the field's value, what is invalidated besides the target)
    let origin = Origin::start(|request, conn| {
        let answer = match request.fields.get("x-value") {
            Some(value) => {
                reply(201).field(request.fields.get("x-name").unwrap_or_default(), value)
            }
            None => ok(&[FRESH]),
        };
        conn.reply(request, &answer);
    });
    let gateway = Gateway::before(&origin).start();
    let ask = |request: Request| gateway.send(&request.field("Host", "books.example"));
    let mut failed = Rows::default();
    for name in ["Location", "Content-Location"] {
        for (value, gone) in [
            ("/books/2", Some("/books/2")),
            ("2", Some("/books/2")),
            ("./2", Some("/books/2")),
            ("../books/2", Some("/books/2")),
            ("../../../books/2", Some("/books/2")),
            ("/books/x/../2", Some("/books/2")),
            ("2?page=3", Some("/books/2?page=3")),
            ("?page=3", Some("/books/1?page=3")),
            ("/books/2#part", Some("/books/2")),
            ("//books.example/books/2", Some("/books/2")),
            ("http://books.example/books/2", Some("/books/2")),
            ("HTTP://Books.Example:80/books/2", Some("/books/2")),
            ("http://books.example", Some("/")),
            // other origins
            ("http://books.example:8080/books/2", None),
            ("https://books.example/books/2", None),
            ("http://other.example/books/2", None),
            ("//other.example/books/2", None),
            ("http://books.example@other.example/books/2", None),
            // nonsense
            ("http://", None),
            ("", None),
            (":", None),
        ] {
            let others = ["/books/2", "/books/2?page=3", "/books/1?page=3", "/"];
            for target in others {
                ask(get(target));
            }
            ask(post("/books/1", "x")
                .field("X-Name", name)
                .field("X-Value", value));
            for target in others {
                let hit = ask(get(target)).is_hit();
                failed.check(hit == (gone != Some(target)), || {
                    format!("{name}: {value:?}: {target} answered from the store: {hit}")
                });
            }
        }
    }
}

#[test]
fn a_failed_write_invalidates_neither_its_target_nor_others() {
    // RFC 9111 §4.4
    let bench = Bench::new();
    let other = page(&bench, 200, &[]);
    assert_eq!(other.target, "/page/0");
    for status in [400, 409, 500, 503] {
        for lines in [
            &[("Location", "/page/0")][..],
            &[("Content-Location", "/page/0")],
        ] {
            let page = page(&bench, status, lines);
            for write in [
                put(&page.target, "x"),
                post(&page.target, "x"),
                delete(&page.target),
            ] {
                page.send(&write);
                assert!(
                    page.get().is_hit() && other.get().is_hit(),
                    "{status} {lines:?}"
                );
            }
        }
    }
}

#[test]
fn a_write_invalidates_its_target_with_its_query_only() {
    // RFC 9111 §4.4: the target URI; more is a route's to list
    let origin = Origin::answering(ok(&[FRESH]));
    let gateway = Gateway::before(&origin).start();
    for target in ["/books", "/books?page=2", "/books/1"] {
        gateway.get(target).expect(200);
    }
    gateway.send(&put("/books?page=2", "x")).expect(200);
    let hits = ["/books", "/books?page=2", "/books/1"].map(|target| gateway.get(target).is_hit());
    assert_eq!(hits, [true, false, true]);
}

#[test]
fn a_head_may_be_answered_from_a_get_and_never_the_other_way_round() {
    // RFC 9110 §9.3.1, §9.3.2
    let bench = Bench::new();
    let page = bench.answering([ok(&[FRESH])]);
    assert!(!page.send(&head(&page.target)).is_hit());
    assert!(!page.get().is_hit());
    assert!(page.send(&head(&page.target)).is_hit());
    assert_eq!(page.count(), 2);
}

#[test]
fn a_post_s_answer_is_stored_only_as_the_rules_say() {
    // RFC 9110 §9.3.3: explicit freshness, 200, and a Content-Location that is the target
    let bench = Bench::new();
    let mut failed = Rows::default();
    for (status, freshness, location, stored) in [
        (200, FRESH, "own", true),
        (
            200,
            ("Expires", "Tue, 14 Nov 2023 22:43:20 GMT"),
            "own",
            true,
        ),
        (200, FRESH, "/other", false),
        (200, FRESH, "", false),
        (
            200,
            ("Last-Modified", "Sun, 06 Nov 1994 08:49:37 GMT"),
            "own",
            false,
        ),
        (200, ("Cache-Control", "no-store"), "own", false),
        (200, ("Cache-Control", "private, max-age=60"), "own", false),
        (201, FRESH, "own", false),
        (404, FRESH, "own", false),
    ] {
        let page = bench.page(move |_, request| {
            let own = request.target.clone();
            let location = if location == "own" {
                own
            } else {
                location.to_owned()
            };
            let answer = with(reply(status), &[freshness]).body(request.method.clone());
            match location.is_empty() {
                true => answer,
                false => answer.field("Content-Location", location),
            }
        });
        page.send(&post(&page.target, "x")).expect(status);
        let later = page.get();
        failed.check(later.is_hit() == stored, || {
            format!("{status} {freshness:?} {location:?}: {}", brief(&later))
        });
        failed.check(!later.is_hit() || later.text() == "POST", || brief(&later));
        // and no POST is ever answered from the store
        failed.check(!page.send(&post(&page.target, "x")).is_hit(), || {
            format!("{status} {freshness:?} {location:?}: a POST was")
        });
    }
}

#[test]
fn methods_are_passed_on_as_they_are_written() {
    // RFC 9110 §9.1: case-sensitive, and any token
    let bench = Bench::new();
    let page = bench.answering([ok(&[FRESH])]);
    for method in ["get", "Get", "FROB", "M-SEARCH", "X!#$%&'*+-.^_`|~9"] {
        page.send(&request(method, &page.target)).expect(200);
        assert_eq!(page.last().method, method);
    }
    assert!(!page.get().is_hit());
}
