//! What leaves when there is no room, and what stays.

use super::*;

fn bytes_on_disk(bench: &Bench) -> u64 {
    let length = |path: &std::path::PathBuf| path.metadata().expect("a file").len();
    bench.segments().iter().map(length).sum()
}

fn target(number: u64) -> String {
    format!("http://h/books/{number}")
}

#[test]
fn the_bytes_on_disk_are_bounded_and_the_oldest_records_leave() {
    let bench = Bench::small();
    let disk = bench.open();
    for number in 0..3_000 {
        put(&disk, record(&target(number), 1, number, 1_000));
        assert!(bytes_on_disk(&bench) <= bench.settings.size);
        assert!(disk.status().bytes <= bench.settings.size);
    }
    let found = |number| versions(&disk, &target(number)) == [number];
    let kept: Vec<_> = (0..3_000).filter(|number| found(*number)).collect();
    assert_eq!(kept.last(), Some(&2_999));
    assert!(
        kept.len() > 700,
        "{} records of 1,000 octets in 1 MiB",
        kept.len()
    );
    // They are the latest, without a gap.
    assert_eq!(kept[0] as usize, 3_000 - kept.len());
    let status = disk.status();
    assert_eq!(status.records as usize, kept.len());
    assert_eq!(status.counts.evicted as usize, 3_000 - kept.len());
    assert_eq!(status.counts.written_records, 3_000);
}

#[test]
fn records_that_are_used_outlive_those_that_are_not() {
    let bench = Bench::small();
    let mut disk = bench.open();
    for number in 0..100 {
        put(&disk, record(&target(number), 1, number, 1_000));
    }
    for number in 100..5_000 {
        put(&disk, record(&target(number), 1, number, 1_000));
        // Ten records are in use; each is read once in 200 records, which is less than the disk holds.
        if number % 20 == 0 {
            let hot = number / 20 % 10;
            assert_eq!(versions(&disk, &target(hot)), [hot], "after {number}");
        }
    }
    let counts = disk.status().counts;
    assert!(counts.copied_bytes > 0);
    // Copies are what is in use: far less than what is written.
    assert!(
        counts.copied_bytes * 20 < counts.written_bytes,
        "{counts:?}"
    );
    drop(disk);
    disk = bench.open();
    for hot in 0..10 {
        assert_eq!(versions(&disk, &target(hot)), [hot]);
    }
}

#[test]
fn at_most_a_quarter_of_a_segment_is_copied() {
    let bench = Bench::small();
    let disk = bench.open();
    let mut segments = 0;
    for number in 0..3_000 {
        put(&disk, record(&target(number), 1, number, 1_000));
        // All are used.
        assert_eq!(versions(&disk, &target(number)), [number]);
        segments = segments.max(bench.segments().len());
    }
    let counts = disk.status().counts;
    let written = counts.written_bytes - counts.copied_bytes;
    assert!(counts.copied_bytes * 3 <= written, "{counts:?}");
    assert!(counts.copied_bytes * 5 > written, "{counts:?}");
}

#[test]
fn what_was_replaced_removed_or_has_expired_is_not_copied() {
    let bench = Bench::small();
    let disk = bench.open();
    let mut short = record("http://h/short", 1, 1, 1_000);
    short.until = Timestamp::from_secs(START.as_secs() + 10);
    put(&disk, short);
    put(&disk, record("http://h/replaced", 1, 1, 1_000));
    put(&disk, record("http://h/removed", 1, 1, 1_000));
    for target in ["http://h/short", "http://h/replaced", "http://h/removed"] {
        assert_eq!(versions(&disk, target), [1]);
    }
    put(&disk, record("http://h/replaced", 1, 2, 1_000));
    disk.remove("http://h/removed");
    bench.time.advance(Duration::from_secs(20));
    for number in 0..2_000 {
        put(&disk, record(&target(number), 1, number, 1_000));
    }
    let status = disk.status();
    assert!(status.counts.evicted > 0);
    assert_eq!(status.counts.copied_bytes, 0);
    drop(disk);
    let disk = bench.open();
    for target in ["http://h/short", "http://h/replaced", "http://h/removed"] {
        assert_eq!(versions(&disk, target), [0; 0]);
    }
}

#[test]
fn the_index_is_bounded_and_the_oldest_records_leave() {
    let mut bench = Bench::new(8 << 20, 64 << 10);
    let mut disk = bench.open();
    for number in 0..5_000 {
        assert!(disk.put(record(&target(number), 1, number, 10)));
        if number % 100 == 0 {
            assert!(disk.flush(LONG));
        }
    }
    assert!(disk.flush(LONG));
    assert_eq!(disk.status().records, 5_000);
    drop(disk);
    // A smaller index: loading ends with what it has room for.
    bench.settings.index_memory = 100_000;
    disk = bench.open();
    let records = disk.status().records;
    let max = 100_000 / 76;
    assert!(
        (max - 400..max + 400).contains(&records),
        "{records} records"
    );
    assert_eq!(versions(&disk, &target(4_999)), [4_999]);
    for number in 5_000..10_000 {
        put(&disk, record(&target(number), 1, number, 10));
    }
    let status = disk.status();
    assert!(status.records <= max, "{} records", status.records);
    assert!(status.records > max / 2, "{} records", status.records);
    assert_eq!(versions(&disk, &target(9_999)), [9_999]);
    assert_eq!(versions(&disk, &target(4_999)), [0; 0]);
}

#[test]
fn a_smaller_size_is_kept_from_the_start() {
    let mut bench = Bench::small();
    let disk = bench.open();
    for number in 0..3_000 {
        put(&disk, record(&target(number), 1, number, 1_000));
    }
    drop(disk);
    bench.settings.size = 512 << 10;
    let disk = bench.open();
    put(&disk, record(&target(3_000), 1, 3_000, 1_000));
    assert!(bytes_on_disk(&bench) <= bench.settings.size);
    assert_eq!(versions(&disk, &target(2_999)), [2_999]);
}

#[test]
fn a_record_takes_at_most_a_hundred_bytes_of_memory() {
    let mut bench = Bench::new(64 << 20, 16 << 20);
    bench.settings.index_memory = 64 << 20;
    let disk = bench.open();
    let empty = disk.status().index_bytes;
    let (mut most, mut least) = (0, u64::MAX);
    for number in 0..100_000_u64 {
        while !disk.put(record(&target(number), 1, number, 10)) {
            assert!(disk.flush(LONG));
        }
        if number % 5_000 == 4_999 {
            assert!(disk.flush(LONG));
            let each = (disk.status().index_bytes - empty) / (number + 1);
            (most, least) = (most.max(each), least.min(each));
        }
    }
    assert_eq!(disk.status().records, 100_000);
    println!("{least} to {most} bytes a record");
    assert!(most <= 100, "{most} bytes a record");
}
