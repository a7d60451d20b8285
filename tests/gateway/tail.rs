//! The access log as it is made, for those who read it live.

use bookend::telemetry::access::MAX_READERS;
use serde_json::Value;

use crate::common::{Client, Gateway, Incoming, Origin, Request, await_that, get, reply};

fn books() -> Origin {
    Origin::start(|request, conn| {
        let answer = match &*request.target {
            "/private" => reply(200).field("Cache-Control", "private"),
            "/broken" => reply(500),
            _ => reply(200).field("Cache-Control", "max-age=60"),
        };
        conn.reply(request, &answer.body("text"));
    })
}

fn tail(query: &str) -> Request {
    get(&format!("/tail?{query}"))
}

/// Reads until `count` objects are there.
fn objects(incoming: &mut Incoming<'_>, count: usize) -> Vec<Value> {
    assert_eq!(incoming.so_far().status, 200);
    let mut seen = String::new();
    loop {
        let objects: Vec<_> = seen.lines().filter(|line| !line.is_empty()).collect();
        if objects.len() >= count && seen.ends_with('\n') {
            let objects = objects.into_iter().map(serde_json::from_str);
            return objects.collect::<Result<_, _>>().expect("JSON");
        }
        let more = incoming.more().expect("a line");
        seen.push_str(&String::from_utf8(more).expect("text"));
    }
}

#[test]
fn requests_are_read_live_while_the_log_is_off_and_narrowed_by_the_gateway() {
    let origin = books();
    let gateway = Gateway::before(&origin)
        .log("access_hits = 100")
        .route("/books/{id}", "access_log = false")
        .start();
    let mut clients = [(); 4].map(|()| Client::to(gateway.admin_addr()));
    let [all, misses, errors, route] = &mut clients;
    let mut all = all.open(&tail(""));
    let mut misses = misses.open(&tail("result=miss&prefix=/private"));
    let mut errors = errors.open(&tail("status=5xx"));
    let mut route = route.open(&tail("route=/books/%7Bid%7D&result=hit"));
    for target in ["/books/1", "/books/1", "/books/1", "/private", "/broken"] {
        gateway.get(target);
        gateway.await_no_fills();
    }
    let told = |objects: &[Value]| -> Vec<String> {
        let words = objects.iter().map(|object| {
            let text = |name: &str| object[name].as_str().unwrap_or("-").to_owned();
            let (target, result) = (text("target"), text("result"));
            format!("{target} {} {result} {}", object["status"], text("reason"))
        });
        words.collect()
    };
    let mut seen = told(&objects(&mut all, 5));
    seen.sort();
    assert_eq!(
        seen,
        [
            "/books/1 200 hit -",
            "/books/1 200 hit -",
            "/books/1 200 miss uri-miss",
            "/broken 500 miss not-cacheable",
            "/private 200 miss private",
        ]
    );
    assert_eq!(
        told(&objects(&mut misses, 1)),
        ["/private 200 miss private"]
    );
    assert_eq!(
        told(&objects(&mut errors, 1)),
        ["/broken 500 miss not-cacheable"]
    );
    assert_eq!(told(&objects(&mut route, 2)), ["/books/1 200 hit -"; 2]);
}

#[test]
fn parameters_are_checked_before_anything_is_read() {
    let origin = books();
    let gateway = Gateway::before(&origin).admin("token = 'sesame'").start();
    assert_eq!(Client::to(gateway.admin_addr()).get("/tail").status, 401);
    let gateway = Gateway::before(&origin).start();
    let answer = Client::to(gateway.admin_addr()).get("/tail?status=5xx&result=mis");
    assert_eq!(answer.status, 400);
    assert!(
        answer.text().contains("did you mean miss?"),
        "{}",
        answer.text()
    );
}

#[test]
fn there_are_not_more_who_read_live_than_may_be_and_one_that_leaves_makes_room() {
    let origin = books();
    let gateway = Gateway::before(&origin).start();
    let mut clients: Vec<_> = (0..MAX_READERS)
        .map(|_| {
            let mut client = Client::to(gateway.admin_addr());
            assert_eq!(client.open(&tail("")).so_far().status, 200);
            client
        })
        .collect();
    let status = || {
        let mut client = Client::to(gateway.admin_addr());
        client.open(&tail("")).so_far().status
    };
    assert_eq!(status(), 503);
    clients.pop().expect("a client").reset();
    await_that("a place", || status() == 200);
}

#[test]
fn the_stream_says_that_the_gateway_stops_and_ends() {
    let origin = books();
    let gateway = Gateway::before(&origin).start();
    let mut client = Client::to(gateway.admin_addr());
    let mut incoming = client.open(&tail(""));
    gateway.stop();
    let mut rest = String::new();
    while let Some(more) = incoming.more() {
        rest.push_str(&String::from_utf8(more).expect("text"));
    }
    assert!(rest.contains("{\"end\":\"the gateway stops\"}"), "{rest}");
}

#[test]
fn a_line_says_which_server_was_asked_how_often_and_how_long_it_took() {
    let origin = books();
    let closed = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let dead = format!("http://{}", closed.local_addr().expect("an address"));
    drop(closed);
    let gateway = Gateway::before_all([dead.clone(), origin.url()])
        .workers(1)
        .start();
    let mut client = Client::to(gateway.admin_addr());
    let mut lines = client.open(&tail(""));
    for target in ["/books/1", "/books/2", "/books/1"] {
        gateway.get(target).expect(200);
        gateway.await_no_fills();
    }
    let lines = objects(&mut lines, 3);
    let attempts = |line: &Value| line["attempts"].as_u64();
    let of = |target: &str, result: &str| {
        let mut lines = lines.iter();
        let found = lines.find(|line| line["target"] == target && line["result"] == result);
        found.unwrap_or_else(|| panic!("{target} {result}"))
    };
    let misses = [of("/books/1", "miss"), of("/books/2", "miss")];
    for miss in misses {
        assert_eq!(miss["upstream_server"], origin.url());
        assert!(
            miss["upstream_ms"].as_f64().is_some_and(|ms| ms >= 0.0),
            "{miss}"
        );
    }
    // One of them was sent to the dead server first.
    let all: u64 = misses.into_iter().filter_map(attempts).sum();
    assert_eq!(all, 3, "{misses:?}");
    let hit = of("/books/1", "hit");
    assert_eq!(hit.get("upstream_server"), None);
    assert_eq!(attempts(hit), None);
}
