//! Set-Cookie: whose cookie a stored response hands out. RFC 9111 §7.3 permits what a lifetime alone says; we do not.

use crate::common::bench::{Bench, Lines, Page, Rows, brief, ok, with};
use crate::common::{Reply, Request, get, reply};

const OLD: (&str, &str) = ("Last-Modified", "Sun, 06 Nov 1994 08:49:37 GMT");

/// A page that gives each client a cookie of its own.
fn session(lines: Lines<'static>) -> impl Fn(usize, &Request) -> Reply + Send + Sync + 'static {
    move |nth, _| ok(lines).field("Set-Cookie", format!("session={nth}"))
}

/// What a second client gets: whether from the store, and whose cookie.
fn second(page: &Page<'_>) -> (bool, Option<String>) {
    let own = page.get().expect(200);
    assert_eq!(
        own.field("set-cookie"),
        Some("session=1"),
        "the first has its own"
    );
    let answer = page.get().expect(200);
    (
        answer.is_hit(),
        answer.field("set-cookie").map(str::to_owned),
    )
}

/// Fields of a response, and whether it is stored with "refuse" and with "store".
const RESPONSES: [(Lines<'static>, bool, bool); 18] = [
    (&[("Cache-Control", "max-age=60")], false, true),
    (
        &[("Cache-Control", "max-age=60, must-revalidate")],
        false,
        true,
    ),
    (&[("Cache-Control", "max-age=60, immutable")], false, true),
    (
        &[("Cache-Control", "max-age=60, stale-while-revalidate=60")],
        false,
        true,
    ),
    (&[("Expires", "Thu, 18 Aug 2050 02:01:18 GMT")], false, true),
    (&[OLD], false, false),
    (&[("ETag", "\"v1\"")], false, false),
    (
        &[("Cache-Control", "no-cache"), ("ETag", "\"v1\"")],
        false,
        false,
    ),
    (
        &[("Cache-Control", "max-age=0"), ("ETag", "\"v1\"")],
        false,
        false,
    ),
    (
        &[("Cache-Control", "max-age=60"), ("Vary", "Cookie")],
        false,
        false,
    ),
    (&[("Cache-Control", "public, max-age=60")], true, true),
    (&[("Cache-Control", "public"), OLD], true, true),
    (&[("Cache-Control", "s-maxage=60")], true, true),
    (&[("Cache-Control", "s-maxage=60, max-age=0")], true, true),
    (&[("CDN-Cache-Control", "max-age=60")], true, true),
    // Each use needs validation, and the 304 brings no cookie: the stored one would be a stranger's.
    (
        &[("Cache-Control", "public, max-age=0"), ("ETag", "\"v1\"")],
        false,
        false,
    ),
    (
        &[("Cache-Control", "s-maxage=0"), ("ETag", "\"v1\"")],
        false,
        false,
    ),
    (
        &[("Cache-Control", "public, no-cache"), ("ETag", "\"v1\"")],
        false,
        false,
    ),
];

#[test]
fn a_session_is_given_to_a_stranger_only_at_the_api_s_word() {
    let mut failed = Rows::default();
    for mode in ["", "set_cookie = \"refuse\"", "set_cookie = \"store\""] {
        let bench = Bench::with(|setup| setup.cache(mode));
        for (lines, refused, stored) in RESPONSES {
            let page = bench.page(session(lines));
            let shared = if mode.contains("store") {
                stored
            } else {
                refused
            };
            let cookie = if shared { "session=1" } else { "session=2" };
            let found = second(&page);
            failed.check(found == (shared, Some(cookie.to_owned())), || {
                format!("{mode:?} {lines:?}: {found:?}")
            });
        }
    }
}

#[test]
fn stripped_it_is_stored_without_its_cookie() {
    for mode in ["set_cookie = \"strip\"", "ignore = [\"set-cookie\"]"] {
        let bench = Bench::with(|setup| setup.cache(mode));
        for lines in [
            &[("Cache-Control", "max-age=60")][..],
            &[("Cache-Control", "public, max-age=60")],
            &[("Cache-Control", "s-maxage=60")],
            &[OLD],
        ] {
            let page = bench.page(session(lines));
            assert_eq!(second(&page), (true, None), "{mode} {lines:?}");
        }
    }
}

#[test]
fn a_route_has_its_own_say_about_cookies() {
    let modes = [
        ("/refuse", "refuse"),
        ("/strip", "strip"),
        ("/store", "store"),
    ];
    let origin = crate::common::Origin::answering(ok(&[
        ("Cache-Control", "max-age=60"),
        ("Set-Cookie", "a=b"),
    ]));
    let setup = crate::common::Gateway::before(&origin).cache("ignore = [\"set-cookie\"]");
    let gateway = modes
        .iter()
        .fold(setup, |setup, (path, mode)| {
            setup.route(path, &format!("set_cookie = \"{mode}\""))
        })
        .start();
    for (path, hit, cookie) in [
        ("/refuse", false, true),
        ("/strip", true, false),
        ("/store", true, true),
        ("/else", true, false),
    ] {
        gateway.get(path).expect(200);
        let answer = gateway.get(path).expect(200);
        let found = (answer.is_hit(), answer.field("set-cookie").is_some());
        assert_eq!(found, (hit, cookie), "{path}");
    }
}

#[test]
fn an_update_brings_no_cookie_into_the_store() {
    // By a 304 and by a HEAD: it reaches the client that it was for, and nobody else.
    let bench = Bench::new();
    let lines: Lines<'_> = &[("Cache-Control", "max-age=10"), ("ETag", "\"v1\"")];
    let brings = move |nth: usize, request: &Request| {
        let first = if nth == 1 {
            ok(lines)
        } else {
            with(reply(304), lines)
        };
        match (nth, &*request.method) {
            (1, _) => first,
            (_, "HEAD") => ok(lines).field("Set-Cookie", format!("session={nth}")),
            _ => first.field("Set-Cookie", format!("session={nth}")),
        }
    };
    let mut failed = Rows::default();
    for method in ["GET", "HEAD"] {
        let page = bench.page(brings);
        page.get().expect(200);
        bench.pass(11);
        let own = page.send(&page.request(method)).expect(200);
        failed.check(own.field("set-cookie") == Some("session=2"), || {
            format!("{method}, the one who asked: {}", brief(&own))
        });
        let next = page.get().expect(200);
        failed.check(next.field("set-cookie").is_none() && next.is_hit(), || {
            format!("{method}, the next: {}", brief(&next))
        });
    }
}

#[test]
fn a_stored_cookie_leaves_with_the_word_that_shared_it() {
    let bench = Bench::new();
    let first = ok(&[
        ("Cache-Control", "public, max-age=10"),
        ("ETag", "\"v1\""),
        ("Set-Cookie", "a=b"),
    ]);
    let update = with(
        reply(304),
        &[("Cache-Control", "max-age=10"), ("ETag", "\"v1\"")],
    );
    let page = bench.validating(first, update);
    page.get().expect(200);
    assert_eq!(page.get().field("set-cookie"), Some("a=b"));
    bench.pass(11);
    for _ in 0..2 {
        let later = page.get().expect(200);
        assert_eq!(later.field("set-cookie"), None, "{}", brief(&later));
    }
}

#[test]
fn cache_status_and_explain_say_what_to_do_about_a_cookie() {
    let bench = Bench::new();
    let page = bench.page(session(&[("Cache-Control", "max-age=60")]));
    for _ in 0..2 {
        let answer = page.get().expect(200);
        assert!(
            answer.says("detail=set-cookie"),
            "{}",
            answer.cache_status()
        );
    }
    let mut admin = crate::common::Client::to(bench.gateway.admin_addr());
    let url = format!("http://{}{}", bench.gateway.addr(), page.target);
    let explained = admin
        .send(&get(&format!("/explain?url={url}")))
        .expect(200)
        .text();
    assert!(explained.contains("set_cookie"), "{explained}");
}
