//! State that the connections of one worker share with it.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use tokio::sync::Notify;

use crate::telemetry::counters::Counters;

/// State of a worker that all its connections can read, and some of which they set.
#[derive(Debug, Default)]
pub(super) struct WorkerShared {
    /// The coarse clock, in milliseconds; each tick sets it.
    pub now: Cell<u64>,
    draining: Cell<bool>,
    handed_over: Cell<bool>,
    drain_begins: Notify,
    /// Accepted connections that wait for the slot of another.
    pub waiting_for_slot: Cell<usize>,
    /// Notified when a connection becomes evictable while others wait for its slot.
    pub evictable: Notify,
    /// The buffer in which the pieces of a small message are put together for one write.
    pub write_buffer: RefCell<Vec<u8>>,
    pub counters: Arc<Counters>,
}

impl WorkerShared {
    pub fn new(counters: Arc<Counters>) -> Self {
        Self {
            counters,
            ..Self::default()
        }
    }

    pub fn is_draining(&self) -> bool {
        self.draining.get()
    }

    /// Whether the worker drains because a successor serves.
    pub fn is_handed_over(&self) -> bool {
        self.handed_over.get()
    }

    pub fn drain(&self, is_handed_over: bool) {
        self.handed_over.set(is_handed_over);
        self.draining.set(true);
        self.drain_begins.notify_waiters();
    }

    /// Completes when the worker drains.
    pub async fn draining(&self) {
        while !self.draining.get() {
            self.drain_begins.notified().await;
        }
    }
}
