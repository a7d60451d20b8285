//! What makes two requests one: targets, hosts, schemes, credentials (RFC 9110 §4.2, RFC 9111 §2, §3.5), and how content
//! passes, large, slow and coded.

use super::bench::{Bench, Rows, START, brief, ok};
use super::with;
use crate::common::{Gate, Gateway, Origin, get, post, put, reply, request};
use bookend::semantics::time::Timestamp;

const FRESH: (&str, &str) = ("Cache-Control", "max-age=60");

#[test]
fn which_targets_are_one() {
    // (target and Host of the first request, of the second, whether they are for the same)
    let rows = [
        ("/a", "a.example", "/a", "a.example", true),
        ("/a", "a.example", "/a", "A.Example", true),
        ("/a", "a.example", "/a", "a.example:80", true),
        ("/a", "a.example", "http://a.example/a", "other", true),
        ("/a", "a.example", "/a", "a.example:8080", false),
        ("/a", "a.example", "/a", "b.example", false),
        ("/a", "a.example", "/A", "a.example", false),
        ("/a", "a.example", "/a/", "a.example", false),
        ("/a", "a.example", "/a?", "a.example", false),
        ("/a", "a.example", "//a", "a.example", false),
        ("/a?x=1&y=2", "a.example", "/a?y=2&x=1", "a.example", false),
        ("/a?x", "a.example", "/a?x", "a.example", true),
        ("/a?x", "a.example", "/a?X", "a.example", false),
        ("/a%2Fb", "a.example", "/a/b", "a.example", false),
        ("/a?x=%20", "a.example", "/a?x=+", "a.example", false),
    ];
    let origin = Origin::start(|request, conn| {
        let host = request.fields.get("host").unwrap_or_default().to_owned();
        conn.reply(
            request,
            &ok(&[FRESH]).body(format!("{host}{}", request.target)),
        );
    });
    let mut failed = Rows::default();
    for (first, host, second, other, same) in rows {
        let gateway = Gateway::before(&origin).start();
        gateway.send(&get(first).field("Host", host)).expect(200);
        let answer = gateway.send(&get(second).field("Host", other)).expect(200);
        failed.check(answer.is_hit() == same, || {
            format!("{first} {host}, {second} {other}: {}", brief(&answer))
        });
    }
}

#[test]
fn the_key_is_what_was_sent_on() {
    // whatever octets of the target mean, the API sees those of the client; `/~a` would be the same (RFC 3986 §6.2.2)
    let origin = Origin::start(|request, conn| {
        conn.reply(request, &ok(&[FRESH]).body(&request.target));
    });
    let gateway = Gateway::before(&origin).start();
    for target in [
        "/",
        "/a",
        "/a?",
        "/a?b=c&d",
        "/%7Ea",
        "/~b",
        "/a%zz",
        "//",
        "/a//b/../c",
        "/a;b=c",
        "/a?x=/?",
        "/?q=%00",
    ] {
        for hit in [false, true] {
            let answer = gateway.get(target).expect(200);
            assert_eq!((&*answer.text(), answer.is_hit()), (target, hit));
        }
    }
}

#[test]
fn what_credentials_fetched_is_shared_only_at_the_origin_s_word() {
    // RFC 9111 §3.5: (Cache-Control, whether it is for all)
    let bench = Bench::new();
    let mut failed = Rows::default();
    for (says, shared) in [
        ("max-age=60", false),
        ("max-age=60, proxy-revalidate", false),
        ("max-age=60, immutable", false),
        ("public", false),
        ("max-age=60, public", true),
        ("max-age=60, must-revalidate", true),
        ("s-maxage=60", true),
        ("s-maxage=60, max-age=0", true),
        ("private, public, max-age=60", false),
        ("no-store, public, max-age=60", false),
    ] {
        for credentials in ["Basic YTpi", "Bearer x", ""] {
            let page = bench.answering([ok(&[("Cache-Control", says)])]);
            page.ask(&[("Authorization", credentials)]).expect(200);
            for later in [page.ask(&[("Authorization", "Basic other")]), page.get()] {
                // The later of the two may find what the other stored.
                failed.check(
                    later.is_hit() == shared || (!shared && page.count() == 3),
                    || format!("{says}, {credentials:?}: {}", brief(&later)),
                );
            }
        }
        // what was fetched without answers those with, as the response says
        let page = bench.answering([ok(&[("Cache-Control", "max-age=60")])]);
        page.get().expect(200);
        assert!(page.ask(&[("Authorization", "Basic x")]).is_hit());
    }
}

#[test]
fn what_needs_sharing_s_leave_obeys_it_when_stale() {
    // RFC 9111 §3.5, §5.2.2.10: a stale one is not for anybody without validation
    let bench = Bench::new();
    for says in ["max-age=10, must-revalidate", "s-maxage=10"] {
        let page = bench.answering([ok(&[("Cache-Control", says)]), reply(503)]);
        let asks = [("Authorization", "Basic x"), ("Cache-Control", "max-stale")];
        page.ask(&asks[..1]).expect(200);
        bench.pass(11);
        assert_eq!(page.ask(&asks).status, 503, "{says}");
    }
}

#[test]
fn content_passes_untouched() {
    // RFC 9110 §7.7, RFC 9111 §5.2.2.6: whatever its coding, and whatever the client says that it accepts
    let octets: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    let bench = Bench::new();
    for lines in [
        &[FRESH, ("Content-Encoding", "gzip")][..],
        &[
            FRESH,
            ("Content-Encoding", "br"),
            ("Vary", "Accept-Encoding"),
        ],
        &[FRESH, ("Content-Type", "text/html")],
        &[("Cache-Control", "no-store, no-transform")],
    ] {
        for framed in [true, false] {
            let answer = with(reply(200), lines).body(&octets);
            let page = bench.answering([if framed { answer } else { answer.chunked() }]);
            for accepts in ["identity", "gzip", "identity"] {
                let answer = page.ask(&[("Accept-Encoding", accepts)]).expect(200);
                assert!(answer.body == octets, "{lines:?} {accepts}");
                assert!(page.last().fields.has("accept-encoding"));
            }
        }
    }
}

#[test]
fn what_is_large_is_stored_whole_or_not_at_all() {
    let bench = Bench::with(|setup| setup.cache("max_stored_body = \"1MiB\""));
    for (length, stored) in [(1 << 20, true), ((1 << 20) + 1, false), (3 << 20, false)] {
        for framed in [true, false] {
            let body = "x".repeat(length);
            let answer = ok(&[FRESH]).body(&body);
            let page = bench.answering([if framed { answer } else { answer.chunked() }]);
            for hit in [false, stored] {
                let answer = page.get().expect(200);
                assert_eq!(
                    (answer.body.len(), answer.is_hit()),
                    (length, hit),
                    "{framed}"
                );
            }
        }
    }
}

#[test]
fn a_request_is_answered_though_its_content_is_still_coming() {
    // RFC 9112 §7.5, RFC 9110 §10.1.1: an early refusal reaches the client
    let gate = Gate::new();
    let held = gate.clone();
    let origin = Origin::start(move |request, conn| {
        held.open();
        conn.reply(request, &reply(413).field("Connection", "close").body("no"));
    });
    let gateway = Gateway::before(&origin).start();
    let answer = gateway.send(&put("/a", "x".repeat(100_000)));
    gate.pass();
    assert_eq!((answer.status, &*answer.text()), (413, "no"));
}

#[test]
fn options_star_is_for_the_api_as_a_whole() {
    // RFC 9110 §9.3.7, RFC 9112 §3.2.4
    let origin =
        Origin::start(|request, conn| conn.reply(request, &reply(204).field("Allow", "GET")));
    let gateway = Gateway::before(&origin).start();
    let answer = gateway.send(&request("OPTIONS", "*"));
    assert_eq!((answer.status, answer.field("allow")), (204, Some("GET")));
    assert_eq!(origin.last().target, "*");
}

#[test]
fn via_tells_the_version_that_each_message_came_in() {
    // RFC 9110 §7.6.3
    let origin = Origin::answering(ok(&[("Cache-Control", "no-store")]));
    let gateway = Gateway::before(&origin).start();
    for (version, told) in [("HTTP/1.0", "1.0 bookend"), ("HTTP/1.1", "1.1 bookend")] {
        let answer = gateway.send(&get("/a").version(version).field("Via", "1.0 one"));
        let sent: Vec<_> = origin.last().fields.all("via").map(str::to_owned).collect();
        assert_eq!(sent.join(", "), format!("1.0 one, {told}"));
        assert_eq!(answer.list("via"), "1.1 bookend");
    }
}

#[test]
fn a_post_is_never_collapsed_nor_answered_with_another_s() {
    let origin = Origin::start(|request, conn| {
        conn.reply(request, &ok(&[FRESH]).body(request.text()));
    });
    let gateway = Gateway::before(&origin).start();
    std::thread::scope(|scope| {
        for n in 0..8 {
            let gateway = &gateway;
            scope.spawn(move || {
                let own = n.to_string();
                assert_eq!(gateway.send(&post("/a", &own)).expect(200).text(), own);
            });
        }
    });
    assert_eq!(origin.count(), 8);
}

#[test]
fn the_gateway_s_own_answers_are_dated_and_explained() {
    // RFC 9110 §6.6.1, §15.5, RFC 9457
    let origin = Origin::answering(reply(200));
    let gateway = Gateway::before(&origin)
        .manual_clock_at(Timestamp::from_secs(START))
        .start();
    for request in [
        get("/a").field("Cache-Control", "only-if-cached"),
        get("/a").field("Host", "a b"),
        request("CONNECT", "a:80").field("Host", "a:80"),
    ] {
        let answer = gateway.send(&request);
        assert!(answer.status >= 400, "{}", brief(&answer));
        assert_eq!(answer.field("date"), Some("Tue, 14 Nov 2023 22:13:20 GMT"));
        assert_eq!(
            answer.field("content-type"),
            Some("application/problem+json")
        );
        assert_eq!(answer.field("cache-control"), Some("no-store"));
        assert!(answer.text().contains("\"detail\""), "{}", brief(&answer));
    }
    assert_eq!(origin.count(), 0);
}
