//! The disk tier and the wall clock: what is served as fresh is so, whatever was done to the clock.

use std::path::PathBuf;
use std::time::Duration;

use bookend::semantics::time::Timestamp;
use tempfile::TempDir;

use crate::common::{Answer, Gateway, Origin, await_that, get, reply};

const START: u64 = 1_700_000_000;
/// Seconds that the machine is up at the start.
const UP: u64 = 1_000;
const YEAR: i64 = 31_557_600;

struct Bench {
    origin: Origin,
    folder: TempDir,
}

impl Bench {
    fn new() -> Self {
        let origin = Origin::start(|asked, conn| {
            let answer = match asked.fields.get("if-none-match") {
                Some(_) => reply(304),
                None => reply(200).body("a book"),
            };
            let answer = answer.field("Cache-Control", "max-age=60");
            conn.reply(asked, &answer.field("ETag", "\"1\""));
        });
        Self {
            origin,
            folder: tempfile::tempdir().expect("a folder"),
        }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("disk")
    }

    /// A gateway whose wall clock shows so many seconds after the start, and whose machine is up for so many since then.
    fn start(&self, shown: i64, passed: i64) -> Gateway {
        let shown = START.saturating_add_signed(shown);
        let up = UP.saturating_add_signed(passed);
        let gateway = Gateway::before(&self.origin)
            .manual_clock_at(Timestamp::from_secs(shown))
            .up_since(Timestamp::from_secs(shown.saturating_sub(up)))
            .more(&format!("[disk]\npath = {:?}", self.path()))
            .start();
        gateway.await_metric("bookend_disk_loading", 0);
        gateway.wait_for_tiers(Duration::from_secs(60));
        gateway
    }
}

fn ask(gateway: &Gateway) -> Answer {
    let asked = get("/books/1").field("Host", "books.example");
    gateway.send(&asked).expect(200)
}

fn is_from_disk(answer: &Answer) -> bool {
    answer.is_hit() && answer.says("detail=disk")
}

fn is_validated(answer: &Answer) -> bool {
    answer.says("fwd-status=304")
}

fn is_fetched(answer: &Answer) -> bool {
    answer.fwd("uri-miss")
}

#[test]
fn after_a_restart_nothing_is_served_as_fresh_that_may_be_older() {
    type Right = fn(&Answer) -> bool;
    #[rustfmt::skip]
    let table: [(&str, i64, i64, Right); 13] = [
        ("right", 20, 20, |it| is_from_disk(it) && it.age() == Some(20)),
        ("right, and stale", 61, 61, is_validated),
        ("set back by less than its age", 20, 50, is_validated),
        ("set back by less, and it is stale", 50, 80, is_validated),
        ("set back by a little less than nothing passed", 0, 50, is_validated),
        ("set back by more than its age", -100, 50, is_fetched),
        ("set back by years", -10 * YEAR, 50, is_fetched),
        ("set forward by less than its freshness", 50, 20, |it| is_from_disk(it) && it.age() == Some(50)),
        ("set forward by more", 90, 20, is_validated),
        ("set forward by years", 10 * YEAR, 20, is_fetched),
        // The uptime begins anew.
        ("right after a restart of the machine", 20, -990, |it| is_from_disk(it) && it.age() == Some(20)),
        ("set back after a restart of the machine", -5, -990, is_fetched),
        ("set back by years after a restart of the machine", -10 * YEAR, -990, is_fetched),
    ];
    for (what, shown, passed, is_right) in table {
        let bench = Bench::new();
        let gateway = bench.start(0, 0);
        ask(&gateway);
        gateway.await_metric("bookend_disk_queued_bytes", 0);
        drop(gateway);
        let gateway = bench.start(shown, passed);
        let answer = ask(&gateway);
        assert!(is_right(&answer), "{what}: {answer:?}");
        assert_eq!(answer.text(), "a book");
        // From here on, all is as ever.
        assert!(ask(&gateway).is_hit(), "{what}");
        gateway.await_metric("bookend_disk_queued_bytes", 0);
        drop(gateway);
        let answer = ask(&bench.start(shown + 5, passed + 5));
        assert!(is_from_disk(&answer) || shown > YEAR, "{what}: {answer:?}");
    }
}

#[test]
fn a_clock_that_is_set_back_while_the_gateway_runs_is_noticed_once_and_for_all() {
    let bench = Bench::new();
    let gateway = bench.start(0, 0);
    ask(&gateway);
    gateway.advance(Duration::from_secs(50));
    let noted = || std::fs::read(bench.path().join("clock")).expect("what was noted");
    let before = noted();
    gateway.set_clock_back(Duration::from_secs(30));
    // Memory counts by itself.
    assert_eq!(ask(&gateway).age(), Some(50));
    await_that("a note of it", || noted() != before);
    drop(gateway);
    let gateway = bench.start(25, 55);
    assert!(is_validated(&ask(&gateway)));
    drop(gateway);
    // Nor does it last.
    assert!(is_from_disk(&ask(&bench.start(30, 60))));
}

#[test]
fn what_was_stored_before_anything_was_noted_is_validated() {
    let bench = Bench::new();
    let gateway = bench.start(0, 0);
    ask(&gateway);
    drop(gateway);
    for damage in [None, Some("damaged")] {
        let path = bench.path().join("clock");
        match damage {
            None => std::fs::remove_file(&path).expect("a file"),
            Some(octets) => std::fs::write(&path, octets).expect("a file"),
        }
        let gateway = bench.start(5, 5);
        assert!(is_validated(&ask(&gateway)), "{damage:?}");
    }
}
