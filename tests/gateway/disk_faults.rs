//! A disk that fails under a whole gateway: no answer is wrong, the API is asked, and it is told once.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bookend::faults::{Fate, Operation};
use tempfile::TempDir;

use crate::common::{Answer, Gateway, Origin, Setup, await_that, get, logged, reply, request};

const EIO: i32 = 5;
const ENOSPC: i32 = 28;
const HOST: &str = "books.example";
const BOOKS: usize = 12;

/// An API of books of which each has a version, which a PUT raises; a directory; and what becomes of the disk's operations.
struct Bench {
    origin: Origin,
    versions: Arc<Mutex<HashMap<String, u64>>>,
    folder: TempDir,
    fate: Arc<Mutex<Box<dyn FnMut(Operation) -> Fate + Send>>>,
}

impl Bench {
    fn new() -> Self {
        logged::keep();
        let versions = Arc::<Mutex<HashMap<String, u64>>>::default();
        let known = versions.clone();
        let origin = Origin::start(move |asked, conn| {
            let mut versions = known.lock().expect("no panic");
            let version = versions.entry(asked.target.clone()).or_default();
            if asked.method == "PUT" {
                *version += 1;
            }
            let body = text(&asked.target, *version);
            drop(versions);
            let answer = reply(200).field("Cache-Control", "max-age=600").body(body);
            conn.reply(asked, &answer);
        });
        Self {
            origin,
            versions,
            folder: tempfile::tempdir().expect("a folder"),
            fate: Arc::new(Mutex::new(Box::new(|_| Fate::Done))),
        }
    }

    fn decide(&self, fate: impl FnMut(Operation) -> Fate + Send + 'static) {
        *self.fate.lock().expect("no panic") = Box::new(fate);
    }

    fn heal(&self) {
        self.decide(|_| Fate::Done);
    }

    fn setup(&self) -> Setup {
        let fate = self.fate.clone();
        let path = self.folder.path().join("disk");
        Gateway::before(&self.origin)
            .more(&format!("[disk]\npath = {path:?}"))
            .faults(move |operation| (fate.lock().expect("no panic"))(operation))
    }

    fn start(&self) -> Gateway {
        let gateway = self.setup().start();
        gateway.await_metric("bookend_disk_loading", 0);
        gateway.wait_for_tiers(Duration::from_secs(60));
        gateway
    }

    /// Has a book answered: it is the latest one, whole.
    #[track_caller]
    fn ask(&self, gateway: &Gateway, path: &str) -> Answer {
        let answer = gateway.send(&get(path).field("Host", HOST)).expect(200);
        let versions = self.versions.lock().expect("no panic");
        let version = *versions.get(path).expect("one that was asked for");
        drop(versions);
        assert!(
            answer.text() == text(path, version),
            "{path} {version}: {}",
            answer.cache_status()
        );
        answer
    }

    /// All books; how many of the answers were read from disk.
    #[track_caller]
    fn ask_all(&self, gateway: &Gateway) -> usize {
        let is_from_disk = |answer: &Answer| answer.is_hit() && answer.says("detail=disk");
        let answers = (0..BOOKS).map(|n| self.ask(gateway, &book(n)));
        answers.filter(is_from_disk).count()
    }

    fn change(&self, gateway: &Gateway, path: &str, method: &str) {
        gateway.send(&request(method, path).field("Host", HOST).body("new"));
    }

    /// The lines of the log with this in them that name the directory.
    fn told(&self, what: &str) -> usize {
        let path = self.folder.path().to_str().expect("UTF-8");
        logged::lines(&[path, what]).len()
    }
}

fn book(n: usize) -> String {
    format!("/books/{n}")
}

/// The text of a version, of different lengths: some are read by a worker, some by a reader's thread.
fn text(path: &str, version: u64) -> String {
    let seed = path.len() + path.as_bytes()[path.len() - 1] as usize + version as usize;
    let length = [40, 3_000, 70_000, 300_000][seed % 4];
    let line = format!("{path} {version}\n");
    line.repeat(length / line.len() + 1)
}

fn fails(which: &'static [Operation], number: i32) -> impl Fn(Operation) -> Fate {
    move |operation| match which.contains(&operation) {
        true => Fate::Fails(number),
        false => Fate::Done,
    }
}

#[test]
fn a_disk_that_cannot_be_written_is_told_once_and_comes_back_by_itself() {
    const CASES: [&[Operation]; 3] = [
        &[Operation::DiskWrite],
        &[Operation::DiskMake, Operation::DiskWrite],
        &[Operation::LedgerWrite, Operation::DiskWrite],
    ];
    for (which, number) in CASES.iter().flat_map(|it| [(*it, EIO), (*it, ENOSPC)]) {
        let bench = Bench::new();
        let gateway = bench.start();
        bench.ask_all(&gateway);
        gateway.await_metric("bookend_disk_queued_bytes", 0);
        bench.decide(fails(which, number));
        for round in 0..3 {
            bench.change(&gateway, &book(round), "PUT");
            bench.ask_all(&gateway);
        }
        gateway.await_metric("bookend_disk_off", 1);
        // It is tried again without success.
        let before = gateway.metric("bookend_disk_errors_total");
        await_that("another error", || {
            gateway.metric("bookend_disk_errors_total") > before
        });
        bench.ask_all(&gateway);
        assert_eq!(bench.told("the disk tier stores nothing"), 1, "{which:?}");
        let of_ledger = usize::from(which.contains(&Operation::LedgerWrite));
        assert_eq!(bench.told("the ledger's file cannot"), of_ledger);
        bench.heal();
        gateway.await_metric("bookend_disk_off", 0);
        assert_eq!(bench.told("the disk tier stores again"), 1);
        if of_ledger > 0 {
            await_that("a new ledger", || bench.told("written again") == 1);
        }
        for n in 0..BOOKS {
            bench.change(&gateway, &book(n), "PUT");
        }
        bench.ask_all(&gateway);
        gateway.await_metric("bookend_disk_queued_bytes", 0);
        drop(gateway);
        let gateway = bench.start();
        assert_eq!(bench.ask_all(&gateway), BOOKS, "{which:?} {number}");
    }
}

#[test]
fn a_disk_that_cannot_be_read_is_told_once_and_the_api_is_asked() {
    let bench = Bench::new();
    let gateway = bench.start();
    bench.ask_all(&gateway);
    drop(gateway);
    let gateway = bench.start();
    bench.decide(fails(&[Operation::DiskRead], EIO));
    let before = bench.origin.count();
    assert_eq!(bench.ask_all(&gateway), 0);
    assert_eq!(bench.origin.count() - before, BOOKS);
    assert!(gateway.metric("bookend_disk_errors_total") >= BOOKS as u64);
    assert_eq!(bench.told("the disk tier cannot read"), 1);
    // It goes on to be written.
    assert_eq!(gateway.metric("bookend_disk_off"), 0);
    gateway.await_metric("bookend_disk_queued_bytes", 0);
    drop(gateway);
    bench.heal();
    let gateway = bench.start();
    assert_eq!(bench.ask_all(&gateway), BOOKS);
}

#[test]
fn what_is_read_by_half_is_no_answer_and_what_is_written_by_halves_is_whole() {
    let bench = Bench::new();
    bench.decide(|operation| match operation {
        Operation::DiskWrite | Operation::LedgerWrite => Fate::Short,
        _ => Fate::Done,
    });
    let gateway = bench.start();
    bench.ask_all(&gateway);
    bench.change(&gateway, &book(0), "PUT");
    bench.ask(&gateway, &book(0));
    gateway.await_metric("bookend_disk_queued_bytes", 0);
    assert_eq!(gateway.metric("bookend_disk_errors_total"), 0);
    drop(gateway);
    let gateway = bench.start();
    assert_eq!(bench.ask_all(&gateway), BOOKS);
    drop(gateway);
    let gateway = bench.start();
    bench.decide(|operation| match operation {
        Operation::DiskRead => Fate::Short,
        _ => Fate::Done,
    });
    assert_eq!(bench.ask_all(&gateway), 0);
    assert_eq!(gateway.metric("bookend_disk_corrupt_total"), BOOKS as u64);
}

/// A number of a series that is the same each time.
fn random(state: &AtomicU64) -> u64 {
    let next = |it: u64| Some(it.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
    let before = state.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
    before.expect("a number") >> 33
}

#[test]
fn whatever_fails_by_chance_no_answer_is_older_than_a_write_before_it() {
    for seed in 1..=4 {
        let (bench, chance) = (Bench::new(), AtomicU64::new(seed));
        for _round in 0..4 {
            bench.heal();
            let gateway = bench.start();
            bench.ask_all(&gateway);
            let of_fates = AtomicU64::new(random(&chance));
            bench.decide(move |_| match random(&of_fates) % 10 {
                0 => Fate::Fails(EIO),
                1 => Fate::Fails(ENOSPC),
                2 => Fate::Short,
                _ => Fate::Done,
            });
            for step in 0..60 {
                let path = book(random(&chance) as usize % BOOKS);
                // What was written is as a rule not asked for before the restart.
                match random(&chance) % 8 {
                    0 => bench.change(&gateway, &path, "PUT"),
                    _ if step < 40 => drop(bench.ask(&gateway, &path)),
                    _ => {}
                }
            }
        }
    }
}
