mod synced;

use std::cell::Cell;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::faults::{Fate, Operation};
use crate::ledger::format::RECORDS;
use crate::ledger::invalidation::{Matcher, Route, Strength};
use crate::semantics::selector::Selector;
use crate::semantics::target::{key_with, origin_of, split_query, target_of};

const BOOT: [u8; 16] = [1; 16];
const OTHER_BOOT: [u8; 16] = [2; 16];

thread_local! {
    /// Writes that succeed before the disk is full.
    static ROOM: Cell<usize> = const { Cell::new(usize::MAX) };
}

/// Those of a disk that may be full.
fn may_be_full() -> Faults {
    const ENOSPC: i32 = 28;
    Faults::by(|operation| match (operation, ROOM.get()) {
        (Operation::LedgerWrite, 0) => Fate::Fails(ENOSPC),
        (Operation::LedgerWrite, room) => {
            ROOM.set(room - 1);
            Fate::Done
        }
        _ => Fate::Done,
    })
}

fn made(path: &Path) -> Arc<Directory> {
    Arc::new(Directory::make(path).expect("a directory"))
}

fn open_as(
    directory: &TempDir,
    limit: usize,
    outlives: Outlives,
    boot: [u8; 16],
) -> (Ledger, Opened) {
    let opened = Ledger::open_after(made(directory.path()), limit, outlives, may_be_full(), boot);
    opened.expect("a ledger")
}

fn open(directory: &TempDir, boot: [u8; 16]) -> (Ledger, Opened) {
    open_as(directory, 100, Outlives::Process, boot)
}

fn path(directory: &TempDir) -> PathBuf {
    directory.path().join("ledger")
}

fn of(target: &str) -> Subject<'_> {
    Subject {
        target,
        tags: &[],
        ignores_query: false,
    }
}

fn url(n: u64) -> String {
    format!("http://h/{n}")
}

fn purge(ledger: &Ledger, n: u64) -> u64 {
    ledger.append(&Invalidation::hard(vec![Matcher::target(url(n))]), 0)
}

fn replayed(count: usize, clean: bool, rebooted: bool) -> Opened {
    Opened::Replayed {
        count,
        clean,
        rebooted,
    }
}

#[test]
fn what_was_purged_stays_purged_after_a_kill() {
    let directory = TempDir::new().unwrap();
    let (ledger, opened) = open(&directory, BOOT);
    assert_eq!(opened, Opened::Fresh);
    let before = ledger.sequence();
    assert_eq!((purge(&ledger, 1), purge(&ledger, 2)), (1, 2));
    let epoch = ledger.epoch();
    drop(ledger);
    let (ledger, opened) = open(&directory, BOOT);
    assert_eq!(opened, replayed(2, false, false));
    assert_eq!((ledger.epoch(), ledger.sequence()), (epoch, 2));
    assert_eq!(ledger.judge(before, &of("http://h/1")), Verdict::Dead);
    assert_eq!(ledger.judge(before, &of("http://h/3")), Verdict::Valid);
    assert_eq!(ledger.judge(1, &of("http://h/1")), Verdict::Valid);
    assert_eq!(purge(&ledger, 3), 3);
}

#[test]
fn after_a_loss_of_power_everything_is_validated_first() {
    let directory = TempDir::new().unwrap();
    let (ledger, _) = open(&directory, BOOT);
    purge(&ledger, 1);
    drop(ledger);
    let (ledger, opened) = open(&directory, OTHER_BOOT);
    assert_eq!(opened, replayed(1, false, true));
    // The one that was purged last may have had any number that was lost.
    for stamp in [1, 2, 1_000] {
        assert_eq!(
            ledger.judge(stamp, &of("http://h/2")),
            Verdict::MustValidate
        );
    }
    assert_eq!(ledger.judge(0, &of("http://h/1")), Verdict::Dead);
    let stamp = ledger.sequence();
    assert_eq!(ledger.judge(stamp, &of("http://h/1")), Verdict::Valid);
    assert!(purge(&ledger, 1) > stamp);
    let floor = ledger.floor();
    drop(ledger);
    let (ledger, opened) = open(&directory, OTHER_BOOT);
    assert_eq!(opened, replayed(1, false, false));
    assert_eq!(ledger.floor(), floor);
}

#[test]
fn after_a_clean_shutdown_a_reboot_loses_nothing() {
    let directory = TempDir::new().unwrap();
    let (ledger, _) = open(&directory, BOOT);
    purge(&ledger, 1);
    ledger.close();
    drop(ledger);
    let (ledger, opened) = open(&directory, OTHER_BOOT);
    assert_eq!(opened, replayed(1, true, false));
    assert_eq!(ledger.judge(0, &of("http://h/2")), Verdict::Valid);
    // The mark is gone.
    drop(ledger);
    assert_eq!(open(&directory, BOOT).1, replayed(1, false, true));
}

#[test]
fn an_invalidation_after_the_shutdown_takes_its_mark_away() {
    let directory = TempDir::new().unwrap();
    let (ledger, _) = open(&directory, BOOT);
    ledger.close();
    purge(&ledger, 1);
    drop(ledger);
    let (ledger, opened) = open(&directory, OTHER_BOOT);
    assert_eq!(opened, replayed(1, false, true));
    assert_eq!(ledger.judge(0, &of("http://h/1")), Verdict::Dead);
}

#[test]
fn what_outlives_the_machine_is_used_after_a_loss_of_power() {
    let directory = TempDir::new().unwrap();
    let (ledger, _) = open_as(&directory, 100, Outlives::Machine, BOOT);
    purge(&ledger, 1);
    drop(ledger);
    let (ledger, opened) = open_as(&directory, 100, Outlives::Machine, OTHER_BOOT);
    assert_eq!(opened, replayed(1, false, false));
    assert_eq!(ledger.judge(0, &of("http://h/1")), Verdict::Dead);
    assert_eq!(ledger.judge(0, &of("http://h/2")), Verdict::Valid);
}

#[test]
fn a_file_that_is_no_ledger_begins_a_new_epoch() {
    let directory = TempDir::new().unwrap();
    let (ledger, _) = open(&directory, BOOT);
    purge(&ledger, 1);
    let epoch = ledger.epoch();
    drop(ledger);
    let whole = fs::read(path(&directory)).unwrap();
    let with_version = |version: u8| {
        let mut octets = whole.clone();
        octets[8] = version;
        octets
    };
    let mut without_state = whole.clone();
    without_state[128..256].fill(0);
    for (octets, expected) in [
        (Vec::new(), "it is too short"),
        (vec![b'x'; 1_000], "it is no ledger"),
        (with_version(2), "its format has version 2, and 1 is known"),
        (
            whole[..RECORDS as usize].to_vec(),
            "a record is damaged or missing",
        ),
        (whole[..100].to_vec(), "it is too short"),
        (without_state, "its state is damaged"),
    ] {
        fs::write(path(&directory), octets).unwrap();
        let (ledger, opened) = open(&directory, BOOT);
        let Opened::Damaged { why } = opened else {
            panic!("{opened:?}")
        };
        assert_eq!(why, expected);
        assert_eq!(ledger.sequence(), 0);
        assert_ne!(ledger.epoch(), epoch);
    }
    fs::remove_file(path(&directory)).unwrap();
    assert_eq!(open(&directory, BOOT).1, Opened::Fresh);
}

#[test]
fn a_second_process_is_refused() {
    let directory = TempDir::new().unwrap();
    let (ledger, _) = open(&directory, BOOT);
    let second = || {
        Ledger::open(
            made(directory.path()),
            9,
            Outlives::Process,
            Faults::default(),
        )
    };
    assert!(matches!(second(), Err(OpenError::InUse(_))));
    drop(ledger);
    assert!(second().is_ok());
}

#[test]
fn nobody_else_may_read_the_file() {
    use std::os::unix::fs::PermissionsExt as _;
    let directory = TempDir::new().unwrap();
    let _ledger = open(&directory, BOOT);
    for name in ["ledger", "ledger.lock"] {
        let mode = fs::metadata(directory.path().join(name))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

/// What the ledger says of some records, each with its stamp: of those that were purged before [`purged`] ended, and of others.
fn verdicts(ledger: &Ledger) -> Vec<Verdict> {
    let each = (0..=8).flat_map(|n| (0..=8).map(move |stamp| (n, stamp)));
    each.map(|(n, stamp)| ledger.judge(stamp, &of(&url(n))))
        .collect()
}

/// Purges that a whole file holds, and the octets of the file.
fn purged(directory: &TempDir) -> (Vec<Verdict>, [u8; 16], Vec<u8>) {
    let (ledger, _) = open(directory, BOOT);
    for n in [1, 2, 3, 1, 4] {
        purge(&ledger, n);
    }
    ledger.append(
        &Invalidation::soft(vec![Matcher::target(url(5)), Matcher::target(url(6))]),
        0,
    );
    (
        verdicts(&ledger),
        ledger.epoch(),
        fs::read(path(directory)).unwrap(),
    )
}

/// Opens the ledger of a file with these octets: nothing may be used that must not be. Whether a new epoch has begun.
fn is_safe(
    directory: &TempDir,
    octets: &[u8],
    boot: [u8; 16],
    (before, epoch): (&[Verdict], [u8; 16]),
    what: &str,
) -> bool {
    fs::write(path(directory), octets).unwrap();
    let (ledger, _) = open(directory, boot);
    if ledger.epoch() != epoch {
        return false;
    }
    for (now, before) in verdicts(&ledger).into_iter().zip(before) {
        // After a loss of power, what was dead is validated at least.
        let least = match boot == BOOT {
            true => *before,
            false => Verdict::MustValidate,
        };
        assert!(now >= least, "{what}: {now:?}, and was {before:?}");
    }
    assert!(ledger.sequence() >= 6, "{what}: numbers go back");
    true
}

#[test]
fn a_flipped_bit_never_brings_back_what_was_purged() {
    let directory = TempDir::new().unwrap();
    let (before, epoch, whole) = purged(&directory);
    let mut same_epoch = 0;
    for at in 0..whole.len() {
        let mut octets = whole.clone();
        octets[at] ^= 1 << (at % 8);
        for boot in [BOOT, OTHER_BOOT] {
            let what = format!("octet {at}");
            same_epoch += usize::from(is_safe(&directory, &octets, boot, (&before, epoch), &what));
        }
    }
    // Where one of the two states is damaged, the other one does; and what is after the first damage is validated after a
    // loss of power.
    assert!(same_epoch > 128, "{same_epoch}");
}

#[test]
fn a_file_that_ends_early_never_brings_back_what_was_purged() {
    let directory = TempDir::new().unwrap();
    let (before, epoch, whole) = purged(&directory);
    for length in 0..whole.len() {
        for boot in [BOOT, OTHER_BOOT] {
            let what = format!("{length} octets");
            let same = is_safe(&directory, &whole[..length], boot, (&before, epoch), &what);
            assert_eq!(
                same,
                boot == OTHER_BOOT && length >= RECORDS as usize,
                "{what}"
            );
        }
    }
}

#[test]
fn a_kill_in_the_middle_of_a_write_loses_at_most_what_was_not_acknowledged() {
    let directory = TempDir::new().unwrap();
    let (before, epoch, whole) = purged(&directory);
    let (ledger, _) = open(&directory, BOOT);
    let first = fs::read(path(&directory)).unwrap();
    assert_eq!(purge(&ledger, 7), 7);
    drop(ledger);
    let after = fs::read(path(&directory)).unwrap();
    // The record is written first, and then the state.
    let mut states = Vec::new();
    for length in whole.len()..=after.len() {
        states.push([&first[..RECORDS as usize], &after[RECORDS as usize..length]].concat());
    }
    for length in 0..=RECORDS as usize {
        states.push(
            [
                &after[..length],
                &first[length..RECORDS as usize],
                &after[RECORDS as usize..],
            ]
            .concat(),
        );
    }
    for (at, octets) in states.iter().enumerate() {
        let what = format!("state {at}");
        assert!(
            is_safe(&directory, octets, BOOT, (&before, epoch), &what),
            "{what}: a new epoch"
        );
    }
}

#[test]
fn a_full_disk_ends_the_epoch_and_room_begins_to_be_used_again() {
    let directory = TempDir::new().unwrap();
    let (ledger, _) = open(&directory, BOOT);
    purge(&ledger, 1);
    // The record is written, or not even that.
    for room in [1, 0] {
        let epoch = ledger.epoch();
        assert!(ledger.is_durable());
        ROOM.set(room);
        let number = purge(&ledger, 2);
        assert!(!ledger.is_durable());
        assert_ne!(ledger.epoch(), epoch);
        assert!(!path(&directory).exists());
        assert_eq!(ledger.sequence(), number);
        assert!(ledger.mend().is_err());
        assert_eq!(ledger.judge(number - 1, &of("http://h/2")), Verdict::Dead);
        assert_eq!(purge(&ledger, 3), number + 1);
        ROOM.set(usize::MAX);
        ledger.mend().unwrap();
        assert!(ledger.is_durable() && path(&directory).exists());
    }
    let (epoch, verdicts_before) = (ledger.epoch(), verdicts(&ledger));
    drop(ledger);
    let (ledger, opened) = open(&directory, BOOT);
    assert_eq!(opened, replayed(3, false, false));
    assert_eq!(
        (ledger.epoch(), verdicts(&ledger)),
        (epoch, verdicts_before)
    );
}

#[test]
fn a_long_file_is_written_anew_with_the_same_judgement() {
    let directory = TempDir::new().unwrap();
    let (ledger, _) = open(&directory, BOOT);
    let all: Vec<_> = (0..500).map(|n| Matcher::target(url(n % 50))).collect();
    for _ in 0..20 {
        ledger.append(&Invalidation::hard(all.clone()), 0);
    }
    purge(&ledger, 3);
    ledger.mend().unwrap();
    let length = fs::metadata(path(&directory)).unwrap().len();
    assert!(length < 4_000, "{length} octets");
    purge(&ledger, 4);
    let before = verdicts(&ledger);
    drop(ledger);
    let (ledger, opened) = open(&directory, BOOT);
    assert_eq!(opened, replayed(50, false, false));
    assert_eq!((verdicts(&ledger), ledger.sequence()), (before, 22));
}

#[test]
fn a_file_that_cannot_be_written_anew_does_not_grow_without_end() {
    let directory = TempDir::new().unwrap();
    let (ledger, _) = open(&directory, BOOT);
    let epoch = ledger.epoch();
    let all: Vec<_> = (0..500).map(|n| Matcher::target(url(n % 50))).collect();
    while ledger.is_durable() {
        let length = fs::metadata(path(&directory)).unwrap().len();
        assert!(
            length < 1 << 20,
            "{length} octets, although nobody mends it"
        );
        ledger.append(&Invalidation::hard(all.clone()), 0);
    }
    assert_ne!(ledger.epoch(), epoch);
    ledger.mend().unwrap();
    assert!(ledger.is_durable());
    assert!(fs::metadata(path(&directory)).unwrap().len() < 4_000);
}

#[test]
fn what_is_distrusted_is_validated_after_a_restart_too() {
    let directory = TempDir::new().unwrap();
    let (ledger, _) = open(&directory, BOOT);
    purge(&ledger, 1);
    ledger.distrust(9);
    assert_eq!(ledger.judge(9, &of("http://h/2")), Verdict::MustValidate);
    assert_eq!(ledger.judge(10, &of("http://h/1")), Verdict::Valid);
    drop(ledger);
    let (ledger, _) = open(&directory, BOOT);
    assert_eq!((ledger.sequence(), ledger.floor()), (10, 10));
    assert_eq!(purge(&ledger, 1), 11);
}

/// All invalidations, and the functions by which the store finds what they cover.
#[derive(Debug, Default)]
struct Naive(Vec<(u64, Invalidation)>);

impl Naive {
    fn covers(matcher: &Matcher, subject: &Subject<'_>) -> bool {
        let target = target_of(subject.target);
        match matcher {
            Matcher::Urls(selector) => {
                let named = selector.target_beside(target);
                let same_path = |named: String| split_query(&named).0 == split_query(target).0;
                selector.covers(target) || subject.ignores_query && named.is_some_and(same_path)
            }
            Matcher::Tag { name, origin } => {
                let is_origin = |origin: &str| origin_of(subject.target) == origin;
                origin.as_deref().is_none_or(is_origin)
                    && subject.tags.iter().any(|tag| **tag == **name)
            }
            Matcher::Route(route) => route.takes(target),
            Matcher::All => true,
        }
    }

    fn judge(&self, stamp: u64, subject: &Subject<'_>) -> Verdict {
        let later = self.0.iter().filter(|(number, _)| *number > stamp);
        let covering = later.filter(|(_, invalidation)| {
            let mut covers = invalidation.covers.iter();
            covers.any(|matcher| Self::covers(matcher, subject))
        });
        let verdicts = covering.map(|(_, invalidation)| match invalidation.strength {
            Strength::Hard => Verdict::Dead,
            Strength::Soft => Verdict::Stale,
        });
        verdicts.max().unwrap_or(Verdict::Valid)
    }
}

#[derive(Clone, Debug)]
enum Step {
    Append(Invalidation),
    Mend,
    /// With that limit; after a shutdown, or a kill; after a reboot, or not.
    Reopen(usize, bool, bool),
}

/// Paths, with queries and without.
const PATH: &str = "(/[ab]?){1,4}";
const QUERY: &str = "(\\?[ab/?]{0,2})?";
const ORIGIN: &str = "http://[hi]";

fn matcher() -> impl Strategy<Value = Matcher> {
    let selector = prop_oneof![
        (PATH, QUERY).prop_map(|(path, query)| Selector::PathAndQuery(path + &query)),
        (ORIGIN, PATH, QUERY)
            .prop_map(|(origin, path, query)| Selector::Target(origin + &path + &query)),
        (ORIGIN, PATH).prop_map(|(origin, path)| Selector::TargetPath(origin + &path)),
        prop_oneof![PATH.prop_map(String::from), Just(String::new())]
            .prop_map(Selector::PathPrefix),
        (
            ORIGIN,
            prop_oneof![PATH.prop_map(String::from), Just(String::new())]
        )
            .prop_map(|(origin, path)| Selector::TargetPrefix(origin + &path)),
    ];
    prop_oneof![
        8 => selector.clone().prop_map(Matcher::Urls),
        3 => ("[st]", proptest::option::of(ORIGIN)).prop_map(|(name, origin)| Matcher::Tag { name, origin }),
        1 => selector.prop_map(|within| {
            let around = within.clone();
            Matcher::Route(Route::new("a route", within, move |target| {
                around.covers(target) && target.len() % 2 == 0
            }))
        }),
        1 => Just(Matcher::All),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let covers = proptest::collection::vec(matcher(), 1..4);
    prop_oneof![
        12 => (covers, any::<bool>()).prop_map(|(covers, is_hard)| Step::Append(match is_hard {
            true => Invalidation::hard(covers),
            false => Invalidation::soft(covers),
        })),
        1 => Just(Step::Mend),
        2 => (4..40_usize, any::<bool>(), proptest::bool::weighted(0.2))
            .prop_map(|(limit, closed, rebooted)| Step::Reopen(limit, closed, rebooted)),
    ]
}

fn record() -> impl Strategy<Value = (String, Vec<Box<str>>, bool)> {
    let tags = proptest::collection::vec("[stu]".prop_map(String::into_boxed_str), 0..3);
    (ORIGIN, PATH, QUERY, any::<bool>(), tags, any::<bool>()).prop_map(
        |(origin, path, query, has_values, tags, ignores_query)| {
            let target = origin + &path + &query;
            let key = match has_values {
                true => key_with(&target, "l=de"),
                false => target,
            };
            (key, tags, ignores_query)
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// What is remembered is judged as the store would, and what is not is validated.
    #[test]
    fn a_record_is_judged_as_by_a_list_of_all_invalidations(
        steps in proptest::collection::vec(step(), 1..40),
        records in proptest::collection::vec(record(), 12),
    ) {
        let directory = TempDir::new().unwrap();
        let (mut ledger, _) = open_as(&directory, 16, Outlives::Process, BOOT);
        let (epoch, mut boot) = (ledger.epoch(), BOOT);
        let (mut naive, mut around) = (Naive::default(), Naive::default());
        let mut stamps = vec![0];
        for step in steps {
            match step {
                Step::Append(invalidation) => {
                    let number = ledger.append(&invalidation, 0);
                    prop_assert!(stamps.iter().all(|stamp| number > *stamp));
                    let mut wider = invalidation.clone();
                    for matcher in &mut wider.covers {
                        if let Matcher::Route(route) = matcher {
                            *matcher = Matcher::Urls(route.within().clone());
                        }
                    }
                    naive.0.push((number, invalidation));
                    around.0.push((number, wider));
                }
                Step::Mend => {
                    let mended = ledger.mend();
                    prop_assert!(mended.is_ok());
                }
                Step::Reopen(limit, closed, rebooted) => {
                    if closed {
                        ledger.close();
                    }
                    drop(ledger);
                    boot[0] += u8::from(rebooted);
                    ledger = open_as(&directory, limit, Outlives::Process, boot).0;
                    prop_assert_eq!(ledger.epoch(), epoch);
                }
            }
            stamps.push(ledger.sequence());
        }
        let floor = ledger.floor();
        let remembered = around.0.iter().filter(|(number, _)| *number > floor).cloned();
        let remembered = Naive(remembered.collect());
        for (target, tags, ignores_query) in &records {
            let subject = Subject { target, tags, ignores_query: *ignores_query };
            for stamp in &stamps {
                let verdict = ledger.judge(*stamp, &subject);
                let below = match *stamp < floor {
                    true => Verdict::MustValidate,
                    false => Verdict::Valid,
                };
                let what = format!("{subject:?} with {stamp}, floor {floor}");
                prop_assert!(verdict >= naive.judge(*stamp, &subject).min(Verdict::MustValidate), "{}", what);
                prop_assert!(verdict >= remembered.judge(*stamp, &subject).max(below), "{}", what);
                prop_assert!(verdict <= around.judge(*stamp, &subject).max(below), "{}", what);
            }
        }
    }
}
