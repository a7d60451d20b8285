//! NameServers of servers, and their addresses.

use std::cell::RefCell;
use std::net::IpAddr;
use std::rc::Rc;

use tokio::task::spawn_local;

use super::name_server::{NameServer, Says, ips, named};
use super::*;
use crate::clock::Monotonic;
use crate::config::Ejection;
use crate::upstream::names::address::Address;
use crate::upstream::names::lookup::NameServers;
use crate::upstream::names::resolve::Resolver;

async fn found(resolver: &Arc<Resolver>) -> Vec<IpAddr> {
    let addresses = resolver.addresses(Monotonic::default()).await;
    let in_use = addresses.expect("addresses").in_use;
    in_use.iter().map(|address| address.at().ip()).collect()
}

#[test]
fn all_addresses_are_used_and_looked_up_again_when_their_ttl_is_over() {
    run(async {
        let first = ips(&["192.0.2.1", "192.0.2.2", "2001:db8::1"]);
        let server = NameServer::start(Says::Addresses(first, 1)).await;
        let resolver = server.resolver();
        // IPv6 goes first, and each connection begins with another address of a family.
        let expected = ips(&["2001:db8::1", "192.0.2.1", "192.0.2.2"]);
        let rotated = ips(&["2001:db8::1", "192.0.2.2", "192.0.2.1"]);
        assert_eq!(found(&resolver).await, expected);
        assert_eq!(found(&resolver).await, rotated);
        assert_eq!(server.asked(), 1, "an answer is good for a while");
        let moved = ips(&["192.0.2.9"]);
        server.say(Says::Addresses(moved.clone(), 60));
        resolver.outdated().await;
        assert_eq!(found(&resolver).await, moved);
        assert_eq!(server.asked(), 2);
    });
}

#[test]
fn addresses_stay_in_use_while_no_answer_comes() {
    run(async {
        for answer in [Says::Failure, Says::NoSuchName, Says::Nothing] {
            let known = ips(&["192.0.2.1"]);
            let server = NameServer::start(Says::Addresses(known.clone(), 60)).await;
            let resolver = server.resolver();
            assert_eq!(found(&resolver).await, known);
            server.say(answer);
            resolver.expire();
            assert_eq!(found(&resolver).await, known);
            let asked = server.asked();
            assert!(asked >= 2, "{asked}");
            assert_eq!(found(&resolver).await, known);
            assert_eq!(server.asked(), asked, "not asked with each connection");
            server.say(Says::Addresses(ips(&["192.0.2.2"]), 60));
            resolver.expire();
            // The look-up that is going on finds it, or else the next one.
            until(|| !resolver.is_looking_up()).await;
            assert_eq!(found(&resolver).await, ips(&["192.0.2.2"]));
        }
    });
}

#[test]
fn an_answer_that_takes_longer_than_a_connection_waits_for_is_used_when_it_comes() {
    run(async {
        let server = NameServer::start(Says::Addresses(ips(&["192.0.2.1"]), 60)).await;
        let resolver = server.resolver();
        assert_eq!(found(&resolver).await, ips(&["192.0.2.1"]));
        // Within what a name server is waited for at first, and beyond it.
        for (late, moved) in [(400, ips(&["192.0.2.2"])), (700, ips(&["192.0.2.3"]))] {
            server.take(Duration::from_millis(late));
            server.say(Says::Addresses(moved.clone(), 60));
            resolver.expire();
            assert_ne!(found(&resolver).await, moved, "it does not wait");
            // No request needs it meanwhile.
            until(|| !resolver.is_looking_up()).await;
            assert_eq!(found(&resolver).await, moved);
        }
    });
}

#[test]
fn the_first_answer_is_waited_for_by_all_and_stored_when_none_of_them_is_left() {
    run(async {
        let origin = Origin::start().await;
        let server = NameServer::start(Says::Addresses(ips(&["127.0.0.1"]), 60)).await;
        server.take(Duration::from_millis(300));
        let mut config = named(&server, origin.port());
        config.connect_timeout = Duration::from_millis(100);
        // On a busy machine, more may come too early.
        config.circuit.failures = 0;
        let worker = Worker::new(&config);
        let (one, two) = tokio::join!(worker.get("/1"), worker.get("/2"));
        assert_eq!(kind(one), Some(ErrorKind::ConnectionTimeout));
        assert_eq!(kind(two), Some(ErrorKind::ConnectionTimeout));
        let script = async {
            // A connection may come too late for who wanted it.
            while origin.accept().await.try_answer("there").await.is_none() {}
        };
        let client = async {
            while worker.get("/3").await.is_err() {
                tokio::task::yield_now().await;
            }
        };
        exchange(script, client).await;
    });
}

#[test]
fn a_name_that_does_not_exist_is_told_apart_from_one_that_is_not_answered() {
    run(async {
        for (says, told) in [
            (Says::NoSuchName, "the upstream's name does not exist"),
            (Says::Failure, "the upstream's name did not resolve"),
        ] {
            let server = NameServer::start(says).await;
            let worker = Worker::new(&named(&server, 80));
            let error = worker.get("/").await.expect_err("no address");
            assert_eq!((error.kind(), error.explanation()), (ErrorKind::Dns, told));
        }
        let server = NameServer::start(Says::Nothing).await;
        let mut config = named(&server, 80);
        config.connect_timeout = Duration::from_millis(200);
        let error = Worker::new(&config).get("/").await;
        assert_eq!(kind(error), Some(ErrorKind::ConnectionTimeout));
    });
}

#[test]
fn an_address_without_a_server_costs_no_request() {
    run(async {
        let origin = Origin::start().await;
        // Nothing listens at the first, nor at the second; the port is the origin's at the third.
        let addresses = ips(&["::1", "127.0.0.9", "127.0.0.1"]);
        let server = NameServer::start(Says::Addresses(addresses, 60)).await;
        let worker = Worker::new(&named(&server, origin.port()));
        let (_peer, response) = exchange(
            origin.sends("HTTP/1.1 204 No Content\r\n\r\n"),
            worker.get("/"),
        )
        .await;
        assert_eq!(response.expect("a response").status(), 204);
    });
}

#[test]
fn an_address_that_stays_keeps_its_health_and_is_not_used_while_others_are_available() {
    run(async {
        let rules = Ejection {
            failures: 2,
            time: Duration::from_secs(5),
            ..Ejection::default()
        };
        let all = ips(&["192.0.2.1", "192.0.2.2", "192.0.2.3"]);
        let server = NameServer::start(Says::Addresses(all, 60)).await;
        let resolver = Resolver::new("api.test.", 80, NameServers::At(server.addr), &rules);
        let at = |seconds: u64| Monotonic::from_millis(seconds * 1_000);
        let addresses = async |now| {
            let found = resolver.addresses(now).await.expect("addresses");
            let mut in_use: Vec<_> = found.in_use.iter().map(|at| at.at().ip()).collect();
            in_use.sort();
            (in_use, found)
        };
        let (_, found) = addresses(at(0)).await;
        let of = |ip: &str| {
            let is_it = |address: &&Arc<Address>| address.at().ip() == ips(&[ip])[0];
            found.in_use.iter().find(is_it).expect("an address").clone()
        };
        for _ in 0..2 {
            of("192.0.2.1").failed(at(0), "gone");
            of("192.0.2.2").failed(at(0), "gone");
            of("192.0.2.3").failed(at(0), "gone");
            // Failures that are not in a row.
            of("192.0.2.3").succeeded(|| at(0));
        }
        let (in_use, found) = addresses(at(1)).await;
        assert_eq!(in_use, ips(&["192.0.2.3"]));
        assert_eq!(found.ejected.len(), 2, "for when there is nothing else");
        // The first stays, the second goes, a fourth comes.
        let changed = ips(&["192.0.2.1", "192.0.2.3", "192.0.2.4"]);
        server.say(Says::Addresses(changed.clone(), 60));
        resolver.expire();
        assert_eq!(addresses(at(1)).await.0, ips(&["192.0.2.3", "192.0.2.4"]));
        assert_eq!(addresses(at(5)).await.0, changed, "its time is over");
    });
}

/// A server at an address of its own, which takes connections until it is dropped, and the port.
async fn listener(ip: &str, port: u16) -> tokio::net::TcpListener {
    let bound = tokio::net::TcpListener::bind((ip, port)).await;
    bound.expect("an address on loopback")
}

#[test]
fn an_address_whose_exchanges_fail_is_ejected_for_the_others_of_its_name() {
    run(async {
        let good = Origin::start().await;
        // It takes connections, and breaks them off.
        let bad = listener("127.0.0.9", good.port()).await;
        let taken = Rc::new(RefCell::new(0));
        let count = taken.clone();
        spawn_local(async move {
            while let Ok((socket, _)) = bad.accept().await {
                *count.borrow_mut() += 1;
                drop(socket);
            }
        });
        let addresses = ips(&["127.0.0.9", "127.0.0.1"]);
        let server = NameServer::start(Says::Addresses(addresses, 300)).await;
        let mut config = named(&server, good.port());
        config.max_idle = 0;
        config.ejection.failures = 2;
        config.ejection.time = Duration::from_secs(10);
        let worker = Worker::new(&config);
        spawn_local(async move {
            loop {
                good.accept().await.answer("well").await;
            }
        });
        let asks = async |times: usize| {
            let mut failed = 0;
            for _ in 0..times {
                failed += usize::from(worker.get("/").await.is_err());
            }
            failed
        };
        // Every other connection leads there.
        assert_eq!((asks(20).await, *taken.borrow()), (2, 2));
        worker.time.advance(Duration::from_secs(11));
        assert_eq!(asks(20).await, 1, "one failure is enough after a return");
        assert_eq!(*taken.borrow(), 3);
    });
}

#[test]
fn an_address_that_takes_no_connection_is_not_tried_with_each_one() {
    run(async {
        let good = Origin::start().await;
        let addresses = ips(&["127.0.0.9", "127.0.0.1"]);
        let server = NameServer::start(Says::Addresses(addresses, 300)).await;
        let mut config = named(&server, good.port());
        config.max_idle = 0;
        config.ejection.failures = 1;
        let worker = Worker::new(&config);
        let port = good.port();
        spawn_local(async move {
            loop {
                good.accept().await.answer("well").await;
            }
        });
        for _ in 0..4 {
            read(worker.get("/").await.expect("a response"))
                .await
                .expect("content");
        }
        // It is there now, and left alone all the same until its time is over.
        let late = listener("127.0.0.9", port).await;
        for _ in 0..4 {
            read(worker.get("/").await.expect("a response"))
                .await
                .expect("content");
        }
        worker.time.advance(Duration::from_secs(3_600));
        let asks = async {
            loop {
                let asked = worker.get("/").await;
                read(asked.expect("a response")).await.expect("content");
            }
        };
        tokio::select! {
            accepted = late.accept() => assert!(accepted.is_ok()),
            () = asks => {}
        }
    });
}

#[test]
fn where_all_addresses_are_ejected_their_connections_are_still_shared() {
    run(async {
        let silent = listener("127.0.0.1", 0).await;
        let port = silent.local_addr().expect("an address").port();
        let taken = Rc::new(RefCell::new(0));
        let count = taken.clone();
        // It speaks HTTP/2, and never answers a request.
        spawn_local(async move {
            while let Ok((socket, _)) = silent.accept().await {
                *count.borrow_mut() += 1;
                spawn_local(async move {
                    let mut connection = h2::server::handshake(socket).await.expect("HTTP/2");
                    let mut held = Vec::new();
                    while let Some(Ok(request)) = connection.accept().await {
                        held.push(request);
                    }
                });
            }
        });
        let server = NameServer::start(Says::Addresses(ips(&["127.0.0.1"]), 300)).await;
        let mut config = named(&server, port);
        config.protocol = crate::config::Protocol::H2c;
        config.response_timeout = Duration::from_millis(20);
        config.ejection.failures = 1;
        config.circuit.failures = 0;
        config.max_connections = 50;
        let worker = Worker::new(&config);
        for _ in 0..20 {
            let asked = kind(worker.get("/").await);
            assert_eq!(asked, Some(ErrorKind::ResponseTimeout));
        }
        assert!(*taken.borrow() < 10, "{} connections", taken.borrow());
    });
}
