//! Content that goes upstream while it arrives.

use std::pin::Pin;
use std::task::{Context, Poll};

use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use tokio::sync::mpsc;

use super::*;
use crate::error::Side;
use crate::upstream::RequestStream;

/// A body whose frames come from a channel; with a length, if one was declared.
pub(super) struct Fed {
    frames: mpsc::UnboundedReceiver<Fallible>,
    length: Option<u64>,
}

pub(super) type BoxError = Box<dyn std::error::Error + Send + Sync>;
pub(super) type Fallible = Result<Frame<Bytes>, BoxError>;
pub(super) type Feed = mpsc::UnboundedSender<Fallible>;

impl Body for Fed {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Fallible>> {
        self.frames.poll_recv(cx)
    }

    fn size_hint(&self) -> SizeHint {
        self.length
            .map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

pub(super) fn feed(length: Option<u64>) -> (Feed, RequestStream) {
    let (sender, frames) = mpsc::unbounded_channel();
    (sender, RequestStream::new(Fed { frames, length }))
}

pub(super) fn data(text: &'static str) -> Fallible {
    Ok(Frame::data(Bytes::from_static(text.as_bytes())))
}

#[test]
fn content_of_unknown_length_goes_out_chunked_even_with_get() {
    run(async {
        for method in [Method::POST, Method::GET] {
            let (origin, worker) = start(|_| {}).await;
            let (feed, stream) = feed(None);
            let script = async {
                let mut peer = origin.accept().await;
                let head = peer.head().await;
                assert!(head.contains("transfer-encoding: chunked\r\n"), "{head}");
                feed.send(data("book")).expect("a reader");
                assert_eq!(peer.content(9).await, b"4\r\nbook\r\n");
                drop(feed);
                assert_eq!(peer.content(5).await, b"0\r\n\r\n");
                peer.send("HTTP/1.1 204 No Content\r\n\r\n").await;
                peer
            };
            let (_peer, response) = exchange(script, worker.upload(method, stream)).await;
            assert_eq!(response.expect("a response").status(), 204);
        }
    });
}

#[test]
fn content_of_known_length_goes_out_with_it() {
    run(async {
        let (origin, worker) = start(|_| {}).await;
        let (feed, stream) = feed(Some(4));
        feed.send(data("book")).expect("a reader");
        drop(feed);
        let script = async {
            let mut peer = origin.accept().await;
            let head = peer.head().await;
            assert!(head.contains("content-length: 4\r\n"), "{head}");
            assert_eq!(peer.content(4).await, b"book");
            peer.send("HTTP/1.1 204 No Content\r\n\r\n").await;
            peer
        };
        let (_peer, response) = exchange(script, worker.upload(Method::PUT, stream)).await;
        assert!(response.is_ok());
    });
}

#[test]
fn trailers_that_were_announced_are_passed_on() {
    run(async {
        let (origin, worker) = start(|_| {}).await;
        let (feed, stream) = feed(None);
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", "7".parse().expect("a value"));
        feed.send(data("book")).expect("a reader");
        feed.send(Ok(Frame::trailers(trailers))).expect("a reader");
        let mut request = request(Method::POST, "/", RequestBody::Stream(stream));
        request
            .headers_mut()
            .insert("trailer", "x-sum".parse().expect("a value"));
        let script = async {
            let mut peer = origin.accept().await;
            peer.head().await;
            assert_eq!(
                peer.content(24).await,
                b"4\r\nbook\r\n0\r\nx-sum: 7\r\n\r\n"
            );
            peer.send("HTTP/1.1 204 No Content\r\n\r\n").await;
            peer
        };
        let (_peer, response) = exchange(script, worker.send(request)).await;
        assert!(response.is_ok());
    });
}

#[test]
fn an_upload_in_progress_outlives_the_response_deadline() {
    run(async {
        let (origin, worker) = start(|config| {
            config.response_timeout = Duration::from_millis(100);
        })
        .await;
        // Another request waits in vain: the deadline has passed since it began.
        let past_the_deadline = async || {
            let no_answer = async { origin.accept().await.closed().await };
            let (_, asked) = tokio::join!(no_answer, worker.get("/"));
            assert_eq!(kind(asked), Some(ErrorKind::ResponseTimeout));
        };
        let (feed, stream) = feed(None);
        let script = async {
            let mut peer = origin.accept().await;
            peer.head().await;
            for _ in 0..3 {
                past_the_deadline().await;
                feed.send(data("book")).expect("a reader");
                assert_eq!(peer.content(9).await, b"4\r\nbook\r\n");
            }
            past_the_deadline().await;
            drop(feed);
            assert_eq!(peer.content(5).await, b"0\r\n\r\n");
            // The deadline begins with the end of the content.
            peer.send("HTTP/1.1 204 No Content\r\n\r\n").await;
            peer
        };
        let (_peer, response) = exchange(script, worker.upload(Method::POST, stream)).await;
        assert_eq!(response.expect("a response").status(), 204);
    });
}

#[test]
fn the_response_deadline_runs_once_the_upload_has_ended() {
    run(async {
        let (origin, worker) = start(|config| {
            config.response_timeout = Duration::from_millis(100);
        })
        .await;
        let (feed, stream) = feed(None);
        let script = async {
            let mut peer = origin.accept().await;
            peer.head().await;
            feed.send(data("book")).expect("a reader");
            drop(feed);
            assert_eq!(peer.content(14).await, b"4\r\nbook\r\n0\r\n\r\n");
            peer.closed().await;
        };
        let (_, response) = exchange(script, worker.upload(Method::POST, stream)).await;
        assert_eq!(kind(response), Some(ErrorKind::ResponseTimeout));
    });
}

#[test]
fn an_origin_that_takes_no_content_is_not_waited_for() {
    run(async {
        let (origin, worker) = start(|config| {
            config.response_timeout = Duration::from_millis(100);
        })
        .await;
        // More than all buffers between the two hold.
        let content = RequestBody::Full(Bytes::from(vec![b'x'; 32 << 20]));
        let script = async {
            let mut peer = origin.accept().await;
            peer.head().await;
            peer
        };
        let upload = worker.send(request(Method::POST, "/", content));
        let (_peer, response) = exchange(script, upload).await;
        assert_eq!(kind(response), Some(ErrorKind::ResponseTimeout));
    });
}

#[test]
fn content_that_breaks_off_is_the_client_s_failure() {
    run(async {
        for end in [Some(Err("broken off".into())), None] {
            let (origin, worker) = start(|_| {}).await;
            let (feed, stream) = feed(Some(9));
            feed.send(data("book")).expect("a reader");
            let script = async {
                let mut peer = origin.accept().await;
                peer.head().await;
                assert_eq!(peer.content(4).await, b"book");
                match end {
                    Some(end) => feed.send(end).expect("a reader"),
                    None => drop(feed),
                }
                peer.closed().await;
            };
            let (_, response) = exchange(script, worker.upload(Method::PUT, stream)).await;
            let error = response.expect_err("half an upload");
            assert_eq!(
                (error.kind(), error.side()),
                (ErrorKind::ClientGone, Side::Downstream)
            );
            assert_eq!(worker.counters.errors.value(), 0);
        }
    });
}

#[test]
fn an_error_of_our_own_within_content_keeps_its_kind() {
    run(async {
        let (origin, worker) = start(|_| {}).await;
        let (feed, stream) = feed(None);
        let too_large = Error::downstream(ErrorKind::ContentTooLarge);
        feed.send(Err(too_large.into())).expect("a reader");
        let script = async { origin.accept().await.closed().await };
        let (_, response) = exchange(script, worker.upload(Method::PUT, stream)).await;
        assert_eq!(kind(response), Some(ErrorKind::ContentTooLarge));
    });
}

/// A worker with one idle connection, whose peer will close it when the next request's head has come.
async fn closing(origin: &Origin) -> (Worker, Peer<tokio::net::TcpStream>) {
    let worker = worker(origin, |_| {});
    let script = async {
        let mut peer = origin.accept().await;
        peer.answer("first").await;
        peer
    };
    let (peer, response) = exchange(script, worker.get("/")).await;
    content(response).await;
    (worker, peer)
}

#[test]
fn a_stream_that_has_not_begun_is_sent_again() {
    run(async {
        let origin = Origin::start().await;
        let (worker, mut peer) = closing(&origin).await;
        let (feed, stream) = feed(None);
        let script = async {
            peer.head().await;
            drop(peer);
            let mut peer = origin.accept().await;
            peer.head().await;
            feed.send(data("book")).expect("a reader");
            drop(feed);
            assert_eq!(peer.content(14).await, b"4\r\nbook\r\n0\r\n\r\n");
            peer.send("HTTP/1.1 204 No Content\r\n\r\n").await;
            peer
        };
        let (_peer, response) = exchange(script, worker.upload(Method::PUT, stream)).await;
        assert_eq!(response.expect("a response").status(), 204);
    });
}

#[test]
fn a_stream_that_has_begun_is_sent_again_if_it_is_kept_and_twice_is_as_good_as_once() {
    run(async {
        for (method, again) in [(Method::PUT, true), (Method::POST, false)] {
            let origin = Origin::start().await;
            let (worker, mut peer) = closing(&origin).await;
            let (feed, stream) = feed(None);
            feed.send(data("a ")).expect("a reader");
            let script = async {
                peer.head().await;
                assert_eq!(peer.content(7).await, b"2\r\na \r\n");
                drop(peer);
                if !again {
                    return None;
                }
                let mut peer = origin.accept().await;
                peer.head().await;
                feed.send(data("book")).expect("a reader");
                drop(feed);
                assert_eq!(peer.content(21).await, b"2\r\na \r\n4\r\nbook\r\n0\r\n\r\n");
                peer.send("HTTP/1.1 204 No Content\r\n\r\n").await;
                Some(peer)
            };
            let (_peer, response) = exchange(script, worker.upload(method, stream)).await;
            if again {
                assert_eq!(response.expect("a response").status(), 204);
            } else {
                assert_eq!(kind(response), Some(ErrorKind::ConnectionTerminated));
                assert!(!origin.is_called().await);
            }
        }
    });
}

#[test]
fn a_stream_of_which_too_much_is_gone_is_not_sent_again() {
    run(async {
        let origin = Origin::start().await;
        let (worker, mut peer) = closing(&origin).await;
        let (feed, stream) = feed(Some(64 << 10));
        for _ in 0..64 {
            let part = Bytes::from(vec![b'x'; 1 << 10]);
            feed.send(Ok(Frame::data(part))).expect("a reader");
        }
        let script = async {
            peer.head().await;
            peer.content(64 << 10).await;
            drop(peer);
        };
        let (_, response) = exchange(script, worker.upload(Method::PUT, stream)).await;
        assert_eq!(kind(response), Some(ErrorKind::ConnectionTerminated));
        assert!(!origin.is_called().await);
    });
}

/// What is given again counts as still to come.
#[test]
fn a_stream_that_is_rewound_has_its_whole_length() {
    run(async {
        let (feed, stream) = feed(None);
        let mut body = RequestBody::Stream(stream);
        let upload = body.upload().expect("a stream");
        feed.send(data("a ")).expect("a reader");
        feed.send(data("book")).expect("a reader");
        drop(feed);
        for _ in 0..2 {
            let mut content = Vec::new();
            while let Some(frame) = body.frame().await {
                content.extend(frame.expect("a frame").into_data().expect("data"));
            }
            assert_eq!(content, b"a book");
            assert!(upload.rewind());
            assert_eq!(body.size_hint().lower(), 6);
            assert!(!body.is_end_stream());
        }
        upload.forget();
        assert!(!upload.rewind());
    });
}

#[test]
fn a_response_may_overtake_the_content_which_is_then_sent_to_its_end() {
    run(async {
        let (origin, worker) = start(|_| {}).await;
        let (feed, stream) = feed(None);
        let mut peer = {
            let script = origin.sends("HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\nok");
            let (peer, response) = exchange(script, worker.upload(Method::PUT, stream)).await;
            assert_eq!(content(response).await, "ok");
            peer
        };
        feed.send(data("book")).expect("a reader");
        drop(feed);
        assert_eq!(peer.content(14).await, b"4\r\nbook\r\n0\r\n\r\n");
        let (_, response) = tokio::join!(peer.answer("again"), worker.get("/"));
        assert_eq!(content(response).await, "again");
        assert_eq!(worker.counters.connects.value(), 1);
    });
}

#[test]
fn an_overtaken_upload_that_stalls_is_closed() {
    // An HTTP/1.0 server keeps no connection, and may read on all the same.
    for version in ["1.1", "1.0"] {
        run(async {
            let (origin, worker) = start(|_| {}).await;
            let (_feed, stream) = feed(None);
            let stream = stream.with_stall_timeout(Duration::from_millis(50));
            let script = async {
                let mut peer = origin.accept().await;
                peer.head().await;
                peer.send(&format!(
                    "HTTP/{version} 403 Forbidden\r\nContent-Length: 0\r\n\r\n"
                ))
                .await;
                peer.closed().await;
            };
            let (_, response) = exchange(script, worker.upload(Method::PUT, stream)).await;
            assert_eq!(response.expect("a response").status(), 403);
        });
    }
}

#[test]
fn content_that_breaks_off_during_the_response_is_the_client_s_failure() {
    run(async {
        let (origin, worker) = start(|_| {}).await;
        let (feed, stream) = feed(None);
        let script = origin.sends("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nbo");
        let (_peer, response) = exchange(script, worker.upload(Method::PUT, stream)).await;
        feed.send(Err("broken off".into())).expect("a reader");
        let content = read(response.expect("a head")).await;
        assert_eq!(kind(content), Some(ErrorKind::ClientGone));
        assert_eq!(worker.counters.errors.value(), 0);
    });
}
