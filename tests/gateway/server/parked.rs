//! Parked connections: those that have been idle for some time give up their buffers, and clients see no difference.

use std::time::Duration;

use bookend::clock::{Clock, ManualClock};
use bookend::config::Server as Config;
use bookend::semantics::time::Timestamp;
use bookend::server::Outcome;

use super::harness::{Gateway, config, until};

/// A server whose worker ticks every few milliseconds, and whose deadlines pass by a clock that only the test moves.
fn with_manual_clock(config: Config) -> (Gateway, ManualClock) {
    let (clock, manual) = Clock::manual(Timestamp::from_secs(1_000_000));
    let config = Config {
        head_timeout: Duration::from_millis(20),
        ..config
    };
    (Gateway::start_at(&config, clock), manual)
}

/// Moves the clock, and waits until the worker has compared its connections with their deadlines.
fn pass(gateway: &Gateway, clock: &ManualClock, time: Duration) {
    let mut silent = gateway.connect();
    until("both are there", || gateway.connections() == 2);
    clock.advance(time);
    silent.assert_closed();
}

#[test]
fn a_connection_that_was_parked_is_served_as_before() {
    let (gateway, clock) = with_manual_clock(config());
    let mut client = gateway.connect();
    client.0.set_nodelay(true).unwrap();
    assert_eq!(client.get("/hello").body, "hello");
    pass(&gateway, &clock, Duration::from_secs(2));
    assert_eq!(client.get("/hello").body, "hello");

    pass(&gateway, &clock, Duration::from_secs(2));
    for byte in b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\none" {
        client.send([*byte]);
    }
    assert_eq!(client.answer().body, "one");

    pass(&gateway, &clock, Duration::from_secs(2));
    let content = "x".repeat(100_000);
    client.send(format!(
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{content}\
         GET /hello HTTP/1.1\r\nHost: a\r\n\r\n",
        content.len()
    ));
    assert_eq!(client.answer().body, content);
    assert_eq!(client.answer().body, "hello");

    pass(&gateway, &clock, Duration::from_secs(2));
    client.send("nonsense\r\n\r\n");
    assert_eq!(client.answer().status(), 400);
    client.assert_closed();
}

#[test]
fn a_parked_connection_has_the_idle_deadline_of_others() {
    let (gateway, clock) = with_manual_clock(config());
    let mut client = gateway.connect();
    client.get("/hello");
    pass(&gateway, &clock, Duration::from_secs(2));
    pass(&gateway, &clock, Duration::from_secs(80));
    client.assert_closed();
}

#[test]
fn a_parked_connection_is_evicted_for_a_new_one() {
    let (gateway, clock) = with_manual_clock(Config {
        max_connections: 2,
        ..config()
    });
    let mut client = gateway.connect();
    client.get("/hello");
    pass(&gateway, &clock, Duration::from_secs(2));
    let mut others = [gateway.connect(), gateway.connect()];
    for other in &mut others {
        assert_eq!(other.get("/hello").body, "hello");
    }
    client.assert_closed();
}

#[test]
fn a_parked_connection_does_not_delay_the_drain() {
    let (gateway, clock) = with_manual_clock(config());
    let mut client = gateway.connect();
    client.get("/hello");
    pass(&gateway, &clock, Duration::from_secs(2));
    assert_eq!(gateway.join().unwrap(), Outcome::Drained);
    client.assert_closed();
}
