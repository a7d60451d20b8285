//! What a stored response may be used for, by the request's word and the response's, fresh and stale, with the API well
//! and unwell (RFC 9111 §4, §4.2.4, §5.2, RFC 5861, RFC 8246).

use super::bench::{Bench, Lines, Page, Rows, brief, ok};
use super::{secs, with};
use crate::common::{Gateway, Origin, get, head, reply};

/// What a request got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Got {
    Hit,
    /// What was stored, after a 304.
    Validated,
    /// 504 without a word to the origin.
    Refused,
}

use Got::{Hit, Refused, Validated};

/// (the response's Cache-Control, seconds passed, the request's Cache-Control, what it gets)
fn table(rows: &[(&str, u64, &str, Got)]) {
    let mut failed = Rows::default();
    for (says, after, asks, expected) in rows {
        let bench = Bench::new();
        let lines = [("Cache-Control", *says), ("ETag", "\"v1\"")];
        let page = bench.validating(ok(&lines), with(reply(304), &lines));
        page.get().expect(200);
        bench.pass(*after);
        let answer = page.ask(&[("Cache-Control", asks)]);
        let got = match answer.status {
            200 if answer.is_hit() => Some(Hit),
            200 if answer.says("fwd-status=304") => Some(Validated),
            504 if page.count() == 1 => Some(Refused),
            _ => None,
        };
        failed.check(got == Some(*expected), || {
            format!("{says}, after {after}, {asks}: {}", brief(&answer))
        });
    }
}

#[test]
fn a_request_s_word_on_what_is_fresh() {
    table(&[
        // RFC 9111 §5.2.1.1
        ("max-age=60", 10, "max-age=10", Hit),
        ("max-age=60", 11, "max-age=10", Validated),
        ("max-age=60", 0, "max-age=0", Validated),
        ("max-age=60", 0, "max-age=00", Validated),
        ("max-age=60", 10, "max-age=\"10\"", Hit),
        ("max-age=60", 11, "MAX-AGE=10", Validated),
        ("max-age=60", 11, "max-age=999999999999", Hit),
        ("max-age=60", 11, "max-age=10, max-age=60", Validated),
        ("max-age=60", 11, "max-age=60, max-age=10", Validated),
        ("max-age=60, immutable", 11, "max-age=10", Validated),
        // §5.2.1.3
        ("max-age=60", 10, "min-fresh=50", Hit),
        ("max-age=60", 11, "min-fresh=50", Validated),
        ("max-age=60", 0, "min-fresh=0", Hit),
        ("max-age=60", 0, "min-fresh=61", Validated),
        ("max-age=60", 0, "min-fresh=99999999999", Validated),
        // §5.2.1.4, and what a reload sends
        ("max-age=60", 0, "no-cache", Validated),
        ("max-age=60", 0, "No-Cache", Validated),
        ("max-age=60", 0, "no-cache, max-age=60", Validated),
        (
            "max-age=60",
            0,
            "max-age=60, no-cache, min-fresh=1",
            Validated,
        ),
        // §5.2.1.5: what is stored already may answer
        ("max-age=60", 0, "no-store", Hit),
        // §5.2.1.6, §5.2.1.7
        ("max-age=60", 0, "no-transform", Hit),
        ("max-age=60", 0, "only-if-cached", Hit),
        ("max-age=60", 61, "only-if-cached", Refused),
        ("max-age=60", 0, "only-if-cached, no-cache", Refused),
        ("max-age=60", 11, "only-if-cached, max-age=10", Refused),
        ("max-age=60", 70, "only-if-cached, max-stale", Hit),
        ("no-cache", 0, "only-if-cached", Refused),
        // §5.2.3
        ("max-age=60", 0, "foo, bar=\"no-cache\"", Hit),
        ("max-age=60", 0, ",,", Hit),
        (
            "max-age=60",
            0,
            "s-maxage=0, must-revalidate, private, immutable",
            Hit,
        ),
    ]);
}

#[test]
fn a_request_s_word_on_what_is_stale() {
    table(&[
        // RFC 9111 §5.2.1.2
        ("max-age=60", 60, "", Validated),
        ("max-age=60", 61, "max-stale", Hit),
        ("max-age=60", 6000, "max-stale", Hit),
        ("max-age=60", 70, "max-stale=10", Hit),
        ("max-age=60", 71, "max-stale=10", Validated),
        ("max-age=60", 70, "max-stale=\"10\"", Hit),
        ("max-age=60", 70, "max-stale=99999999999", Hit),
        ("max-age=60", 70, "max-stale=0", Validated),
        ("max-age=60", 70, "max-stale=x", Validated),
        ("max-age=60", 70, "max-stale, max-age=70", Hit),
        ("max-age=60", 71, "max-stale, max-age=70", Validated),
        ("max-age=60", 70, "max-stale=20, min-fresh=5", Validated),
        ("max-age=60", 70, "max-stale, no-cache", Validated),
        // §4.2.4: what the response forbids
        ("max-age=60, must-revalidate", 61, "max-stale", Validated),
        ("max-age=60, proxy-revalidate", 61, "max-stale", Validated),
        ("s-maxage=60", 61, "max-stale", Validated),
        ("max-age=60, no-cache", 0, "max-stale", Validated),
        ("max-age=0, must-revalidate", 0, "max-stale", Validated),
        ("max-age=60, MUST-REVALIDATE=1", 61, "max-stale", Validated),
        ("max-age=60, must-revalidate", 59, "max-stale", Hit),
        // RFC 5861 §3
        ("max-age=60, stale-while-revalidate=30", 61, "", Hit),
        ("max-age=60, stale-while-revalidate=30", 89, "", Hit),
        ("max-age=60, stale-while-revalidate=30", 91, "", Validated),
        ("max-age=60, stale-while-revalidate=0", 61, "", Validated),
        ("max-age=60, stale-while-revalidate=x", 61, "", Validated),
        ("max-age=60, stale-while-revalidate", 61, "", Validated),
        (
            "max-age=60, stale-while-revalidate=30",
            61,
            "no-cache",
            Validated,
        ),
        (
            "max-age=60, stale-while-revalidate=30",
            61,
            "max-age=70",
            Validated,
        ),
        (
            "max-age=60, stale-while-revalidate=30, must-revalidate",
            61,
            "",
            Validated,
        ),
        (
            "max-age=60, stale-while-revalidate=30, proxy-revalidate",
            61,
            "",
            Validated,
        ),
        ("s-maxage=60, stale-while-revalidate=30", 61, "", Validated),
        ("no-cache, stale-while-revalidate=30", 0, "", Validated),
        ("max-age=0, stale-while-revalidate=30", 10, "", Hit),
        (
            "max-age=60, stale-while-revalidate=30",
            61,
            "only-if-cached",
            Hit,
        ),
        // RFC 8246 §2
        ("max-age=60, immutable", 61, "", Validated),
    ]);
}

#[test]
fn a_route_may_leave_request_directives_unhonoured() {
    let bench = Bench::with(|setup| setup.cache("honour = []"));
    let page = bench.answering([ok(&[("Cache-Control", "max-age=60")])]);
    page.get().expect(200);
    bench.pass(30);
    for asks in ["no-cache", "max-age=0", "min-fresh=50", "no-store"] {
        assert!(page.ask(&[("Cache-Control", asks)]).is_hit(), "{asks}");
    }
    assert!(page.ask(&[("Pragma", "no-cache")]).is_hit());
    bench.pass(31);
    assert!(!page.ask(&[("Cache-Control", "max-stale")]).is_hit());
    page.ask(&[("Cache-Control", "only-if-cached")]).expect(200);
}

/// How the API fails once it has answered.
#[derive(Clone, Copy, Debug)]
enum Fault {
    Status(u16),
    Closes,
    Resets,
    Garbage,
    TruncatedHead,
    TruncatedBody,
}

/// What a client gets of a response that is ten seconds stale, while the API fails like that.
fn faced_with(fault: Fault, lines: Lines<'_>, asks: Lines<'_>) -> crate::common::Answer {
    let lines: Vec<(String, String)> = lines
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    let first = std::sync::atomic::AtomicBool::new(true);
    let origin = Origin::start(move |request, conn| {
        if first.swap(false, std::sync::atomic::Ordering::SeqCst) {
            let answer = lines
                .iter()
                .fold(reply(200), |answer, (n, v)| answer.field(n, v));
            return conn.reply(request, &answer.body("1984"));
        }
        match fault {
            Fault::Status(status) => conn.reply(request, &reply(status).body("trouble")),
            Fault::Closes => conn.close(),
            Fault::Resets => conn.reset(),
            Fault::Garbage => {
                conn.write("\0\0\0\0");
                conn.close();
            }
            Fault::TruncatedHead => {
                conn.write("HTTP/1.1 304 Not Modified\r\nETag: \"v1\"\r\nX-A");
                conn.close();
            }
            Fault::TruncatedBody => {
                conn.write(
                    "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 9\r\n\r\nnew",
                );
                conn.close();
            }
        }
    });
    let gateway = Gateway::before(&origin).manual_clock().start();
    gateway.get("/a").expect(200);
    gateway.advance(secs(70));
    let request = asks.iter().fold(get("/a"), |request, (name, value)| {
        request.field(name, value)
    });
    gateway.send(&request)
}

#[test]
fn what_an_unwell_api_leaves_of_a_stale_response() {
    // RFC 9111 §4.2.4, §5.2.2.2, RFC 5861 §4; ten seconds stale, with and without a validator
    let plain = ("Cache-Control", "max-age=60");
    let kept = ("Cache-Control", "max-age=60, stale-if-error=30");
    let faults = [
        Fault::Status(500),
        Fault::Status(502),
        Fault::Status(503),
        Fault::Status(504),
        Fault::Closes,
        Fault::Resets,
        Fault::Garbage,
        Fault::TruncatedHead,
    ];
    let mut failed = Rows::default();
    for fault in faults {
        for validator in [("ETag", "\"v1\""), ("X-None", "1")] {
            let answer = faced_with(fault, &[plain, validator], &[]);
            // Stale by ten seconds of the minute that is allowed when nothing can be had from the API at all.
            let expected = match fault {
                Fault::Status(status) => status,
                _ => 200,
            };
            failed.check(answer.status == expected && !answer.is_hit(), || {
                format!("{fault:?} {validator:?}: {}", brief(&answer))
            });
            for (lines, asks) in [
                (&[kept, validator][..], &[][..]),
                (
                    &[plain, validator],
                    &[("Cache-Control", "stale-if-error=30")],
                ),
            ] {
                let answer = faced_with(fault, lines, asks);
                let stale = answer.status == 200
                    && answer.text() == "1984"
                    && answer.age() == Some(70)
                    && answer.number("ttl") == Some(-10);
                failed.check(stale, || {
                    format!("{fault:?} {lines:?} {asks:?}: {}", brief(&answer))
                });
            }
            for strict in [
                "must-revalidate",
                "proxy-revalidate",
                "no-cache",
                "s-maxage=60",
            ] {
                let says = format!("max-age=60, stale-if-error=30, {strict}");
                let asks = [("Cache-Control", "stale-if-error=30")];
                let answer = faced_with(fault, &[("Cache-Control", &says), validator], &asks);
                failed.check(answer.status >= 500 && answer.text() != "1984", || {
                    format!("{fault:?} {says}: {}", brief(&answer))
                });
            }
        }
    }
    // Beyond the window, and for what is no error, it is not used; an API that is gone has a minute besides.
    for (fault, says, status) in [
        (Fault::Status(503), "max-age=60, stale-if-error=9", 503),
        (Fault::Closes, "max-age=60, stale-if-error=9", 200),
        (Fault::Status(404), "max-age=60, stale-if-error=30", 404),
        (Fault::Status(501), "max-age=60, stale-if-error=30", 501),
        (Fault::Status(429), "max-age=60, stale-if-error=30", 429),
        (Fault::Status(503), "max-age=60, stale-if-error=x", 503),
    ] {
        let answer = faced_with(fault, &[("Cache-Control", says), ("ETag", "\"v1\"")], &[]);
        failed.check(answer.status == status, || {
            format!("{fault:?} {says}: {}", brief(&answer))
        });
    }
}

#[test]
fn what_breaks_off_in_the_middle_is_not_taken_for_whole() {
    // RFC 9112 §8: nor is it the end of what was stored
    let says = ("Cache-Control", "max-age=60, stale-if-error=30");
    let answer = faced_with(Fault::TruncatedBody, &[says], &[]);
    let stale = answer.status == 200 && answer.text() == "1984";
    assert!(
        stale || answer.end != crate::common::End::Complete,
        "{}",
        brief(&answer)
    );
}

#[test]
fn a_head_and_a_range_of_a_stale_response_fare_as_a_get_does() {
    let bench = Bench::new();
    let says = ("Cache-Control", "max-age=60, stale-if-error=30");
    let page = bench.answering([ok(&[says, ("ETag", "\"v1\"")]), reply(503)]);
    page.get().expect(200);
    bench.pass(70);
    let ranged = page.ask(&[("Range", "bytes=1-2")]);
    assert_eq!(
        (ranged.status, &*ranged.text()),
        (206, "98"),
        "{}",
        brief(&ranged)
    );
    let known = page.ask(&[("If-None-Match", "\"v1\"")]);
    assert_eq!(known.status, 304, "{}", brief(&known));
    let headed = page.send(&head(&page.target));
    assert!(matches!(headed.status, 200 | 503), "{}", brief(&headed));
}

#[test]
fn a_background_validation_that_fails_leaves_what_is_stored() {
    // RFC 5861 §3
    let bench = Bench::new();
    let says = ("Cache-Control", "max-age=60, stale-while-revalidate=30");
    let page = bench.answering([ok(&[says, ("ETag", "\"v1\"")]), reply(503), reply(503)]);
    page.get().expect(200);
    bench.pass(61);
    for n in 2..4 {
        let stale = page.get().expect(200);
        assert!(
            stale.is_hit() && stale.text() == "1984",
            "{}",
            brief(&stale)
        );
        bench.gateway.await_no_fills();
        assert_eq!(page.count(), n);
        // It is not tried again at once.
        assert!(page.get().expect(200).is_hit());
        bench.gateway.await_no_fills();
        assert_eq!(page.count(), n);
        bench.pass(10);
    }
    bench.pass(10);
    assert_eq!(page.get().status, 503, "beyond the window");
}

#[test]
fn a_background_validation_updates_as_any_other() {
    // RFC 5861 §3: by a 304, by a new response, by one that may not be stored
    let says = ("Cache-Control", "max-age=60, stale-while-revalidate=30");
    let etag = ("ETag", "\"v1\"");
    for (second, text, hit) in [
        (with(reply(304), &[says, etag]), "1984", true),
        (ok(&[says]).body("new"), "new", true),
        (
            ok(&[("Cache-Control", "no-store")]).body("new"),
            "new",
            false,
        ),
        (reply(404).body("gone"), "gone", false),
    ] {
        let bench = Bench::new();
        let page = bench.answering([ok(&[says, etag]), second]);
        page.get().expect(200);
        bench.pass(61);
        assert_eq!(page.get().expect(200).text(), "1984");
        bench.gateway.await_no_fills();
        assert_eq!(page.count(), 2);
        assert_eq!(page.last().fields.get("if-none-match"), Some("\"v1\""));
        let later = page.get();
        assert_eq!(
            (&*later.text(), later.is_hit()),
            (text, hit),
            "{}",
            brief(&later)
        );
    }
}

fn validated(page: &Page<'_>) -> bool {
    let answer = page.get();
    answer.status == 200 && answer.text() == "1984" && answer.says("fwd-status=304")
}

#[test]
fn what_is_validated_each_time_is_validated_each_time() {
    // RFC 9111 §5.2.2.4, §4.3: no-cache, and lifetimes of zero
    let bench = Bench::new();
    for says in [
        "no-cache",
        "max-age=0",
        "max-age=0, must-revalidate",
        "s-maxage=0",
        "max-age=60, no-cache",
    ] {
        for validator in [
            ("ETag", "\"v1\""),
            ("ETag", "W/\"v1\""),
            ("Last-Modified", "Sun, 06 Nov 1994 08:49:37 GMT"),
        ] {
            let lines = [("Cache-Control", says), validator];
            let page = bench.validating(ok(&lines), with(reply(304), &lines));
            page.get().expect(200);
            for n in 2..4 {
                assert!(
                    validated(&page) && page.count() == n,
                    "{says} {validator:?}"
                );
            }
        }
    }
}

#[test]
fn a_304_without_any_validator_validates_the_only_one_asked_about() {
    // RFC 9111 §4.3.4
    let bench = Bench::new();
    for validator in [
        ("ETag", "\"v1\""),
        ("ETag", "W/\"v1\""),
        ("Last-Modified", "Sun, 06 Nov 1994 08:49:37 GMT"),
    ] {
        let page = bench.validating(ok(&[("Cache-Control", "max-age=0"), validator]), reply(304));
        page.get().expect(200);
        assert!(validated(&page) && validated(&page), "{validator:?}");
    }
}
