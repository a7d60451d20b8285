//! The admin API's endpoints that ask the gateway: gauges, purge, explain and reload.

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::answer::{json as document, problem, problem_with, with_type};
use super::content::Stream;
use super::disk;
use super::explain::explained;
use super::fleet;
use super::operations::{Caller, NO_SOURCE, Operations, Reply};
use super::page::{Kind, Page};
use super::purge::{PurgeRequest, named, purge};
use super::purges::{Listing, describe, describe_preview, listing};
use super::reload::{NotReloaded, Reloaded, Reloader};
use super::state;
use super::stored;
use super::stream::Lines;
use super::tail;
use crate::config::{self, Mistake};
use crate::ledger::invalidation::{Applied, Kind as PurgeKind, Strength};
use crate::ledger::log::{MAX_FOLLOWERS, PurgeLog};
use crate::proxy::{Acknowledgement, BOOKEND_RECEIPT, Gateway, Memory, ServerState};
use crate::server::{InUse, TlsListeners};
use crate::telemetry::access::{MAX_READERS, Reader};
use crate::telemetry::counters::Metrics;
use crate::telemetry::readiness::{Readiness, Stage};

/// The operations of one gateway.
#[derive(Debug)]
pub struct GatewayOperations {
    gateway: Arc<Gateway>,
    readiness: Readiness,
    tls: TlsListeners,
    reloader: Arc<Reloader>,
    /// In seconds since 1970.
    started: u64,
}

impl GatewayOperations {
    pub fn new(
        gateway: Arc<Gateway>,
        readiness: Readiness,
        tls: TlsListeners,
        reloader: Arc<Reloader>,
    ) -> Self {
        let started = gateway.clock().now().wall.as_secs();
        Self {
            gateway,
            readiness,
            tls,
            reloader,
            started,
        }
    }
}

impl Operations for GatewayOperations {
    fn stage(&self) -> Stage {
        self.readiness.stage()
    }

    fn settings(&self) -> Option<config::Admin> {
        self.gateway.settings().config.admin.clone()
    }

    fn unavailable_upstreams(&self) -> Vec<Option<Box<str>>> {
        self.gateway.unavailable_upstreams()
    }

    fn missing_certificates(&self) -> Vec<Box<str>> {
        self.tls.missing()
    }

    fn metrics(&self) -> &Metrics {
        self.gateway.metrics()
    }

    fn gauges(&self, page: &mut Page) {
        write_memory(page, self.gateway.memory());
        disk::write(page, self.gateway.disk().as_ref());
        let status = self.gateway.fleet_status();
        fleet::write(page, status.as_ref(), self.gateway.shared_counts());
        write_servers(page, &self.gateway.servers());
        let help = "When the certificate expires, in seconds since 1970.";
        let mut expiries = page.family("bookend_certificate_expiry_seconds", Kind::Gauge, help);
        for InUse {
            file, not_after, ..
        } in &self.tls.certificates()
        {
            expiries.sample(&[("file", file)], u64::try_from(*not_after).unwrap_or(0));
        }
        let [succeeded, failed] = self.tls.issued().counts();
        let help = "Attempts to have a certificate issued or renewed over ACME.";
        page.family("bookend_acme_issues_total", Kind::Counter, help)
            .sample(&[("result", "ok")], succeeded)
            .sample(&[("result", "failed")], failed);
        let help = "Names for which an authority has not issued a certificate yet.";
        let missing = self.tls.missing().len() as u64;
        page.single("bookend_acme_missing", Kind::Gauge, help, missing);
        write_purges(page, self.gateway.purges());
        let reloads = self.reloader.reloads();
        let help = "Reloads of the configuration, by SIGHUP or POST /reload.";
        page.family("bookend_config_reloads_total", Kind::Counter, help)
            .sample(&[("result", "ok")], reloads.succeeded)
            .sample(&[("result", "failed")], reloads.failed);
        let help = "When the configuration in force was read, in seconds since 1970.";
        let loaded = reloads.loaded;
        page.single("bookend_config_loaded_seconds", Kind::Gauge, help, loaded);
        let help = "When the gateway was started, in seconds since 1970.";
        page.single(
            "process_start_time_seconds",
            Kind::Gauge,
            help,
            self.started,
        );
    }

    fn evicted(&self) -> u64 {
        self.gateway.store().evicted()
    }

    fn state(&self) -> Value {
        let (memory, servers) = (self.gateway.memory(), self.gateway.servers());
        let (disk, fleet) = (self.gateway.disk(), self.gateway.fleet_status());
        state::describe(
            memory,
            disk.as_ref(),
            (fleet.as_ref(), self.gateway.shared_counts()),
            &servers,
            self.reloader.reloads(),
            self.started,
        )
    }

    fn purge(&self, request: &Request<Bytes>) -> Reply {
        let route = |name: &str| self.gateway.route_matcher(name);
        let read = named(request).and_then(|named| Ok((purge(&named, route)?, named)));
        let (purge, named) = match read {
            Ok(read) => read,
            Err(why) => return Reply::Now(problem(StatusCode::BAD_REQUEST, &why)),
        };
        let PurgeRequest {
            invalidation,
            is_dry_run,
            reason,
            wait,
        } = purge;
        if is_dry_run {
            let outcome = describe_preview(&self.gateway.preview_purge(&invalidation));
            return Reply::Now(document(StatusCode::OK, &outcome));
        }
        let caller = request.extensions().get();
        let actor = match caller {
            Some(Caller(Some(addr))) => addr.ip().to_string(),
            Some(Caller(None)) => "the Unix socket".to_owned(),
            None => "the gateway".to_owned(),
        };
        let invalidated = (self.gateway).purge_logged(&invalidation, actor, reason);
        let applied = invalidated.applied;
        let named: Vec<_> = named
            .iter()
            .map(|(what, value)| format!("{what}={value}"))
            .collect();
        tracing::info!(
            resources = applied.resources,
            bytes = applied.bytes,
            sequence = applied.sequence,
            named = named.join(", "),
            "purged"
        );
        let (gateway, strength) = (self.gateway.clone(), invalidation.strength);
        match gateway.acknowledged_at_once(&invalidated) {
            Some(at_once) => Reply::Now(purged(&gateway, applied, strength, &at_once)),
            None => Reply::Later(Box::pin(async move {
                let acknowledgement = gateway.acknowledged(invalidated, wait).await;
                purged(&gateway, applied, strength, &acknowledgement)
            })),
        }
    }

    fn purges(&self, request: &Request<Bytes>, open: watch::Receiver<()>) -> Response<Bytes> {
        let Listing { most, is_followed } = match listing(request) {
            Ok(listing) => listing,
            Err(why) => return problem(StatusCode::BAD_REQUEST, &why),
        };
        let purges = self.gateway.purges();
        if !is_followed {
            let purges: Vec<_> = purges.latest(most).iter().map(describe).collect();
            return document(StatusCode::OK, &json!({ "purges": purges }));
        }
        let Some(follower) = purges.follow(most) else {
            let detail = format!("{MAX_FOLLOWERS} clients follow the purges already");
            return problem(StatusCode::SERVICE_UNAVAILABLE, &detail);
        };
        let mut response = with_type(StatusCode::OK, "application/x-ndjson", Bytes::new());
        let stream = Stream::Purges(Lines::new(follower, open));
        response.extensions_mut().insert(stream);
        response
    }

    fn explain(&self, request: &Request<Bytes>) -> Response<Bytes> {
        match explained(request) {
            Ok(question) => document(StatusCode::OK, &self.gateway.explain(&question)),
            Err(why) => problem(StatusCode::BAD_REQUEST, &why),
        }
    }

    fn stored(&self, request: &Request<Bytes>) -> Response<Bytes> {
        match stored::listing(request) {
            Ok(listing) => document(StatusCode::OK, &self.gateway.stored(&listing)),
            Err(why) => problem(StatusCode::BAD_REQUEST, &why),
        }
    }

    fn top(&self, request: &Request<Bytes>) -> Response<Bytes> {
        match stored::top(request) {
            Ok((by, most)) => document(StatusCode::OK, &self.gateway.top(by, most)),
            Err(why) => problem(StatusCode::BAD_REQUEST, &why),
        }
    }

    fn tail(&self, request: &Request<Bytes>) -> Result<Reader, Box<Response<Bytes>>> {
        let filter = tail::filter(request, &self.gateway.settings().config.routes);
        let filter = filter.map_err(|why| Box::new(problem(StatusCode::BAD_REQUEST, &why)))?;
        self.gateway.read_log(filter).ok_or_else(|| {
            let detail = format!("{MAX_READERS} clients read the access log live already");
            Box::new(problem(StatusCode::SERVICE_UNAVAILABLE, &detail))
        })
    }

    fn configuration(&self) -> Response<Bytes> {
        match self.reloader.configuration() {
            Some(Ok(configuration)) => document(StatusCode::OK, &configuration),
            Some(Err(why)) => problem(StatusCode::INTERNAL_SERVER_ERROR, &why),
            None => problem(StatusCode::NOT_IMPLEMENTED, NO_SOURCE),
        }
    }

    fn reload(&self) -> Response<Bytes> {
        const KEPT: &str = "the configuration before stays in force";
        let unusable = StatusCode::UNPROCESSABLE_ENTITY;
        match self.reloader.reload() {
            Ok(Reloaded { warnings, bound }) => {
                let warnings: Vec<_> = warnings.iter().map(describe_mistake).collect();
                let outcome =
                    json!({ "reloaded": true, "warnings": warnings, "needs_restart": bound });
                document(StatusCode::OK, &outcome)
            }
            Err(NotReloaded::NoSource) => problem(StatusCode::NOT_IMPLEMENTED, NO_SOURCE),
            Err(NotReloaded::Mistakes(mistakes)) => {
                let detail = match mistakes.len() {
                    1 => format!("the configuration has a mistake: {KEPT}"),
                    n => format!("the configuration has {n} mistakes: {KEPT}"),
                };
                let mistakes = mistakes.iter().map(describe_mistake).collect();
                problem_with(unusable, &detail, Some(("mistakes", mistakes)))
            }
            Err(NotReloaded::Unusable(fault)) => problem(unusable, &format!("{fault}: {KEPT}")),
        }
    }
}

/// The answer to a purge that holds here, and has come so far in the fleet.
fn purged(
    gateway: &Gateway,
    applied: Applied,
    strength: Strength,
    acknowledgement: &Acknowledgement,
) -> Response<Bytes> {
    let mut outcome = json!({
        "purged": applied.resources,
        "bytes": applied.bytes,
        "sequence": applied.sequence,
    });
    let status = fleet::add_to(
        &mut outcome,
        acknowledgement,
        gateway.fleet_status().as_ref(),
    );
    let mut response = document(status, &outcome);
    // A soft purge gives no receipt: stale responses that are older may still be used.
    if strength == Strength::Hard {
        let receipt = gateway.receipt(applied.sequence, acknowledgement);
        response.headers_mut().insert(BOOKEND_RECEIPT, receipt);
    }
    response
}

/// A mistake or a warning with its place, and as `bookend check` prints it.
fn describe_mistake(mistake: &Mistake) -> Value {
    let place = mistake.place.as_ref();
    json!({
        "file": mistake.file.as_deref(),
        "line": place.map(|place| place.line),
        "column": place.map(|place| place.column),
        "message": mistake.message,
        "text": mistake.to_string(),
    })
}

fn write_purges(page: &mut Page, purges: &PurgeLog) {
    let help = "Purges that were asked for, by what they select and their strength.";
    let mut family = page.family("bookend_purges_total", Kind::Counter, help);
    for kind in PurgeKind::ALL {
        for (strength, token) in [(Strength::Hard, "hard"), (Strength::Soft, "soft")] {
            let labels = [("matcher", kind.token()), ("strength", token)];
            family.sample(&labels, purges.count(kind, strength));
        }
    }
}

fn write_memory(page: &mut Page, memory: Memory) {
    let mut gauge = |name, help, value| page.single(name, Kind::Gauge, help, value);
    let help = "Resources (target URIs) of which at least one response is stored.";
    gauge("bookend_stored_resources", help, memory.resources);
    let help = "Stored responses: several of a resource where they are variants of it.";
    gauge("bookend_stored_variants", help, memory.variants);
    let help = "Bytes of stored responses, with heads and keys.";
    gauge("bookend_stored_bytes", help, memory.stored);
    let help = "Bytes used of the budget: stored, evicted but still being sent, and in flight.";
    gauge("bookend_memory_used_bytes", help, memory.used);
    let help = "Bytes used of the budget by content that is being fetched.";
    gauge("bookend_memory_in_flight_bytes", help, memory.in_flight);
    let help = "Bytes of content that passes through and is not stored; beside the budget.";
    gauge("bookend_memory_windows_bytes", help, memory.passing);
    let held = memory.used.saturating_sub(memory.stored + memory.in_flight);
    let help = "Bytes used of the budget by evicted responses that are still being sent, about.";
    gauge("bookend_memory_leaving_bytes", help, held);
    let help =
        "Bytes of prepared response fields, about; beside the budget, at most 2 MiB per worker.";
    gauge("bookend_memory_ready_fields_bytes", help, memory.ready);
    let help = "Cache groups (RFC 9875) of stored responses, about.";
    gauge("bookend_groups", help, memory.groups);
    let help = "Memberships of stored responses in cache groups; their bytes count as stored.";
    gauge("bookend_group_members", help, memory.group_members);
    let help = "Clients whose request rate is remembered; beside the budget, some 34 bytes each.";
    gauge("bookend_rate_limit_clients", help, memory.limited_clients);
    let help = "The byte budget (`memory` in [cache]).";
    gauge("bookend_memory_limit_bytes", help, memory.limit);
    let help = "Resources with stored responses that had to leave: since the byte budget has no room for more.";
    page.family("bookend_evictions_total", Kind::Counter, help)
        .sample(&[("cause", "memory")], memory.evicted);
}

fn write_servers(page: &mut Page, servers: &[ServerState]) {
    let mut gauge = |name, help, value: fn(&ServerState) -> usize| {
        let mut family = page.family(name, Kind::Gauge, help);
        for server in servers {
            let value = value(server) as u64;
            match &server.upstream {
                None => family.sample(&[("server", &server.url)], value),
                Some(upstream) => {
                    family.sample(&[("upstream", upstream), ("server", &server.url)], value)
                }
            };
        }
    };
    let help = "1 when the server gets requests, 0 when it is ejected, unhealthy, or only tried.";
    gauge("bookend_upstream_up", help, |server| server.fit.into());
    let help = "Requests in flight to the server, with those that wait for a connection.";
    gauge("bookend_upstream_load", help, |server| server.load);
    let help = "Requests waiting for a connection to the server.";
    gauge("bookend_upstream_waiting", help, |server| server.waiting);
    let help = "Requests to the server that failed, retries included, by the error's token.";
    let mut family = page.family("bookend_upstream_server_errors_total", Kind::Counter, help);
    for server in servers {
        let upstream = server.upstream.as_deref().map(|name| ("upstream", name));
        for (kind, count) in &server.failures {
            let labels = upstream.into_iter();
            let labels = labels.chain([("server", &*server.url), ("error", kind.token())]);
            family.sample(&labels.collect::<Vec<_>>(), *count);
        }
    }
}
