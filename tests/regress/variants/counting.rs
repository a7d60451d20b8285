//! What the metrics, the access log, Cache-Status and the bodies of errors say of an exchange is the same.

use std::fs;
use std::thread;
use std::time::Duration;

use super::asking;
use crate::common::{Answer, Gateway, Origin, Request, get, post, put, reply};

/// The result that the metrics count for an answer, as its Cache-Status has it.
fn result_of(answer: &Answer) -> &'static str {
    let says = |parameter: &str| answer.says(parameter);
    let ttl = answer.number("ttl");
    if answer.field("content-type") == Some("application/problem+json") {
        "error"
    } else if let Some(ttl) = ttl {
        if ttl > 0 { "hit" } else { "stale" }
    } else if says("fwd=method") || says("fwd=bypass") {
        "pass"
    } else if says("fwd-status=304") && !says("fwd=uri-miss") {
        "validated"
    } else {
        "miss"
    }
}

const RESULTS: [&str; 6] = ["hit", "stale", "validated", "miss", "pass", "error"];

fn counted(gateway: &Gateway, result: &str) -> u64 {
    gateway.metric(&format!("bookend_requests_total{{result=\"{result}\"}}"))
}

fn api() -> Origin {
    Origin::start(|request, conn| {
        let fresh = reply(200).field("Cache-Control", "max-age=10").body("1984");
        let answer = match &*request.target {
            "/no-store" => reply(200).field("Cache-Control", "no-store").body("a"),
            "/vary" => fresh.field("Vary", "Accept"),
            "/tagged" if request.fields.has("if-none-match") => reply(304)
                .field("ETag", "\"a\"")
                .field("Cache-Control", "max-age=10"),
            "/tagged" => fresh.field("ETag", "\"a\""),
            "/large" => match request.fields.get("range") {
                Some(_) => reply(206)
                    .field("Content-Range", "bytes 0-1/5000")
                    .body("ab"),
                None => fresh.body("a".repeat(5000)),
            },
            "/weak" if request.fields.has("if-none-match") => reply(503),
            "/weak" => fresh
                .field("ETag", "\"a\"")
                .field("Cache-Control", "stale-if-error=60"),
            "/gone" => {
                conn.reset();
                return;
            }
            "/missing" => reply(404),
            _ => fresh,
        };
        conn.reply(request, &answer);
    })
}

/// One of each kind of exchange.
fn exchanges() -> Vec<Request> {
    let method = |method: &str, target: &str| asking(method, target, &[]);
    vec![
        get("/a"),
        get("/a"),
        asking("HEAD", "/a", &[]),
        asking("GET", "/a", &[("Range", "bytes=0-1")]),
        asking("GET", "/a", &[("Range", "bytes=9-")]),
        asking("GET", "/a", &[("Cache-Control", "no-cache")]),
        asking("GET", "/a", &[("If-Match", "\"x\"")]),
        asking("HEAD", "/b", &[]),
        asking("HEAD", "/no-store", &[]),
        get("/no-store"),
        get("/no-store"),
        asking("GET", "/no-store", &[("Cookie", "a=b")]),
        get("/vary"),
        asking("GET", "/vary", &[("Accept", "text/csv")]),
        get("/tagged"),
        asking("GET", "/tagged", &[("If-None-Match", "\"a\"")]),
        asking("GET", "/tagged", &[("Cache-Control", "max-age=0")]),
        asking("GET", "/large", &[("Range", "bytes=0-1")]),
        asking("GET", "/large", &[("Range", "bytes=0-1")]),
        get("/large"),
        get("/weak"),
        asking("GET", "/nothing", &[("Cache-Control", "only-if-cached")]),
        get("/missing"),
        post("/a", "content"),
        put("/a", "content"),
        method("DELETE", "/a"),
        method("OPTIONS", "/a"),
        asking("OPTIONS", "/a", &[("Max-Forwards", "0")]),
        asking("TRACE", "/a", &[("Max-Forwards", "0")]),
        method("PROPFIND", "/a"),
        asking("QUERY", "/a", &[("Content-Type", "text/plain")]).body("q"),
        asking("QUERY", "/a", &[("Content-Type", "text/plain")]).body("q"),
        asking("GET", "/a", &[]).body("content"),
        get("/bypassed"),
        get("/limited"),
        get("/limited"),
        get("/gone"),
    ]
}

#[test]
fn each_exchange_is_in_the_log_the_counters_and_cache_status_alike() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("access.log");
    let origin = api();
    let gateway = Gateway::before(&origin)
        .manual_clock()
        .access_log(&log)
        .cache("max_stored_body = 1000")
        .route("/bypassed", "bypass = true")
        .route("/limited", "rate_limit = { requests = 1, per = \"1h\" }")
        .start();
    let mut sent = 0;
    for round in 0..2 {
        for request in exchanges() {
            let before = RESULTS.map(|result| counted(&gateway, result));
            let answer = gateway.send(&request);
            assert_ne!(answer.status, 0, "{request:?}");
            sent += 1;
            let result = result_of(&answer);
            let after = RESULTS.map(|result| counted(&gateway, result));
            for ((name, before), after) in RESULTS.iter().zip(before).zip(after) {
                let more = u64::from(*name == result);
                let (method, target) = (&request.method, &request.target);
                let said = answer.cache_status();
                assert_eq!(
                    after - before,
                    more,
                    "{round} {method} {target} {name}: {said}"
                );
            }
        }
        gateway.advance(Duration::from_secs(11));
    }
    // Several at once for what nobody has yet.
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| gateway.get("/together").expect(200));
        }
    });
    sent += 4;
    gateway.await_no_fills();
    let all: u64 = RESULTS.iter().map(|result| counted(&gateway, result)).sum();
    assert_eq!(all, sent);
    let upstream = gateway.metric("bookend_upstream_requests_total");
    assert_eq!(upstream, origin.count() as u64);
    drop(gateway);
    let lines = fs::read_to_string(&log).unwrap();
    assert_eq!(lines.lines().count() as u64, sent);
}

#[test]
fn a_head_tells_why_a_get_would_not_be_stored() {
    let table: &[(&[(&str, &str)], &[(&str, &str)])] = &[
        (&[("Cache-Control", "no-store")], &[]),
        (&[("Cache-Control", "private")], &[]),
        (
            &[("Cache-Control", "max-age=60")],
            &[("Authorization", "Bearer a")],
        ),
        (&[("Cache-Control", "max-age=60")], &[("Cookie", "a=b")]),
        (&[("Cache-Control", "max-age=60"), ("Vary", "*")], &[]),
        (&[("Cache-Control", "max-age=0")], &[]),
        (&[], &[]),
        (
            &[("Cache-Control", "max-age=60"), ("Content-Length", "5000")],
            &[],
        ),
        (&[("Cache-Control", "max-age=60")], &[]),
        (
            &[("Cache-Control", "max-age=60")],
            &[("Cache-Control", "no-store")],
        ),
    ];
    for (fields, asked) in table {
        let said = ["HEAD", "GET"].map(|method| {
            let fields: Vec<_> = fields
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect();
            let origin = Origin::start(move |request, conn| {
                let answer = fields.iter().fold(reply(200), |answer, (name, value)| {
                    answer.field(name, value)
                });
                conn.reply(request, &answer.body("a".repeat(5000)));
            });
            let gateway = Gateway::before(&origin)
                .cache("max_stored_body = 4096")
                .start();
            let answer = gateway.send(&asking(method, "/a", asked)).expect(200);
            let detail = answer
                .verdict()
                .into_iter()
                .find(|said| said.starts_with("detail"));
            (answer.fwd("uri-miss"), detail)
        });
        assert_eq!(said[0], said[1], "{fields:?} {asked:?}");
    }
}

#[test]
fn an_error_has_one_name_in_the_log_the_body_and_the_metrics() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("access.log");
    let origin = Origin::start(|request, conn| match &*request.target {
        "/reset" => conn.reset(),
        "/garbage" => {
            conn.write("nonsense\r\n\r\n");
            conn.close();
        }
        _ => conn.reply(request, &reply(200)),
    });
    let gateway = Gateway::before(&origin)
        .access_log(&log)
        .route("/limited", "rate_limit = { requests = 1, per = \"1h\" }")
        .start();
    let mut names = Vec::new();
    let asked = [
        get("/reset"),
        get("/garbage"),
        asking("GET", "/a", &[("Cache-Control", "only-if-cached")]),
        get("/limited"),
        get("/limited"),
        asking("GET", "/b", &[("CDN-Loop", "bookend")]),
    ];
    for request in &asked {
        let answer = gateway.send(request);
        if answer.status < 400 {
            continue;
        }
        let problem: serde_json::Value = serde_json::from_str(&answer.text()).unwrap();
        let name = problem["error"].as_str().expect("a name").to_owned();
        let metric = format!("bookend_errors_total{{error=\"{name}\"}}");
        assert!(gateway.metric(&metric) > 0, "{metric}");
        names.push(name);
    }
    assert!(names.len() >= 4, "{names:?}");
    drop(gateway);
    let lines = fs::read_to_string(&log).unwrap();
    let logged: Vec<_> = lines
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .filter_map(|line| line["failure"].as_str().map(str::to_owned))
        .collect();
    assert_eq!(logged, names);
}
