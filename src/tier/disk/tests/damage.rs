//! Files that are not what was written.

use std::fs;
use std::path::PathBuf;

use super::*;
use crate::tier::disk::epoch::Epoch;
use crate::tier::disk::record::{self, Header, Place};

const TARGETS: [&str; 4] = ["http://h/1", "http://h/2", "http://h/removed", "http://h/4"];

/// A tier with records that were replaced and removed, in segments of 4 KiB.
fn written() -> (Bench, Arc<Disk>) {
    let mut bench = Bench::new(16 << 10, 4 << 10);
    bench.settings.readers = 1;
    let disk = bench.open();
    put(&disk, record(TARGETS[0], 1, 1, 50));
    put(&disk, record(TARGETS[1], 1, 2, 200));
    put(&disk, record(TARGETS[2], 1, 3, 10));
    put(&disk, record(TARGETS[0], 1, 4, 60));
    disk.remove(TARGETS[2]);
    put(&disk, record(TARGETS[3], 1, 5, 0));
    (bench, disk)
}

/// What a whole tier gives for each of the targets.
const WHOLE: [&[u64]; 4] = [&[4], &[2], &[], &[5]];

/// Opens what is there; each target gives what it should, or nothing. How many give something.
fn right_or_missing(bench: &Bench, what: &str) -> usize {
    let disk = bench.open();
    let mut found = 0;
    for (target, whole) in TARGETS.iter().zip(WHOLE) {
        let versions = versions(&disk, target);
        assert!(
            versions.is_empty() || versions == whole,
            "{what}: {target} {versions:?}"
        );
        found += versions.len();
    }
    found
}

/// Writes files as they were.
struct Original(Vec<(PathBuf, Vec<u8>)>);

impl Original {
    fn of(bench: &Bench) -> Self {
        let paths = System.list(bench.path()).expect("files");
        let read = |path: PathBuf| (path.clone(), fs::read(path).expect("a file"));
        Self(paths.into_iter().map(read).collect())
    }

    fn restore(&self, bench: &Bench) {
        for path in bench.segments() {
            fs::remove_file(path).expect("a file");
        }
        for (path, octets) in &self.0 {
            fs::write(path, octets).expect("a file");
        }
    }
}

#[test]
fn a_flipped_bit_anywhere_gives_the_right_record_or_none() {
    let (bench, disk) = written();
    drop(disk);
    let original = Original::of(&bench);
    assert_eq!(right_or_missing(&bench, "whole"), 3);
    let (mut opened, mut found) = (0, 0);
    for (path, octets) in &original.0 {
        for at in 0..octets.len() {
            // Between the slots of the manifest there is nothing.
            if path.ends_with("MANIFEST") && (100..4_000).contains(&at) {
                continue;
            }
            original.restore(&bench);
            let mut flipped = octets.clone();
            flipped[at] ^= 1 << (at % 8);
            fs::write(path, flipped).expect("a file");
            opened += 1;
            found += right_or_missing(&bench, &format!("{path:?} {at}"));
        }
    }
    // A flip costs one record, or none, where a footer lists them and where a slot of the manifest is whole.
    assert!(found > opened * 2, "{found} records in {opened} attempts");
}

#[test]
fn a_file_that_ends_anywhere_gives_the_right_record_or_none() {
    let (bench, disk) = written();
    drop(disk);
    let original = Original::of(&bench);
    for (path, octets) in &original.0 {
        for length in 0..octets.len() {
            if path.ends_with("MANIFEST") && (100..4_000).contains(&length) {
                continue;
            }
            original.restore(&bench);
            fs::write(path, &octets[..length]).expect("a file");
            let disk = bench.open();
            for (target, version) in [(TARGETS[1], 2), (TARGETS[3], 5)] {
                let versions = versions(&disk, target);
                assert!(
                    versions.is_empty() || versions == [version],
                    "{path:?} {length}"
                );
            }
            // What was replaced or removed later may be there: the end of the log is missing.
            for target in [TARGETS[0], TARGETS[2]] {
                versions(&disk, target);
            }
        }
    }
}

#[test]
fn a_segment_without_a_footer_is_read_up_to_the_first_record_that_is_not_whole() {
    let (bench, disk) = written();
    let as_killed = bench.copied();
    drop(disk);
    assert_eq!(right_or_missing(&as_killed, "killed"), 3);
    // The footer of the same segment says where its records are.
    let sealed = fs::read(&bench.segments()[0]).expect("a segment");
    let killed = as_killed.segments()[0].clone();
    drop(as_killed);
    for cut in (0..sealed.len()).step_by(7) {
        let torn = Bench::new(16 << 10, 4 << 10);
        fs::create_dir(torn.path()).expect("a directory");
        fs::copy(bench.path().join("MANIFEST"), torn.path().join("MANIFEST")).expect("a copy");
        let mut octets = sealed[..cut].to_vec();
        octets.resize(4 << 10, 0);
        fs::write(
            torn.path().join(killed.file_name().expect("a name")),
            octets,
        )
        .expect("a file");
        let disk = torn.open();
        let before = disk.status().records;
        // What is appended then is found, with what was there, after another restart.
        put(&disk, record("http://h/new", 1, 9, 100));
        let as_killed = torn.copied();
        drop(disk);
        let disk = as_killed.open();
        assert_eq!(versions(&disk, "http://h/new"), [9], "{cut}");
        assert_eq!(disk.status().records, before + 1, "{cut}");
        for target in TARGETS {
            versions(&disk, target);
        }
    }
}

#[test]
fn files_of_another_version_are_not_read_and_make_room() {
    let (bench, disk) = written();
    drop(disk);
    let manifest = bench.path().join("MANIFEST");
    let mut octets = fs::read(&manifest).expect("a manifest");
    for slot in [0, 4096] {
        // The version, and the checksum of what precedes it.
        octets[slot + 8] = 99;
        let sum = blake3::hash(&octets[slot..slot + 40]);
        octets[slot + 40..slot + 48].copy_from_slice(&sum.as_bytes()[..8]);
    }
    fs::write(&manifest, octets).expect("a file");
    let disk = bench.open();
    assert_eq!(disk.status().records, 0);
    assert_eq!(bench.segments().len(), 0);
    put(&disk, record(TARGETS[0], 1, 7, 50));
    drop(disk);
    assert_eq!(versions(&bench.open(), TARGETS[0]), [7]);
}

#[test]
fn files_of_others_in_the_directory_are_left_alone() {
    let bench = Bench::small();
    fs::create_dir(bench.path()).expect("a directory");
    for name in ["seg-", "seg-1", "seg-0000000g", "seg-00000001.old", "notes"] {
        fs::write(bench.path().join(name), "x").expect("a file");
    }
    let disk = bench.open();
    put(&disk, record("http://h/", 1, 1, 50));
    assert_eq!(System.list(bench.path()).expect("files").len(), 7);
}

#[test]
fn no_bit_of_a_record_can_be_flipped_unseen() {
    let epoch = Epoch::new(EPOCH, 0);
    let place = Place {
        segment: 3,
        offset: 48,
    };
    let whole = record("http://h/books/1", 1, 4, 70_000);
    let header = Header::of(&whole, epoch.hash(&whole.target)).expect("a short record");
    let mut octets = Vec::new();
    record::write(&whole, &header, place, &epoch, &mut octets);
    assert_eq!(octets.len() as u64, header.length());
    let read = |octets: &[u8]| record::read(octets.to_vec(), place, "http://h/books/1", &epoch);
    assert_eq!(read(&octets), Ok(whole.clone()));
    let front = octets.len() - 70_000;
    let body = (front..octets.len()).step_by(997);
    for at in (0..front).chain(body) {
        for bit in 0..8 {
            octets[at] ^= 1 << bit;
            assert!(read(&octets).is_err(), "octet {at}, bit {bit}");
            octets[at] ^= 1 << bit;
        }
    }
    for length in (0..front).chain([octets.len() - 1]) {
        assert!(read(&octets[..length]).is_err(), "{length} octets");
    }
    let elsewhere = Place {
        offset: 49,
        ..place
    };
    let other = Epoch::new([8; 16], 0);
    let refused = [
        record::read(octets.clone(), elsewhere, "http://h/books/1", &epoch),
        record::read(octets.clone(), place, "http://h/books/1", &other),
        record::read(octets.clone(), place, "http://h/books/2", &epoch),
    ];
    assert!(refused.iter().all(Result::is_err), "{refused:?}");
    // It is the same record elsewhere.
    assert!(record::relocate(&mut octets, place, elsewhere, &epoch));
    let moved = record::read(octets, elsewhere, "http://h/books/1", &epoch);
    assert_eq!(moved, Ok(whole));
}
