//! The workers' counters in Prometheus' form.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::page::{Kind, Page};
use crate::error::ErrorKind;
use crate::telemetry::by_route::{
    Outcome, RouteCounters, RouteLabels, STATUS_CLASSES, Wait, class_token, method_token,
};
use crate::telemetry::counters::{Counters, Metrics, UpstreamCounters, times_of};

type Read = fn(&Counters) -> u64;

/// A metric's name, its help, and where its value is.
type Row = (&'static str, &'static str, Read);

/// A metric of each API: its name, its help, and where its value is.
type UpstreamRow = (&'static str, &'static str, fn(&UpstreamCounters) -> u64);

#[rustfmt::skip]
const COUNTERS: [Row; 17] = [
    ("bookend_requests_collapsed_total", "Requests answered by another request's fill.", |c| c.collapsed.value()),
    ("bookend_not_modified_total", "304 responses from the store.", |c| c.not_modified.value()),
    ("bookend_sent_bytes_total", "Response content sent to clients.", |c| c.bytes_sent.value()),
    ("bookend_client_aborts_total", "Responses that had begun and that their client did not take whole: it left, or took nothing for too long.", |c| c.aborted.value()),
    ("bookend_tls_handshakes_total", "TLS handshakes that clients completed.", |c| c.tls_handshakes.value()),
    ("bookend_tls_resumed_total", "TLS handshakes that resumed a session.", |c| c.tls_resumed.value()),
    ("bookend_tls_failures_total", "TLS handshakes that failed, and clients that did not begin one.", |c| c.tls_failures.value()),
    ("bookend_connections_accepted_total", "Client connections accepted.", |c| c.connections_accepted.value()),
    ("bookend_connections_refused_total", "Client connections closed at once because of max_connections_per_client.", |c| c.connections_refused.value()),
    ("bookend_stored_total", "Responses stored.", |c| c.stored.value()),
    ("bookend_invalidations_total", "Resources removed by unsafe methods.", |c| c.invalidations.value()),
    ("bookend_shed_total", "Requests not sent upstream because too many were waiting.", |c| c.shed.value()),
    ("bookend_rate_limited_total", "Requests refused by a rate limit.", |c| c.limited.value()),
    ("bookend_reset_floods_total", "Client connections closed because they reset more streams than max_resets allows.", |c| c.reset_floods.value()),
    ("bookend_background_fills_total", "Background fills started for stale responses that were served.", |c| c.background_begun.value()),
    ("bookend_background_fills_refused_total", "Background fills not started because max_background_fills were running.", |c| c.background_refused.value()),
    ("bookend_access_log_lost_total", "Access log lines lost because they could not be written in time.", |c| c.access_log_lost.value()),
];

#[rustfmt::skip]
const UPSTREAM_COUNTERS: [UpstreamRow; 6] = [
    ("bookend_upstream_requests_total", "Requests sent upstream, with retries.", |c| c.requests.value()),
    ("bookend_upstream_retries_total", "Retries on another connection or server.", |c| c.retries.value()),
    ("bookend_upstream_errors_total", "Upstream requests that ended in an error.", |c| c.errors.value()),
    ("bookend_upstream_unavailable_total", "Requests not sent upstream because no server was available.", |c| c.unavailable.value()),
    ("bookend_upstream_connects_total", "Upstream connections opened.", |c| c.connects.value()),
    ("bookend_received_bytes_total", "Response content received from upstream.", |c| c.bytes_received.value()),
];

#[rustfmt::skip]
const UPSTREAM_GAUGES: [UpstreamRow; 2] = [
    ("bookend_upstream_connections", "Upstream connections that are open.", |c| c.connections.value()),
    ("bookend_tunnels", "Connections switched to another protocol, such as WebSocket.", |c| c.tunnels.value()),
];

/// The values of the label `deadline` of `bookend_client_timeouts_total`.
const TIMEOUTS: [(&str, Read); 5] = [
    ("head", |c| c.head_timeouts.value()),
    ("content", |c| c.content_timeouts.value()),
    ("write", |c| c.write_timeouts.value()),
    ("idle", |c| c.idle_timeouts.value()),
    ("tunnel", |c| c.tunnel_timeouts.value()),
];

#[rustfmt::skip]
const GAUGES: [Row; 6] = [
    ("bookend_connections", "Client connections that are open.", |c| c.connections.value()),
    ("bookend_requests_in_flight", "Requests that are being answered.", |c| c.in_flight.value()),
    ("bookend_requests_waiting", "Requests that wait for the API; of those that share a fill, the one that leads it.", |c| c.waiting.value()),
    ("bookend_followers", "Requests that wait for another request's fill, or read from it.", |c| c.followers.value()),
    ("bookend_fills", "Fills that are running.", |c| c.fills.value()),
    ("bookend_background_fills", "Background fills that are running.", |c| c.background_fills.value()),
];

/// Adds the sums over all workers.
pub(super) fn write(page: &mut Page, metrics: &Metrics) {
    page.family(
        "bookend_build_info",
        Kind::Gauge,
        "Always 1; the label has the version.",
    )
    .sample(&[("version", env!("CARGO_PKG_VERSION"))], 1);
    let mut requests = page.family(
        "bookend_requests_total",
        Kind::Counter,
        "Requests answered, by what the cache did.",
    );
    for outcome in Outcome::ALL {
        let count = metrics.sum(|counters| counters.of_outcome(outcome).value());
        requests.sample(&[("result", outcome.token())], count);
    }
    for (name, help, read) in COUNTERS {
        page.single(name, Kind::Counter, help, metrics.sum(read));
    }
    write_upstreams(page, metrics);
    let routes = metrics.routes();
    write_route_requests(page, &routes);
    write_waits(page, &routes);
    let help = "Responses that were not stored, by the reason that Cache-Status gives.";
    let mut not_stored = page.family("bookend_not_stored_total", Kind::Counter, help);
    for (reason, count) in metrics.not_stored() {
        not_stored.sample(&[("reason", reason)], count);
    }
    let mut errors = page.family(
        "bookend_errors_total",
        Kind::Counter,
        "Requests answered with an error of the gateway's own, or left by their client before, by the error's token.",
    );
    for kind in ErrorKind::ALL {
        let count = metrics.sum(|counters| counters.errors_by_kind.of(kind).value());
        errors.sample(&[("error", kind.token())], count);
    }
    let mut timeouts = page.family(
        "bookend_client_timeouts_total",
        Kind::Counter,
        "Client connections ended by a deadline.",
    );
    for (deadline, read) in TIMEOUTS {
        timeouts.sample(&[("deadline", deadline)], metrics.sum(read));
    }
    for (name, help, counter) in [
        (
            "bookend_spans_exported_total",
            "Spans that the collector of traces has taken.",
            &metrics.spans.exported,
        ),
        (
            "bookend_spans_dropped_total",
            "Spans dropped because too many waited to be exported.",
            &metrics.spans.dropped,
        ),
        (
            "bookend_spans_failed_total",
            "Spans that the collector of traces has not taken: it refused them, or was not there for too long.",
            &metrics.spans.failed,
        ),
    ] {
        page.single(name, Kind::Counter, help, counter.load(Ordering::Relaxed));
    }
    for (name, help, read) in GAUGES {
        page.single(name, Kind::Gauge, help, metrics.sum(read));
    }
    page.single(
        "bookend_workers",
        Kind::Gauge,
        "Worker threads.",
        metrics.workers.len() as u64,
    );
}

/// What concerns one API: of that of `[upstream]` without a label, as it was before there could be others, of those of
/// `[upstreams.NAME]` with the label `upstream`.
fn write_upstreams(page: &mut Page, metrics: &Metrics) {
    let names = metrics.upstream_names();
    let counters = UPSTREAM_COUNTERS.map(|row| (Kind::Counter, row));
    let gauges = UPSTREAM_GAUGES.map(|row| (Kind::Gauge, row));
    let help =
        "From a request that is handed to a connection to the API, to the head of its response.";
    let mut family = page.family("bookend_upstream_duration_seconds", Kind::Histogram, help);
    family.times(&[], metrics.upstream_times(None));
    for upstream in &names {
        let times = metrics.upstream_times(Some(upstream));
        family.times(&[("upstream", upstream)], times);
    }
    for (kind, (name, help, read)) in counters.into_iter().chain(gauges) {
        let mut family = page.family(name, kind, help);
        family.sample(&[], metrics.sum_of_upstream(None, read));
        for upstream in &names {
            let value = metrics.sum_of_upstream(Some(upstream), read);
            family.sample(&[("upstream", upstream)], value);
        }
    }
}

type Routes = BTreeMap<RouteLabels, Vec<Arc<RouteCounters>>>;

/// The labels of a route, with others behind them. As elsewhere, what concerns `[upstream]` has no label `upstream`.
fn labels_of<'a>(route: &'a RouteLabels, others: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let upstream = route.upstream.as_deref().map(|name| ("upstream", name));
    let labels = [("route", &*route.route)].into_iter().chain(upstream);
    labels.chain(others.iter().copied()).collect()
}

/// Only the combinations that have been counted: of the seventy for each route, most never occur.
fn write_route_requests(page: &mut Page, routes: &Routes) {
    let help = "Requests by route, by how they were answered, by the class of their status and by whether their method is safe.";
    let mut family = page.family("bookend_route_requests_total", Kind::Counter, help);
    for (route, workers) in routes {
        for outcome in Outcome::ALL {
            for (class, is_safe) in (0..STATUS_CLASSES).flat_map(|at| [(at, true), (at, false)]) {
                let counts = workers.iter();
                let counts = counts.map(|worker| worker.requests(outcome, class, is_safe));
                let labels = [
                    ("result", outcome.token()),
                    ("status", class_token(class)),
                    ("method", method_token(is_safe)),
                ];
                let count: u64 = counts.sum();
                if count > 0 {
                    family.sample(&labels_of(route, &labels), count);
                }
            }
        }
    }
}

fn write_waits(page: &mut Page, routes: &Routes) {
    let help = "From the head of a request to that of its response: of hits, of which each worker measures one a millisecond \
                at most; of misses and validations; and of what was passed.";
    let mut family = page.family("bookend_request_duration_seconds", Kind::Histogram, help);
    for (route, workers) in routes {
        for wait in Wait::ALL {
            let times = times_of(workers, wait);
            if times.count > 0 {
                family.times(&labels_of(route, &[("result", wait.token())]), times);
            }
        }
    }
}
