//! The only place that reads the time. Rules take `now` as an argument; everybody else asks a [`Clock`].

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::error::Elapsed;
use tokio::time::{Instant as TimerInstant, timeout};

use crate::semantics::time::Timestamp;

/// One reading: what the calendar says, and a count that never steps back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// For comparison with the dates that messages carry.
    pub wall: Timestamp,
    /// For the time between two readings.
    pub mono: Monotonic,
}

/// Microseconds since a year before the clock was made; never steps back. They run on while the machine is suspended, except for deadlines
/// ([`Clock::for_deadlines`]).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Monotonic(u64);

/// Microseconds in which two clocks are read together.
const AT_ONCE: u64 = 50_000;

/// How often that is tried.
const READINGS: usize = 10;

/// What a clock counts from: it can tell when something happened in the year before it was made, such as the receipt of a
/// response that an earlier process has kept on disk.
const YEAR_BEFORE: u64 = 365 * 86_400 * 1_000_000;

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

    /// `by` earlier than this; zero where that is before the count began.
    pub fn before(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(micros(by)))
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
        start: Start,
        /// Wall clock minus count, in microseconds; corrected by [`Clock::resync`].
        offset: AtomicU64,
    },
    Deadlines {
        start: TimerInstant,
        /// Its dates.
        calendar: Clock,
    },
    Manual {
        offset: AtomicU64,
        elapsed: AtomicU64,
        /// Its uptime when it was made.
        up: u64,
    },
}

/// Where a count begins that runs through suspend: a response that was stored before the machine slept for an hour is an
/// hour older afterwards (RFC 9111 §4.2.3). No step of the wall clock moves it.
#[derive(Clone, Copy, Debug)]
struct Start(
    /// Microseconds since the machine was started.
    #[cfg(target_os = "linux")]
    u64,
    /// Elsewhere, what the system counts in `Instant`.
    #[cfg(not(target_os = "linux"))]
    std::time::Instant,
);

impl Start {
    #[cfg(target_os = "linux")]
    fn now() -> Self {
        let uptime = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        let secs = u64::try_from(uptime.tv_sec).unwrap_or_default();
        let nanos = u64::try_from(uptime.tv_nsec).unwrap_or_default();
        Self(secs.saturating_mul(1_000_000).saturating_add(nanos / 1_000))
    }

    /// Microseconds since then.
    #[cfg(target_os = "linux")]
    fn elapsed(self) -> u64 {
        Self::now().0.saturating_sub(self.0)
    }

    #[cfg(not(target_os = "linux"))]
    #[allow(clippy::disallowed_methods, reason = "this is the clock")]
    fn now() -> Self {
        Self(std::time::Instant::now())
    }

    #[cfg(not(target_os = "linux"))]
    fn elapsed(self) -> u64 {
        micros(self.0.elapsed())
    }
}

impl Clock {
    pub fn system() -> Self {
        let clock = Self(Arc::new(Source::System {
            start: Start::now(),
            offset: AtomicU64::new(0),
        }));
        clock.resync();
        clock
    }

    /// A clock that stands at `start` until its [`ManualClock`] moves it.
    pub fn manual(start: Timestamp) -> (Self, ManualClock) {
        Self::manual_up_since(start, Timestamp::default())
    }

    /// The same, of a machine that was started at `boot` if its wall clock has been right since.
    pub fn manual_up_since(start: Timestamp, boot: Timestamp) -> (Self, ManualClock) {
        let source = Arc::new(Source::Manual {
            offset: AtomicU64::new(start.as_millis().saturating_mul(1000)),
            elapsed: AtomicU64::new(0),
            up: micros(start.since(boot)),
        });
        (Self(source.clone()), ManualClock(source))
    }

    /// The wall clock, and how long the machine has been up at that time, suspended or not; `None` where the system does not tell it, or
    /// tells how long it was awake. Nobody sets that count.
    pub fn with_uptime(&self) -> (Timestamp, Option<Duration>) {
        match &*self.0 {
            #[cfg(target_os = "linux")]
            Source::System { start, offset } => {
                let up = Start::now().0;
                let elapsed = up.saturating_sub(start.0);
                let wall = offset.load(Ordering::Relaxed).saturating_add(elapsed);
                let wall = Timestamp::from_millis(wall / 1000);
                (wall, Some(Duration::from_micros(up)))
            }
            #[cfg(not(target_os = "linux"))]
            Source::System { .. } => (self.now().wall, None),
            Source::Manual { elapsed, up, .. } => {
                let up = up.saturating_add(elapsed.load(Ordering::Acquire));
                (self.now().wall, Some(Duration::from_micros(up)))
            }
            Source::Deadlines { calendar, .. } => calendar.with_uptime(),
        }
    }

    pub fn now(&self) -> Now {
        let (elapsed, offset) = match &*self.0 {
            Source::System { start, offset } => (start.elapsed(), offset.load(Ordering::Relaxed)),
            Source::Manual {
                offset, elapsed, ..
            } => (
                elapsed.load(Ordering::Acquire),
                offset.load(Ordering::Acquire),
            ),
            Source::Deadlines { start, calendar } => {
                return Now {
                    wall: calendar.now().wall,
                    mono: Monotonic(micros(start.elapsed())),
                };
            }
        };
        Now {
            wall: Timestamp::from_millis(offset.saturating_add(elapsed) / 1000),
            mono: Monotonic(YEAR_BEFORE.saturating_add(elapsed)),
        }
    }

    /// Nanoseconds from the Unix epoch to what this count stands for, as the calendar has it now; in whole microseconds.
    pub fn unix_nanos(&self, at: Monotonic) -> u64 {
        let offset = match &*self.0 {
            Source::System { offset, .. } => offset.load(Ordering::Relaxed),
            Source::Manual { offset, .. } => offset.load(Ordering::Acquire),
            Source::Deadlines { calendar, .. } => return calendar.unix_nanos(at),
        };
        let micros = offset.saturating_add(at.0).saturating_sub(YEAR_BEFORE);
        micros.saturating_mul(1_000)
    }

    /// The clock for deadlines of connections: they run on while a manual clock stands still, and a leap of it is not
    /// theirs. Nor is the time for which the machine sleeps: nobody could send or take anything then. A test that has paused
    /// the time of its runtime has paused it.
    #[allow(clippy::disallowed_methods, reason = "this is the clock")]
    pub fn for_deadlines(&self) -> Self {
        let calendar = match &*self.0 {
            Source::Manual { .. } => Self::system(),
            Source::System { .. } | Source::Deadlines { .. } => self.clone(),
        };
        Self(Arc::new(Source::Deadlines {
            start: TimerInstant::now(),
            calendar,
        }))
    }

    /// Takes over a correction of the system's wall clock; to be called every second or so.
    #[allow(clippy::disallowed_methods, reason = "this is the clock")]
    pub fn resync(&self) {
        if let Source::Deadlines { calendar, .. } = &*self.0 {
            calendar.resync();
        } else if let Source::System { start, offset } = &*self.0 {
            for _ in 0..READINGS {
                let before = start.elapsed();
                let wall = SystemTime::now()
                    .duration_since(UNIX_EPOCH)
                    .unwrap_or_default();
                let elapsed = start.elapsed();
                offset.store(micros(wall).saturating_sub(elapsed), Ordering::Relaxed);
                // Where others had the processor meanwhile, it would seem that the clock was set.
                if elapsed - before < AT_ONCE {
                    break;
                }
            }
        }
    }
}

/// The time as timers see it: for deadlines only, never for dates or ages. It runs on while a manual clock stands
/// still, unless a test has paused it.
#[allow(clippy::disallowed_methods, reason = "this is the clock")]
pub fn timer_now() -> TimerInstant {
    TimerInstant::now()
}

/// How long the process has run on a processor; `None` where the system does not tell it in this way.
pub fn processor_time() -> Option<Duration> {
    #[cfg(target_os = "linux")]
    {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
        let (secs, nanos) = (time.tv_sec.try_into().ok()?, time.tv_nsec.try_into().ok()?);
        Some(Duration::new(secs, nanos))
    }
    #[cfg(not(target_os = "linux"))]
    None
}

/// How much longer than its deadline something is waited for. When the process goes on after it was stopped, a deadline
/// may pass before the runtime has looked at what came meanwhile: that is seen in this time.
pub const LAST_LOOK: Duration = Duration::from_millis(10);

/// What `future` gives within `limit`. It is pinned where it was made: as an argument it would be copied, and twice as large.
///
/// # Errors
/// When it gives nothing by then, nor in the [`LAST_LOOK`] after it.
pub async fn within<F: Future>(
    limit: Duration,
    mut future: Pin<&mut F>,
) -> Result<F::Output, Elapsed> {
    match timeout(limit, future.as_mut()).await {
        Ok(output) => Ok(output),
        Err(_elapsed) => timeout(LAST_LOOK, future).await,
    }
}

/// What `future` gives until then.
///
/// # Errors
/// As for [`within`].
pub async fn by<F: Future>(until: TimerInstant, future: Pin<&mut F>) -> Result<F::Output, Elapsed> {
    within(until.saturating_duration_since(timer_now()), future).await
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

    /// Sets the wall clock back, as one who corrects it does: no time passes.
    pub fn set_back(&self, by: Duration) {
        if let Source::Manual { offset, .. } = &*self.0 {
            offset.fetch_sub(micros(by), Ordering::AcqRel);
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

    /// The time since the machine was started and the time it has been awake, as the system counts them.
    #[cfg(target_os = "linux")]
    fn counts() -> [u64; 2] {
        use rustix::time::{ClockId, clock_gettime};
        [ClockId::Boottime, ClockId::Monotonic].map(|id| {
            let now = clock_gettime(id);
            now.tv_sec as u64 * 1_000_000 + now.tv_nsec as u64 / 1_000
        })
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn ages_are_counted_by_what_runs_through_suspend_and_deadlines_are_not() {
        // No test can put the machine to sleep: as if it had slept for an hour since the clock was made.
        const HOUR: u64 = 3_600_000_000;
        // In this order: what passes between the two readings counts as passed.
        let awake = counts()[1];
        let boot = counts()[0];
        let start = Start(boot.saturating_sub(HOUR));
        let slept = boot - boot.saturating_sub(HOUR);
        let source = Source::System {
            start,
            offset: AtomicU64::new(0),
        };
        let clock = Clock(Arc::new(source));
        clock.resync();
        let deadlines = clock.for_deadlines();
        let (now, since) = (clock.now(), deadlines.now());
        let passed = counts()[1] - awake;
        assert!(
            (slept..=slept + passed + 1).contains(&(now.mono.0 - YEAR_BEFORE)),
            "{now:?}"
        );
        assert!(since.mono.0 <= passed, "{since:?}");
        let wall = Clock::system().now().wall;
        assert!(wall.as_millis().abs_diff(now.wall.as_millis()) < 1_000);
        assert!(wall.as_millis().abs_diff(since.wall.as_millis()) < 1_000);
    }

    #[test]
    fn the_system_clock_never_steps_back() {
        let clock = Clock::system();
        let readings: Vec<_> = (0..1_000).map(|_| clock.now().mono).collect();
        assert!(readings.is_sorted());
    }
}
