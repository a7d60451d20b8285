//! The workers' counters as metrics.

use super::page::{Kind, Page};
use crate::error::ErrorKind;
use crate::telemetry::counters::{Counters, Metrics};

type Read = fn(&Counters) -> u64;

/// A metric's name, its help, and where its value is.
type Row = (&'static str, &'static str, Read);

/// The values of the label `result` of `bookend_requests_total`.
const RESULTS: [(&str, Read); 6] = [
    ("hit", |c| c.hits.value()),
    ("stale", |c| c.stale_hits.value()),
    ("validated", |c| c.validated.value()),
    ("miss", |c| c.misses.value()),
    ("pass", |c| c.passes.value()),
    ("error", |c| c.errors.value()),
];

#[rustfmt::skip]
const COUNTERS: [Row; 18] = [
    ("bookend_requests_collapsed_total", "Requests that another request's fill answered.", |c| c.collapsed.value()),
    ("bookend_not_modified_total", "Answers 304 given from the store.", |c| c.not_modified.value()),
    ("bookend_upstream_requests_total", "Requests sent upstream, retries included.", |c| c.upstream_requests.value()),
    ("bookend_upstream_retries_total", "Retries on another connection or server.", |c| c.upstream_retries.value()),
    ("bookend_upstream_errors_total", "Upstream requests that ended in an error.", |c| c.upstream_errors.value()),
    ("bookend_upstream_unavailable_total", "Requests that were not sent upstream because all servers were out.", |c| c.unavailable.value()),
    ("bookend_upstream_connects_total", "Upstream connections opened.", |c| c.upstream_connects.value()),
    ("bookend_sent_bytes_total", "Response content sent to clients.", |c| c.bytes_sent.value()),
    ("bookend_received_bytes_total", "Response content received from upstream.", |c| c.bytes_received.value()),
    ("bookend_connections_accepted_total", "Client connections accepted.", |c| c.connections_accepted.value()),
    ("bookend_stored_total", "Responses stored.", |c| c.stored.value()),
    ("bookend_invalidations_total", "Resources removed by unsafe methods.", |c| c.invalidations.value()),
    ("bookend_shed_total", "Requests that did not go upstream because too many were waiting for it.", |c| c.shed.value()),
    ("bookend_rate_limited_total", "Requests refused because they were beyond a rate limit.", |c| c.limited.value()),
    ("bookend_reset_floods_total", "Client connections closed since more streams were reset than may be.", |c| c.reset_floods.value()),
    ("bookend_background_fills_total", "Fills begun behind stale responses that were served meanwhile.", |c| c.background_begun.value()),
    ("bookend_background_fills_refused_total", "Fills not begun behind stale responses, since as many ran as may.", |c| c.background_refused.value()),
    ("bookend_access_log_lost_total", "Access log lines lost.", |c| c.access_log_lost.value()),
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
const GAUGES: [Row; 8] = [
    ("bookend_connections", "Client connections open now.", |c| c.connections.value()),
    ("bookend_requests_in_flight", "Requests being answered now.", |c| c.in_flight.value()),
    ("bookend_requests_waiting", "Requests that wait for the API now, themselves or as the first of several.", |c| c.waiting.value()),
    ("bookend_followers", "Requests that wait for, or read from, another request's fill now.", |c| c.followers.value()),
    ("bookend_fills", "Fills running now.", |c| c.fills.value()),
    ("bookend_background_fills", "Fills running now behind stale responses.", |c| c.background_fills.value()),
    ("bookend_upstream_connections", "Upstream connections open now.", |c| c.upstream_connections.value()),
    ("bookend_tunnels", "Connections that speak another protocol by now, such as WebSocket.", |c| c.tunnels.value()),
];

/// Adds the sums over all workers.
pub(super) fn write(page: &mut Page, metrics: &Metrics) {
    page.family(
        "bookend_build_info",
        Kind::Gauge,
        "Always 1; the labels tell what runs.",
    )
    .sample(&[("version", env!("CARGO_PKG_VERSION"))], 1);
    let mut requests = page.family(
        "bookend_requests_total",
        Kind::Counter,
        "Requests answered, by what the cache did.",
    );
    for (result, read) in RESULTS {
        requests.sample(&[("result", result)], metrics.sum(read));
    }
    for (name, help, read) in COUNTERS {
        page.single(name, Kind::Counter, help, metrics.sum(read));
    }
    let mut errors = page.family(
        "bookend_errors_total",
        Kind::Counter,
        "Requests answered with an error of the gateway's own, or left by their client before, by its name in the access log and in the body.",
    );
    for kind in ErrorKind::ALL {
        let count = metrics.sum(|counters| counters.errors_by_kind.of(kind).value());
        errors.sample(&[("error", kind.token())], count);
    }
    let mut timeouts = page.family(
        "bookend_client_timeouts_total",
        Kind::Counter,
        "Client connections ended, by the deadline that had passed.",
    );
    for (deadline, read) in TIMEOUTS {
        timeouts.sample(&[("deadline", deadline)], metrics.sum(read));
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
