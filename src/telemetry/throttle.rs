//! A bound on the lines that one place in the code writes. What a peer can cause, it can cause without end: from each
//! place, so many warnings and errors are written at once and so many each second after that; how many were left out is
//! told.

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

/// Lines at once.
const BURST: u64 = 100;

/// Milliseconds after which one more may be written.
const REFILL: u64 = 1_000;

/// How often it is told how many were left out.
const TELL_EVERY: Duration = Duration::from_secs(5);

/// Leaves out what one place says too often.
pub(super) struct Throttle(Arc<Places>);

/// Tells how much was left out, once it is started.
pub(super) struct Reporter(Arc<Places>);

/// Tells what has not been told when it is dropped.
#[derive(Debug)]
pub(super) struct Reporting {
    end: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

struct Places {
    clock: Clock,
    /// There are as many as the code has.
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
    left_out: u64,
}

impl Throttle {
    pub fn new() -> (Self, Reporter) {
        let places = Arc::new(Places {
            clock: Clock::system(),
            places: Mutex::default(),
        });
        (Self(places.clone()), Reporter(places))
    }
}

impl<S: Subscriber> Layer<S> for Throttle {
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        let metadata = event.metadata();
        // Below that is what an operator has asked for, and what happens seldom.
        if *metadata.level() > Level::WARN {
            return true;
        }
        let now = self.0.clock.now().mono;
        let mut places = self.0.lock();
        let place = places.entry(metadata.callsite()).or_insert_with(|| Place {
            metadata,
            bucket: Bucket::new(now),
        });
        place.bucket.takes(now)
    }
}

impl Bucket {
    fn new(now: Monotonic) -> Self {
        Self {
            left: BURST,
            since: now,
            left_out: 0,
        }
    }

    /// Whether one more line may be written; if not, it is counted.
    fn takes(&mut self, now: Monotonic) -> bool {
        let waited = u64::try_from(now.since(self.since).as_millis()).unwrap_or(u64::MAX);
        let refills = waited / REFILL;
        if refills > 0 {
            self.left = self.left.saturating_add(refills).min(BURST);
            self.since = now;
        }
        let may = self.left > 0;
        match may {
            true => self.left -= 1,
            false => self.left_out += 1,
        }
        may
    }
}

impl Places {
    fn lock(&self) -> MutexGuard<'_, HashMap<Identifier, Place>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self) {
        let mut left_out = Vec::new();
        for place in self.lock().values_mut() {
            let count = std::mem::take(&mut place.bucket.left_out);
            if count > 0 {
                left_out.push((place.metadata, count));
            }
        }
        // Not under the lock: the line itself comes by here.
        for (place, left_out) in left_out {
            let (module, line) = (place.target(), place.line().unwrap_or_default());
            tracing::warn!(
                left_out,
                module,
                line,
                "repeated lines from this place were left out"
            );
        }
    }
}

impl Reporter {
    /// From here on, in a thread of its own.
    pub fn start(self) -> Reporting {
        let (end, ended) = mpsc::channel();
        let told = move || {
            while ended.recv_timeout(TELL_EVERY) == Err(RecvTimeoutError::Timeout) {
                self.0.tell();
            }
            self.0.tell();
        };
        // Without the thread, lines are left out all the same.
        let thread = thread::Builder::new()
            .name("log-count".to_owned())
            .spawn(told);
        Reporting {
            end: Some(end),
            thread: thread.ok(),
        }
    }
}

impl Drop for Reporting {
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
            |millis, lines: u64| (0..lines).filter(|_| bucket.takes(at(millis))).count() as u64;
        assert_eq!(taken(0, BURST + 50), BURST);
        assert_eq!(taken(999, 3), 0);
        assert_eq!(taken(1_000, 3), 1);
        assert_eq!(taken(4_000, 10), 3);
        assert_eq!(taken(10_000_000, 1_000), BURST);
        assert_eq!(bucket.left_out, 50 + 3 + 2 + 7 + 1_000 - BURST);
    }
}
