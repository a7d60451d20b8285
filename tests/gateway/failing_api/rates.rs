//! Clients that ask more often than they may are told to wait, and the others are not.

use std::time::Duration;

use crate::common::{Answer, Gateway, Origin, get, head, post, reply};

fn origin() -> Origin {
    Origin::answering(reply(200).field("Cache-Control", "max-age=60").body("1984"))
}

fn limits(answer: &Answer) -> (String, String) {
    (answer.list("ratelimit-policy"), answer.list("ratelimit"))
}

/// As a proxy in front would name its client.
fn from(client: &str, target: &str) -> crate::common::Request {
    get(target).field("X-Forwarded-For", client)
}

#[test]
fn requests_beyond_the_limit_are_429_until_there_is_room_again() {
    let origin = origin();
    let gateway = Gateway::before(&origin)
        .server("rate_limit = { requests = 2, per = '10s', burst = 3 }")
        .manual_clock()
        .start();
    for left in (0..3).rev() {
        let answer = gateway.get("/books/123").expect(200);
        assert_eq!(answer.is_hit(), left < 2, "hits count too");
        let told = format!("\"server\";r={left};t={}", 5 * (3 - left));
        assert_eq!(limits(&answer), ("\"server\";q=2;w=10".into(), told));
    }
    let refused = gateway.get("/books/123").expect(429);
    assert_eq!(refused.field("retry-after"), Some("5"));
    assert_eq!(limits(&refused).1, "\"server\";r=0;t=5");
    assert_eq!(refused.cache_status(), "bookend; detail=rate-limited");
    let denied = refused.field("proxy-status").expect("Proxy-Status");
    assert!(
        denied.starts_with("bookend; error=http_request_denied"),
        "{denied}"
    );
    assert_eq!(
        refused.field("content-type"),
        Some("application/problem+json")
    );
    assert_eq!(refused.field("cache-control"), Some("no-store"));
    assert!(
        refused.text().contains("more than 2 requests in 10 s"),
        "{}",
        refused.text()
    );
    // Asking in vain costs nothing more.
    gateway.advance(Duration::from_millis(4_999));
    let refused = gateway.send(&head("/books/123")).expect(429);
    assert_eq!(
        (refused.field("retry-after"), refused.body.len()),
        (Some("1"), 0)
    );
    gateway.advance(Duration::from_millis(1));
    gateway.get("/books/123").expect(200);
    gateway.get("/books/123").expect(429);
    assert_eq!(gateway.metric("bookend_rate_limited_total"), 3);
}

#[test]
fn there_are_no_fields_without_a_limit_or_with_send_fields_off() {
    let origin = origin();
    let open = Gateway::before(&origin).start();
    assert_eq!(
        limits(&open.get("/books/123").expect(200)),
        Default::default()
    );
    let silent = Gateway::before(&origin)
        .server("rate_limit = { requests = 1, per = '1h', send_fields = false }")
        .start();
    let answers = [200, 429].map(|status| silent.get("/books/123").expect(status));
    assert_eq!(
        answers.each_ref().map(limits),
        [const { (String::new(), String::new()) }; 2]
    );
    assert_eq!(answers[1].field("retry-after"), Some("3600"));
}

#[test]
fn a_route_s_limit_counts_beside_the_server_s_under_every_spelling_of_its_path() {
    let origin = origin();
    let gateway = Gateway::before(&origin)
        .server("rate_limit = { requests = 8, per = '1h' }")
        .route(
            "/login",
            "rate_limit = { requests = 3, per = '1m', by = 'all' }",
        )
        .manual_clock()
        .start();
    let answer = gateway.send(&post("/login", "me")).expect(200);
    let (policies, left) = limits(&answer);
    assert_eq!(policies, "\"server\";q=8;w=3600, \"/login\";q=3;w=60");
    assert_eq!(left, "\"server\";r=7;t=450, \"/login\";r=2;t=20");
    gateway.send(&post("/%6Cogin", "me")).expect(200);
    gateway.send(&post("/x/../login", "me")).expect(200);
    for target in ["/login", "//login", "/login;a=b", "/x/..%2Flogin"] {
        let refused = gateway.send(&post(target, "me")).expect(429);
        assert!(limits(&refused).1.contains("\"/login\";r=0"), "{target}");
    }
    // Seven have been counted in the server's, those that the route refused among them.
    assert_eq!(
        limits(&gateway.get("/books").expect(200)).1,
        "\"server\";r=0;t=3600"
    );
    assert_eq!(
        gateway.get("/books").expect(429).field("retry-after"),
        Some("450")
    );
}

#[test]
fn clients_are_told_apart_by_the_address_that_a_trusted_proxy_names() {
    let origin = origin();
    let gateway = Gateway::before(&origin)
        .server("rate_limit = { requests = 1, per = '1h' }\ntrusted_proxies = '127.0.0.1'")
        .manual_clock()
        .start();
    for (client, status) in [
        ("192.0.2.1", 200),
        ("192.0.2.1", 429),
        ("198.51.100.7, 192.0.2.1", 429),
        ("192.0.2.2", 200),
        ("2001:db8::1", 200),
        ("2001:db8::ffff:1", 429),
        ("2001:db8:0:1::1", 200),
    ] {
        let answer = gateway.send(&from(client, "/books"));
        assert_eq!(answer.status, status, "{client}");
    }
    let stranger = Gateway::before(&origin)
        .server("rate_limit = { requests = 1, per = '1h' }")
        .start();
    stranger.send(&from("192.0.2.1", "/books")).expect(200);
    stranger.send(&from("192.0.2.2", "/books")).expect(429);
}

#[test]
fn clients_are_told_apart_by_a_field_where_the_operator_says_so() {
    let origin = origin();
    let gateway = Gateway::before(&origin)
        .server("rate_limit = { requests = 1, per = '1h', by = 'field:X-API-Key' }")
        .manual_clock()
        .start();
    let with_key = |key: &str| gateway.send(&get("/books").field("X-API-Key", key)).status;
    assert_eq!(
        [with_key("a"), with_key("a"), with_key("b")],
        [200, 429, 200]
    );
    let without = [(); 2].map(|()| gateway.get("/books").status);
    assert_eq!(without, [200, 429]);
}

#[test]
fn a_limit_holds_over_all_workers_and_connections() {
    let origin = origin();
    let gateway = Gateway::before(&origin)
        .workers(4)
        .server("rate_limit = { requests = 20, per = '1h' }")
        .manual_clock()
        .start();
    let ask = || {
        let mut client = gateway.client();
        let statuses = (0..10).map(|_| client.get("/books").status);
        statuses.filter(|status| *status == 200).count()
    };
    let answered: usize = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..6).map(|_| scope.spawn(ask)).collect();
        clients
            .into_iter()
            .map(|client| client.join().unwrap())
            .sum()
    });
    assert_eq!(answered, 20);
}

#[test]
fn an_api_s_own_limits_stand_before_the_gateway_s() {
    let own = reply(200)
        .field("RateLimit-Policy", "\"api\";q=5;w=1")
        .field("RateLimit", "\"api\";r=4;t=1");
    let origin = Origin::answering(own.body("1984"));
    let gateway = Gateway::before(&origin)
        .server("rate_limit = { requests = 9, per = '1m' }")
        .manual_clock()
        .start();
    let (policies, left) = limits(&gateway.get("/books").expect(200));
    assert_eq!(policies, "\"api\";q=5;w=1, \"server\";q=9;w=60");
    assert_eq!(left, "\"api\";r=4;t=1, \"server\";r=8;t=7");
}
