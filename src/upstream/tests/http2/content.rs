//! Content in both directions: its end, its pace, its trailers, and what a cancelled exchange leaves behind.

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use http_body_util::BodyExt as _;

use super::frames::*;
use super::*;
use crate::upstream::RequestStream;
use crate::upstream::tests::uploads::{data, feed};

type Frame = http_body::Frame<Bytes>;

/// What is read of a response, and the error that ended it.
async fn read_on(response: Response<UpstreamBody>) -> (Bytes, Option<ErrorKind>, bool) {
    let mut body = response.into_body();
    let mut content = Vec::new();
    loop {
        match body.frame().await {
            Some(Ok(frame)) => content.extend(frame.into_data().unwrap_or_default()),
            Some(Err(error)) => return (content.into(), Some(error.kind()), body.end_verified()),
            None => return (content.into(), None, body.end_verified()),
        }
    }
}

#[test]
fn only_the_end_of_the_stream_ends_content() {
    run(async {
        let broken = Some(ErrorKind::ResponseIncomplete);
        for code in [Some(NO_ERROR), Some(CANCEL), Some(INTERNAL_ERROR), None] {
            let origin = Origin::start().await;
            let worker = speaking(&origin, |_| {});
            let script = async {
                let mut server = accept(&origin).await;
                server.asked().await;
                server.head(1).await;
                server.data(1, 0, "half").await;
                match code {
                    Some(code) => {
                        server.reset(1, code).await;
                        server.closed().await;
                    }
                    None => drop(server),
                }
            };
            let asked = async {
                let read = read_on(worker.get("/").await.unwrap()).await;
                drop(worker);
                read
            };
            let (_, (content, error, verified)) = exchange(script, asked).await;
            assert_eq!(
                (&*content, error, verified),
                (&b"half"[..], broken, false),
                "{code:?}"
            );
        }
    });
}

#[test]
fn a_length_that_is_not_kept_is_an_error() {
    run(async {
        for content in ["short", "much too long"] {
            let origin = Origin::start().await;
            let worker = speaking(&origin, |_| {});
            let script = async {
                let mut server = accept(&origin).await;
                server.asked().await;
                let fields = [(":status", "200"), ("content-length", "8")];
                server.fields(1, 0, &fields).await;
                server.data(1, END_STREAM, content).await;
                server
            };
            let asked = async { read_on(worker.get("/").await.unwrap()).await };
            let (_server, (_, error, verified)) = exchange(script, asked).await;
            assert_eq!(error, Some(ErrorKind::ResponseProtocol), "{content}");
            assert!(!verified);
        }
    });
}

#[test]
fn a_complete_response_counts_though_its_server_wants_no_more_of_the_request() {
    // RFC 9113 §8.1: a client MUST NOT discard responses as a result of such a reset.
    run(async {
        let origin = Origin::start().await;
        let worker = speaking(&origin, |_| {});
        let (feed, stream) = feed(None);
        let script = async {
            let mut server = accept(&origin).await;
            server.asked().await;
            feed.send(data("one")).expect("a reader");
            server.until(DATA).await;
            server.answer(1, "enough").await;
            server.reset(1, NO_ERROR).await;
            server
        };
        let asked = async {
            let request = request(Method::POST, "/", RequestBody::Stream(stream));
            read_on(worker.send(request).await.unwrap()).await
        };
        let (_server, (content, error, verified)) = exchange(script, asked).await;
        assert_eq!((&*content, error, verified), (&b"enough"[..], None, true));
        // The rest is not asked for any more.
        feed.closed().await;
    });
}

#[test]
fn requests_and_responses_go_on_side_by_side_with_trailers_at_both_ends() {
    run(async {
        let origin = Origin::start().await;
        let worker = speaking(&origin, |_| {});
        let (feed, stream) = feed(None);
        let script = async {
            let mut server = accept(&origin).await;
            server.asked().await;
            server.head(1).await;
            for word in ["one", "two"] {
                let said = server.until(DATA).await;
                assert_eq!(said.payload, word.as_bytes());
                assert!(!said.is_end());
                server.data(1, 0, word).await;
            }
            let trailers = server.until(HEADERS).await;
            assert!(trailers.is_end());
            server.fields(1, END_STREAM, &[("grpc-status", "0")]).await;
            server
        };
        let talk = async {
            let request = request(Method::POST, "/", RequestBody::Stream(stream));
            let mut body = worker.send(request).await.unwrap().into_body();
            for word in ["one", "two"] {
                feed.send(data(word)).expect("a reader");
                let said = body.frame().await.unwrap().unwrap();
                assert_eq!(said.into_data().unwrap(), word);
            }
            let trailers = [("x-sum".parse().unwrap(), "7".parse().unwrap())];
            let trailers = http::HeaderMap::from_iter(trailers);
            let last = Frame::trailers(trailers);
            feed.send(Ok(last)).expect("a reader");
            let trailers = body.frame().await.unwrap().unwrap();
            assert_eq!(trailers.into_trailers().unwrap()["grpc-status"], "0");
            assert!(body.frame().await.is_none() && body.end_verified());
        };
        exchange(script, talk).await;
    });
}

#[test]
fn a_client_that_leaves_before_the_response_resets_its_stream_only() {
    run(async {
        let origin = Origin::start().await;
        let worker = speaking(&origin, |_| {});
        let mut server = tokio::select! {
            _ = worker.get("/slow") => panic!("nobody answers"),
            server = async {
                let mut server = accept(&origin).await;
                server.asked().await;
                server
            } => server,
        };
        let reset = server.until(RST_STREAM).await;
        assert_eq!((reset.stream, reset.code()), (1, CANCEL));
        let script = async {
            server.asked().await;
            server.answer(3, "well").await;
        };
        let (_, answer) = exchange(script, worker.get("/")).await;
        assert_eq!(read(answer.unwrap()).await.unwrap(), "well");
        assert_eq!(worker.counters.connects.value(), 1);
    });
}

#[test]
fn a_client_that_leaves_within_the_response_resets_its_stream_even_while_content_waits() {
    run(async {
        let origin = Origin::start().await;
        let worker = speaking(&origin, |_| {});
        let (feed, stream) = feed(None);
        feed.send(data("more than it takes")).expect("a reader");
        let script = async {
            let mut server = greet(&origin, &[(INITIAL_WINDOW_SIZE, 4)]).await;
            server.asked().await;
            assert_eq!(server.until(DATA).await.payload, b"more");
            server.head(1).await;
            server.data(1, 0, "an answer").await;
            server
        };
        let request = request(Method::POST, "/", RequestBody::Stream(stream));
        let (mut server, response) = exchange(script, worker.send(request)).await;
        drop(response.unwrap());
        let reset = server.until(RST_STREAM).await;
        assert_eq!((reset.stream, reset.code()), (1, CANCEL));
        feed.closed().await;
    });
}

#[test]
fn content_that_breaks_off_resets_the_stream() {
    run(async {
        let origin = Origin::start().await;
        let worker = speaking(&origin, |_| {});
        let (feed, stream) = feed(None);
        feed.send(data("half")).expect("a reader");
        feed.send(Err("gone".into())).expect("a reader");
        let script = async {
            let mut server = accept(&origin).await;
            server.asked().await;
            let reset = server.until(RST_STREAM).await;
            assert_eq!((reset.stream, reset.code()), (1, CANCEL));
            server
        };
        let request = request(Method::PUT, "/", RequestBody::Stream(stream));
        let (_server, response) = exchange(script, worker.send(request)).await;
        let error = response.expect_err("no request");
        assert_eq!(error.kind(), ErrorKind::ClientGone);
    });
}

#[test]
fn a_reader_that_stops_delays_its_own_stream_only() {
    run(async {
        let origin = Origin::start().await;
        let window = 16 << 10;
        let worker = speaking(&origin, |config| {
            config.http2.stream_window = window;
            config.http2.max_concurrent_streams = 2;
        });
        let block = "b".repeat(1 << 10);
        let read_from = Cell::new(false);
        let script = async {
            let mut server = accept(&origin).await;
            server.asked().await;
            server.head(1).await;
            for _ in 0..16 {
                server.data(1, 0, &block).await;
            }
            // The stream's window is used up.
            server.asked().await;
            server.answer(3, "by the way").await;
            while server.until(WINDOW_UPDATE).await.stream != 1 {}
            assert!(read_from.get(), "allowed more than anybody has read");
            server.data(1, END_STREAM, "end").await;
            server
        };
        let asks = async {
            let slow = worker.get("/slow").await.unwrap();
            let other = read(worker.get("/other").await.unwrap()).await.unwrap();
            assert_eq!(other, "by the way");
            read_from.set(true);
            read(slow).await.unwrap()
        };
        let (_server, slow) = exchange(script, asks).await;
        assert_eq!(slow.len(), (16 << 10) + 3);
    });
}

/// Three blocks of five octets each, and how many of them have been asked for.
struct Blocks(Rc<Cell<usize>>);

impl http_body::Body for Blocks {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame, Error>>> {
        let left = self.0.get() < 3;
        self.0.set(self.0.get() + 1);
        Poll::Ready(left.then(|| Ok(Frame::data(Bytes::from_static(b"block")))))
    }
}

#[test]
fn content_is_not_taken_from_the_client_faster_than_the_server_takes_it() {
    run(async {
        let origin = Origin::start().await;
        let worker = speaking(&origin, |_| {});
        let taken = Rc::new(Cell::new(0));
        let stream = RequestStream::new(Blocks(taken.clone()));
        let script = async {
            let mut server = greet(&origin, &[(INITIAL_WINDOW_SIZE, 0)]).await;
            server.asked().await;
            for allowed in 0..3 {
                for _ in 0..100 {
                    tokio::task::yield_now().await;
                }
                assert_eq!(taken.get(), allowed + 1, "one block waits, no more");
                server.allow(1, 5).await;
                assert_eq!(server.until(DATA).await.payload, b"block");
            }
            assert!(server.until(DATA).await.is_end());
            server.answer(1, "thanks").await;
            server
        };
        let request = request(Method::POST, "/", RequestBody::Stream(stream));
        let (_server, response) = exchange(script, worker.send(request)).await;
        assert_eq!(response.unwrap().status(), 200);
    });
}

#[test]
fn a_head_that_does_not_come_times_out_and_interim_responses_do_not_prolong_that() {
    run(async {
        let origin = Origin::start().await;
        let worker = speaking(&origin, |config| {
            config.response_timeout = Duration::from_millis(80)
        });
        let script = async {
            let mut server = accept(&origin).await;
            server.asked().await;
            for _ in 0..20 {
                let hints = [(":status", "103"), ("link", "</x>")];
                server.fields(1, 0, &hints).await;
            }
            let reset = server.until(RST_STREAM).await;
            assert_eq!(reset.code(), CANCEL);
            server
        };
        let (_server, response) = exchange(script, worker.get("/")).await;
        assert_eq!(kind(response), Some(ErrorKind::ResponseTimeout));
    });
}

#[test]
fn content_that_stalls_times_out() {
    run(async {
        let origin = Origin::start().await;
        // Long enough for what does come, on a busy machine too.
        let worker = speaking(&origin, |config| {
            config.body_timeout = Duration::from_millis(500)
        });
        let script = async {
            let mut server = accept(&origin).await;
            server.asked().await;
            server.head(1).await;
            server.data(1, 0, "half").await;
            let reset = server.until(RST_STREAM).await;
            assert_eq!(reset.code(), CANCEL);
            server
        };
        let asked = async { read_on(worker.get("/").await.unwrap()).await };
        let (_server, (content, error, _)) = exchange(script, asked).await;
        assert_eq!(
            (&*content, error),
            (&b"half"[..], Some(ErrorKind::ResponseBodyTimeout))
        );
    });
}
