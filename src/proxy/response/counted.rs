//! Each exchange is counted once when its response is ready, by what its Cache-Status says: in all, for its route, and with
//! the time that its client has waited for the beginning of the response.

use std::time::Duration;

use http::{Method, Response, StatusCode};

use crate::cache::resource::Unshared;
use crate::proxy::request::{Class, Request};
use crate::proxy::response::body::Body;
use crate::proxy::response::error::Reported;
use crate::proxy::worker::Worker;
use crate::semantics::cache_status::{CacheResult, CacheStatus, Detail};
use crate::semantics::method::is_safe;
use crate::telemetry::by_route::{Outcome, RouteCounters, Wait};

/// Of hits, each worker measures one in this time at most: a look at the clock for each would cost more than the counters.
const BETWEEN_MEASURED_HITS: Duration = Duration::from_millis(1);

/// Clients that left before their response had begun, as nginx writes them.
const CLIENT_LEFT: u16 = 499;

impl Worker {
    pub(super) fn count(&self, response: &Response<Body>, request: &Request, status: &CacheStatus) {
        let outcome = outcome(response, status);
        // In all, an error of the gateway's own is counted where it is made.
        if outcome != Outcome::Error {
            self.counters.of_outcome(outcome).inc();
        }
        let Some(route) = request.epoch.counters_of(request.strict_route()) else {
            return;
        };
        let is_safe = request.class != Class::Unsafe;
        route.count(outcome, response.status().as_u16(), is_safe);
        if status.forward.is_some() {
            self.count_forwarded(route, outcome, request, status);
        } else if status.hit && request.began.mono >= self.next_measured_hit.get() {
            self.measure(route, Wait::Hit, request);
        }
    }

    /// Counts what only those requests have that the store did not answer alone.
    fn count_forwarded(
        &self,
        route: &RouteCounters,
        outcome: Outcome,
        request: &Request,
        status: &CacheStatus,
    ) {
        match outcome {
            Outcome::Error | Outcome::Direct => return,
            Outcome::Pass => self.measure(route, Wait::Pass, request),
            Outcome::Hit | Outcome::Stale | Outcome::Validated | Outcome::Miss => {
                self.measure(route, Wait::Miss, request);
            }
        }
        if let Some(reason) = status.detail.and_then(not_stored) {
            self.counters.count_not_stored(reason);
        }
    }

    fn measure(&self, route: &RouteCounters, wait: Wait, request: &Request) {
        let now = self.gateway.clock.now().mono;
        if wait == Wait::Hit {
            self.next_measured_hit.set(now.after(BETWEEN_MEASURED_HITS));
        }
        route.record(wait, now.since(request.began.mono));
    }

    /// Counts a request that was refused before it had a route.
    pub(in crate::proxy) fn count_unrouted(&self, status: StatusCode, method: &Method) {
        self.unrouted
            .count(Outcome::Error, status.as_u16(), is_safe(method));
    }

    /// Counts, for its route, a request whose client left before there was a response.
    pub(super) fn count_left(&self, request: &Request) {
        if let Some(route) = request.epoch.counters_of(request.strict_route()) {
            route.count(Outcome::Error, CLIENT_LEFT, request.class != Class::Unsafe);
        }
    }
}

/// How a request was answered.
pub(super) fn outcome(response: &Response<Body>, status: &CacheStatus) -> Outcome {
    match status.result() {
        Some(CacheResult::Hit) => Outcome::Hit,
        Some(CacheResult::Stale) => Outcome::Stale,
        _ if response.extensions().get::<Reported>().is_some() => Outcome::Error,
        Some(CacheResult::Validated) => Outcome::Validated,
        Some(CacheResult::Miss) => Outcome::Miss,
        Some(CacheResult::Pass) => Outcome::Pass,
        None => Outcome::Direct,
    }
}

/// The token of why a response was not stored, where `detail` tells that.
fn not_stored(detail: Detail) -> Option<&'static str> {
    match detail {
        Detail::NotStored(reason) => Some(reason.token()),
        Detail::Other(token) => [Unshared::TooLarge, Unshared::UnverifiedEnd]
            .map(Unshared::token)
            .contains(&token)
            .then_some(token),
        Detail::Stale(_) | Detail::Validated(_) => None,
    }
}
