//! What a worker and its connections tell one another.

use std::cell::{Cell, RefCell};

use tokio::sync::Notify;

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
}

impl Beat {
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
