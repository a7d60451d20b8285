//! gRPC, as its messages look on the wire: HTTP/2 on both sides, trailers, streams in both directions.

use bytes::Bytes;
use h2::Reason;
use h2::client::ResponseFuture;
use h2::{RecvStream, SendStream};
use http::{Request, Response};

use super::api::{Api, Call, Caller, next, reset, response, rest, run, text, trailers};
use crate::common::Gateway;

const CONTENT_TYPE: (&str, &str) = ("content-type", "application/grpc");

fn message(text: &str) -> Bytes {
    let length = u32::try_from(text.len()).expect("a short text");
    [&[0][..], &length.to_be_bytes(), text.as_bytes()]
        .concat()
        .into()
}

fn method(gateway: &Gateway) -> Request<()> {
    Request::post(format!("{}/books.Books/Ask", gateway.url()))
        .header("content-type", "application/grpc+proto")
        .header("te", "trailers")
        .header("grpc-timeout", "10S")
        .body(())
        .expect("a request")
}

async fn call(gateway: &Gateway) -> (ResponseFuture, SendStream<Bytes>) {
    Caller::to(gateway.addr())
        .await
        .send(method(gateway), false)
        .await
}

async fn begun(answer: ResponseFuture) -> Response<RecvStream> {
    let answer = answer.await.expect("an answer");
    assert_eq!(
        text(answer.headers(), "content-type"),
        Some("application/grpc")
    );
    answer
}

fn say(stream: &mut SendStream<Bytes>, text: &str, end: bool) {
    stream.send_data(message(text), end).expect("a stream");
}

/// The next message, whose frame holds nothing else.
async fn said(stream: &mut RecvStream) -> String {
    let mut framed = Vec::new();
    while framed.len() < 5 || framed.len() < 5 + usize::from(framed[4]) {
        framed.extend(next(stream).await.expect("a message"));
    }
    String::from_utf8(framed.split_off(5)).expect("text")
}

async fn status(stream: &mut RecvStream) -> String {
    let trailers = stream.trailers().await.expect("a whole stream");
    let trailers = trailers.expect("trailers");
    text(&trailers, "grpc-status").expect("a status").to_owned()
}

/// Begins to answer.
fn head(call: &mut Call) -> SendStream<Bytes> {
    call.head(response(&[CONTENT_TYPE]))
}

fn done(stream: &mut SendStream<Bytes>, status: &'static str) {
    let sent = stream.send_trailers(trailers(&[("grpc-status", status)]));
    sent.expect("a stream");
}

#[test]
fn a_unary_call_is_carried_with_its_status_and_never_stored() {
    let api = Api::new();
    let gateway = api.gateway().start();
    run(async {
        let mut calls = api.serve();
        for _ in 0..2 {
            let script = async {
                let mut call = calls.recv().await.expect("a call");
                assert_eq!(call.request.uri().path(), "/api/books.Books/Ask");
                assert_eq!(call.field("te"), Some("trailers"));
                assert_eq!(call.field("grpc-timeout"), Some("10S"));
                assert_eq!(call.field("content-type"), Some("application/grpc+proto"));
                assert_eq!(said(call.request.body_mut()).await, "1984?");
                assert!(call.content().await.is_none());
                let cacheable = [CONTENT_TYPE, ("cache-control", "max-age=60")];
                let mut answer = call.head(response(&cacheable));
                say(&mut answer, "Orwell", false);
                done(&mut answer, "0");
            };
            let ask = async {
                let (answer, mut asking) = call(&gateway).await;
                say(&mut asking, "1984?", true);
                let mut answer = begun(answer).await;
                let carried = text(answer.headers(), "cache-status").unwrap_or_default();
                assert!(
                    carried.contains("fwd=") && !carried.contains("stored"),
                    "{carried}"
                );
                assert_eq!(said(answer.body_mut()).await, "Orwell");
                assert!(next(answer.body_mut()).await.is_none());
                assert_eq!(status(answer.body_mut()).await, "0");
            };
            tokio::join!(script, ask);
        }
    });
    assert_eq!(gateway.stored(), 0);
}

#[test]
fn an_answer_of_trailers_only_is_one_head_and_its_end() {
    let api = Api::new();
    let gateway = api.gateway().start();
    run(async {
        let mut calls = api.serve();
        let script = async {
            let mut call = calls.recv().await.expect("a call");
            let fields = [
                CONTENT_TYPE,
                ("grpc-status", "5"),
                ("grpc-message", "no such book"),
            ];
            let sent = call.respond.send_response(response(&fields), true);
            sent.expect("a stream");
        };
        let ask = async {
            let (answer, mut asking) = call(&gateway).await;
            say(&mut asking, "1985?", true);
            let mut answer = begun(answer).await;
            assert_eq!(text(answer.headers(), "grpc-status"), Some("5"));
            assert_eq!(text(answer.headers(), "grpc-message"), Some("no such book"));
            assert_eq!(rest(answer.body_mut()).await, b"");
        };
        tokio::join!(script, ask);
    });
}

#[test]
fn both_sides_talk_at_once_message_by_message() {
    let api = Api::new();
    let gateway = api.gateway().start();
    run(async {
        let mut calls = api.serve();
        let script = async {
            let mut call = calls.recv().await.expect("a call");
            // Before it has heard anything.
            let mut answer = head(&mut call);
            say(&mut answer, "welcome", false);
            for number in 0..20 {
                assert_eq!(
                    said(call.request.body_mut()).await,
                    format!("ping {number}")
                );
                say(&mut answer, &format!("pong {number}"), false);
            }
            assert!(call.content().await.is_none());
            // It has the last word.
            say(&mut answer, "farewell", false);
            done(&mut answer, "0");
        };
        let talk = async {
            let (answer, mut asking) = call(&gateway).await;
            let mut answer = begun(answer).await;
            assert_eq!(said(answer.body_mut()).await, "welcome");
            for number in 0..20 {
                say(&mut asking, &format!("ping {number}"), false);
                assert_eq!(said(answer.body_mut()).await, format!("pong {number}"));
            }
            asking.send_data(Bytes::new(), true).expect("a stream");
            assert_eq!(said(answer.body_mut()).await, "farewell");
            assert!(next(answer.body_mut()).await.is_none());
            assert_eq!(status(answer.body_mut()).await, "0");
        };
        tokio::join!(script, talk);
    });
}

#[test]
fn a_status_may_come_before_the_client_has_said_all() {
    let api = Api::new();
    let gateway = api.gateway().start();
    run(async {
        let mut calls = api.serve();
        let script = async {
            let mut call = calls.recv().await.expect("a call");
            assert_eq!(said(call.request.body_mut()).await, "one");
            let mut answer = head(&mut call);
            // Dropped after that, the stream is reset with NO_ERROR.
            done(&mut answer, "8");
        };
        let ask = async {
            let (answer, mut asking) = call(&gateway).await;
            say(&mut asking, "one", false);
            let mut answer = begun(answer).await;
            assert!(next(answer.body_mut()).await.is_none());
            assert_eq!(status(answer.body_mut()).await, "8");
        };
        tokio::join!(script, ask);
    });
}

#[test]
fn a_call_that_its_client_cancels_is_cancelled_at_whatever_point() {
    let api = Api::new();
    let gateway = api.gateway().workers(1).start();
    run(async {
        let mut calls = api.serve();
        // All said, nothing answered; half said; half answered.
        for (end, answers) in [(true, false), (false, false), (false, true)] {
            let (answer, mut asking) = call(&gateway).await;
            say(&mut asking, "1984?", end);
            let mut call = calls.recv().await.expect("a call");
            assert_eq!(said(call.request.body_mut()).await, "1984?");
            let reason = if answers {
                let mut heard = head(&mut call);
                say(&mut heard, "Or", false);
                let mut answer = begun(answer).await;
                assert_eq!(said(answer.body_mut()).await, "Or");
                asking.send_reset(Reason::CANCEL);
                reset(&mut heard).await
            } else {
                asking.send_reset(Reason::CANCEL);
                call.reset().await
            };
            assert_eq!(reason, Reason::CANCEL, "{end} {answers}");
            // The connection goes on: one served them all.
            assert_eq!(call.connection, 0);
        }
    });
}

#[test]
fn a_call_that_the_server_breaks_off_breaks_off_for_the_client() {
    let api = Api::new();
    let gateway = api.gateway().start();
    run(async {
        let mut calls = api.serve();
        let script = async {
            let mut call = calls.recv().await.expect("a call");
            let mut answer = head(&mut call);
            say(&mut answer, "half", false);
            call.content().await;
            answer.send_reset(Reason::INTERNAL_ERROR);
        };
        let ask = async {
            let (answer, mut asking) = call(&gateway).await;
            let mut answer = begun(answer).await;
            assert_eq!(said(answer.body_mut()).await, "half");
            say(&mut asking, "go on", false);
            let broken = answer.body_mut().data().await.expect("no end");
            assert_eq!(
                broken.expect_err("no message").reason(),
                Some(Reason::INTERNAL_ERROR)
            );
        };
        tokio::join!(script, ask);
    });
}

#[test]
fn calls_of_many_clients_share_a_connection() {
    let api = Api::new();
    let gateway = api.gateway().workers(1).start();
    run(async {
        let mut calls = api.serve();
        let script = async {
            let mut taken = Vec::new();
            while taken.len() < 30 {
                taken.push(calls.recv().await.expect("a call"));
            }
            assert!(taken.iter().all(|call| call.connection == 0));
            // The last one first.
            for call in taken.iter_mut().rev() {
                let mut answer = head(call);
                say(&mut answer, "all at once", false);
                done(&mut answer, "0");
            }
        };
        let clients = async {
            let mut asked = Vec::new();
            for _ in 0..30 {
                let (answer, mut asking) = call(&gateway).await;
                say(&mut asking, "?", true);
                asked.push(answer);
            }
            for answer in asked {
                let mut answer = begun(answer).await;
                assert_eq!(said(answer.body_mut()).await, "all at once");
            }
        };
        tokio::join!(script, clients);
    });
}

#[test]
fn content_that_stalls_before_the_answer_is_408_and_after_it_may_take_its_time() {
    let api = Api::new();
    let gateway = api.gateway().server("body_timeout = \"80ms\"").start();
    run(async {
        let mut calls = api.serve();
        let (answer, mut asking) = call(&gateway).await;
        say(&mut asking, "half", false);
        let mut taken = calls.recv().await.expect("a call");
        assert_eq!(said(taken.request.body_mut()).await, "half");
        assert_eq!(answer.await.expect("an answer").status(), 408);
        assert_eq!(taken.reset().await, Reason::CANCEL);

        let (answer, mut asking) = call(&gateway).await;
        let mut taken = calls.recv().await.expect("a call");
        let mut heard = head(&mut taken);
        let mut answer = begun(answer).await;
        // Another one stalls for as long as it may, which it begins only now.
        let (late, mut stalling) = call(&gateway).await;
        say(&mut stalling, "half", false);
        assert_eq!(late.await.expect("an answer").status(), 408);
        say(&mut asking, "late", false);
        assert_eq!(said(taken.request.body_mut()).await, "late");
        say(&mut heard, "never mind", false);
        assert_eq!(said(answer.body_mut()).await, "never mind");
    });
}
