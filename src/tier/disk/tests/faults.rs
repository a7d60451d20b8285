//! Operations on files that fail.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::*;

const EIO: i32 = 5;
const ENOSPC: i32 = 28;

/// What a test decides about operations that change files.
#[derive(Debug, Default)]
struct Plan {
    /// They have been counted so far.
    done: AtomicU64,
    /// This one fails, and all that follow until it is healed. 0 is none.
    fails_at: AtomicU64,
    /// The number of the error.
    error: AtomicU64,
    /// A write that fails has written half.
    writes_half: AtomicBool,
    /// Reads of records fail too.
    reads_fail: AtomicBool,
    /// Reads and writes wait while a test holds it; how many have come to it.
    gate: Mutex<()>,
    came: AtomicU64,
    failed: Mutex<Vec<&'static str>>,
}

/// The operating system's operations, of which some fail.
#[derive(Debug)]
struct Faulty(Arc<Plan>);

impl Plan {
    fn error(&self) -> io::Error {
        io::Error::from_raw_os_error(self.error.load(Ordering::Relaxed) as i32)
    }

    fn pass_gate(&self) {
        self.came.fetch_add(1, Ordering::Relaxed);
        drop(self.gate.lock());
    }

    fn heal(&self) {
        self.fails_at.store(0, Ordering::Relaxed);
    }

    fn check(&self, operation: &'static str) -> io::Result<()> {
        let number = self.done.fetch_add(1, Ordering::Relaxed) + 1;
        let fails_at = self.fails_at.load(Ordering::Relaxed);
        if fails_at == 0 || number < fails_at {
            return Ok(());
        }
        self.failed.lock().expect("no panic").push(operation);
        Err(self.error())
    }
}

impl Files for Faulty {
    fn list(&self, path: &Path) -> io::Result<Vec<PathBuf>> {
        self.0.check("list")?;
        System.list(path)
    }

    fn open(&self, path: &Path) -> io::Result<File> {
        if !path.ends_with("MANIFEST") {
            self.0.check("open")?;
        }
        System.open(path)
    }

    fn create(&self, path: &Path) -> io::Result<File> {
        self.0.check("create")?;
        System.create(path)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.0.check("remove")?;
        System.remove(path)
    }

    fn length(&self, file: &File) -> io::Result<u64> {
        System.length(file)
    }

    fn allocate(&self, file: &File, length: u64) -> io::Result<()> {
        self.0.check("allocate")?;
        System.allocate(file, length)
    }

    fn truncate(&self, file: &File, length: u64) -> io::Result<()> {
        self.0.check("truncate")?;
        System.truncate(file, length)
    }

    fn read(&self, file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.pass_gate();
        if self.0.reads_fail.load(Ordering::Relaxed) {
            return Err(self.0.error());
        }
        System.read(file, buffer, offset)
    }

    fn read_cached(&self, file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        // So that readers and their threads are used.
        if offset.is_multiple_of(2) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        System.read_cached(file, buffer, offset)
    }

    fn write(&self, file: &File, octets: &[u8], offset: u64) -> io::Result<usize> {
        self.0.pass_gate();
        if let Err(error) = self.0.check("write") {
            if self.0.writes_half.load(Ordering::Relaxed) {
                let half = &octets[..octets.len() / 2];
                System.write(file, half, offset)?;
            }
            return Err(error);
        }
        System.write(file, octets, offset)
    }
}

const RETRY: Retry = Retry {
    first: Duration::from_millis(2),
    longest: Duration::from_millis(4),
};

fn target(number: u64) -> String {
    format!("http://h/{number}")
}

/// Puts and removes on a small disk, checked against what was put and removed last, whatever fails.
struct Story {
    latest: std::collections::HashMap<u64, u64>,
    version: u64,
}

impl Story {
    fn go_on(&mut self, disk: &Disk, steps: u64) {
        for step in 0..steps {
            self.version += 1;
            let number = self.version * 7 % 13;
            if step % 9 == 8 {
                disk.remove(&target(number));
                self.latest.remove(&number);
            } else if disk.put(record(&target(number), 1, self.version, 700)) {
                self.latest.insert(number, self.version);
            }
            if step % 4 == 3 {
                wait_until(|| disk.flush(Duration::from_millis(1)) || disk.shared.is_off());
                self.check(disk);
            }
        }
    }

    /// No answer is anything but a version that was put, and none that was removed.
    fn check(&self, disk: &Disk) {
        for number in 0..13 {
            let found = versions(disk, &target(number));
            assert!(found.len() <= 1);
            let latest = self.latest.get(&number);
            let is_right = |version: &u64| latest.is_some_and(|latest| version <= latest);
            assert!(found.iter().all(is_right), "{number}: {found:?} {latest:?}");
        }
    }
}

/// The story with the operation `fails_at` and all that follow failing for a while; what has failed.
fn fails_at(fails_at: u64, error: i32, writes_half: bool) -> Vec<&'static str> {
    let bench = Bench::new(32 << 10, 8 << 10);
    let plan = Arc::new(Plan::default());
    plan.error.store(error as u64, Ordering::Relaxed);
    plan.writes_half.store(writes_half, Ordering::Relaxed);
    plan.fails_at.store(fails_at, Ordering::Relaxed);
    let disk = bench.open_with(Box::new(Faulty(plan.clone())), RETRY);
    let mut story = Story {
        latest: Default::default(),
        version: 0,
    };
    story.go_on(&disk, 60);
    let failed = plan.failed.lock().expect("no panic").clone();
    let is_writing = |name: &&&str| !["remove", "list", "open"].contains(*name);
    if failed.iter().any(|name| is_writing(&name)) {
        wait_until(|| matches!(disk.status().state, State::Off { .. }));
        assert!(disk.status().counts.errors > 0);
        assert!(
            !disk.put(record(&target(99), 1, 1, 10)),
            "nothing is stored while it is off"
        );
    }
    // It comes back by itself.
    plan.heal();
    wait_until(|| disk.status().state == State::Serving);
    assert!(disk.flush(LONG));
    story.check(&disk);
    story.check(&bench.copied().open());
    story.go_on(&disk, 40);
    assert!(disk.flush(LONG));
    story.check(&disk);
    assert!(
        bench
            .segments()
            .iter()
            .map(|path| path.metadata().expect("a file").len())
            .sum::<u64>()
            <= (32 << 10) + 3 * (8 << 10)
    );
    let as_killed = bench.copied();
    drop(disk);
    for bench in [as_killed, bench] {
        let disk = bench.open();
        story.check(&disk);
        assert!(disk.status().records > 0);
    }
    failed
}

#[test]
fn whatever_operation_fails_no_answer_is_wrong_and_the_tier_comes_back() {
    for (error, writes_half) in [(EIO, false), (ENOSPC, true)] {
        let mut seen = std::collections::BTreeSet::new();
        for number in 1.. {
            let failed = fails_at(number, error, writes_half);
            seen.extend(failed.iter().copied());
            if failed.is_empty() {
                println!("{number} operations");
                break;
            }
        }
        let all = ["allocate", "create", "list", "remove", "truncate", "write"];
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), all);
    }
}

#[test]
fn a_tier_that_is_off_serves_what_it_has_and_remembers_what_is_removed() {
    let bench = Bench::small();
    let plan = Arc::new(Plan::default());
    plan.error.store(ENOSPC as u64, Ordering::Relaxed);
    let disk = bench.open_with(Box::new(Faulty(plan.clone())), RETRY);
    put(&disk, record(&target(1), 1, 1, 100));
    put(&disk, record(&target(2), 1, 2, 100));
    plan.fails_at.store(1, Ordering::Relaxed);
    assert!(disk.put(record(&target(3), 1, 3, 100)));
    wait_until(|| matches!(disk.status().state, State::Off { .. }));
    let State::Off { reason } = disk.status().state else {
        panic!("off");
    };
    assert!(reason.contains("No space left"), "{reason}");
    disk.remove(&target(2));
    assert_eq!(versions(&disk, &target(1)), [1]);
    assert_eq!(versions(&disk, &target(2)), [0; 0]);
    assert_eq!(disk.status().counts.dropped, 1);
    // It is tried again without success.
    let errors = disk.status().counts.errors;
    wait_until(|| disk.status().counts.errors > errors + 2);
    plan.heal();
    wait_until(|| disk.status().state == State::Serving);
    assert!(disk.flush(LONG));
    put(&disk, record(&target(4), 1, 4, 100));
    let as_killed = bench.copied();
    let disk = as_killed.open();
    assert_eq!(versions(&disk, &target(1)), [1]);
    assert_eq!(versions(&disk, &target(2)), [0; 0]);
    assert_eq!(versions(&disk, &target(4)), [4]);
}

#[test]
fn a_record_that_cannot_be_read_is_a_miss() {
    let bench = Bench::small();
    let plan = Arc::new(Plan::default());
    plan.error.store(EIO as u64, Ordering::Relaxed);
    let disk = bench.open_with(Box::new(Faulty(plan.clone())), RETRY);
    // Long enough that a reader thread reads it.
    put(&disk, record(&target(1), 1, 1, 40_000));
    let mut longer = record(&target(1), 2, 2, 0);
    longer.head = Bytes::from_static(b"x");
    plan.reads_fail.store(true, Ordering::Relaxed);
    let found = versions(&disk, &target(1));
    plan.reads_fail.store(false, Ordering::Relaxed);
    assert_eq!(found, [0; 0]);
    assert_eq!(disk.status().state, State::Serving);
    assert_eq!(versions(&disk, &target(1)), [1]);
}

#[test]
fn what_cannot_be_loaded_is_not_there_and_the_rest_is() {
    let bench = Bench::small();
    let disk = bench.open();
    put(&disk, record(&target(1), 1, 1, 100));
    drop(disk);
    let plan = Arc::new(Plan::default());
    plan.error.store(EIO as u64, Ordering::Relaxed);
    plan.fails_at.store(1, Ordering::Relaxed);
    // The directory cannot be listed, then it can.
    let disk = bench.open_with(Box::new(Faulty(plan.clone())), RETRY);
    wait_until(|| matches!(disk.status().state, State::Off { .. }));
    assert_eq!(versions(&disk, &target(1)), [0; 0]);
    plan.heal();
    wait_until(|| disk.status().state == State::Serving);
    assert_eq!(versions(&disk, &target(1)), [1]);
}

#[test]
fn requests_that_wait_for_a_slow_device_are_bounded_and_the_rest_is_a_miss() {
    let mut bench = Bench::new(8 << 20, 2 << 20);
    bench.settings.readers = 1;
    let plan = Arc::new(Plan::default());
    let disk = bench.open_with(Box::new(Faulty(plan.clone())), RETRY);
    // Too long for a worker to read it.
    put(&disk, record(&target(1), 1, 1, 300_000));
    let gate = plan.gate.lock().expect("no panic");
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let runtime = runtime.expect("a runtime");
    let local = tokio::task::LocalSet::new();
    let requests: Vec<_> = (0..100)
        .map(|_| {
            let disk = Arc::clone(&disk);
            local.spawn_local(async move { disk.get(&target(1)).await.len() })
        })
        .collect();
    // Each asks before the first answer comes.
    runtime.block_on(local.run_until(async {
        while disk.status().counts.reads_refused < 100 - 65 {
            tokio::task::yield_now().await;
        }
    }));
    drop(gate);
    let found = local.block_on(&runtime, async {
        let mut found = 0;
        for request in requests {
            found += request.await.expect("no panic");
        }
        found
    });
    let counts = disk.status().counts;
    assert_eq!(found as u64, 100 - counts.reads_refused);
    assert_eq!(
        (counts.hits, counts.misses),
        (found as u64, counts.reads_refused)
    );
    assert!((64..=65).contains(&found), "{found}");
}

#[test]
fn what_is_being_written_when_a_new_epoch_begins_is_not_there() {
    let bench = Bench::small();
    let plan = Arc::new(Plan::default());
    let disk = bench.open_with(Box::new(Faulty(plan.clone())), RETRY);
    put(&disk, record(&target(1), 1, 1, 100));
    let gate = plan.gate.lock().expect("no panic");
    let came = plan.came.load(Ordering::Relaxed);
    assert!(disk.put(record(&target(2), 1, 2, 100)));
    wait_until(|| plan.came.load(Ordering::Relaxed) > came);
    // The same one once more: neither hashes nor checksums tell the difference.
    disk.forget(EPOCH);
    drop(gate);
    assert!(disk.flush(LONG));
    assert_eq!(disk.status().records, 0);
    assert!(!disk.may_have(&target(2)));
    put(&disk, record(&target(3), 1, 3, 100));
    drop(disk);
    assert_eq!(bench.open().status().records, 1);
}
