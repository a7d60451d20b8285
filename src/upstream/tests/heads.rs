//! The request's head as the server gets it: target, Host, framing; and the response's head as it comes out.

use super::*;
use crate::config::HostPolicy;
use crate::upstream::OnInterim;

/// The head that the origin sees of `request`.
async fn seen(request: Request<RequestBody>, change: impl FnOnce(&mut Upstream)) -> String {
    let origin = Origin::start().await;
    let worker = worker(&origin, change);
    let (head, response) = exchange(origin.answers(""), worker.send(request)).await;
    response.expect("a response");
    head
}

#[test]
fn the_base_path_stands_before_the_target() {
    let table = [
        ("", "/books/1?page=2", "/books/1?page=2"),
        ("", "*", "*"),
        ("/api", "/books/1", "/api/books/1"),
        ("/api", "/", "/api/"),
        ("/api", "/?page=2", "/api/?page=2"),
        (
            "/api/v1",
            "/books//1?q=a%2Fb&q=",
            "/api/v1/books//1?q=a%2Fb&q=",
        ),
        ("/api", "*", "*"),
        ("/api", "http://books.example/books/1", "/api/books/1"),
        ("", "http://books.example", "/"),
    ];
    run(async {
        for (base, target, expected) in table {
            let head = seen(
                request(Method::OPTIONS, target, RequestBody::Empty),
                |config| {
                    config.servers[0].base_path = base.to_owned();
                },
            )
            .await;
            assert!(
                head.starts_with(&format!("OPTIONS {expected} HTTP/1.1\r\n")),
                "{head}"
            );
        }
    });
}

#[test]
fn host_is_the_clients_or_the_servers() {
    run(async {
        let head = seen(get("/"), |_| {}).await;
        assert!(head.contains("host: books.example\r\n"), "{head}");
        let head = seen(get("/"), |config| config.host = HostPolicy::Upstream).await;
        assert!(head.contains("host: 127.0.0.1:"), "{head}");
        assert!(!head.contains("books.example"), "{head}");
        let mut nameless = get("/");
        nameless.headers_mut().remove("host");
        let head = seen(nameless, |_| {}).await;
        assert!(head.contains("host: 127.0.0.1:"), "{head}");
    });
}

#[test]
fn content_in_memory_is_framed_by_its_length_whatever_the_client_said() {
    let full = || RequestBody::Full(Bytes::from_static(b"title"));
    let table = [
        (Method::POST, full(), Some("content-length: 5\r\n")),
        (Method::GET, full(), Some("content-length: 5\r\n")),
        (
            Method::POST,
            RequestBody::Empty,
            Some("content-length: 0\r\n"),
        ),
        (
            Method::PUT,
            RequestBody::Full(Bytes::new()),
            Some("content-length: 0\r\n"),
        ),
        (Method::GET, RequestBody::Empty, None),
        (Method::DELETE, RequestBody::Empty, None),
    ];
    run(async {
        for (method, body, expected) in table {
            let mut request = request(method.clone(), "/", body);
            request
                .headers_mut()
                .insert("content-length", "77".parse().expect("a value"));
            request
                .headers_mut()
                .insert("transfer-encoding", "chunked".parse().expect("a value"));
            let head = seen(request, |_| {}).await;
            assert!(!head.contains("transfer-encoding"), "{head}");
            match expected {
                Some(field) => assert!(head.contains(field), "{method} {head}"),
                None => assert!(!head.contains("content-length"), "{method} {head}"),
            }
        }
    });
}

#[test]
fn a_request_of_another_version_goes_out_as_http_1_1() {
    run(async {
        for version in [
            http::Version::HTTP_10,
            http::Version::HTTP_2,
            http::Version::HTTP_3,
        ] {
            let mut request = get("/");
            *request.version_mut() = version;
            let head = seen(request, |_| {}).await;
            assert!(head.starts_with("GET / HTTP/1.1\r\n"), "{head}");
        }
    });
}

#[test]
fn framing_fields_of_a_response_are_left_unambiguous() {
    let table = [
        (
            "Content-Length: 2, 2\r\nContent-Length: 2\r\n\r\nok",
            Some("2"),
        ),
        (
            "Transfer-Encoding: Chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
            None,
        ),
    ];
    run(async {
        for (bytes, length) in table {
            let (origin, worker) = start(|_| {}).await;
            let (_peer, response) = exchange(
                origin.sends(&format!("HTTP/1.1 200 OK\r\n{bytes}")),
                worker.get("/"),
            )
            .await;
            let response = response.expect("a response");
            assert!(!response.headers().contains_key("transfer-encoding"));
            let lengths: Vec<_> = response
                .headers()
                .get_all("content-length")
                .iter()
                .collect();
            assert_eq!(lengths, length.iter().collect::<Vec<_>>());
            assert_eq!(read(response).await.expect("content"), "ok");
        }
    });
}

#[test]
fn a_response_tells_which_server_gave_it() {
    run(async {
        let (origin, worker) =
            start(|config| config.servers[0].base_path = "/api".to_owned()).await;
        let (_, response) = exchange(origin.answers("ok"), worker.get("/")).await;
        let response = response.expect("a response");
        let server = response.body().server();
        assert_eq!(server.authority(), format!("127.0.0.1:{}", origin.port()));
        assert_eq!((server.scheme(), server.base_path()), ("http", "/api"));
    });
}

#[test]
fn interim_responses_go_to_the_callback_only() {
    run(async {
        let (origin, worker) = start(|_| {}).await;
        let script = async {
            let mut peer = origin.accept().await;
            peer.head().await;
            peer.send("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
                .await;
            peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                .await;
            peer
        };
        let hints = Arc::new(std::sync::Mutex::new(Vec::new()));
        let mut request = get("/");
        let log = hints.clone();
        OnInterim::put(&mut request, move |status, _| {
            log.lock().expect("a log").push(status.as_u16());
        });
        let (_peer, response) = exchange(script, worker.send(request)).await;
        let response = response.expect("a response");
        assert_eq!(response.status(), 200);
        assert!(!response.headers().contains_key("link"));
        assert_eq!(*hints.lock().expect("a log"), [103]);
    });
}

#[test]
fn a_connection_that_switches_protocols_leaves_the_pool_with_its_place_in_the_cap() {
    run(async {
        let (origin, worker) = start(|_| {}).await;
        let script = async {
            let mut peer = origin.accept().await;
            peer.head().await;
            peer.send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\n\r\n")
                .await;
            let said = peer.content(5).await;
            assert_eq!(said, b"hello");
            peer
        };
        let client = async {
            let mut request = get("/");
            request
                .headers_mut()
                .insert("upgrade", "echo".parse().expect("a value"));
            request
                .headers_mut()
                .insert("connection", "upgrade".parse().expect("a value"));
            let response = worker.send(request).await.expect("a response");
            let mut tunnel = response.into_body().into_tunnel().await.expect("a tunnel");
            tokio::io::AsyncWriteExt::write_all(&mut tunnel, b"hello")
                .await
                .expect("open");
            tunnel
        };
        let (mut peer, tunnel) = exchange(script, client).await;
        let server = worker.upstreams.0[0].pools[0].server().clone();
        assert_eq!(worker.counters.connections.value(), 1);
        assert_eq!(server.load(), 1);
        drop(tunnel);
        assert_eq!(server.load(), 0);
        peer.closed().await;
        assert_eq!(worker.counters.connections.value(), 0);
    });
}
