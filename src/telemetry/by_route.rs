//! What a worker counts of the requests of one route: by result, status class and safety of the method, and how long they
//! took. The product of these is small, and so is a route's share of memory; the pages of metrics have what was counted at
//! least once.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use super::counter::Counter;
use super::histogram::Histogram;

/// How a request was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// From the store while fresh.
    Hit,
    /// From the store while stale.
    Stale,
    /// From the store after a successful validation.
    Validated,
    /// By the API, since nothing suitable was stored.
    Miss,
    /// By the API, without asking the store.
    Pass,
    /// By the gateway, as its configuration says.
    Direct,
    /// By the gateway with an error of its own, or its client left before.
    Error,
}

impl Outcome {
    pub const ALL: [Self; 7] = [
        Self::Hit,
        Self::Stale,
        Self::Validated,
        Self::Miss,
        Self::Pass,
        Self::Direct,
        Self::Error,
    ];

    /// Its name in metrics and in JSON.
    pub const fn token(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Stale => "stale",
            Self::Validated => "validated",
            Self::Miss => "miss",
            Self::Pass => "pass",
            Self::Direct => "direct",
            Self::Error => "error",
        }
    }

    /// Whether the API was spared the request or its content.
    pub const fn is_answered_by_cache(self) -> bool {
        matches!(self, Self::Hit | Self::Stale | Self::Validated)
    }
}

/// What a client waited for until its response began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// The store alone.
    Hit,
    /// The API, or another request's fill, since the store could not answer.
    Miss,
    /// The API, which the store had no part in.
    Pass,
}

impl Wait {
    pub const ALL: [Self; 3] = [Self::Hit, Self::Miss, Self::Pass];

    /// Its name in metrics and in JSON.
    pub const fn token(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Miss => "miss",
            Self::Pass => "pass",
        }
    }
}

/// 1xx to 5xx.
pub const STATUS_CLASSES: usize = 5;

/// The label of a status class, from 0 for 1xx.
pub const fn class_token(class: usize) -> &'static str {
    ["1xx", "2xx", "3xx", "4xx", "5xx"][class]
}

/// The label of a method's safety (RFC 9110 §9.2.1).
pub const fn method_token(is_safe: bool) -> &'static str {
    match is_safe {
        true => "safe",
        false => "unsafe",
    }
}

const OUTCOMES: usize = Outcome::ALL.len();

/// The counters of one route.
#[derive(Debug)]
pub struct RouteCounters {
    requests: [Counter; OUTCOMES * STATUS_CLASSES * 2],
    /// By [`Wait`]; made when there is something to measure.
    times: [OnceLock<Histogram>; Wait::ALL.len()],
}

impl Default for RouteCounters {
    fn default() -> Self {
        Self {
            requests: std::array::from_fn(|_| Counter::default()),
            times: Default::default(),
        }
    }
}

impl RouteCounters {
    /// Counts a request that was answered with `status`.
    pub fn count(&self, outcome: Outcome, status: u16, is_safe: bool) {
        let class = usize::from(status / 100).clamp(1, STATUS_CLASSES) - 1;
        self.at(outcome, class, is_safe).inc();
    }

    fn at(&self, outcome: Outcome, class: usize, is_safe: bool) -> &Counter {
        let row = outcome as usize * STATUS_CLASSES + class;
        &self.requests[row * 2 + usize::from(is_safe)]
    }

    /// How many requests were answered so, with a status of `class`, from 0 for 1xx.
    pub fn requests(&self, outcome: Outcome, class: usize, is_safe: bool) -> u64 {
        self.at(outcome, class, is_safe).value()
    }

    pub fn record(&self, wait: Wait, time: Duration) {
        self.times[wait as usize]
            .get_or_init(Histogram::default)
            .record(time);
    }

    /// `None` where nothing was measured.
    pub fn times(&self, wait: Wait) -> Option<&Histogram> {
        self.times[wait as usize].get()
    }
}

/// Routes that a worker counts apart: those of later configurations are counted together.
pub const MAX_ROUTES: usize = 512;

/// Which route is counted: by its name, and by that of its API where it has a name. The default route has no name.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct RouteLabels {
    pub route: Box<str>,
    /// `None` for the API of `[upstream]`, and where there is none.
    pub upstream: Option<Box<str>>,
}

/// The label of the default route, which takes what no other does.
const DEFAULT_ROUTE: &str = "(default)";

/// The label of all routes that are more than [`MAX_ROUTES`].
const OTHER_ROUTES: &str = "(others)";

/// The label of requests that were refused before they had a route.
pub const NO_ROUTE: &str = "(none)";

/// The counters of all routes that one worker has known.
#[derive(Debug, Default)]
pub struct ByRoute {
    known: Mutex<BTreeMap<RouteLabels, Arc<RouteCounters>>>,
}

impl ByRoute {
    /// Those of the route `name`, empty for the default route, which leads to `upstream`.
    pub fn of(&self, name: &str, upstream: Option<&str>) -> Arc<RouteCounters> {
        let labels = RouteLabels {
            route: match name {
                "" => DEFAULT_ROUTE.into(),
                name => name.into(),
            },
            upstream: upstream.map(Into::into),
        };
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let labels = match known.len() < MAX_ROUTES || known.contains_key(&labels) {
            true => labels,
            false => RouteLabels {
                route: OTHER_ROUTES.into(),
                upstream: None,
            },
        };
        known.entry(labels).or_default().clone()
    }

    /// Those of requests that were refused before they had a route.
    pub fn of_none(&self) -> Arc<RouteCounters> {
        self.of(NO_ROUTE, None)
    }

    /// All of them, with their labels.
    pub fn all(&self) -> Vec<(RouteLabels, Arc<RouteCounters>)> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let all = known.iter();
        all.map(|(labels, counters)| (labels.clone(), counters.clone()))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_result_status_and_method_has_a_counter_of_its_own() {
        let counters = RouteCounters::default();
        for outcome in Outcome::ALL {
            for status in [100, 200, 304, 499, 503] {
                for is_safe in [false, true] {
                    counters.count(outcome, status, is_safe);
                }
            }
        }
        for outcome in Outcome::ALL {
            for class in 0..STATUS_CLASSES {
                for is_safe in [false, true] {
                    assert_eq!(counters.requests(outcome, class, is_safe), 1);
                }
            }
        }
        // Whatever an API sends.
        counters.count(Outcome::Pass, 999, false);
        counters.count(Outcome::Pass, 0, false);
        assert_eq!(counters.requests(Outcome::Pass, 4, false), 2);
        assert_eq!(counters.requests(Outcome::Pass, 0, false), 2);
    }

    #[test]
    fn routes_keep_their_numbers_and_those_beyond_the_bound_share_one() {
        let routes = ByRoute::default();
        let names: Vec<_> = (0..MAX_ROUTES + 10).map(|at| format!("/{at}")).collect();
        for _ in 0..2 {
            for name in &names {
                routes.of(name, None).count(Outcome::Hit, 200, true);
            }
        }
        let all = routes.all();
        assert_eq!(all.len(), MAX_ROUTES + 1);
        for (labels, counters) in all {
            let expected = match &*labels.route {
                "(others)" => 20,
                _ => 2,
            };
            assert_eq!(
                counters.requests(Outcome::Hit, 1, true),
                expected,
                "{labels:?}"
            );
        }
    }

    #[test]
    fn the_same_route_to_another_api_is_counted_apart() {
        let routes = ByRoute::default();
        routes.of("", None).count(Outcome::Miss, 200, true);
        routes.of("", Some("films")).count(Outcome::Miss, 200, true);
        let labels: Vec<_> = routes.all().into_iter().map(|(labels, _)| labels).collect();
        assert_eq!(labels.len(), 2);
        assert!(labels.iter().all(|labels| &*labels.route == "(default)"));
    }
}
