//! The cap of connections to one server: a permit each, over all workers. A reload may change it while connections are
//! open.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

#[derive(Debug)]
pub(in crate::upstream) struct Cap {
    /// One for each connection that may be opened; requests of all workers get them in order of arrival.
    permits: Arc<Semaphore>,
    limit: Mutex<usize>,
    /// Connections that are open beyond the cap, since it was lowered: so many permits are not given back.
    surplus: AtomicUsize,
}

impl Cap {
    pub(in crate::upstream) fn new(limit: usize) -> Self {
        let limit = limit.clamp(1, Semaphore::MAX_PERMITS);
        Self {
            permits: Arc::new(Semaphore::new(limit)),
            limit: Mutex::new(limit),
            surplus: AtomicUsize::new(0),
        }
    }

    /// Changes the cap. Connections that are open beyond it stay open; none is opened until they are fewer.
    pub(in crate::upstream) fn set(&self, limit: usize) {
        let limit = limit.clamp(1, Semaphore::MAX_PERMITS);
        let mut before = self.limit.lock().unwrap_or_else(PoisonError::into_inner);
        if limit < *before {
            let fewer = *before - limit;
            let forgotten = self.permits.forget_permits(fewer);
            self.surplus.fetch_add(fewer - forgotten, Ordering::AcqRel);
        } else {
            let more = limit - *before;
            let kept = (0..more).take_while(|_| self.take_from_surplus()).count();
            self.permits.add_permits(more - kept);
        }
        *before = limit;
    }

    /// A permit, where one is free and no request waits for it.
    pub(in crate::upstream) fn try_take(&self) -> Option<OwnedSemaphorePermit> {
        self.permits.clone().try_acquire_owned().ok()
    }

    /// A permit, as soon as one is free; never `None`.
    pub(in crate::upstream) async fn take(&self) -> Option<OwnedSemaphorePermit> {
        self.permits.clone().acquire_owned().await.ok()
    }

    /// Whether a permit is free that no request waits for.
    pub(in crate::upstream) fn has_room(&self) -> bool {
        self.permits.available_permits() > 0
    }

    /// A connection has ended.
    pub(in crate::upstream) fn give_back(&self, permit: OwnedSemaphorePermit) {
        if self.take_from_surplus() {
            permit.forget();
        }
    }

    /// Whether more connections are open than may be.
    pub(in crate::upstream) fn is_exceeded(&self) -> bool {
        self.surplus.load(Ordering::Acquire) > 0
    }

    /// Connections that are open or being opened.
    pub(in crate::upstream) fn taken(&self) -> usize {
        let limit = *self.limit.lock().unwrap_or_else(PoisonError::into_inner);
        (limit + self.surplus.load(Ordering::Acquire))
            .saturating_sub(self.permits.available_permits())
    }

    fn take_from_surplus(&self) -> bool {
        self.surplus
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |surplus| {
                surplus.checked_sub(1)
            })
            .is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cap_that_is_lowered_is_reached_as_connections_end() {
        let cap = Cap::new(4);
        let mut open: Vec<_> = (0..3).map_while(|_| cap.try_take()).collect();
        for (limit, taken, exceeded, room) in [
            (2, 3, true, false),
            (1, 3, true, false),
            (2, 3, true, false),
            (3, 3, false, false),
            (5, 3, false, true),
            (1, 3, true, false),
        ] {
            cap.set(limit);
            let found = (cap.taken(), cap.is_exceeded(), cap.has_room());
            assert_eq!(found, (taken, exceeded, room), "{limit}");
        }
        for (left, exceeded, room) in [(2, true, false), (1, false, false), (0, false, true)] {
            cap.give_back(open.pop().expect("one more"));
            let found = (cap.taken(), cap.is_exceeded(), cap.has_room());
            assert_eq!(found, (left, exceeded, room));
        }
        assert!(cap.try_take().is_some());
    }
}
