//! Partial content, from origins that cut and from those that answer 206 whatever they are asked (RFC 9111 §3.3, §3.4,
//! RFC 9110 §14, §15.3.7).

use super::bench::{Bench, Lines, Page, Rows, brief, ok};
use super::with;
use crate::common::{Answer, Reply, Request, head, reply};

const TEN: &str = "0123456789";
const FRESH: (&str, &str) = ("Cache-Control", "max-age=60");
const V1: (&str, &str) = ("ETag", "\"v1\"");
const OLD: (&str, &str) = ("Last-Modified", "Sun, 06 Nov 1994 08:49:37 GMT");

fn part(first: usize, last: usize, lines: Lines<'_>) -> Reply {
    with(reply(206), lines)
        .field("Content-Range", format!("bytes {first}-{last}/10"))
        .body(&TEN[first..=last])
}

fn whole(lines: Lines<'_>) -> Reply {
    with(reply(200), lines).body(TEN)
}

fn range(page: &Page<'_>, range: &str) -> Answer {
    page.ask(&[("Range", range)])
}

fn is_part(answer: &Answer, content: &str, content_range: &str) -> bool {
    answer.status == 206
        && answer.text() == content
        && answer.field("content-range") == Some(content_range)
        && answer.field("content-length") == Some(&content.len().to_string())
}

/// What an origin that cuts makes of `bytes=first-last`.
fn cut(request: &Request, lines: Lines<'_>) -> Reply {
    let asked = request.fields.get("range").and_then(|range| {
        let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
        Some((first.parse().ok()?, last.parse().ok()?))
    });
    match asked {
        Some((first, last)) => part(first, last, lines),
        None => whole(lines),
    }
}

#[test]
fn a_206_that_came_unasked_for_is_stored_and_answers_within() {
    // RFC 9111 §3.3: without a validator, too
    for lines in [
        &[FRESH][..],
        &[FRESH, V1],
        &[FRESH, ("ETag", "W/\"v1\"")],
        &[FRESH, OLD],
    ] {
        let bench = Bench::new();
        let page = bench.answering([part(2, 7, lines), reply(500)]);
        let first = range(&page, "bytes=2-7");
        assert!(
            is_part(&first, "234567", "bytes 2-7/10"),
            "{}",
            brief(&first)
        );
        let mut failed = Rows::default();
        for (asked, content, told) in [
            ("bytes=2-7", "234567", "bytes 2-7/10"),
            ("bytes=3-5", "345", "bytes 3-5/10"),
            ("bytes=2-2", "2", "bytes 2-2/10"),
        ] {
            let answer = range(&page, asked);
            failed.check(answer.is_hit() && is_part(&answer, content, told), || {
                format!("{lines:?} {asked}: {}", brief(&answer))
            });
        }
    }
}

#[test]
fn suffixes_and_open_ranges_are_resolved_before_they_are_compared() {
    let bench = Bench::new();
    let page = bench.answering([part(5, 9, &[FRESH]), reply(500)]);
    range(&page, "bytes=-5");
    let mut failed = Rows::default();
    for (asked, content, told) in [
        ("bytes=-5", "56789", "bytes 5-9/10"),
        ("bytes=5-", "56789", "bytes 5-9/10"),
        ("bytes=5-9", "56789", "bytes 5-9/10"),
        ("bytes=5-99", "56789", "bytes 5-9/10"),
        ("bytes=-1", "9", "bytes 9-9/10"),
        ("bytes=8-", "89", "bytes 8-9/10"),
    ] {
        let answer = range(&page, asked);
        failed.check(answer.is_hit() && is_part(&answer, content, told), || {
            format!("{asked}: {}", brief(&answer))
        });
    }
    assert_eq!(page.count(), 1);
}

/// Whether the content is what the answer's own head says that it is.
fn is_consistent(answer: &Answer) -> bool {
    let told = answer.field("content-range");
    let told = told.and_then(|told| {
        told.strip_prefix("bytes ")?
            .strip_suffix("/10")?
            .split_once('-')
    });
    match (answer.status, told) {
        (200, None) => answer.text() == TEN,
        (206, Some((first, last))) => match (first.parse::<usize>(), last.parse::<usize>()) {
            (Ok(first), Ok(last)) => TEN.get(first..=last) == Some(&answer.text()),
            _ => false,
        },
        _ => false,
    }
}

#[test]
fn a_part_never_answers_for_more_than_it_is() {
    // RFC 9111 §3.3
    let bench = Bench::new();
    for lines in [&[FRESH][..], &[FRESH, V1]] {
        for asked in [
            "",
            "bytes=0-9",
            "bytes=0-",
            "bytes=1-4",
            "bytes=4-8",
            "bytes=-9",
            "chapters=1-2",
        ] {
            let page = bench.answering([part(2, 7, lines), whole(lines)]);
            range(&page, "bytes=2-7");
            let answer = match asked {
                "" => page.get(),
                asked => range(&page, asked),
            };
            assert!(
                !answer.is_hit() && is_consistent(&answer) && page.count() == 2,
                "{lines:?} {asked}: {}",
                brief(&answer)
            );
        }
    }
}

#[test]
fn a_stale_part_is_not_served() {
    let bench = Bench::new();
    let short = ("Cache-Control", "max-age=10");
    let page = bench.answering([
        part(2, 7, &[short, V1]),
        part(2, 7, &[short, ("ETag", "\"v2\"")]),
    ]);
    range(&page, "bytes=2-7");
    bench.pass(11);
    let again = range(&page, "bytes=2-7");
    assert!(!again.is_hit(), "{}", brief(&again));
    assert_eq!(again.field("etag"), Some("\"v2\""));
}

#[test]
fn parts_of_one_version_become_the_whole() {
    // RFC 9111 §3.4, RFC 9110 §15.3.7.3
    for validator in [V1, OLD] {
        let bench = Bench::new();
        let page = bench.page(move |_, request| match request.fields.has("range") {
            true => cut(request, &[FRESH, validator, ("X-Newer", "1")]),
            false => part(0, 3, &[FRESH, validator]),
        });
        let first = range(&page, "bytes=0-3");
        assert!(is_part(&first, "0123", "bytes 0-3/10"), "{}", brief(&first));
        let second = range(&page, "bytes=4-9");
        assert!(
            is_part(&second, "456789", "bytes 4-9/10"),
            "{}",
            brief(&second)
        );
        assert_eq!(page.last().fields.get("if-range"), Some(validator.1));
        for _ in 0..2 {
            let all = page.get();
            assert!(
                all.is_hit() && is_consistent(&all) && all.field("x-newer") == Some("1"),
                "{validator:?}: {}",
                brief(&all)
            );
            assert_eq!(all.field("content-length"), Some("10"));
        }
        assert_eq!(page.count(), 2);
    }
}

#[test]
fn a_get_completes_a_part_with_what_is_missing() {
    // RFC 9111 §3.3
    let bench = Bench::new();
    for (first, last, missing) in [
        (0, 4, "bytes=5-9"),
        (5, 9, "bytes=0-4"),
        (3, 5, "bytes=0-9"),
    ] {
        let page = bench.page(move |nth, request| match nth {
            1 => part(first, last, &[FRESH, V1]),
            _ => cut(request, &[FRESH, V1]),
        });
        range(&page, &format!("bytes={first}-{last}"));
        let all = page.get();
        assert!(all.status == 200 && all.text() == TEN, "{}", brief(&all));
        let asked = page.last().fields;
        assert_eq!(asked.get("range"), Some(missing));
        assert_eq!(asked.get("if-range"), Some("\"v1\""));
        assert!(page.get().is_hit());
        assert_eq!(page.count(), 2);
    }
}

#[test]
fn what_answers_a_request_for_the_missing_part() {
    // RFC 9111 §3.4: (the answer, the status then told, its content)
    let other = "abcdefghij";
    let rows: [(&str, Reply, u16, &str); 6] = [
        ("the part", part(5, 9, &[FRESH, V1]), 200, TEN),
        (
            "another version, whole",
            with(reply(200), &[FRESH]).body(other),
            200,
            other,
        ),
        ("gone", reply(404).body("gone"), 404, "gone"),
        ("a failure", reply(503).body("sorry"), 503, "sorry"),
        // useless: the whole is asked for
        (
            "not that part",
            part(0, 2, &[FRESH, ("ETag", "\"v2\"")]),
            200,
            other,
        ),
        (
            "no such part",
            reply(416).field("Content-Range", "bytes */3"),
            200,
            other,
        ),
    ];
    let bench = Bench::new();
    let mut failed = Rows::default();
    for (what, answer, status, content) in rows {
        let last = with(reply(200), &[FRESH]).body(other);
        let page = bench.answering([part(0, 4, &[FRESH, V1]), answer, last]);
        range(&page, "bytes=0-4");
        let got = page.get();
        failed.check(got.status == status && got.text() == content, || {
            format!("{what}: {}", brief(&got))
        });
    }
}

#[test]
fn a_part_of_another_version_is_never_combined() {
    // RFC 9111 §3.4: (the first part's fields, the second's)
    let rows: &[(Lines<'_>, Lines<'_>)] = &[
        (&[FRESH, V1], &[FRESH, ("ETag", "\"v2\"")]),
        (
            &[FRESH, ("ETag", "W/\"v1\"")],
            &[FRESH, ("ETag", "W/\"v1\"")],
        ),
        (&[FRESH, V1], &[FRESH, ("ETag", "W/\"v1\"")]),
        (&[FRESH, V1], &[FRESH]),
        (&[FRESH], &[FRESH]),
        (
            &[FRESH, OLD],
            &[FRESH, ("Last-Modified", "Mon, 07 Nov 1994 08:49:37 GMT")],
        ),
        (&[FRESH, V1, OLD], &[FRESH, ("ETag", "\"v2\""), OLD]),
    ];
    let bench = Bench::new();
    for (one, two) in rows {
        let second = with(reply(206), two)
            .field("Content-Range", "bytes 5-9/10")
            .body("fghij");
        let all = with(reply(200), two).body("abcdefghij");
        let page = bench.answering([part(0, 4, one), second, all]);
        range(&page, "bytes=0-4");
        let second = range(&page, "bytes=5-9");
        assert!(second.text().ends_with("fghij"), "{}", brief(&second));
        for asked in ["bytes=0-9", "bytes=3-6", ""] {
            let answer = match asked {
                "" => page.get(),
                asked => range(&page, asked),
            };
            let text = answer.text();
            let mixed = text.contains(char::is_numeric) && text.contains(char::is_alphabetic);
            assert!(!mixed, "{one:?} {two:?} {asked}: {}", brief(&answer));
        }
    }
}

#[test]
fn a_206_that_makes_no_sense_is_not_stored_nor_changed() {
    // RFC 9110 §14.4, §15.3.7, RFC 9111 §3.3
    let bench = Bench::new();
    let mut failed = Rows::default();
    for (content_range, body) in [
        (None, "0123"),
        (Some("bytes 0-3/*"), "0123"),
        (Some("bytes */10"), "0123"),
        (Some("bytes 0-12/10"), "0123456789012"),
        (Some("bytes 3-0/10"), "0123"),
        (Some("chapters 0-3/10"), "0123"),
        (Some("0-3/10"), "0123"),
        (Some("bytes 0-3/10, bytes 5-6/10"), "0123"),
    ] {
        let answer = with(reply(206), &[FRESH]).body(body);
        let page = bench.answering([match content_range {
            Some(value) => answer.field("Content-Range", value),
            None => answer,
        }]);
        for nth in 1..3 {
            let got = range(&page, "bytes=0-3");
            let same = got.status == 206
                && got.text() == body
                && got.field("content-range") == content_range;
            failed.check(same && !got.is_hit() && page.count() == nth, || {
                format!("{content_range:?} no. {nth}: {}", brief(&got))
            });
        }
    }
}

#[test]
fn a_206_whose_content_is_not_the_range_that_it_says_is_not_stored() {
    // RFC 9110 §14.4
    let bench = Bench::new();
    for body in ["01", "0123456"] {
        let answer = with(reply(206), &[FRESH]);
        let page = bench.answering([answer.field("Content-Range", "bytes 0-3/10").body(body)]);
        for _ in 0..2 {
            let got = range(&page, "bytes=0-3");
            assert!(!got.is_hit(), "{body}: {}", brief(&got));
        }
    }
}

#[test]
fn a_206_with_several_parts_passes_whole() {
    // RFC 9110 §15.3.7.2: passed on, not stored
    let bench = Bench::new();
    let body = "--x\r\nContent-Range: bytes 0-1/10\r\n\r\n01\r\n--x\r\nContent-Range: bytes 4-5/10\r\n\r\n45\r\n--x--\r\n";
    let kind = "multipart/byteranges; boundary=x";
    let answer = with(reply(206), &[FRESH, ("Content-Type", kind)]).body(body);
    let page = bench.answering([answer]);
    for _ in 0..2 {
        let got = range(&page, "bytes=0-1,4-5");
        assert_eq!((got.status, &*got.text(), got.is_hit()), (206, body, false));
        assert_eq!(got.field("content-type"), Some(kind));
    }
}

#[test]
fn a_complete_response_answers_any_range() {
    // RFC 9110 §14.1.2, §14.2, §15.5.17
    let bench = Bench::new();
    let page = bench.answering([whole(&[FRESH, V1, ("X-A", "1")]), reply(500)]);
    page.get().expect(200);
    bench.pass(7);
    let mut failed = Rows::default();
    for (asked, status, content, told) in [
        ("bytes=0-0", 206, "0", Some("bytes 0-0/10")),
        ("bytes=2-4", 206, "234", Some("bytes 2-4/10")),
        ("bytes=2-", 206, "23456789", Some("bytes 2-9/10")),
        ("bytes=-2", 206, "89", Some("bytes 8-9/10")),
        (
            "bytes=-99999999999999999999999",
            206,
            TEN,
            Some("bytes 0-9/10"),
        ),
        (
            "bytes=0-99999999999999999999999",
            206,
            TEN,
            Some("bytes 0-9/10"),
        ),
        ("bytes=,2-4,", 206, "234", Some("bytes 2-4/10")),
        ("bytes=2-4,2-4", 206, "234", Some("bytes 2-4/10")),
        ("bytes=1-3,2-5", 206, "12345", Some("bytes 1-5/10")),
        ("bytes=50-,2-4", 206, "234", Some("bytes 2-4/10")),
        ("bytes=10-", 416, "", Some("bytes */10")),
        (
            "bytes=99999999999999999999999-",
            416,
            "",
            Some("bytes */10"),
        ),
        ("bytes=-0", 416, "", Some("bytes */10")),
        ("bytes=20-30,40-", 416, "", Some("bytes */10")),
        ("bytes", 200, TEN, None),
        ("bytes=-", 200, TEN, None),
        ("bytes=1", 200, TEN, None),
        ("bytes=1-2-3", 200, TEN, None),
        ("bytes=4-2", 200, TEN, None),
        ("bytes=0-1,x", 200, TEN, None),
        ("bytes=0x1-2", 200, TEN, None),
        ("bytes=+1-2", 200, TEN, None),
        ("octets=1-2", 200, TEN, None),
        ("", 200, TEN, None),
    ] {
        let answer = range(&page, asked);
        let length = content.len().to_string();
        let right = answer.is_hit()
            && answer.status == status
            && answer.text() == content
            && answer.field("content-range") == told
            && answer.age() == Some(7)
            && answer.field("content-length") == Some(&length);
        // §15.3.7: a part has the fields of the whole
        let whole = answer.field("etag") == Some(V1.1) && answer.field("x-a") == Some("1");
        failed.check(right && (whole || status == 416), || {
            format!("{asked:?}: {}", brief(&answer))
        });
    }
    // Two lines are no valid field (§5.3); HEAD has no ranges (§14.2).
    let twice = page.ask(&[("Range", "bytes=0-1"), ("Range", "bytes=3-4")]);
    assert_eq!((twice.status, &*twice.text()), (200, TEN));
    let headed = page.send(&head(&page.target).field("Range", "bytes=0-1"));
    assert_eq!((headed.status, headed.field("content-range")), (200, None));
    assert_eq!(page.count(), 1);
}

#[test]
fn only_a_200_is_cut() {
    // RFC 9110 §14.2
    let bench = Bench::new();
    for status in [203, 404, 410, 299] {
        let page = bench.answering([with(reply(status), &[FRESH]).body(TEN)]);
        for _ in 0..2 {
            let got = range(&page, "bytes=0-1");
            assert_eq!((got.status, &*got.text()), (status, TEN));
        }
    }
}

#[test]
fn if_range_guards_every_range() {
    // RFC 9110 §13.1.5, §13.2.2
    let bench = Bench::new();
    let mut failed = Rows::default();
    let now = "Tue, 14 Nov 2023 22:13:20 GMT";
    let rows: &[(Lines<'_>, &str, bool)] = &[
        (&[V1], "\"v1\"", true),
        (&[V1], "\"v2\"", false),
        (&[V1], "W/\"v1\"", false),
        (&[("ETag", "W/\"v1\"")], "W/\"v1\"", false),
        (&[("ETag", "W/\"v1\"")], "\"v1\"", false),
        (&[V1], "v1", false),
        (&[V1], "*", false),
        (&[V1], "\"v0\", \"v1\"", false),
        (&[V1], "", false),
        (&[], "\"v1\"", false),
        (&[OLD], OLD.1, true),
        (&[OLD], "Mon, 07 Nov 1994 08:49:37 GMT", false),
        (&[OLD], "Sat, 05 Nov 1994 08:49:37 GMT", false),
        (&[OLD], "Sunday, 06-Nov-94 08:49:37 GMT", true),
        (&[], OLD.1, false),
        // §8.8.2.2: within the second of Date no date is strong
        (&[("Last-Modified", now)], now, false),
        (&[V1, OLD], "\"v1\"", true),
    ];
    for (lines, condition, holds) in rows {
        let page = bench.answering([with(whole(&[FRESH]), lines)]);
        page.get().expect(200);
        let answer = page.ask(&[("Range", "bytes=2-4"), ("If-Range", condition)]);
        let right = match holds {
            true => is_part(&answer, "234", "bytes 2-4/10"),
            false => answer.status == 200 && answer.text() == TEN,
        };
        failed.check(answer.is_hit() && right, || {
            format!("{lines:?} {condition:?}: {}", brief(&answer))
        });
        // Where it does not hold there is no range that could be unsatisfiable.
        let beyond = page.ask(&[("Range", "bytes=50-"), ("If-Range", condition)]);
        failed.check(beyond.status == if *holds { 416 } else { 200 }, || {
            format!("{lines:?} {condition:?}, beyond: {}", brief(&beyond))
        });
    }
    // Without Range it means nothing.
    let page = bench.answering([ok(&[FRESH])]);
    page.get().expect(200);
    page.ask(&[("If-Range", "\"x\"")]).expect(200);
}

#[test]
fn ranges_of_what_was_stale_are_cut_from_what_was_validated() {
    let bench = Bench::new();
    let lines = [("Cache-Control", "max-age=10"), V1];
    let page = bench.validating(whole(&lines), with(reply(304), &lines));
    page.get().expect(200);
    bench.pass(11);
    let cut = range(&page, "bytes=2-4");
    assert!(
        is_part(&cut, "234", "bytes 2-4/10") && cut.says("fwd-status=304"),
        "{}",
        brief(&cut)
    );
    assert!(!page.last().fields.has("range"));
    // §13.2.2: not modified goes before the range
    let known = page.ask(&[("Range", "bytes=2-4"), ("If-None-Match", "\"v1\"")]);
    assert_eq!(known.status, 304);
}

#[test]
fn overlapping_and_countless_ranges_never_multiply_the_answer() {
    // RFC 9110 §14.2, §17.15
    let bench = Bench::new();
    let body = "x".repeat(10_000);
    let page = bench.answering([with(reply(200), &[FRESH]).body(&body)]);
    page.get().expect(200);
    let each = |spec: fn(usize) -> String| (0..1000).map(spec).collect::<Vec<_>>();
    for ranges in [
        vec!["0-".to_owned(); 100],
        vec!["0-9999".to_owned(); 3],
        each(|n| format!("{n}-{n}")),
        each(|n| format!("{n}-")),
        each(|n| format!("-{n}")),
        each(|n| format!("{}-{}", 999 - n, 999 - n)),
    ] {
        let answer = range(&page, &format!("bytes={}", ranges.join(",")));
        assert!(
            matches!(answer.status, 200 | 206 | 416),
            "{}",
            answer.status
        );
        assert!(
            answer.body.len() <= body.len() + 200,
            "{}",
            answer.body.len()
        );
    }
}

#[test]
fn several_ranges_are_parts_in_the_order_asked_for() {
    // RFC 9110 §14.6, §15.3.7.2
    let bench = Bench::new();
    let kind = ("Content-Type", "text/plain; charset=utf-8");
    let page = bench.answering([whole(&[FRESH, kind, V1])]);
    page.get().expect(200);
    let answer = range(&page, "bytes=-2, 0-1, 4-4").expect(206);
    assert_eq!(answer.field("content-range"), None);
    assert_eq!(answer.field("etag"), Some("\"v1\""));
    let length = answer.body.len().to_string();
    assert_eq!(answer.field("content-length"), Some(&*length));
    let told = answer.field("content-type").expect("a type");
    let boundary = told.strip_prefix("multipart/byteranges; boundary=");
    let text = answer.text();
    let parts: Vec<_> = text
        .split(&format!("--{}", boundary.expect("a boundary")))
        .collect();
    assert_eq!(parts.len(), 5, "{text:?}");
    assert!(matches!(parts[0], "" | "\r\n") && parts[4].starts_with("--"));
    let expected = [("8-9", "89"), ("0-1", "01"), ("4-4", "4")];
    for (part, (range, content)) in parts[1..4].iter().zip(expected) {
        let (fields, octets) = part.split_once("\r\n\r\n").expect("a part's head");
        assert!(fields.contains(&format!("Content-Range: bytes {range}/10")));
        assert!(fields.contains("Content-Type: text/plain; charset=utf-8"));
        assert_eq!(octets, format!("{content}\r\n"));
    }
}
