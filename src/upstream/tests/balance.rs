//! Several servers: which one is chosen, which one instead after a failure, which are ejected and how they come back.

use std::cell::Cell;
use std::rc::Rc;

use super::*;
use crate::config::Balance;

/// An origin that answers every request with its name, until it is killed.
struct Echo {
    origin: Rc<Origin>,
    served: Rc<Cell<usize>>,
    serving: tokio::task::JoinHandle<()>,
}

impl Echo {
    async fn start(name: &'static str) -> Self {
        Self::serve(Rc::new(Origin::start().await), name)
    }

    fn serve(origin: Rc<Origin>, name: &'static str) -> Self {
        let served = Rc::new(Cell::new(0));
        let (listener, count) = (origin.clone(), served.clone());
        let serving = tokio::task::spawn_local(async move {
            let mut connections = tokio::task::JoinSet::new();
            loop {
                let mut peer = listener.accept().await;
                let count = count.clone();
                connections.spawn_local(async move {
                    while peer.try_answer(name).await.is_some() {
                        count.set(count.get() + 1);
                    }
                });
            }
        });
        Self {
            origin,
            served,
            serving,
        }
    }

    /// Closes the port and all connections, answered or not.
    async fn kill(self) -> u16 {
        let port = self.origin.port();
        self.serving.abort();
        drop(self.serving.await);
        port
    }
}

async fn name(worker: &Worker, path: &str) -> Result<Bytes, Error> {
    read(worker.get(path).await?).await
}

#[test]
fn servers_take_turns() {
    run(async {
        let (a, b) = (Echo::start("a").await, Echo::start("b").await);
        let worker = Worker::new(&config(vec![a.origin.url(), b.origin.url()]));
        for _ in 0..10 {
            name(&worker, "/").await.expect("a response");
        }
        assert_eq!((a.served.get(), b.served.get()), (5, 5));
    });
}

#[test]
fn a_server_that_refuses_is_replaced_for_any_method_and_ejected() {
    run(async {
        for method in [Method::GET, Method::POST] {
            let (a, b) = (Echo::start("a").await, Echo::start("b").await);
            let mut config = config(vec![a.origin.url(), b.origin.url()]);
            config.ejection.failures = 3;
            let worker = Worker::new(&config);
            a.kill().await;
            for _ in 0..20 {
                let response = worker
                    .send(request(method.clone(), "/", RequestBody::Empty))
                    .await
                    .expect("the other server answers");
                assert_eq!(read(response).await.expect("content"), "b");
            }
            assert_eq!(worker.counters.retries.value(), 3, "then it is left out");
        }
    });
}

#[test]
fn an_answer_that_breaks_off_before_it_begins_is_asked_for_elsewhere_where_that_is_safe() {
    run(async {
        for (method, expected) in [
            (Method::GET, None),
            (Method::POST, Some(ErrorKind::ConnectionTerminated)),
        ] {
            let (a, b) = (Origin::start().await, Origin::start().await);
            let worker = Worker::new(&config(vec![a.url(), b.url()]));
            let script = async {
                // Whichever is asked first dies; the other answers.
                tokio::select! {
                    mut peer = a.accept() => {
                        peer.head().await;
                        drop(peer);
                        b.accept().await.answer("b").await;
                    }
                    mut peer = b.accept() => {
                        peer.head().await;
                        drop(peer);
                        a.accept().await.answer("a").await;
                    }
                }
            };
            let sent = worker.send(request(method, "/", RequestBody::Empty));
            let response = tokio::select! {
                biased;
                response = sent => response,
                () = async { script.await; std::future::pending().await } => unreachable!(),
            };
            assert_eq!(kind(response), expected);
        }
    });
}

#[test]
fn a_server_killed_among_three_costs_no_idempotent_request() {
    run(async {
        let echoes = [
            Echo::start("a").await,
            Echo::start("b").await,
            Echo::start("c").await,
        ];
        let urls = echoes.iter().map(|echo| echo.origin.url()).collect();
        let worker = Rc::new(Worker::new(&config(urls)));
        let mut clients = tokio::task::JoinSet::new();
        for _ in 0..16 {
            let worker = worker.clone();
            clients.spawn_local(async move {
                for _ in 0..50 {
                    name(&worker, "/").await.expect("a response");
                }
            });
        }
        let [a, b, c] = echoes;
        until(|| a.served.get() > 50).await;
        a.kill().await;
        while let Some(client) = clients.join_next().await {
            client.expect("no request fails");
        }
        assert!(b.served.get() > 100 && c.served.get() > 100);
        assert!(worker.counters.retries.value() > 0);
    });
}

#[test]
fn an_ejected_server_that_is_back_is_used_again() {
    run(async {
        let (a, b) = (Echo::start("a").await, Echo::start("b").await);
        let mut config = config(vec![a.origin.url(), b.origin.url()]);
        config.ejection.failures = 1;
        config.ejection.slow_start = Duration::ZERO;
        let worker = Worker::new(&config);
        let port = a.kill().await;
        for _ in 0..4 {
            assert_eq!(name(&worker, "/").await.expect("a response"), "b");
        }
        let back = Echo::serve(Rc::new(Origin::start_at(port).await), "a");
        for _ in 0..4 {
            assert_eq!(name(&worker, "/").await.expect("a response"), "b");
        }
        worker.time.advance(Duration::from_secs(5));
        for _ in 0..4 {
            name(&worker, "/").await.expect("a response");
        }
        assert_eq!(back.served.get(), 2);
    });
}

#[test]
fn when_all_servers_are_ejected_one_request_at_a_time_tries_them() {
    run(async {
        let (a, b) = (Origin::start().await, Origin::start().await);
        let mut config = config(vec![a.url(), b.url()]);
        config.ejection.failures = 1;
        let worker = Worker::new(&config);
        let fail = async |origin: &Origin| {
            let mut peer = origin.accept().await;
            peer.head().await;
        };
        let both_fail = async { tokio::join!(fail(&a), fail(&b)) };
        let (_, response) = tokio::join!(both_fail, worker.get("/"));
        assert_eq!(kind(response), Some(ErrorKind::ConnectionTerminated));

        let script = async {
            let (mut first, mut second) = tokio::join!(a.accept(), b.accept());
            tokio::join!(first.head(), second.head());
            // Both are being tried, and no other request is sent.
            assert_eq!(
                kind(worker.get("/3").await),
                Some(ErrorKind::DestinationUnavailable)
            );
            first.send("HTTP/1.1 204 No Content\r\n\r\n").await;
            second.send("HTTP/1.1 204 No Content\r\n\r\n").await;
            (first, second)
        };
        let (mut peers, one, two) = tokio::join!(script, worker.get("/1"), worker.get("/2"));
        assert!(one.is_ok() && two.is_ok());
        let answers = async {
            tokio::select! {
                head = peers.0.answer("a") => head,
                head = peers.1.answer("b") => head,
            }
        };
        let (_, response) = tokio::join!(answers, worker.get("/4"));
        assert!(response.is_ok(), "they are back");
    });
}

#[test]
fn a_single_server_is_never_ejected() {
    run(async {
        let origin = Origin::start().await;
        let port = origin.port();
        let worker = worker(&origin, |config| {
            config.ejection.failures = 1;
            config.circuit.failures = 0;
        });
        drop(origin);
        for _ in 0..5 {
            assert_eq!(
                kind(worker.get("/").await),
                Some(ErrorKind::ConnectionRefused)
            );
        }
        // Nor is it spared: each request tries it.
        let (one, two) = tokio::join!(worker.get("/"), worker.get("/"));
        assert_eq!(kind(one), Some(ErrorKind::ConnectionRefused));
        assert_eq!(kind(two), Some(ErrorKind::ConnectionRefused));
        let _back = Echo::serve(Rc::new(Origin::start_at(port).await), "back");
        assert_eq!(name(&worker, "/").await.expect("a response"), "back");
    });
}

#[test]
fn a_full_queue_sends_to_another_server_and_ejects_none() {
    run(async {
        let (a, b) = (Origin::start().await, Origin::start().await);
        let mut config = config(vec![a.url(), b.url()]);
        config.ejection.failures = 1;
        config.max_connections = 1;
        config.max_waiting = 0;
        let shared = shared(&config);
        let worker = Worker::of(shared.clone());
        // Three for two: a request that is to go to the full server goes to the other one.
        let (mut one, mut two) = (Box::pin(worker.get("/")), Box::pin(worker.get("/")));
        tokio::select! {
            biased;
            _ = &mut one => panic!("nobody answers"),
            _ = &mut two => panic!("nobody answers"),
            third = worker.get("/") => assert_eq!(kind(third), Some(ErrorKind::ConnectionLimit)),
        }
        for server in shared.servers() {
            assert_eq!((server.connections(), server.load()), (1, 1));
            let now = crate::clock::Monotonic::default();
            assert_eq!(server.availability(now), Availability::Available(1.0));
        }
        drop((one, two));
        until(|| {
            shared
                .servers()
                .iter()
                .all(|server| server.connections() == 0)
        })
        .await;
        assert!(shared.servers().iter().all(|server| server.load() == 0));
    });
}

#[test]
fn a_request_that_timed_out_in_one_queue_does_not_wait_in_another() {
    run(async {
        let (a, b) = (Origin::start().await, Origin::start().await);
        let mut config = config(vec![a.url(), b.url()]);
        config.max_connections = 1;
        config.queue_timeout = Duration::from_millis(50);
        let worker = Worker::new(&config);
        let (mut one, mut two) = (Box::pin(worker.get("/")), Box::pin(worker.get("/")));
        tokio::select! {
            biased;
            _ = &mut one => panic!("nobody answers"),
            _ = &mut two => panic!("nobody answers"),
            third = worker.get("/") => assert_eq!(kind(third), Some(ErrorKind::ConnectionLimit)),
        }
        assert_eq!(worker.counters.retries.value(), 0);
    });
}

#[test]
fn a_server_that_answers_now_and_then_is_not_ejected() {
    run(async {
        let (flaky, good) = (Origin::start().await, Echo::start("good").await);
        let mut config = config(vec![flaky.url(), good.origin.url()]);
        config.ejection.failures = 2;
        let shared = shared(&config);
        let worker = Worker::of(shared.clone());
        let script = async {
            for _ in 0..3 {
                flaky.accept().await.head().await;
                flaky.accept().await.answer("flaky").await;
            }
        };
        let clients = async {
            loop {
                name(&worker, "/").await.expect("a response");
            }
        };
        tokio::select! {
            () = script => {}
            () = clients => {}
        }
        let now = crate::clock::Monotonic::default();
        assert_eq!(
            shared.servers()[0].availability(now),
            Availability::Available(1.0)
        );
    });
}

#[test]
fn retries_end_with_their_budget() {
    run(async {
        let (a, b) = (Echo::start("a").await, Echo::start("b").await);
        let mut config = config(vec![a.origin.url(), b.origin.url()]);
        config.ejection.failures = 0;
        config.retries.budget = 0;
        config.retries.min_per_second = 3;
        let worker = Worker::new(&config);
        a.kill().await;
        let mut failures = 0;
        for _ in 0..20 {
            failures += usize::from(name(&worker, "/").await.is_err());
        }
        assert_eq!((worker.counters.retries.value(), failures), (3, 7));
    });
}

#[test]
fn a_server_that_asks_for_a_pause_gets_it_while_there_are_others() {
    run(async {
        let (busy, other) = (Origin::start().await, Echo::start("other").await);
        let worker = Worker::new(&config(vec![busy.url(), other.origin.url()]));
        let script = async {
            let mut peer = busy.accept().await;
            peer.head().await;
            peer.send("HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n")
                .await;
            peer
        };
        let exchanges = async {
            while worker.get("/").await.expect("a response").status() != 503 {}
            for _ in 0..6 {
                assert_eq!(name(&worker, "/").await.expect("a response"), "other");
            }
        };
        let (mut peer, ()) = exchange(script, exchanges).await;
        worker.time.advance(Duration::from_secs(7));
        drop(worker.get("/").await);
        let script = async {
            if peer.try_answer("rested").await.is_none() {
                busy.accept().await.answer("rested").await;
            }
        };
        let client = async { while name(&worker, "/").await.expect("a response") != "rested" {} };
        exchange(script, client).await;
    });
}

#[test]
fn least_requests_chooses_the_less_busy_server() {
    run(async {
        let (slow, quick) = (Origin::start().await, Echo::start("quick").await);
        let mut config = config(vec![slow.url(), quick.origin.url()]);
        config.balance = Balance::LeastRequests;
        let worker = Rc::new(Worker::new(&config));
        let stuck = {
            let worker = worker.clone();
            tokio::task::spawn_local(async move {
                // One of the first few goes to the slow one, and stays there.
                while name(&worker, "/").await.is_ok() {}
            })
        };
        let mut peer = slow.accept().await;
        peer.head().await;
        for _ in 0..20 {
            assert_eq!(name(&worker, "/").await.expect("a response"), "quick");
        }
        stuck.abort();
    });
}

#[test]
fn a_key_keeps_its_server_and_moves_only_when_that_is_gone() {
    run(async {
        let (a, b) = (Echo::start("a").await, Echo::start("b").await);
        let mut config = config(vec![a.origin.url(), b.origin.url()]);
        config.balance = Balance::Hash;
        let worker = Worker::new(&config);
        let ask = async |hash| {
            let outgoing = Outgoing {
                upstream: Some(0),
                request: get("/"),
                idempotent: true,
                response_timeout: None,
                max_retries: None,
                hash: Some(hash),
                waiting: None,
                trace: None,
            };
            read(worker.upstreams.send(outgoing).await?).await
        };
        let mut first = Vec::new();
        for key in 0..32 {
            first.push(ask(key).await.expect("a response"));
        }
        assert!(first.iter().any(|name| name == "a") && first.iter().any(|name| name == "b"));
        for (key, name) in (0..).zip(&first) {
            assert_eq!(ask(key).await.expect("a response"), name);
        }
        a.kill().await;
        for key in 0..32 {
            assert_eq!(ask(key).await.expect("a response"), "b");
        }
    });
}
