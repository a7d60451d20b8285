//! The latest seconds: how much each counter has grown in each of them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Monotonic;
use crate::telemetry::by_route::{Outcome, RouteCounters, RouteLabels, STATUS_CLASSES, Wait};
use crate::telemetry::counters::{Metrics, times_of};
use crate::telemetry::histogram::{BUCKETS, Distribution};

/// Seconds that are kept of the whole.
pub(super) const SECONDS: usize = 300;

/// Seconds that are kept of each route, and of times.
pub(super) const DETAILED: usize = 60;

/// Numbers by [`Outcome`].
pub(super) type ByOutcome = [u64; Outcome::ALL.len()];

/// Times that were measured in one second: how many in which bucket.
type Times = Box<[(u8, u32)]>;

/// One second, or somewhat more where the machine was busy.
#[derive(Debug, Default)]
struct Second {
    length: Duration,
    requests: ByOutcome,
    evicted: u64,
    /// Of all APIs.
    upstream: Times,
    /// Those that had requests.
    routes: BTreeMap<Arc<RouteLabels>, RouteSecond>,
}

#[derive(Debug, Default)]
struct RouteSecond {
    requests: ByOutcome,
    server_errors: u64,
    times: [Times; Wait::ALL.len()],
}

/// The counters of one route at the latest reading.
#[derive(Debug, Default)]
struct RouteBefore {
    requests: ByOutcome,
    server_errors: u64,
    times: [Before; Wait::ALL.len()],
}

/// The times that were measured when they were read last; `None` where there were none.
#[derive(Debug, Default)]
struct Before(Option<Box<[u64; BUCKETS]>>);

impl Before {
    /// How much more there is `now`.
    fn replace(&mut self, now: Distribution) -> Times {
        let before = self.0.as_deref().unwrap_or(&[0; BUCKETS]);
        let grown = now.fine.iter().zip(before).enumerate();
        let grown = grown.filter_map(|(bucket, (now, before))| {
            let more = now.saturating_sub(*before);
            (more > 0).then(|| {
                let bucket = u8::try_from(bucket).unwrap_or(u8::MAX);
                (bucket, u32::try_from(more).unwrap_or(u32::MAX))
            })
        });
        let grown = grown.collect();
        self.0 = Some(now.fine);
        grown
    }
}

/// The latest seconds.
#[derive(Debug)]
pub(super) struct Ring {
    read: Monotonic,
    evicted: u64,
    requests: ByOutcome,
    upstream: Before,
    routes: BTreeMap<Arc<RouteLabels>, RouteBefore>,
    /// The latest last.
    seconds: VecDeque<Second>,
}

impl Ring {
    /// One in which nothing has happened yet: what `metrics` has counted until now was before.
    pub fn new(metrics: &Metrics, evicted: u64, now: Monotonic) -> Self {
        let mut ring = Self {
            read: now,
            evicted,
            requests: ByOutcome::default(),
            upstream: Before::default(),
            routes: BTreeMap::new(),
            seconds: VecDeque::new(),
        };
        ring.read(metrics, evicted, now);
        ring.seconds.clear();
        ring
    }

    /// Takes what was counted since it did so last for one second.
    pub fn read(&mut self, metrics: &Metrics, evicted: u64, now: Monotonic) {
        let requests = requests(metrics);
        let second = Second {
            length: now.since(self.read),
            requests: growth(&requests, &self.requests),
            evicted: evicted.saturating_sub(self.evicted),
            upstream: self.upstream.replace(upstream_times(metrics)),
            routes: self.read_routes(metrics),
        };
        (self.read, self.evicted, self.requests) = (now, evicted, requests);
        if self.seconds.len() == SECONDS {
            self.seconds.pop_front();
        }
        self.seconds.push_back(second);
        // Those before are without their details already.
        if let Some(oldest) = self.seconds.len().checked_sub(DETAILED + 1) {
            let oldest = &mut self.seconds[oldest];
            oldest.routes.clear();
            oldest.upstream = Times::default();
        }
    }

    fn read_routes(&mut self, metrics: &Metrics) -> BTreeMap<Arc<RouteLabels>, RouteSecond> {
        let mut seconds = BTreeMap::new();
        for (labels, workers) in metrics.routes() {
            let labels = match self.routes.get_key_value(&labels) {
                Some((known, _)) => known.clone(),
                None => Arc::new(labels),
            };
            let before = self.routes.entry(labels.clone()).or_default();
            let requests = route_requests(&workers);
            let more = growth(&requests, &before.requests);
            if more.iter().all(|count| *count == 0) {
                continue;
            }
            let server_errors = server_errors(&workers);
            let times = Wait::ALL.map(|wait| {
                let times = times_of(&workers, wait);
                match times.count {
                    0 => Times::default(),
                    _ => before.times[wait as usize].replace(times),
                }
            });
            let second = RouteSecond {
                requests: more,
                server_errors: server_errors.saturating_sub(before.server_errors),
                times,
            };
            (before.requests, before.server_errors) = (requests, server_errors);
            seconds.insert(labels, second);
        }
        seconds
    }

    fn latest(&self, seconds: usize) -> impl DoubleEndedIterator<Item = &Second> + Clone {
        let from = self.seconds.len().saturating_sub(seconds);
        self.seconds.range(from..)
    }

    /// Resources that were evicted in the latest `seconds`.
    pub fn evicted(&self, seconds: usize) -> u64 {
        self.latest(seconds).map(|second| second.evicted).sum()
    }

    /// How long the latest `seconds` have really been.
    fn length(&self, seconds: usize) -> f64 {
        let lengths = self.latest(seconds).map(|second| second.length);
        lengths.sum::<Duration>().as_secs_f64()
    }

    /// Per second, on average over the latest `seconds`; 0 where there are none yet.
    pub fn rate(&self, seconds: usize, count: u64) -> f64 {
        let length = self.length(seconds);
        if length > 0.0 {
            count as f64 / length
        } else {
            0.0
        }
    }

    /// Requests in the latest `seconds`.
    pub fn requests(&self, seconds: usize) -> ByOutcome {
        let all = self.latest(seconds).map(|second| &second.requests);
        sum(all)
    }

    /// Of each second that is known, the oldest first.
    pub fn history<'a>(
        &'a self,
        count: impl Fn(&ByOutcome) -> u64 + 'a,
    ) -> impl Iterator<Item = u64> + 'a {
        self.seconds
            .iter()
            .map(move |second| count(&second.requests))
    }

    /// Times that clients of all routes waited in the latest `seconds`, at most [`DETAILED`].
    pub fn times(&self, seconds: usize, wait: Wait) -> Distribution {
        let routes = self
            .latest(seconds)
            .flat_map(|second| second.routes.values());
        distribution(routes.map(|route| &route.times[wait as usize]))
    }

    /// Times that the APIs took in the latest `seconds`, at most [`DETAILED`].
    pub fn upstream_times(&self, seconds: usize) -> Distribution {
        distribution(self.latest(seconds).map(|second| &second.upstream))
    }

    /// The routes that are known.
    pub fn routes(&self) -> impl Iterator<Item = RouteView<'_>> {
        self.routes.iter().map(|(labels, total)| RouteView {
            ring: self,
            labels,
            total: &total.requests,
        })
    }
}

/// One route in the latest seconds.
pub(super) struct RouteView<'a> {
    ring: &'a Ring,
    pub labels: &'a RouteLabels,
    /// Requests since the process was started.
    pub total: &'a ByOutcome,
}

impl RouteView<'_> {
    fn latest(&self, seconds: usize) -> impl Iterator<Item = &RouteSecond> + Clone {
        let latest = self.ring.latest(seconds);
        latest.filter_map(move |second| second.routes.get(self.labels))
    }

    pub fn requests(&self, seconds: usize) -> ByOutcome {
        sum(self.latest(seconds).map(|route| &route.requests))
    }

    /// Responses of status 5xx, whoever made them.
    pub fn server_errors(&self, seconds: usize) -> u64 {
        self.latest(seconds).map(|route| route.server_errors).sum()
    }

    /// What clients waited, whatever for. Not each hit is measured: those that are stand for all.
    pub fn times(&self, seconds: usize) -> Distribution {
        let of = |wait: Wait| {
            let latest = self.latest(seconds);
            distribution(latest.map(move |route| &route.times[wait as usize]))
        };
        let mut all = of(Wait::Hit);
        let requests = self.requests(seconds);
        let hits = requests[Outcome::Hit as usize] + requests[Outcome::Stale as usize];
        let measured = all.count.max(1);
        let weight = (hits as f64 / measured as f64).max(1.0);
        for count in &mut *all.fine {
            *count = (*count as f64 * weight).round() as u64;
        }
        for other in [Wait::Miss, Wait::Pass].map(of) {
            for (sum, count) in all.fine.iter_mut().zip(&*other.fine) {
                *sum += count;
            }
        }
        all.count = all.fine.iter().sum();
        all
    }

    /// Requests in each of the latest [`DETAILED`] seconds that are known, the oldest first.
    pub fn history(&self) -> impl Iterator<Item = u64> {
        self.ring.latest(DETAILED).map(move |second| {
            let route = second.routes.get(self.labels);
            route.map_or(0, |route| route.requests.iter().sum())
        })
    }
}

fn sum<'a>(all: impl Iterator<Item = &'a ByOutcome>) -> ByOutcome {
    let mut total = ByOutcome::default();
    for requests in all {
        for (sum, count) in total.iter_mut().zip(requests) {
            *sum += count;
        }
    }
    total
}

fn distribution<'a>(all: impl Iterator<Item = &'a Times>) -> Distribution {
    let mut distribution = Distribution::default();
    for (bucket, count) in all.flat_map(|times| times.iter()) {
        distribution.add_to_bucket((*bucket).into(), (*count).into());
    }
    distribution
}

fn growth(now: &ByOutcome, before: &ByOutcome) -> ByOutcome {
    std::array::from_fn(|at| now[at].saturating_sub(before[at]))
}

fn requests(metrics: &Metrics) -> ByOutcome {
    Outcome::ALL.map(|outcome| metrics.sum(|counters| counters.of_outcome(outcome).value()))
}

fn route_requests(workers: &[Arc<RouteCounters>]) -> ByOutcome {
    Outcome::ALL.map(|outcome| {
        let classes = 0..STATUS_CLASSES;
        let of = |worker: &Arc<RouteCounters>, class| {
            worker.requests(outcome, class, true) + worker.requests(outcome, class, false)
        };
        let counts = workers.iter();
        counts
            .flat_map(|worker| classes.clone().map(move |class| of(worker, class)))
            .sum()
    })
}

fn server_errors(workers: &[Arc<RouteCounters>]) -> u64 {
    let of = |worker: &Arc<RouteCounters>| -> u64 {
        let counts = Outcome::ALL.into_iter().flat_map(|outcome| {
            [true, false].map(|is_safe| worker.requests(outcome, STATUS_CLASSES - 1, is_safe))
        });
        counts.sum()
    };
    workers.iter().map(of).sum()
}

fn upstream_times(metrics: &Metrics) -> Distribution {
    let mut times = metrics.upstream_times(None);
    for name in metrics.upstream_names() {
        for counters in &*metrics.workers {
            times.add(&counters.of_upstream(Some(&name)).times);
        }
    }
    times
}

#[cfg(test)]
mod tests;
