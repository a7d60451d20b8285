//! Whether the wall clock can be relied on for what is stored on disk: the age of that is told by the wall clock alone, since each
//! process counts time from its own start. Where the clock has been set back, a response would seem younger than it is.
//!
//! What the clock has shown is noted in a file beside the ledger's. While the machine runs, the kernel's own count, which nobody sets,
//! tells what the clock must show at least; after a restart of the machine, only what it showed last does.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use super::directory::{Directory, How};

const NAME: &str = "clock";
const MAGIC: &[u8; 8] = b"BKCLOCK1";
const LENGTH: usize = 56;

/// Milliseconds by which the clock may be corrected without being set back.
const TOLERANCE: i64 = 1_000;

/// Milliseconds after which it is noted again what the clock shows.
const NOTED_EACH: u64 = 10_000;

/// What the clocks show, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// Since the Unix epoch.
    pub wall: u64,
    /// Since the machine was started, suspended or not; `None` where that cannot be read.
    pub uptime: Option<u64>,
}

/// What the wall clock is known to have shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Known {
    /// The kernel's name for its run.
    boot: [u8; 16],
    /// The latest reading.
    at: Reading,
    /// The most that the wall clock was ahead of the uptime since then.
    ahead: i64,
}

/// What was known, where the clock shows this now, and what is known from here on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Heeded {
    pub(super) is_set_back: bool,
    pub(super) known: Known,
}

impl Known {
    fn first(boot: [u8; 16], now: Reading) -> Self {
        let uptime = now.uptime.unwrap_or_default();
        Self {
            boot,
            at: now,
            ahead: now.wall.cast_signed().saturating_sub_unsigned(uptime),
        }
    }

    /// Whether the clock shows less at `now` than it must, on a machine whose kernel runs under this name.
    pub(super) fn heed(self, boot: [u8; 16], now: Reading) -> Heeded {
        let first = Self::first(boot, now);
        let is_same_run = boot == self.boot
            && match (self.at.uptime, now.uptime) {
                (Some(before), Some(now)) => before <= now,
                _ => false,
            };
        let behind = match is_same_run {
            true => self.ahead.saturating_sub(first.ahead),
            false => (self.at.wall.cast_signed()).saturating_sub_unsigned(now.wall),
        };
        let is_set_back = behind > TOLERANCE;
        let ahead = match is_same_run && !is_set_back {
            // However small each of several steps is.
            true => self.ahead.max(first.ahead),
            false => first.ahead,
        };
        Heeded {
            is_set_back,
            known: Self { ahead, ..first },
        }
    }

    fn encode(&self) -> [u8; LENGTH] {
        let mut octets = [0; LENGTH];
        octets[..8].copy_from_slice(MAGIC);
        octets[8..24].copy_from_slice(&self.boot);
        octets[24..32].copy_from_slice(&self.at.wall.to_le_bytes());
        let uptime = self.at.uptime.map_or(u64::MAX, |uptime| uptime);
        octets[32..40].copy_from_slice(&uptime.to_le_bytes());
        octets[40..48].copy_from_slice(&self.ahead.to_le_bytes());
        let sum = sum(&octets[..48]);
        octets[48..].copy_from_slice(&sum);
        octets
    }

    /// `None` where it is not what was written.
    fn decode(octets: &[u8]) -> Option<Self> {
        let octets: &[u8; LENGTH] = octets.try_into().ok()?;
        if octets[..8] != *MAGIC || octets[48..] != sum(&octets[..48]) {
            return None;
        }
        let number = |at: usize| octets[at..].first_chunk().map(|it| u64::from_le_bytes(*it));
        Some(Self {
            boot: *octets[8..].first_chunk()?,
            at: Reading {
                wall: number(24)?,
                uptime: number(32).filter(|uptime| *uptime != u64::MAX),
            },
            ahead: number(40)?.cast_signed(),
        })
    }
}

fn sum(octets: &[u8]) -> [u8; 8] {
    let mut first = [0; 8];
    first.copy_from_slice(&blake3::hash(octets).as_bytes()[..8]);
    first
}

/// What is known of the clock, in memory and in the file.
#[derive(Debug)]
pub(super) struct Calendar {
    boot: [u8; 16],
    known: Option<Known>,
    /// `None` until there is something to write.
    file: Option<File>,
    /// What the clock showed when it was written last.
    written: Option<u64>,
}

impl Calendar {
    /// What an earlier process has noted in the directory.
    pub(super) fn read(directory: &Directory, boot: [u8; 16]) -> Self {
        let read = || {
            let file = directory.open(NAME, How::AsItIs).ok()?;
            let mut octets = [0; LENGTH + 1];
            let read = file.read_at(&mut octets, 0).ok()?;
            Known::decode(octets.get(..read)?)
        };
        Self {
            boot,
            known: read(),
            file: None,
            written: None,
        }
    }

    /// Whether the clock shows less than it must, or nobody knows what it must show.
    pub(super) fn is_set_back(&self, now: Reading) -> bool {
        let heeded = self.known.map(|known| known.heed(self.boot, now));
        heeded.is_none_or(|heeded| heeded.is_set_back)
    }

    /// Notes what the clock shows. To be called once what was stored before is not relied on any more, where it was set back. `must`: it
    /// is written now, even where that was done a short while ago.
    pub(super) fn note(
        &mut self,
        directory: &Directory,
        now: Reading,
        must: bool,
    ) -> io::Result<()> {
        let first = Known::first(self.boot, now);
        let known = self
            .known
            .map_or(first, |known| known.heed(self.boot, now).known);
        let is_step = self
            .known
            .is_none_or(|before| before.ahead.abs_diff(known.ahead) > TOLERANCE.unsigned_abs());
        self.known = Some(known);
        let is_old = (self.written).is_none_or(|at| now.wall.abs_diff(at) >= NOTED_EACH);
        if !must && !is_step && !is_old {
            return Ok(());
        }
        let file = match self.file.take() {
            Some(file) => file,
            None => directory.open(NAME, How::Made)?,
        };
        let written = file.write_all_at(&known.encode(), 0);
        if written.is_err() {
            // Better nothing than what is out of date.
            directory.remove(NAME)?;
        }
        written?;
        self.file = Some(file);
        self.written = Some(now.wall);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BOOT: [u8; 16] = [1; 16];
    const OTHER: [u8; 16] = [2; 16];
    const HOUR: u64 = 3_600_000;

    fn at(wall: u64, uptime: u64) -> Reading {
        let uptime = Some(uptime);
        Reading { wall, uptime }
    }

    #[test]
    fn a_clock_that_shows_less_than_it_must_is_set_back() {
        let start = 1_000 * HOUR;
        let known = Known::first(BOOT, at(start, HOUR));
        let (year, second) = (8_766 * HOUR, 1_000);
        #[rustfmt::skip]
        let table = [
            ("as it must", BOOT, at(start + HOUR, 2 * HOUR), false),
            ("no time passed", BOOT, at(start, HOUR), false),
            ("corrected a little", BOOT, at(start + HOUR - second, 2 * HOUR), false),
            ("by less than has passed", BOOT, at(start + HOUR / 2, 2 * HOUR), true),
            ("by two seconds", BOOT, at(start + HOUR - 2 * second, 2 * HOUR), true),
            ("by more than has passed", BOOT, at(start - HOUR, 2 * HOUR), true),
            ("by years", BOOT, at(0, 2 * HOUR), true),
            ("set forward", BOOT, at(start + 3 * HOUR, 2 * HOUR), false),
            ("set forward by years", BOOT, at(start + 3 * year, 2 * HOUR), false),
            ("after a restart of the machine", OTHER, at(start + 60 * second, second), false),
            ("the same, and it was set back", OTHER, at(start - HOUR, second), true),
            ("the same, by years", OTHER, at(0, second), true),
            ("a machine that was restored", BOOT, at(start + HOUR, HOUR / 2), false),
            ("the same, set back", BOOT, at(start - HOUR, HOUR / 2), true),
            ("an uptime that cannot be read", BOOT, Reading { wall: start + second, uptime: None }, false),
            ("the same, set back", BOOT, Reading { wall: start - HOUR, uptime: None }, true),
            ("at the end of numbers", BOOT, at(u64::MAX, u64::MAX), true),
        ];
        for (what, boot, now, expected) in table {
            assert_eq!(known.heed(boot, now).is_set_back, expected, "{what}");
        }
    }

    #[test]
    fn steps_that_are_small_count_together() {
        let mut known = Known::first(BOOT, at(HOUR, 0));
        let mut noticed = Vec::new();
        for step in 1..=5 {
            let passed = step * 60_000;
            let heeded = known.heed(BOOT, at(HOUR + passed - step * 400, passed));
            noticed.push(heeded.is_set_back);
            known = heeded.known;
        }
        // What was stored before the third one is not relied on any more: it counts anew.
        assert_eq!(noticed, [false, false, true, false, false]);
    }

    #[test]
    fn what_was_noted_is_read_again_and_nothing_else_is() {
        let folder = tempfile::tempdir().unwrap();
        let directory = Directory::make(folder.path()).unwrap();
        let mut calendar = Calendar::read(&directory, BOOT);
        assert!(calendar.is_set_back(at(9, 9)), "nobody knows");
        for now in [
            at(5 * HOUR, HOUR),
            Reading {
                wall: 9 * HOUR,
                uptime: None,
            },
        ] {
            calendar.note(&directory, now, true).unwrap();
            let again = Calendar::read(&directory, BOOT);
            assert_eq!(again.known, calendar.known);
        }
        let path = folder.path().join(NAME);
        let whole = std::fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut octets = whole.clone();
            octets[at] ^= 1;
            for octets in [octets, whole[..at].to_vec()] {
                std::fs::write(&path, octets).unwrap();
                assert_eq!(Calendar::read(&directory, BOOT).known, None, "{at}");
            }
        }
        std::fs::write(&path, [&whole[..], b"x"].concat()).unwrap();
        assert_eq!(Calendar::read(&directory, BOOT).known, None);
    }

    #[test]
    fn it_is_written_now_and_then_and_when_the_clock_was_set() {
        let folder = tempfile::tempdir().unwrap();
        let directory = Directory::make(folder.path()).unwrap();
        let mut calendar = Calendar::read(&directory, BOOT);
        let mut is_written = |now, must| {
            calendar.note(&directory, now, must).unwrap();
            Calendar::read(&directory, BOOT).known == calendar.known
        };
        assert!(is_written(at(HOUR, 0), false));
        assert!(!is_written(at(HOUR + 1_000, 1_000), false));
        assert!(is_written(at(HOUR + 2_000, 2_000), true));
        assert!(is_written(at(HOUR + 12_000, 12_000), false));
        assert!(is_written(at(2 * HOUR, 13_000), false), "set forward");
        assert!(is_written(at(HOUR, 14_000), false), "set back");
    }

    #[derive(Clone, Debug)]
    enum Step {
        /// Time passes, noted or not.
        Pass(u64),
        Set(i64),
        Note,
        /// The process is started again.
        Restart,
        Store,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (0..HOUR).prop_map(Step::Pass),
            2 => (-5_000..5_000_i64).prop_map(Step::Set),
            2 => (-2_000_000_000..2_000_000_000_i64).prop_map(Step::Set),
            4 => Just(Step::Note),
            2 => Just(Step::Restart),
            3 => Just(Step::Store),
        ]
    }

    proptest! {
        /// While the machine runs, what is relied on is never older than the clock says, but for the tolerance.
        #[test]
        fn what_is_relied_on_is_no_older_than_it_seems(steps in proptest::collection::vec(step(), 1..60)) {
            let folder = tempfile::tempdir().unwrap();
            let directory = Directory::make(folder.path()).unwrap();
            let mut calendar = Calendar::read(&directory, BOOT);
            let (mut time, mut error) = (0_u64, 3_000_000_000_i64);
            // When each response came, truly and by the clock.
            let mut stored: Vec<(u64, u64)> = Vec::new();
            for step in steps {
                let now = at(time.saturating_add_signed(error), time);
                match step {
                    Step::Pass(by) => time += by,
                    Step::Set(by) => error = (error + by).max(0),
                    Step::Restart => {
                        // As it is stopped, or killed just after it has noted.
                        if calendar.is_set_back(now) {
                            stored.clear();
                        }
                        calendar.note(&directory, now, true).unwrap();
                        calendar = Calendar::read(&directory, BOOT);
                    }
                    Step::Note | Step::Store => {
                        if calendar.is_set_back(now) {
                            stored.clear();
                        }
                        calendar.note(&directory, now, false).unwrap();
                        for (truly, by_clock) in &stored {
                            let (age, seems) = (time - truly, now.wall.saturating_sub(*by_clock));
                            prop_assert!(seems + TOLERANCE.unsigned_abs() >= age, "{age} ms, seems {seems}");
                        }
                        if matches!(step, Step::Store) {
                            stored.push((time, now.wall));
                        }
                    }
                }
            }
        }
    }
}
