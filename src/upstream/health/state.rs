//! The health of a server, or of one address of its name: available, ejected after failures in a row, paused at its own
//! request, or unhealthy by its checks. All workers write and read it; nothing here takes a lock.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;

use super::atomic_time::AtomicTime;
use crate::clock::Monotonic;
use crate::config::Ejection;

/// The part of its share that a server gets at the beginning of slow start.
const LEAST_SHARE: f64 = 0.1;

#[derive(Debug)]
pub(in crate::upstream) struct ServerHealth {
    /// The configuration in force.
    rules: ArcSwap<Ejection>,
    failures_in_a_row: AtomicU32,
    ejections_in_a_row: AtomicU32,
    /// The end of the latest ejection, even when that is over.
    ejected_until: AtomicTime,
    /// The end of the pause that its `Retry-After` asked for.
    paused_until: AtomicTime,
    /// Since when a single request tries the server while it is ejected.
    trial_since: AtomicTime,
    latest_trial: AtomicTime,
    unhealthy: AtomicBool,
    /// Whether it has health checks that have not decided yet.
    unchecked: AtomicBool,
}

/// Whether requests may go to a server.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Availability {
    /// They may. Less than 1 in slow start after an ejection: the server gets that part of its share.
    Available(f64),
    /// Only when no other server is available: this one has asked for a pause (`Retry-After`).
    Paused,
    /// Only when no other server is known to be available: its health checks have not decided yet.
    Unchecked,
    /// No, except to try whether it is back: it has failed too often in a row.
    Ejected,
    /// No: its health checks fail.
    Unhealthy,
}

impl ServerHealth {
    pub(in crate::upstream) fn new(rules: &Ejection) -> Self {
        Self {
            rules: ArcSwap::from_pointee(rules.clone()),
            failures_in_a_row: AtomicU32::new(0),
            ejections_in_a_row: AtomicU32::new(0),
            ejected_until: AtomicTime::default(),
            paused_until: AtomicTime::default(),
            trial_since: AtomicTime::default(),
            latest_trial: AtomicTime::default(),
            unhealthy: AtomicBool::new(false),
            unchecked: AtomicBool::new(false),
        }
    }

    /// Puts other rules in force. The server's health stays.
    pub(in crate::upstream) fn set_rules(&self, rules: &Ejection) {
        self.rules.store(Arc::new(rules.clone()));
        if rules.failures == 0 {
            self.ejected_until.clear();
        }
    }

    /// Has its first health checks decide whether requests go to it.
    pub(in crate::upstream) fn awaits_checks(&self) {
        self.unchecked.store(true, Ordering::Relaxed);
    }

    /// Forgets the results of health checks: it has none any more.
    pub(in crate::upstream) fn forget_checks(&self) {
        self.unchecked.store(false, Ordering::Relaxed);
        self.unhealthy.store(false, Ordering::Relaxed);
    }

    /// `now` is read at the clock of all workers.
    pub(in crate::upstream) fn availability(&self, now: Monotonic) -> Availability {
        if self.unhealthy.load(Ordering::Relaxed) {
            return Availability::Unhealthy;
        }
        if self.unchecked.load(Ordering::Relaxed) {
            return Availability::Unchecked;
        }
        if self.paused_until.is_ahead(now) {
            return Availability::Paused;
        }
        match self.ejected_until.read() {
            None => Availability::Available(1.0),
            Some(until) if now < until => Availability::Ejected,
            Some(until) => {
                let (after, slow_start) = (now.since(until), self.rules.load().slow_start);
                Availability::Available(match after < slow_start {
                    true => (after.as_secs_f64() / slow_start.as_secs_f64()).max(LEAST_SHARE),
                    false => 1.0,
                })
            }
        }
    }

    /// Whether it is ejected. `now` is called only where that matters.
    pub(in crate::upstream) fn is_ejected(&self, now: impl FnOnce() -> Monotonic) -> bool {
        self.ejected_until.read().is_some_and(|until| now() < until)
    }

    /// Whether it has been ejected and has not answered since.
    pub(in crate::upstream) fn has_been_ejected(&self) -> bool {
        self.ejections_in_a_row.load(Ordering::Relaxed) != 0
    }

    /// Whether its latest outcome was a failure.
    pub(in crate::upstream) fn has_failed(&self) -> bool {
        self.failures_in_a_row.load(Ordering::Relaxed) != 0
    }

    /// A response's head has come. That ends an ejection: the server answers.
    pub(in crate::upstream) fn record_success(&self, now: Monotonic) {
        // Read before it is written: all workers do this with each response.
        if self.has_failed() {
            self.failures_in_a_row.store(0, Ordering::Relaxed);
            self.ejections_in_a_row.store(0, Ordering::Relaxed);
            if self.ejected_until.is_ahead(now) {
                self.ejected_until.set(now);
            }
        }
    }

    /// No response came, by the server's fault. Returns whether that ejects it.
    ///
    /// The count goes on over an ejection: the first failure after its end ejects again, for longer.
    pub(in crate::upstream) fn record_failure(&self, now: Monotonic) -> bool {
        let rules = self.rules.load();
        let failures = self
            .failures_in_a_row
            .fetch_add(1, Ordering::Relaxed)
            .saturating_add(1);
        if rules.failures == 0 || failures < rules.failures || self.ejected_until.is_ahead(now) {
            return false;
        }
        let before = self.ejections_in_a_row.fetch_add(1, Ordering::Relaxed);
        let time = rules
            .time
            .saturating_mul(1_u32.checked_shl(before).unwrap_or(u32::MAX))
            .min(rules.max_time);
        self.ejected_until.set(later(now, time));
        true
    }

    /// The server asks for a pause of `time`; granted up to the longest ejection.
    pub(in crate::upstream) fn pause(&self, now: Monotonic, time: Duration) {
        let longest = self.rules.load().max_time;
        self.paused_until.set(later(now, time.min(longest)));
    }

    /// The rest of the pause that it has asked for.
    pub(in crate::upstream) fn pause_left(&self, now: Monotonic) -> Duration {
        let until = self.paused_until.read();
        until.map_or(Duration::ZERO, |until| until.since(now))
    }

    /// Whether a request may try an ejected server: one at a time, so that an unresponsive server delays one client only; but
    /// another one after a while, since the first may wait for a slow response. Where the request could go to another server,
    /// the trial is not `urgent`, and a second must pass between trials.
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

    /// Records the result of the health checks. Returns whether it has changed.
    pub(in crate::upstream) fn record_checks(&self, now: Monotonic, healthy: bool) -> bool {
        let was_unhealthy = self.unhealthy.swap(!healthy, Ordering::Relaxed);
        self.unchecked.store(false, Ordering::Relaxed);
        if was_unhealthy && healthy {
            self.failures_in_a_row.store(0, Ordering::Relaxed);
            self.ejections_in_a_row.store(0, Ordering::Relaxed);
            self.ejected_until.set(now);
        }
        was_unhealthy == healthy
    }
}

fn later(now: Monotonic, by: Duration) -> Monotonic {
    let by = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
    // One less than the greatest, which an `AtomicTime` cannot hold.
    Monotonic::from_millis(now.as_millis().saturating_add(by).min(u64::MAX - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Monotonic {
        Monotonic::from_millis(seconds * 1_000)
    }

    fn health() -> ServerHealth {
        ServerHealth::new(&Ejection {
            failures: 3,
            time: Duration::from_secs(5),
            max_time: Duration::from_secs(15),
            slow_start: Duration::from_secs(10),
        })
    }

    fn fail(health: &ServerHealth, now: Monotonic, times: usize) -> bool {
        (0..times).fold(false, |_, _| health.record_failure(now))
    }

    #[test]
    fn failures_eject_only_when_they_are_in_a_row() {
        let health = health();
        assert_eq!(health.availability(at(0)), Availability::Available(1.0));
        assert!(!fail(&health, at(0), 2));
        health.record_success(at(0));
        assert!(!fail(&health, at(0), 2));
        assert_eq!(health.availability(at(0)), Availability::Available(1.0));
        assert!(health.record_failure(at(0)));
        assert_eq!(health.availability(at(0)), Availability::Ejected);
        assert!(!health.record_failure(at(0)), "it is ejected already");
    }

    #[test]
    fn each_ejection_in_a_row_lasts_twice_as_long_up_to_the_longest() {
        let health = health();
        fail(&health, at(0), 2);
        let mut now = 0;
        for lasts in [5, 10, 15, 15] {
            assert!(
                health.record_failure(at(now)),
                "one failure is enough after a return"
            );
            assert_eq!(
                health.availability(at(now + lasts - 1)),
                Availability::Ejected
            );
            assert_eq!(
                health.availability(at(now + lasts)),
                Availability::Available(0.1)
            );
            now += lasts;
        }
        health.record_success(at(now));
        assert!(!fail(&health, at(now), 2));
        assert!(health.record_failure(at(now)));
        assert_eq!(
            health.availability(at(now + 5)),
            Availability::Available(0.1),
            "and it starts anew"
        );
    }

    #[test]
    fn a_server_starts_slowly_after_an_ejection() {
        let health = health();
        fail(&health, at(0), 3);
        for (seconds, share) in [(5, 0.1), (10, 0.5), (14, 0.9), (15, 1.0), (99, 1.0)] {
            assert_eq!(
                health.availability(at(seconds)),
                Availability::Available(share),
                "{seconds}"
            );
        }
    }

    #[test]
    fn an_answer_ends_an_ejection() {
        let health = health();
        fail(&health, at(0), 3);
        health.record_success(at(2));
        assert_eq!(health.availability(at(2)), Availability::Available(0.1));
        assert_eq!(health.availability(at(7)), Availability::Available(0.5));
    }

    #[test]
    fn no_failures_eject_where_ejection_is_off() {
        let health = ServerHealth::new(&Ejection {
            failures: 0,
            ..Ejection::default()
        });
        assert!(!fail(&health, at(0), 100));
    }

    #[test]
    fn a_pause_is_granted_up_to_the_longest_ejection() {
        let health = health();
        health.pause(at(0), Duration::from_secs(3_600));
        assert_eq!(health.availability(at(14)), Availability::Paused);
        assert_eq!(health.availability(at(15)), Availability::Available(1.0));
    }

    #[test]
    fn one_trial_at_a_time() {
        let health = health();
        assert!(health.begin_trial(at(0), true));
        assert!(!health.begin_trial(at(4), true));
        assert!(
            health.begin_trial(at(5), true),
            "the first one takes too long"
        );
        health.end_trial();
        assert!(!health.begin_trial(at(5), false), "it is not urgent");
        assert!(health.begin_trial(at(5), true));
        health.end_trial();
        assert!(health.begin_trial(at(6), false));
    }

    #[test]
    fn checks_make_a_server_unhealthy_and_healthy_again() {
        let health = health();
        assert!(!health.record_checks(at(0), true), "nothing has changed");
        assert!(health.record_checks(at(1), false));
        assert_eq!(health.availability(at(1)), Availability::Unhealthy);
        assert!(!health.record_checks(at(2), false));
        assert!(health.record_checks(at(3), true));
        assert_eq!(health.availability(at(3)), Availability::Available(0.1));
    }

    #[test]
    fn the_latest_times_do_not_overflow() {
        let health = health();
        let end = Monotonic::from_millis(u64::MAX - 1);
        health.pause(end, Duration::MAX);
        assert_eq!(health.availability(at(1)), Availability::Paused);
    }
}
