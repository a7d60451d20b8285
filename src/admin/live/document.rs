//! The object that says what the gateway does now. Its members are explained in `docs/operations.md`, and are the same in
//! `GET /status` and in the events of `GET /live`: members may be added, and none changes its meaning.

use serde_json::{Map, Value, json};

use super::ring::{ByOutcome, DETAILED, Ring};
use crate::admin::operations::Operations;
use crate::admin::process;
use crate::semantics::time::Timestamp;
use crate::telemetry::by_route::{Outcome, Wait};
use crate::telemetry::counters::{Counters, Metrics};
use crate::telemetry::histogram::Distribution;
use crate::telemetry::readiness::Stage;

/// Seconds over which rates are told.
const SHORT: usize = 10;

/// Routes that are told of, those with most requests in the last minute first.
const MAX_ROUTES: usize = 100;

pub(super) fn of(operations: &dyn Operations, ring: &Ring, now: Timestamp) -> Value {
    let metrics = operations.metrics();
    let mut object = json!({
        "at": now.rfc3339().to_string(),
        "version": env!("CARGO_PKG_VERSION"),
        "stage": stage(operations.stage()),
        "unavailable": operations.unavailable_upstreams().iter().map(Option::as_deref).collect::<Vec<_>>(),
        "missing_certificates": operations.missing_certificates(),
        "workers": metrics.workers.len(),
        "requests": requests(metrics, ring),
        "times": times(ring),
        "connections": connections(metrics),
        "fills": {
            "running": metrics.sum(|counters| counters.fills.value()),
            "background": metrics.sum(|counters| counters.background_fills.value()),
        },
        "process": { "resident_bytes": process::resident() },
        "not_stored": metrics.not_stored(),
    });
    let (all, routes) = routes(ring);
    object["known_routes"] = all.into();
    object["routes"] = routes;
    if let (Value::Object(object), Value::Object(more)) = (&mut object, operations.state()) {
        object.extend(more);
    }
    if let Some(evictions) = object.get_mut("evictions") {
        let rate = ring.rate(SHORT, ring.evicted(SHORT));
        evictions["per_second"] = rounded(rate);
    }
    object
}

const fn stage(stage: Stage) -> &'static str {
    match stage {
        Stage::Starting => "starting",
        Stage::Ready => "ready",
        Stage::ShuttingDown => "shutting_down",
        Stage::Draining => "draining",
    }
}

fn requests(metrics: &Metrics, ring: &Ring) -> Value {
    let total = Outcome::ALL.map(|outcome| metrics.sum(|c| c.of_outcome(outcome).value()));
    let rates = ring.requests(SHORT).map(|count| ring.rate(SHORT, count));
    let mut per_second = Map::new();
    per_second.insert("all".to_owned(), rounded(rates.iter().sum()));
    for (outcome, rate) in Outcome::ALL.into_iter().zip(rates) {
        per_second.insert(outcome.token().to_owned(), rounded(rate));
    }
    let now = |read: fn(&Counters) -> u64| metrics.sum(read);
    let mut history = Map::new();
    history.insert("all".to_owned(), ring.history(all).collect());
    history.insert("cached".to_owned(), ring.history(cached).collect());
    let errors = |requests: &ByOutcome| requests[Outcome::Error as usize];
    history.insert("errors".to_owned(), ring.history(errors).collect());
    for outcome in Outcome::ALL {
        let count = ring.history(move |requests| requests[outcome as usize]);
        history.insert(outcome.token().to_owned(), count.collect());
    }
    json!({
        "total": by_outcome(&total),
        "per_second": per_second,
        "hit_ratio": hit_ratio(&ring.requests(DETAILED)),
        "hit_ratio_total": hit_ratio(&total),
        "in_flight": now(|counters| counters.in_flight.value()),
        "waiting": now(|counters| counters.waiting.value()),
        "followers": now(|counters| counters.followers.value()),
        "history": history,
    })
}

fn by_outcome(requests: &ByOutcome) -> Value {
    let mut object = Map::new();
    object.insert("all".to_owned(), all(requests).into());
    for outcome in Outcome::ALL {
        object.insert(
            outcome.token().to_owned(),
            requests[outcome as usize].into(),
        );
    }
    object.into()
}

fn all(requests: &ByOutcome) -> u64 {
    requests.iter().sum()
}

/// Those that the cache answered.
fn cached(requests: &ByOutcome) -> u64 {
    let cached = Outcome::ALL.into_iter();
    let cached = cached.filter(|outcome| outcome.is_answered_by_cache());
    cached.map(|outcome| requests[outcome as usize]).sum()
}

/// The share of requests that the cache answered; null where there were none.
fn hit_ratio(requests: &ByOutcome) -> Value {
    match all(requests) {
        0 => Value::Null,
        all => rounded(cached(requests) as f64 / all as f64),
    }
}

fn times(ring: &Ring) -> Value {
    let mut object = Map::new();
    for wait in Wait::ALL {
        let of = |seconds| percentiles(&ring.times(seconds, wait));
        let windows = json!({ "10s": of(SHORT), "1m": of(DETAILED) });
        object.insert(wait.token().to_owned(), windows);
    }
    let of = |seconds| percentiles(&ring.upstream_times(seconds));
    object.insert(
        "upstream".to_owned(),
        json!({ "10s": of(SHORT), "1m": of(DETAILED) }),
    );
    object.into()
}

fn percentiles(times: &Distribution) -> Value {
    json!({
        "count": times.count,
        "p50_ms": milliseconds(times, 0.5),
        "p95_ms": milliseconds(times, 0.95),
        "p99_ms": milliseconds(times, 0.99),
    })
}

fn milliseconds(times: &Distribution, quantile: f64) -> Value {
    let seconds = times.quantile(quantile);
    seconds.map_or(Value::Null, |seconds| rounded(seconds * 1e3))
}

/// To four decimal places, which is enough for eyes and keeps the object small.
fn rounded(value: f64) -> Value {
    ((value * 1e4).round() / 1e4).into()
}

/// How many routes there are, and those with most requests.
fn routes(ring: &Ring) -> (usize, Value) {
    let mut routes: Vec<_> = ring
        .routes()
        .map(|route| (route.requests(DETAILED), route))
        .filter(|(_, route)| all(route.total) > 0)
        .collect();
    let known = routes.len();
    // Where that is the same, those with most requests of all times; the sort keeps the order of names otherwise.
    routes.sort_by_key(|(recent, route)| std::cmp::Reverse((all(recent), all(route.total))));
    routes.truncate(MAX_ROUTES);
    let routes = routes.iter().map(|(recent, route)| {
        let short = route.requests(SHORT);
        json!({
            "route": route.labels.route,
            "upstream": route.labels.upstream,
            "total": by_outcome(route.total),
            "per_second": rounded(ring.rate(SHORT, all(&short))),
            "server_errors_per_second": rounded(ring.rate(SHORT, route.server_errors(SHORT))),
            "hit_ratio": hit_ratio(recent),
            "p50_ms": milliseconds(&route.times(DETAILED), 0.5),
            "p99_ms": milliseconds(&route.times(DETAILED), 0.99),
            "history": route.history().collect::<Vec<_>>(),
        })
    });
    (known, routes.collect())
}

fn connections(metrics: &Metrics) -> Value {
    let sum = |read: fn(&Counters) -> u64| metrics.sum(read);
    json!({
        "open": sum(|counters| counters.connections.value()),
        "accepted": sum(|counters| counters.connections_accepted.value()),
        "refused": sum(|counters| counters.connections_refused.value()),
        "sent_bytes": sum(|counters| counters.bytes_sent.value()),
    })
}
