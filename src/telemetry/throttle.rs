//! A rate limit for log lines: a peer that can cause a line can cause it without end. Each place in the code may write a
//! burst of warnings and errors, and some each second after that. How many were suppressed is logged.

use std::collections::HashMap;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tracing::callsite::Identifier;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use crate::clock::{Clock, Monotonic};

/// Lines that a place may write at once.
const BURST: u64 = 100;

/// Milliseconds after which it may write one more.
const REFILL: u64 = 1_000;

/// How often the numbers of suppressed lines are logged.
const LOG_EVERY: Duration = Duration::from_secs(5);

/// Suppresses the lines that a place writes too often.
pub(super) struct Throttle(Arc<Places>);

/// Logs how many lines were suppressed, once it is started.
pub(super) struct Summary(Arc<Places>);

/// The thread of a [`Summary`]. Dropping it logs what has not been logged.
#[derive(Debug)]
pub(super) struct SummaryThread {
    end: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

struct Places {
    clock: Clock,
    /// Bounded by the places that the code has.
    places: Mutex<HashMap<Identifier, Place>>,
}

struct Place {
    metadata: &'static Metadata<'static>,
    bucket: Bucket,
}

#[derive(Debug, PartialEq, Eq)]
struct Bucket {
    left: u64,
    since: Monotonic,
    suppressed: u64,
}

impl Throttle {
    pub fn new() -> (Self, Summary) {
        let places = Arc::new(Places {
            clock: Clock::system(),
            places: Mutex::default(),
        });
        (Self(places.clone()), Summary(places))
    }
}

impl<S: Subscriber> Layer<S> for Throttle {
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        let metadata = event.metadata();
        // Lower levels are rare, or asked for by an operator.
        if *metadata.level() > Level::WARN {
            return true;
        }
        let now = self.0.clock.now().mono;
        let mut places = self.0.lock();
        let place = places.entry(metadata.callsite()).or_insert_with(|| Place {
            metadata,
            bucket: Bucket::new(now),
        });
        place.bucket.take(now)
    }
}

impl Bucket {
    fn new(now: Monotonic) -> Self {
        Self {
            left: BURST,
            since: now,
            suppressed: 0,
        }
    }

    /// Whether one more line may be written; else it is counted as suppressed.
    fn take(&mut self, now: Monotonic) -> bool {
        let waited = u64::try_from(now.since(self.since).as_millis()).unwrap_or(u64::MAX);
        let refills = waited / REFILL;
        if refills > 0 {
            self.left = self.left.saturating_add(refills).min(BURST);
            self.since = now;
        }
        let may = self.left > 0;
        match may {
            true => self.left -= 1,
            false => self.suppressed += 1,
        }
        may
    }
}

impl Places {
    fn lock(&self) -> MutexGuard<'_, HashMap<Identifier, Place>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn log_suppressed(&self) {
        let mut suppressed = Vec::new();
        for place in self.lock().values_mut() {
            let count = std::mem::take(&mut place.bucket.suppressed);
            if count > 0 {
                suppressed.push((place.metadata, count));
            }
        }
        // Without the lock: these lines are counted too.
        for (place, suppressed) in suppressed {
            let (module, line) = (place.target(), place.line().unwrap_or_default());
            tracing::warn!(
                left_out = suppressed,
                module,
                line,
                "repeated lines from this place were left out"
            );
        }
    }
}

impl Summary {
    /// Logs in a thread of its own from now on.
    pub fn start(self) -> SummaryThread {
        let (end, ended) = mpsc::channel();
        let run = move || {
            while ended.recv_timeout(LOG_EVERY) == Err(RecvTimeoutError::Timeout) {
                self.0.log_suppressed();
            }
            self.0.log_suppressed();
        };
        // Without the thread, lines are suppressed and their number is not logged.
        let thread = thread::Builder::new()
            .name("log-count".to_owned())
            .spawn(run);
        SummaryThread {
            end: Some(end),
            thread: thread.ok(),
        }
    }
}

impl Drop for SummaryThread {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_lines_are_written_at_once_and_one_a_second_after_that() {
        let at = |millis| Monotonic::default().after(Duration::from_millis(millis));
        let mut bucket = Bucket::new(at(0));
        let mut taken =
            |millis, lines: u64| (0..lines).filter(|_| bucket.take(at(millis))).count() as u64;
        assert_eq!(taken(0, BURST + 50), BURST);
        assert_eq!(taken(999, 3), 0);
        assert_eq!(taken(1_000, 3), 1);
        assert_eq!(taken(4_000, 10), 3);
        assert_eq!(taken(10_000_000, 1_000), BURST);
        assert_eq!(bucket.suppressed, 50 + 3 + 2 + 7 + 1_000 - BURST);
    }
}
