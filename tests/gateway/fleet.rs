//! Gateways that share a server of Valkey or Redis: what is invalidated at one of them holds at all, once that is acknowledged.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use bookend::faults::{Fate, Operation};
use serde_json::Value;

use crate::common::{
    Answer, Client, Gateway, Origin, Request, Setup, Valkey, await_that, get, post, put, reply,
    request,
};

/// Short enough for a test to wait for its end, and long enough for a machine that has much else to do.
const LEASE: Duration = Duration::from_millis(1_500);

/// Of all requests: the port of a gateway is another one each time, and part of the URL.
const HOST: &str = "books.example";

/// An API whose books have versions: PUT makes another one. It can be switched off.
struct Books {
    origin: Origin,
    version: Arc<AtomicU64>,
    is_down: Arc<AtomicBool>,
}

impl Books {
    fn start() -> Self {
        let version = Arc::<AtomicU64>::default();
        let is_down = Arc::<AtomicBool>::default();
        let (at, down) = (version.clone(), is_down.clone());
        let origin = Origin::start(move |asked, conn| {
            if down.load(Ordering::SeqCst) {
                return conn.close();
            }
            if asked.method == "PUT" {
                at.fetch_add(1, Ordering::SeqCst);
                return conn.reply(asked, &reply(204));
            }
            let tag = format!("\"{}\"", at.load(Ordering::SeqCst));
            let is_known = asked.fields.get("if-none-match") == Some(&tag);
            let answer = match is_known {
                true => reply(304),
                false => reply(200).body(&tag),
            };
            let answer = answer.field("ETag", &tag);
            let answer = answer.field("Cache-Control", "max-age=600, stale-if-error=600");
            conn.reply(asked, &answer);
        });
        Self {
            origin,
            version,
            is_down,
        }
    }

    fn setup(&self) -> Setup {
        Gateway::before(&self.origin).cache("receipts = true")
    }

    fn member(&self, url: &str) -> Gateway {
        self.setup().fleet(url, LEASE).start()
    }
}

fn at(path: &str) -> Request {
    get(path).field("Host", HOST)
}

fn ask(gateway: &Gateway) -> Answer {
    gateway.send(&at("/books/1")).expect(200)
}

fn write(gateway: &Gateway) -> Answer {
    gateway
        .send(&put("/books/1", "new").field("Host", HOST))
        .expect(204)
}

fn purge(gateway: &Gateway, query: &str) -> (u16, Value, Option<String>) {
    let client = Client::to(gateway.admin_addr()).patience(Duration::from_secs(90));
    let mut client = client;
    let answer = client.send(&post(&format!("/purge?{query}"), ""));
    let receipt = answer.field("bookend-receipt").map(str::to_owned);
    let outcome = serde_json::from_str(&answer.text()).expect("JSON");
    (answer.status, outcome, receipt)
}

/// Waits until the gateways hear each other, and no purge waits for gateways of which nobody knows.
fn settled(gateways: &[&Gateway]) {
    for gateway in gateways {
        gateway.await_metric("bookend_fleet_gateways", gateways.len() as u64);
    }
    let (status, outcome, _) = purge(gateways[0], "all=true&wait=60s");
    assert_eq!(
        (status, &outcome["acknowledged"]),
        (200, &true.into()),
        "{outcome}"
    );
}

#[test]
#[ignore = "needs redis-server"]
fn what_was_purged_at_one_gateway_is_gone_at_the_other_when_that_is_answered() {
    let (books, valkey) = (Books::start(), Valkey::start());
    let [here, there] = [books.member(&valkey.url()), books.member(&valkey.url())];
    settled(&[&here, &there]);
    for query in ["url=/books/1", "prefix=/books", "all=true"] {
        ask(&there);
        assert!(ask(&there).is_hit());
        let (status, outcome, receipt) = purge(&here, query);
        assert_eq!(status, 200, "{outcome}");
        for (member, expected) in [
            ("acknowledged", Value::from(true)),
            ("gateways", 2.into()),
            ("applied", 2.into()),
        ] {
            assert_eq!(outcome[member], expected, "{outcome}");
        }
        let receipt = receipt.expect("a receipt");
        assert!(receipt.ends_with("; gateways=2/2"), "{receipt}");
        let answer = ask(&there);
        assert!(answer.fwd("uri-miss"), "{}", answer.cache_status());
    }
}

#[test]
#[ignore = "needs redis-server"]
fn what_was_written_through_one_gateway_is_read_through_the_other() {
    let (books, valkey) = (Books::start(), Valkey::start());
    let gateways = [books.member(&valkey.url()), books.member(&valkey.url())];
    settled(&[&gateways[0], &gateways[1]]);
    for turn in 0..40 {
        let (here, there) = (&gateways[turn % 2], &gateways[1 - turn % 2]);
        ask(there);
        assert!(ask(there).is_hit());
        let answer = write(here);
        assert!(!answer.says("detail"), "{}", answer.cache_status());
        let expected = format!("\"{}\"", books.version.load(Ordering::SeqCst));
        assert_eq!(ask(there).text(), expected, "turn {turn}");
        // The receipt is one that the other one knows: it need not ask for what it has stored since.
        let receipt = answer.field("bookend-receipt").expect("a receipt");
        let again = there.send(&at("/books/1").field("Bookend-After", receipt));
        assert!(again.is_hit(), "{receipt}: {}", again.cache_status());
    }
}

#[test]
#[ignore = "needs redis-server"]
fn a_gateway_whose_ledger_cannot_be_written_waits_for_the_others_all_the_same() {
    let (books, valkey) = (Books::start(), Valkey::start());
    let directory = tempfile::tempdir().expect("a folder");
    let fails = Arc::<AtomicBool>::default();
    let failing = fails.clone();
    let decide = move |operation| match operation {
        Operation::LedgerSync if failing.load(Ordering::SeqCst) => Fate::Fails(5),
        _ => Fate::Done,
    };
    let disk = format!("[disk]\npath = {:?}\nsync = true", directory.path());
    let here = books.setup().fleet(&valkey.url(), LEASE).more(&disk);
    let here = here.faults(decide).start();
    let there = books.member(&valkey.url());
    settled(&[&here, &there]);
    fails.store(true, Ordering::SeqCst);
    for turn in 0..20 {
        ask(&there);
        assert!(ask(&there).is_hit());
        let answer = write(&here);
        assert!(answer.says("detail=invalidation-not-durable"), "{answer:?}");
        let expected = format!("\"{}\"", books.version.load(Ordering::SeqCst));
        assert_eq!(ask(&there).text(), expected, "turn {turn}");
    }
}

#[test]
#[ignore = "needs redis-server"]
fn a_gateway_that_is_cut_off_serves_nothing_that_was_written_and_acknowledged_elsewhere() {
    let (books, valkey) = (Books::start(), Valkey::start());
    let wire = valkey.through_a_wire();
    let [here, there] = [books.member(&valkey.url()), books.member(&wire.url())];
    settled(&[&here, &there]);
    ask(&there);
    assert!(ask(&there).is_hit());
    wire.cut(true);
    let before = books.version.load(Ordering::SeqCst);
    let answer = write(&here);
    // It is served there while nobody has been told otherwise.
    let is_pending = answer.says("detail=invalidation-pending");
    assert!(is_pending || ask(&there).text() != format!("\"{before}\""));
    let (status, outcome, _) = purge(&here, "url=/books/1&wait=60s");
    assert_eq!(status, 200, "{outcome}");
    assert_eq!(
        (&outcome["gateways"], &outcome["applied"]),
        (&2.into(), &1.into())
    );
    let expected = format!("\"{}\"", books.version.load(Ordering::SeqCst));
    let answer = ask(&there);
    assert_eq!(answer.text(), expected, "{}", answer.cache_status());
    // It goes on like this while it is cut off, and asks the API each time, or each second.
    await_that("validations", || ask(&there).says("detail=unheard"));
    // Nor does it serve what is stale where the API is gone as well.
    books.is_down.store(true, Ordering::SeqCst);
    await_that("no answer", || there.send(&at("/books/1")).status >= 500);
    books.is_down.store(false, Ordering::SeqCst);
    wire.cut(false);
    await_that("hits", || {
        ask(&there).is_hit() && there.metric("bookend_fleet_connected") == 1
    });
    settled(&[&here, &there]);
}

#[test]
#[ignore = "needs redis-server"]
fn without_the_server_gateways_validate_and_writes_say_what_is_not_acknowledged() {
    let (books, mut valkey) = (Books::start(), Valkey::start());
    let [here, there] = [books.member(&valkey.url()), books.member(&valkey.url())];
    settled(&[&here, &there]);
    ask(&there);
    valkey.end();
    await_that("validations", || ask(&there).says("detail=unheard"));
    let asked = books.origin.count();
    for _ in 0..50 {
        ask(&there);
    }
    assert!(
        books.origin.count() < asked + 25,
        "a 304 is good for a while"
    );
    let answer = write(&here);
    assert!(
        answer.says("detail=invalidation-pending"),
        "{}",
        answer.cache_status()
    );
    let receipt = answer
        .field("bookend-receipt")
        .expect("a receipt")
        .to_owned();
    let (status, outcome, _) = purge(&here, "url=/books/1&wait=1ms");
    assert_eq!(
        (status, &outcome["acknowledged"]),
        (202, &false.into()),
        "{outcome}"
    );
    assert_eq!(outcome["why"], "the server of [valkey] cannot be reached");
    // Where it does not hold everywhere, others ask the API for who has its receipt.
    let expected = format!("\"{}\"", books.version.load(Ordering::SeqCst));
    let answer = there.send(&at("/books/1").field("Bookend-After", receipt));
    assert_eq!(answer.text(), expected);
    valkey.start_again();
    here.await_metric("bookend_fleet_pending", 0);
    settled(&[&here, &there]);
    assert!(here.metric("bookend_fleet_epochs_total") > 1);
    ask(&there);
    assert!(ask(&there).is_hit());
}

#[test]
#[ignore = "needs redis-server"]
fn purges_do_not_wait_for_a_gateway_that_has_stopped_in_order() {
    let (books, valkey) = (Books::start(), Valkey::start());
    let long = Duration::from_secs(30);
    let member = || books.setup().fleet(&valkey.url(), long).start();
    let here = books.setup().fleet(&valkey.url(), long);
    let here = here.start();
    let there = member();
    for gateway in [&here, &there] {
        gateway.await_metric("bookend_fleet_gateways", 2);
    }
    there.stop();
    here.await_metric("bookend_fleet_gateways", 1);
}

#[test]
#[ignore = "needs redis-server"]
fn a_purge_by_its_method_is_answered_when_it_holds_everywhere() {
    let (books, valkey) = (Books::start(), Valkey::start());
    let setup = books.setup().server("purge_from = [\"127.0.0.1\"]");
    let here = setup.fleet(&valkey.url(), LEASE).start();
    let there = books.member(&valkey.url());
    settled(&[&here, &there]);
    ask(&there);
    assert!(ask(&there).is_hit());
    let answer = here.send(&request("PURGE", "/books/1").field("Host", HOST));
    let answer = answer.expect(200);
    let receipt = answer.field("bookend-receipt").expect("a receipt");
    assert!(receipt.contains("gateways=2/2"), "{receipt}");
    assert!(ask(&there).fwd("uri-miss"));
}

#[test]
#[ignore = "needs redis-server"]
fn no_answer_is_older_than_a_write_that_was_acknowledged_while_the_network_is_cut_now_and_then() {
    let (books, valkey) = (Books::start(), Valkey::start());
    let wire = valkey.through_a_wire();
    let [here, there] = [books.member(&valkey.url()), books.member(&wire.url())];
    settled(&[&here, &there]);
    // The version of the latest write that was acknowledged.
    let floor = AtomicU64::new(0);
    let is_over = AtomicBool::new(false);
    let read = |gateway: &Gateway| {
        let mut client = gateway.client();
        let mut reads = 0_u64;
        while !is_over.load(Ordering::SeqCst) {
            let least = floor.load(Ordering::SeqCst);
            let answer = client.send(&at("/books/1")).expect(200);
            let version: u64 = answer.text().trim_matches('"').parse().expect("a version");
            assert!(
                version >= least,
                "{version} after {least}: {}",
                answer.cache_status()
            );
            reads += 1;
        }
        reads
    };
    thread::scope(|scope| {
        let readers = [&here, &there].map(|gateway| scope.spawn(|| read(gateway)));
        let mut acknowledged = 0;
        for turn in 0..12 {
            wire.cut(turn % 3 == 2);
            let gateway = [&here, &there][usize::from(turn % 3 == 1)];
            let answer = write(gateway);
            let version = books.version.load(Ordering::SeqCst);
            if answer.says("detail=invalidation-pending") {
                // Until the other one's lease has ended.
                let (status, outcome, _) = purge(&here, "url=/books/1&wait=60s");
                assert_eq!(status, 200, "{outcome}");
            } else {
                acknowledged += 1;
            }
            floor.store(version, Ordering::SeqCst);
        }
        wire.cut(false);
        is_over.store(true, Ordering::SeqCst);
        let reads = readers.map(|reader| reader.join().expect("a reader"));
        println!("{acknowledged} of 12 writes acknowledged in time, {reads:?} answers");
        assert!(acknowledged >= 6);
    });
}

#[test]
#[ignore = "needs redis-server"]
fn gateways_with_different_when_deaf_say_so_in_their_status() {
    let (books, valkey) = (Books::start(), Valkey::start());
    let member = || {
        let lease = Duration::from_millis(600);
        books.setup().fleet(&valkey.url(), lease)
    };
    let here = member().start();
    let there = member().more("when_deaf = \"serve:30s\"").start();
    for (gateway, own, its) in [
        (&here, "validate", "serve:30s"),
        (&there, "serve:30s", "validate"),
    ] {
        gateway.await_metric("bookend_fleet_differing", 1);
        let status = Client::to(gateway.admin_addr()).get("/status").expect(200);
        let status: Value = serde_json::from_str(&status.text()).expect("JSON");
        let fleet = &status["fleet"];
        assert_eq!(fleet["when_deaf"], own, "{fleet}");
        assert_eq!(fleet["differing"][0]["when_deaf"], its, "{fleet}");
    }
}
