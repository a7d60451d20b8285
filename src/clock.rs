//! The only place that reads the time. Rules take `now` as an argument; everybody else asks a [`Clock`].

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::time::Instant as TimerInstant;

use crate::semantics::time::Timestamp;

/// One reading: what the calendar says, and a count that never steps back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// For comparison with the dates that messages carry.
    pub wall: Timestamp,
    /// For the time between two readings.
    pub mono: Monotonic,
}

/// Microseconds since the clock was made; never steps back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Monotonic(u64);

impl Monotonic {
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis.saturating_mul(1000))
    }

    pub const fn as_millis(self) -> u64 {
        self.0 / 1000
    }

    /// The time from `earlier` to here; zero when `earlier` is later.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }

    /// `by` later than this.
    pub fn after(self, by: Duration) -> Self {
        Self(self.0.saturating_add(micros(by)))
    }
}

/// Where the time comes from. Cheap to clone; all clones agree.
#[derive(Clone, Debug)]
pub struct Clock(Arc<Source>);

#[derive(Debug)]
enum Source {
    System {
        start: Instant,
        /// Wall clock minus monotonic count, in microseconds; corrected by [`Clock::resync`].
        offset: AtomicU64,
    },
    Manual {
        offset: u64,
        elapsed: AtomicU64,
    },
}

impl Clock {
    #[allow(clippy::disallowed_methods, reason = "this is the clock")]
    pub fn system() -> Self {
        let clock = Self(Arc::new(Source::System {
            start: Instant::now(),
            offset: AtomicU64::new(0),
        }));
        clock.resync();
        clock
    }

    /// A clock that stands at `start` until its [`ManualClock`] moves it.
    pub fn manual(start: Timestamp) -> (Self, ManualClock) {
        let source = Arc::new(Source::Manual {
            offset: start.as_millis().saturating_mul(1000),
            elapsed: AtomicU64::new(0),
        });
        (Self(source.clone()), ManualClock(source))
    }

    #[allow(clippy::disallowed_methods, reason = "this is the clock")]
    pub fn now(&self) -> Now {
        let (elapsed, offset) = match &*self.0 {
            Source::System { start, offset } => {
                (micros(start.elapsed()), offset.load(Ordering::Relaxed))
            }
            Source::Manual { offset, elapsed } => (elapsed.load(Ordering::Acquire), *offset),
        };
        Now {
            wall: Timestamp::from_millis(offset.saturating_add(elapsed) / 1000),
            mono: Monotonic(elapsed),
        }
    }

    /// The clock for deadlines of connections: they run on while a manual clock stands still, and a leap of it is not
    /// theirs.
    pub fn for_deadlines(&self) -> Self {
        match &*self.0 {
            Source::System { .. } => self.clone(),
            Source::Manual { .. } => Self::system(),
        }
    }

    /// Takes over a correction of the system's wall clock; to be called every second or so.
    #[allow(clippy::disallowed_methods, reason = "this is the clock")]
    pub fn resync(&self) {
        if let Source::System { start, offset } = &*self.0 {
            let wall = SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default();
            offset.store(
                micros(wall).saturating_sub(micros(start.elapsed())),
                Ordering::Relaxed,
            );
        }
    }
}

/// The time as timers see it: for deadlines only, never for dates or ages. It runs on while a manual clock stands
/// still, unless a test has paused it.
#[allow(clippy::disallowed_methods, reason = "this is the clock")]
pub fn timer_now() -> TimerInstant {
    TimerInstant::now()
}

/// Moves a clock made by [`Clock::manual`].
#[derive(Clone, Debug)]
pub struct ManualClock(Arc<Source>);

impl ManualClock {
    pub fn advance(&self, by: Duration) {
        if let Source::Manual { elapsed, .. } = &*self.0 {
            elapsed.fetch_add(micros(by), Ordering::AcqRel);
        }
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manual_clock_moves_only_when_it_is_told_to() {
        let (clock, manual) = Clock::manual(Timestamp::from_secs(1_000));
        let before = clock.now();
        assert_eq!(before, clock.now());
        manual.advance(Duration::from_secs(5));
        let after = clock.now();
        assert_eq!(after.wall, Timestamp::from_secs(1_005));
        assert_eq!(after.mono.since(before.mono), Duration::from_secs(5));
    }

    #[test]
    fn the_system_clock_never_steps_back() {
        let clock = Clock::system();
        let readings: Vec<_> = (0..1_000).map(|_| clock.now().mono).collect();
        assert!(readings.is_sorted());
    }
}
