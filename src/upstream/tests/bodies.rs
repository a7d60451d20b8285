//! Content that comes from upstream: where it ends, who says so, and how it breaks off.

use std::future::Future as _;
use std::pin::{Pin, pin};

use http_body::Body as _;

use super::*;
use crate::clock::timer_now;
use crate::turn::tests::late;
use crate::upstream::Framing;

/// What the origin sends, and what became of the content: how many bytes came, how it was framed, whether its end
/// counts as verified, and the failure if there was one.
struct Outcome {
    content: Vec<u8>,
    framing: Framing,
    verified: bool,
    trailers: bool,
    failure: Option<ErrorKind>,
}

async fn read_all(response: Response<UpstreamBody>) -> Outcome {
    let mut body = response.into_body();
    let mut outcome = Outcome {
        content: Vec::new(),
        framing: body.framing(),
        verified: false,
        trailers: false,
        failure: None,
    };
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => match frame.into_data() {
                Ok(data) => outcome.content.extend_from_slice(&data),
                Err(_trailers) => outcome.trailers = true,
            },
            Err(error) => outcome.failure = Some(error.kind()),
        }
    }
    assert_eq!(body.received(), outcome.content.len() as u64);
    outcome.verified = body.end_verified();
    outcome
}

async fn outcome(bytes: &str, reset: bool) -> Outcome {
    let (origin, worker) = start(|_| {}).await;
    let script = async {
        let mut peer = origin.accept().await;
        peer.head().await;
        peer.send(bytes).await;
        if reset { peer.reset() } else { drop(peer) }
    };
    let (_, response) = exchange(script, worker.get("/")).await;
    read_all(response.expect("a head")).await
}

#[test]
fn an_end_is_verified_only_where_the_message_states_it() {
    use ErrorKind::{ResponseIncomplete, ResponseProtocol};
    use Framing::{Chunked, Close, Empty, Length};
    let table = [
        (
            "Content-Length: 4\r\n\r\nbook",
            Length(4),
            "book",
            true,
            None,
        ),
        (
            "Content-Length: 5\r\n\r\nbook",
            Length(5),
            "book",
            false,
            Some(ResponseIncomplete),
        ),
        ("Content-Length: 0\r\n\r\n", Empty, "", true, None),
        (
            "Transfer-Encoding: chunked\r\n\r\n4\r\nbook\r\n0\r\n\r\n",
            Chunked,
            "book",
            true,
            None,
        ),
        (
            "Transfer-Encoding: chunked\r\n\r\n4\r\nbook\r\n0\r\n",
            Chunked,
            "book",
            false,
            Some(ResponseIncomplete),
        ),
        (
            "Transfer-Encoding: chunked\r\n\r\n4\r\nbook\r\n",
            Chunked,
            "book",
            false,
            Some(ResponseIncomplete),
        ),
        (
            "Transfer-Encoding: chunked\r\n\r\n9\r\nbook",
            Chunked,
            "book",
            false,
            Some(ResponseIncomplete),
        ),
        (
            "Transfer-Encoding: chunked\r\n\r\n4\r\nbook\r\nzz\r\n",
            Chunked,
            "book",
            false,
            Some(ResponseProtocol),
        ),
        ("\r\nbook", Close, "book", false, None),
        ("Connection: close\r\n\r\n", Close, "", false, None),
    ];
    run(async {
        for (bytes, framing, content, verified, failure) in table {
            let outcome = outcome(&format!("HTTP/1.1 200 OK\r\n{bytes}"), false).await;
            assert_eq!(outcome.framing, framing, "{bytes}");
            assert_eq!(outcome.content, content.as_bytes(), "{bytes}");
            assert_eq!(outcome.verified, verified, "{bytes}");
            assert_eq!(outcome.failure, failure, "{bytes}");
        }
    });
}

#[test]
fn an_http_1_0_response_ends_with_its_connection() {
    run(async {
        let outcome = outcome("HTTP/1.0 200 OK\r\n\r\nbook", false).await;
        assert_eq!((outcome.framing, outcome.verified), (Framing::Close, false));
        assert_eq!(outcome.content, b"book");
    });
}

#[test]
fn a_reset_within_content_is_an_incomplete_response() {
    run(async {
        for fields in [
            "Content-Length: 9\r\n",
            "Transfer-Encoding: chunked\r\n",
            "",
        ] {
            let (origin, worker) = start(|_| {}).await;
            let (peer, response) = exchange(
                origin.sends(&format!("HTTP/1.1 200 OK\r\n{fields}\r\n")),
                worker.get("/"),
            )
            .await;
            peer.reset();
            let outcome = read_all(response.expect("a head")).await;
            assert_eq!(
                outcome.failure,
                Some(ErrorKind::ResponseIncomplete),
                "{fields}"
            );
            assert!(!outcome.verified);
            assert_eq!(worker.counters.errors.value(), 1);
        }
    });
}

#[test]
fn trailers_come_through_and_are_the_end() {
    run(async {
        let bytes = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: x-sum\r\n\r\n\
                     2\r\nok\r\n0\r\nX-Sum: 7\r\n\r\n";
        let outcome = outcome(bytes, false).await;
        assert!(outcome.trailers && outcome.verified);
    });
}

#[test]
fn responses_without_content_free_their_connection_at_once() {
    let table = [
        (Method::HEAD, "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n"),
        (
            Method::HEAD,
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        ),
        (Method::GET, "HTTP/1.1 204 No Content\r\n\r\n"),
        (
            Method::GET,
            "HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n",
        ),
        (Method::GET, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
    ];
    run(async {
        for (method, bytes) in table {
            let (origin, worker) = start(|config| config.max_connections = 1).await;
            let script = async {
                let mut peer = origin.accept().await;
                for _ in 0..2 {
                    peer.head().await;
                    peer.send(bytes).await;
                }
                peer
            };
            let exchanges = async {
                let ask = || request(method.clone(), "/", RequestBody::Empty);
                let first = worker.send(ask()).await.expect("a response");
                let second = worker.send(ask()).await.expect("a response");
                // The first body still lives: it holds nothing.
                assert!(http_body::Body::is_end_stream(first.body()), "{bytes}");
                assert!(second.body().end_verified(), "{bytes}");
            };
            exchange(script, exchanges).await;
        }
    });
}

#[test]
fn the_size_hint_is_the_length_that_is_left() {
    run(async {
        let (origin, worker) = start(|_| {}).await;
        let (mut peer, response) = exchange(
            origin.sends("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nbo"),
            worker.get("/"),
        )
        .await;
        let mut body = response.expect("a head").into_body();
        assert_eq!(http_body::Body::size_hint(&body).exact(), Some(6));
        let mut left = 6;
        while left > 4 {
            let frame = body.frame().await.expect("a frame").expect("no failure");
            left -= frame.into_data().expect("data").len() as u64;
        }
        assert_eq!(http_body::Body::size_hint(&body).exact(), Some(4));
        peer.send("oks!").await;
        while let Some(frame) = body.frame().await {
            frame.expect("no failure");
        }
        assert!(body.end_verified());
        assert_eq!(worker.counters.bytes_received.value(), 6);
    });
}

#[test]
fn a_body_that_is_dropped_early_closes_its_connection() {
    run(async {
        let (origin, worker) = start(|_| {}).await;
        let (mut peer, response) = exchange(
            origin.sends("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nboo"),
            worker.get("/"),
        )
        .await;
        drop(response.expect("a head"));
        peer.closed().await;
        assert_eq!(worker.counters.connections.value(), 0);
    });
}

#[test]
fn data_that_the_task_had_no_turn_to_read_is_no_stall() {
    const SHORT: Duration = Duration::from_millis(150);
    run(async {
        let (origin, worker) = start(|config| {
            config.response_timeout = SHORT;
            config.body_timeout = SHORT;
        })
        .await;
        let script = origin.sends("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n");
        let mut asking = pin!(worker.get("/"));
        let mut peer = tokio::select! {
            _ = &mut asking => unreachable!("the head has only just been sent"),
            peer = script => peer,
        };
        let end = timer_now() + 2 * SHORT;
        while timer_now() < end {
            assert!(late(|cx| asking.as_mut().poll(cx)).await.is_pending());
        }
        let mut body = asking.await.expect("a head").into_body();
        peer.send("book").await;
        let end = timer_now() + 2 * SHORT;
        while timer_now() < end {
            let late = late(|cx| Pin::new(&mut body).poll_frame(cx)).await;
            assert!(late.is_pending(), "{late:?}");
        }
        let content = body.collect().await.expect("no failure").to_bytes();
        assert_eq!(content, "book");
    });
}

#[test]
fn a_slow_reader_is_no_stall() {
    run(async {
        let (origin, worker) = start(|config| {
            config.body_timeout = Duration::from_millis(30);
        })
        .await;
        let (_peer, response) = exchange(
            origin.sends("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbook"),
            worker.get("/"),
        )
        .await;
        tokio::time::sleep(Duration::from_millis(60)).await;
        let outcome = read_all(response.expect("a head")).await;
        assert_eq!((outcome.failure, outcome.verified), (None, true));
    });
}

#[test]
fn a_connection_is_free_with_the_last_byte_and_with_the_trailers() {
    run(async {
        for bytes in [
            "Content-Length: 2\r\n\r\nok",
            "Transfer-Encoding: chunked\r\n\r\n0\r\nX-Sum: 7\r\n\r\n",
        ] {
            let (origin, worker) = start(|config| config.max_connections = 1).await;
            let script = async {
                let mut peer = origin.accept().await;
                for _ in 0..2 {
                    peer.head().await;
                    peer.send(&format!("HTTP/1.1 200 OK\r\n{bytes}")).await;
                }
                peer
            };
            let exchanges = async {
                let mut first = worker.get("/").await.expect("a response").into_body();
                first.frame().await.expect("a frame").expect("no failure");
                // The end of the first has not been read yet.
                worker.get("/").await.expect("a response");
                assert!(first.end_verified());
            };
            exchange(script, exchanges).await;
        }
    });
}
