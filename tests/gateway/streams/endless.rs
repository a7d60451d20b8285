//! What has no end, or takes its time: events, lists, polls that wait, uploads; with an API that speaks HTTP/1.1.

use std::sync::mpsc;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::common::{Client, Conn, Gate, Gateway, Origin, PATIENCE, get, post, reply};

/// An origin whose response goes on by a part each time somebody says so, and without end; and how it learns that its
/// reader has gone.
fn on_demand(
    content_type: &'static str,
    part: fn(usize) -> String,
) -> (Origin, mpsc::Sender<()>, mpsc::Receiver<()>) {
    let (demand, demanded) = mpsc::channel::<()>();
    let (end, ended) = mpsc::channel();
    let demanded = Mutex::new(demanded);
    let origin = Origin::start(move |_, conn| {
        conn.write(format!(
            "HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nCache-Control: no-store\r\n\
             Transfer-Encoding: chunked\r\n\r\n"
        ));
        let demanded = demanded.lock().unwrap_or_else(PoisonError::into_inner);
        for number in 0.. {
            demanded.recv_timeout(PATIENCE).expect("a demand");
            if !conn.chunk(part(number)) {
                return end.send(()).expect("a test");
            }
        }
    });
    (origin, demand, ended)
}

/// Each part reaches its client before the next is made; when the client leaves, the origin learns it.
#[track_caller]
fn assert_flows(content_type: &'static str, part: fn(usize) -> String) {
    let (origin, demand, ended) = on_demand(content_type, part);
    let gateway = Gateway::before(&origin).start();
    let mut client = gateway.client();
    let mut stream = client.open(&get("/books/changes"));
    assert_eq!(stream.so_far().field("content-type"), Some(content_type));
    let mut wanted = String::new();
    for number in 0..20 {
        demand.send(()).expect("an origin that listens");
        wanted += &part(number);
        assert_eq!(stream.until(wanted.len()), wanted.as_bytes());
    }
    stream.abandon();
    // Whoever goes on finds nobody there.
    crate::common::await_that("the origin learns that its reader has gone", || {
        demand.send(()).expect("an origin that listens");
        ended.try_recv().is_ok()
    });
    origin.await_idle();
}

#[test]
fn events_reach_their_client_one_by_one() {
    assert_flows("text/event-stream", |number| {
        format!("id: {number}\ndata: {{\"book\": {number}}}\n\n")
    });
}

#[test]
fn a_list_of_lines_without_end_reaches_its_client_line_by_line() {
    assert_flows("application/x-ndjson", |number| {
        format!("{{\"book\": {number}}}\n")
    });
}

#[test]
fn a_poll_waits_for_its_answer_and_holds_nobody_else_up() {
    let gate = Gate::new();
    let held = gate.clone();
    let origin = Origin::start(move |request, conn| {
        if request.target == "/books/next" {
            held.pass();
        }
        conn.reply(
            request,
            &reply(200).field("Cache-Control", "no-store").body("1984"),
        );
    });
    let gateway = Gateway::before(&origin).workers(1).start();
    let addr = gateway.addr();
    let polls: Vec<_> = (0..3)
        .map(|_| std::thread::spawn(move || Client::to(addr).get("/books/next")))
        .collect();
    // What proves not to be shared is not asked for once for all: but until then the others wait.
    gate.await_arrivals(1);
    for _ in 0..10 {
        assert_eq!(gateway.get("/books/1").expect(200).text(), "1984");
    }
    gate.open();
    for poll in polls {
        assert_eq!(poll.join().expect("a client").expect(200).text(), "1984");
    }
}

const UPLOAD: usize = 48 << 20;

/// What all sockets and buffers between a client and an origin that reads nothing may hold, in bytes.
const IN_FLIGHT: usize = 32 << 20;

#[test]
fn a_large_upload_is_passed_on_as_it_comes_and_waits_where_the_api_does() {
    let (gate, begun) = (Gate::new(), Gate::new());
    let (opened, read_on) = (gate.clone(), begun.clone());
    let origin = Origin::greeting(
        move |conn| {
            assert!(conn.read_head());
            assert_eq!(conn.read_content(4), "abcd");
            read_on.pass();
            opened.pass();
            let mut left = UPLOAD - 4;
            while left > 0 {
                let content = conn.read_content(left.min(1 << 20));
                assert!(!content.is_empty() && content.bytes().all(|octet| octet == b'x'));
                left -= content.len();
            }
            conn.write("HTTP/1.1 204 No Content\r\n\r\n");
        },
        |_, _| {},
    );
    let gateway = Gateway::before(&origin).workers(1).start();
    let mut client = gateway.client();
    client.write(format!(
        "PUT /books/scan HTTP/1.1\r\nHost: a\r\nContent-Length: {UPLOAD}\r\n\r\nabcd"
    ));
    // The API has the first of it before the client has sent the rest.
    begun.await_arrivals(1);
    begun.open();
    let rest = vec![b'x'; UPLOAD - 4];
    let (sent, all) = client.press(&rest, Duration::from_millis(500));
    assert!(!all && sent < IN_FLIGHT, "{sent} bytes went nowhere");
    gate.open();
    client.write(&rest[sent..]);
    client.answer("PUT").finish().expect(204);
}

#[test]
fn trailers_go_both_ways() {
    const CONTENT: &str = "4\r\n1984\r\n0\r\nx-sum: 7\r\n\r\n";
    let origin = Origin::greeting(
        |conn: &mut Conn| {
            assert!(conn.read_head());
            assert_eq!(conn.read_content(CONTENT.len()), CONTENT);
            conn.write(
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Books\r\n\r\n\
                 4\r\nmade\r\n0\r\nX-Books: 2\r\n\r\n",
            );
        },
        |_, _| {},
    );
    let gateway = Gateway::before(&origin).start();
    let write = post("/books", CONTENT.replace("x-sum", "X-Sum"))
        .field("TE", "trailers")
        .field("Connection", "TE")
        .field("Trailer", "X-Sum")
        .field("Transfer-Encoding", "chunked");
    let answer = gateway.send(&write).expect(200);
    assert_eq!(answer.text(), "made");
    assert_eq!(answer.trailers.get("x-books"), Some("2"), "{answer:#?}");
}
