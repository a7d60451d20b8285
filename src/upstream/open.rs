//! Open connections are counted, and each takes a part of the server's cap.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::OwnedSemaphorePermit;

use super::server::cap::Cap;
use crate::telemetry::counters::UpstreamCounters;

/// One connection, from before it is opened until its socket is closed.
#[derive(Debug)]
pub(super) struct OpenConnection {
    /// `None` only while it is dropped.
    permit: Option<OwnedSemaphorePermit>,
    cap: Arc<Cap>,
    of_worker: Arc<AtomicUsize>,
    counters: Arc<UpstreamCounters>,
}

impl OpenConnection {
    pub(super) fn new(
        permit: OwnedSemaphorePermit,
        cap: Arc<Cap>,
        of_worker: Arc<AtomicUsize>,
        counters: Arc<UpstreamCounters>,
    ) -> Self {
        of_worker.fetch_add(1, Ordering::Relaxed);
        counters.connections.add(1);
        Self {
            permit: Some(permit),
            cap,
            of_worker,
            counters,
        }
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        if let Some(permit) = self.permit.take() {
            self.cap.give_back(permit);
        }
        self.of_worker.fetch_sub(1, Ordering::Relaxed);
        self.counters.connections.sub(1);
    }
}
