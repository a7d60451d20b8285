//! HTTP/2 towards the API, for clients of either version.

use bytes::Bytes;
use h2::{Reason, RecvStream};
use http::Response;

use super::api::{Api, Caller, http1, response, rest, run, text, trailers};
use crate::common::{Client, End, Gateway, Origin, await_that, get, head, post, reply, request};

#[test]
fn a_request_has_the_form_of_http2_and_its_response_is_stored_for_all() {
    let api = Api::new();
    let gateway = api.gateway().start();
    run(async {
        let mut calls = api.serve();
        let ask = get("/books?page=2")
            .field("Host", "books.example")
            .field("Connection", "X-Hop, TE")
            .field("X-Hop", "1")
            .field("Keep-Alive", "timeout=5")
            .field("TE", "trailers, gzip");
        let script = async {
            let mut call = calls.recv().await.expect("a request");
            let uri = call.request.uri();
            assert_eq!(uri.to_string(), "http://books.example/api/books?page=2");
            for absent in [
                "host",
                "connection",
                "x-hop",
                "keep-alive",
                "transfer-encoding",
            ] {
                assert_eq!(call.field(absent), None, "{absent}");
            }
            assert_eq!(call.field("te"), Some("trailers"));
            assert_eq!(call.field("via"), Some("1.1 bookend"));
            assert_eq!(call.field("x-forwarded-host"), Some("books.example"));
            let fields = [("cache-control", "max-age=60"), ("etag", "\"1\"")];
            call.answer(response(&fields), "1984");
        };
        let ((), first) = tokio::join!(script, http1(&gateway, ask.clone()));
        let first = first.expect(200);
        assert_eq!(first.text(), "1984");
        assert!(first.says("stored"), "{}", first.cache_status());
        assert_eq!(first.list("via"), "2 bookend");
        let again = http1(&gateway, ask).await;
        assert!(again.is_hit() && again.text() == "1984");
        let mut caller = Caller::to(gateway.addr()).await;
        let known = http::Request::get("http://books.example/books?page=2");
        let (answer, _) = caller.send(known.body(()).expect("a request"), true).await;
        let mut answer = answer.await.expect("an answer");
        assert!(text(answer.headers(), "cache-status").is_some_and(|said| said.contains("; hit")));
        assert_eq!(rest(answer.body_mut()).await, b"1984");
        assert!(calls.try_recv().is_err());
    });
}

#[test]
fn what_is_stale_is_validated() {
    let api = Api::new();
    let gateway = api.gateway().start();
    run(async {
        let mut calls = api.serve();
        let fields = [("cache-control", "max-age=0"), ("etag", "\"1\"")];
        let script = async {
            calls
                .recv()
                .await
                .expect("one")
                .answer(response(&fields), "1984");
            let mut call = calls.recv().await.expect("another");
            assert_eq!(call.field("if-none-match"), Some("\"1\""));
            let mut unchanged = response(&fields);
            *unchanged.status_mut() = http::StatusCode::NOT_MODIFIED;
            call.respond
                .send_response(unchanged, true)
                .expect("a stream");
        };
        let asks = async {
            http1(&gateway, get("/books")).await.expect(200);
            let again = http1(&gateway, get("/books")).await.expect(200);
            assert!(again.fwd("stale"), "{}", again.cache_status());
            assert_eq!(again.text(), "1984");
        };
        tokio::join!(script, asks);
    });
}

#[test]
fn head_and_options_pass() {
    let api = Api::new();
    let gateway = api.gateway().start();
    run(async {
        let mut calls = api.serve();
        let script = async {
            let mut call = calls.recv().await.expect("a HEAD");
            assert_eq!(call.request.method(), "HEAD");
            let fields = response(&[("content-length", "4")]);
            call.respond.send_response(fields, true).expect("a stream");
            for path in ["/api/books", "*"] {
                let mut call = calls.recv().await.expect("an OPTIONS");
                assert_eq!(call.request.method(), "OPTIONS");
                assert_eq!(call.request.uri().path(), path);
                let mut allow = response(&[("allow", "GET")]);
                *allow.status_mut() = http::StatusCode::NO_CONTENT;
                call.respond.send_response(allow, true).expect("a stream");
            }
        };
        let asks = async {
            let headed = http1(&gateway, head("/books")).await.expect(200);
            assert_eq!(headed.field("content-length"), Some("4"));
            for target in ["/books", "*"] {
                let options = http1(&gateway, request("OPTIONS", target)).await;
                assert_eq!(options.expect(204).field("allow"), Some("GET"), "{target}");
            }
        };
        tokio::join!(script, asks);
    });
}

/// Whether it ends with a reset.
async fn breaks_off(mut content: RecvStream) -> bool {
    loop {
        match content.data().await {
            Some(Ok(_)) => {}
            Some(Err(error)) => return error.is_reset(),
            None => return false,
        }
    }
}

#[test]
fn content_that_breaks_off_is_aborted_for_clients_of_both_versions_and_not_stored() {
    let api = Api::new();
    let gateway = api.gateway().start();
    run(async {
        let mut calls = api.serve();
        let script = async {
            for reason in [Reason::NO_ERROR, Reason::CANCEL, Reason::INTERNAL_ERROR] {
                for _ in 0..2 {
                    let mut call = calls.recv().await.expect("a request");
                    let mut content = call.head(response(&[("cache-control", "max-age=60")]));
                    content
                        .send_data(Bytes::from_static(b"19"), false)
                        .expect("a stream");
                    // The half is on its way before the reset is.
                    tokio::task::yield_now().await;
                    content.send_reset(reason);
                }
            }
        };
        let asks = async {
            for _ in 0..3 {
                let broken = http1(&gateway, get("/books")).await;
                let error = broken.status == 502;
                assert!(
                    error || matches!(broken.end, End::Truncated | End::Reset),
                    "{broken:?}"
                );
                let mut caller = Caller::to(gateway.addr()).await;
                let ask = http::Request::get(format!("{}/books", gateway.url()));
                let (answer, _) = caller.send(ask.body(()).expect("a request"), true).await;
                match answer.await {
                    Ok(answer) if answer.status() == 502 => {}
                    Ok(answer) => assert!(breaks_off(answer.into_body()).await),
                    // Whatever of it was not sent yet goes with the reset.
                    Err(error) => assert!(error.is_reset(), "{error}"),
                }
            }
        };
        tokio::join!(script, asks);
    });
    assert_eq!(gateway.stored(), 0);
}

#[test]
fn trailers_of_http1_and_http2_are_the_same() {
    let api = Api::new();
    let gateway = api.gateway().start();
    run(async {
        let mut calls = api.serve();
        let script = async {
            let mut call = calls.recv().await.expect("a request");
            assert_eq!(call.field("transfer-encoding"), None);
            assert_eq!(rest(call.request.body_mut()).await, b"1984");
            let sum = call.request.body_mut().trailers().await.expect("a stream");
            assert_eq!(text(&sum.expect("trailers"), "x-sum"), Some("7"));
            // Without it, HTTP/1.1 would have no trailers.
            let mut content = call.head(response(&[("trailer", "x-books")]));
            content
                .send_data(Bytes::from_static(b"made"), false)
                .expect("a stream");
            content
                .send_trailers(trailers(&[("x-books", "2")]))
                .expect("a stream");
        };
        let write = post("/books", "")
            .field("TE", "trailers")
            .field("Connection", "TE")
            .field("Trailer", "X-Sum")
            .field("Transfer-Encoding", "chunked")
            .body("4\r\n1984\r\n0\r\nX-Sum: 7\r\n\r\n");
        let ((), answer) = tokio::join!(script, http1(&gateway, write));
        let answer = answer.expect(200);
        assert_eq!(answer.text(), "made");
        assert_eq!(answer.trailers.get("x-books"), Some("2"), "{answer:#?}");
    });
}

#[test]
fn an_upgrade_is_not_offered_where_there_is_none() {
    // RFC 9113 §8.6
    let api = Api::new();
    let gateway = api.gateway().start();
    run(async {
        let mut calls = api.serve();
        let script = async {
            let mut call = calls.recv().await.expect("a request");
            assert_eq!(call.field("upgrade"), None);
            call.answer(Response::new(()), "no chat here");
        };
        let ask = get("/chat")
            .field("Connection", "Upgrade")
            .field("Upgrade", "websocket");
        let ((), answer) = tokio::join!(script, http1(&gateway, ask));
        assert_eq!(answer.expect(200).text(), "no chat here");
    });
}

#[test]
fn interim_responses_reach_clients_of_http_1_1_before_the_final_one() {
    let api = Api::new();
    let gateway = api.gateway().start();
    run(async {
        let mut calls = api.serve();
        // Not to be stored, a write, to be stored.
        for method in ["HEAD", "POST", "GET"] {
            let (saw, seen) = tokio::sync::oneshot::channel();
            let script = async {
                let mut call = calls.recv().await.expect("a request");
                call.interim(102, &[]);
                call.interim(103, &[("link", "</a>"), ("link", "</b>")]);
                seen.await.expect("a client that has seen them");
                call.answer(response(&[("cache-control", "max-age=60")]), "1984");
            };
            let addr = gateway.addr();
            let asked = tokio::task::spawn_blocking(move || {
                let mut client = Client::to(addr);
                client.start(&request(method, "/books"));
                let expected = "HTTP/1.1 102 Processing\r\n\r\n\
                    HTTP/1.1 103 Early Hints\r\nlink: </a>\r\nlink: </b>\r\n\r\n";
                let hints = client.octets(expected.len()).expect("the hints");
                assert_eq!(String::from_utf8_lossy(&hints), expected);
                saw.send(()).expect("an API");
                client.answer(method).finish().expect(200)
            });
            let ((), answer) = tokio::join!(script, asked);
            let answer = answer.expect("a client");
            assert!(answer.interim.is_empty(), "{method}: {answer:?}");
        }
        let hit = http1(&gateway, get("/books")).await.expect(200);
        assert!(hit.interim.is_empty());
    });
}

#[test]
fn an_api_that_asks_for_the_content_gets_it() {
    // RFC 9110 §10.1.1
    let api = Api::new();
    let gateway = api.gateway().workers(1).start();
    run(async {
        let mut calls = api.serve();
        let script = async {
            let mut call = calls.recv().await.expect("a request");
            assert_eq!(call.field("expect"), Some("100-continue"));
            call.interim(103, &[("link", "</a>")]);
            call.interim(100, &[]);
            assert_eq!(rest(call.request.body_mut()).await, b"1984");
            call.answer(response(&[]), "made");
            // What is refused by its head is never asked for.
            let mut call = calls.recv().await.expect("another");
            let mut refusal = response(&[]);
            *refusal.status_mut() = http::StatusCode::FORBIDDEN;
            call.answer(refusal, "not here");
            let content = call.request.body_mut().data().await;
            assert!(content.is_none_or(|data| data.is_err()));
            // The connection goes on.
            let mut call = calls.recv().await.expect("a third");
            assert_eq!(call.connection, 0);
            call.answer(response(&[]), "1984");
        };
        let addr = gateway.addr();
        let asks = tokio::task::spawn_blocking(move || {
            let head = |path| {
                format!(
                    "POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n"
                )
            };
            let mut client = Client::to(addr);
            client.write(head("/books"));
            let expected = "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n\
                HTTP/1.1 100 Continue\r\n\r\n";
            let interim = client.octets(expected.len()).expect("interim responses");
            assert_eq!(String::from_utf8_lossy(&interim), expected);
            client.write("1984");
            assert_eq!(client.answer("POST").finish().expect(200).text(), "made");
            let mut client = Client::to(addr);
            client.write(head("/closed"));
            let refusal = client.answer("POST").finish().expect(403);
            assert!(refusal.interim.is_empty(), "{refusal:?}");
            Client::to(addr).get("/books").expect(200);
        });
        let ((), asks) = tokio::join!(script, asks);
        asks.expect("clients");
    });
}

#[test]
fn a_stream_that_its_client_takes_nothing_of_is_logged_as_that() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = folder.path().join("access.log");
    let large = vec![b'x'; 1 << 20];
    let origin = Origin::answering(reply(200).field("Cache-Control", "max-age=60").body(large));
    let gateway = Gateway::before(&origin)
        .server("write_timeout = '200ms'")
        .access_log(&log)
        .start();
    run(async {
        let mut caller = Caller::to(gateway.addr()).await;
        let request = http::Request::get("http://a/books");
        let (answer, _) = caller
            .send(request.body(()).expect("a request"), true)
            .await;
        // The first window is filled, and no other is given.
        let answer = answer.await.expect("an answer");
        let has_both = |line: &str| {
            line.contains("\"failure\":\"client_write_timeout\"")
                && line.contains("\"status\":200,")
        };
        let told = move || std::fs::read_to_string(&log).is_ok_and(|log| log.lines().any(has_both));
        let told = tokio::task::spawn_blocking(move || await_that("it is logged", told));
        told.await.expect("a line");
        assert_eq!(reset_of(answer.into_body()).await, Reason::CANCEL);
    });
}

/// Why the rest of it does not come.
async fn reset_of(mut content: RecvStream) -> Reason {
    loop {
        if let Err(error) = content.data().await.expect("no end") {
            return error.reason().expect("a reset");
        }
    }
}
