//! The counters of a worker. Each worker writes its own, so that no core waits for another to count; `/metrics` adds them up.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use super::by_route::{ByRoute, Outcome, RouteCounters, RouteLabels, Wait};
pub use super::counter::{Counter, Gauge, SharedCounter};
use super::histogram::{Distribution, Histogram};
use super::latest::LatestOutcomes;
use super::top::TopUrls;
use super::traces::SpanCounters;
use crate::error::ErrorKind;

/// A counter for each kind of error.
#[derive(Debug)]
pub struct ByKind([Counter; ErrorKind::ALL.len()]);

impl Default for ByKind {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Counter::default()))
    }
}

impl ByKind {
    pub fn of(&self, kind: ErrorKind) -> &Counter {
        &self.0[kind as usize]
    }
}

/// The counters of one worker.
#[derive(Debug, Default)]
pub struct Counters {
    /// Requests answered from the store while fresh.
    pub hits: Counter,
    /// Requests answered from the store while stale.
    pub stale_hits: Counter,
    /// Requests answered after a successful validation upstream.
    pub validated: Counter,
    /// Requests answered upstream since nothing suitable was stored.
    pub misses: Counter,
    /// Requests that were forwarded without asking the cache (unsafe methods, bypass).
    pub passes: Counter,
    /// Requests that the gateway answered itself, as its configuration says: redirects, `respond`, preflights of CORS.
    pub direct: Counter,
    /// Requests that the gateway answered with an error of its own.
    pub errors: Counter,
    /// The same by [`ErrorKind`], by its number.
    pub errors_by_kind: ByKind,
    /// Requests that were answered by a fill that another request leads.
    pub collapsed: Counter,
    /// Answers 304 given from the store.
    pub not_modified: Counter,
    /// What concerns the API of `[upstream]` alone.
    pub upstream: Arc<UpstreamCounters>,
    /// The same of those of `[upstreams.NAME]`, by their names, also of those that a reload has removed.
    named: Mutex<BTreeMap<Box<str>, Arc<UpstreamCounters>>>,
    /// Requests by route.
    pub routes: ByRoute,
    /// Responses that were not stored, by the token of the reason.
    not_stored: Mutex<BTreeMap<&'static str, u64>>,
    /// Response content sent to clients, in bytes.
    pub bytes_sent: Counter,
    /// Responses that had begun and that their client did not take whole.
    pub aborted: Counter,
    /// Client connections accepted.
    pub connections_accepted: Counter,
    /// Client connections closed at once because their client had as many as it may.
    pub connections_refused: Counter,
    /// TLS handshakes that clients completed.
    pub tls_handshakes: Counter,
    /// Of those, sessions that were resumed.
    pub tls_resumed: Counter,
    /// TLS handshakes that failed, and clients that did not begin one.
    pub tls_failures: Counter,
    /// Client connections ended by their deadline: for a request's head.
    pub head_timeouts: Counter,
    /// For more of a request's content.
    pub content_timeouts: Counter,
    /// For the client to take more of a response; a stream of HTTP/2 counts as a connection.
    pub write_timeouts: Counter,
    /// For the next request.
    pub idle_timeouts: Counter,
    /// For anything, where another protocol is spoken.
    pub tunnel_timeouts: Counter,
    /// Client connections closed because they reset more streams than allowed.
    pub reset_floods: Counter,
    /// What became of the latest responses.
    pub latest: LatestOutcomes,
    /// The URLs that are asked for most.
    pub top: TopUrls,
    /// Responses stored.
    pub stored: Counter,
    /// Resources removed by unsafe methods.
    pub invalidations: SharedCounter,
    /// Requests that did not go upstream because too many were waiting for it.
    pub shed: Counter,
    /// Requests refused by a rate limit.
    pub limited: Counter,
    /// Background fills started for stale responses that were served.
    pub background_begun: Counter,
    /// Background fills not started because the limit of them was reached.
    pub background_refused: Counter,
    /// Access log lines lost because they could not be written in time.
    pub access_log_lost: Counter,
    /// Client connections open now.
    pub connections: Gauge,
    /// Requests being answered now.
    pub in_flight: Gauge,
    /// Requests that wait for the API now.
    pub waiting: Gauge,
    /// Requests that wait for, or read from, another request's fill now.
    pub followers: Gauge,
    /// Fills running now.
    pub fills: Gauge,
    /// Background fills running now.
    pub background_fills: Gauge,
    /// Bytes of response fields kept ready now, about.
    pub ready_bytes: Gauge,
}

/// What one worker counts of one API.
#[derive(Debug, Default)]
pub struct UpstreamCounters {
    /// Requests sent upstream, retries included.
    pub requests: Counter,
    /// Retries on another connection or server.
    pub retries: Counter,
    /// Upstream requests that ended in an error.
    pub errors: Counter,
    /// Requests not sent upstream because no server was available.
    pub unavailable: Counter,
    /// Upstream connections opened.
    pub connects: Counter,
    /// Response content received from upstream, in bytes.
    pub bytes_received: Counter,
    /// From a request that is handed to a connection to the head of its response.
    pub times: Histogram,
    /// Upstream connections open now.
    pub connections: Gauge,
    /// Open connections switched to another protocol, such as WebSocket.
    pub tunnels: Gauge,
}

impl Counters {
    /// Those of the API with this name; `None` is that of `[upstream]`.
    pub fn of_upstream(&self, name: Option<&str>) -> Arc<UpstreamCounters> {
        let Some(name) = name else {
            return self.upstream.clone();
        };
        let mut named = self.named.lock().unwrap_or_else(PoisonError::into_inner);
        named.entry(name.into()).or_default().clone()
    }

    /// Requests that were answered so.
    pub fn of_outcome(&self, outcome: Outcome) -> &Counter {
        match outcome {
            Outcome::Hit => &self.hits,
            Outcome::Stale => &self.stale_hits,
            Outcome::Validated => &self.validated,
            Outcome::Miss => &self.misses,
            Outcome::Pass => &self.passes,
            Outcome::Direct => &self.direct,
            Outcome::Error => &self.errors,
        }
    }

    /// Counts a response that was not stored; for what is not a hit only, since it takes a lock.
    pub fn count_not_stored(&self, reason: &'static str) {
        let mut reasons = (self.not_stored.lock()).unwrap_or_else(PoisonError::into_inner);
        *reasons.entry(reason).or_default() += 1;
    }

    /// Counts a request that was answered with an error of the gateway's own, or left by its client before.
    pub fn count_error(&self, kind: ErrorKind) {
        self.errors.inc();
        self.errors_by_kind.of(kind).inc();
    }
}

/// The counters of all workers.
#[derive(Clone, Debug)]
pub struct Metrics {
    pub workers: Arc<[Arc<Counters>]>,
    pub spans: Arc<SpanCounters>,
}

impl Metrics {
    pub fn new(workers: usize) -> Self {
        Self {
            workers: (0..workers).map(|_| Arc::default()).collect(),
            spans: Arc::default(),
        }
    }

    /// The names of the APIs of `[upstreams.NAME]` that the process has known, in their order.
    pub fn upstream_names(&self) -> BTreeSet<Box<str>> {
        let mut names = BTreeSet::new();
        for counters in self.workers.iter() {
            let named = counters.named.lock();
            names.extend(
                named
                    .unwrap_or_else(PoisonError::into_inner)
                    .keys()
                    .cloned(),
            );
        }
        names
    }

    /// The sum over all workers of what `read` reads of one API; `None` is that of `[upstream]`.
    pub fn sum_of_upstream(
        &self,
        name: Option<&str>,
        read: impl Fn(&UpstreamCounters) -> u64,
    ) -> u64 {
        self.sum(|counters| read(&counters.of_upstream(name)))
    }

    /// The sum over all workers of what `read` reads.
    pub fn sum(&self, read: impl Fn(&Counters) -> u64) -> u64 {
        self.workers
            .iter()
            .map(|counters| read(counters))
            .fold(0, u64::wrapping_add)
    }

    /// Responses that were not stored, by the token of the reason.
    pub fn not_stored(&self) -> BTreeMap<&'static str, u64> {
        let mut all = BTreeMap::new();
        for counters in &*self.workers {
            let reasons = (counters.not_stored.lock()).unwrap_or_else(PoisonError::into_inner);
            for (reason, count) in &*reasons {
                *all.entry(*reason).or_default() += count;
            }
        }
        all
    }

    /// All routes that the process has known, each with the counters of all workers.
    pub fn routes(&self) -> BTreeMap<RouteLabels, Vec<Arc<RouteCounters>>> {
        let mut routes = BTreeMap::<_, Vec<_>>::new();
        for (labels, counters) in self.workers.iter().flat_map(|worker| worker.routes.all()) {
            routes.entry(labels).or_default().push(counters);
        }
        routes
    }

    /// How long one API has taken to answer; `None` is that of `[upstream]`.
    pub fn upstream_times(&self, name: Option<&str>) -> Distribution {
        let mut times = Distribution::default();
        for counters in &*self.workers {
            times.add(&counters.of_upstream(name).times);
        }
        times
    }
}

/// How long the clients of one route have waited.
pub fn times_of(route: &[Arc<RouteCounters>], wait: Wait) -> Distribution {
    let mut times = Distribution::default();
    for histogram in route.iter().filter_map(|counters| counters.times(wait)) {
        times.add(histogram);
    }
    times
}
