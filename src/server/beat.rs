//! What a worker and its connections tell one another.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use tokio::sync::Notify;

use crate::telemetry::counters::Counters;

/// What a worker tells all its connections, and hears from them.
#[derive(Debug, Default)]
pub(super) struct Beat {
    /// The coarse clock, in milliseconds; moved by each tick.
    pub now: Cell<u64>,
    draining: Cell<bool>,
    drain_begins: Notify,
    /// Accepted connections that wait for another's place.
    pub waiting: Cell<usize>,
    /// Some connection has become dispensable while others wait.
    pub spare: Notify,
    /// Where the pieces of a small message are brought together.
    pub gathered: RefCell<Vec<u8>>,
    pub counters: Arc<Counters>,
}

impl Beat {
    pub fn counted_by(counters: Arc<Counters>) -> Self {
        Self {
            counters,
            ..Self::default()
        }
    }

    pub fn is_draining(&self) -> bool {
        self.draining.get()
    }

    pub fn drain(&self) {
        self.draining.set(true);
        self.drain_begins.notify_waiters();
    }

    /// Done when the worker drains.
    pub async fn draining(&self) {
        while !self.draining.get() {
            self.drain_begins.notified().await;
        }
    }
}
