//! How many connections there may be.

use bookend::config::Server as Config;

use super::harness::{Gateway, config, until};

#[test]
fn one_connection_too_many_waits_for_a_place() {
    let gateway = Gateway::start(&Config {
        max_connections: 2,
        workers: 2,
        ..config()
    });
    let mut busy: Vec<_> = (0..2).map(|_| gateway.connect()).collect();
    for client in &mut busy {
        client.send("GET /hold HTTP/1.1\r\nHost: a\r\n\r\n");
        gateway.until_entered();
    }
    let mut third = gateway.connect();
    third.send("GET /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert_eq!(gateway.connections(), 2);
    gateway.release();
    for client in &mut busy {
        assert_eq!(client.answer().body, "held");
    }
    // The places of the first two are free once they leave, or are idle.
    assert_eq!(third.answer().body, "hello");
}

#[test]
fn the_longest_idle_connection_makes_room() {
    let gateway = Gateway::start(&Config {
        max_connections: 2,
        ..config()
    });
    let mut first = gateway.connect();
    first.get("/hello");
    let mut second = gateway.connect();
    second.send("GET /hold HTTP/1.1\r\nHost: a\r\n\r\n");
    gateway.until_entered();
    let mut third = gateway.connect();
    assert_eq!(third.get("/hello").body, "hello");
    first.assert_closed();
    gateway.release();
    assert_eq!(second.answer().body, "held");
}

#[test]
fn a_client_that_has_its_share_of_the_connections_gets_no_other() {
    let gateway = Gateway::start(&Config {
        max_connections: 3,
        max_connections_per_client: 2,
        workers: 2,
        ..config()
    });
    let refused = || gateway.metrics.sum(|c| c.connections_refused.value());
    let mut clients: Vec<_> = (0..2).map(|_| gateway.connect()).collect();
    for client in &mut clients {
        assert_eq!(client.get("/hello").body, "hello");
    }
    gateway.connect().assert_closed();
    assert_eq!((refused(), gateway.connections()), (1, 2));
    // Both go on, and one that leaves makes room.
    for client in &mut clients {
        assert_eq!(client.get("/hello").body, "hello");
    }
    clients.pop();
    until("one has left", || gateway.connections() == 1);
    assert_eq!(gateway.connect().get("/hello").body, "hello");
    assert_eq!(refused(), 1);
}

#[test]
fn trusted_proxies_have_the_connections_of_all_their_clients() {
    for (each, trusted) in [(1, "127.0.0.0/8"), (0, "192.0.2.0/24")] {
        let gateway = Gateway::start(&Config {
            max_connections_per_client: each,
            trusted_proxies: vec![trusted.parse().expect("a network")],
            ..config()
        });
        let mut clients: Vec<_> = (0..5).map(|_| gateway.connect()).collect();
        for client in &mut clients {
            assert_eq!(client.get("/hello").body, "hello");
        }
    }
}

#[test]
fn connections_are_counted() {
    let gateway = Gateway::start(&config());
    let mut clients: Vec<_> = (0..5).map(|_| gateway.connect()).collect();
    for client in &mut clients {
        client.get("/hello");
    }
    assert_eq!(gateway.connections(), 5);
    clients.truncate(2);
    until("three have left", || gateway.connections() == 2);
    assert_eq!(gateway.metrics.sum(|c| c.connections_accepted.value()), 5);
}
