//! One address of a server's name, and its health. The rules are those of servers: failures in a row eject it for a
//! while, as long as the name has others.

use std::fmt::Display;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::clock::Monotonic;
use crate::config::Ejection;
use crate::upstream::health::state::ServerHealth;

/// An address, shared by all workers and by the connections to it.
#[derive(Debug)]
pub(in crate::upstream) struct Address {
    at: SocketAddr,
    health: ServerHealth,
    /// Whether all addresses of its name were ejected when one was last looked for.
    last_resort: AtomicBool,
    /// Whether a later answer for its name was without it.
    retired: AtomicBool,
}

impl Address {
    pub(in crate::upstream) fn new(at: SocketAddr, rules: &Ejection) -> Self {
        Self {
            at,
            health: ServerHealth::new(rules),
            last_resort: AtomicBool::new(false),
            retired: AtomicBool::new(false),
        }
    }

    pub(in crate::upstream) fn set_rules(&self, rules: &Ejection) {
        self.health.set_rules(rules);
    }

    pub(in crate::upstream) fn at(&self) -> SocketAddr {
        self.at
    }

    /// Whether it has failed lately.
    pub(in crate::upstream) fn is_ejected(&self, now: Monotonic) -> bool {
        self.health.is_ejected(|| now)
    }

    /// Whether other addresses are to be used in its place. `now` is called only where that matters.
    pub(in crate::upstream) fn is_avoided(&self, now: impl FnOnce() -> Monotonic) -> bool {
        self.health.is_ejected(now) && !self.last_resort.load(Ordering::Relaxed)
    }

    pub(in crate::upstream) fn set_last_resort(&self, last_resort: bool) {
        self.last_resort.store(last_resort, Ordering::Relaxed);
    }

    /// To be called when its name no longer resolves to it.
    pub(in crate::upstream) fn retire(&self) {
        self.retired.store(true, Ordering::Relaxed);
    }

    /// Whether its name no longer resolves to it: connections to it get no more requests.
    pub(in crate::upstream) fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Relaxed)
    }

    /// A response's head has come from it.
    pub(in crate::upstream) fn succeeded(&self, now: impl FnOnce() -> Monotonic) {
        if self.health.has_failed() {
            self.health.record_success(now());
        }
    }

    /// No connection, or no response.
    pub(in crate::upstream) fn failed(&self, now: Monotonic, why: impl Display) {
        if self.health.record_failure(now) {
            tracing::warn!(address = %self.at, failure = %why, "address ejected: other addresses of its name get its requests");
        }
    }
}
