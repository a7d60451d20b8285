//! A server's circuit. Where no other server can be asked, requests to one that is silent, that cannot be reached or does
//! not answer in time, would each wait for a deadline. After some in a row its circuit is open: requests are not sent, and
//! only one at a time tries whether the server is back. What it says then, it has been heard: that closes the circuit.
//!
//! An answer of any status is no silence, nor is a connection that breaks or speaks nonsense: that costs no wait, and may
//! be the fault of one request.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;

use crate::clock::Monotonic;
use crate::config;
use crate::error::ErrorKind;
use crate::upstream::health::state::Moment;

#[derive(Debug)]
pub(in crate::upstream) struct Circuit {
    /// Those of the configuration in force.
    rules: ArcSwap<config::Circuit>,
    in_a_row: AtomicU32,
    /// Trials in a row that took until a deadline.
    long_trials: AtomicU32,
    /// When the next trial may begin; a moment is set while the circuit is open.
    trial_from: Moment,
}

/// How a server was silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::upstream) enum Silence {
    /// Whoever asked knew so at once.
    Short,
    /// Until a deadline.
    Long,
}

impl Silence {
    /// `None` for a failure that is no silence.
    pub(in crate::upstream) fn of(failure: ErrorKind) -> Option<Self> {
        match failure {
            ErrorKind::Dns
            | ErrorKind::ConnectionRefused
            | ErrorKind::TlsProtocol
            | ErrorKind::TlsCertificate => Some(Self::Short),
            ErrorKind::ConnectionTimeout | ErrorKind::TlsTimeout | ErrorKind::ResponseTimeout => {
                Some(Self::Long)
            }
            _ => None,
        }
    }
}

impl Circuit {
    pub(in crate::upstream) fn new(rules: &config::Circuit) -> Self {
        Self {
            rules: ArcSwap::from_pointee(rules.clone()),
            in_a_row: AtomicU32::new(0),
            long_trials: AtomicU32::new(0),
            trial_from: Moment::default(),
        }
    }

    /// Puts other rules in force. What is known of the server stays.
    pub(in crate::upstream) fn set_rules(&self, rules: &config::Circuit) {
        self.rules.store(Arc::new(rules.clone()));
        if rules.failures == 0 {
            self.heard();
        }
    }

    pub(in crate::upstream) fn is_open(&self) -> bool {
        self.trial_from.read().is_some()
    }

    /// Until the next trial may begin; zero where it may now.
    pub(in crate::upstream) fn wait(&self, now: Monotonic) -> Duration {
        let from = self.trial_from.read();
        from.map_or(Duration::ZERO, |from| from.since(now))
    }

    /// Closes the circuit; whether it was open.
    pub(in crate::upstream) fn heard(&self) -> bool {
        // Read before written: all workers come by here with each response.
        let was_open = self.is_open();
        if was_open || self.in_a_row.load(Ordering::Relaxed) != 0 {
            self.in_a_row.store(0, Ordering::Relaxed);
            self.long_trials.store(0, Ordering::Relaxed);
            self.trial_from.clear();
        }
        was_open
    }

    /// A request met with silence. Whether that opens the circuit. Those that were on their way when it opened say
    /// nothing new.
    pub(in crate::upstream) fn silent(&self, now: Monotonic) -> bool {
        let before = self.in_a_row.fetch_add(1, Ordering::Relaxed);
        let rules = self.rules.load();
        let enough = rules.failures > 0 && before.saturating_add(1) >= rules.failures;
        let opens = enough && !self.is_open();
        if opens {
            self.trial_from.set(now.after(rules.time));
        }
        opens
    }

    /// A trial met with silence: if that was a long one, twice as much time goes by before the next.
    pub(in crate::upstream) fn trial_failed(&self, now: Monotonic, silence: Silence) {
        let long = match silence {
            Silence::Long => self.long_trials.fetch_add(1, Ordering::Relaxed) + 1,
            Silence::Short => self.long_trials.load(Ordering::Relaxed),
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
    fn it_opens_after_silences_in_a_row_and_whatever_is_heard_closes_it() {
        let circuit = circuit(3);
        for _ in 0..2 {
            assert!(!circuit.silent(at(0)) && !circuit.silent(at(0)));
            assert!(!circuit.heard() && !circuit.is_open(), "not in a row");
            assert!(!circuit.silent(at(0)) && !circuit.silent(at(0)));
            assert!(circuit.silent(at(0)) && circuit.is_open());
            assert!(!circuit.silent(at(200)), "it is open already");
            assert_eq!(circuit.wait(at(100)), Duration::from_millis(150));
            assert_eq!(circuit.wait(at(251)), Duration::ZERO);
            assert!(circuit.heard() && !circuit.is_open());
            assert_eq!(circuit.wait(at(0)), Duration::ZERO);
        }
    }

    #[test]
    fn trials_become_rarer_where_they_keep_somebody_waiting() {
        let circuit = circuit(1);
        circuit.silent(at(0));
        for (silence, wait) in [
            (Silence::Short, 250),
            (Silence::Short, 250),
            (Silence::Long, 500),
            (Silence::Short, 500),
            (Silence::Long, 1_000),
            (Silence::Long, 1_000),
        ] {
            circuit.trial_failed(at(0), silence);
            assert_eq!(circuit.wait(at(0)).as_millis(), wait, "{silence:?}");
        }
        for _ in 0..40 {
            circuit.trial_failed(at(0), Silence::Long);
        }
        assert_eq!(circuit.wait(at(0)).as_millis(), 1_000);
        assert!(circuit.heard() && circuit.silent(at(0)));
        assert_eq!(circuit.wait(at(0)).as_millis(), 250, "it starts anew");
    }

    #[test]
    fn it_never_opens_where_that_is_off() {
        let circuit = circuit(0);
        assert!((0..100).all(|_| !circuit.silent(at(0))) && !circuit.is_open());
    }
}
