//! The harness itself, its client before its origin: what the other tests rely on.

use std::panic::catch_unwind;

use crate::common::{Client, End, Gate, Origin, get, head, post, reply};

#[test]
fn an_answer_comes_as_it_was_scripted_and_the_request_is_recorded() {
    let origin = Origin::answering(
        reply(200)
            .field("X-One", "a")
            .field("x-one", "b")
            .body("1984"),
    );
    let mut client = Client::to(origin.addr());
    let answer = client
        .send(&post("/books?x=1", "content").field("X-Two", "c"))
        .expect(200);
    assert_eq!(answer.text(), "1984");
    assert_eq!(answer.fields.all("X-ONE").collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(client.send(&head("/books")).expect(200).text(), "");
    assert_eq!(client.connects(), 1);

    let seen = origin.requests();
    assert_eq!((&*seen[0].method, &*seen[0].target), ("POST", "/books?x=1"));
    assert_eq!(seen[0].text(), "content");
    assert_eq!(seen[0].fields.get("x-two"), Some("c"));
    assert_eq!((origin.count(), origin.connections()), (2, 1));
}

#[test]
fn the_client_tells_whole_truncated_reset_and_stalled_answers_apart() {
    let gate = Gate::new();
    let held = gate.clone();
    let origin = Origin::start(move |request, conn| match &*request.target {
        "/short" => {
            conn.write("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort");
            conn.close();
        }
        "/short-chunk" => {
            conn.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
            conn.chunk("short");
            conn.close();
        }
        "/reset" => {
            conn.write("HTTP/1.1 200 OK\r\n\r\nshort");
            held.pass();
            conn.reset();
        }
        "/stall" => {
            conn.write("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort");
            conn.await_close();
        }
        "/nothing" => conn.close(),
        "/close" => conn.reply(request, &reply(200).body("short").until_close()),
        "/chunked" => conn.reply(request, &reply(200).body("sh\nort").chunked()),
        _ => conn.reply(request, &reply(404)),
    });
    for (target, end) in [
        ("/short", End::Truncated),
        ("/short-chunk", End::Truncated),
        ("/close", End::Complete),
        ("/chunked", End::Complete),
    ] {
        let answer = Client::to(origin.addr()).get(target);
        assert_eq!((answer.status, answer.end), (200, end), "{target}");
        assert_eq!(answer.text().replace('\n', ""), "short", "{target}");
    }

    let mut client = Client::to(origin.addr());
    let mut incoming = client.open(&get("/reset"));
    incoming.until(5);
    gate.open();
    assert_eq!(incoming.finish().end, End::Reset);

    let patience = std::time::Duration::from_millis(50);
    let stalled = Client::to(origin.addr()).patience(patience).get("/stall");
    assert_eq!(stalled.end, End::Stalled);
    assert_eq!(Client::to(origin.addr()).get("/nothing").status, 0);
    origin.await_idle();
}

#[test]
fn cache_status_is_read_with_its_quoted_strings() {
    let field = r#"inner; hit, bookend; fwd=uri-miss; key="a; \"b, c"; stored; ttl=-5"#;
    let origin = Origin::answering(reply(200).field("Cache-Status", field));
    let answer = Client::to(origin.addr()).get("/").expect(200);
    assert!(answer.fwd("uri-miss") && answer.says("stored") && !answer.is_hit());
    assert_eq!(answer.number("ttl"), Some(-5));
    assert_eq!(answer.verdict().len(), 4);
}

#[test]
fn interim_responses_and_trailers_are_kept_apart_from_the_answer() {
    let origin = Origin::start(|_, conn| {
        conn.write("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n");
        conn.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        conn.write("2\r\nok\r\n0\r\nDigest: x\r\n\r\n");
    });
    let answer = Client::to(origin.addr()).get("/").expect(200);
    assert_eq!(
        (answer.interim[0].0, answer.interim[0].1.get("link")),
        (103, Some("</a>"))
    );
    assert_eq!(
        (&*answer.text(), answer.trailers.get("digest")),
        ("ok", Some("x"))
    );
}

#[test]
fn a_handler_that_fails_fails_its_test() {
    let failed = catch_unwind(|| {
        let origin = Origin::start(|request, _| assert_eq!(request.target, "/expected"));
        Client::to(origin.addr()).get("/other");
        origin.await_idle();
    });
    assert!(failed.is_err());
}

#[test]
fn an_origin_that_has_stopped_refuses_connections() {
    let origin = Origin::answering(reply(200));
    origin.stop();
    assert!(std::net::TcpStream::connect(origin.addr()).is_err());
}
