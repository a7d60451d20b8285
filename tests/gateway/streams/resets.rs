//! Streams of HTTP/2 that are reset, and what their resets say.

use bytes::Bytes;
use h2::Reason;

use super::api::{Api, Caller, next, response, run};

#[test]
fn a_response_that_breaks_off_is_reset_with_a_code_of_our_own() {
    let api = Api::new();
    let gateway = api.gateway().start();
    run(async {
        let mut calls = api.serve();
        let mut caller = Caller::to(gateway.addr()).await;
        for code in [Reason::NO_ERROR, Reason::CANCEL, Reason::REFUSED_STREAM] {
            for rule in ["no-store", "max-age=60"] {
                let get = http::Request::get("http://books.example/books");
                let (answer, _) = caller.send(get.body(()).expect("a request"), true).await;
                let mut call = calls.recv().await.expect("a request");
                let mut content = call.head(response(&[("cache-control", rule)]));
                let sent = content.send_data(Bytes::from_static(b"19"), false);
                sent.expect("a stream");
                let mut answer = answer.await.expect("an answer").into_body();
                assert_eq!(next(&mut answer).await.as_deref(), Some(&b"19"[..]));
                content.send_reset(code);
                // NO_ERROR is an end to many (RFC 9113 §8.1), REFUSED_STREAM says that nothing was done (§8.7).
                let end = answer.data().await.expect("no end").expect_err("a reset");
                assert_eq!(
                    end.reason(),
                    Some(Reason::INTERNAL_ERROR),
                    "{code:?}, {rule}"
                );
            }
        }
    });
}

#[test]
fn an_upload_that_is_reset_never_looks_whole() {
    let api = Api::new();
    let gateway = api.gateway().start();
    run(async {
        let mut calls = api.serve();
        let mut caller = Caller::to(gateway.addr()).await;
        for code in [Reason::NO_ERROR, Reason::CANCEL, Reason::INTERNAL_ERROR] {
            let put = http::Request::put("http://books.example/books/1");
            let (_answer, mut content) = caller.send(put.body(()).expect("a request"), false).await;
            let sent = content.send_data(Bytes::from_static(b"19"), false);
            sent.expect("a stream");
            let mut call = calls.recv().await.expect("a request");
            assert_eq!(call.content().await.as_deref(), Some(&b"19"[..]));
            content.send_reset(code);
            let end = call.request.body_mut().data().await;
            assert!(
                matches!(&end, Some(Err(error)) if error.is_reset()),
                "{code:?}: {end:?}"
            );
        }
    });
}
