//! What reads and writes a connection changes with its requests: one after another, on the same socket.

use std::future::poll_fn;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

use super::uploads::{data, feed};
use super::*;
use crate::upstream::framing::Framing;
use crate::upstream::http1::connection::Connection;
use crate::upstream::limits::HeadLimits;
use crate::upstream::wire::{Socket, Wire};

/// A connection, and its other end.
fn connected() -> (Connection, UnixStream) {
    let (ours, theirs) = UnixStream::pair().expect("sockets");
    let wire = Wire::new(Socket::Unix(ours), None);
    (
        Connection::new(
            wire,
            HeadLimits {
                bytes: 64 << 10,
                fields: 100,
            },
            None,
        ),
        theirs,
    )
}

/// Sends `body`, and reads a response whose content has two bytes.
async fn exchange(connection: &mut Connection, body: RequestBody) -> Bytes {
    let mut request = request(Method::PUT, "/books/1", body);
    crate::upstream::request_head::frame(&mut request);
    let response = connection.exchange(request, HANG).await;
    let mut incoming = response
        .expect("a response")
        .into_body()
        .framed(Framing::Length(2));
    let mut content = Vec::new();
    while !incoming.is_end_stream() {
        let frame = poll_fn(|cx| connection.poll_frame(&mut incoming, None, cx)).await;
        let Some(frame) = frame else { break };
        content.extend(frame.expect("content").into_data().expect("data"));
    }
    content.into()
}

/// Reads up to `end`.
async fn asked(peer: &mut UnixStream, end: &[u8]) -> Vec<u8> {
    let mut request = Vec::new();
    while !request.ends_with(end) {
        request.push(peer.read_u8().await.expect("a request"));
    }
    request
}

/// Reads up to `end`, and answers `ok`.
async fn answer(peer: &mut UnixStream, end: &[u8]) -> Vec<u8> {
    let request = asked(peer, end).await;
    let response = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    peer.write_all(response).await.expect("an open connection");
    request
}

#[test]
fn one_connection_carries_requests_with_content_and_without_by_turns() {
    run(async {
        let (mut connection, mut peer) = connected();
        let stream = || {
            let (feed, stream) = feed(None);
            feed.send(data("book")).expect("a reader");
            RequestBody::Stream(stream)
        };
        for round in 0..2 {
            let table: [(RequestBody, &[u8]); 4] = [
                (RequestBody::Empty, b"content-length: 0\r\n\r\n"),
                (RequestBody::Full("book".into()), b"\r\n\r\nbook"),
                (stream(), b"\r\n\r\n4\r\nbook\r\n0\r\n\r\n"),
                (RequestBody::Empty, b"content-length: 0\r\n\r\n"),
            ];
            for (body, end) in table {
                let sent = exchange(&mut connection, body);
                let (request, content) = tokio::join!(answer(&mut peer, end), sent);
                let request = String::from_utf8_lossy(&request).into_owned();
                assert!(
                    request.starts_with("PUT /books/1 HTTP/1.1\r\n"),
                    "{request}"
                );
                assert_eq!(content, "ok");
                assert!(connection.is_ready(), "round {round}");
                assert!(connection.end_exchange());
                assert!(connection.is_native(), "round {round}");
            }
        }
    });
}

#[test]
fn a_connection_changes_its_engine_when_all_is_written_and_not_before() {
    const LENGTH: usize = 4 << 20;
    run(async {
        let (mut connection, mut peer) = connected();
        let large = RequestBody::Full(vec![b'x'; LENGTH].into());
        let early = answer(&mut peer, b"\r\n\r\n");
        let (_, content) = tokio::join!(early, exchange(&mut connection, large));
        assert_eq!(
            content, "ok",
            "the response overtakes the request's content"
        );
        assert!(!connection.is_ready(), "most of the request is still here");
        let rest = async {
            let mut content = vec![0; LENGTH];
            peer.read_exact(&mut content).await.expect("content");
            assert!(content.iter().all(|octet| *octet == b'x'));
        };
        let ((), settled) = tokio::join!(rest, connection.finish_sending(HANG, None));
        settled.expect("an open connection");
        assert!(connection.end_exchange());
        assert!(connection.is_native());
        let next = answer(&mut peer, b"\r\n\r\n");
        let (next, content) = tokio::join!(next, exchange(&mut connection, RequestBody::Empty));
        assert!(next.starts_with(b"PUT /books/1 HTTP/1.1\r\n"));
        assert_eq!(content, "ok");
    });
}

#[test]
fn what_comes_before_a_request_is_no_answer_to_it() {
    run(async {
        // In a task as the gateway's are: it may be polled again before the runtime looks at its sockets.
        let task = tokio::task::spawn_local(async {
            let (mut connection, mut peer) = connected();
            let first = answer(&mut peer, b"\r\n\r\n");
            tokio::join!(first, exchange(&mut connection, RequestBody::Empty));
            let unasked = b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n";
            peer.write_all(unasked).await.expect("an open connection");
            let answer = connection.exchange(get("/books/1"), HANG).await;
            let unanswered = answer.expect_err("no answer");
            assert_eq!(unanswered.error.kind(), ErrorKind::ConnectionTerminated);
            assert!(unanswered.unsent.is_some(), "nothing of it was written");
            drop(connection);
            let mut sent = Vec::new();
            let _ = peer.read_to_end(&mut sent).await;
            assert_eq!(sent, b"");
        });
        task.await.expect("a task");
    });
}

#[test]
fn a_response_is_read_though_the_rest_of_its_request_cannot_be_written() {
    run(async {
        let (mut connection, mut peer) = connected();
        let mut request = get("/books/1");
        let cookie = http::HeaderValue::from_str(&"x".repeat(4 << 20)).expect("a value");
        request.headers_mut().insert(http::header::COOKIE, cookie);
        let refusal = async move {
            let mut some = [0; 8 << 10];
            peer.read_exact(&mut some).await.expect("a request");
            let large = b"HTTP/1.1 431 Too Large\r\nContent-Length: 5\r\n\r\nlarge";
            peer.write_all(large).await.expect("an open connection");
            // With octets unread, which tells the other side that they were not taken.
            drop(peer);
        };
        let ((), answer) = tokio::join!(refusal, connection.exchange(request, HANG));
        let answer = answer.expect("an answer");
        assert_eq!(answer.status(), 431);
        let mut incoming = answer.into_body().framed(Framing::Length(5));
        let frame = poll_fn(|cx| connection.poll_frame(&mut incoming, None, cx)).await;
        let data = frame.expect("a frame").expect("content").into_data();
        assert_eq!(data.expect("data"), "large");
        assert!(!connection.is_ready());
    });
}

#[test]
fn a_connection_is_kept_only_where_nothing_more_can_come_of_its_response() {
    let table = [
        ("HTTP/1.1 204 No Content\r\n\r\n", true),
        ("HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", true),
        (
            "HTTP/1.1 204 No Content\r\nContent-Length: 58\r\n\r\n",
            false,
        ),
        (
            "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n",
            false,
        ),
        (
            "HTTP/1.1 304 Not Modified\r\nContent-Length: 58\r\n\r\n",
            true,
        ),
        (
            "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
            true,
        ),
        (
            "HTTP/1.1 103 Early Hints\r\nConnection: close\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
            false,
        ),
        (
            "HTTP/1.1 103 Early Hints\r\nContent-Length: 9\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
            false,
        ),
        (
            "HTTP/1.1 204 No Content\r\nConnection: a\"b, close\r\n\r\n",
            false,
        ),
        (
            "HTTP/1.1 204 No Content\r\nConnection: keep-alive , CLOSE\r\n\r\n",
            false,
        ),
        ("HTTP/1.0 204 No Content\r\n\r\n", false),
        ("\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n", true),
    ];
    run(async {
        for (octets, kept) in table {
            let (mut connection, mut peer) = connected();
            let octet_by_octet = async {
                asked(&mut peer, b"\r\n\r\n").await;
                for octet in octets.bytes() {
                    peer.write_u8(octet).await.expect("an open connection");
                    tokio::task::yield_now().await;
                }
            };
            let exchange = connection.exchange(get("/books/1"), HANG);
            let ((), answer) = tokio::join!(octet_by_octet, exchange);
            answer.unwrap_or_else(|_| panic!("{octets}"));
            assert_eq!(connection.is_ready(), kept, "{octets}");
        }
    });
}
