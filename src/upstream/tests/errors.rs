//! Each way in which an origin can fail, and what it is called.

use super::*;

/// What the origin sends after the request's head, before it closes.
async fn answer_and_close(bytes: &str) -> (Result<Response<UpstreamBody>, Error>, Worker) {
    let (origin, worker) = start(|config| {
        config.max_head = 8 << 10;
        config.max_fields = 100;
    })
    .await;
    let script = async { drop(origin.sends(bytes).await) };
    let (_, response) = exchange(script, worker.get("/")).await;
    (response, worker)
}

#[test]
fn a_malformed_head_has_the_error_kind_of_its_fault() {
    use ErrorKind::{ConnectionTerminated, ResponseHeadTooLarge, ResponseProtocol};
    let long = format!("HTTP/1.1 200 OK\r\nX-Long: {}\r\n\r\n", "x".repeat(9 << 10));
    let endless = format!("HTTP/1.1 200 OK\r\nX-Endless: {}", "x".repeat(9 << 10));
    let fields = |count: usize| {
        let fields: String = (0..count).map(|at| format!("X-{at}: y\r\n")).collect();
        format!("HTTP/1.1 204 No Content\r\n{fields}\r\n")
    };
    let table: &[(&str, Option<ErrorKind>)] = &[
        ("", Some(ConnectionTerminated)),
        ("HTTP/1.1 200 OK", Some(ConnectionTerminated)),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n",
            Some(ConnectionTerminated),
        ),
        ("hello\r\n\r\n", Some(ResponseProtocol)),
        ("HTTP/1.1 OK\r\n\r\n", Some(ResponseProtocol)),
        ("HTTP/2.0 200 OK\r\n\r\n", Some(ResponseProtocol)),
        (
            "HTTP/1.1 200 OK\r\nNo colon\r\n\r\n",
            Some(ResponseProtocol),
        ),
        (
            "HTTP/1.1 200 OK\r\nX: folded\r\n line\r\n\r\n",
            Some(ResponseProtocol),
        ),
        (
            "HTTP/1.1 200 OK\r\nX: nul\0\r\n\r\n",
            Some(ResponseProtocol),
        ),
        ("\x16\x03\x01\x02\0\x01\0", Some(ResponseProtocol)),
        (&long, Some(ResponseHeadTooLarge)),
        (&endless, Some(ResponseHeadTooLarge)),
        (&fields(100), None),
        (&fields(101), Some(ResponseHeadTooLarge)),
        (
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
            Some(ResponseProtocol),
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 2, 3\r\n\r\nok",
            Some(ResponseProtocol),
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
            Some(ResponseProtocol),
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nok",
            Some(ResponseProtocol),
        ),
        (
            "HTTP/1.1 304 Not Modified\r\nContent-Length: two\r\n\r\n",
            Some(ResponseProtocol),
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            Some(ResponseProtocol),
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
            Some(ResponseProtocol),
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\n",
            Some(ResponseProtocol),
        ),
        (
            "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            Some(ResponseProtocol),
        ),
        ("HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nok", None),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok", None),
        (
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
            None,
        ),
        ("HTTP/1.1 100 Continue\r\n\r\n", Some(ConnectionTerminated)),
    ];
    run(async {
        for (bytes, expected) in table {
            let (response, _) = answer_and_close(bytes).await;
            assert_eq!(kind(response), *expected, "{bytes:.80}");
        }
    });
}

#[test]
fn an_error_keeps_its_side_and_its_cause() {
    run(async {
        let (response, worker) = answer_and_close("nonsense\r\n\r\n").await;
        let error = response.expect_err("nonsense");
        assert_eq!(error.side(), crate::error::Side::Upstream);
        assert!(std::error::Error::source(&error).is_some());
        assert_eq!(worker.counters.errors.value(), 1);
    });
}

#[test]
fn a_reset_is_a_terminated_connection_before_and_within_the_head() {
    run(async {
        for bytes in ["", "HTTP/1.1 200 OK\r\nX"] {
            let (origin, worker) = start(|_| {}).await;
            let script = async {
                let mut peer = origin.accept().await;
                peer.head().await;
                peer.send(bytes).await;
                peer.reset();
            };
            let (_, response) = exchange(script, worker.get("/")).await;
            assert_eq!(
                kind(response),
                Some(ErrorKind::ConnectionTerminated),
                "{bytes}"
            );
        }
    });
}

#[test]
fn a_port_without_a_listener_refuses() {
    run(async {
        let (origin, worker) = start(|_| {}).await;
        drop(origin);
        assert_eq!(
            kind(worker.get("/").await),
            Some(ErrorKind::ConnectionRefused)
        );
        assert_eq!(worker.counters.connections.value(), 0);
    });
}

#[test]
fn a_name_that_does_not_resolve_is_a_dns_error() {
    run(async {
        let server = ServerUrl {
            endpoint: crate::config::Endpoint::Http {
                host: "no..such..name".to_owned(),
                port: 80,
            },
            base_path: String::new(),
        };
        let worker = Worker::new(&config(vec![server]));
        assert_eq!(kind(worker.get("/").await), Some(ErrorKind::Dns));
    });
}

#[test]
fn a_connection_that_is_not_accepted_times_out() {
    run(async {
        // A listener with a full backlog lets further SYNs wait.
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)
            .expect("a socket");
        let any: std::net::SocketAddr = "127.0.0.1:0".parse().expect("an address");
        socket.bind(&any.into()).expect("a free port");
        socket.listen(0).expect("a listener");
        let address = socket
            .local_addr()
            .expect("an address")
            .as_socket()
            .expect("an IP address");
        let mut backlog = Vec::new();
        while let Ok(Ok(stream)) = tokio::time::timeout(
            Duration::from_millis(50),
            tokio::net::TcpStream::connect(address),
        )
        .await
        {
            backlog.push(stream);
        }
        let server = ServerUrl {
            endpoint: crate::config::Endpoint::Http {
                host: "127.0.0.1".to_owned(),
                port: address.port(),
            },
            base_path: String::new(),
        };
        let mut config = config(vec![server]);
        config.connect_timeout = Duration::from_millis(50);
        let worker = Worker::new(&config);
        assert_eq!(
            kind(worker.get("/").await),
            Some(ErrorKind::ConnectionTimeout)
        );
    });
}

#[test]
fn a_response_that_does_not_come_times_out_and_interim_ones_do_not_help() {
    run(async {
        let table = [
            ("", ""),
            ("", "HTTP/1.1 100 Continue\r\n\r\n"),
            ("HTTP/1.1 200 OK\r\n", "X: y\r\n"),
        ];
        for (first, endless) in table {
            let (origin, worker) = start(|config| {
                config.response_timeout = Duration::from_millis(100);
            })
            .await;
            let script = async {
                let mut peer = origin.accept().await;
                peer.head().await;
                peer.send(first).await;
                while !peer.closed_within(Duration::from_millis(5)).await {
                    // The gateway may close at any moment.
                    let _ = peer.try_send(endless).await;
                }
            };
            let (_, response) = exchange(script, worker.get("/")).await;
            assert_eq!(
                kind(response),
                Some(ErrorKind::ResponseTimeout),
                "{endless}"
            );
        }
    });
}
