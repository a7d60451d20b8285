//! What waits for the device, and what does not.

use std::io;
use std::sync::mpsc;
use std::sync::{Condvar, MutexGuard};
use std::thread::{Scope, ScopedJoinHandle};

use super::*;

const EIO: i32 = 5;

/// A device whose syncs wait while it is held.
#[derive(Debug, Default)]
struct Device {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    /// The sync with this number waits, and those after it.
    held_from: usize,
    fails: bool,
    /// Syncs that have come.
    came: usize,
}

impl Default for State {
    fn default() -> Self {
        Self {
            held_from: usize::MAX,
            fails: false,
            came: 0,
        }
    }
}

impl Device {
    /// Has this many syncs more be done, and those after them wait.
    fn hold_after(&self, syncs: usize) {
        self.change(|state| state.held_from = state.came + syncs + 1);
    }

    fn release(&self) {
        self.change(|state| state.held_from = usize::MAX);
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().unwrap());
        self.changed.notify_all();
    }

    fn until(&self, is_so: impl Fn(&State) -> bool) -> MutexGuard<'_, State> {
        let state = self.state.lock().unwrap();
        self.changed.wait_while(state, |it| !is_so(it)).unwrap()
    }

    fn came(&self) -> usize {
        self.state.lock().unwrap().came
    }

    fn open(self: &Arc<Self>, directory: &TempDir, outlives: Outlives) -> Ledger {
        let device = self.clone();
        let faults = Faults::by(move |operation| {
            if operation != Operation::LedgerSync {
                return Fate::Done;
            }
            let mut number = 0;
            device.change(|state| {
                state.came += 1;
                number = state.came;
            });
            match device.until(|state| number < state.held_from).fails {
                true => Fate::Fails(EIO),
                false => Fate::Done,
            }
        });
        let opened = Ledger::open_after(made(directory.path()), 100, outlives, faults, BOOT);
        opened.expect("a ledger").0
    }
}

/// Waits as a request does.
fn settled(ledger: &Ledger, number: u64) -> Durability {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.unwrap().block_on(ledger.settled(number))
}

#[test]
fn who_appends_does_not_wait_for_the_device_and_is_told_when_it_has_it() {
    let directory = TempDir::new().unwrap();
    let device = Arc::<Device>::default();
    let ledger = device.open(&directory, Outlives::Machine);
    let before = ledger.sequence();
    device.hold_after(0);
    let came = device.came();
    let first = purge(&ledger, 1);
    drop(device.until(|state| state.came > came));
    let second = purge(&ledger, 2);
    // It holds here, and nobody may say more.
    assert_eq!(ledger.judge(before, &of("http://h/1")), Verdict::Dead);
    assert_eq!(ledger.durability(first), None);
    let (tell, told) = mpsc::channel();
    std::thread::scope(|scope| {
        for number in [second, first] {
            let (ledger, tell) = (&ledger, tell.clone());
            scope.spawn(move || tell.send((number, settled(ledger, number))).unwrap());
        }
        assert!(told.try_recv().is_err());
        device.release();
    });
    let mut told: Vec<_> = told.try_iter().collect();
    told.sort_by_key(|(number, _)| *number);
    let durable = Durability::Durable;
    assert_eq!(told, [(first, durable), (second, durable)]);
}

#[test]
fn one_sync_does_for_all_that_wait() {
    let directory = TempDir::new().unwrap();
    let device = Arc::<Device>::default();
    let ledger = device.open(&directory, Outlives::Machine);
    device.hold_after(0);
    let came = device.came();
    purge(&ledger, 0);
    drop(device.until(|state| state.came > came));
    let last = (1..100).fold(0, |_, n| purge(&ledger, n));
    device.release();
    assert_eq!(settled(&ledger, last), Durability::Durable);
    assert!(device.came() <= came + 3);
}

#[test]
fn without_sync_nothing_waits_and_no_sync_is_asked_for() {
    let directory = TempDir::new().unwrap();
    let device = Arc::<Device>::default();
    let ledger = device.open(&directory, Outlives::Process);
    let came = device.came();
    for n in 0..100 {
        let number = purge(&ledger, n);
        assert_eq!(ledger.durability(number), Some(Durability::Durable));
    }
    assert_eq!(device.came(), came);
}

#[test]
fn a_sync_that_fails_makes_nothing_durable_and_ends_the_epoch() {
    let directory = TempDir::new().unwrap();
    let device = Arc::<Device>::default();
    let ledger = device.open(&directory, Outlives::Machine);
    let epoch = ledger.epoch();
    let first = purge(&ledger, 1);
    assert_eq!(settled(&ledger, first), Durability::Durable);
    device.change(|state| state.fails = true);
    let second = purge(&ledger, 2);
    assert_eq!(settled(&ledger, second), Durability::Failed);
    assert_ne!(ledger.epoch(), epoch);
    assert!(!ledger.is_durable() && !path(&directory).exists());
    // Nor is what comes before the file is written again.
    let third = purge(&ledger, 3);
    assert_eq!(ledger.durability(third), Some(Durability::Failed));
    assert!(ledger.mend().is_err());
    assert_eq!(ledger.durability(third), Some(Durability::Failed));
    device.change(|state| state.fails = false);
    ledger.mend().unwrap();
    assert_eq!(ledger.durability(third), Some(Durability::Durable));
    let fourth = purge(&ledger, 4);
    assert_eq!(settled(&ledger, fourth), Durability::Durable);
    let epoch = ledger.epoch();
    drop(ledger);
    let (ledger, opened) = open(&directory, BOOT);
    assert_eq!((opened, ledger.epoch()), (replayed(4, false, false), epoch));
}

#[test]
fn what_cannot_be_removed_is_never_said_to_be_durable() {
    let directory = TempDir::new().unwrap();
    let ledger = open(&directory, BOOT).0;
    purge(&ledger, 1);
    // Whoever the test runs as, this cannot be removed as a file is.
    fs::remove_file(path(&directory)).unwrap();
    fs::create_dir(path(&directory)).unwrap();
    ROOM.set(0);
    let number = purge(&ledger, 2);
    ROOM.set(usize::MAX);
    assert_eq!(ledger.durability(number), Some(Durability::Failed));
}

/// Has the file written anew, and returns while a sync of it waits, after so many others.
fn being_written_anew<'scope, 'env>(
    scope: &'scope Scope<'scope, 'env>,
    ledger: &'env Ledger,
    device: &Device,
    syncs: usize,
) -> ScopedJoinHandle<'scope, io::Result<()>> {
    let all: Vec<_> = (0..500).map(|n| Matcher::target(url(n % 50))).collect();
    while ledger.kept.is_good() {
        let number = ledger.append(&Invalidation::hard(all.clone()), 0);
        settled(ledger, number);
    }
    device.hold_after(syncs);
    let came = device.came();
    let mending = scope.spawn(|| ledger.mend());
    drop(device.until(|state| state.came > came + syncs));
    mending
}

#[test]
fn who_appends_while_the_file_is_written_anew_does_not_wait_and_is_in_the_new_file() {
    let [process, machine] = [Outlives::Process, Outlives::Machine];
    // It is synced when it has what was remembered, when it has what came meanwhile, and with its directory.
    let each = [
        (process, 0),
        (process, 1),
        (machine, 0),
        (machine, 1),
        (machine, 2),
    ];
    for (outlives, syncs) in each {
        let directory = TempDir::new().unwrap();
        let device = Arc::<Device>::default();
        let ledger = device.open(&directory, outlives);
        let (mut stamp, mut last) = (0, 0);
        std::thread::scope(|scope| {
            let mending = being_written_anew(scope, &ledger, &device, syncs);
            stamp = ledger.sequence();
            last = (100..150).fold(0, |_, n| purge(&ledger, n));
            assert!(!mending.is_finished());
            device.release();
            mending.join().unwrap().unwrap();
        });
        assert_eq!(settled(&ledger, last), Durability::Durable);
        last = purge(&ledger, 150);
        drop(ledger);
        let (ledger, _) = open_as(&directory, 1_000, outlives, BOOT);
        assert_eq!(ledger.sequence(), last);
        for n in 100..=150 {
            assert_eq!(ledger.judge(stamp, &of(&url(n))), Verdict::Dead, "{n}");
        }
        assert!(fs::metadata(path(&directory)).unwrap().len() < 16_000);
        assert!(!directory.path().join("ledger.new").exists());
    }
}

#[test]
fn what_is_distrusted_while_the_file_is_written_anew_stays_so() {
    let directory = TempDir::new().unwrap();
    let device = Arc::<Device>::default();
    let ledger = device.open(&directory, Outlives::Process);
    std::thread::scope(|scope| {
        let mending = being_written_anew(scope, &ledger, &device, 0);
        ledger.distrust(1_000);
        device.release();
        mending.join().unwrap().unwrap();
    });
    drop(ledger);
    let whole = fs::read(path(&directory)).unwrap();
    // Whichever of the two states is lost.
    for at in [128, 192] {
        let mut octets = whole.clone();
        octets[at..at + 64].fill(0);
        fs::write(path(&directory), octets).unwrap();
        let (ledger, _) = open(&directory, BOOT);
        assert_eq!((ledger.sequence(), ledger.floor()), (1_001, 1_001));
    }
}

#[test]
fn a_file_that_fails_while_it_is_written_anew_is_not_put_in_its_place() {
    let directory = TempDir::new().unwrap();
    let device = Arc::<Device>::default();
    let ledger = device.open(&directory, Outlives::Process);
    std::thread::scope(|scope| {
        let mending = being_written_anew(scope, &ledger, &device, 0);
        let epoch = ledger.epoch();
        // As when it cannot be written.
        let error = io::Error::other("a test");
        ledger.kept.fail(&mut lock(&ledger.kept.writer), &error);
        assert_ne!(ledger.epoch(), epoch);
        device.release();
        mending.join().unwrap().unwrap_err();
    });
    assert!(!path(&directory).exists() && !ledger.is_durable());
    ledger.mend().unwrap();
    let epoch = ledger.epoch();
    drop(ledger);
    assert_eq!(open(&directory, BOOT).0.epoch(), epoch);
}

#[test]
fn many_threads_append_sync_and_write_anew_and_nothing_is_lost() {
    let directory = TempDir::new().unwrap();
    let of_machine = || {
        let faults = Faults::default();
        Ledger::open_after(
            made(directory.path()),
            10_000,
            Outlives::Machine,
            faults,
            BOOT,
        )
    };
    let (ledger, _) = of_machine().expect("a ledger");
    let numbers: Vec<_> = std::thread::scope(|scope| {
        let append = |thread: u64| {
            let each = (0..500).map(|n| {
                let number = purge(&ledger, thread * 500 + n);
                if n % 50 == 0 {
                    assert_eq!(settled(&ledger, number), Durability::Durable);
                }
                (thread * 500 + n, number)
            });
            each.collect::<Vec<_>>()
        };
        let appending: Vec<_> = (0..4)
            .map(|thread| scope.spawn(move || append(thread)))
            .collect();
        for _ in 0..50 {
            ledger.kept.write_anew().unwrap();
        }
        let all = appending.into_iter();
        all.flat_map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!((ledger.sequence(), numbers.len()), (2_000, 2_000));
    drop(ledger);
    let (ledger, opened) = of_machine().expect("a ledger");
    assert_eq!(opened, replayed(2_000, false, false));
    for (n, number) in numbers {
        assert_eq!(ledger.judge(number - 1, &of(&url(n))), Verdict::Dead, "{n}");
    }
}

#[test]
fn a_number_that_was_lost_with_the_power_is_not_given_again() {
    let directory = TempDir::new().unwrap();
    let (ledger, _) = open_as(&directory, 100, Outlives::Machine, BOOT);
    purge(&ledger, 1);
    let before = fs::read(path(&directory)).unwrap();
    // A response was stored with this stamp; the power goes before anybody is told of the purge.
    let stamp = purge(&ledger, 2);
    drop(ledger);
    fs::write(path(&directory), before).unwrap();
    let (ledger, opened) = open_as(&directory, 100, Outlives::Machine, OTHER_BOOT);
    assert_eq!(opened, replayed(1, false, false));
    purge(&ledger, 3);
    assert_eq!(ledger.judge(stamp, &of("http://h/3")), Verdict::Dead);
}
