//! Whatever is done, in whatever order: what is found is what was put last.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    Put {
        target: u8,
        variant: u8,
        length: usize,
    },
    Remove(u8),
    Get(u8),
    /// The process ends, or is killed once all has been written.
    Reopen {
        killed: bool,
    },
    Forget,
    /// Seconds pass.
    Wait(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let target = 0..12_u8;
    let put = (target.clone(), 0..3_u8, 0..3_000_usize);
    let put = put.prop_map(|(target, variant, length)| Step::Put {
        target,
        variant,
        length,
    });
    let step = prop_oneof![
        20 => put,
        4 => target.clone().prop_map(Step::Remove),
        10 => target.prop_map(Step::Get),
        2 => any::<bool>().prop_map(|killed| Step::Reopen { killed }),
        1 => Just(Step::Forget),
        2 => (1..400_u64).prop_map(Step::Wait),
    ];
    prop::collection::vec(step, 1..120)
}

fn name(target: u8) -> String {
    format!("http://h/{target}")
}

/// Runs the steps on a disk of that size; tells how many records were found that the model has, and how many it has.
fn run(size: u64, steps: Vec<Step>) -> (usize, usize) {
    let mut bench = Bench::new(size, 8 << 10);
    let mut disk = bench.open();
    let mut now = START.as_secs();
    // By target and variant: version, and when it expires.
    let mut model: HashMap<(u8, u8), (u64, u64)> = HashMap::new();
    let (mut found, mut expected) = (0, 0);
    let steps = steps.into_iter().zip(1_u64..);
    let all = (0..12).map(Step::Get);
    for (step, version) in steps.chain(all.zip(1_000..)) {
        match step {
            Step::Put {
                target,
                variant,
                length,
            } => {
                let mut record = record(&name(target), variant, version, length);
                // Some expire soon.
                let until = if length % 3 == 0 {
                    now + 300
                } else {
                    2_000_000
                };
                record.until = Timestamp::from_secs(until);
                put(&disk, record);
                model.insert((target, variant), (version, until));
            }
            Step::Remove(target) => {
                disk.remove(&name(target));
                assert!(disk.flush(LONG));
                model.retain(|(of, _), _| *of != target);
            }
            Step::Get(target) => {
                let versions: Vec<_> = get(&disk, &name(target))
                    .iter()
                    .map(|it| it.stamp)
                    .collect();
                let of_target = model
                    .iter()
                    .filter(|((of, _), (_, until))| *of == target && *until > now);
                let mut known: Vec<_> = of_target.map(|(_, (version, _))| *version).collect();
                known.sort_by_key(|version| std::cmp::Reverse(*version));
                assert!(
                    versions.iter().all(|it| known.contains(it)),
                    "{versions:?} of {known:?}"
                );
                assert!(versions.is_sorted_by(|a, b| a > b), "{versions:?}");
                found += versions.len();
                expected += known.len();
            }
            Step::Reopen { killed } => {
                if killed {
                    let time = now;
                    bench = bench.copied();
                    bench
                        .time
                        .advance(Duration::from_secs(time - START.as_secs()));
                    disk = bench.open();
                } else {
                    drop(disk);
                    disk = bench.open();
                }
            }
            Step::Forget => {
                bench.epoch[15] ^= version as u8 | 1;
                disk.forget(bench.epoch);
                model.clear();
                assert!(disk.flush(LONG));
            }
            Step::Wait(seconds) => {
                bench.time.advance(Duration::from_secs(seconds));
                now += seconds;
            }
        }
        assert!(disk.status().bytes <= size);
    }
    (found, expected)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn a_disk_with_room_gives_back_exactly_what_was_put_last(steps in steps()) {
        let (found, expected) = run(4 << 20, steps);
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn a_small_disk_gives_back_what_was_put_last_or_nothing(steps in steps()) {
        run(32 << 10, steps);
    }
}

/// Each thread has targets of its own, whose order it knows; the disk is small, and what is read is copied.
#[test]
fn threads_that_work_at_the_same_time_each_see_their_own_order() {
    let bench = Bench::new(64 << 10, 8 << 10);
    let disk = bench.open();
    let disk = &disk;
    let work = |thread: u64| {
        // By target: the last version put, and the last one removed.
        let mut known: HashMap<u64, (u64, u64)> = HashMap::new();
        let mut found = 0;
        let mut random = thread + 1;
        for version in 1..4_000 {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let number = (random >> 33) % 12;
            let target = format!("http://h/{thread}/{number}");
            let (put, removed) = known.entry(number).or_default();
            match (random >> 50) % 16 {
                0 => {
                    disk.remove(&target);
                    *removed = version;
                }
                1..8 => {
                    let length = (random >> 40) % 1_500;
                    if disk.put(record(&target, 1, version, length as usize)) {
                        *put = version;
                    }
                }
                8 => assert!(disk.flush(LONG)),
                _ => {}
            }
            let versions = versions(disk, &target);
            assert!(versions.len() <= 1);
            assert!(
                versions.iter().all(|it| it > removed && it <= put),
                "{versions:?}"
            );
            found += versions.len();
        }
        found
    };
    let found: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..3)
            .map(|thread| scope.spawn(move || work(thread)))
            .collect();
        let found = threads
            .into_iter()
            .map(|thread| thread.join().expect("no panic"));
        found.collect()
    });
    assert!(found.iter().all(|found| *found > 300), "{found:?}");
    let counts = disk.status().counts;
    assert!(counts.evicted > 0 && counts.copied_bytes > 0, "{counts:?}");
    assert_eq!((counts.corrupt, counts.errors), (0, 0));
    assert!(disk.flush(LONG));
}
