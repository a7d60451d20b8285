//! Validators in the wild: what a client's conditions match, what goes upstream for what is stored (RFC 9110 §8.8, §13.1,
//! RFC 9111 §4.3).

use super::bench::{Bench, Lines, Rows, brief, ok};
use super::with;
use crate::common::{head, reply};

const FRESH: (&str, &str) = ("Cache-Control", "max-age=60");
const OLD: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

/// (the stored response's fields, the request's, whether it is not modified)
fn conditions(rows: &[(Lines<'_>, Lines<'_>, bool)]) {
    let bench = Bench::new();
    let mut failed = Rows::default();
    for (stored, asks, not_modified) in rows {
        let page = bench.answering([with(ok(&[FRESH]), stored), reply(500)]);
        page.get().expect(200);
        let answer = page.ask(asks);
        let status = if *not_modified { 304 } else { 200 };
        failed.check(answer.status == status && answer.is_hit(), || {
            format!("{stored:?} {asks:?}: {}", brief(&answer))
        });
        failed.check(status == 200 || answer.body.is_empty(), || brief(&answer));
        let request = page.request("HEAD");
        let request = asks
            .iter()
            .fold(request, |request, (n, v)| request.field(n, v));
        let headed = page.send(&request);
        failed.check(headed.status == status && headed.is_hit(), || {
            format!("HEAD {stored:?} {asks:?}: {}", brief(&headed))
        });
    }
}

#[test]
fn if_none_match_in_the_wild() {
    let tag = |value| ("ETag", value);
    let inm = |value| ("If-None-Match", value);
    conditions(&[
        (&[tag("\"a\"")], &[inm("\"a\"")], true),
        (&[tag("\"a\"")], &[inm("W/\"a\"")], true),
        (&[tag("W/\"a\"")], &[inm("\"a\"")], true),
        (&[tag("W/\"a\"")], &[inm("W/\"a\"")], true),
        (&[tag("\"a\"")], &[inm("\"A\"")], false),
        (&[tag("\"a\"")], &[inm("\"a \"")], false),
        (&[tag("\"a\"")], &[inm("\"a\", \"b\"")], true),
        (&[tag("\"a\"")], &[inm("\"b\", \"a\", \"c\"")], true),
        (&[tag("\"a\"")], &[inm("\"b\", \"a\"")], true),
        (&[tag("\"a\"")], &[inm("\"b\",\"a\"")], true),
        (&[tag("\"a\"")], &[inm("\"b\",,W/\"a\",")], true),
        (&[tag("\"a\"")], &[inm("\"b\""), inm("\"a\"")], true),
        (&[tag("\"a\"")], &[inm("\"b\", \"c\"")], false),
        (&[tag("\"a\"")], &[inm("*")], true),
        (&[], &[inm("*")], true),
        (&[], &[inm("\"a\"")], false),
        (&[tag("\"\"")], &[inm("\"\"")], true),
        (&[tag("\"a,b\"")], &[inm("\"a,b\"")], true),
        (&[tag("\"a\"")], &[inm("\"a,b\"")], false),
        (&[tag("\"b\"")], &[inm("\"a,b\"")], false),
        (&[tag("\"a\\\"")], &[inm("\"a\\\"")], true),
        (&[tag("\"W/a\"")], &[inm("W/\"a\"")], false),
        // without quotes, as some APIs have them: as it is, and as clients mend it
        (&[tag("a")], &[inm("a")], true),
        (&[tag("a")], &[inm("b")], false),
        (&[tag("a")], &[inm("b, a")], true),
        (&[tag("a")], &[inm("\"a\"")], true),
        (&[tag("\"a\"")], &[inm("a")], true),
        (&[tag("\"a\"")], &[inm("\"b")], false),
        (&[tag("\"a\"")], &[inm("")], false),
    ]);
}

#[test]
fn if_modified_since_in_the_wild() {
    let lm = ("Last-Modified", OLD);
    let ims = |value| ("If-Modified-Since", value);
    let date = ("Date", "Tue, 14 Nov 2023 22:13:20 GMT");
    conditions(&[
        (&[lm], &[ims(OLD)], true),
        (&[lm], &[ims("Sun, 06 Nov 1994 08:49:38 GMT")], true),
        (&[lm], &[ims("Sun, 06 Nov 1994 08:49:36 GMT")], false),
        (&[lm], &[ims("Sunday, 06-Nov-94 08:49:37 GMT")], true),
        (&[lm], &[ims("Sun Nov  6 08:49:37 1994")], true),
        (&[lm], &[ims("sun, 06 nov 1994 08:49:37 gmt")], true),
        (&[lm], &[ims("Fri, 31 Dec 9999 23:59:59 GMT")], true),
        // invalid, repeated: ignored (§13.1.3)
        (&[lm], &[ims("yesterday")], false),
        (&[lm], &[ims("")], false),
        (&[lm], &[ims("0")], false),
        (&[lm], &[ims("784111777")], false),
        (&[lm], &[ims("Sun, 06 Nov 1994 08:49:37 PST")], false),
        (&[lm], &[ims(OLD), ims(OLD)], false),
        (
            &[lm],
            &[ims("Sun, 06 Nov 1994 08:49:37 GMT; length=4")],
            false,
        ),
        // RFC 9111 §4.3.2: by Date where there is no Last-Modified, or none that is a date
        (&[date], &[ims("Tue, 14 Nov 2023 22:13:20 GMT")], true),
        (&[date], &[ims("Tue, 14 Nov 2023 22:13:19 GMT")], false),
        (&[], &[ims("Tue, 14 Nov 2023 22:13:20 GMT")], true),
        (&[], &[ims("Tue, 14 Nov 2023 22:13:19 GMT")], false),
        (
            &[("Last-Modified", "x"), date],
            &[ims("Tue, 14 Nov 2023 22:13:20 GMT")],
            true,
        ),
        // §13.2.2: not beside If-None-Match, however that turns out
        (
            &[lm, ("ETag", "\"a\"")],
            &[ims(OLD), ("If-None-Match", "\"b\"")],
            false,
        ),
        (
            &[lm, ("ETag", "\"a\"")],
            &[
                ims("Sat, 05 Nov 1994 08:49:37 GMT"),
                ("If-None-Match", "\"a\""),
            ],
            true,
        ),
        (&[lm], &[ims(OLD), ("If-None-Match", "\"b\"")], false),
        (&[lm, ("ETag", "\"a\"")], &[ims(OLD)], true),
    ]);
}

#[test]
fn a_304_has_what_caches_need_and_no_more() {
    // RFC 9110 §15.4.5
    let bench = Bench::with(|setup| setup.cache("set_cookie = \"store\""));
    let page = bench.answering([ok(&[
        FRESH,
        ("ETag", "\"a\""),
        ("Last-Modified", OLD),
        ("Vary", "X-A"),
        ("Expires", "Tue, 14 Nov 2023 22:43:20 GMT"),
        ("Content-Location", "/a"),
        ("Content-Type", "text/plain"),
        ("Content-Language", "en"),
        ("Content-Encoding", "x-own"),
        ("Set-Cookie", "a=b"),
        ("X-A", "1"),
    ])]);
    page.get().expect(200);
    bench.pass(5);
    let answer = page.ask(&[("If-None-Match", "\"a\"")]);
    assert_eq!(answer.status, 304);
    for name in [
        "etag",
        "cache-control",
        "vary",
        "expires",
        "content-location",
        "date",
        "age",
        "via",
        "cache-status",
    ] {
        assert!(answer.field(name).is_some(), "{name}: {}", brief(&answer));
    }
    for name in [
        "content-type",
        "content-language",
        "content-encoding",
        "transfer-encoding",
    ] {
        assert_eq!(answer.field(name), None, "{name}");
    }
    // §8.6: that of the 200, or none
    assert!(matches!(answer.field("content-length"), None | Some("4")));
    assert_eq!(answer.age(), Some(5));
}

#[test]
fn what_is_not_a_success_is_not_not_modified() {
    // RFC 9110 §13.2.1
    let bench = Bench::new();
    for status in [301, 404, 410, 500] {
        let lines = [FRESH, ("ETag", "\"a\""), ("Last-Modified", OLD)];
        let page = bench.answering([with(reply(status), &lines)]);
        page.get().expect(status);
        for asks in [
            ("If-None-Match", "\"a\""),
            ("If-None-Match", "*"),
            ("If-Modified-Since", OLD),
        ] {
            let answer = page.ask(&[asks]);
            assert_eq!((answer.status, answer.is_hit()), (status, true), "{asks:?}");
        }
    }
}

#[test]
fn what_goes_upstream_to_validate() {
    // RFC 9111 §4.3.1, RFC 9110 §13.1.2, §13.1.3: (the stored fields, the client's, If-None-Match, If-Modified-Since)
    type Sent = Option<&'static str>;
    let tag = ("ETag", "\"a\"");
    let lm = ("Last-Modified", OLD);
    let rows: &[(Lines<'_>, Lines<'_>, Sent, Sent)] = &[
        (&[tag], &[], Some("\"a\""), None),
        (&[("ETag", "W/\"a\"")], &[], Some("W/\"a\""), None),
        (&[("ETag", "a")], &[], Some("a"), None),
        (&[("ETag", "\"a,b\"")], &[], Some("\"a,b\""), None),
        (&[lm], &[], None, Some(OLD)),
        (&[tag, lm], &[], Some("\"a\""), Some(OLD)),
        // as it was received, whatever its format
        (
            &[("Last-Modified", "Sunday, 06-Nov-94 08:49:37 GMT")],
            &[],
            None,
            Some("Sunday, 06-Nov-94 08:49:37 GMT"),
        ),
        (&[("Last-Modified", "yesterday")], &[], None, None),
        (&[("ETag", "")], &[], None, None),
        (&[], &[], None, None),
        // the client's own stay here
        (&[tag], &[("If-None-Match", "\"b\"")], Some("\"a\""), None),
        (&[tag], &[("If-Modified-Since", OLD)], Some("\"a\""), None),
        (&[], &[("If-None-Match", "\"b\"")], None, None),
        (
            &[tag],
            &[("Range", "bytes=0-1"), ("If-Range", "\"a\"")],
            Some("\"a\""),
            None,
        ),
    ];
    let bench = Bench::new();
    let mut failed = Rows::default();
    let pages: Vec<_> = rows
        .iter()
        .map(|(stored, ..)| bench.answering([with(ok(&[("Cache-Control", "max-age=10")]), stored)]))
        .collect();
    for page in &pages {
        page.get().expect(200);
    }
    bench.pass(11);
    for (page, (stored, asks, tags, since)) in pages.iter().zip(rows) {
        page.ask(asks);
        let seen = page.last().fields;
        let sent = (seen.get("if-none-match"), seen.get("if-modified-since"));
        failed.check(sent == (*tags, *since), || {
            format!("{stored:?} {asks:?}: {sent:?}")
        });
        failed.check(!seen.has("range") && !seen.has("if-range"), || {
            format!("{stored:?} {asks:?}: {seen:?}")
        });
    }
}

#[test]
fn a_client_s_condition_meets_what_the_validation_left() {
    // RFC 9111 §4.3.2, §4.3.3: (the client's tag, what answers ours, what the client gets)
    let rows: &[(&str, u16, &str, u16)] = &[
        ("\"a\"", 304, "\"a\"", 304),
        ("\"b\"", 304, "\"a\"", 200),
        ("*", 304, "\"a\"", 304),
        ("\"a\"", 200, "\"b\"", 200),
        ("\"b\"", 200, "\"b\"", 304),
    ];
    let bench = Bench::new();
    let pages: Vec<_> = rows
        .iter()
        .map(|(_, status, tag, _)| {
            let short = ("Cache-Control", "max-age=10");
            let second = with(reply(*status), &[short, ("ETag", tag)]);
            let second = if *status == 200 {
                second.body("new")
            } else {
                second
            };
            bench.answering([ok(&[short, ("ETag", "\"a\"")]), second])
        })
        .collect();
    for page in &pages {
        page.get().expect(200);
    }
    bench.pass(11);
    for (page, row) in pages.iter().zip(rows) {
        let answer = page.ask(&[("If-None-Match", row.0)]);
        assert_eq!(answer.status, row.3, "{row:?}: {}", brief(&answer));
        assert_eq!(answer.field("etag"), Some(row.2));
    }
}

#[test]
fn a_304_with_a_weak_tag_validates_and_one_with_another_does_not() {
    // RFC 9111 §4.3.4: (stored tag, the 304's tag, whether it is used)
    let rows = [
        ("\"a\"", "\"a\"", true),
        ("W/\"a\"", "W/\"a\"", true),
        ("\"a\"", "W/\"a\"", true),
        ("W/\"a\"", "\"a\"", false),
        ("\"a\"", "\"b\"", false),
        ("W/\"a\"", "W/\"b\"", false),
        // without its quotes it is the same, weakly
        ("\"a\"", "a", true),
        ("a", "a", true),
    ];
    let bench = Bench::new();
    let pages: Vec<_> = rows
        .iter()
        .map(|(stored, named, _)| {
            let first = ok(&[("Cache-Control", "max-age=10"), ("ETag", stored)]);
            bench.validating(first, with(reply(304), &[FRESH, ("ETag", named)]))
        })
        .collect();
    for page in &pages {
        page.get().expect(200);
    }
    bench.pass(11);
    let mut failed = Rows::default();
    for (page, row) in pages.iter().zip(rows) {
        let answer = page.get();
        let used = answer.says("fwd-status=304");
        failed.check(
            answer.status == 200 && answer.text() == "1984" && used == row.2,
            || format!("{row:?}: {}", brief(&answer)),
        );
    }
}

#[test]
fn if_match_and_if_unmodified_since_are_never_answered_from_the_store() {
    // RFC 9111 §4.3.2
    let bench = Bench::new();
    for asks in [
        ("If-Match", "\"a\""),
        ("If-Match", "*"),
        ("If-Match", "\"b\""),
        ("If-Unmodified-Since", OLD),
    ] {
        let page = bench.page(move |_, request| match request.fields.has(asks.0) {
            true => reply(412),
            false => ok(&[FRESH, ("ETag", "\"a\""), ("Last-Modified", OLD)]),
        });
        page.get().expect(200);
        assert_eq!(page.ask(&[asks]).status, 412);
        assert_eq!(page.last().fields.get(asks.0), Some(asks.1));
        let request = head(&page.target).field(asks.0, asks.1);
        assert_eq!(page.send(&request).status, 412, "HEAD");
        assert!(page.get().is_hit(), "and what is stored stays");
    }
}
