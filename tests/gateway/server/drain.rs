//! The order to stop: nothing that has begun is lost.

use std::io::ErrorKind;
use std::time::Duration;

use bookend::config::Server as Config;
use bookend::server::Outcome;
use bookend::telemetry::readiness::Stage;

use super::harness::{Gateway, config, until};

/// Gives the order to stop, and waits until the only worker has heard it: it closes what is idle.
fn stop(gateway: &mut Gateway) {
    let mut idle = gateway.connect();
    idle.get("/hello");
    gateway.stop();
    idle.assert_closed();
}

#[test]
fn a_request_in_flight_is_answered_and_its_connection_closed() {
    let mut gateway = Gateway::start(&config());
    until("ready", || gateway.readiness.stage() == Stage::Ready);
    let mut client = gateway.connect();
    client.send("GET /hold HTTP/1.1\r\nHost: a\r\n\r\n");
    gateway.until_entered();
    stop(&mut gateway);
    until("draining", || gateway.readiness.stage() == Stage::Draining);
    gateway.release();
    let answer = client.answer();
    assert_eq!(answer.body, "held");
    assert_eq!(answer.field("connection"), Some("close"));
    client.assert_closed();
    assert_eq!(gateway.join().unwrap(), Outcome::Drained);
}

#[test]
fn idle_connections_are_closed_at_once() {
    let gateway = Gateway::start(&config());
    let mut clients: Vec<_> = (0..5).map(|_| gateway.connect()).collect();
    for client in &mut clients {
        client.get("/hello");
    }
    // The clients keep theirs open meanwhile.
    assert_eq!(gateway.join().unwrap(), Outcome::Drained);
    for client in &mut clients {
        client.assert_closed();
    }
}

#[test]
fn a_head_that_is_under_way_is_still_answered() {
    let mut gateway = Gateway::start(&config());
    let mut held = gateway.connect();
    let mut client = gateway.connect();
    let mut fresh = gateway.connect();
    client.get("/hello");
    client.send("GET /hello HTTP/1.1\r\n");
    fresh.send("GET /hello HTTP/1.1\r\n");
    // Answered after the two above were read: the worker takes what is ready in turn.
    held.send("GET /hold HTTP/1.1\r\nHost: a\r\n\r\n");
    gateway.until_entered();
    stop(&mut gateway);
    for client in [&mut client, &mut fresh] {
        client.send("Host: a\r\n\r\n");
        let answer = client.answer();
        assert_eq!(answer.body, "hello");
        assert_eq!(answer.field("connection"), Some("close"));
        client.assert_closed();
    }
    gateway.release();
    assert_eq!(held.answer().body, "held");
    assert_eq!(gateway.join().unwrap(), Outcome::Drained);
}

#[test]
fn connections_in_the_queue_are_still_served() {
    let mut gateway = Gateway::start(&config());
    let mut first = gateway.connect();
    // The worker's thread does nothing else meanwhile.
    first.send("GET /block HTTP/1.1\r\nHost: a\r\n\r\n");
    gateway.until_entered();
    let mut late: Vec<_> = (0..5).map(|_| gateway.connect()).collect();
    for client in &mut late {
        client.send("GET /hello HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    gateway.stop();
    until("draining", || gateway.readiness.stage() == Stage::Draining);
    assert_eq!(gateway.metrics.sum(|c| c.connections_accepted.value()), 1);
    gateway.release();
    assert_eq!(first.answer().body, "blocked");
    for client in &mut late {
        let answer = client.answer();
        assert_eq!(answer.body, "hello");
        assert_eq!(answer.field("connection"), Some("close"));
        client.assert_closed();
    }
    drop((first, late));
    assert_eq!(gateway.join().unwrap(), Outcome::Drained);
}

#[test]
fn connections_that_wait_for_a_place_are_still_served() {
    let mut gateway = Gateway::start(&Config {
        max_connections: 1,
        ..config()
    });
    let mut first = gateway.connect();
    first.send("GET /hold HTTP/1.1\r\nHost: a\r\n\r\n");
    gateway.until_entered();
    let mut late: Vec<_> = (0..5).map(|_| gateway.connect()).collect();
    for client in &mut late {
        client.send("GET /hello HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    gateway.stop();
    until("draining", || gateway.readiness.stage() == Stage::Draining);
    gateway.release();
    assert_eq!(first.answer().body, "held");
    for client in &mut late {
        assert_eq!(client.answer().body, "hello");
    }
    drop((first, late));
    assert_eq!(gateway.join().unwrap(), Outcome::Drained);
}

#[test]
fn the_service_is_waited_for_as_well() {
    let mut gateway = Gateway::start(&config());
    gateway.unsettle();
    stop(&mut gateway);
    assert_eq!(gateway.until_entered(), "drained");
    assert!(gateway.is_running());
    gateway.settle();
    assert_eq!(gateway.join().unwrap(), Outcome::Drained);
}

#[test]
fn what_is_left_at_the_deadline_is_cut_off_with_a_reset() {
    let gateway = Gateway::start(&Config {
        drain_timeout: Duration::from_millis(200),
        workers: 2,
        ..config()
    });
    let mut held = gateway.connect();
    held.send("GET /hold HTTP/1.1\r\nHost: a\r\n\r\n");
    gateway.until_entered();
    let mut reading = gateway.connect();
    reading.send("GET /endless HTTP/1.0\r\n\r\n");
    until("both are there", || gateway.connections() == 2);
    assert_eq!(gateway.join().unwrap(), Outcome::Aborted { connections: 2 });
    for client in [&mut held, &mut reading] {
        let (_, ended) = client.rest();
        assert_eq!(ended.unwrap_err().kind(), ErrorKind::ConnectionReset);
    }
}

#[test]
fn a_drained_port_refuses() {
    let gateway = Gateway::start(&config());
    let addr = gateway.addr();
    gateway.join().unwrap();
    let error = std::net::TcpStream::connect(addr).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
}
