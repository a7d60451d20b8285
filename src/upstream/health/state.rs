//! How a server stands: in use, left out after failures in a row, resting at its own wish, or found unwell by checks.
//! All workers write and read it; nothing here takes a lock.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;

use crate::clock::Monotonic;
use crate::config::Ejection;

/// A moment, or none. Times are milliseconds of the clock that all workers share, one more than counted: 0 is none.
#[derive(Debug, Default)]
pub(in crate::upstream) struct Moment(AtomicU64);

impl Moment {
    pub(in crate::upstream) fn set(&self, at: Monotonic) {
        self.0.store(at.as_millis() + 1, Ordering::Release);
    }

    pub(in crate::upstream) fn clear(&self) {
        self.0.store(0, Ordering::Release);
    }

    pub(in crate::upstream) fn read(&self) -> Option<Monotonic> {
        let stored = self.0.load(Ordering::Acquire);
        stored.checked_sub(1).map(Monotonic::from_millis)
    }

    /// Sets `at` unless a moment is set for which `is_over` is false; whether it did.
    fn replace_if(&self, at: Monotonic, is_over: impl Fn(Monotonic) -> bool) -> bool {
        self.0
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |stored| {
                let free = match stored.checked_sub(1) {
                    None => true,
                    Some(set) => is_over(Monotonic::from_millis(set)),
                };
                free.then_some(at.as_millis() + 1)
            })
            .is_ok()
    }

    fn is_ahead(&self, now: Monotonic) -> bool {
        self.read().is_some_and(|at| now < at)
    }
}

#[derive(Debug)]
pub(in crate::upstream) struct Standing {
    /// Those of the configuration in force.
    rules: ArcSwap<Ejection>,
    failures_in_a_row: AtomicU32,
    ejections_in_a_row: AtomicU32,
    /// The end of the latest ejection, passed or not.
    out_until: Moment,
    /// As its `Retry-After` says.
    rest_until: Moment,
    /// Since when a single request tries the server while it is ejected.
    trial_since: Moment,
    latest_trial: Moment,
    unwell: AtomicBool,
    /// It has health checks, and none of them has decided yet how it is.
    unchecked: AtomicBool,
}

/// Whether a request may go to a server.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fitness {
    /// It may; with less than 1 the server is coming back, and gets that part of its share.
    Fit(f64),
    /// Only when no other server is fit: this one has asked for a pause.
    Resting,
    /// Only when no other server is known to be better: its health checks have not decided yet.
    Unchecked,
    /// Ejected: no, except to try whether it is back.
    Ejected,
    /// Its health checks fail.
    Unwell,
}

impl Standing {
    pub(in crate::upstream) fn new(rules: &Ejection) -> Self {
        Self {
            rules: ArcSwap::from_pointee(rules.clone()),
            failures_in_a_row: AtomicU32::new(0),
            ejections_in_a_row: AtomicU32::new(0),
            out_until: Moment::default(),
            rest_until: Moment::default(),
            trial_since: Moment::default(),
            latest_trial: Moment::default(),
            unwell: AtomicBool::new(false),
            unchecked: AtomicBool::new(false),
        }
    }

    /// Puts other rules in force. What is known of the server stays.
    pub(in crate::upstream) fn set_rules(&self, rules: &Ejection) {
        self.rules.store(Arc::new(rules.clone()));
        if rules.failures == 0 {
            self.out_until.clear();
        }
    }

    /// Its first health checks are to decide whether requests go to it.
    pub(in crate::upstream) fn awaits_checks(&self) {
        self.unchecked.store(true, Ordering::Relaxed);
    }

    /// It has no health checks any more: what they said is forgotten.
    pub(in crate::upstream) fn forget_checks(&self) {
        self.unchecked.store(false, Ordering::Relaxed);
        self.unwell.store(false, Ordering::Relaxed);
    }

    pub(in crate::upstream) fn fitness(&self, now: Monotonic) -> Fitness {
        if self.unwell.load(Ordering::Relaxed) {
            return Fitness::Unwell;
        }
        if self.unchecked.load(Ordering::Relaxed) {
            return Fitness::Unchecked;
        }
        if self.rest_until.is_ahead(now) {
            return Fitness::Resting;
        }
        match self.out_until.read() {
            None => Fitness::Fit(1.0),
            Some(until) if now < until => Fitness::Ejected,
            Some(until) => Fitness::Fit(self.share(now.since(until))),
        }
    }

    /// The same for who asks nothing else; `now` is asked for only where that matters.
    pub(in crate::upstream) fn is_ejected(&self, now: impl FnOnce() -> Monotonic) -> bool {
        self.out_until.read().is_some_and(|until| now() < until)
    }

    /// Whether it has been ejected and has not answered since.
    pub(in crate::upstream) fn has_been_ejected(&self) -> bool {
        self.ejections_in_a_row.load(Ordering::Relaxed) != 0
    }

    /// Whether the latest thing that was heard of it is a failure.
    pub(in crate::upstream) fn has_failed(&self) -> bool {
        self.failures_in_a_row.load(Ordering::Relaxed) != 0
    }

    /// The part of its share that a server gets, so long after its return.
    fn share(&self, after: Duration) -> f64 {
        const LEAST: f64 = 0.1;
        let slow_return = self.rules.load().slow_return;
        if after >= slow_return {
            return 1.0;
        }
        (after.as_secs_f64() / slow_return.as_secs_f64()).max(LEAST)
    }

    /// A response's head has come. Ends an ejection: whatever was wrong, the server answers now.
    pub(in crate::upstream) fn succeeded(&self, now: Monotonic) {
        // Read before written: all workers come by here with each response.
        if self.has_failed() {
            self.failures_in_a_row.store(0, Ordering::Relaxed);
            self.ejections_in_a_row.store(0, Ordering::Relaxed);
            if self.out_until.is_ahead(now) {
                self.out_until.set(now);
            }
        }
    }

    /// No response came, and the server is why. Whether that ejects it.
    ///
    /// The count goes on over an ejection: the first failure after the return ejects again, for longer.
    pub(in crate::upstream) fn failed(&self, now: Monotonic) -> bool {
        let rules = self.rules.load();
        let failures = self
            .failures_in_a_row
            .fetch_add(1, Ordering::Relaxed)
            .saturating_add(1);
        if rules.failures == 0 || failures < rules.failures || self.out_until.is_ahead(now) {
            return false;
        }
        let before = self.ejections_in_a_row.fetch_add(1, Ordering::Relaxed);
        let time = rules
            .time
            .saturating_mul(1_u32.checked_shl(before).unwrap_or(u32::MAX))
            .min(rules.max_time);
        self.out_until.set(later(now, time));
        true
    }

    /// The server asks to be left alone for `time`; heeded up to the longest ejection.
    pub(in crate::upstream) fn rest(&self, now: Monotonic, time: Duration) {
        let longest = self.rules.load().max_time;
        self.rest_until.set(later(now, time.min(longest)));
    }

    /// How much of the pause that it has asked for is left.
    pub(in crate::upstream) fn rest_left(&self, now: Monotonic) -> Duration {
        let until = self.rest_until.read();
        until.map_or(Duration::ZERO, |until| until.since(now))
    }

    /// Leave for one request to try an ejected server: one at a time, so that a server that hangs holds up one client
    /// only; but another one after a while, in case the first waits for something slow. Where the request could go
    /// elsewhere, the server is not so `urgent`, and a second must pass between trials.
    pub(in crate::upstream) fn begin_trial(&self, now: Monotonic, urgent: bool) -> bool {
        const PAUSE: Duration = Duration::from_secs(1);
        let too_soon = |latest| now.since(latest) < PAUSE;
        if !urgent && self.latest_trial.read().is_some_and(too_soon) {
            return false;
        }
        let time = self.rules.load().time;
        let begun = self
            .trial_since
            .replace_if(now, |since| now.since(since) >= time);
        if begun {
            self.latest_trial.set(now);
        }
        begun
    }

    pub(in crate::upstream) fn end_trial(&self) {
        self.trial_since.clear();
    }

    /// What the health checks found. Whether that is news.
    pub(in crate::upstream) fn checked(&self, now: Monotonic, well: bool) -> bool {
        let was_unwell = self.unwell.swap(!well, Ordering::Relaxed);
        self.unchecked.store(false, Ordering::Relaxed);
        if was_unwell && well {
            self.failures_in_a_row.store(0, Ordering::Relaxed);
            self.ejections_in_a_row.store(0, Ordering::Relaxed);
            self.out_until.set(now);
        }
        was_unwell == well
    }
}

fn later(now: Monotonic, by: Duration) -> Monotonic {
    let by = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
    // One less than the greatest, which a `Moment` could not hold.
    Monotonic::from_millis(now.as_millis().saturating_add(by).min(u64::MAX - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Monotonic {
        Monotonic::from_millis(seconds * 1_000)
    }

    fn standing() -> Standing {
        Standing::new(&Ejection {
            failures: 3,
            time: Duration::from_secs(5),
            max_time: Duration::from_secs(15),
            slow_return: Duration::from_secs(10),
        })
    }

    fn fail(standing: &Standing, now: Monotonic, times: usize) -> bool {
        (0..times).fold(false, |_, _| standing.failed(now))
    }

    #[test]
    fn failures_eject_only_when_they_are_in_a_row() {
        let standing = standing();
        assert_eq!(standing.fitness(at(0)), Fitness::Fit(1.0));
        assert!(!fail(&standing, at(0), 2));
        standing.succeeded(at(0));
        assert!(!fail(&standing, at(0), 2));
        assert_eq!(standing.fitness(at(0)), Fitness::Fit(1.0));
        assert!(standing.failed(at(0)));
        assert_eq!(standing.fitness(at(0)), Fitness::Ejected);
        assert!(!standing.failed(at(0)), "it is out already");
    }

    #[test]
    fn each_ejection_in_a_row_lasts_twice_as_long_up_to_the_longest() {
        let standing = standing();
        fail(&standing, at(0), 2);
        let mut now = 0;
        for lasts in [5, 10, 15, 15] {
            assert!(
                standing.failed(at(now)),
                "one failure is enough after a return"
            );
            assert_eq!(standing.fitness(at(now + lasts - 1)), Fitness::Ejected);
            assert_eq!(standing.fitness(at(now + lasts)), Fitness::Fit(0.1));
            now += lasts;
        }
        standing.succeeded(at(now));
        assert!(!fail(&standing, at(now), 2));
        assert!(standing.failed(at(now)));
        assert_eq!(
            standing.fitness(at(now + 5)),
            Fitness::Fit(0.1),
            "and it starts anew"
        );
    }

    #[test]
    fn a_server_comes_back_slowly() {
        let standing = standing();
        fail(&standing, at(0), 3);
        for (seconds, share) in [(5, 0.1), (10, 0.5), (14, 0.9), (15, 1.0), (99, 1.0)] {
            assert_eq!(
                standing.fitness(at(seconds)),
                Fitness::Fit(share),
                "{seconds}"
            );
        }
    }

    #[test]
    fn an_answer_ends_an_ejection() {
        let standing = standing();
        fail(&standing, at(0), 3);
        standing.succeeded(at(2));
        assert_eq!(standing.fitness(at(2)), Fitness::Fit(0.1));
        assert_eq!(standing.fitness(at(7)), Fitness::Fit(0.5));
    }

    #[test]
    fn no_failures_eject_where_that_is_off() {
        let standing = Standing::new(&Ejection {
            failures: 0,
            ..Ejection::default()
        });
        assert!(!fail(&standing, at(0), 100));
    }

    #[test]
    fn a_rest_is_heeded_up_to_the_longest_ejection() {
        let standing = standing();
        standing.rest(at(0), Duration::from_secs(3_600));
        assert_eq!(standing.fitness(at(14)), Fitness::Resting);
        assert_eq!(standing.fitness(at(15)), Fitness::Fit(1.0));
    }

    #[test]
    fn one_trial_at_a_time() {
        let standing = standing();
        assert!(standing.begin_trial(at(0), true));
        assert!(!standing.begin_trial(at(4), true));
        assert!(
            standing.begin_trial(at(5), true),
            "the first one takes too long"
        );
        standing.end_trial();
        assert!(!standing.begin_trial(at(5), false), "there is no hurry");
        assert!(standing.begin_trial(at(5), true));
        standing.end_trial();
        assert!(standing.begin_trial(at(6), false));
    }

    #[test]
    fn checks_put_a_server_out_and_back() {
        let standing = standing();
        assert!(!standing.checked(at(0), true), "no news");
        assert!(standing.checked(at(1), false));
        assert_eq!(standing.fitness(at(1)), Fitness::Unwell);
        assert!(!standing.checked(at(2), false));
        assert!(standing.checked(at(3), true));
        assert_eq!(standing.fitness(at(3)), Fitness::Fit(0.1));
    }

    #[test]
    fn times_at_the_end_of_the_world_do_not_overflow() {
        let standing = standing();
        let end = Monotonic::from_millis(u64::MAX - 1);
        standing.rest(end, Duration::MAX);
        assert_eq!(standing.fitness(at(1)), Fitness::Resting);
    }
}
