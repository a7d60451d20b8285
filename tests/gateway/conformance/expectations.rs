//! Content that waits to be asked for (RFC 9110 §10.1.1): the API is the one that asks.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;

use crate::common::{Client, Gate, Gateway, Origin, post, reply};

const EXPECT: &str = "Content-Length: 4\r\nExpect: 100-continue\r\n\r\n";

/// A connection on which heads are read one by one, interim ones too.
struct Raw(BufReader<TcpStream>);

impl Raw {
    fn to(gateway: &Gateway) -> Self {
        let stream = TcpStream::connect(gateway.addr()).expect("a gateway");
        let patience = Some(crate::common::PATIENCE);
        stream.set_read_timeout(patience).expect("a socket");
        Self(BufReader::new(stream))
    }

    fn write(&mut self, octets: &str) {
        let stream = self.0.get_mut();
        stream.write_all(octets.as_bytes()).expect("a connection");
    }

    /// The status of the next head, interim or final; 0 at the end of the connection.
    fn status(&mut self) -> u16 {
        let mut first = String::new();
        let mut line = String::new();
        while self.0.read_line(&mut line).is_ok_and(|octets| octets > 2) {
            if first.is_empty() {
                first.clone_from(&line);
            }
            line.clear();
        }
        let status = first.split(' ').nth(1);
        status.map_or(0, |status| status.parse().expect("a status"))
    }
}

#[test]
fn an_expectation_goes_upstream_and_is_met_from_there() {
    let origin = Origin::start(|request, conn| {
        conn.reply(request, &reply(200).body(request.text()));
    });
    let gateway = Gateway::before(&origin).start();
    for (says, forwarded) in [
        ("100-continue", Some("100-continue")),
        ("100-Continue", Some("100-continue")),
        (", 100-continue", Some("100-continue")),
        ("200-ok", None),
    ] {
        let mut client = gateway.client();
        client.write(format!(
            "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: {says}\r\n\r\n1984"
        ));
        let answer = client.answer("POST").finish().expect(200);
        assert_eq!(answer.text(), "1984");
        assert!(answer.interim.iter().all(|(status, _)| *status == 100));
        assert_eq!(origin.last().fields.get("expect"), forwarded, "{says}");
    }
    // In HTTP/1.0 it means nothing, and without content nothing is held back.
    for request in [
        post("/a", "1984").version("HTTP/1.0"),
        post("/a", ""),
        crate::common::delete("/a"),
    ] {
        let answer = gateway.send(&request.field("Expect", "100-continue"));
        assert_eq!(answer.status, 200);
        assert!(answer.interim.is_empty(), "{answer:?}");
        assert_eq!(origin.last().fields.get("expect"), None);
    }
    // Nor does what a fill asks for have any.
    gateway.send(&crate::common::get("/a").field("Expect", "100-continue"));
    assert_eq!(origin.last().fields.get("expect"), None);
}

#[test]
fn content_is_asked_for_when_the_api_asks_for_it_and_not_before() {
    let gate = Gate::new();
    let held = gate.clone();
    let origin = Origin::greeting(
        move |conn| {
            assert!(conn.read_head());
            conn.write("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n");
            held.pass();
            conn.write("HTTP/1.1 100 Continue\r\n\r\n");
            assert_eq!(conn.read_content(4), "1985");
            conn.write("HTTP/1.1 204 No Content\r\n\r\n");
        },
        |request, conn| conn.reply(request, &reply(200).body("another")),
    );
    let gateway = Gateway::before(&origin).workers(1).start();
    let mut client = Raw::to(&gateway);
    client.write(&format!("PUT /a HTTP/1.1\r\nHost: a\r\n{EXPECT}"));
    assert_eq!(client.status(), 103);
    gate.open();
    assert_eq!(client.status(), 100);
    client.write("1985");
    assert_eq!(client.status(), 204);
    // Both connections are as good as before.
    client.write("GET /a HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.status(), 200);
    assert_eq!(origin.connections(), 1);
}

#[test]
fn what_the_api_refuses_by_its_head_is_never_asked_for() {
    for status in [401, 405, 413, 417, 200] {
        let origin = Origin::greeting(
            move |conn| {
                assert!(conn.read_head());
                conn.write(format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n"));
                // The content that was announced will not come: the connection is of no more use.
                conn.await_close();
            },
            |_, _| {},
        );
        let gateway = Gateway::before(&origin).start();
        let mut client = Raw::to(&gateway);
        client.write(&format!("PUT /a HTTP/1.1\r\nHost: a\r\n{EXPECT}"));
        assert_eq!(client.status(), status);
        origin.await_idle();
    }
}

#[test]
fn an_api_that_knows_no_expectations_gets_its_content_all_the_same() {
    let origin = Origin::greeting(
        |conn| {
            assert!(conn.read_head());
            assert_eq!(conn.read_content(4), "1986");
            conn.write("HTTP/1.1 204 No Content\r\n\r\n");
        },
        |_, _| {},
    );
    let gateway = Gateway::before(&origin).start();
    let mut client = Raw::to(&gateway);
    client.write(&format!("PUT /a HTTP/1.1\r\nHost: a\r\n{EXPECT}"));
    assert_eq!(client.status(), 100, "after a second");
    client.write("1986");
    assert_eq!(client.status(), 204);
}

#[test]
fn an_expectation_does_not_keep_a_dead_connection_from_being_replaced() {
    // Nothing of the content is gone before it is asked for, so that it may be sent again.
    let origin = Origin::start(|request, conn| {
        conn.reply(request, &reply(200).body(request.text()));
        conn.close();
    });
    let gateway = Gateway::before(&origin).workers(1).start();
    for _ in 0..3 {
        let mut client = Client::to(gateway.addr());
        client.write(format!("PUT /a HTTP/1.1\r\nHost: a\r\n{EXPECT}1984"));
        assert_eq!(client.answer("PUT").finish().expect(200).text(), "1984");
    }
}
