//! Every status: stored with explicit freshness, not used stale, passed on as it came (RFC 9111 §3, RFC 9110 §15).

use super::bench::{Bench, Rows, at, brief, ok};
use super::with;
use crate::common::{Gateway, Origin, Reply, get, reply};

fn answer(status: u16, lines: &[(&str, &str)], body: &str) -> Reply {
    let answer = with(reply(status), lines);
    match status {
        204 | 304 => answer,
        _ => answer.body(body),
    }
}

/// Final statuses but 206, 304 and those whose definition forbids to store them.
fn final_statuses() -> impl Iterator<Item = u16> {
    (200..600).filter(|status| !matches!(status, 206 | 304 | 428 | 429 | 431 | 511))
}

/// Those that answer what a request's own fields asked for: they are for no other request, unless Vary tells which fields.
fn is_for_one_request(status: u16) -> bool {
    matches!(status, 406 | 412..=417 | 421 | 422)
}

#[test]
fn every_final_status_is_stored_with_explicit_freshness_and_not_used_stale() {
    let bench = Bench::new();
    let mut failed = Rows::default();
    let pages: Vec<_> = final_statuses()
        .filter(|status| !is_for_one_request(*status))
        .map(|status| {
            let script = move |nth: usize, _: &_| {
                let expires = at(60);
                let lifetime = match status % 2 {
                    0 => ("Cache-Control", "max-age=60"),
                    _ => ("Expires", expires.as_str()),
                };
                let lines = [lifetime, ("X-Status", "as it is")];
                answer(status, &lines, &format!("{status} no. {nth}"))
            };
            (status, bench.page(script))
        })
        .collect();
    let body = |status: u16, nth: usize| match status {
        204 => String::new(),
        _ => format!("{status} no. {nth}"),
    };
    for (status, page) in &pages {
        for round in 0..3 {
            let got = page.get();
            let whole = (got.status, got.text()) == (*status, body(*status, 1))
                && got.field("x-status") == Some("as it is");
            failed.check(whole && got.is_hit() == (round > 0), || {
                format!("{status}, round {round}: {}", brief(&got))
            });
        }
    }
    bench.pass(61);
    for (status, page) in &pages {
        let got = page.get();
        let second = (got.status, got.text()) == (*status, body(*status, 2));
        failed.check(second && !got.is_hit(), || {
            format!("{status} stale: {}", brief(&got))
        });
    }
}

#[test]
fn statuses_whose_definition_forbids_it_are_never_stored() {
    // RFC 6585
    let bench = Bench::new();
    for status in [428, 429, 431, 511] {
        let page = bench.answering([answer(
            status,
            &[("Cache-Control", "public, max-age=60")],
            "no",
        )]);
        page.get().expect(status);
        assert!(!page.get().is_hit(), "{status}");
    }
}

#[test]
fn without_freshness_most_statuses_are_not_stored() {
    // RFC 9111 §3, RFC 9110 §15.1
    let bench = Bench::new();
    let mut failed = Rows::default();
    let heuristic = [200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 451, 501];
    for status in final_statuses() {
        let old = [("Last-Modified", "Sun, 06 Nov 1994 08:49:37 GMT")];
        let page = bench.answering([answer(status, &old, "old")]);
        page.get().expect(status);
        let again = page.get();
        failed.check(again.is_hit() == heuristic.contains(&status), || {
            format!("{status} by heuristics: {}", again.cache_status())
        });
        // §5.2.2.3
        let must = [("Cache-Control", "must-understand, max-age=60")];
        let page = bench.answering([answer(status, &must, "understood")]);
        page.get().expect(status);
        let unknown = matches!(status, 207..=299 | 306 | 309..=399 | 418 | 430 | 432..=450 | 452..=499 | 506..=599);
        failed.check(!(unknown && page.get().is_hit()), || {
            format!("{status} is not understood, and stored")
        });
    }
}

#[test]
fn redirects_are_passed_on_and_stored_as_they_are() {
    // RFC 9110 §15.4: not followed, not rewritten
    let bench = Bench::new();
    for status in [300, 301, 302, 303, 307, 308] {
        for location in [
            "/else?x=1#part",
            "http://other.example/",
            "//other.example/a",
            "../up",
        ] {
            let lines = [("Cache-Control", "max-age=60"), ("Location", location)];
            let page = bench.answering([answer(status, &lines, "moved")]);
            for hit in [false, true] {
                let answer = page.get().expect(status);
                assert_eq!(answer.is_hit(), hit, "{status}");
                assert_eq!(answer.field("location"), Some(location), "{status}");
            }
        }
    }
}

#[test]
fn what_answers_a_validation_instead_of_a_304() {
    // RFC 9111 §4.3.3: (status and fields of the answer, whether it is stored in turn)
    let rows: &[(u16, &[(&str, &str)], bool)] = &[
        (200, &[("Cache-Control", "max-age=60")], true),
        (203, &[("Cache-Control", "max-age=60")], true),
        (301, &[("Cache-Control", "max-age=60")], true),
        (404, &[("Cache-Control", "max-age=60")], true),
        (404, &[], false),
        (410, &[("Cache-Control", "no-store")], false),
        (403, &[], false),
        (401, &[("WWW-Authenticate", "Basic")], false),
        (500, &[], false),
        (503, &[("Retry-After", "9")], false),
    ];
    let bench = Bench::new();
    let mut failed = Rows::default();
    let pages: Vec<_> = rows
        .iter()
        .map(|(status, lines, _)| {
            let first = ok(&[("Cache-Control", "max-age=10"), ("ETag", "\"v1\"")]);
            bench.answering([first, answer(*status, lines, "second")])
        })
        .collect();
    for page in &pages {
        page.get().expect(200);
    }
    bench.pass(11);
    for (page, (status, lines, stored)) in pages.iter().zip(rows) {
        let second = page.get();
        let whole = lines
            .iter()
            .all(|(name, value)| second.field(name) == Some(value))
            && second.status == *status
            && second.text() == "second";
        failed.check(whole, || format!("{status}: {}", brief(&second)));
        failed.check(
            page.last().fields.get("if-none-match") == Some("\"v1\""),
            || format!("{status} was asked without a condition"),
        );
        let third = page.get();
        failed.check(third.status == *status && third.is_hit() == *stored, || {
            format!("{status}, later: {}", brief(&third))
        });
    }
}

#[test]
fn an_older_response_is_not_used_after_one_that_may_not_be_stored() {
    // RFC 9111 §4, §5.2.2.5: what superseded it says so
    let bench = Bench::new();
    for says in ["no-store", "no-store, max-age=0", "private", "no-cache"] {
        let page = bench.answering([
            ok(&[("Cache-Control", "max-age=3600")]),
            ok(&[("Cache-Control", says)]).body("newer"),
        ]);
        page.get().expect(200);
        assert_eq!(page.ask(&[("Cache-Control", "no-cache")]).text(), "newer");
        let later = page.get();
        assert!(!later.is_hit() && later.text() == "newer", "{says}");
    }
}

#[test]
fn a_304_that_nobody_asked_for_is_no_answer() {
    // RFC 9110 §15.4.5: neither stored nor given to a client that made no condition
    let bench = Bench::new();
    let page = bench.answering([reply(304).field("Cache-Control", "max-age=60"), ok(&[])]);
    let answer = page.get();
    assert_eq!(answer.status, 502, "{}", brief(&answer));
    assert!(!page.get().is_hit());
}

#[test]
fn a_304_to_the_client_s_own_condition_reaches_it() {
    // RFC 9110 §15.4.5: from an origin that says 304 whatever it is asked, too
    let bench = Bench::new();
    for condition in [
        ("If-None-Match", "\"v1\""),
        ("If-Modified-Since", "Sun, 06 Nov 1994 08:49:37 GMT"),
    ] {
        let page = bench.answering([
            reply(304).field("ETag", "\"v1\""),
            ok(&[("Cache-Control", "max-age=60")]),
        ]);
        let answer = page.ask(&[condition]);
        assert_eq!(answer.status, 304, "{condition:?}: {}", brief(&answer));
        assert_eq!(answer.field("etag"), Some("\"v1\""));
        assert!(page.get().expect(200).fwd("uri-miss"), "nothing is stored");
        assert!(page.get().is_hit(), "and nobody is kept from storing");
    }
}

#[test]
fn a_416_to_one_client_s_range_is_not_for_all() {
    let bench = Bench::new();
    let refused = reply(416)
        .field("Cache-Control", "max-age=60")
        .field("Content-Range", "bytes */4");
    let page = bench.answering([refused, ok(&[("Cache-Control", "max-age=60")])]);
    let first = page.ask(&[("Range", "bytes=50-60")]);
    assert_eq!(
        (first.status, first.field("content-range")),
        (416, Some("bytes */4"))
    );
    assert_eq!(page.get().expect(200).text(), "1984");
}

#[test]
fn content_is_never_sent_where_there_is_none() {
    // RFC 9110 §6.4.1, §15.3.5: what an origin sends all the same reaches neither this client nor the next answer
    for octets in [
        "HTTP/1.1 204 No Content\r\nCache-Control: max-age=60\r\nContent-Length: 4\r\n\r\n1984",
        "HTTP/1.1 204 No Content\r\nCache-Control: max-age=60\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n1984\r\n0\r\n\r\n",
        "HTTP/1.1 204 No Content\r\nCache-Control: max-age=60\r\n\r\n",
    ] {
        let origin = Origin::start(move |request, conn| match &*request.target {
            "/none" => drop(conn.write(octets)),
            _ => conn.reply(request, &ok(&[("Cache-Control", "max-age=60")])),
        });
        let gateway = Gateway::before(&origin).start();
        let mut client = gateway.client();
        for _ in 0..2 {
            let none = client.send(&get("/none"));
            match none.status {
                204 => {
                    assert!(none.body.is_empty());
                    assert_eq!(none.field("content-length"), None);
                    assert_eq!(none.field("transfer-encoding"), None);
                }
                status => assert_eq!(status, 502, "{octets:?}: {}", brief(&none)),
            }
            let some = client.get("/some").expect(200);
            assert_eq!(some.text(), "1984", "{octets:?}");
        }
    }
}

#[test]
fn an_empty_200_is_whole() {
    let bench = Bench::new();
    let page = bench.answering([with(reply(200), &[("Cache-Control", "max-age=60")])]);
    for hit in [false, true] {
        let answer = page.get().expect(200);
        assert_eq!((answer.is_hit(), &*answer.text()), (hit, ""));
        assert_eq!(answer.field("content-length"), Some("0"));
    }
    // A range of nothing is the whole of it (RFC 9110 §14.2).
    page.ask(&[("Range", "bytes=0-1")]).expect(200);
}
