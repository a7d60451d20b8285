//! An API that is gone for some seconds costs a cached URL nothing: what is stale stands in for a minute by default.

use std::time::Duration;

use crate::common::bench::{Lines, Rows, brief, ok, with};
use crate::common::{Gateway, Origin, Setup, get, reply};

/// How an API is gone.
#[derive(Clone, Copy, Debug)]
enum Gone {
    Refuses,
    Resets,
    Closes,
    /// Half a head, then nothing.
    HalfAHead,
    Silent,
    Garbage,
}

const WAYS: [Gone; 6] = [
    Gone::Refuses,
    Gone::Resets,
    Gone::Closes,
    Gone::HalfAHead,
    Gone::Silent,
    Gone::Garbage,
];

/// An API that gives one response with these fields, and is gone then.
fn gone_after_one(gone: Gone, lines: Lines<'static>) -> (Origin, Setup) {
    let origin = Origin::start(move |request, conn| match (&*request.target, gone) {
        _ if !request.fields.has("x-later") => conn.reply(request, &ok(lines)),
        (_, Gone::Refuses | Gone::Resets) => conn.reset(),
        (_, Gone::Closes) => conn.close(),
        (_, Gone::HalfAHead) => {
            conn.write("HTTP/1.1 200 OK\r\nContent-");
            conn.close();
        }
        (_, Gone::Silent) => conn.await_close(),
        (_, Gone::Garbage) => {
            conn.write("garbage\r\n\r\n");
            conn.close();
        }
    });
    let setup = Gateway::before(&origin)
        .upstream("response_timeout = \"200ms\"\n[upstream.circuit]\nfailures = 0")
        .manual_clock();
    (origin, setup)
}

fn later(gateway: &Gateway, lines: Lines<'_>) -> crate::common::Answer {
    let request = get("/a").field("X-Later", "1");
    gateway.send(
        &lines
            .iter()
            .fold(request, |request, (name, value)| request.field(name, value)),
    )
}

#[test]
fn an_api_that_is_gone_costs_a_cached_url_no_error() {
    let mut failed = Rows::default();
    for gone in WAYS {
        let (origin, setup) = gone_after_one(gone, &[("Cache-Control", "max-age=10")]);
        let gateway = setup.start();
        gateway.get("/a").expect(200);
        if matches!(gone, Gone::Refuses) {
            origin.refuse(true);
        }
        gateway.advance(Duration::from_secs(11));
        let answer = later(&gateway, &[]);
        let stood_in = answer.status == 200 && answer.says("detail=disconnected");
        failed.check(stood_in, || format!("{gone:?}: {}", brief(&answer)));
        gateway.advance(Duration::from_secs(60));
        let answer = later(&gateway, &[]);
        failed.check(answer.status >= 500, || {
            format!("{gone:?}, over: {}", brief(&answer))
        });
        origin.refuse(false);
    }
}

#[test]
fn what_forbids_staleness_still_does() {
    let mut failed = Rows::default();
    let rows: [(Lines<'static>, Lines<'static>, &str, bool); 9] = [
        (
            &[("Cache-Control", "max-age=10, must-revalidate")],
            &[],
            "",
            false,
        ),
        (
            &[("Cache-Control", "max-age=10, proxy-revalidate")],
            &[],
            "",
            false,
        ),
        (&[("Cache-Control", "s-maxage=10")], &[], "", false),
        (
            &[("Cache-Control", "no-cache"), ("ETag", "\"a\"")],
            &[],
            "",
            false,
        ),
        (
            &[("Cache-Control", "max-age=10")],
            &[("Cache-Control", "no-cache")],
            "",
            false,
        ),
        (
            &[("Cache-Control", "max-age=10")],
            &[],
            "stale_if_disconnected = \"off\"",
            false,
        ),
        (
            &[("Cache-Control", "max-age=10")],
            &[],
            "stale_if_disconnected = \"0s\"",
            false,
        ),
        (
            &[("Cache-Control", "max-age=10")],
            &[],
            "stale_if_disconnected = \"2m\"",
            true,
        ),
        (&[("Expires", "0"), ("ETag", "\"a\"")], &[], "", true),
    ];
    for (lines, asked, configured, stands_in) in rows {
        let (_origin, setup) = gone_after_one(Gone::Closes, lines);
        let gateway = setup.cache(configured).start();
        gateway.get("/a").expect(200);
        gateway.advance(Duration::from_secs(11));
        let answer = later(&gateway, asked);
        failed.check((answer.status == 200) == stands_in, || {
            format!("{lines:?} {asked:?} {configured}: {}", brief(&answer))
        });
    }
}

#[test]
fn an_api_that_answers_with_an_error_is_not_disconnected() {
    for status in [500, 502, 503, 504, 505, 404, 429] {
        let origin = Origin::start(move |request, conn| {
            let answer = match request.fields.has("x-later") {
                true => reply(status).body("broken"),
                false => with(reply(200), &[("Cache-Control", "max-age=10")]),
            };
            conn.reply(request, &answer);
        });
        let gateway = Gateway::before(&origin).manual_clock().start();
        gateway.get("/a").expect(200);
        gateway.advance(Duration::from_secs(11));
        let answer = later(&gateway, &[]);
        assert_eq!((answer.status, &*answer.text()), (status, "broken"));
    }
}

#[test]
fn it_is_the_default() {
    let least = "[upstream]\nservers = [\"http://127.0.0.1:5000\"]";
    let config = bookend::config::Config::parse(least, "the test", &|_| None).unwrap();
    let policy = &config.routes.default_route().cache;
    let minute = bookend::semantics::time::DeltaSeconds::new(60);
    assert_eq!(policy.stale_if_disconnected, Some(minute));
}
