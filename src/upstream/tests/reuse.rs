//! Which connection carries the next request, and what happens when it is dead.

use super::*;

#[test]
fn a_connection_is_used_again_once_the_response_has_been_read() {
    run(async {
        let (origin, worker) = start(|_| {}).await;
        let script = async {
            let mut peer = origin.accept().await;
            peer.answer("one").await;
            peer.answer("two").await;
            peer
        };
        let exchanges = async {
            assert_eq!(read(worker.get("/1").await?).await?, "one");
            assert_eq!(read(worker.get("/2").await?).await?, "two");
            Ok::<_, Error>(())
        };
        let (_peer, done) = exchange(script, exchanges).await;
        done.expect("two answers");
        assert_eq!(worker.counters.connects.value(), 1);
        assert_eq!(worker.counters.connections.value(), 1);
    });
}

/// Two connections that carry a request each, and are idle afterwards in the order of `finish`.
async fn two_idle(origin: &Origin, worker: &Worker) -> [Peer<tokio::net::TcpStream>; 2] {
    let script = async {
        let mut first = origin.accept().await;
        let mut second = origin.accept().await;
        first.answer("a").await;
        second.answer("b").await;
        [first, second]
    };
    let ([first, second], a, b) = tokio::join!(script, worker.get("/a"), worker.get("/b"));
    read(a.expect("a response")).await.expect("content");
    read(b.expect("a response")).await.expect("content");
    assert_eq!(worker.counters.connects.value(), 2);
    [first, second]
}

#[test]
fn the_connection_used_last_is_taken_first() {
    run(async {
        let (origin, worker) = start(|_| {}).await;
        let [_first, mut second] = two_idle(&origin, &worker).await;
        for _ in 0..3 {
            let (_, response) = tokio::join!(second.answer("again"), worker.get("/"));
            content(response).await;
        }
    });
}

#[test]
fn no_more_connections_than_max_idle_are_kept_and_the_oldest_leaves() {
    run(async {
        let (origin, worker) = start(|config| config.max_idle = 1).await;
        let [mut first, mut second] = two_idle(&origin, &worker).await;
        first.closed().await;
        let (_, response) = tokio::join!(second.answer("kept"), worker.get("/"));
        assert_eq!(content(response).await, "kept");
    });
}

#[test]
fn a_connection_idle_for_too_long_is_closed_by_itself() {
    run(async {
        let (origin, worker) = start(|config| {
            config.idle_timeout = Duration::from_millis(100);
        })
        .await;
        let mut peer = idle(&origin, &worker).await;
        worker.time.advance(Duration::from_millis(100));
        peer.closed().await;
    });
}

#[test]
fn a_connection_idle_for_too_long_is_not_used_even_before_the_sweep() {
    run(async {
        let (origin, worker) = start(|_| {}).await;
        let _old = idle(&origin, &worker).await;
        worker.time.advance(Duration::from_secs(4));
        let (_, response) = exchange(origin.answers("fresh"), worker.get("/")).await;
        assert_eq!(content(response).await, "fresh");
    });
}

/// One idle connection.
async fn idle(origin: &Origin, worker: &Worker) -> Peer<tokio::net::TcpStream> {
    let script = async {
        let mut peer = origin.accept().await;
        peer.answer("first").await;
        peer
    };
    let (peer, response) = exchange(script, worker.get("/")).await;
    content(response).await;
    peer
}

/// Lets a pooled connection die with the next request on it, unanswered; then answers one on a new connection, if there is one.
async fn die_then_answer(origin: &Origin, mut peer: Peer<tokio::net::TcpStream>) -> String {
    peer.head().await;
    drop(peer);
    origin.accept().await.answer("second").await
}

#[test]
fn an_idempotent_request_is_sent_once_more_when_the_pooled_connection_was_dead() {
    run(async {
        for method in [Method::GET, Method::PUT, Method::DELETE] {
            let (origin, worker) = start(|_| {}).await;
            let peer = idle(&origin, &worker).await;
            let title = RequestBody::Full(Bytes::from_static(b"new title"));
            let (head, response) = tokio::join!(
                die_then_answer(&origin, peer),
                worker.send(request(method.clone(), "/books/1", title)),
            );
            assert!(
                head.starts_with(&format!("{method} /books/1 HTTP/1.1\r\n")),
                "{head}"
            );
            assert_eq!(content(response).await, "second");
            assert_eq!(worker.counters.retries.value(), 1);
        }
    });
}

#[test]
fn a_request_that_may_have_been_processed_is_not_sent_again() {
    run(async {
        let (origin, worker) = start(|_| {}).await;
        let mut peer = idle(&origin, &worker).await;
        let order = RequestBody::Full(Bytes::from_static(b"an order"));
        let script = async {
            peer.head().await;
            drop(peer);
        };
        let (_, response) =
            exchange(script, worker.send(request(Method::POST, "/orders", order))).await;
        assert_eq!(kind(response), Some(ErrorKind::ConnectionTerminated));
        assert!(!origin.is_called().await);
    });
}

#[test]
fn no_request_goes_to_a_pooled_connection_that_was_closed_before_it_came() {
    run(async {
        let (origin, worker) = start(|_| {}).await;
        drop(idle(&origin, &worker).await);
        let order = RequestBody::Full(Bytes::from_static(b"an order"));
        let script = origin.answers("ordered");
        let order = worker.send(request(Method::POST, "/orders", order));
        let (_, response) = exchange(script, order).await;
        assert_eq!(content(response).await, "ordered");
    });
}

#[test]
fn a_fresh_connection_that_breaks_is_not_tried_again() {
    run(async {
        let (origin, worker) = start(|_| {}).await;
        let script = async {
            origin.accept().await.head().await;
        };
        let (_, response) = exchange(script, worker.get("/")).await;
        assert_eq!(kind(response), Some(ErrorKind::ConnectionTerminated));
        assert!(!origin.is_called().await);
        assert_eq!(worker.counters.errors.value(), 1);
    });
}

#[test]
fn a_second_dead_connection_is_an_error() {
    run(async {
        let (origin, worker) = start(|_| {}).await;
        let mut peer = idle(&origin, &worker).await;
        let script = async {
            peer.head().await;
            drop(peer);
            origin.accept().await.head().await;
        };
        let (_, response) = exchange(script, worker.get("/")).await;
        assert_eq!(kind(response), Some(ErrorKind::ConnectionTerminated));
        assert!(!origin.is_called().await);
    });
}

#[test]
fn a_response_that_had_begun_is_not_asked_for_again() {
    run(async {
        let (origin, worker) = start(|_| {}).await;
        let mut peer = idle(&origin, &worker).await;
        let script = async {
            peer.head().await;
            peer.send("HTTP/1.1 200 OK\r\nContent-Le").await;
            drop(peer);
        };
        let (_, response) = exchange(script, worker.get("/")).await;
        assert_eq!(kind(response), Some(ErrorKind::ConnectionTerminated));
        assert!(!origin.is_called().await);
    });
}

#[test]
fn connections_that_must_not_be_kept_are_closed() {
    let table = [
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        // hyper would keep this one, and then lose the content of the next chunked request on it.
        "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok",
        // Bytes beyond the end: whose would they be?
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n\r\n",
    ];
    run(async {
        for bytes in table {
            let (origin, worker) = start(|_| {}).await;
            let (mut peer, response) = exchange(origin.sends(bytes), worker.get("/")).await;
            assert_eq!(content(response).await, "ok", "{bytes}");
            peer.closed().await;
            let (_, response) = exchange(origin.answers("new"), worker.get("/")).await;
            assert!(response.is_ok(), "{bytes}");
        }
    });
}

#[test]
fn a_request_that_is_given_up_closes_its_connection() {
    run(async {
        let (origin, worker) = start(|_| {}).await;
        let mut exchange = Box::pin(worker.get("/slow"));
        let mut peer = tokio::select! {
            _ = &mut exchange => panic!("nobody has answered"),
            peer = async {
                let mut peer = origin.accept().await;
                peer.head().await;
                peer
            } => peer,
        };
        drop(exchange);
        peer.closed().await;
    });
}

#[test]
fn clones_share_their_connections() {
    run(async {
        let (origin, worker) = start(|_| {}).await;
        let mut peer = idle(&origin, &worker).await;
        let clone = worker.upstreams.clone();
        let outgoing = Outgoing {
            upstream: Some(0),
            request: get("/"),
            idempotent: true,
            response_timeout: None,
            max_retries: None,
            hash: None,
            waiting: None,
            trace: None,
        };
        let (_, response) = tokio::join!(peer.answer("same"), clone.send(outgoing));
        assert!(response.is_ok());
    });
}
