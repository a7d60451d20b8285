//! Addresses: families, port 0, ports and socket files that are in use.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bookend::clock::Clock;
use bookend::config::{ListenAddr, Server as Config};
use bookend::server::{Outcome, Server};
use bookend::telemetry::readiness::Stage;

use super::harness::{Client, Gateway, config, until};

fn tcp(ip: impl Into<IpAddr>, port: u16) -> ListenAddr {
    ListenAddr::Tcp(SocketAddr::new(ip.into(), port))
}

#[test]
fn no_request_is_served_before_all_workers_are_ready() {
    let config = Config {
        workers: 2,
        ..config()
    };
    let seen = Arc::<AtomicBool>::default();
    let looked = seen.clone();
    // The second worker is late, unless a request has been served before that.
    let gateway = Gateway::start_each(&config, Clock::system(), move |index| {
        for _ in 0..200 * index {
            if !looked.load(Ordering::SeqCst) {
                std::thread::park_timeout(Duration::from_millis(1));
            }
        }
    });
    // Each worker gets some of them.
    let mut clients: Vec<_> = (0..16).map(|_| gateway.connect()).collect();
    for client in &mut clients {
        client.send("GET /hello HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    until("a request is served", || {
        !gateway.levers.peers.lock().unwrap().is_empty()
    });
    let stage = gateway.readiness.stage();
    seen.store(true, Ordering::SeqCst);
    assert_eq!(stage, Stage::Ready);
    for client in &mut clients {
        assert_eq!(client.answer().body, "hello");
    }
}

#[test]
fn port_0_is_one_free_port_for_all_workers() {
    let gateway = Gateway::start(&Config {
        workers: 4,
        ..config()
    });
    assert_eq!(gateway.addrs.len(), 1);
    assert_ne!(gateway.addr().port(), 0);
    let mut clients: Vec<_> = (0..32).map(|_| gateway.connect()).collect();
    for client in &mut clients {
        assert_eq!(client.get("/hello").body, "hello");
    }
    let busy = gateway
        .metrics
        .workers
        .iter()
        .filter(|counters| counters.connections.value() > 0)
        .count();
    assert!(busy > 1, "one worker has all connections");
}

#[test]
fn a_port_that_another_gateway_has_is_an_error_that_names_it() {
    for workers in [1, 3] {
        let config = Config {
            workers,
            ..config()
        };
        let gateway = Gateway::start(&config);
        until("ready", || gateway.readiness.stage() == Stage::Ready);
        let error = Server::bind(&Config {
            listen: gateway.addrs.clone(),
            ..config
        })
        .unwrap_err()
        .to_string();
        let addr = gateway.addr();
        assert_eq!(
            error,
            format!("cannot listen on {addr}: another process already does")
        );
        assert_eq!(gateway.join().unwrap(), Outcome::Drained);
    }
}

#[test]
fn a_port_is_free_again_after_the_end() {
    let gateway = Gateway::start(&config());
    let again = Config {
        listen: gateway.addrs.clone(),
        workers: 2,
        ..config()
    };
    // The server closes first, so its side stays in TIME_WAIT.
    let mut client = gateway.connect();
    client.get("/hello");
    gateway.join().unwrap();
    client.assert_closed();
    assert_eq!(Gateway::start(&again).connect().get("/hello").body, "hello");
}

#[test]
fn all_addresses_of_a_server_lead_to_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bookend.sock");
    let gateway = Gateway::start(&Config {
        listen: vec![
            tcp(Ipv4Addr::LOCALHOST, 0),
            tcp(Ipv6Addr::LOCALHOST, 0),
            ListenAddr::Unix(path.clone()),
        ],
        workers: 2,
        ..config()
    });
    for addr in &gateway.addrs {
        let answer = match addr {
            ListenAddr::Tcp(addr) => Client::new(TcpStream::connect(addr).unwrap()).get("/hello"),
            ListenAddr::Unix(path) => Client::new(UnixStream::connect(path).unwrap()).get("/hello"),
        };
        assert_eq!(answer.body, "hello", "{addr}");
    }
    let peers = gateway.levers.peers.lock().unwrap().clone();
    let ips: Vec<_> = peers
        .iter()
        .map(|peer| peer.addr.map(|addr| addr.ip()))
        .collect();
    assert_eq!(
        ips,
        [
            Some(Ipv4Addr::LOCALHOST.into()),
            Some(Ipv6Addr::LOCALHOST.into()),
            None
        ]
    );
}

#[test]
fn the_ipv6_wildcard_takes_ipv4_clients_under_their_own_address() {
    let gateway = Gateway::start(&Config {
        listen: vec![tcp(Ipv6Addr::UNSPECIFIED, 0)],
        ..config()
    });
    let port = gateway.addr().port();
    for ip in [
        IpAddr::from(Ipv4Addr::LOCALHOST),
        Ipv6Addr::LOCALHOST.into(),
    ] {
        let mut client = Client::new(TcpStream::connect((ip, port)).unwrap());
        assert_eq!(client.get("/hello").body, "hello", "{ip}");
        let peer = gateway.levers.peers.lock().unwrap().pop().unwrap();
        assert_eq!(peer.addr.unwrap().ip(), ip);
    }
}

#[test]
fn both_wildcards_may_have_the_same_port() {
    // Found with a probe, as port 0 would give two numbers.
    let probe = TcpListener::bind((Ipv6Addr::UNSPECIFIED, 0)).unwrap();
    let port = probe.local_addr().unwrap().port();
    drop(probe);
    let _gateway = Gateway::start(&Config {
        listen: vec![
            tcp(Ipv4Addr::UNSPECIFIED, port),
            tcp(Ipv6Addr::UNSPECIFIED, port),
        ],
        ..config()
    });
    for ip in [
        IpAddr::from(Ipv4Addr::LOCALHOST),
        Ipv6Addr::LOCALHOST.into(),
    ] {
        let mut client = Client::new(TcpStream::connect((ip, port)).unwrap());
        assert_eq!(client.get("/hello").body, "hello", "{ip}");
    }
}

#[test]
fn a_socket_file_in_use_is_an_error_and_a_stale_one_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bookend.sock");
    let config = Config {
        listen: vec![ListenAddr::Unix(path.clone())],
        ..config()
    };

    let owner = UnixListener::bind(&path).unwrap();
    let error = Server::bind(&config).unwrap_err().to_string();
    assert!(
        error.ends_with("bookend.sock: another process already does"),
        "{error}"
    );

    drop(owner);
    assert!(path.exists(), "what a killed process leaves");
    let gateway = Gateway::start(&config);
    let mut client = Client::new(UnixStream::connect(&path).unwrap());
    assert_eq!(client.get("/hello").body, "hello");
    drop(client);
    gateway.join().unwrap();
    assert!(!path.exists(), "removed at the end");
}

#[test]
fn a_file_that_is_no_socket_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notes.txt");
    std::fs::write(&path, "precious").unwrap();
    let error = Server::bind(&Config {
        listen: vec![ListenAddr::Unix(path.clone())],
        ..config()
    })
    .unwrap_err()
    .to_string();
    assert!(error.contains("no socket"), "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), b"precious");
}

#[test]
fn a_socket_file_that_somebody_else_has_made_since_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bookend.sock");
    let gateway = Gateway::start(&Config {
        listen: vec![ListenAddr::Unix(path.clone())],
        ..config()
    });
    let next = folder.path().join("next.sock");
    let _successor = UnixListener::bind(&next).unwrap();
    std::fs::rename(&next, &path).unwrap();
    gateway.join().unwrap();
    assert!(path.exists());
}

#[test]
fn an_address_that_cannot_be_had_is_an_error_that_names_it() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o700)).unwrap();
    let missing = folder.path().join("missing/bookend.sock");
    for addr in [tcp([192, 0, 2, 1], 0), ListenAddr::Unix(missing)] {
        let error = Server::bind(&Config {
            listen: vec![addr.clone()],
            ..config()
        })
        .unwrap_err()
        .to_string();
        assert!(
            error.starts_with(&format!("cannot listen on {addr}: ")),
            "{error}"
        );
    }
}
