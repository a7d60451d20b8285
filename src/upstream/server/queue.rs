//! The requests that wait for a connection to one server, from all workers.

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

/// Counts the requests that wait, so that pools make room for them. The semaphore ([`super::cap::Cap`]) keeps their order.
#[derive(Debug, Default)]
pub(in crate::upstream) struct Queue {
    waiting: AtomicUsize,
    /// How many of `waiting` have a worker without any connection that could be handed to them.
    without_connection: AtomicUsize,
    /// Notified when a request begins to wait: each worker's pool then closes idle connections.
    pools: Mutex<Vec<Arc<Notify>>>,
}

impl Queue {
    /// Takes a place, unless `limit` requests wait already. `without_connection` counts the requests of the same worker that
    /// began to wait when it had no connection, if this is one of them.
    pub(in crate::upstream) fn enter<'a>(
        &'a self,
        limit: usize,
        without_connection: Option<&'a Cell<usize>>,
    ) -> Option<Place<'a>> {
        self.waiting
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |waiting| {
                (waiting < limit).then_some(waiting + 1)
            })
            .ok()?;
        if let Some(here) = without_connection {
            here.set(here.get() + 1);
            self.without_connection.fetch_add(1, Ordering::AcqRel);
        }
        for pool in &*self.pools.lock().unwrap_or_else(PoisonError::into_inner) {
            pool.notify_one();
        }
        Some(Place {
            queue: self,
            without_connection,
        })
    }

    pub(in crate::upstream) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Acquire)
    }

    pub(in crate::upstream) fn without_connection(&self) -> usize {
        self.without_connection.load(Ordering::Acquire)
    }

    pub(in crate::upstream) fn register(&self, pool: Arc<Notify>) {
        self.pools
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(pool);
    }

    pub(in crate::upstream) fn unregister(&self, pool: &Arc<Notify>) {
        self.pools
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|other| !Arc::ptr_eq(other, pool));
    }
}

/// A place in a server's queue, until it is dropped.
#[derive(Debug)]
pub(in crate::upstream) struct Place<'a> {
    queue: &'a Queue,
    without_connection: Option<&'a Cell<usize>>,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.queue.waiting.fetch_sub(1, Ordering::AcqRel);
        if let Some(here) = self.without_connection {
            here.set(here.get().saturating_sub(1));
            self.queue.without_connection.fetch_sub(1, Ordering::AcqRel);
        }
    }
}
