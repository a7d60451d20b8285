//! Connections that requests share: how many at a time, which wait, and what happens to a request whose connection or
//! stream ends before it is answered.

use super::frames::*;
use super::*;
use crate::upstream::tests::uploads::{data, feed};

async fn ask(worker: &Worker, path: &str) -> Result<Bytes, Error> {
    read(worker.get(path).await?).await
}

fn post() -> Request<RequestBody> {
    let content = Bytes::from_static(b"a book");
    request(Method::POST, "/books", RequestBody::Full(content))
}

/// The same, with content that is passed on while it comes.
fn post_stream() -> Request<RequestBody> {
    let (frames, stream) = feed(None);
    frames.send(data("a book")).expect("a reader");
    request(Method::POST, "/books", RequestBody::Stream(stream))
}

#[test]
fn requests_share_a_connection_and_are_answered_in_any_order() {
    run(async {
        let origin = Origin::start().await;
        let worker = speaking(&origin, |_| {});
        let script = async {
            let mut server = accept(&origin).await;
            let streams = [
                server.asked().await,
                server.asked().await,
                server.asked().await,
            ];
            assert_eq!(streams, [1, 3, 5]);
            for (stream, content) in [(5, "c"), (1, "a"), (3, "b")] {
                server.answer(stream, content).await;
            }
            server
        };
        let (_server, a, b, c) = tokio::join!(
            script,
            ask(&worker, "/a"),
            ask(&worker, "/b"),
            ask(&worker, "/c")
        );
        assert_eq!(
            (&*a.unwrap(), &*b.unwrap(), &*c.unwrap()),
            (&b"a"[..], &b"b"[..], &b"c"[..])
        );
        assert_eq!(worker.counters.connects.value(), 1);
    });
}

#[test]
fn no_more_streams_are_opened_than_the_server_allows_and_the_rest_wait_in_the_queue() {
    run(async {
        let origin = Origin::start().await;
        let worker = speaking(&origin, |config| {
            config.max_connections = 1;
            config.max_waiting = 1;
        });
        let script = async {
            let mut server = greet(&origin, &[(MAX_CONCURRENT_STREAMS, 1)]).await;
            assert_eq!(server.asked().await, 1);
            // One is answered, one waits, and for a third one there is no room.
            assert_eq!(
                kind(worker.get("/c").await),
                Some(ErrorKind::ConnectionLimit)
            );
            server.answer(1, "a").await;
            assert_eq!(server.asked().await, 3);
            server.answer(3, "b").await;
            server
        };
        let (_server, a, b) = tokio::join!(script, ask(&worker, "/a"), ask(&worker, "/b"));
        assert!(a.is_ok() && b.is_ok());
        assert_eq!(worker.counters.connects.value(), 1);
    });
}

#[test]
fn a_wait_for_a_stream_ends_at_its_deadline() {
    run(async {
        let origin = Origin::start().await;
        let worker = speaking(&origin, |config| {
            config.max_connections = 1;
            config.http2.max_concurrent_streams = 1;
            config.queue_timeout = Duration::from_millis(50);
        });
        let script = async {
            let mut server = accept(&origin).await;
            server.asked().await;
            assert_eq!(
                kind(worker.get("/b").await),
                Some(ErrorKind::ConnectionLimit)
            );
            server.answer(1, "a").await;
            server
        };
        let (_server, a) = tokio::join!(script, ask(&worker, "/a"));
        assert!(a.is_ok());
    });
}

#[test]
fn another_connection_is_opened_where_one_is_full_and_the_cap_allows_it() {
    run(async {
        let origin = Origin::start().await;
        let worker = speaking(&origin, |config| config.http2.max_concurrent_streams = 1);
        let script = async {
            let mut first = accept(&origin).await;
            first.asked().await;
            let mut second = accept(&origin).await;
            second.asked().await;
            first.answer(1, "one").await;
            second.answer(1, "two").await;
            (first, second)
        };
        let (_servers, a, b) = tokio::join!(script, ask(&worker, "/a"), ask(&worker, "/b"));
        assert_eq!((&*a.unwrap(), &*b.unwrap()), (&b"one"[..], &b"two"[..]));
    });
}

#[test]
fn requests_beyond_the_last_of_a_goaway_are_sent_again_whatever_their_method() {
    run(async {
        for post in [post, post_stream] {
            let origin = Origin::start().await;
            let worker = speaking(&origin, |_| {});
            let script = async {
                let mut first = accept(&origin).await;
                assert_eq!((first.asked().await, first.asked().await), (1, 3));
                first.go_away(1, NO_ERROR).await;
                let mut second = accept(&origin).await;
                assert_eq!(second.asked().await, 1);
                assert_eq!(second.until(DATA).await.payload, b"a book");
                second.answer(1, "made").await;
                // What it has taken up, it answers.
                first.answer(1, "a").await;
                first.closed().await;
                second
            };
            let write = async { read(worker.send(post()).await?).await };
            let (_server, a, made) = tokio::join!(script, ask(&worker, "/a"), write);
            assert_eq!((&*a.unwrap(), &*made.unwrap()), (&b"a"[..], &b"made"[..]));
        }
    });
}

/// As nginx does it with `keepalive_requests`: each connection takes so many requests, and no more.
#[test]
fn a_server_that_takes_few_requests_on_a_connection_gets_all_of_them_in_the_end() {
    run(async {
        let origin = Origin::start().await;
        let worker = speaking(&origin, |_| {});
        let script = async {
            let mut servers = Vec::new();
            // Those that are refused twice open one each.
            for left in [4, 3, 1, 1] {
                let mut server = accept(&origin).await;
                for at in 0..left {
                    assert_eq!(server.asked().await, 2 * at + 1);
                }
                server.go_away(1, NO_ERROR).await;
                server.answer(1, "made").await;
                servers.push(server);
            }
            servers
        };
        let write = async || read(worker.send(post_stream()).await?).await;
        let (_servers, a, b, c, d) = tokio::join!(script, write(), write(), write(), write());
        for made in [a, b, c, d] {
            assert_eq!(made.unwrap(), "made");
        }
    });
}

#[test]
fn a_connection_that_is_going_away_gets_no_further_request() {
    run(async {
        let origin = Origin::start().await;
        let worker = speaking(&origin, |_| {});
        let script = async {
            let mut first = accept(&origin).await;
            first.asked().await;
            first.answer(1, "a").await;
            first.go_away(1, NO_ERROR).await;
            first.closed().await;
            let mut second = accept(&origin).await;
            second.asked().await;
            second.answer(1, "b").await;
            second
        };
        let asks = async {
            ask(&worker, "/a").await.unwrap();
            until(|| worker.upstreams.0[0].shared.servers()[0].connections() == 0).await;
            read(worker.send(post()).await?).await
        };
        let (_server, b) = exchange(script, asks).await;
        assert_eq!(b.unwrap(), "b");
        assert_eq!(worker.counters.retries.value(), 0);
    });
}

#[test]
fn a_refused_stream_is_sent_again_even_a_first_one() {
    run(async {
        for post in [post, post_stream] {
            let origin = Origin::start().await;
            let worker = speaking(&origin, |_| {});
            let script = async {
                let mut first = accept(&origin).await;
                first.asked().await;
                first.until(DATA).await;
                first.reset(1, REFUSED_STREAM).await;
                let mut second = accept(&origin).await;
                second.asked().await;
                assert_eq!(second.until(DATA).await.payload, b"a book");
                second.answer(1, "made").await;
                // No third time: the next one is refused for good.
                second.asked().await;
                second.reset(3, REFUSED_STREAM).await;
                let mut third = accept(&origin).await;
                third.asked().await;
                third.reset(1, REFUSED_STREAM).await;
                (first, second, third)
            };
            let asks = async {
                read(worker.send(post()).await.unwrap()).await.unwrap();
                kind(worker.send(post()).await)
            };
            let (_servers, refused) = exchange(script, asks).await;
            assert_eq!(refused, Some(ErrorKind::ConnectionTerminated));
            assert_eq!(worker.counters.retries.value(), 2);
        }
    });
}

#[test]
fn a_connection_that_breaks_takes_only_what_may_not_be_sent_twice_with_it() {
    run(async {
        let origin = Origin::start().await;
        let worker = speaking(&origin, |_| {});
        let script = async {
            let mut first = accept(&origin).await;
            first.asked().await;
            first.answer(1, "warm").await;
            assert_eq!((first.asked().await, first.asked().await), (3, 5));
            first.until(DATA).await;
            // It may have taken up both.
            first.go_away(5, INTERNAL_ERROR).await;
            first.break_off();
            let mut second = accept(&origin).await;
            second.asked().await;
            second.answer(1, "again").await;
            second
        };
        let asks = async {
            ask(&worker, "/").await.unwrap();
            tokio::join!(ask(&worker, "/a"), worker.send(post()))
        };
        let (_server, (read, written)) = exchange(script, asks).await;
        assert_eq!(read.unwrap(), "again");
        assert_eq!(kind(written), Some(ErrorKind::ConnectionTerminated));
        assert_eq!(worker.counters.retries.value(), 1);
    });
}

#[test]
fn a_stream_that_is_reset_for_another_reason_is_not_sent_again() {
    run(async {
        for code in [NO_ERROR, INTERNAL_ERROR, CANCEL] {
            let origin = Origin::start().await;
            let worker = speaking(&origin, |_| {});
            let script = async {
                let mut server = accept(&origin).await;
                server.asked().await;
                server.answer(1, "warm").await;
                server.asked().await;
                server.reset(3, code).await;
                server.asked().await;
                server.answer(5, "well").await;
                server
            };
            let asks = async {
                ask(&worker, "/").await.unwrap();
                let broken = kind(ask(&worker, "/").await);
                (broken, ask(&worker, "/").await.unwrap())
            };
            let (_server, (broken, after)) = exchange(script, asks).await;
            assert_eq!(broken, Some(ErrorKind::ConnectionTerminated), "{code}");
            assert_eq!(after, "well", "the connection is none the worse");
            assert_eq!(worker.counters.connects.value(), 1);
        }
    });
}

#[test]
fn a_server_that_does_not_speak_http2_is_an_error_that_says_so() {
    run(async {
        for answer in ["HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", ""] {
            let origin = Origin::start().await;
            let worker = speaking(&origin, |_| {});
            let script = async {
                let mut peer = origin.accept().await;
                peer.content(24).await;
                peer.send(answer).await;
            };
            let (_, asked) = exchange(script, worker.get("/")).await;
            let error = asked.expect_err("no HTTP/2");
            assert_eq!(error.kind(), ErrorKind::ResponseProtocol);
            assert!(error.to_string().contains("HTTP/2"), "{error}");
        }
    });
}

#[test]
fn a_server_that_sends_no_settings_times_out_for_all_that_wait_for_it() {
    run(async {
        let origin = Origin::start().await;
        let worker = speaking(&origin, |config| {
            config.connect_timeout = Duration::from_millis(50)
        });
        let script = async {
            let mut peer = origin.accept().await;
            peer.closed().await;
        };
        let (_, a, b) = tokio::join!(script, worker.get("/a"), worker.get("/b"));
        assert_eq!(kind(a), Some(ErrorKind::ConnectionTimeout));
        assert_eq!(kind(b), Some(ErrorKind::ConnectionTimeout));
        assert_eq!(worker.counters.connects.value(), 1);
    });
}

#[test]
fn an_idle_connection_is_closed_in_time() {
    run(async {
        let origin = Origin::start().await;
        let worker = speaking(&origin, |config| {
            config.idle_timeout = Duration::from_secs(9)
        });
        let script = async {
            let mut server = accept(&origin).await;
            server.asked().await;
            server.answer(1, "a").await;
            server.until(GOAWAY).await;
            server.closed().await;
        };
        let asks = async {
            ask(&worker, "/a").await.unwrap();
            worker.time.advance(Duration::from_secs(10));
        };
        exchange(script, asks).await;
    });
}

#[test]
fn health_checks_speak_http2_too() {
    run(async {
        let origin = Origin::start().await;
        let worker = speaking(&origin, |config| {
            config.health.path = Some("/healthz".to_owned());
            config.health.interval = Duration::from_millis(5);
            config.health.unhealthy = 1;
        });
        let shared = worker.upstreams.0[0].shared.clone();
        worker.upstreams.start();
        let unhealthy = || {
            let availability = shared.servers()[0].availability(crate::clock::Monotonic::default());
            availability == Availability::Unhealthy
        };
        let mut server = accept(&origin).await;
        server.asked().await;
        server.fields(1, END_STREAM, &[(":status", "503")]).await;
        until(unhealthy).await;
        server.closed().await;
        let mut server = accept(&origin).await;
        server.asked().await;
        server.fields(1, END_STREAM, &[(":status", "204")]).await;
        server.closed().await;
    });
}
