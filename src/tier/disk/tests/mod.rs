//! The tier as a whole, on a real file system. Here: what it keeps and gives back.

mod damage;
mod eviction;
mod faults;
mod kill;
mod model;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

use super::files::Files;
use super::index::{Entry, Index};
use super::record::Place;
use super::settings::Retry;
use super::status::State;
use super::{Disk, OpenError, Settings, System};
use crate::clock::{Clock, ManualClock};
use crate::faults::Faults;
use crate::ledger::directory::{Directory, Unfit};
use crate::semantics::time::Timestamp;
use crate::tier::Record;

const EPOCH: [u8; 16] = [7; 16];
const START: Timestamp = Timestamp::from_secs(1_000_000);
const LONG: Duration = Duration::from_secs(30);

/// A directory with a tier in it that can be opened again and again.
struct Bench {
    folder: TempDir,
    settings: Settings,
    clock: Clock,
    time: ManualClock,
    epoch: [u8; 16],
}

impl Bench {
    /// A tier of so many bytes, in segments of so many.
    fn new(size: u64, segment: u64) -> Self {
        let folder = tempfile::tempdir().expect("a directory");
        let settings = Settings {
            path: folder.path().join("disk"),
            size,
            segment,
            queue: 32 << 20,
            index_memory: 1 << 20,
            readers: 2,
            faults: Faults::default(),
        };
        let (clock, time) = Clock::manual(START);
        Self {
            folder,
            settings,
            clock,
            time,
            epoch: EPOCH,
        }
    }

    fn small() -> Self {
        Self::new(1 << 20, 64 << 10)
    }

    fn open(&self) -> Arc<Disk> {
        self.open_with(Box::new(System), Retry::default())
    }

    fn open_with(&self, files: Box<dyn Files>, retry: Retry) -> Arc<Disk> {
        let disk = self.try_open_with(files, retry);
        let disk = disk.expect("a directory that can be opened");
        wait_until(|| disk.shared.loading.is_complete() || disk.shared.is_off());
        disk
    }

    fn try_open_with(&self, files: Box<dyn Files>, retry: Retry) -> Result<Arc<Disk>, OpenError> {
        let (settings, clock) = (self.settings.clone(), self.clock.clone());
        Disk::open_with(settings, self.epoch, clock, files, retry)
    }

    fn path(&self) -> &Path {
        &self.settings.path
    }

    /// Another directory with the same files, as after the process was killed.
    fn copied(&self) -> Self {
        let mut copy = Self::new(self.settings.size, self.settings.segment);
        let path = copy.settings.path.clone();
        copy.epoch = self.epoch;
        copy.settings = Settings {
            path,
            ..self.settings.clone()
        };
        Directory::make(copy.path()).expect("a directory");
        for file in System.list(self.path()).expect("files") {
            let to = copy.path().join(file.file_name().expect("a name"));
            std::fs::copy(&file, to).expect("a copy");
        }
        copy
    }

    /// The segment files, the oldest first.
    fn segments(&self) -> Vec<std::path::PathBuf> {
        let mut paths = System.list(self.path()).expect("files");
        paths.retain(|path| super::segment::number(path).is_some());
        paths.sort();
        paths
    }
}

fn wait_until(mut is_so: impl FnMut() -> bool) {
    for _ in 0..300_000 {
        if is_so() {
            return;
        }
        std::thread::sleep(Duration::from_micros(100));
    }
    panic!("it did not come about");
}

/// A record whose content follows from its name.
fn record(target: &str, variant: u8, version: u64, length: usize) -> Record {
    let octet = |at: usize| (at as u64 ^ version.wrapping_mul(31) ^ u64::from(variant)) as u8;
    let body: Vec<u8> = (0..length).map(octet).collect();
    Record {
        target: target.into(),
        variant: [variant; 16],
        stamp: version,
        stored: Timestamp::from_millis(START.as_millis() + version),
        until: Timestamp::from_secs(2_000_000),
        head: Bytes::from(format!("head of {target} {variant} {version} {length}")),
        body: match body.is_empty() {
            true => Vec::new(),
            false => vec![Bytes::from(body)],
        },
    }
}

/// What `record` made it of, checked.
fn version_of(found: &Record) -> u64 {
    let length = found.body.iter().map(Bytes::len).sum();
    let mut expected = record(&found.target, found.variant[0], found.stamp, length);
    expected.until = found.until;
    assert_eq!(*found, expected);
    found.stamp
}

fn get(disk: &Disk, target: &str) -> Vec<Record> {
    thread_local! {
        static RUNTIME: Runtime = Builder::new_current_thread().build().expect("a runtime");
    }
    RUNTIME.with(|runtime| runtime.block_on(disk.get(target)))
}

/// The versions found of a target, the latest first.
fn versions(disk: &Disk, target: &str) -> Vec<u64> {
    get(disk, target).iter().map(version_of).collect()
}

fn put(disk: &Disk, record: Record) {
    assert!(disk.put(record));
    assert!(disk.flush(LONG));
}

#[test]
fn what_is_put_is_found_whole_and_after_a_restart_too() {
    let bench = Bench::new(8 << 20, 2 << 20);
    let mut disk = bench.open();
    let block = 64 * 1024;
    let lengths = [0, 1, 300, block - 1, block, block + 1, 3 * block, 1_000_000];
    for length in lengths {
        let target = format!("http://h/books/{length}");
        assert!(!disk.may_have(&target));
        put(&disk, record(&target, 1, length as u64, length));
    }
    for _ in 0..2 {
        for length in lengths {
            let target = format!("http://h/books/{length}");
            assert!(disk.may_have(&target));
            assert_eq!(versions(&disk, &target), [length as u64]);
        }
        drop(disk);
        disk = bench.open();
    }
    let status = disk.status();
    assert_eq!((status.state, status.records), (State::Serving, 8));
}

#[test]
fn a_body_in_pieces_is_given_back_as_the_same_octets() {
    let bench = Bench::small();
    let disk = bench.open();
    let whole = record("http://h/", 1, 5, 40_000);
    let mut pieces = whole.clone();
    pieces.body = (whole.body[0].chunks(997))
        .map(Bytes::copy_from_slice)
        .collect();
    put(&disk, pieces);
    assert_eq!(get(&disk, "http://h/"), [whole]);
}

#[test]
fn a_later_record_replaces_that_of_the_same_variant_and_no_other() {
    let bench = Bench::small();
    let mut disk = bench.open();
    for (variant, version) in [(1, 1), (2, 2), (1, 3), (3, 4), (2, 5)] {
        put(&disk, record("http://h/", variant, version, 100));
    }
    assert_eq!(versions(&disk, "http://h/"), [5, 4, 3]);
    drop(disk);
    disk = bench.open();
    assert_eq!(versions(&disk, "http://h/"), [5, 4, 3]);
}

#[test]
fn what_is_removed_does_not_come_back() {
    let bench = Bench::small();
    let mut disk = bench.open();
    put(&disk, record("http://h/1", 1, 1, 100));
    put(&disk, record("http://h/1", 2, 2, 100));
    put(&disk, record("http://h/2", 1, 3, 100));
    disk.remove("http://h/1");
    assert!(!disk.may_have("http://h/1"));
    assert_eq!(versions(&disk, "http://h/1"), [0; 0]);
    assert!(disk.flush(LONG));
    drop(disk);
    disk = bench.open();
    assert_eq!(versions(&disk, "http://h/1"), [0; 0]);
    assert_eq!(versions(&disk, "http://h/2"), [3]);
    // What is put afterwards is there.
    put(&disk, record("http://h/1", 1, 4, 100));
    drop(disk);
    disk = bench.open();
    assert_eq!(versions(&disk, "http://h/1"), [4]);
}

#[test]
fn what_waits_to_be_written_is_removed_too() {
    let bench = Bench::small();
    let disk = bench.open();
    for round in 0..200 {
        assert!(disk.put(record("http://h/", 1, round, 100)));
        disk.remove("http://h/");
        assert!(!disk.may_have("http://h/"));
    }
    assert!(disk.flush(LONG));
    assert!(!disk.may_have("http://h/"));
}

#[test]
fn records_expire() {
    let bench = Bench::small();
    let disk = bench.open();
    let mut short = record("http://h/", 1, 1, 100);
    short.until = Timestamp::from_secs(START.as_secs() + 10);
    put(&disk, short);
    put(&disk, record("http://h/", 2, 2, 100));
    assert_eq!(get(&disk, "http://h/").len(), 2);
    bench.time.advance(Duration::from_secs(10));
    assert_eq!(versions(&disk, "http://h/"), [2]);
}

#[test]
fn another_epoch_has_no_records() {
    let mut bench = Bench::small();
    let disk = bench.open();
    put(&disk, record("http://h/", 1, 1, 100));
    drop(disk);
    bench.epoch = [8; 16];
    let disk = bench.open();
    assert_eq!(versions(&disk, "http://h/"), [0; 0]);
    assert_eq!(bench.segments().len(), 0);
    put(&disk, record("http://h/", 1, 2, 100));
    drop(disk);
    bench.epoch = EPOCH;
    assert_eq!(versions(&bench.open(), "http://h/"), [0; 0]);
}

#[test]
fn a_new_epoch_begins_at_once_and_outlives_the_process() {
    let mut bench = Bench::small();
    let disk = bench.open();
    put(&disk, record("http://h/1", 1, 1, 100));
    assert!(disk.put(record("http://h/2", 1, 2, 100)));
    disk.forget([8; 16]);
    assert!(!disk.may_have("http://h/1"));
    put(&disk, record("http://h/3", 1, 3, 100));
    assert_eq!(versions(&disk, "http://h/2"), [0; 0]);
    assert_eq!(versions(&disk, "http://h/3"), [3]);
    drop(disk);
    bench.epoch = [8; 16];
    let disk = bench.open();
    assert_eq!(disk.status().records, 1);
    assert_eq!(versions(&disk, "http://h/3"), [3]);
}

#[test]
fn nobody_else_can_read_the_files_and_a_second_process_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let bench = Bench::small();
    let disk = bench.open();
    put(&disk, record("http://h/", 1, 1, 100));
    let mode = |path: &Path| path.metadata().expect("a file").permissions().mode() & 0o777;
    assert_eq!(mode(bench.path()), 0o700);
    assert_eq!(mode(&bench.path().join("MANIFEST")), 0o600);
    assert!(bench.segments().iter().all(|path| mode(path) == 0o600));
    let second = bench.try_open_with(Box::new(System), Retry::default());
    let error = second.expect_err("locked").to_string();
    assert!(error.contains("another process"), "{error}");
    let path = bench.path().display().to_string();
    assert!(error.contains(&path), "{error}");
    disk.close();
    assert!(!disk.put(record("http://h/", 1, 2, 100)));
    assert_eq!(versions(&bench.open(), "http://h/"), [1]);
    let writable = std::fs::Permissions::from_mode(0o770);
    std::fs::set_permissions(bench.path(), writable).expect("a directory of ours");
    let exposed = bench.try_open_with(Box::new(System), Retry::default());
    assert!(matches!(
        exposed,
        Err(OpenError::Unfit(Unfit::Writable(_, 0o770)))
    ));
    drop(bench.folder);
}

#[test]
fn the_queue_is_bounded_and_what_it_refuses_is_counted() {
    let mut bench = Bench::small();
    bench.settings.queue = 10_000;
    let disk = bench.open();
    // No segment has room for it.
    assert!(!disk.put(record("http://h/", 1, 1, 70_000)));
    assert_eq!(disk.status().counts.dropped, 1);
    // There is room for one that is larger than the queue, while it is empty.
    assert!(disk.put(record("http://large/", 1, 1, 20_000)));
    assert!(disk.flush(LONG));
    assert_eq!(versions(&disk, "http://large/"), [1]);
    let put = |version| disk.put(record("http://h/", 1, version, 5_000));
    let queued = (0..1_000).filter(|version| put(*version)).count();
    assert!(disk.flush(LONG));
    let counts = disk.status().counts;
    assert_eq!(counts.written_records, queued as u64 + 1);
    assert_eq!(counts.dropped, 1 + 1_000 - queued as u64);
}

#[test]
fn a_record_of_an_earlier_epoch_is_not_entered_into_the_index() {
    let index = Index::new();
    let place = Place {
        segment: 1,
        offset: 48,
    };
    let entry = Entry::new(5, 6, place, 100, u32::MAX);
    for (generation, is_there) in [(0, false), (1, true)] {
        index.clear(1);
        index.lock(5).insert(generation, entry, 1);
        assert_eq!(index.lock(5).any(1, 5, START, |_| true), is_there);
        assert!(!index.lock(5).any(0, 5, START, |_| true));
    }
}
