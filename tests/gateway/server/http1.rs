//! HTTP/1.1 and 1.0: keep-alive, pipelining, content, and heads that cannot be read.

use std::net::Shutdown;

use super::harness::{Gateway, config};

#[test]
fn a_connection_is_kept_for_the_next_request() {
    let gateway = Gateway::start(&config());
    let mut client = gateway.connect();
    for _ in 0..3 {
        let answer = client.get("/hello");
        assert_eq!((answer.status(), answer.body.as_str()), (200, "hello"));
        assert_eq!(answer.field("connection"), None);
    }
    assert_eq!(gateway.metrics.sum(|c| c.connections_accepted.value()), 1);
}

#[test]
fn a_response_has_no_date_of_hypers() {
    let gateway = Gateway::start(&config());
    assert_eq!(gateway.connect().get("/hello").field("date"), None);
}

#[test]
fn a_client_that_asks_to_close_is_closed_after_its_answer() {
    let gateway = Gateway::start(&config());
    let mut client = gateway.connect();
    client.send("GET /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    let answer = client.answer();
    assert_eq!(answer.field("connection"), Some("close"));
    assert_eq!(answer.body, "hello");
    client.assert_closed();
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let gateway = Gateway::start(&config());
    let mut client = gateway.connect();
    client.send(
        "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n\
         POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\none\
         GET /hello HTTP/1.1\r\nHost: a\r\n\r\n\
         POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\ntwo\r\n0\r\n\r\n\
         GET /empty HTTP/1.1\r\nHost: a\r\n\r\n\
         GET /hello HTTP/1.1\r\nHost: a\r\n\r\n",
    );
    let bodies: Vec<_> = (0..6).map(|_| client.answer().body).collect();
    assert_eq!(bodies, ["hello", "one", "hello", "two", "", "hello"]);
}

#[test]
fn http10_closes_unless_asked_to_keep_alive() {
    let gateway = Gateway::start(&config());
    let mut client = gateway.connect();
    client.send("GET /hello HTTP/1.0\r\n\r\n");
    let answer = client.answer();
    assert!(answer.head.starts_with("HTTP/1.0 200 "), "{}", answer.head);
    assert_eq!(answer.body, "hello");
    client.assert_closed();

    let mut client = gateway.connect();
    for _ in 0..2 {
        client.send("GET /hello HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
        let answer = client.answer();
        assert_eq!(answer.field("connection"), Some("keep-alive"));
        assert_eq!(answer.body, "hello");
    }
}

#[test]
fn a_head_may_come_byte_by_byte() {
    let gateway = Gateway::start(&config());
    let mut client = gateway.connect();
    client.0.set_nodelay(true).unwrap();
    for method in ["GET", "PRI", "PRI"] {
        for byte in format!("{method} /hello HTTP/1.1\r\nHost: a\r\n\r\n").bytes() {
            client.send([byte]);
        }
        assert_eq!(client.answer().body, "hello");
    }
}

#[test]
fn content_is_asked_for_with_100_continue_only_when_it_is_wanted() {
    let gateway = Gateway::start(&config());
    let expect = "Host: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n";

    let mut client = gateway.connect();
    client.send(format!("POST /echo HTTP/1.1\r\n{expect}"));
    assert_eq!(client.answer().status(), 100);
    client.send("wine");
    assert_eq!(client.answer().body, "wine");

    let mut client = gateway.connect();
    client.send(format!("POST /ignore HTTP/1.1\r\n{expect}"));
    let answer = client.answer();
    assert_eq!((answer.status(), answer.body.as_str()), (200, "ignored"));
}

#[test]
fn an_early_answer_to_a_large_upload_is_not_lost_to_a_reset() {
    let gateway = Gateway::start(&config());
    let mut client = gateway.connect();
    client.send("POST /ignore HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n");
    // More than the sockets buffer, so that some of it arrives after the server has closed its side.
    client.send(vec![b'x'; 1_000_000]);
    assert_eq!(client.answer().body, "ignored");
}

#[test]
fn a_client_that_half_closes_gets_its_answer() {
    let gateway = Gateway::start(&config());
    let mut client = gateway.connect();
    client.send("GET /hello HTTP/1.1\r\nHost: a\r\n\r\n");
    client.0.shutdown(Shutdown::Write).unwrap();
    assert_eq!(client.answer().body, "hello");
    client.assert_closed();

    let mut client = gateway.connect();
    client.send("GET /hold HTTP/1.1\r\nHost: a\r\n\r\n");
    client.0.shutdown(Shutdown::Write).unwrap();
    gateway.until_entered();
    gateway.release();
    assert_eq!(client.answer().body, "held");
    client.assert_closed();
}

#[test]
fn a_head_that_cannot_be_read_is_refused_in_the_services_words() {
    let gateway = Gateway::start(&config());
    let long = "x".repeat(40 << 10);
    let many = "a: b\r\n".repeat(101);
    let table = [
        ("no http at all\r\n\r\n".to_owned(), 400, "BadRequest"),
        (
            "GET / HTTP/1.1\r\nbad field\r\n\r\n".to_owned(),
            400,
            "BadRequest",
        ),
        ("GET / HTTP/9.9\r\n\r\n".to_owned(), 400, "BadRequest"),
        (
            "GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n".to_owned(),
            400,
            "BadRequest",
        ),
        (
            "GET / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n".to_owned(),
            400,
            "BadRequest",
        ),
        (
            format!("GET / HTTP/1.1\r\na: {long}\r\n\r\n"),
            431,
            "HeadTooLarge",
        ),
        (format!("GET / HTTP/1.1\r\n{many}\r\n"), 431, "HeadTooLarge"),
        (
            format!("GET /{} HTTP/1.1\r\n\r\n", &long[..9 << 10]),
            414,
            "UriTooLong",
        ),
        ("\u{16}\u{3}\u{1}\0\0\0".to_owned(), 400, "BadRequest"),
    ];
    for kept_alive in [false, true] {
        for (head, status, kind) in &table {
            let mut client = gateway.connect();
            if kept_alive {
                client.get("/hello");
            }
            let shown = &head[..head.len().min(40)];
            client.send(head);
            let answer = client.answer();
            assert_eq!(answer.status(), *status, "{shown:?}");
            assert_eq!(
                answer.field("content-type"),
                Some("text/plain"),
                "{shown:?}"
            );
            assert!(!answer.body.is_empty(), "{shown:?}");
            assert_eq!(
                gateway.levers.refused.lock().unwrap().pop().as_deref(),
                Some(*kind)
            );
            if *status != 414 {
                assert_eq!(answer.field("connection"), Some("close"), "{shown:?}");
                client.assert_closed();
            }
        }
    }
}

#[test]
fn a_panic_costs_its_own_connection_only() {
    let gateway = Gateway::start(&config());
    let mut other = gateway.connect();
    other.get("/hello");
    let mut client = gateway.connect();
    client.send("GET /panics HTTP/1.1\r\nHost: a\r\n\r\n");
    let (rest, _) = client.rest();
    assert_eq!(rest, "");
    assert_eq!(other.get("/hello").body, "hello");
    assert_eq!(gateway.connect().get("/hello").body, "hello");
}

#[test]
fn an_offer_to_upgrade_is_ignored() {
    let gateway = Gateway::start(&config());
    let mut client = gateway.connect();
    for connection in ["Upgrade", "Upgrade, close"] {
        client.send(format!(
            "GET /hello HTTP/1.1\r\nHost: a\r\nConnection: {connection}\r\nUpgrade: h2c\r\n\r\n"
        ));
        assert_eq!(client.answer().body, "hello");
    }
    client.assert_closed();

    // Closed in stages here too: what the client still sends does not reset the connection.
    let mut client = gateway.connect();
    client.send(
        "POST /ignore HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nContent-Length: 1000000\r\n\r\n",
    );
    client.send(vec![b'x'; 1_000_000]);
    assert_eq!(client.answer().body, "ignored");
    client.assert_closed();
}
