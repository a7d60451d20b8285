//! Vary in the wild: its syntax, what matches, what is sent upstream, and what becomes of other variants (RFC 9111 §4.1,
//! RFC 9110 §12.5.5).

use super::bench::{Bench, Lines, Rows, brief, ok};
use super::with;
use crate::common::{put, reply};

/// (lines of Vary, the first request's fields, the second's, whether that is answered from the store)
type Row<'a> = (&'a [&'a str], Lines<'a>, Lines<'a>, bool);

fn reused(rows: &[Row<'_>]) {
    let bench = Bench::new();
    let mut failed = Rows::default();
    for (vary, first, second, reused) in rows {
        let vary: Vec<_> = vary.iter().map(|line| ("Vary", *line)).collect();
        let page = bench.answering([with(ok(&[("Cache-Control", "max-age=60")]), &vary)]);
        page.ask(first).expect(200);
        let again = page.ask(second).expect(200);
        failed.check(again.is_hit() == *reused, || {
            format!("{vary:?} {first:?} {second:?}: {}", again.cache_status())
        });
    }
}

const A1: (&str, &str) = ("X-A", "1");
const A2: (&str, &str) = ("X-A", "2");
const B1: (&str, &str) = ("X-B", "1");
const B2: (&str, &str) = ("X-B", "2");
const C1: (&str, &str) = ("X-C", "1");

#[test]
fn what_matches() {
    reused(&[
        (&["X-A"], &[A1], &[A1], true),
        (&["X-A"], &[A1], &[A2], false),
        (&["X-A"], &[A1], &[], false),
        (&["X-A"], &[], &[A1], false),
        (&["X-A"], &[], &[], true),
        (&["X-A"], &[A1], &[A1, B1], true),
        // an empty field is not an absent one
        (&["X-A"], &[("X-A", "")], &[], false),
        (&["X-A"], &[("X-A", "")], &[("X-A", "")], true),
        (&["X-A, X-B"], &[A1, B1], &[A1, B1], true),
        (&["X-A, X-B"], &[A1, B1], &[B1, A1], true),
        (&["X-A, X-B"], &[A1, B1], &[A1, B2], false),
        (&["X-A, X-B"], &[A1, B1], &[A1], false),
        (&["X-A, X-B"], &[A1], &[A1], true),
        (&["X-A, X-B"], &[A1], &[A1, B1], false),
        (&["X-A, X-B, X-C"], &[A1, B1, C1], &[C1, B1, A1], true),
        (&["X-A, X-B, X-C"], &[A1, B1, C1], &[A1, B1], false),
        (&["X-C, X-A, X-B"], &[A1, B1, C1], &[A1, B1, C1], true),
        // several lines are one list, of the response and of the request
        (&["X-A", "X-B"], &[A1, B1], &[A1, B1], true),
        (&["X-A", "X-B"], &[A1, B1], &[A1, B2], false),
        (&["X-A"], &[A1, A2], &[("X-A", "1, 2")], true),
        (&["X-A"], &[("X-A", "1,2")], &[A1, A2], true),
        (&["X-A"], &[A1, A2], &[A2, A1], false),
        (&["X-A"], &[A1, A2], &[A1], false),
        // names have no case, values have
        (&["x-a"], &[("X-a", "1")], &[("X-A", "1")], true),
        (&["X-A"], &[("X-A", "a")], &[("X-A", "A")], false),
        (&["X-A, x-a"], &[A1], &[A1], true),
        // white space around values and members
        (&["X-A"], &[("X-A", "1")], &[("X-A", "  1\t")], true),
        (&["X-A"], &[("X-A", "a b")], &[("X-A", "a  b")], false),
        (
            &["X-A"],
            &[("X-A", "\"a, b\"")],
            &[("X-A", "\"a,b\"")],
            false,
        ),
    ]);
}

#[test]
fn syntax() {
    reused(&[
        (&["*"], &[], &[], false),
        (&["*"], &[A1], &[A1], false),
        (&["* "], &[], &[], false),
        (&["*, *"], &[], &[], false),
        (&["*", "*"], &[], &[], false),
        (&["*, X-A"], &[A1], &[A1], false),
        (&["X-A, *"], &[A1], &[A1], false),
        (&["X-A,*"], &[A1], &[A1], false),
        (&["X-A", "*"], &[A1], &[A1], false),
        (&["*", "X-A"], &[A1], &[A1], false),
        (&[", *"], &[], &[], false),
        (&["", "*"], &[], &[], false),
        (&["*, "], &[], &[], false),
        // a name that has a star in it is a name
        (&["X-*"], &[A1], &[A2], true),
        (&[""], &[A1], &[A2], true),
        (&[","], &[A1], &[A2], true),
        (&["X-A,,X-B,"], &[A1, B1], &[A1, B1], true),
        (&["X-A,,X-B,"], &[A1, B1], &[A1, B2], false),
        (&["\tX-A\t"], &[A1], &[A2], false),
        // what is no name at all could mean anything
        (&["X A"], &[A1], &[A1], false),
        (&["\"X-A\""], &[A1], &[A1], false),
        (&["X-A; X-B"], &[A1], &[A1], false),
    ]);
}

/// (what the first client sends in the field, what the second does, whether they share a variant)
fn alike(name: &str, rows: &[(&[&str], &[&str], bool)]) {
    let lines = |values: &[&str]| -> Vec<(String, String)> {
        let line = |value: &&str| (name.to_owned(), (*value).to_owned());
        values.iter().map(line).collect()
    };
    let bench = Bench::new();
    let mut failed = Rows::default();
    for (first, second, shared) in rows {
        let page = bench.answering([ok(&[("Cache-Control", "max-age=60"), ("Vary", name)])]);
        let ask = |values: &[&str]| {
            let lines = lines(values);
            let lines: Vec<_> = lines.iter().map(|(n, v)| (&**n, &**v)).collect();
            page.ask(&lines).expect(200)
        };
        ask(first);
        failed.check(ask(second).is_hit() == *shared, || {
            format!("{name}: {first:?}, {second:?}")
        });
    }
}

#[test]
fn normalisation() {
    // RFC 9110 §12.5.4: tags have no case, and equal weights no order
    alike(
        "Accept-Language",
        &[
            (&["en"], &["EN"], true),
            (&["en-US, de"], &["de,en-us"], true),
            (&["en, de"], &["en,de"], true),
            (&["en,  de"], &["en ,de"], true),
            (&["en", "de"], &["en, de"], true),
            (&["en;q=1.0"], &["en"], true),
            (&["en;q=0.5"], &["en; Q=0.500"], true),
            (&["en;q=0.5, de"], &["de, en;q=0.5"], true),
            (&["en, de;q=0.5"], &["en;q=0.5, de"], false),
            (&["en"], &["de"], false),
            (&["en"], &["en-US"], false),
            (&["en"], &["*"], false),
            (&["en, en"], &["en"], true),
            (&[""], &[], false),
        ],
    );
    // §12.5.3
    alike(
        "Accept-Encoding",
        &[
            (&["gzip"], &["GZip"], true),
            (&["gzip, br"], &["br, gzip"], true),
            (&["gzip;q=1, br;q=1.0"], &["br,gzip"], true),
            (&["gzip, br"], &["gzip"], false),
            (&["gzip"], &[], false),
            (&["identity"], &["gzip"], false),
            (&["gzip;q=0"], &["gzip"], false),
        ],
    );
    // §12.5.1
    alike(
        "Accept",
        &[
            (
                &["text/html, application/json"],
                &["application/json,text/html"],
                true,
            ),
            (&["Text/HTML"], &["text/html"], true),
            (&["text/html;q=0.9"], &["text/html; q=0.9"], true),
            (&["text/html;level=1"], &["text/html;level=2"], false),
            (&["text/*"], &["text/html"], false),
            (&["application/json"], &["application/xml"], false),
            // what is broken is compared as it is
            (&["text/html;;q=x"], &["text/html;;q=x"], true),
            (&["text/html;;q=x"], &["text/html;;q=y"], false),
        ],
    );
    // fields that are no lists: their commas are content
    alike(
        "User-Agent",
        &[(&["a, b"], &["a,b"], false), (&["a"], &["a"], true)],
    );
    alike(
        "Origin",
        &[(&["https://a.example"], &["https://b.example"], false)],
    );
}

#[test]
fn variants_live_side_by_side_and_leave_together() {
    let bench = Bench::new();
    let page = bench.page(|_, request| {
        let own = request.fields.get("x-a").unwrap_or("none");
        ok(&[("Cache-Control", "max-age=60"), ("Vary", "X-A")]).body(own)
    });
    for value in ["1", "2", "3", "1", "2", "3"] {
        assert_eq!(page.ask(&[("X-A", value)]).expect(200).text(), value);
    }
    assert_eq!(page.get().text(), "none");
    assert_eq!(page.count(), 4);
    assert!(page.get().is_hit());
    // RFC 9111 §4.4
    page.send(&put(&page.target, "x"));
    for value in ["1", "2", "3"] {
        assert!(!page.ask(&[("X-A", value)]).is_hit(), "{value}");
    }
}

#[test]
fn what_an_origin_varied_on_before_selects_beside_what_it_varies_on_now() {
    // RFC 9111 §4.1 would have each stored response selected by the fields that it nominates itself alone
    let bench = Bench::new();
    let page = bench.page(|nth, _| {
        let vary = if nth == 1 { "X-A" } else { "X-B" };
        ok(&[("Cache-Control", "max-age=60"), ("Vary", vary)]).body(nth.to_string())
    });
    assert_eq!(page.ask(&[A1, B1]).text(), "1");
    bench.pass(2);
    assert_eq!(page.ask(&[A2, B1]).text(), "2");
    // Of the first it is not known for which X-B it was.
    for (fields, answer) in [([A2, B1], "2"), ([("X-A", "9"), B1], "3"), ([A1, B2], "4")] {
        for _ in 0..2 {
            assert_eq!(page.ask(&fields).text(), answer, "{fields:?}");
        }
    }
    assert_eq!(page.ask(&[A1, B1]).text(), "5");
    assert_eq!(page.count(), 5);
}

#[test]
fn a_response_without_vary_stands_back() {
    // RFC 9111 §4.1
    let bench = Bench::new();
    let page = bench.page(|_, request| match request.fields.get("x-a") {
        Some(own) => ok(&[("Cache-Control", "max-age=60"), ("Vary", "X-A")]).body(own),
        None => ok(&[("Cache-Control", "max-age=60")]).body("default"),
    });
    assert_eq!(page.ask(&[A1]).text(), "1");
    assert_eq!(page.get().text(), "default");
    let hit = page.ask(&[A1]);
    assert_eq!((hit.is_hit(), &*hit.text()), (true, "1"));
}

#[test]
fn preference_chooses_only_among_variants_that_match() {
    // RFC 9111 §4.1: a stored one is not for who asked otherwise, however well its language suits
    let bench = Bench::new();
    let page = bench.page(|_, request| {
        let asked = request.fields.get("accept-language").unwrap_or_default();
        let language = if asked.starts_with("de") { "de" } else { "en" };
        let lines = [("Cache-Control", "max-age=60"), ("Vary", "Accept-Language")];
        ok(&lines)
            .field("Content-Language", language)
            .body(language)
    });
    page.ask(&[("Accept-Language", "de")]);
    page.ask(&[("Accept-Language", "en")]);
    let other = page.ask(&[("Accept-Language", "fr, en;q=0.9")]);
    assert!(other.fwd("vary-miss"), "{}", brief(&other));
    assert_eq!(page.count(), 3);
}

#[test]
fn a_validation_carries_the_fields_that_vary_nominates() {
    // RFC 9111 §4.3.1
    let bench = Bench::new();
    let first = ok(&[
        ("Cache-Control", "max-age=10"),
        ("Vary", "X-A, Accept-Language"),
        ("ETag", "\"v1\""),
    ]);
    let page = bench.validating(first, reply(304).field("ETag", "\"v1\""));
    let fields = [A1, ("Accept-Language", "en , DE")];
    page.ask(&fields).expect(200);
    bench.pass(11);
    assert!(page.ask(&fields).says("fwd-status=304"));
    let asked = page.last().fields;
    assert_eq!(asked.get("if-none-match"), Some("\"v1\""));
    assert_eq!(asked.get("x-a"), Some("1"));
    assert_eq!(asked.get("accept-language"), Some("en , DE"));
}

#[test]
fn what_the_gateway_tells_of_a_client_does_not_select() {
    let bench = Bench::new();
    for (name, shared) in [
        ("X-Forwarded-For", false),
        ("Forwarded", false),
        // the same for all that share the key
        ("Host", true),
        ("X-Forwarded-Proto", true),
        ("X-Forwarded-Host", true),
    ] {
        let page = bench.answering([ok(&[("Cache-Control", "max-age=60"), ("Vary", name)])]);
        page.get();
        assert_eq!(page.get().is_hit(), shared, "{name}");
    }
}

#[test]
fn users_are_kept_apart_with_vary_and_without() {
    // RFC 9111 §3.5 in spirit: what one user's credentials fetched never answers another
    for lines in [
        &[("Cache-Control", "max-age=60"), ("Vary", "Cookie")][..],
        &[("Cache-Control", "max-age=60")],
        &[("Last-Modified", "Sun, 06 Nov 1994 08:49:37 GMT")],
    ] {
        let bench = Bench::new();
        let lines: Vec<_> = lines
            .iter()
            .map(|(n, v)| (n.to_string(), v.to_string()))
            .collect();
        let page = bench.page(move |_, request| {
            let own = request.fields.get("cookie").unwrap_or("nobody").to_owned();
            let answer = lines
                .iter()
                .fold(reply(200), |answer, (n, v)| answer.field(n, v));
            answer.body(own)
        });
        for own in ["a=1", "a=2", "a=1", "a=2"] {
            assert_eq!(page.ask(&[("Cookie", own)]).text(), own);
        }
        assert_eq!(page.get().text(), "nobody");
    }
}
