//! A server's circuit breaker. Where no other server can be asked, requests to one that is unresponsive, that cannot be
//! reached or does not answer in time, would each wait for a deadline. After some of these in a row its circuit is open:
//! requests are not sent, and only one at a time tries whether the server is back. Any response closes the circuit.
//!
//! A server that answers with any status is responsive, and so is one whose connection breaks or that violates the
//! protocol: that costs no wait, and may be the fault of one request.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;

use crate::clock::Monotonic;
use crate::config;
use crate::error::ErrorKind;
use crate::upstream::health::atomic_time::AtomicTime;

#[derive(Debug)]
pub(in crate::upstream) struct Circuit {
    /// The configuration in force.
    rules: ArcSwap<config::Circuit>,
    failures: AtomicU32,
    /// Trials in a row that took until a deadline.
    long_trials: AtomicU32,
    /// When the next trial may begin; set while the circuit is open.
    trial_from: AtomicTime,
}

/// How a server was found to be unresponsive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::upstream) enum Unresponsive {
    /// At once, without a wait.
    AtOnce,
    /// By waiting until a deadline.
    AfterDeadline,
}

impl Unresponsive {
    /// `None` for a failure of a server that is responsive.
    pub(in crate::upstream) fn of(failure: ErrorKind) -> Option<Self> {
        match failure {
            ErrorKind::Dns
            | ErrorKind::ConnectionRefused
            | ErrorKind::TlsProtocol
            | ErrorKind::TlsCertificate => Some(Self::AtOnce),
            ErrorKind::ConnectionTimeout | ErrorKind::TlsTimeout | ErrorKind::ResponseTimeout => {
                Some(Self::AfterDeadline)
            }
            _ => None,
        }
    }
}

impl Circuit {
    pub(in crate::upstream) fn new(rules: &config::Circuit) -> Self {
        Self {
            rules: ArcSwap::from_pointee(rules.clone()),
            failures: AtomicU32::new(0),
            long_trials: AtomicU32::new(0),
            trial_from: AtomicTime::default(),
        }
    }

    /// Puts other rules in force. The circuit's state stays.
    pub(in crate::upstream) fn set_rules(&self, rules: &config::Circuit) {
        self.rules.store(Arc::new(rules.clone()));
        if rules.failures == 0 {
            self.record_answer();
        }
    }

    pub(in crate::upstream) fn is_open(&self) -> bool {
        self.trial_from.read().is_some()
    }

    /// The time until the next trial may begin; zero where it may now.
    pub(in crate::upstream) fn wait(&self, now: Monotonic) -> Duration {
        let from = self.trial_from.read();
        from.map_or(Duration::ZERO, |from| from.since(now))
    }

    /// The server has answered: closes the circuit. Returns whether it was open.
    pub(in crate::upstream) fn record_answer(&self) -> bool {
        // Read before it is written: all workers do this with each response.
        let was_open = self.is_open();
        if was_open || self.failures.load(Ordering::Relaxed) != 0 {
            self.failures.store(0, Ordering::Relaxed);
            self.long_trials.store(0, Ordering::Relaxed);
            self.trial_from.clear();
        }
        was_open
    }

    /// The server was unresponsive. Returns whether that opens the circuit. Requests that were on their way when it opened
    /// change nothing.
    pub(in crate::upstream) fn record_unresponsive(&self, now: Monotonic) -> bool {
        let before = self.failures.fetch_add(1, Ordering::Relaxed);
        let rules = self.rules.load();
        let enough = rules.failures > 0 && before.saturating_add(1) >= rules.failures;
        let opens = enough && !self.is_open();
        if opens {
            self.trial_from.set(now.after(rules.time));
        }
        opens
    }

    /// A trial has found the server unresponsive. If it took until a deadline, the pause before the next is doubled.
    pub(in crate::upstream) fn trial_failed(&self, now: Monotonic, unresponsive: Unresponsive) {
        let long = match unresponsive {
            Unresponsive::AfterDeadline => self.long_trials.fetch_add(1, Ordering::Relaxed) + 1,
            Unresponsive::AtOnce => self.long_trials.load(Ordering::Relaxed),
        };
        let times = 1_u32.checked_shl(long).unwrap_or(u32::MAX);
        let rules = self.rules.load();
        let pause = rules.time.saturating_mul(times);
        self.trial_from.set(now.after(pause.min(rules.max_time)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Monotonic {
        Monotonic::from_millis(millis)
    }

    fn circuit(failures: u32) -> Circuit {
        Circuit::new(&config::Circuit {
            failures,
            time: Duration::from_millis(250),
            max_time: Duration::from_secs(1),
        })
    }

    #[test]
    fn it_opens_after_failures_in_a_row_and_any_answer_closes_it() {
        let circuit = circuit(3);
        for _ in 0..2 {
            assert!(!circuit.record_unresponsive(at(0)) && !circuit.record_unresponsive(at(0)));
            assert!(
                !circuit.record_answer() && !circuit.is_open(),
                "not in a row"
            );
            assert!(!circuit.record_unresponsive(at(0)) && !circuit.record_unresponsive(at(0)));
            assert!(circuit.record_unresponsive(at(0)) && circuit.is_open());
            assert!(!circuit.record_unresponsive(at(200)), "it is open already");
            assert_eq!(circuit.wait(at(100)), Duration::from_millis(150));
            assert_eq!(circuit.wait(at(251)), Duration::ZERO);
            assert!(circuit.record_answer() && !circuit.is_open());
            assert_eq!(circuit.wait(at(0)), Duration::ZERO);
        }
    }

    #[test]
    fn trials_become_rarer_where_they_take_until_a_deadline() {
        let circuit = circuit(1);
        circuit.record_unresponsive(at(0));
        for (unresponsive, wait) in [
            (Unresponsive::AtOnce, 250),
            (Unresponsive::AtOnce, 250),
            (Unresponsive::AfterDeadline, 500),
            (Unresponsive::AtOnce, 500),
            (Unresponsive::AfterDeadline, 1_000),
            (Unresponsive::AfterDeadline, 1_000),
        ] {
            circuit.trial_failed(at(0), unresponsive);
            assert_eq!(circuit.wait(at(0)).as_millis(), wait, "{unresponsive:?}");
        }
        for _ in 0..40 {
            circuit.trial_failed(at(0), Unresponsive::AfterDeadline);
        }
        assert_eq!(circuit.wait(at(0)).as_millis(), 1_000);
        assert!(circuit.record_answer() && circuit.record_unresponsive(at(0)));
        assert_eq!(
            circuit.wait(at(0)).as_millis(),
            250,
            "the pause starts anew"
        );
    }

    #[test]
    fn it_never_opens_where_that_is_off() {
        let circuit = circuit(0);
        assert!((0..100).all(|_| !circuit.record_unresponsive(at(0))) && !circuit.is_open());
    }
}
