//! The cap of connections: which requests wait, in what order, and for how long.

use super::*;

#[test]
fn a_request_beyond_the_cap_waits_and_gets_the_connection_that_becomes_free() {
    run(async {
        let (origin, worker) = start(|config| config.max_connections = 1).await;
        let script = async {
            let mut peer = origin.accept().await;
            let mut order = Vec::new();
            for _ in 0..3 {
                let head = peer.answer("ok").await;
                order.push(head[5..6].to_owned());
            }
            order
        };
        let ask = async |path: &str| read(worker.get(path).await?).await;
        let (order, a, b, c) = tokio::join!(script, ask("/a"), ask("/b"), ask("/c"));
        assert!(a.is_ok() && b.is_ok() && c.is_ok());
        assert_eq!(order, ["a", "b", "c"], "first come, first served");
        assert_eq!(worker.counters.connects.value(), 1);
    });
}

#[test]
fn a_wait_ends_at_its_deadline() {
    run(async {
        let (origin, worker) = start(|config| {
            config.max_connections = 1;
            config.queue_timeout = Duration::from_millis(50);
        })
        .await;
        let mut first = Box::pin(worker.get("/"));
        tokio::select! {
            _ = &mut first => panic!("nobody answers"),
            second = async {
                let mut peer = origin.accept().await;
                peer.head().await;
                worker.get("/").await
            } => assert_eq!(kind(second), Some(ErrorKind::ConnectionLimit)),
        }
    });
}

#[test]
fn a_full_queue_refuses_at_once() {
    run(async {
        let (_origin, worker) = start(|config| {
            config.max_connections = 1;
            config.max_waiting = 1;
        })
        .await;
        let (mut first, mut second) = (Box::pin(worker.get("/")), Box::pin(worker.get("/")));
        tokio::select! {
            biased;
            _ = &mut first => panic!("nobody answers"),
            _ = &mut second => panic!("the cap is one"),
            third = worker.get("/") => assert_eq!(kind(third), Some(ErrorKind::ConnectionLimit)),
        }
    });
}

#[test]
fn a_request_that_leaves_the_queue_delays_no_other() {
    run(async {
        let (origin, worker) = start(|config| config.max_connections = 1).await;
        let mut first = Box::pin(worker.get("/1"));
        let mut leaver = Box::pin(worker.get("/2"));
        let mut third = Box::pin(worker.get("/3"));
        let mut peer = tokio::select! {
            biased;
            _ = &mut first => panic!("nobody has answered"),
            _ = &mut leaver => panic!("the cap is one"),
            _ = &mut third => panic!("the cap is one"),
            peer = origin.accept() => peer,
        };
        drop(leaver);
        let script = async {
            peer.answer("one").await;
            peer.answer("three").await
        };
        let exchanges = async {
            read(first.await?).await?;
            read(third.await?).await
        };
        let (head, last) = exchange(script, exchanges).await;
        assert!(head.starts_with("GET /3 "), "{head}");
        assert_eq!(last.expect("content"), "three");
    });
}

#[test]
fn a_connection_that_breaks_makes_room_for_a_new_one() {
    run(async {
        let (origin, worker) = start(|config| config.max_connections = 1).await;
        let script = async {
            origin.accept().await.head().await;
            origin.accept().await.answer("ok").await;
        };
        let (_, first, second) = tokio::join!(script, worker.get("/1"), worker.get("/2"));
        assert_eq!(kind(first), Some(ErrorKind::ConnectionTerminated));
        assert!(second.is_ok());
    });
}

#[test]
fn the_cap_is_one_for_all_workers_and_an_idle_connection_of_another_makes_room() {
    run(async {
        let origin = Origin::start().await;
        let mut config = config(vec![origin.url()]);
        config.max_connections = 1;
        let shared = shared(&config);
        let (first, second) = (Worker::of(shared.clone()), Worker::of(shared));
        let script = async {
            let mut peer = origin.accept().await;
            peer.answer("one").await;
            peer.closed().await;
            origin.accept().await.answer("two").await;
        };
        let exchanges = async {
            read(first.get("/").await?).await?;
            assert_eq!(
                first.counters.connections.value(),
                1,
                "idle, and in the way"
            );
            read(second.get("/").await?).await
        };
        let (_, last) = exchange(script, exchanges).await;
        assert_eq!(last.expect("content"), "two");
        assert_eq!(first.counters.connections.value(), 0);
    });
}

#[test]
fn a_worker_without_any_connection_is_not_starved_by_a_busy_one() {
    run(async {
        let origin = Origin::start().await;
        let mut config = config(vec![origin.url()]);
        config.max_connections = 1;
        let shared = shared(&config);
        let (busy, starved) = (Worker::of(shared.clone()), Worker::of(shared));
        let script = async {
            let mut served = Vec::new();
            loop {
                let mut peer = origin.accept().await;
                while let Some(head) = peer.try_answer("ok").await {
                    served.push(head[5..6].to_owned());
                    if served.len() == 4 {
                        return served;
                    }
                }
            }
        };
        let ask = async |worker: &Worker, path: &str| read(worker.get(path).await?).await;
        let exchanges = async {
            let all = tokio::join!(
                ask(&busy, "/1"),
                ask(&busy, "/2"),
                ask(&starved, "/s"),
                ask(&busy, "/3"),
            );
            assert!(all.0.is_ok() && all.1.is_ok() && all.2.is_ok() && all.3.is_ok());
        };
        let served = tokio::select! {
            served = script => served,
            () = async { exchanges.await; std::future::pending().await } => unreachable!(),
        };
        assert_eq!(
            served.iter().position(|path| path == "s"),
            Some(2),
            "{served:?}"
        );
    });
}

#[test]
fn a_connection_that_becomes_free_makes_room_for_a_request_of_another_worker() {
    run(async {
        let origin = Origin::start().await;
        let mut config = config(vec![origin.url()]);
        config.max_connections = 2;
        // Sooner than the next sweep of idle connections.
        config.queue_timeout = Duration::from_millis(500);
        let shared = shared(&config);
        let (first, second) = (Worker::of(shared.clone()), Worker::of(shared));
        let script = async {
            let mut peers = [origin.accept().await, origin.accept().await];
            let heads = [peers[0].head().await, peers[1].head().await];
            let of_first = usize::from(heads[1].starts_with("GET /first "));
            peers[of_first]
                .send("HTTP/1.1 204 No Content\r\n\r\n")
                .await;
            origin.accept().await.answer("waited").await;
            peers
        };
        let stuck = tokio::time::timeout(Duration::from_secs(1), second.get("/stuck"));
        let (_peers, one, _stuck, waited) =
            tokio::join!(script, first.get("/first"), stuck, second.get("/waits"));
        assert!(one.is_ok() && waited.is_ok());
    });
}
