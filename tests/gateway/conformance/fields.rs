//! Which fields are stored, updated and passed on (RFC 9111 §3.1, §3.2, RFC 9110 §7.6.1), one by one.

use super::bench::{Bench, Lines, Rows, brief, ok};
use super::with;
use crate::common::{get, head, reply};

/// End-to-end fields, and two values of each.
const END_TO_END: &[(&str, &str, &str)] = &[
    ("Accept-Ranges", "bytes", "none"),
    ("Access-Control-Allow-Origin", "*", "https://a.example"),
    ("Allow", "GET", "GET, HEAD"),
    ("Alt-Svc", "clear", "h3=\":443\""),
    ("Clear-Site-Data", "\"cache\"", "\"cookies\""),
    ("Content-Disposition", "inline", "attachment; filename=a"),
    ("Content-Encoding", "x-own", "x-other"),
    ("Content-Foo", "a", "b"),
    ("Content-Language", "en", "de"),
    ("Content-Location", "/foo", "/bar"),
    (
        "Content-MD5",
        "rL0Y20zC+Fzt72VPzMSk2A==",
        "N7UdGUp1E+RbVvZSTy1R8g==",
    ),
    (
        "Content-Security-Policy",
        "default-src 'self'",
        "default-src 'none'",
    ),
    ("Content-Type", "text/plain", "text/csv;charset=utf-8"),
    ("Digest", "x=1", "x=2"),
    ("Link", "</a>; rel=next", "</b>; rel=next"),
    ("Public-Key-Pins", "a", "b"),
    ("Retry-After", "5", "Sun, 06 Nov 1994 08:49:37 GMT"),
    ("Server", "books/1", "books/2"),
    ("Set-Cookie2", "a=b", "a=c"),
    ("Strict-Transport-Security", "max-age=1", "max-age=2"),
    ("Surrogate-Control", "max-age=1", "max-age=2"),
    ("Test-Header", "a", "b"),
    ("Warning", "199 - \"a\"", "199 - \"b\""),
    ("X-Content-Foo", "a", "b"),
    ("X-Frame-Options", "deny", "sameorigin"),
    ("X-XSS-Protection", "1", "0"),
];

/// Fields of one hop, or of a proxy.
const NEXT_HOP: &[(&str, &str)] = &[
    ("Keep-Alive", "timeout=60"),
    ("Proxy-Connection", "keep-alive"),
    ("TE", "trailers"),
    ("Upgrade", "h2c"),
];
const PROXY: &[(&str, &str)] = &[
    ("Proxy-Authenticate", "Basic"),
    ("Proxy-Authentication-Info", "nextnonce=\"a\""),
    ("Proxy-Authorization", "Basic x"),
];

const ETAG: (&str, &str) = ("ETag", "\"v1\"");

#[test]
fn every_end_to_end_field_is_stored() {
    // RFC 9111 §3.1
    let bench = Bench::new();
    let mut failed = Rows::default();
    for (name, value, _) in END_TO_END {
        let page = bench.answering([ok(&[("Cache-Control", "max-age=60"), (name, value)])]);
        for hit in [false, true] {
            let answer = page.get();
            let all: Vec<_> = answer.fields.all(name).collect();
            failed.check(answer.is_hit() == hit && all == [*value], || {
                format!("{name}: {value} became {all:?}, {}", answer.cache_status())
            });
        }
    }
}

#[test]
fn fields_of_one_hop_stay_there() {
    // RFC 9110 §7.6.1, RFC 9111 §3.1
    let bench = Bench::new();
    let mut failed = Rows::default();
    for (name, value) in NEXT_HOP.iter().chain(PROXY) {
        let lines = [
            ("Cache-Control", "max-age=60"),
            (*name, *value),
            ("X-Kept", "1"),
        ];
        let page = bench.answering([ok(&lines)]);
        for hit in [false, true] {
            let answer = page.get();
            // Those for a proxy are for the next one downstream, where there is one; never for the store.
            let may_pass = !hit && PROXY.iter().any(|(proxy, _)| proxy == name);
            let gone = answer.field(name) != Some(value) || may_pass;
            let kept = answer.field("x-kept") == Some("1");
            failed.check(gone && kept && answer.is_hit() == hit, || {
                format!("{name}, hit {hit}: {}", brief(&answer))
            });
        }
    }
}

#[test]
fn fields_that_connection_names_stay_there() {
    // RFC 9110 §7.6.1
    let bench = Bench::new();
    let mut failed = Rows::default();
    for (connection, named, kept) in [
        ("X-A", &["X-A"][..], &["X-B"][..]),
        ("x-a, X-B", &["X-A", "X-B"], &[]),
        ("close, X-A", &["X-A"], &["X-B"]),
        (" , X-A ,, ", &["X-A"], &["X-B"]),
        ("keep-alive", &[], &["X-A", "X-B"]),
        // those that are for all recipients must not be named, and are not taken
        ("Cache-Control, X-A", &["X-A"], &["Cache-Control", "X-B"]),
    ] {
        let page = bench.answering([ok(&[
            ("Cache-Control", "max-age=60"),
            ("Connection", connection),
            ("X-A", "1"),
            ("X-B", "1"),
        ])]);
        for _ in 0..2 {
            let answer = page.get();
            let right = named.iter().all(|name| answer.field(name).is_none())
                && kept.iter().all(|name| answer.field(name).is_some());
            failed.check(right, || format!("{connection}: {}", brief(&answer)));
        }
    }
}

#[test]
fn fields_of_one_hop_in_a_request_go_no_further() {
    // RFC 9110 §7.6.1
    let bench = Bench::new();
    let page = bench.answering([ok(&[("Cache-Control", "no-store")])]);
    page.ask(&[
        ("Connection", "X-A, close"),
        ("X-A", "1"),
        ("Keep-Alive", "timeout=9"),
        ("Proxy-Connection", "keep-alive"),
        ("TE", "gzip"),
        ("X-B", "1"),
        ("Cache-Control", "max-age=9"),
    ]);
    let asked = page.last().fields;
    for gone in ["x-a", "keep-alive", "proxy-connection", "te"] {
        assert!(!asked.has(gone), "{gone}: {asked:?}");
    }
    for kept in ["x-b", "cache-control", "host", "via"] {
        assert!(asked.has(kept), "{kept}: {asked:?}");
    }
    assert!(!asked.all("connection").any(|value| value.contains("X-A")));
}

#[test]
fn a_304_updates_every_end_to_end_field() {
    // RFC 9111 §3.2: for the one who asked and for those who come after; what it does not have stays
    for validator in [ETAG, ("Last-Modified", "Sun, 06 Nov 1994 08:49:37 GMT")] {
        let bench = Bench::new();
        let mut failed = Rows::default();
        let kept = ("X-Kept", "1");
        // What the stored octets are coded in stays.
        let updated = END_TO_END
            .iter()
            .filter(|(name, ..)| *name != "Content-Encoding");
        let pages: Vec<_> = updated
            .map(|(name, old, new)| {
                let first = [
                    ("Cache-Control", "max-age=10"),
                    validator,
                    (*name, *old),
                    kept,
                ];
                let update = [("Cache-Control", "max-age=60"), validator, (*name, *new)];
                (
                    name,
                    new,
                    bench.validating(ok(&first), with(reply(304), &update)),
                )
            })
            .collect();
        for (.., page) in &pages {
            page.get().expect(200);
        }
        bench.pass(11);
        for (name, new, page) in &pages {
            for hit in [false, true] {
                let answer = page.get().expect(200);
                let all: Vec<_> = answer.fields.all(name).collect();
                let right = answer.is_hit() == hit
                    && all == [**new]
                    && answer.field("x-kept") == Some("1")
                    && answer.text() == "1984"
                    && answer.field("content-length") == Some("4");
                failed.check(right, || {
                    format!("{validator:?}, {name}, hit {hit}: {}", brief(&answer))
                });
            }
        }
    }
}

#[test]
fn a_304_updates_nothing_that_is_not_to_be_updated() {
    // RFC 9111 §3.2, §3.1
    let bench = Bench::new();
    let mut failed = Rows::default();
    let own = [("Content-Length", "9"), ("Content-Range", "bytes 0-1/2")];
    let rows: Vec<(&str, &str)> = NEXT_HOP.iter().chain(PROXY).chain(&own).copied().collect();
    let pages: Vec<_> = rows
        .iter()
        .map(|(name, value)| {
            let first = ok(&[("Cache-Control", "max-age=10"), ETAG]);
            let update = [
                ("Cache-Control", "max-age=60"),
                ETAG,
                ("X-New", "1"),
                (*name, *value),
            ];
            bench.validating(first, with(reply(304), &update))
        })
        .collect();
    for page in &pages {
        page.get().expect(200);
    }
    bench.pass(11);
    for (page, (name, value)) in pages.iter().zip(&rows) {
        for hit in [false, true] {
            let answer = page.get().expect(200);
            let right = answer.is_hit() == hit
                && answer.field(name) != Some(value)
                && answer.field("x-new") == Some("1")
                && answer.text() == "1984";
            failed.check(right, || format!("{name}, hit {hit}: {}", brief(&answer)));
        }
    }
}

#[test]
fn a_304_replaces_all_lines_of_a_field_and_repeats_none() {
    // RFC 9111 §3.2
    let bench = Bench::new();
    let first = [
        ("Cache-Control", "max-age=10"),
        ETAG,
        ("Link", "</a>"),
        ("Link", "</b>"),
    ];
    let update = [
        ("Cache-Control", "max-age=60"),
        ETAG,
        ("Link", "</c>"),
        ("Link", "</d>"),
    ];
    let page = bench.validating(ok(&first).field("Vary", "X-A"), with(reply(304), &update));
    page.get();
    bench.pass(11);
    for _ in 0..3 {
        let answer = page.get().expect(200);
        let links: Vec<_> = answer.fields.all("link").collect();
        assert_eq!(links, ["</c>", "</d>"]);
        for once in ["etag", "cache-control", "date", "vary", "content-length"] {
            let count = answer.fields.all(once).count();
            assert_eq!(count, 1, "{once}: {}", brief(&answer));
        }
    }
}

#[test]
fn a_304_makes_it_fresh_from_its_own_date_and_age() {
    // RFC 9111 §4.3.4, §4.2.3: (the 304's fields, the Age then told from the store at once, the ttl)
    let rows: &[(Lines<'_>, u64, i64)] = &[
        (&[("Cache-Control", "max-age=60")], 0, 60),
        (&[], 0, 10),
        (&[("Age", "4")], 4, 6),
        (&[("Date", "Tue, 14 Nov 2023 22:13:28 GMT")], 3, 7),
        (&[("Cache-Control", "max-age=60"), ("Age", "20")], 20, 40),
        (&[("Expires", "Tue, 14 Nov 2023 23:00:00 GMT")], 0, 10),
    ];
    let bench = Bench::new();
    let mut failed = Rows::default();
    let pages: Vec<_> = rows
        .iter()
        .map(|(update, ..)| {
            let first = ok(&[("Cache-Control", "max-age=10"), ETAG, ("Age", "0")]);
            bench.validating(first, with(with(reply(304), &[ETAG]), update))
        })
        .collect();
    for page in &pages {
        page.get().expect(200);
    }
    bench.pass(11);
    for (page, row) in pages.iter().zip(rows) {
        page.get().expect(200);
        let hit = page.get().expect(200);
        let told = (hit.age(), hit.number("ttl"));
        failed.check(hit.is_hit() && told == (Some(row.1), Some(row.2)), || {
            format!("{row:?}: {}", brief(&hit))
        });
    }
}

#[test]
fn a_head_updates_what_is_stored_for_get() {
    // RFC 9111 §4.3.5: (what HEAD answers, whether the stored response is used, with its fields)
    const LENGTH: (&str, &str) = ("Content-Length", "4");
    const FRESH: (&str, &str) = ("Cache-Control", "max-age=60");
    const NEW: (&str, &str) = ("X-A", "2");
    const OLD: (&str, &str) = ("Last-Modified", "Sun, 06 Nov 1994 08:49:37 GMT");
    let rows: &[(&'static [(&'static str, &'static str)], bool)] = &[
        (&[ETAG, LENGTH, FRESH, NEW], true),
        (&[ETAG, FRESH, NEW], true),
        (&[LENGTH, FRESH, NEW], true),
        (&[FRESH, NEW], true),
        (&[("ETag", "\"v2\""), LENGTH, FRESH, NEW], false),
        (&[ETAG, ("Content-Length", "5"), FRESH, NEW], false),
        (&[ETAG, LENGTH, OLD, FRESH, NEW], false),
        (&[ETAG, LENGTH, ("Cache-Control", "max-age=0"), NEW], false),
        (&[ETAG, LENGTH, ("Cache-Control", "no-store"), NEW], false),
        (
            &[ETAG, LENGTH, ("Cache-Control", "private, max-age=60"), NEW],
            false,
        ),
    ];
    let bench = Bench::new();
    let mut failed = Rows::default();
    let pages: Vec<_> = rows
        .iter()
        .map(|(lines, _)| {
            let lines = *lines;
            bench.page(move |_, request| match &*request.method {
                "HEAD" if lines.iter().any(|line| line.0 == "Content-Length") => {
                    with(reply(200), lines)
                }
                // Its framing then is no length.
                "HEAD" => with(reply(200).chunked(), lines),
                _ => ok(&[
                    ("Cache-Control", "max-age=10"),
                    ETAG,
                    ("X-A", "1"),
                    ("X-Kept", "1"),
                ]),
            })
        })
        .collect();
    for page in &pages {
        page.get().expect(200);
    }
    bench.pass(11);
    for (page, (lines, used)) in pages.iter().zip(rows) {
        let answer = page.send(&head(&page.target));
        let forwarded = answer.status == 200 && answer.body.is_empty() && !answer.is_hit();
        failed.check(forwarded, || format!("HEAD {lines:?}: {}", brief(&answer)));
        let answer = page.ask(&[("Cache-Control", "only-if-cached")]);
        let updated = answer.is_hit()
            && answer.text() == "1984"
            && answer.field("x-a") == Some("2")
            && answer.field("x-kept") == Some("1");
        failed.check(updated == *used, || {
            format!("GET after HEAD {lines:?}: {}", brief(&answer))
        });
    }
}

#[test]
fn a_head_that_fails_says_nothing_about_what_is_stored() {
    // RFC 9111 §4.3.5 speaks of 200 only
    let bench = Bench::new();
    for status in [404, 410, 500, 301] {
        let page = bench.page(move |_, request| match &*request.method {
            "HEAD" => reply(status),
            _ => ok(&[("Cache-Control", "max-age=60"), ETAG]),
        });
        page.get().expect(200);
        let answer = page.send(&head(&page.target).field("Cache-Control", "no-cache"));
        assert_eq!(answer.status, status);
        assert!(page.get().is_hit(), "{status}");
    }
}

#[test]
fn a_head_is_answered_as_the_get_would_be_without_content() {
    // RFC 9110 §9.3.2
    let bench = Bench::new();
    let lines = [
        ("Cache-Control", "max-age=60"),
        ETAG,
        ("X-A", "1"),
        ("X-A", "2"),
    ];
    let page = bench.answering([ok(&lines)]);
    page.get().expect(200);
    let mut client = bench.gateway.client();
    let sorted = |mut fields: Vec<(String, String)>| {
        fields.sort();
        fields
    };
    let got = client.send(&get(&page.target));
    let headed = client.send(&head(&page.target));
    assert!(headed.is_hit() && headed.body.is_empty());
    assert_eq!(sorted(got.fields.0), sorted(headed.fields.0));
    // conditions hold for it too, ranges do not (§14.2)
    let known = client.send(&head(&page.target).field("If-None-Match", "\"v1\""));
    assert_eq!((known.status, known.body.len()), (304, 0));
    let ranged = client.send(&head(&page.target).field("Range", "bytes=0-1"));
    assert_eq!(
        (ranged.status, ranged.field("content-length")),
        (200, Some("4"))
    );
    assert_eq!((page.count(), client.connects()), (1, 1));
}

#[test]
fn field_lines_keep_their_order_and_their_octets() {
    // RFC 9110 §5.3, §5.5
    let bench = Bench::new();
    let page = bench.answering([ok(&[
        ("Cache-Control", "max-age=60"),
        ("X-A", "3"),
        ("X-B", "z"),
        ("X-A", "1"),
        ("X-A", "2"),
        ("X-Spaces", "a  b\tc"),
        ("X-Empty", ""),
        ("X-Quoted", "\"a, b\""),
    ])]);
    for _ in 0..2 {
        let answer = page.ask(&[("X-Q", "2"), ("X-Q", "1"), ("X-Q", "")]);
        assert_eq!(
            answer.fields.all("x-a").collect::<Vec<_>>(),
            ["3", "1", "2"]
        );
        assert_eq!(answer.field("x-spaces"), Some("a  b\tc"));
        assert_eq!(answer.field("x-empty"), Some(""));
        assert_eq!(answer.field("x-quoted"), Some("\"a, b\""));
    }
    let asked = page.last().fields;
    assert_eq!(asked.all("x-q").collect::<Vec<_>>(), ["2", "1", ""]);
}

#[test]
fn octets_beyond_ascii_pass_in_fields() {
    // RFC 9110 §5.5: obs-text is opaque; §8.8.3: a tag may have it
    let bench = Bench::new();
    let page = bench.answering([ok(&[
        ("Cache-Control", "max-age=60"),
        ("ETag", "\"bücher\""),
        ("X-A", "größe"),
    ])]);
    for _ in 0..2 {
        assert_eq!(page.get().field("x-a"), Some("größe"));
    }
    let known = page.ask(&[("If-None-Match", "\"bücher\"")]);
    assert_eq!(
        (known.status, known.field("etag")),
        (304, Some("\"bücher\""))
    );
}

#[test]
fn cookies_are_set_by_each_line_of_their_own() {
    // RFC 9110 §5.3: Set-Cookie is no list
    let bench = Bench::new();
    let cookies = ["a=1; Expires=Sun, 06 Nov 1994 08:49:37 GMT", "b=2"];
    let page = bench.answering([ok(&[
        ("Cache-Control", "public, max-age=60"),
        ("Set-Cookie", cookies[0]),
        ("Set-Cookie", cookies[1]),
    ])]);
    for hit in [false, true] {
        let answer = page.get();
        assert_eq!(answer.is_hit(), hit);
        assert_eq!(answer.fields.all("set-cookie").collect::<Vec<_>>(), cookies);
    }
}
