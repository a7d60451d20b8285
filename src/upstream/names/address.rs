//! One address of a server's name, and how it stands. The rules are those of servers: failures in a row leave it out for
//! a while, as long as the name has others.

use std::fmt::Display;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::clock::Monotonic;
use crate::config::Ejection;
use crate::upstream::health::state::Standing;

/// Shared by all workers, and by the connections to it.
#[derive(Debug)]
pub(in crate::upstream) struct Address {
    at: SocketAddr,
    standing: Standing,
    /// Whether no other address of its name stood better when one was last looked for.
    needed: AtomicBool,
    /// Whether a later answer for its name was without it.
    left: AtomicBool,
}

impl Address {
    pub(in crate::upstream) fn new(at: SocketAddr, rules: &Ejection) -> Self {
        Self {
            at,
            standing: Standing::new(rules),
            needed: AtomicBool::new(false),
            left: AtomicBool::new(false),
        }
    }

    pub(in crate::upstream) fn set_rules(&self, rules: &Ejection) {
        self.standing.set_rules(rules);
    }

    pub(in crate::upstream) fn at(&self) -> SocketAddr {
        self.at
    }

    /// Whether it has failed lately.
    pub(in crate::upstream) fn is_ejected(&self, now: Monotonic) -> bool {
        self.standing.is_ejected(|| now)
    }

    /// Whether others are to be used in its place; `now` is asked for only where that matters.
    pub(in crate::upstream) fn is_out(&self, now: impl FnOnce() -> Monotonic) -> bool {
        self.standing.is_ejected(now) && !self.needed.load(Ordering::Relaxed)
    }

    pub(in crate::upstream) fn set_needed(&self, needed: bool) {
        self.needed.store(needed, Ordering::Relaxed);
    }

    /// Its name no longer leads there.
    pub(in crate::upstream) fn leave(&self) {
        self.left.store(true, Ordering::Relaxed);
    }

    /// Whether its name no longer leads there: connections to it take no more requests.
    pub(in crate::upstream) fn has_left(&self) -> bool {
        self.left.load(Ordering::Relaxed)
    }

    /// A response's head has come from there.
    pub(in crate::upstream) fn succeeded(&self, now: impl FnOnce() -> Monotonic) {
        if self.standing.has_failed() {
            self.standing.succeeded(now());
        }
    }

    /// No connection, or no response.
    pub(in crate::upstream) fn failed(&self, now: Monotonic, why: impl Display) {
        if self.standing.failed(now) {
            tracing::warn!(address = %self.at, failure = %why, "left out for others of its name");
        }
    }
}
