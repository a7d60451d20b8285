//! Requests go to, and wait for, whichever server has room (issue 11, point 51).

use std::thread;

use crate::common::{Gate, Gateway, Origin, Setup, reply};

/// A server that answers nothing before its gate opens.
fn gated() -> (Origin, Gate) {
    let gate = Gate::new();
    let passed = gate.clone();
    let origin = Origin::start(move |request, conn| {
        passed.pass();
        conn.reply(
            request,
            &reply(200).field("Cache-Control", "no-store").body("late"),
        );
    });
    (origin, gate)
}

fn before(servers: [&Origin; 2], lines: &str) -> Setup {
    Gateway::before_all(servers.map(Origin::url)).upstream(lines)
}

#[test]
fn a_server_without_room_costs_nobody_his_answer_while_another_has_some() {
    for (balance, workers) in [
        ("round-robin", 1),
        ("round-robin", 2),
        ("hash", 1),
        ("hash", 2),
        ("least-requests", 1),
    ] {
        let (hangs, gate) = gated();
        let idle = Origin::answering(reply(200).field("Cache-Control", "no-store").body("well"));
        let lines = format!("max_connections = 4\nqueue_timeout = '1s'\nbalance = '{balance}'");
        let gateway = before([&hangs, &idle], &lines).workers(workers).start();
        thread::scope(|scope| {
            let ask = |at| {
                let gateway = &gateway;
                scope.spawn(move || gateway.get(&format!("/{balance}/{at}")).status)
            };
            let asked: Vec<_> = (0..80).map(ask).collect();
            // All that the one that hangs has no room for.
            idle.await_requests(76);
            gate.open();
            for status in asked {
                assert_eq!(status.join().expect("a status"), 200, "{balance}");
            }
        });
        assert_eq!(hangs.count(), 4, "{balance}");
        let shown = gateway.metric("bookend_upstream_retries_total");
        assert_eq!(shown, 0, "{balance}: waiting is no failure");
    }
}

#[test]
fn a_wait_ends_where_room_is() {
    for balance in ["round-robin", "hash", "least-requests"] {
        let ((hangs, later), (busy, gate)) = (gated(), gated());
        let lines = format!("max_connections = 1\nqueue_timeout = '20s'\nbalance = '{balance}'");
        let gateway = before([&hangs, &busy], &lines).workers(1).start();
        thread::scope(|scope| {
            let ask = |at| {
                let gateway = &gateway;
                scope.spawn(move || gateway.get(&format!("/{balance}/{at}")).status)
            };
            let asked: Vec<_> = (0..8).map(ask).collect();
            hangs.await_requests(1);
            busy.await_requests(1);
            gateway.await_metric("bookend_upstream_waiting", 12);
            gate.open();
            busy.await_requests(7);
            later.open();
            for status in asked {
                assert_eq!(status.join().expect("a status"), 200, "{balance}");
            }
        });
        assert_eq!(hangs.count(), 1, "{balance}");
    }
}

#[test]
fn when_no_server_has_room_requests_are_refused_once_their_wait_is_over() {
    let ((one, first), (two, second)) = (gated(), gated());
    let lines = "max_connections = 1\nqueue_timeout = '300ms'\n[upstream.retries]\nmax = 2";
    let gateway = before([&one, &two], lines).workers(1).start();
    thread::scope(|scope| {
        let ask = |at| {
            let gateway = &gateway;
            scope.spawn(move || gateway.get(&format!("/{at}")).status)
        };
        let asked: Vec<_> = (0..2).map(ask).collect();
        one.await_requests(1);
        two.await_requests(1);
        assert_eq!(gateway.get("/no-room").status, 503);
        assert_eq!(gateway.metric("bookend_upstream_retries_total"), 0);
        first.open();
        second.open();
        for status in asked {
            assert_eq!(status.join().expect("a status"), 200);
        }
    });
}
