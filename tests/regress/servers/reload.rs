//! A reload keeps what is known of a server that stays, and its connections (issue 11, point 49).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::common::{
    Answer, Client, Conn, Gate, Gateway, Origin, Request, Setup, await_that, get, reply,
};

/// No response is stored, and each failure is told to the client.
const PLAIN: &str = "queue_timeout = '200ms'\n[upstream.retries]\nmax = 0";

fn well() -> Origin {
    Origin::answering(reply(200).body("well"))
}

fn before(servers: &[&Origin]) -> Setup {
    let urls: Vec<_> = servers.iter().map(|origin| origin.url()).collect();
    Gateway::before_all(urls).workers(1)
}

/// The statuses of so many GETs of different URLs.
fn statuses(gateway: &Gateway, times: usize) -> Vec<u16> {
    let status = |at| gateway.get(&format!("/{at}")).status;
    (0..times).map(status).collect()
}

/// Waits until no request goes to the server with this URL.
fn await_left_out(gateway: &Gateway, server: &Origin) {
    await_that("a server is left out", || {
        fit(gateway, server) == Some(false)
    });
}

fn fit(gateway: &Gateway, server: &Origin) -> Option<bool> {
    let metrics = Client::to(gateway.admin_addr()).get("/metrics").text();
    let mut lines = metrics.lines();
    let line = lines
        .find(|line| line.starts_with("bookend_upstream_up{") && line.contains(&server.url()))?;
    Some(line.ends_with(" 1"))
}

#[test]
fn a_server_that_was_left_out_stays_out() {
    let ejection = "[upstream.ejection]\nfailures = 2\ntime = '60s'";
    let health = "[upstream.health]\npath = '/healthz'\ninterval = '20ms'\nunhealthy = 1";
    type Bad = fn(&Request, &mut Conn);
    let breaks: Bad = |_, conn| conn.reset();
    let rests: Bad =
        |request, conn| conn.reply(request, &reply(503).field("Retry-After", "60").body("no"));
    let fails: Bad = |request, conn| conn.reply(request, &reply(500).body("no"));
    for (what, bad, rules) in [
        ("ejected", breaks, ejection),
        ("resting", rests, ""),
        ("unhealthy", fails, health),
    ] {
        let (bad, good) = (Origin::start(bad), well());
        let setup = before(&[&bad, &good]).upstream(&format!("{PLAIN}\n{rules}"));
        let gateway = setup.clone().start();
        statuses(&gateway, 8);
        await_left_out(&gateway, &bad);
        for _ in 0..3 {
            gateway.reload(&setup);
            assert_eq!(statuses(&gateway, 8), [200; 8], "{what}");
        }
    }
}

#[test]
fn a_circuit_stays_open() {
    let dead = well();
    let setup = before(&[&dead]).upstream(&format!(
        "{PLAIN}\n[upstream.circuit]\nfailures = 1\ntime = '60s'\nmax_time = '60s'"
    ));
    let gateway = setup.clone().start();
    dead.refuse(true);
    assert_eq!(statuses(&gateway, 2), [502, 503]);
    dead.refuse(false);
    gateway.reload(&setup);
    assert_eq!(statuses(&gateway, 2), [503, 503]);
    assert_eq!(dead.connections(), 0);
}

#[test]
fn a_server_keeps_its_idle_connections() {
    let (first, second) = (well(), well());
    let setup = before(&[&first, &second]);
    let gateway = setup.clone().start();
    for _ in 0..4 {
        assert_eq!(statuses(&gateway, 4), [200; 4]);
        gateway.reload(&setup);
    }
    assert_eq!((first.connections(), second.connections()), (1, 1));
    // One that has left keeps none.
    gateway.reload(&before(&[&second]));
    first.await_idle();
}

/// A server that answers nothing before its gate opens.
fn silent() -> (Origin, Gate) {
    let gate = Gate::new();
    let passed = gate.clone();
    let origin = Origin::start(move |request, conn| {
        passed.pass();
        conn.reply(request, &reply(200).body("late"));
    });
    (origin, gate)
}

/// Sends so many GETs, each from a client of its own, in threads.
fn send(gateway: &Arc<Gateway>, paths: &[&str]) -> Vec<thread::JoinHandle<Answer>> {
    let one = |path: &&str| {
        let (gateway, path) = (gateway.clone(), (*path).to_owned());
        thread::spawn(move || gateway.client().send(&get(&path)))
    };
    paths.iter().map(one).collect()
}

#[test]
fn connections_that_are_open_count_towards_the_cap() {
    let (origin, gate) = silent();
    let cap = |most| before(&[&origin]).upstream(&format!("max_connections = {most}\n{PLAIN}"));
    let gateway = Arc::new(cap(2).start());
    let mut asked = send(&gateway, &["/1", "/2"]);
    origin.await_requests(2);
    gateway.reload(&cap(2));
    assert_eq!(gateway.get("/3").status, 503, "the cap is two");
    gateway.reload(&cap(3));
    asked.extend(send(&gateway, &["/4"]));
    origin.await_requests(3);
    gateway.reload(&cap(1));
    assert_eq!(gateway.get("/5").status, 503);
    gate.open();
    for asked in asked {
        assert_eq!(asked.join().expect("an answer").status, 200);
    }
    assert_eq!(origin.connections(), 3);
    await_that("the surplus is closed", || {
        gateway.metric("bookend_upstream_connections") <= 1
    });
    assert_eq!(gateway.get("/6").status, 200);
}

#[test]
fn a_higher_cap_is_for_those_that_wait_too() {
    let (origin, gate) = silent();
    let cap = |most| {
        before(&[&origin]).upstream(&format!("max_connections = {most}\nqueue_timeout = '20s'"))
    };
    let gateway = Arc::new(cap(1).start());
    let asked = send(&gateway, &["/1", "/2", "/3"]);
    origin.await_requests(1);
    gateway.await_metric("bookend_upstream_waiting", 2);
    gateway.reload(&cap(3));
    origin.await_requests(3);
    gate.open();
    for asked in asked {
        assert_eq!(asked.join().expect("an answer").status, 200);
    }
}

#[test]
fn checks_of_a_server_that_left_end_at_once_and_those_of_a_new_one_begin() {
    let closed = Gate::new();
    let saw = closed.clone();
    let leaves = Origin::start(move |_, conn| {
        // Long before the check's own deadline.
        conn.await_close();
        saw.open();
    });
    let (stays, comes) = (well(), well());
    let health = "[upstream.health]\npath = '/healthz'\ntimeout = '60s'\ninterval = '60s'";
    let gateway = before(&[&leaves, &stays]).upstream(health).start();
    leaves.await_requests(1);
    stays.await_requests(1);
    gateway.reload(&before(&[&stays, &comes]).upstream(health));
    closed.pass();
    // No request has come: an idle gateway takes new settings over, too.
    comes.await_requests(1);
    assert_eq!((leaves.count(), stays.count()), (1, 1));
}

/// The servers that answered, by GETs that must all be answered.
fn asked_while_unchecked(gateway: &Gateway, unchecked: &Origin) {
    assert_eq!(statuses(gateway, 12), [200; 12]);
    let paths: Vec<_> = unchecked.requests().into_iter().map(|r| r.target).collect();
    assert!(paths.iter().all(|path| path == "/healthz"), "{paths:?}");
}

#[test]
fn a_server_is_asked_before_it_gets_its_share() {
    let health = "[upstream.health]\npath = '/healthz'\ninterval = '20ms'\ntimeout = '5s'";
    // At the start, and by a reload; one that hangs, one that fails.
    for hangs in [true, false] {
        let good = well();
        let opened = Arc::new(AtomicBool::new(false));
        let is_open = opened.clone();
        let gate = Gate::new();
        let passed = gate.clone();
        let new = Origin::start(move |request, conn| {
            if hangs && !is_open.load(Ordering::Acquire) {
                passed.pass();
            }
            let status = if is_open.load(Ordering::Acquire) {
                200
            } else {
                500
            };
            conn.reply(request, &reply(status).body("new"));
        });
        let both = before(&[&new, &good]).upstream(&format!("{PLAIN}\n{health}"));
        let started = both.clone().start();
        asked_while_unchecked(&started, &new);
        let gateway = before(&[&good])
            .upstream(&format!("{PLAIN}\n{health}"))
            .start();
        statuses(&gateway, 1);
        gateway.reload(&both);
        asked_while_unchecked(&gateway, &new);
        opened.store(true, Ordering::Release);
        gate.open();
        await_that("the new server gets its share", || {
            statuses(&gateway, 2);
            new.requests()
                .iter()
                .any(|request| request.target != "/healthz")
        });
    }
}

#[test]
fn a_server_that_is_reached_in_another_way_begins_anew() {
    let origin = well();
    let plain = before(&[&origin]).upstream(PLAIN);
    // It does not speak HTTP/2: each request fails, and the circuit may open.
    let wrong = before(&[&origin]).upstream(&format!("protocol = 'h2c'\n{PLAIN}"));
    let gateway = plain.clone().start();
    assert_eq!(statuses(&gateway, 2), [200; 2]);
    gateway.reload(&wrong);
    assert!(!statuses(&gateway, 8).contains(&200));
    gateway.reload(&plain);
    assert_eq!(statuses(&gateway, 2), [200; 2]);
}
