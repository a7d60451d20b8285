//! The gateway as its ops desk sees it: gauges, purge and explain.

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use serde_json::json;

use super::Desk;
use super::answer::{json as document, problem};
use super::page::{Kind, Page};
use super::purge::{explained, purges};
use crate::proxy::{Gateway, Memory, ServerState};
use crate::telemetry::counters::Metrics;
use crate::telemetry::readiness::{Readiness, Stage};

/// Answers for one gateway.
#[derive(Debug)]
pub struct GatewayDesk {
    gateway: Arc<Gateway>,
    readiness: Readiness,
}

impl GatewayDesk {
    pub fn new(gateway: Arc<Gateway>, readiness: Readiness) -> Self {
        Self { gateway, readiness }
    }
}

impl Desk for GatewayDesk {
    fn stage(&self) -> Stage {
        self.readiness.stage()
    }

    fn is_upstream_available(&self) -> bool {
        self.gateway.is_upstream_available()
    }

    fn metrics(&self) -> &Metrics {
        self.gateway.metrics()
    }

    fn gauges(&self, page: &mut Page) {
        write_memory(page, self.gateway.memory());
        write_servers(page, &self.gateway.servers());
    }

    fn purge(&self, request: &Request<Bytes>) -> Response<Bytes> {
        let purges = match purges(request) {
            Ok(purges) => purges,
            Err(why) => return problem(StatusCode::BAD_REQUEST, &why),
        };
        let purged: usize = purges.iter().map(|purge| self.gateway.purge(purge)).sum();
        tracing::info!(purged, ?purges, "purged");
        document(StatusCode::OK, &json!({ "purged": purged }))
    }

    fn explain(&self, request: &Request<Bytes>) -> Response<Bytes> {
        match explained(request) {
            Ok((url, selector)) => document(StatusCode::OK, &self.gateway.explain(&url, &selector)),
            Err(why) => problem(StatusCode::BAD_REQUEST, &why),
        }
    }
}

fn write_memory(page: &mut Page, memory: Memory) {
    let mut gauge = |name, help, value| page.single(name, Kind::Gauge, help, value);
    let help = "Target URIs with something stored.";
    gauge("bookend_stored_resources", help, memory.resources);
    let help = "Bytes of what is stored, heads and keys included.";
    gauge("bookend_stored_bytes", help, memory.stored);
    let help = "Bytes held of the budget: stored, evicted but still read, and in flight.";
    gauge("bookend_memory_used_bytes", help, memory.used);
    let help = "Bytes held of the budget by content on its way.";
    gauge("bookend_memory_in_flight_bytes", help, memory.in_flight);
    let help = "Bytes of content on its way that will not be stored and that several may read; beside the budget.";
    gauge("bookend_memory_windows_bytes", help, memory.passing);
    let held = memory.used.saturating_sub(memory.stored + memory.in_flight);
    let help =
        "Bytes held of the budget by what has left the store and is still being sent, about.";
    gauge("bookend_memory_leaving_bytes", help, held);
    let help = "Bytes of response fields that workers keep ready, about; beside the budget, at most 2 MiB a worker.";
    gauge("bookend_memory_ready_fields_bytes", help, memory.ready);
    let help = "Cache groups (RFC 9875) of what is stored, about.";
    gauge("bookend_groups", help, memory.groups);
    let help = "Members of cache groups; their bytes count as stored.";
    gauge("bookend_group_members", help, memory.group_members);
    let help =
        "Clients whose rate of requests is remembered; beside the budget, some 34 bytes each.";
    gauge("bookend_rate_limit_clients", help, memory.limited_clients);
    let help = "The byte budget.";
    gauge("bookend_memory_limit_bytes", help, memory.limit);
}

fn write_servers(page: &mut Page, servers: &[ServerState]) {
    let mut gauge = |name, help, value: fn(&ServerState) -> usize| {
        let mut family = page.family(name, Kind::Gauge, help);
        for server in servers {
            family.sample(&[("server", &server.url)], value(server) as u64);
        }
    };
    let help = "Whether requests go to the server, other than to try it.";
    gauge("bookend_upstream_up", help, |server| server.fit.into());
    let help = "Requests in flight to the server, those that wait for a connection included.";
    gauge("bookend_upstream_load", help, |server| server.load);
    let help = "Requests that wait for a connection to the server.";
    gauge("bookend_upstream_waiting", help, |server| server.waiting);
}
