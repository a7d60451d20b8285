//! What is counted by route, what is measured, and the stream of what the gateway does now.

use std::net::SocketAddr;

use serde_json::Value;

use crate::common::{Client, Gateway, Origin, await_that, get, post, reply};

/// Answers with `Cache-Control: max-age=60`, but below `/never` with `no-store`.
fn api() -> Origin {
    Origin::start(|request, conn| {
        let control = match request.target.starts_with("/never") {
            true => "no-store",
            false => "max-age=60",
        };
        let status = if request.target.ends_with("404") {
            404
        } else {
            200
        };
        conn.reply(
            request,
            &reply(status).field("Cache-Control", control).body("x"),
        );
    })
}

fn page(admin: SocketAddr) -> String {
    Client::to(admin).get("/metrics").expect(200).text()
}

/// The value of the sample that is written so; `None` where the page has it not.
fn sample(page: &str, series: &str) -> Option<f64> {
    let value = page
        .lines()
        .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    value.map(|value| value.parse().expect("a number"))
}

fn status(admin: SocketAddr) -> Value {
    let text = Client::to(admin).get("/status").expect(200).text();
    serde_json::from_str(&text).expect("JSON")
}

#[test]
fn requests_are_counted_by_route_api_result_status_and_method() {
    let (books, films) = (api(), api());
    let gateway = Gateway::before(&books)
        .more(&format!("[upstreams.films]\nservers = '{}'", films.url()))
        .route("/films/{id}", "upstream = 'films'")
        .route("/gone", "respond = { status = 410 }")
        .route("/hidden", "deny = '127.0.0.0/8'")
        .start();
    for target in [
        "/films/1",
        "/films/1",
        "/films/404",
        "/never",
        "/gone",
        "/hidden",
    ] {
        gateway.get(target);
    }
    gateway.send(&post("/films/1", "x"));
    let page = page(gateway.admin_addr());
    let films = "route=\"/films/{id}\",upstream=\"films\"";
    for (labels, expected) in [
        (
            format!("{films},result=\"miss\",status=\"2xx\",method=\"safe\""),
            Some(1.0),
        ),
        (
            format!("{films},result=\"hit\",status=\"2xx\",method=\"safe\""),
            Some(1.0),
        ),
        (
            format!("{films},result=\"miss\",status=\"4xx\",method=\"safe\""),
            Some(1.0),
        ),
        (
            format!("{films},result=\"pass\",status=\"2xx\",method=\"unsafe\""),
            Some(1.0),
        ),
        (
            "route=\"(default)\",result=\"miss\",status=\"2xx\",method=\"safe\"".to_owned(),
            Some(1.0),
        ),
        (
            "route=\"/gone\",result=\"direct\",status=\"4xx\",method=\"safe\"".to_owned(),
            Some(1.0),
        ),
        (
            "route=\"/hidden\",result=\"error\",status=\"4xx\",method=\"safe\"".to_owned(),
            Some(1.0),
        ),
        // What has never been counted is left out.
        (
            format!("{films},result=\"stale\",status=\"2xx\",method=\"safe\""),
            None,
        ),
    ] {
        let series = format!("bookend_route_requests_total{{{labels}}}");
        assert_eq!(sample(&page, &series), expected, "{series}\n{page}");
    }
    let all = gateway.metric("bookend_route_requests_total");
    assert_eq!(all, gateway.metric("bookend_requests_total"));
    assert_eq!(
        sample(&page, "bookend_not_stored_total{reason=\"no-store\"}"),
        Some(1.0)
    );
}

#[test]
fn a_request_that_is_refused_before_it_has_a_route_is_counted_too() {
    let books = api();
    let gateway = Gateway::before(&books).start();
    gateway
        .send(&get("/books/1").field("Host", "a b"))
        .expect(400);
    let series = "bookend_route_requests_total{route=\"(none)\",result=\"error\",status=\"4xx\",method=\"safe\"}";
    assert_eq!(sample(&page(gateway.admin_addr()), series), Some(1.0));
}

#[test]
fn a_route_keeps_its_numbers_over_a_reload() {
    let books = api();
    let setup = |routes: &[&str]| {
        let setup = Gateway::before(&books);
        routes
            .iter()
            .fold(setup, |setup, route| setup.route(route, "ttl = '1m'"))
    };
    let gateway = setup(&["/books/{id}", "/films/{id}"]).start();
    gateway.get("/books/1");
    gateway.get("/films/1");
    // Its number in the file is another one now, and the other route is gone.
    gateway.reload(&setup(&["/first", "/books/{id}"]));
    gateway.get("/books/1");
    gateway.get("/first");
    let page = page(gateway.admin_addr());
    for (route, result) in [
        ("/books/{id}", "miss"),
        ("/books/{id}", "hit"),
        ("/films/{id}", "miss"),
        ("/first", "miss"),
    ] {
        let series = format!(
            "bookend_route_requests_total{{route=\"{route}\",result=\"{result}\",status=\"2xx\",method=\"safe\"}}"
        );
        assert_eq!(sample(&page, &series), Some(1.0), "{series}\n{page}");
    }
}

#[test]
fn what_clients_and_the_api_wait_for_is_measured() {
    let books = api();
    let gateway = Gateway::before(&books).start();
    gateway.get("/books/1");
    gateway.get("/books/1").expect(200);
    gateway.send(&post("/books", "x"));
    let page = page(gateway.admin_addr());
    for result in ["hit", "miss", "pass"] {
        let labels = format!("route=\"(default)\",result=\"{result}\"");
        let count = format!("bookend_request_duration_seconds_count{{{labels}}}");
        assert_eq!(sample(&page, &count), Some(1.0), "{count}\n{page}");
        let last = format!("bookend_request_duration_seconds_bucket{{{labels},le=\"+Inf\"}}");
        assert_eq!(sample(&page, &last), Some(1.0), "{last}");
    }
    assert_eq!(
        sample(&page, "bookend_upstream_duration_seconds_count"),
        Some(2.0)
    );
    let sum = sample(&page, "bookend_upstream_duration_seconds_sum").expect("a sum");
    assert!(sum > 0.0 && sum < 20.0, "{sum}");
}

#[test]
fn failures_of_a_server_are_counted_by_their_kind() {
    let books = api();
    let gateway = Gateway::before(&books)
        .upstream("retries = { max = 0 }")
        .start();
    books.stop();
    gateway.get("/books/1");
    let page = page(gateway.admin_addr());
    let server = format!("server=\"{}\"", books.url());
    let failures: f64 = page
        .lines()
        .filter(|line| line.starts_with("bookend_upstream_server_errors_total{"))
        .filter(|line| line.contains(&server))
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .sum();
    assert_eq!(failures, 1.0, "{page}");
}

#[test]
fn a_status_says_what_the_gateway_does_now() {
    let books = api();
    let gateway = Gateway::before(&books)
        .route("/books/{id}", "ttl = '1m'")
        .start();
    let admin = gateway.admin_addr();
    for _ in 0..3 {
        gateway.get("/books/1");
    }
    await_that("a second that has them", || {
        status(admin)["requests"]["per_second"]["all"].as_f64() > Some(0.0)
    });
    let status = status(admin);
    assert_eq!(status["stage"], "ready");
    assert_eq!(status["requests"]["total"]["hit"], 2);
    assert_eq!(status["requests"]["total"]["all"], 3);
    let history = status["requests"]["history"]["all"]
        .as_array()
        .expect("a history");
    assert_eq!(history.iter().filter_map(Value::as_u64).sum::<u64>(), 3);
    let hits = status["requests"]["history"]["hit"].as_array();
    let hits = hits.expect("a history by result");
    assert_eq!(hits.len(), history.len());
    assert_eq!(hits.iter().filter_map(Value::as_u64).sum::<u64>(), 2);
    assert_eq!(status["times"]["miss"]["1m"]["count"], 1);
    assert!(status["times"]["upstream"]["10s"]["p99_ms"].as_f64() > Some(0.0));
    assert_eq!(status["upstreams"][0]["up"], true);
    assert_eq!(status["stored"]["resources"], 1);
    assert!(status["memory"]["used_bytes"].as_u64() > Some(0));
    let routes = status["routes"].as_array().expect("routes");
    let route = routes
        .iter()
        .find(|route| route["route"] == "/books/{id}")
        .expect("the route");
    assert_eq!(route["total"]["hit"], 2);
    assert!((route["hit_ratio"].as_f64().expect("a ratio") - 0.6667).abs() < 1e-9);
    assert_eq!(status["known_routes"], 1);
}

#[test]
fn events_come_as_long_as_a_client_listens_and_end_with_the_gateway() {
    let books = api();
    let gateway = Gateway::before(&books).start();
    let mut client = Client::to(gateway.admin_addr());
    let mut events = client.open(&get("/live"));
    assert_eq!(
        events.so_far().field("content-type"),
        Some("text/event-stream")
    );
    let mut seen = String::new();
    while seen.matches("\n\n").count() < 2 {
        let more = events.more().expect("an event");
        seen.push_str(&String::from_utf8(more).expect("text"));
    }
    let mut data = seen.lines().filter_map(|line| line.strip_prefix("data: "));
    let first: Value = serde_json::from_str(data.next().expect("data")).expect("JSON");
    assert_eq!(first["requests"]["total"]["all"], 0);
    assert!(data.next().is_some());
    gateway.stop();
    while events.more().is_some() {}
}

#[test]
fn there_are_not_more_streams_than_may_be() {
    let books = api();
    let gateway = Gateway::before(&books).start();
    let admin = gateway.admin_addr();
    let mut clients: Vec<_> = (0..32)
        .map(|_| {
            let mut client = Client::to(admin);
            client.start(&get("/live"));
            assert_eq!(client.answer("GET").so_far().status, 200);
            client
        })
        .collect();
    assert_eq!(Client::to(admin).get("/live").status, 503);
    // The place of one that leaves is another's.
    drop(clients.pop());
    await_that("a place", || {
        let mut client = Client::to(admin);
        client.start(&get("/live"));
        client.answer("GET").so_far().status == 200
    });
}

#[test]
fn the_state_is_for_those_with_the_token_alone() {
    let books = api();
    let gateway = Gateway::before(&books).admin("token = 'sesame'").start();
    for path in ["/status", "/live"] {
        assert_eq!(
            Client::to(gateway.admin_addr()).get(path).status,
            401,
            "{path}"
        );
    }
}

#[test]
fn a_response_that_its_client_does_not_take_whole_is_an_abort() {
    let books = Origin::start(|request, conn| {
        // More than the kernel's buffers of both sides hold: what they hold whole counts as taken.
        let long = vec![b'x'; 32 << 20];
        let body = if request.target == "/long" {
            &long[..]
        } else {
            b"x"
        };
        conn.reply(
            request,
            &reply(200).field("Cache-Control", "max-age=60").body(body),
        );
    });
    let gateway = Gateway::before(&books).start();
    gateway.get("/short").expect(200);
    gateway.get("/long").expect(200);
    assert_eq!(gateway.sum(|counted| counted.aborted.value()), 0);
    let mut client = gateway.client();
    client.open(&get("/long")).abandon();
    client.reset();
    gateway.await_sum(1, |counted| counted.aborted.value());
    assert_eq!(gateway.metric("bookend_client_aborts_total"), 1);
}
