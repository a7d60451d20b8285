//! What takes too long ends, with an error that says which deadline it was.

use std::time::Duration;

use crate::common::{Conn, End, Gate, Gateway, Origin, await_that, get, post, reply, request};

/// Waits for a moment between two octets, as slow peers do.
fn pause() {
    std::thread::park_timeout(Duration::from_millis(20));
}

/// Answers with chunks until the gateway has had enough.
fn trickle(conn: &mut Conn, media_type: &str) {
    conn.write(format!(
        "HTTP/1.1 200 OK\r\nContent-Type: {media_type}\r\nTransfer-Encoding: chunked\r\n\r\n"
    ));
    while conn.chunk("drop") {
        pause();
    }
}

#[test]
fn an_exchange_that_is_not_answered_in_time_is_504() {
    let gate = Gate::new();
    let held = gate.clone();
    let origin = Origin::start(move |request, conn| {
        held.pass();
        conn.reply(request, &reply(200));
    });
    let gateway = Gateway::before(&origin)
        .route("/books/{id}", "exchange_timeout = '200ms'")
        .start();
    for (request, reason) in [
        (get("/books/123"), "uri-miss"),
        (post("/books/123", "1984"), "method"),
        (
            get("/books/123").field("Cache-Control", "no-store"),
            "uri-miss",
        ),
    ] {
        let answer = gateway.send(&request).expect(504);
        let said = answer.field("proxy-status").expect("Proxy-Status");
        assert!(said.contains("error=http_response_timeout"), "{said}");
        assert!(said.contains("the exchange took longer"), "{said}");
        assert!(answer.fwd(reason), "{}", answer.cache_status());
    }
    gate.open();
}

#[test]
fn content_that_never_ends_ends_with_the_exchange_unless_it_is_a_stream() {
    let origin = Origin::start(|request, conn| match request.target.as_str() {
        "/events" | "/bounded" => trickle(conn, "text/event-stream"),
        "/call" => trickle(conn, "application/grpc-web+proto"),
        _ => trickle(conn, "application/json"),
    });
    let gateway = Gateway::before(&origin)
        .server("exchange_timeout = '300ms'")
        .route("/bounded", "exchange_timeout = '300ms'")
        .route("/unbounded", "exchange_timeout = 'off'")
        .start();
    for target in ["/books", "/bounded"] {
        let answer = gateway.get(target);
        assert_eq!(answer.status, 200, "{target}");
        assert_ne!(answer.end, End::Complete, "{target}");
        assert!(!answer.body.is_empty(), "{target}");
    }
    for target in ["/events", "/call", "/unbounded"] {
        let mut client = gateway.client();
        let mut events = client.open(&get(target));
        // By then the exchange has lasted for twice as long as it might.
        events.until("drop".len() * 30);
        events.abandon();
    }
}

#[test]
fn a_reader_of_what_is_stored_has_no_longer_than_another() {
    let large = vec![b'x'; 6 << 20];
    let answer = reply(200).field("Cache-Control", "max-age=60").body(&large);
    let origin = Origin::answering(answer);
    let gateway = Gateway::before(&origin)
        .server("exchange_timeout = '400ms'")
        .start();
    // On a machine that is busy, a reader in earnest may take too long, too.
    let is_read = || gateway.get("/large").expect(200).body.len() == large.len();
    await_that("all of it is read in time", is_read);
    let mut client = gateway.client();
    let mut content = client.open(&get("/large"));
    assert!(content.so_far().is_hit());
    while content.more().is_some() {
        pause();
    }
    assert_ne!(content.finish().end, End::Complete);
    await_that("all of it is read in time", is_read);
}

#[test]
fn content_of_a_request_has_to_come_at_some_rate() {
    let origin = Origin::answering(reply(200));
    let lines = "body_timeout = '300ms'\nmin_body_rate = '1MiB'";
    let gateway = Gateway::before(&origin)
        .server(lines)
        .route("/slow", "min_body_rate = 'off'")
        .start();
    let upload = |target: &str, media_type: &str| {
        let mut client = gateway.client();
        client.write(format!(
            "POST {target} HTTP/1.1\r\nHost: a\r\nContent-Type: {media_type}\r\nContent-Length: 40\r\n\r\n"
        ));
        for _ in 0..40 {
            client.write("x");
            pause();
        }
        client.answer("POST").finish()
    };
    let slow = upload("/books", "application/json").expect(408);
    assert!(slow.text().contains("came too slowly"), "{}", slow.text());
    assert_eq!(slow.field("proxy-status"), None, "it is the client's fault");
    upload("/slow", "application/json").expect(200);
    upload("/books", "application/x-ndjson").expect(200);
}

#[test]
fn content_of_a_request_may_not_stall() {
    let origin = Origin::answering(reply(200));
    let gateway = Gateway::before(&origin)
        .server("body_timeout = '200ms'")
        .start();
    for method in ["POST", "QUERY"] {
        let mut client = gateway.client();
        client.start(&request(method, "/books").field("Content-Length", 10));
        client.write("half");
        let answer = client.answer(method).finish().expect(408);
        assert!(
            answer.text().contains("did not arrive within its deadline"),
            "{method}: {}",
            answer.text()
        );
    }
}

#[test]
fn an_upload_ends_with_its_exchange() {
    let broken_off = Gate::new();
    let seen = broken_off.clone();
    let origin = Origin::greeting(
        move |conn| {
            if conn.read_head() {
                conn.await_close();
                seen.open();
            }
        },
        |request, conn| conn.reply(request, &reply(200)),
    );
    let gateway = Gateway::before(&origin)
        .server("exchange_timeout = '300ms'\nmin_body_rate = 'off'")
        .start();
    let mut client = gateway.client();
    client.write("PUT /books/1 HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n");
    for _ in 0..40 {
        client.write("x");
        pause();
    }
    client.answer("PUT").finish().expect(504);
    broken_off.pass();
}
