//! A server that is unresponsive where there is no other: which requests wait for it, and how it comes back.

use super::name_server::{NameServer, Says, named};
use super::*;

const PAUSE: Duration = Duration::from_millis(250);

async fn fails(worker: &Worker) -> Option<ErrorKind> {
    kind(worker.get("/").await)
}

/// Takes connections and their requests, and answers none.
async fn ignore(origin: &Origin) {
    let mut held = Vec::new();
    loop {
        held.push(origin.accept().await);
    }
}

#[test]
fn a_single_server_that_refuses_is_tried_now_and_then_and_used_again_at_once() {
    run(async {
        let origin = Origin::start().await;
        let port = origin.port();
        let worker = worker(&origin, |config| config.circuit.failures = 3);
        drop(origin);
        for _ in 0..3 {
            assert_eq!(fails(&worker).await, Some(ErrorKind::ConnectionRefused));
        }
        for _ in 0..3 {
            for _ in 0..3 {
                let unsent = Some(ErrorKind::DestinationUnavailable);
                assert_eq!(fails(&worker).await, unsent);
            }
            worker.time.advance(PAUSE);
            assert_eq!(fails(&worker).await, Some(ErrorKind::ConnectionRefused));
        }
        assert_eq!(worker.counters.unavailable.value(), 9);
        let origin = Origin::start_at(port).await;
        worker.time.advance(PAUSE);
        let script = async {
            let mut peer = origin.accept().await;
            for _ in 0..3 {
                peer.answer("back").await;
            }
        };
        let clients = async {
            for _ in 0..3 {
                let answer = worker.get("/").await.expect("a response");
                assert_eq!(read(answer).await.expect("content"), "back");
            }
        };
        exchange(script, clients).await;
    });
}

#[test]
fn a_connection_timeout_opens_the_circuit_too() {
    run(async {
        let names = NameServer::start(Says::Nothing).await;
        let mut config = named(&names, 80);
        config.connect_timeout = Duration::from_millis(20);
        config.circuit.failures = 2;
        let worker = Worker::new(&config);
        for _ in 0..2 {
            assert_eq!(fails(&worker).await, Some(ErrorKind::ConnectionTimeout));
        }
        let unsent = Some(ErrorKind::DestinationUnavailable);
        assert_eq!(fails(&worker).await, unsent);
        // A trial that times out doubles the pause.
        for pauses in [1, 2, 4, 8, 8] {
            worker
                .time
                .advance(PAUSE * pauses - Duration::from_millis(1));
            assert_eq!(fails(&worker).await, unsent);
            worker.time.advance(Duration::from_millis(1));
            assert_eq!(fails(&worker).await, Some(ErrorKind::ConnectionTimeout));
        }
    });
}

#[test]
fn one_request_tries_and_the_others_do_not_wait_for_it() {
    run(async {
        let (origin, worker) = start(|config| {
            config.circuit.failures = 1;
            config.response_timeout = Duration::from_millis(100);
        })
        .await;
        let no_answer = async {
            let mut peer = origin.accept().await;
            peer.head().await;
            peer.closed().await;
        };
        let ((), failed) = tokio::join!(no_answer, worker.get("/"));
        assert_eq!(kind(failed), Some(ErrorKind::ResponseTimeout));
        worker.time.advance(PAUSE);
        let script = async {
            let mut peer = origin.accept().await;
            peer.head().await;
            let unsent = Some(ErrorKind::DestinationUnavailable);
            assert_eq!(fails(&worker).await, unsent);
            // Whatever it says.
            peer.send("HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n")
                .await;
            peer
        };
        let (mut peer, tried) = exchange(script, worker.get("/")).await;
        assert_eq!(tried.expect("a response").status(), 500);
        let (_, next) = tokio::join!(peer.answer("back"), worker.get("/"));
        assert!(next.is_ok());
    });
}

#[test]
fn a_timeout_while_other_requests_are_answered_does_not_open_the_circuit() {
    run(async {
        let (origin, worker) = start(|config| {
            config.circuit.failures = 2;
            config.response_timeout = Duration::from_millis(100);
        })
        .await;
        let script = async {
            let mut slow = Vec::new();
            for _ in 0..4 {
                let mut peer = origin.accept().await;
                peer.head().await;
                slow.push(peer);
            }
            let mut quick = origin.accept().await;
            quick.answer("quick").await;
            (slow, quick)
        };
        let slow = async {
            tokio::join!(
                fails(&worker),
                fails(&worker),
                fails(&worker),
                fails(&worker)
            )
        };
        let quick = async {
            // Behind the others.
            tokio::task::yield_now().await;
            read(worker.get("/quick").await.expect("a response")).await
        };
        let ((_slow, mut peer), timeouts, answered) = tokio::join!(script, slow, quick);
        let late = Some(ErrorKind::ResponseTimeout);
        assert_eq!(timeouts, (late, late, late, late));
        assert!(answered.is_ok());
        let (_, next) = tokio::join!(peer.try_answer("quick"), worker.get("/quick"));
        assert!(next.is_ok());
    });
}

#[test]
fn a_server_that_breaks_off_or_answers_errors_is_responsive() {
    run(async {
        let (origin, worker) = start(|config| config.circuit.failures = 1).await;
        let script = async {
            for _ in 0..3 {
                origin.accept().await.head().await;
                let mut peer = origin.accept().await;
                peer.head().await;
                peer.send("HTTP/1.1 503 Busy\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
                    .await;
            }
        };
        let clients = async {
            for _ in 0..3 {
                assert_eq!(fails(&worker).await, Some(ErrorKind::ConnectionTerminated));
                let answer = worker.get("/").await.expect("a response");
                assert_eq!(answer.status(), 503);
                read(answer).await.expect("content");
            }
        };
        exchange(script, clients).await;
    });
}

#[test]
fn when_all_of_several_servers_are_unresponsive_one_request_each_tries_them() {
    run(async {
        let (a, b) = (Origin::start().await, Origin::start().await);
        let mut config = config(vec![a.url(), b.url()]);
        config.ejection.failures = 1;
        config.circuit.failures = 1;
        config.response_timeout = Duration::from_millis(100);
        config.retries.max = 0;
        let worker = Worker::new(&config);
        let clients = async {
            let late = Some(ErrorKind::ResponseTimeout);
            let unsent = Some(ErrorKind::DestinationUnavailable);
            let (one, two) = (fails(&worker).await, fails(&worker).await);
            assert_eq!((one, two), (late, late));
            assert_eq!(fails(&worker).await, unsent);
            // Their time is over: that alone makes no request wait.
            worker.time.advance(config.ejection.time);
            let three = async { tokio::join!(fails(&worker), fails(&worker), fails(&worker)) };
            assert_eq!(three.await, (late, late, unsent));
        };
        tokio::select! {
            () = ignore(&a) => {}
            () = ignore(&b) => {}
            () = clients => {}
        }
    });
}

#[test]
fn a_successful_health_check_closes_the_circuit() {
    run(async {
        let origin = Origin::start().await;
        let port = origin.port();
        let worker = worker(&origin, |config| {
            config.circuit.failures = 1;
            config.health.path = Some("/healthz".to_owned());
            config.health.interval = Duration::from_millis(5);
            config.health.unhealthy = 1_000;
        });
        drop(origin);
        assert_eq!(fails(&worker).await, Some(ErrorKind::ConnectionRefused));
        let unsent = Some(ErrorKind::DestinationUnavailable);
        assert_eq!(fails(&worker).await, unsent);
        let origin = Origin::start_at(port).await;
        let serve = async {
            loop {
                origin.accept().await.try_answer("well").await;
            }
        };
        let client = async {
            while worker.get("/").await.is_err() {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            () = serve => {}
            () = client => {}
        }
    });
}
