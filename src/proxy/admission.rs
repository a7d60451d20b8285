//! How many requests may wait for the API: what comes beyond is turned away at once rather than late.

use std::rc::Rc;
use std::sync::atomic::Ordering;

use super::worker::Worker;
use crate::error::{Error, ErrorKind, Side};

/// How many times its even share of the limit one worker may take: connections are never quite evenly spread, but what
/// queues behind one busy core is late for all of its clients.
const SHARES: usize = 2;

/// A request's place among those that wait for the API.
pub(super) struct Admission(Rc<Worker>);

impl Admission {
    /// One more place.
    ///
    /// # Errors
    /// [`ErrorKind::Overloaded`] when as many wait as may, in the process or on this worker.
    pub(super) fn of(worker: &Rc<Worker>, limit: usize) -> Result<Self, Error> {
        let before = worker.gateway.waiting.fetch_add(1, Ordering::Relaxed);
        let here = worker.counters.waiting.value() as usize;
        worker.counters.waiting.add(1);
        let admission = Self(worker.clone());
        let of_worker = share(limit, worker.gateway.metrics.workers.len());
        if limit == 0 || (before < limit && here < of_worker) {
            return Ok(admission);
        }
        worker.counters.shed.inc();
        Err(Error::new(ErrorKind::Overloaded, Side::Internal))
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.0.gateway.waiting.fetch_sub(1, Ordering::Relaxed);
        self.0.counters.waiting.sub(1);
    }
}

/// What one of `workers` may take of `limit`.
fn share(limit: usize, workers: usize) -> usize {
    limit
        .div_ceil(workers.max(1))
        .saturating_mul(SHARES)
        .min(limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_has_twice_its_even_share_and_no_more_than_all() {
        let table = [
            (8192, 1, 8192),
            (8192, 2, 8192),
            (8192, 4, 4096),
            (8192, 64, 256),
            (10, 64, 2),
            (1, 4, 1),
            (usize::MAX, 2, usize::MAX),
        ];
        for (limit, workers, of_worker) in table {
            assert_eq!(share(limit, workers), of_worker, "{limit} by {workers}");
        }
    }
}
