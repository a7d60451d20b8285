//! Clients that keep the gateway waiting. Deadlines are short here; each wait is for what the server does about them.

use std::io::{ErrorKind, Read};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use bookend::clock::{Clock, ManualClock};
use bookend::config::Server as Config;
use bookend::semantics::time::Timestamp;
use socket2::SockRef;

use super::harness::{Client, Gateway, PATIENCE, config, until};

const SHORT: Duration = Duration::from_millis(200);

#[test]
fn a_head_that_does_not_end_is_answered_408() {
    let gateway = Gateway::start(&Config {
        head_timeout: SHORT,
        ..config()
    });
    for kept_alive in [false, true] {
        let mut client = gateway.connect();
        if kept_alive {
            client.get("/hello");
        }
        client.send("GET /hello HTTP/1.1\r\nHost: a\r\nX-Slow: ");
        let answer = client.answer();
        assert_eq!(answer.status(), 408);
        assert_eq!(answer.field("connection"), Some("close"));
        client.assert_closed();
        let refused = gateway.levers.refused.lock().unwrap().pop();
        assert_eq!(refused.as_deref(), Some("RequestTimeout"));
    }
}

#[test]
fn a_head_that_trickles_has_no_more_time_than_another() {
    let gateway = Gateway::start(&Config {
        head_timeout: SHORT,
        ..config()
    });
    let client = gateway.connect();
    let mut writer = client.0.try_clone().unwrap();
    let trickle = std::thread::spawn(move || {
        use std::io::Write;
        let mut sent = 0;
        writer.write_all(b"GET / HTTP/1.1\r\n").unwrap_or(());
        while writer.write_all(b"a: b\r\n").is_ok() && sent < 10_000 {
            sent += 1;
            std::thread::park_timeout(Duration::from_millis(20));
        }
        sent
    });
    let mut client = client;
    assert_eq!(client.answer().status(), 408);
    drop(client);
    assert!(trickle.join().unwrap() < 10_000);
}

#[test]
fn a_connection_without_a_byte_is_closed_without_a_word() {
    let gateway = Gateway::start(&Config {
        head_timeout: SHORT,
        ..config()
    });
    gateway.connect().assert_closed();
    // Part of HTTP/2's preface is not a request either.
    let mut client = gateway.connect();
    client.send("PRI * HT");
    client.assert_closed();
    assert!(gateway.levers.refused.lock().unwrap().is_empty());
}

#[test]
fn an_idle_connection_is_closed_without_a_word() {
    let gateway = Gateway::start(&Config {
        idle_timeout: SHORT,
        ..config()
    });
    let mut client = gateway.connect();
    client.get("/hello");
    client.assert_closed();
}

#[test]
fn a_request_that_takes_long_is_not_idle() {
    let gateway = Gateway::start(&Config {
        head_timeout: SHORT,
        idle_timeout: SHORT,
        body_timeout: SHORT,
        write_timeout: SHORT,
        ..config()
    });
    let mut idle = gateway.connect();
    idle.get("/hello");
    let mut client = gateway.connect();
    client.send("POST /hold HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nwine");
    gateway.until_entered();
    // By then every deadline has passed for the other.
    idle.assert_closed();
    gateway.release();
    assert_eq!(client.answer().body, "held");
}

#[test]
fn content_that_stalls_fails_for_the_handler() {
    let gateway = Gateway::start(&Config {
        body_timeout: SHORT,
        ..config()
    });
    let mut client = gateway.connect();
    client.send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf");
    let answer = client.answer();
    assert_eq!((answer.status(), answer.body.as_str()), (408, "no content"));
    client.assert_closed();
}

#[test]
fn a_client_that_never_reads_is_reset() {
    let gateway = Gateway::start(&Config {
        write_timeout: SHORT,
        ..config()
    });
    let mut client = gateway.connect();
    client.send("GET /endless HTTP/1.1\r\nHost: a\r\n\r\n");
    // The reset shows once the server has given up, whatever is still unread then.
    let reset = std::iter::repeat_with(|| client.0.take_error().unwrap())
        .inspect(|_| std::thread::park_timeout(Duration::from_millis(1)))
        .take(20_000)
        .find_map(|error| error);
    assert_eq!(
        reset.map(|error| error.kind()),
        Some(ErrorKind::ConnectionReset)
    );
}

#[test]
fn a_client_that_reads_slowly_but_reads_is_borne() {
    let gateway = Gateway::start(&Config {
        write_timeout: 3 * SHORT,
        idle_timeout: SHORT,
        ..config()
    });
    let mut bystander = gateway.connect();
    bystander.get("/hello");
    let mut client: Client<TcpStream> = gateway.connect();
    client.send("GET /endless HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut room = vec![0; 256 << 10];
    for _ in 0..50 {
        client.0.read_exact(&mut room).unwrap();
        std::thread::park_timeout(Duration::from_millis(20));
    }
    bystander.assert_closed();
}

/// A worker that looks at its connections every few milliseconds, by a clock that only the test moves.
fn at_will() -> (Gateway, ManualClock) {
    let (clock, manual) = Clock::manual(Timestamp::from_secs(1_000_000));
    let config = Config {
        head_timeout: Duration::from_millis(20),
        ..config()
    };
    (Gateway::start_at(&config, clock), manual)
}

#[test]
fn a_client_that_resets_ends_its_handler() {
    let (gateway, clock) = at_will();
    let mut client = gateway.connect();
    client.send("GET /hold/reset HTTP/1.1\r\nHost: a\r\n\r\n");
    gateway.until_entered();
    SockRef::from(&client.0)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
    drop(client);
    clock.advance(Duration::from_secs(2));
    let dropped = gateway.dropped.recv_timeout(PATIENCE);
    assert_eq!(dropped.as_deref(), Ok("/hold/reset"));
}

#[test]
fn a_client_that_closes_and_takes_nothing_ends_its_handler_after_a_while() {
    let (gateway, clock) = at_will();
    let mut client = gateway.connect();
    client.send("GET /hold/closed HTTP/1.1\r\nHost: a\r\n\r\n");
    gateway.until_entered();
    drop(client);
    until("the handler is dropped", || {
        clock.advance(Duration::from_millis(100));
        gateway.dropped.try_recv().is_ok()
    });
}

#[test]
fn a_client_that_half_closes_has_some_time_for_its_answer() {
    let (gateway, clock) = at_will();
    let mut client = gateway.connect();
    client.send("GET /hold HTTP/1.1\r\nHost: a\r\n\r\n");
    client.0.shutdown(Shutdown::Write).unwrap();
    gateway.until_entered();
    let mut bystander = gateway.connect();
    for _ in 0..4 {
        // A connection that is closed for its deadline shows that the worker has looked.
        clock.advance(Duration::from_secs(1));
        bystander.assert_closed();
        bystander = gateway.connect();
        until("it is there", || gateway.connections() == 2);
    }
    gateway.release();
    assert_eq!(client.answer().body, "held");
}
