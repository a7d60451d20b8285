//! The kin of RFC 9111 in the wild: targeted fields (RFC 9213), cache groups (RFC 9875), No-Vary-Search, QUERY
//! (RFC 10008), Cache-Status (RFC 9211), CDN-Loop (RFC 8586).

use super::bench::{Bench, Lines, Rows, brief, ok};
use super::{secs, with};
use crate::common::{Answer, Gateway, Origin, delete, get, head, post, put, reply, request};

const FRESH: (&str, &str) = ("Cache-Control", "max-age=60");

/// (fields, for how many seconds it is fresh: 0, 60 or 3600)
fn targeted(rows: &[(Lines<'_>, i64)]) {
    let bench = Bench::new();
    let mut failed = Rows::default();
    for (lines, lifetime) in rows {
        let page = bench.answering([ok(lines)]);
        page.get().expect(200);
        let again = page.ask(&[("Cache-Control", "only-if-cached")]);
        let ttl = again.is_hit().then(|| again.number("ttl")).flatten();
        failed.check(ttl.unwrap_or(0) == *lifetime, || {
            format!("{lines:?}: {}", again.cache_status())
        });
    }
}

#[test]
fn targeted_fields_in_the_wild() {
    let no_store = ("Cache-Control", "no-store");
    let hour = ("Cache-Control", "max-age=3600");
    let cdn = |value| ("CDN-Cache-Control", value);
    targeted(&[
        // RFC 9213 §2.2: alone it decides
        (&[cdn("max-age=60"), no_store], 60),
        (&[cdn("max-age=60"), hour], 60),
        (
            &[cdn("max-age=60"), ("Expires", "0"), ("Pragma", "no-cache")],
            60,
        ),
        (&[cdn("s-maxage=60, max-age=1"), no_store], 60),
        (&[cdn("no-store"), hour], 0),
        (&[cdn("private"), hour], 0),
        (&[cdn("no-cache"), hour], 0),
        (&[cdn("max-age=0"), hour], 0),
        (&[cdn("must-revalidate, max-age=60"), no_store], 60),
        // present and valid, without a lifetime: Expires and Cache-Control stay out of it
        (&[cdn("foo"), hour], 0),
        (
            &[
                cdn("public"),
                hour,
                ("Expires", "Fri, 31 Dec 9999 23:59:59 GMT"),
            ],
            0,
        ),
        // §2.1: structured fields, so these are not valid, and Cache-Control counts
        (&[cdn(""), hour], 3600),
        (&[cdn("max-age=60,"), hour], 3600),
        (&[cdn("max-age=60 x"), hour], 3600),
        (&[cdn("max-age =60"), hour], 3600),
        (&[cdn("max-age= 60"), hour], 3600),
        (&[cdn("Max-Age=60"), hour], 3600),
        (&[cdn("max-age=60, &"), hour], 3600),
        (&[cdn("max-age=\"60"), hour], 3600),
        (&[cdn("max-age=060"), hour], 60),
        // values of another type: stale, not ignored
        (&[cdn("max-age=\"60\""), hour], 0),
        (&[cdn("max-age=60.5"), hour], 0),
        (&[cdn("max-age=-60"), hour], 0),
        (&[cdn("max-age"), hour], 0),
        (&[cdn("max-age=?1"), hour], 0),
        (&[cdn("no-store=?0, max-age=60"), hour], 60),
        (&[cdn("no-store=?1, max-age=60"), hour], 0),
        (&[cdn("no-store=1, max-age=60"), hour], 0),
        // parameters are ignored; the last of the same key counts (RFC 9651 §4.2.2)
        (&[cdn("max-age=60;a=b"), hour], 60),
        (&[cdn("max-age=3600, max-age=60"), no_store], 60),
        // several lines are one dictionary
        (&[cdn("max-age=60"), cdn("foo"), no_store], 60),
        (&[cdn("max-age=60"), cdn("no-store"), hour], 0),
        // the target list: ours before all CDNs'
        (
            &[
                ("Bookend-Cache-Control", "max-age=60"),
                cdn("no-store"),
                no_store,
            ],
            60,
        ),
        (
            &[
                ("Bookend-Cache-Control", "no-store"),
                cdn("max-age=60"),
                hour,
            ],
            0,
        ),
        (
            &[("Bookend-Cache-Control", ""), cdn("max-age=60"), no_store],
            60,
        ),
        (&[("Bookend-Cache-Control", "&"), cdn("&"), hour], 3600),
        // those of others mean nothing
        (&[("Other-Cache-Control", "no-store"), hour], 3600),
        (&[("Surrogate-Control", "no-store"), hour], 3600),
    ]);
}

#[test]
fn targeted_staleness() {
    // RFC 9213 §2.2: all directives are the targeted field's
    let bench = Bench::new();
    let page = bench.answering([
        ok(&[
            ("CDN-Cache-Control", "max-age=60, stale-if-error=60"),
            ("Cache-Control", "max-age=1, must-revalidate"),
        ]),
        reply(503),
    ]);
    page.get();
    bench.pass(61);
    page.get().expect(200);
    let page = bench.answering([
        ok(&[
            ("CDN-Cache-Control", "max-age=60, must-revalidate"),
            ("Cache-Control", "max-age=60, stale-if-error=600"),
        ]),
        reply(503),
    ]);
    page.get();
    bench.pass(61);
    page.get().expect(503);
}

#[test]
fn groups_in_the_wild() {
    // RFC 9875 §2, §3: (the member's Cache-Groups, what a write invalidates, whether that is gone)
    let mut failed = Rows::default();
    let many = (0..40)
        .map(|n| format!("\"group-{n:032}\""))
        .collect::<Vec<_>>()
        .join(", ");
    let last = format!("\"group-{:032}\"", 31);
    for (groups, invalidation, gone) in [
        ("\"a\"", "\"a\"", true),
        ("\"a\", \"b\"", "\"b\"", true),
        ("\"b\", \"a\"", "\"x\", \"a\"", true),
        ("\"a\";x=1", "\"a\";y=2", true),
        ("\"A\"", "\"a\"", false),
        ("\"a \"", "\"a\"", false),
        ("\"a\"", "\"b\"", false),
        ("\"\"", "\"\"", true),
        ("\"a, b\"", "\"a, b\"", true),
        (&*many, &*last, true),
        // tokens are no strings; what does not parse means nothing
        ("a", "a", false),
        ("\"a\"", "a", false),
        ("\"a\",", "\"a\"", false),
        ("\"a\"", "\"a\" \"b\"", false),
        ("\"a\"", "", false),
    ] {
        let (groups, invalidation) = (groups.to_owned(), invalidation.to_owned());
        let row = format!("{groups:.40} {invalidation:.40}");
        let origin = Origin::start(move |request, conn| {
            let answer = match &*request.method {
                "GET" => ok(&[FRESH, ("Cache-Groups", &groups)]),
                _ => reply(200).field("Cache-Group-Invalidation", &invalidation),
            };
            conn.reply(request, &answer);
        });
        let gateway = Gateway::before(&origin).start();
        gateway.get("/a").expect(200);
        gateway.send(&post("/b", "x")).expect(200);
        failed.check(gateway.get("/a").is_hit() != gone, || row);
    }
}

#[test]
fn group_invalidation_counts_as_a_write_s_does() {
    // RFC 9875 §3: not for what failed, nor for safe methods
    for (method, status, gone) in [
        ("POST", 200, true),
        ("DELETE", 204, true),
        ("X-OWN", 303, true),
        ("POST", 400, false),
        ("POST", 503, false),
        ("OPTIONS", 200, false),
        ("HEAD", 200, false),
        ("QUERY", 200, false),
    ] {
        let origin = Origin::start(move |request, conn| {
            let answer = match &*request.target {
                "/a" => ok(&[FRESH, ("Cache-Groups", "\"a\"")]),
                _ => reply(status).field("Cache-Group-Invalidation", "\"a\""),
            };
            conn.reply(request, &answer);
        });
        let gateway = Gateway::before(&origin).start();
        gateway.get("/a").expect(200);
        gateway.send(&request(method, "/b").field("Content-Type", "text/plain"));
        assert_eq!(!gateway.get("/a").is_hit(), gone, "{method} {status}");
    }
}

#[test]
fn a_304_changes_the_groups_of_what_it_validates() {
    let bench = Bench::new();
    let first = [
        ("Cache-Control", "max-age=10"),
        ("ETag", "\"v\""),
        ("Cache-Groups", "\"old\""),
    ];
    let update = [FRESH, ("ETag", "\"v\""), ("Cache-Groups", "\"new\"")];
    let page = bench.validating(ok(&first), with(reply(304), &update));
    let drop_group = |group: &'static str| {
        let writer = bench.page(move |_, _| reply(200).field("Cache-Group-Invalidation", group));
        writer.send(&post(&writer.target, "x"));
    };
    page.get();
    bench.pass(11);
    page.get();
    drop_group("\"old\"");
    assert!(page.get().is_hit());
    drop_group("\"new\"");
    assert!(!page.get().is_hit());
}

/// Whether a response to `first` with this No-Vary-Search answers `second`.
fn search(rows: &[(&str, &str, &str, bool)]) {
    let mut failed = Rows::default();
    for (rule, first, second, reused) in rows {
        let rule = (*rule).to_owned();
        let row = format!("{rule}: {first:?}, {second:?}");
        let origin = Origin::start(move |request, conn| {
            conn.reply(request, &ok(&[FRESH, ("No-Vary-Search", &rule)]));
        });
        let gateway = Gateway::before(&origin).start();
        gateway.get(&format!("/a{first}")).expect(200);
        let again = gateway.get(&format!("/a{second}")).expect(200);
        failed.check(again.is_hit() == *reused, || {
            format!("{row}: {}", again.cache_status())
        });
    }
}

#[test]
fn no_vary_search_in_the_wild() {
    search(&[
        ("except=()", "?a=1", "?b=2", true),
        ("except=()", "?a=1", "", true),
        ("params=()", "?a=1", "?a=2", false),
        ("params=(\"u\")", "?a=1&u=x", "?a=1&u=y", true),
        ("params=(\"u\")", "?a=1&u=x", "?a=1", true),
        ("params=(\"u\")", "?u=1&a=1&u=2", "?a=1", true),
        ("params=(\"u\")", "?a=1&u=x", "?a=2&u=x", false),
        ("params=(\"u\")", "?a=1&b=1", "?b=1&a=1", false),
        ("params=(\"u\" \"v\")", "?u=1&v=2&a=3", "?a=3", true),
        ("except=(\"a\")", "?a=1&b=2", "?b=3&a=1", true),
        ("except=(\"a\")", "?a=1&b=2", "?a=2&b=2", false),
        ("key-order", "?a=1&b=2", "?b=2&a=1", true),
        ("key-order", "?a=1&a=2", "?a=2&a=1", false),
        ("key-order=?0", "?a=1&b=2", "?b=2&a=1", false),
        (
            "key-order, params=(\"u\")",
            "?u=1&a=1&b=2",
            "?b=2&a=1",
            true,
        ),
        // names are compared as they mean
        ("params=(\"a b\")", "?a+b=1", "?a%20b=2", true),
        ("params=(\"%C3%A9\")", "?%C3%A9=1", "?%c3%a9=2", true),
        ("params=(\"u\")", "?x=%61", "?x=a", true),
        // invalid: as if it were not there
        ("params=\"u\"", "?u=1", "?u=2", false),
        ("params=(u)", "?u=1", "?u=2", false),
        ("params=?1", "?u=1", "?u=2", false),
        ("params=(\"u\"), except=(\"a\")", "?u=1", "?u=2", false),
        ("key-order=1", "?a=1&b=2", "?b=2&a=1", false),
        ("params=(\"u\"", "?u=1", "?u=2", false),
        ("", "?u=1", "?u=2", false),
        ("foo, params=(\"u\")", "?u=1", "?u=2", true),
    ]);
}

#[test]
fn no_vary_search_is_of_one_path_and_authority() {
    let origin = Origin::answering(ok(&[FRESH, ("No-Vary-Search", "except=()")]));
    let gateway = Gateway::before(&origin).start();
    let at = |host: &str, target: &str| gateway.send(&get(target).field("Host", host));
    at("a", "/x?1").expect(200);
    assert!(at("a", "/x?2").is_hit());
    assert!(!at("a", "/y?2").is_hit());
    assert!(!at("b", "/x?2").is_hit());
}

fn query(gateway: &Gateway, content: &str, lines: Lines<'_>) -> Answer {
    let request = request("QUERY", "/books").body(content);
    let request = lines
        .iter()
        .fold(request, |request, (n, v)| request.field(n, v));
    gateway.send(&request)
}

#[test]
fn a_query_in_the_wild() {
    // RFC 10008: (content and fields of the first, of the second, whether it is answered from the store)
    type Asked<'a> = (&'a str, Lines<'a>);
    let text = ("Content-Type", "text/plain");
    let rows: &[(Asked<'_>, Asked<'_>, bool)] = &[
        (("a", &[text]), ("a", &[text]), true),
        (("a", &[text]), ("b", &[text]), false),
        (("a", &[text]), ("a ", &[text]), false),
        (("", &[text]), ("", &[text]), true),
        (
            ("a", &[text]),
            ("a", &[("Content-Type", "text/csv")]),
            false,
        ),
        (
            ("a", &[text]),
            ("a", &[text, ("Content-Encoding", "gzip")]),
            false,
        ),
        (("a", &[text]), ("a", &[text, ("X-Other", "1")]), true),
        (
            ("a", &[text]),
            ("a", &[text, ("Cache-Control", "no-cache")]),
            false,
        ),
        (("a", &[]), ("a", &[]), false),
        (
            ("a", &[text, ("Authorization", "Basic x")]),
            ("a", &[text]),
            false,
        ),
        (
            ("a", &[text, ("Cache-Control", "no-store")]),
            ("a", &[text]),
            false,
        ),
    ];
    let mut failed = Rows::default();
    for (first, second, reused) in rows {
        let origin = Origin::start(|request, conn| {
            conn.reply(request, &ok(&[FRESH]).body(request.text()));
        });
        let gateway = Gateway::before(&origin).start();
        assert_eq!(
            query(&gateway, first.0, first.1).expect(200).text(),
            first.0
        );
        let again = query(&gateway, second.0, second.1).expect(200);
        failed.check(
            again.text() == second.0 && again.is_hit() == *reused,
            || format!("{first:?} {second:?}: {}", brief(&again)),
        );
    }
}

#[test]
fn a_query_is_validated_cut_and_conditional_as_a_get_is() {
    // RFC 10008 §2
    let origin = Origin::start(|request, conn| {
        let lines = [("Cache-Control", "max-age=10"), ("ETag", "\"v1\"")];
        let known = request.fields.has("if-none-match");
        let answer = if known {
            reply(304)
        } else {
            reply(200).body("0123456789")
        };
        conn.reply(request, &with(answer, &lines));
    });
    let gateway = Gateway::before(&origin).manual_clock().start();
    let text = ("Content-Type", "text/plain");
    query(&gateway, "a", &[text]).expect(200);
    let cut = query(&gateway, "a", &[text, ("Range", "bytes=2-4")]);
    assert_eq!((cut.status, &*cut.text(), cut.is_hit()), (206, "234", true));
    let known = query(&gateway, "a", &[text, ("If-None-Match", "\"v1\"")]);
    assert_eq!((known.status, known.is_hit()), (304, true));
    gateway.advance(secs(11));
    let validated = query(&gateway, "a", &[text]).expect(200);
    assert!(validated.says("fwd-status=304"), "{}", brief(&validated));
    let seen = origin.last();
    assert_eq!(
        (&*seen.method, &*seen.text()),
        ("QUERY", "a"),
        "with its content"
    );
}

#[test]
fn a_large_query_is_answered_and_not_stored() {
    let origin = Origin::start(|request, conn| {
        conn.reply(request, &ok(&[FRESH]).body(request.body.len().to_string()));
    });
    let gateway = Gateway::before(&origin).start();
    let content = "x".repeat(65 * 1024);
    for _ in 0..2 {
        let answer = query(&gateway, &content, &[("Content-Type", "text/plain")]);
        assert!(matches!(answer.status, 200 | 413), "{}", answer.status);
        assert!(!answer.is_hit());
    }
}

#[test]
fn cache_status_in_each_case() {
    // RFC 9211 §2: (what is asked for, the member)
    let bench = Bench::new();
    let stored = bench.validating(
        ok(&[FRESH, ("ETag", "\"v1\"")]),
        with(reply(304), &[FRESH, ("ETag", "\"v1\"")]),
    );
    let varied = bench.answering([ok(&[FRESH, ("Vary", "X-A")])]);
    let unstored = bench.answering([ok(&[("Cache-Control", "no-store")])]);
    let status = |answer: Answer| answer.cache_status();
    assert_eq!(
        status(stored.get()),
        "bookend; fwd=uri-miss; fwd-status=200; stored"
    );
    bench.pass(10);
    assert_eq!(status(stored.get()), "bookend; hit; ttl=50");
    assert_eq!(
        status(stored.ask(&[("Cache-Control", "no-cache")])),
        "bookend; fwd=request; fwd-status=304; stored"
    );
    bench.pass(61);
    assert_eq!(
        status(stored.ask(&[("Cache-Control", "max-stale")])),
        "bookend; hit; ttl=-1; detail=max-stale"
    );
    assert_eq!(
        status(stored.get()),
        "bookend; fwd=stale; fwd-status=304; stored"
    );
    // what the response's own word asked for, be it fresh or stale
    for (says, detail) in [
        ("no-cache, max-age=60", "no-cache"),
        ("max-age=0, must-revalidate", "must-revalidate"),
        ("max-age=0, proxy-revalidate", "proxy-revalidate"),
        ("s-maxage=0", "s-maxage"),
    ] {
        let lines = [("Cache-Control", says), ("ETag", "\"v1\"")];
        let page = bench.validating(ok(&lines), with(reply(304), &lines));
        page.get().expect(200);
        assert_eq!(
            status(page.get()),
            format!("bookend; fwd=stale; fwd-status=304; stored; detail={detail}")
        );
        page.get();
        assert_eq!(
            status(page.send(&head(&page.target))),
            format!("bookend; fwd=stale; fwd-status=200; detail={detail}")
        );
    }
    varied.ask(&[("X-A", "1")]);
    assert_eq!(
        status(varied.ask(&[("X-A", "2")])),
        "bookend; fwd=vary-miss; fwd-status=200; stored"
    );
    assert_eq!(
        status(unstored.get()),
        "bookend; fwd=uri-miss; fwd-status=200; detail=no-store"
    );
    assert_eq!(
        status(stored.send(&put(&stored.target, "x"))),
        "bookend; fwd=method; fwd-status=200"
    );
    assert_eq!(
        status(stored.send(&delete("/none"))),
        "bookend; fwd=method; fwd-status=404"
    );
    assert_eq!(
        status(stored.send(&head("/none"))),
        "bookend; fwd=uri-miss; fwd-status=404; detail=never-reusable"
    );
}

#[test]
fn cache_status_is_added_after_what_was_there() {
    // RFC 9211 §2
    let bench = Bench::new();
    for before in ["Inner; hit; ttl=5", "\"a, b\"; hit", "one, two; fwd=miss"] {
        let page = bench.answering([ok(&[FRESH, ("Cache-Status", before)])]);
        for own in [
            "bookend; fwd=uri-miss; fwd-status=200; stored",
            "bookend; hit; ttl=60",
        ] {
            assert_eq!(page.get().cache_status(), format!("{before}, {own}"));
        }
    }
}

#[test]
fn loops_are_found_whoever_else_was_passed() {
    // RFC 8586 §2
    let bench = Bench::new();
    let page = bench.answering([ok(&[("Cache-Control", "no-store")])]);
    page.get().expect(200);
    let own = page
        .last()
        .fields
        .get("cdn-loop")
        .expect("CDN-Loop")
        .to_owned();
    for (value, status) in [
        (own.clone(), 508),
        (format!("other, {own}, more"), 508),
        (format!("\t{own}"), 508),
        ("other; x=1, another".to_owned(), 200),
        ("bookend; process=other".to_owned(), 200),
        (String::new(), 200),
        ("&&&".to_owned(), 200),
    ] {
        let answer = page.ask(&[("CDN-Loop", &value)]);
        assert_eq!(answer.status, status, "{value:?}");
        if status == 200 && !value.is_empty() {
            let told: Vec<_> = page
                .last()
                .fields
                .all("cdn-loop")
                .map(str::to_owned)
                .collect();
            assert!(told.join(", ").starts_with(&value), "{told:?}");
        }
    }
}
