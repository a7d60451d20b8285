//! A process that is killed while it writes.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use super::*;

/// Names the directory to the process that is killed.
const CHILD: &str = "BOOKEND_TEST_DISK";

const TARGETS: u64 = 300;

fn target(number: u64) -> String {
    format!("http://h/books/{number}")
}

fn bench_at(path: &Path) -> Bench {
    let mut bench = Bench::new(4 << 20, 256 << 10);
    bench.settings.path = path.to_owned();
    bench
}

/// Not a test by itself: it writes until it is killed, and says what has been written for good.
#[test]
#[ignore = "the process that is killed"]
fn writes_until_it_is_killed() {
    let Some(path) = std::env::var_os(CHILD) else {
        return;
    };
    let bench = bench_at(Path::new(&path));
    let disk = bench.open();
    let found = (0..TARGETS).flat_map(|number| versions(&disk, &target(number)));
    let first = found.max().unwrap_or(0) + 1;
    let mut out = std::io::stdout();
    for version in first.. {
        let number = version * 7_919 % TARGETS;
        let is_removal = version % 50 == 0;
        // Said first: what is not said has not been done.
        let what = if is_removal { "removed" } else { "put" };
        let _ = writeln!(out, "{what} {number} {version}");
        if is_removal {
            disk.remove(&target(number));
        } else {
            let length = (version * 31 % 9_000) as usize;
            while !disk.put(record(&target(number), 1, version, length)) {
                disk.flush(Duration::from_millis(1));
            }
        }
        if version % 40 == 0 && disk.flush(LONG) {
            let _ = writeln!(out, "written");
        }
        if version % 11 == 0 {
            versions(&disk, &target(number));
        }
    }
}

#[test]
fn a_process_that_is_killed_leaves_nothing_wrong_and_loses_only_what_was_queued() {
    let folder = tempfile::tempdir().expect("a directory");
    let path = folder.path().join("disk");
    // By number: the last version that was surely written, or the removal; and versions since.
    let mut written: HashMap<u64, (u64, bool)> = HashMap::new();
    let (mut found, mut operations) = (0, 0);
    for round in 0..20 {
        let mut child = Command::new(std::env::current_exe().expect("a path"))
            .args(["--ignored", "--exact", "--nocapture"])
            .arg("tier::disk::tests::kill::writes_until_it_is_killed")
            .env(CHILD, &path)
            .stdout(Stdio::piped())
            .spawn()
            .expect("a process");
        let mut queued: Vec<(u64, u64, bool)> = Vec::new();
        let lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        // It is killed at another point each time.
        let limit = 300 + round * 37;
        let mut said = 0;
        for line in lines {
            let Ok(line) = line else { break };
            let words: Vec<_> = line.split(' ').collect();
            let number = |at: usize| {
                words
                    .get(at)
                    .and_then(|word: &&str| word.parse::<u64>().ok())
            };
            match (words[0], number(1), number(2)) {
                ("written", ..) => {
                    for (number, version, is_there) in queued.drain(..) {
                        written.insert(number, (version, is_there));
                    }
                }
                (what, Some(number), Some(version)) => {
                    queued.push((number, version, what == "put"));
                    operations += 1;
                }
                _ => {}
            }
            said += 1;
            if said == limit {
                child.kill().expect("a process of ours");
            }
        }
        child.wait().expect("a process of ours");
        let bench = bench_at(&path);
        let disk = bench.open();
        for number in 0..TARGETS {
            let versions = versions(&disk, &target(number));
            assert!(versions.len() <= 1);
            let version = versions.first().copied();
            let since = queued.iter().filter(|(of, ..)| *of == number);
            let latest = since.map(|(_, version, _)| *version).max();
            match (written.get(&number), version) {
                (Some((least, _)), Some(version)) if version < *least => {
                    panic!("round {round}: {number} is of {version}, {least} had been written")
                }
                (Some((removed, false)), Some(version)) => {
                    assert!(version > *removed && latest.is_some_and(|it| it >= version));
                }
                (Some((least, true)), None) => {
                    assert!(
                        latest.is_some(),
                        "round {round}: {number} of {least} is lost"
                    );
                }
                _ => {}
            }
            // What was only queued may have been written.
            written.remove(&number);
            if let Some(version) = version {
                written.insert(number, (version, true));
                found += 1;
            }
        }
    }
    println!("{operations} operations, {found} records found in twenty rounds");
    assert!(found > 1_000, "{found} records");
}
