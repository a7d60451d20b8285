//! How many requests may wait for the API: what comes beyond is turned away at once rather than late.

use std::rc::Rc;

use crate::config::Config;
use crate::error::{Error, ErrorKind, Side};
use crate::proxy::epoch::Epoch;
use crate::proxy::limit::{Full, Share};
use crate::proxy::request::Request;
use crate::proxy::worker::Worker;

/// How many times its even share of the limit one worker may take: connections are never quite evenly spread, but what
/// queues behind one busy core is late for all of its clients.
const SHARES: usize = 2;

/// A request's place among those that wait for the API. Whoever carries the request on holds it: what goes on without
/// its client is counted like all else.
pub(super) struct Admission {
    worker: Rc<Worker>,
    _share: Share,
}

/// There is no place.
pub(super) struct Refused {
    /// Whether only this client has none.
    pub full: Full,
    /// [`ErrorKind::Overloaded`].
    pub error: Error,
}

impl Admission {
    /// One more place.
    ///
    /// # Errors
    /// When as many wait as may: in the process, on this worker, or for this client.
    pub(super) fn of(worker: &Rc<Worker>, request: &Request) -> Result<Self, Refused> {
        let server = &request.epoch.settings.config.server;
        let most = unless_zero(server.max_requests);
        let each = unless_zero(server.max_requests_per_client).min(most - most / OTHERS);
        let here = worker.counters.waiting.value() as usize;
        let full = |full| {
            worker.counters.shed.inc();
            let mut error = Error::new(ErrorKind::Overloaded, Side::Internal);
            if full == Full::Client {
                error = error.detail("this client has as many requests under way as it may");
            }
            Refused { full, error }
        };
        if here >= share(most, worker.gateway.metrics.workers.len()) {
            return Err(full(Full::All));
        }
        let client = request.client_behind_proxies();
        let entered = worker.gateway.waiting.enter(client, most, each);
        let share = entered.map_err(full)?;
        worker.counters.waiting.add(1);
        Ok(Self {
            worker: worker.clone(),
            _share: share,
        })
    }
}

/// Whether it may well be that others find no place: more than half of all are taken, or of this worker's, or requests wait
/// for a connection to this API.
pub(super) fn are_places_scarce(worker: &Worker, epoch: &Epoch, upstream: Option<usize>) -> bool {
    let most = unless_zero(epoch.settings.config.server.max_requests);
    let here = worker.counters.waiting.value() as usize;
    worker.gateway.waiting.held() > most / 2
        || here > share(most, worker.gateway.metrics.workers.len()) / 2
        || epoch.settings.has_requests_waiting(upstream)
}

/// How many requests of clients that have closed their side may wait, in all and of one client: as many as may go on
/// without a client, and never all.
pub(super) fn most_half_closed(config: &Config) -> (usize, usize) {
    let (server, fills) = (&config.server, config.cache.max_unattended_fills);
    half_closed_bounds(fills, server.max_requests, server.max_requests_per_client)
}

fn half_closed_bounds(fills: usize, requests: usize, of_client: usize) -> (usize, usize) {
    let most = fills.min(unless_zero(requests) / 2);
    let each = unless_zero(of_client).div_ceil(2);
    (most, most.div_ceil(OTHERS).min(each))
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.worker.counters.waiting.sub(1);
    }
}

/// This part of all places is never one client's.
const OTHERS: usize = 8;

/// A limit as it is configured: 0 is none.
fn unless_zero(limit: usize) -> usize {
    match limit {
        0 => usize::MAX,
        limit => limit,
    }
}

/// The share of `limit` that one of `workers` may use.
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
    fn half_closed_clients_never_have_all_places() {
        // max_unattended_fills, max_requests, max_requests_per_client, in all, of one client
        for (fills, requests, each, expected) in [
            (64, 8192, 0, (64, 8)),
            (64, 0, 0, (64, 8)),
            (64, 50, 0, (25, 4)),
            (64, 50, 3, (25, 2)),
            (64, 8192, 1, (64, 1)),
            (64, 1, 0, (0, 0)),
            (0, 8192, 0, (0, 0)),
        ] {
            let bounds = half_closed_bounds(fills, requests, each);
            assert_eq!(bounds, expected, "{fills} {requests} {each}");
        }
    }

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
