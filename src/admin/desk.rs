//! The gateway as its ops desk sees it: gauges, purge and explain.

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use serde_json::{Value, json};

use super::answer::{json as document, problem};
use super::page::{Kind, Page};
use super::{Desk, query};
use crate::proxy::{Gateway, Memory, ServerState};
use crate::telemetry::counters::Metrics;
use crate::telemetry::readiness::{Readiness, Stage};

/// Answers for one gateway.
#[derive(Debug)]
pub struct GatewayDesk {
    gateway: Arc<Gateway>,
    readiness: Readiness,
}

const PURGE_USAGE: &str = "say what: POST /purge?url=/books/123, ?url=http://host/books/123, ?prefix=/books, \
     ?group=NAME or ?all=true; or the same as a JSON object";

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
        let wishes = match wishes(request) {
            Ok(wishes) if !wishes.is_empty() => wishes,
            Ok(_) => return problem(StatusCode::BAD_REQUEST, PURGE_USAGE),
            Err(why) => return problem(StatusCode::BAD_REQUEST, &why),
        };
        let mut purged = 0;
        for (what, value) in &wishes {
            match self.gateway.purge(what, value) {
                Some(count) => purged += count,
                None => {
                    return problem(
                        StatusCode::BAD_REQUEST,
                        &format!("cannot purge by {what}={value}; {PURGE_USAGE}"),
                    );
                }
            }
        }
        tracing::info!(purged, ?wishes, "purged");
        document(StatusCode::OK, &json!({ "purged": purged }))
    }

    fn explain(&self, request: &Request<Bytes>) -> Response<Bytes> {
        let url =
            query::pairs(request.uri().query().unwrap_or_default()).find(|(name, _)| name == "url");
        match url {
            Some((_, url)) if !url.is_empty() => {
                document(StatusCode::OK, &self.gateway.explain(&url))
            }
            _ => problem(
                StatusCode::BAD_REQUEST,
                "say which: GET /explain?url=/books/123 or ?url=http://host/books/123",
            ),
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
    let help = "Cache groups (RFC 9875) of what is stored.";
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

/// What is to be purged, from the query or from a JSON object of strings.
fn wishes(request: &Request<Bytes>) -> Result<Vec<(String, String)>, String> {
    let mut wishes: Vec<_> = query::pairs(request.uri().query().unwrap_or_default()).collect();
    if request.body().is_empty() {
        return Ok(wishes);
    }
    let content: serde_json::Map<String, Value> = serde_json::from_slice(request.body())
        .map_err(|error| format!("the content is no JSON object: {error}"))?;
    for (what, value) in content {
        match value {
            Value::String(value) => wishes.push((what, value)),
            Value::Bool(value) => wishes.push((what, value.to_string())),
            Value::Array(values) => {
                for value in values {
                    let value = value
                        .as_str()
                        .ok_or_else(|| format!("{what} has a member that is no string"))?;
                    wishes.push((what.clone(), value.to_owned()));
                }
            }
            _ => return Err(format!("{what} is neither a string nor a list of strings")),
        }
    }
    Ok(wishes)
}
