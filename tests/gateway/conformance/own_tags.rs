//! Entity tags of the gateway's own for an API that has none: `etag = "missing"` (RFC 9110 §8.8.3, §13.1).

use super::bench::{Bench, Lines, Rows, at, brief, ok};
use super::with;
use crate::common::{get, head, put, reply};

const FRESH: (&str, &str) = ("Cache-Control", "max-age=60");

fn bench() -> Bench {
    Bench::with(|setup| setup.route("/{*all}", "etag = \"missing\""))
}

/// Whether it can be one of ours: strong, and of hexadecimal digits.
fn is_ours(tag: &str) -> bool {
    let inside = tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"'));
    inside.is_some_and(|inside| inside.len() == 32 && inside.bytes().all(|b| b.is_ascii_hexdigit()))
}

#[test]
fn a_tag_is_put_where_there_is_none() {
    // (the API's fields, the tag that clients get; `None`: one of ours)
    let rows: &[(Lines<'_>, Option<&str>)] = &[
        (&[FRESH], None),
        (
            &[FRESH, ("Last-Modified", "Sun, 06 Nov 1994 08:49:37 GMT")],
            None,
        ),
        (&[FRESH, ("Content-Encoding", "x-own")], None),
        (&[FRESH, ("ETag", "\"a\"")], Some("\"a\"")),
        (&[FRESH, ("ETag", "W/\"a\"")], Some("W/\"a\"")),
        (&[FRESH, ("ETag", "a")], Some("a")),
        (&[FRESH, ("ETag", "\"\"")], Some("\"\"")),
    ];
    let bench = bench();
    let mut failed = Rows::default();
    for (lines, tag) in rows {
        let page = bench.answering([ok(lines)]);
        let answers = [page.get(), page.get(), page.send(&head(&page.target))];
        for answer in &answers {
            let found = answer.field("etag");
            let holds = match tag {
                Some(_) => found == *tag,
                None => found.is_some_and(is_ours) && found == answers[0].field("etag"),
            };
            failed.check(holds, || format!("{lines:?}: {}", brief(answer)));
        }
    }
    // What is not stored, and what is no 200, has no content that others could have a tag for.
    for lines in [[("Cache-Control", "no-store")], [("Vary", "*")]] {
        let page = bench.answering([ok(&lines)]);
        let answer = page.get();
        failed.check(answer.field("etag").is_none(), || brief(&answer));
    }
    for status in [404, 301] {
        let page = bench.answering([with(reply(status), &[FRESH]).body("x")]);
        page.get();
        let answer = page.get();
        failed.check(answer.field("etag").is_none(), || brief(&answer));
    }
}

#[test]
fn a_tag_tells_contents_apart() {
    let bench = bench();
    let of = |lines: Lines<'_>, content: &str| {
        let page = bench.answering([with(ok(&[FRESH]), lines).body(content)]);
        page.get().field("etag").expect("a tag").to_owned()
    };
    let same = of(&[], "1984");
    assert_eq!(of(&[("X-A", "1")], "1984"), same);
    for other in [
        of(&[], "1985"),
        of(&[], ""),
        of(&[("Content-Type", "text/plain")], "1984"),
        of(&[("Content-Encoding", "x-own")], "1984"),
    ] {
        assert_ne!(other, same);
    }
}

#[test]
fn conditions_and_ranges_with_a_tag_of_ours() {
    // (fields of the request with our tag for {}, the status)
    let rows: &[(&[(&str, &str)], u16)] = &[
        (&[("If-None-Match", "{}")], 304),
        (&[("If-None-Match", "W/{}")], 304),
        (&[("If-None-Match", "\"b\", {}")], 304),
        (&[("If-None-Match", "*")], 304),
        (&[("If-None-Match", "\"b\"")], 200),
        (&[("Range", "bytes=0-1"), ("If-Range", "{}")], 206),
        (&[("Range", "bytes=0-1"), ("If-Range", "W/{}")], 200),
        (&[("Range", "bytes=0-1"), ("If-Range", "\"b\"")], 200),
        (&[("Range", "bytes=9-"), ("If-Range", "{}")], 416),
    ];
    let bench = bench();
    let page = bench.answering([ok(&[FRESH]), reply(500)]);
    let tag = page.get().field("etag").expect("a tag").to_owned();
    let mut failed = Rows::default();
    for (lines, status) in rows {
        let lines: Vec<_> = lines
            .iter()
            .map(|(name, value)| (*name, value.replace("{}", &tag)))
            .collect();
        let lines: Vec<_> = lines.iter().map(|(n, v)| (*n, v.as_str())).collect();
        let answer = page.ask(&lines);
        failed.check(answer.status == *status && answer.is_hit(), || {
            format!("{lines:?}: {}", brief(&answer))
        });
        failed.check(
            *status == 416 || answer.field("etag") == Some(&*tag),
            || format!("{lines:?}: {}", brief(&answer)),
        );
    }
    assert_eq!(page.count(), 1);
}

#[test]
fn what_is_large_has_its_tag_from_the_first_hit() {
    let bench = bench();
    let content = "x".repeat(200_000);
    let page = bench.answering([ok(&[FRESH]).body(&content)]);
    let first = page.get().expect(200);
    assert_eq!(
        first.field("etag"),
        None,
        "its head went before its content"
    );
    bench.gateway.await_no_fills();
    let hit = page.get().expect(200);
    let tag = hit.field("etag").expect("a tag").to_owned();
    assert!(hit.is_hit() && is_ours(&tag), "{tag}");
    assert_eq!(page.ask(&[("If-None-Match", &tag)]).status, 304);
    let part = page.ask(&[("Range", "bytes=100000-100003"), ("If-Range", &tag)]);
    assert_eq!((part.status, part.text().as_str()), (206, "xxxx"));
}

#[test]
fn a_tag_of_ours_never_goes_upstream() {
    let bench = bench();
    let short = ("Cache-Control", "max-age=10");
    let old = ("Last-Modified", "Sun, 06 Nov 1994 08:49:37 GMT");
    // Without another validator the whole is fetched: the same content has the same tag.
    let page = bench.answering([ok(&[short])]);
    let tag = page.get().field("etag").expect("a tag").to_owned();
    bench.pass(11);
    let answer = page.ask(&[("If-None-Match", &tag)]);
    assert_eq!(answer.status, 304, "{}", brief(&answer));
    assert!(answer.says("fwd-status=200"));
    let asked = page.last().fields;
    assert!(!asked.has("if-none-match") && !asked.has("if-modified-since"));

    // With one it is validated by that, and our tag stays.
    let page = bench.validating(ok(&[short, old]), with(reply(304), &[short]));
    let tag = page.get().field("etag").expect("a tag").to_owned();
    bench.pass(11);
    let answer = page.ask(&[("If-None-Match", &tag)]);
    assert_eq!(answer.status, 304, "{}", brief(&answer));
    assert_eq!(answer.field("etag"), Some(&*tag));
    assert!(answer.says("fwd-status=304"));
    let asked = page.last().fields;
    assert_eq!(asked.get("if-modified-since"), Some(old.1));
    assert!(!asked.has("if-none-match"));

    // Where the API begins to have tags, its own counts from then on.
    let page = bench.validating(
        ok(&[short, old]),
        with(reply(304), &[short, old, ("ETag", "\"theirs\"")]),
    );
    page.get();
    bench.pass(11);
    assert_eq!(page.get().field("etag"), Some("\"theirs\""));
    bench.pass(11);
    page.get();
    assert_eq!(page.last().fields.get("if-none-match"), Some("\"theirs\""));

    // And other content has another tag.
    let page = bench.answering([ok(&[short]), ok(&[short]).body("1985")]);
    let tag = page.get().field("etag").expect("a tag").to_owned();
    bench.pass(11);
    let answer = page.ask(&[("If-None-Match", &tag)]);
    assert_eq!((answer.status, answer.text().as_str()), (200, "1985"));
    assert_ne!(answer.field("etag"), Some(&*tag));
}

#[test]
fn if_match_with_a_tag_of_ours_is_settled_here() {
    // RFC 9110 §13.1.1
    let bench = bench();
    let page = bench.page(|_, request| match request.method.as_str() {
        "GET" => ok(&[FRESH, ("Date", &at(0))]),
        _ if request.fields.has("if-match") => reply(428),
        _ => reply(204),
    });
    let tag = page.get().field("etag").expect("a tag").to_owned();
    for (condition, status) in [
        ("\"another\"", 412),
        (&*format!("W/{tag}"), 412),
        (&*format!("\"another\", {tag}"), 204),
    ] {
        let request = put(&page.target, "x").field("If-Match", condition);
        assert_eq!(page.send(&request).status, status, "{condition}");
        page.get().expect(200);
    }
    // A tag that the API gave goes to the API.
    let page = bench.page(|_, request| match request.method.as_str() {
        "GET" => ok(&[FRESH, ("ETag", "\"theirs\"")]),
        _ if request.fields.get("if-match") == Some("\"theirs\"") => reply(204),
        _ => reply(412),
    });
    page.get().expect(200);
    let request = put(&page.target, "x").field("If-Match", "\"theirs\"");
    assert_eq!(page.send(&request).status, 204);
    // And so does what is about something that is not stored.
    let page = bench.page(|_, request| match request.fields.get("if-match") {
        Some("\"unknown\"") => reply(204),
        _ => reply(500),
    });
    let request = put(&page.target, "x").field("If-Match", "\"unknown\"");
    assert_eq!(page.send(&request).status, 204);
    let asked = page.send(&get(&page.target).field("If-Match", "\"unknown\""));
    assert_eq!(asked.status, 204);
}
