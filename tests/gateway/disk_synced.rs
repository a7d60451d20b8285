//! `sync = true` of the disk tier: an answer waits until the device has what it acknowledges, and nobody else does.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use bookend::faults::{Fate, Operation};
use serde_json::Value;
use tempfile::TempDir;

use crate::common::{Answer, Client, Gate, Gateway, Origin, Setup, get, post, reply, request};

const EIO: i32 = 5;
const HOST: &str = "books.example";

fn api() -> Origin {
    Origin::answering(
        reply(200)
            .field("Cache-Control", "max-age=60")
            .body("a book"),
    )
}

/// A gateway of one worker, which whoever waits on it would hold up.
fn setup(origin: &Origin, directory: &TempDir) -> Setup {
    let disk = format!("[disk]\npath = {:?}\nsync = true", directory.path());
    let server = "purge_from = [\"127.0.0.1\"]";
    let setup = Gateway::before(origin).workers(1).server(server);
    setup.more(&disk)
}

fn purge(gateway: &Gateway, query: &str) -> (u16, Value) {
    let answer = Client::to(gateway.admin_addr()).send(&post(&format!("/purge?{query}"), ""));
    let outcome = serde_json::from_str(&answer.text()).expect("JSON");
    (answer.status, outcome)
}

fn ask(gateway: &Gateway, path: &str) -> Answer {
    gateway.send(&get(path).field("Host", HOST)).expect(200)
}

/// A gateway with two books stored, whose device takes nothing until the gate is open.
struct Slow {
    gateway: Gateway,
    gate: Gate,
    _origin: Origin,
    _directory: TempDir,
}

impl Slow {
    fn start() -> Self {
        let directory = tempfile::tempdir().expect("a folder");
        let (gate, is_slow) = (Gate::new(), Arc::<AtomicBool>::default());
        let origin = api();
        let (closed, slow) = (gate.clone(), is_slow.clone());
        let decide = move |operation| {
            if operation == Operation::LedgerSync && slow.load(Ordering::SeqCst) {
                closed.pass();
            }
            Fate::Done
        };
        let gateway = setup(&origin, &directory).faults(decide).start();
        for path in ["/books/1", "/books/2"] {
            ask(&gateway, path);
        }
        is_slow.store(true, Ordering::SeqCst);
        Self {
            gateway,
            gate,
            _origin: origin,
            _directory: directory,
        }
    }
}

/// Each waits for the device, and is answered with this status.
fn waits_for_the_device(wait: impl FnOnce(&Gateway) -> u16 + Send) {
    let Slow { gateway, gate, .. } = &Slow::start();
    thread::scope(|scope| {
        let waiting = scope.spawn(|| wait(gateway));
        gate.await_arrivals(1);
        for _ in 0..20 {
            assert!(ask(gateway, "/books/2").is_hit());
        }
        // It holds here already.
        assert!(ask(gateway, "/books/1").fwd("uri-miss"));
        assert!(!waiting.is_finished());
        gate.open();
        assert_eq!(waiting.join().expect("an answer"), 200);
    });
}

#[test]
fn a_purge_waits_for_the_device_and_others_do_not() {
    waits_for_the_device(|gateway| {
        let (status, outcome) = purge(gateway, &format!("url=http://{HOST}/books/1&wait=60s"));
        assert_eq!(outcome["purged"], 1);
        assert_eq!(outcome["acknowledged"], Value::Null, "{outcome}");
        status
    });
}

#[test]
fn what_a_device_does_not_take_in_time_is_not_acknowledged() {
    let slow = Slow::start();
    let (status, outcome) = purge(&slow.gateway, "all=true&wait=1ms");
    let acknowledged = &outcome["acknowledged"];
    assert_eq!((status, acknowledged), (202, &Value::from(false)));
    let why = outcome["why"].as_str().unwrap_or_default();
    assert!(why.contains("the disk has not taken it yet"), "{outcome}");
    for (method, status) in [("PURGE", 202), ("PUT", 200)] {
        let asked = request(method, "/books/3").field("Host", HOST);
        let answer = slow.gateway.send(&asked).expect(status);
        assert!(
            answer.says("detail=invalidation-not-durable"),
            "{method}: {}",
            answer.cache_status()
        );
    }
    slow.gate.open();
    assert_eq!(purge(&slow.gateway, "all=true&wait=60s").0, 200);
}

#[test]
fn a_sync_that_fails_is_told_and_what_is_on_disk_is_not_used_any_more() {
    let directory = tempfile::tempdir().expect("a folder");
    let origin = api();
    let fails = Arc::<AtomicBool>::default();
    let failing = fails.clone();
    let decide = move |operation| match operation {
        Operation::LedgerSync if failing.load(Ordering::SeqCst) => Fate::Fails(EIO),
        _ => Fate::Done,
    };
    let gateway = setup(&origin, &directory).faults(decide).start();
    for path in ["/books/1", "/books/2"] {
        ask(&gateway, path);
    }
    gateway.await_metric("bookend_disk_queued_bytes", 0);
    fails.store(true, Ordering::SeqCst);
    let (status, outcome) = purge(&gateway, &format!("url=http://{HOST}/books/1&wait=60s"));
    assert_eq!(
        (status, &outcome["acknowledged"]),
        (202, &Value::from(false))
    );
    let why = outcome["why"].as_str().unwrap_or_default();
    assert!(why.contains("the ledger of [disk] cannot be written"));
    // It holds here all the same, and memory goes on.
    assert!(ask(&gateway, "/books/1").fwd("uri-miss"));
    assert!(ask(&gateway, "/books/2").is_hit());
    for method in ["PUT", "PURGE"] {
        let asked = request(method, "/books/1").field("Host", HOST);
        let answer = gateway.send(&asked);
        assert!(
            answer.says("detail=invalidation-not-durable"),
            "{method}: {}",
            answer.cache_status()
        );
    }
    // A new ledger is written by itself.
    fails.store(false, Ordering::SeqCst);
    crate::common::await_that("a purge that is durable", || {
        purge(&gateway, &format!("url=http://{HOST}/books/9&wait=60s")).0 == 200
    });
    drop(gateway);
    let gateway = setup(&origin, &directory).start();
    gateway.await_metric("bookend_disk_loading", 0);
    gateway.wait_for_tiers(std::time::Duration::from_secs(60));
    let asked = origin.count();
    ask(&gateway, "/books/2");
    assert_eq!(origin.count(), asked + 1, "it is of the epoch before");
}
