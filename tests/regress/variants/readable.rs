//! Answers of the gateway's own to pages of other origins: they can be read where the API would let them.

use super::asking;
use crate::common::{Answer, Gateway, Origin, reply};

const APP: &str = "https://app.test";
const STRANGER: &str = "https://stranger.test";

/// An API that allows one page, or all of them.
fn api(all: bool) -> Origin {
    Origin::start(move |request, conn| {
        if request.target == "/reset" {
            conn.reset();
            return;
        }
        let page = request.fields.get("origin").filter(|page| *page == APP);
        let answer = reply(200)
            .field("Cache-Control", "max-age=60")
            .field("ETag", "\"a\"")
            .field("Access-Control-Expose-Headers", "X-Total")
            .body("1984");
        let answer = match (all, page) {
            (true, _) => answer.field("Access-Control-Allow-Origin", "*"),
            (false, Some(page)) => answer
                .field("Access-Control-Allow-Origin", page)
                .field("Vary", "Origin"),
            (false, None) => answer.field("Vary", "Origin"),
        };
        conn.reply(request, &answer);
    })
}

fn may_read(answer: &Answer, page: &str) -> bool {
    let allowed = answer
        .fields
        .all("access-control-allow-origin")
        .collect::<Vec<_>>();
    allowed == ["*"] || allowed == [page]
}

#[test]
fn a_page_reads_what_the_gateway_answers_by_itself() {
    for all in [false, true] {
        let origin = api(all);
        let gateway = Gateway::before(&origin)
            .route("/limited", "rate_limit = { requests = 1, per = \"1h\" }")
            .start();
        let ask = |target: &str, page: &str, lines: &[(&str, &str)]| {
            let lines = [&[("Origin", page)], lines].concat();
            gateway.send(&asking("GET", target, &lines))
        };
        for page in [APP, STRANGER] {
            let allowed = all || page == APP;
            ask("/a", page, &[]).expect(200);
            ask("/limited", page, &[]);
            let rows: [(&str, u16, &[(&str, &str)]); 6] = [
                ("/a", 416, &[("Range", "bytes=9-")]),
                ("/a", 304, &[("If-None-Match", "\"a\"")]),
                ("/a", 206, &[("Range", "bytes=0-1")]),
                ("/reset", 502, &[]),
                ("/nothing", 504, &[("Cache-Control", "only-if-cached")]),
                ("/limited", 429, &[]),
            ];
            for (target, status, lines) in rows {
                let answer = ask(target, page, lines);
                assert_eq!(answer.status, status, "{all} {page} {answer:#?}");
                assert_eq!(
                    may_read(&answer, page),
                    allowed,
                    "{all} {page} {status}: {answer:#?}"
                );
                assert!(answer.fields.has("date"), "{status}");
                if allowed && !all {
                    assert_eq!(answer.list("vary"), "Origin", "{status}");
                }
            }
        }
        // Nobody else is told anything.
        let answer = gateway.send(&asking("GET", "/reset", &[]));
        assert!(!answer.fields.has("access-control-allow-origin"));
    }
}

#[test]
fn an_api_without_cors_grants_nothing_in_errors() {
    let origin = Origin::start(|request, conn| match &*request.target {
        "/reset" => conn.reset(),
        _ => conn.reply(request, &reply(200).field("Cache-Control", "max-age=60")),
    });
    let gateway = Gateway::before(&origin).start();
    for target in ["/a", "/reset", "/reset"] {
        let answer = gateway.send(&asking("GET", target, &[("Origin", APP)]));
        assert!(!answer.fields.has("access-control-allow-origin"));
    }
}
