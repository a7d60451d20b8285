//! State that all workers share: the store, the settings in force, the clock and the counters.

use std::borrow::Cow;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use http::{HeaderValue, Version};
use tokio::sync::watch;

use crate::cache::store::{Count, Store};
use crate::clock::Clock;
use crate::config::{Config, Protocol, RoutePolicy, ServerUrl, Upstream};
use crate::error::Error;
use crate::ledger::invalidation::{Invalidation, Matcher};
use crate::ledger::log::PurgeLog;
use crate::proxy::fleet::{Membership, carry_out};
use crate::proxy::gate::verifier::Verifier;
use crate::proxy::limit::{Limits, Shares};
use crate::proxy::receipts::Receipts;
use crate::proxy::tiers::{self, Tiers};
use crate::semantics::authority::{Scheme, normal_authority};
use crate::semantics::cache_status::InstanceName;
use crate::semantics::list::is_tchar;
use crate::semantics::reference::ApiServer;
use crate::telemetry::access::{AccessLog, Filter, Reader};
use crate::telemetry::counters::Metrics;
use crate::telemetry::traces::{Instance, Traces};
use crate::upstream::UpstreamShared;

/// The gateway, shared by its workers.
#[derive(Debug)]
pub struct Gateway {
    settings: ArcSwap<Settings>,
    /// The version of `settings`: what a worker compares before each request.
    version: AtomicU64,
    /// Tells idle workers of each new version.
    pub(super) reloads: watch::Sender<u64>,
    pub(super) clock: Clock,
    pub(super) store: Arc<Store>,
    pub(super) tiers: Arc<Tiers>,
    pub(super) membership: Membership,
    pub(super) metrics: Metrics,
    pub(super) access: AccessLog,
    /// Requests that wait for the API now, whether or not their client has stayed.
    pub(super) waiting: Arc<Shares>,
    /// Fills that go on for the store alone, since all who asked have left.
    pub(super) unattended: Arc<Shares>,
    /// Requests that wait for the API, of clients that have closed their side.
    pub(super) half_closed: Arc<Shares>,
    /// Of passwords that clients send.
    pub(super) verifier: Arc<Verifier>,
    pub(super) receipts: Receipts,
    /// The latest purges.
    pub(super) purges: Arc<PurgeLog>,
    /// Another process serves the same clients: see [`Gateway::begin_handover`].
    handing_over: AtomicBool,
    /// Tells this process from others of the same name, for the detection of loops.
    process: u64,
}

/// A configuration and what was made of it. An exchange or a fill keeps the one it began with.
#[derive(Debug)]
pub struct Settings {
    pub version: u64,
    pub config: Config,
    /// What all workers share about each API, in the order of the configuration.
    pub upstreams: Arc<[Arc<UpstreamShared>]>,
    pub identity: Identity,
    /// The APIs' servers: a Location that names one of them means this gateway.
    pub api_servers: Vec<ApiServer>,
    /// Exchanges that last, of each API.
    pub(super) long_lived: Box<[Arc<Shares>]>,
    /// `None` where the rate of requests has no limit.
    pub limits: Option<Limits>,
    /// `None` where no request is recorded.
    pub traces: Option<Traces>,
}

/// How this instance names itself to others.
#[derive(Debug)]
pub struct Identity {
    /// In Cache-Status and Proxy-Status.
    pub name: InstanceName,
    via_http10: HeaderValue,
    via_http11: HeaderValue,
    via_http2: HeaderValue,
    /// Our member of CDN-Loop (RFC 8586).
    pub cdn_loop: HeaderValue,
    /// The version in which each API is spoken to.
    towards_apis: Box<[Version]>,
}

impl Gateway {
    /// A gateway for `workers` workers, with an empty store.
    ///
    /// # Errors
    /// When the upstream's certificates cannot be used, or the access log cannot be opened.
    pub fn new(mut config: Config, workers: usize, clock: Clock) -> Result<Arc<Self>, Error> {
        let process = RandomState::new().hash_one("bookend");
        let memory = config.cache.memory - tiers::memory(&config).min(config.cache.memory / 2);
        let store = Store::new(memory, config.cache.max_variants);
        config.routes.limit_bodies(store.largest_body());
        let access = AccessLog::open(&config.log).map_err(unopened)?;
        let limits = Limits::new(&config, &clock, None);
        let metrics = Metrics::new(workers);
        let traces = traces_of(&config, process, (&metrics, &clock), None)?;
        let settings = Settings::new(config, 0, process, limits, traces, None)?;
        if settings.config.routes.has_longer_keys() {
            store.expect_longer_keys();
        }
        let membership = Membership::new(
            settings.config.valkey.is_some(),
            tiers::matchers(&settings.config),
        );
        Ok(Arc::new(Self {
            settings: ArcSwap::from_pointee(settings),
            version: AtomicU64::new(0),
            reloads: watch::Sender::new(0),
            clock,
            store: Arc::new(store),
            tiers: Arc::default(),
            membership,
            metrics,
            access,
            waiting: Arc::default(),
            unattended: Arc::default(),
            half_closed: Arc::default(),
            verifier: Arc::default(),
            receipts: Receipts::default(),
            purges: Arc::default(),
            handing_over: AtomicBool::new(false),
            process,
        }))
    }

    /// Puts `config` in force for the requests to come. What is bound at the start stays: listeners, workers, the
    /// size of the store.
    ///
    /// # Errors
    /// When the upstream's certificates cannot be used, or the access log cannot be opened; the old settings stay in force.
    pub fn reload(&self, mut config: Config) -> Result<(), Error> {
        // A new value of `memory` takes effect at the next start.
        config.routes.limit_bodies(self.store.largest_body());
        let version = self.version.load(Ordering::Relaxed) + 1;
        let before = self.settings();
        let limits = Limits::new(&config, &self.clock, before.limits.as_ref());
        let access = self.access.prepare(&config.log).map_err(unopened)?;
        let known = before.traces.as_ref();
        let traces = traces_of(&config, self.process, (&self.metrics, &self.clock), known)?;
        let settings = Settings::new(config, version, self.process, limits, traces, Some(&before))?;
        if settings.config.routes.has_longer_keys() {
            self.store.expect_longer_keys();
        }
        if let Some(access) = access {
            self.access.replace(access);
        }
        self.settings.store(Arc::new(settings));
        self.version.store(version, Ordering::Release);
        self.reloads.send_replace(version);
        Ok(())
    }

    pub fn settings(&self) -> Arc<Settings> {
        self.settings.load_full()
    }

    pub(super) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// Opens the access log's file anew, after its rotation.
    pub fn reopen_log(&self) {
        self.access.reopen();
    }

    /// One who reads the access log live; `None` where there are as many as may be.
    pub fn read_log(&self, filter: Filter) -> Option<Reader> {
        self.access.read(filter)
    }

    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    pub fn store(&self) -> &Store {
        &self.store
    }

    /// From now on another process serves the same clients beside this one. A write or a purge that one of them acknowledges
    /// is not known to the other, so that neither answers from its store, nor stores anything to be found: all requests
    /// are passed.
    pub fn begin_handover(&self) {
        // Nor does whoever opens the ledger next know it, where the other one dies before it has opened it.
        if let Some(ledger) = self.store.ledger() {
            ledger.distrust(self.store.sequence());
            ledger.sync();
        }
        self.handing_over.store(true, Ordering::SeqCst);
    }

    /// This process serves alone again. What it has stored may be older than what the other one has acknowledged: it is
    /// validated before it is used.
    pub fn end_handover(&self) {
        if self.is_handing_over() {
            let everything = Invalidation::soft(vec![Matcher::All]);
            carry_out(&self.store, &everything, Count::Removed, |_| ());
            self.handing_over.store(false, Ordering::SeqCst);
        }
    }

    pub(super) fn is_handing_over(&self) -> bool {
        self.handing_over.load(Ordering::Relaxed)
    }

    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Has the spans exported that wait for it, in no more time than this; further ones are dropped.
    pub fn finish_traces(&self, longest: Duration) {
        if let Some(traces) = &self.settings().traces {
            traces.finish(longest);
        }
    }
}

/// Those of `before` go on where their collector stays.
fn traces_of(
    config: &Config,
    process: u64,
    (metrics, clock): (&Metrics, &Clock),
    before: Option<&Traces>,
) -> Result<Option<Traces>, Error> {
    let instance = Instance {
        name: config.server.name(),
        process,
    };
    Traces::new(
        config.traces.as_ref(),
        instance,
        &metrics.spans,
        clock,
        before,
    )
}

fn unopened(error: std::io::Error) -> Error {
    Error::internal()
        .detail("the access log cannot be opened")
        .because(error)
}

impl Settings {
    fn new(
        config: Config,
        version: u64,
        process: u64,
        limits: Option<Limits>,
        traces: Option<Traces>,
        before: Option<&Self>,
    ) -> Result<Self, Error> {
        let known = before.map_or(&[][..], |before| &before.upstreams);
        let upstreams = UpstreamShared::of_all(&config.upstreams, known)?;
        let long_lived = |upstream: &Arc<UpstreamShared>| {
            let at = known
                .iter()
                .position(|known| known.name() == upstream.name());
            let shares = at.and_then(|at| before?.long_lived.get(at).cloned());
            shares.unwrap_or_default()
        };
        let long_lived = upstreams.iter().map(long_lived).collect();
        let protocols = config.upstreams.iter().map(|named| named.upstream.protocol);
        let identity = Identity::new(config.server.name(), process, protocols);
        let server = |(api, server): (usize, &ServerUrl)| {
            let scheme = match server.endpoint.is_tls() {
                true => Scheme::Https,
                false => Scheme::Http,
            };
            let authority = server.endpoint.authority();
            let normal = normal_authority(&authority, scheme);
            ApiServer {
                api,
                scheme,
                authority: normal.unwrap_or(Cow::Borrowed(&authority)).into(),
                base_path: server.base_path.as_str().into(),
            }
        };
        let servers = config
            .upstreams
            .iter()
            .enumerate()
            .flat_map(|(api, named)| {
                let servers = named.upstream.servers.iter();
                servers.map(move |server| (api, server))
            });
        let api_servers = servers.map(server).collect();
        Ok(Self {
            version,
            api_servers,
            config,
            upstreams,
            identity,
            long_lived,
            limits,
            traces,
        })
    }

    /// Whether requests wait for a connection to this API.
    pub fn has_requests_waiting(&self, upstream: Option<usize>) -> bool {
        let shared = upstream.and_then(|upstream| self.upstreams.get(upstream));
        let mut servers = shared.iter().flat_map(|shared| shared.servers());
        servers.any(|server| server.waiting() > 0)
    }

    /// How the API that a request goes to is spoken to; `None` where it goes to none.
    pub fn upstream_of(&self, route: &RoutePolicy) -> Option<&Upstream> {
        let named = self.config.upstreams.get(route.destination.upstream()?)?;
        Some(&named.upstream)
    }
}

impl Identity {
    /// `towards_apis` are those of the configuration's APIs, in their order.
    pub(super) fn new(
        name: &str,
        process: u64,
        towards_apis: impl IntoIterator<Item = Protocol>,
    ) -> Self {
        let token: String = name
            .chars()
            .map(|c| u8::try_from(c).is_ok_and(is_tchar).then_some(c))
            .map(|c| c.unwrap_or('-'))
            .collect();
        let version = |protocol| match protocol {
            Protocol::Http1 => Version::HTTP_11,
            Protocol::H2c | Protocol::H2 => Version::HTTP_2,
        };
        let value = |text: String| {
            HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("bookend"))
        };
        Self {
            name: InstanceName::new(name),
            via_http10: value(format!("1.0 {token}")),
            via_http11: value(format!("1.1 {token}")),
            via_http2: value(format!("2 {token}")),
            cdn_loop: value(format!("{token}; process={process:016x}")),
            towards_apis: towards_apis.into_iter().map(version).collect(),
        }
    }

    /// Our member of Via for a response to a request to this API, or else to the first. Where TLS has negotiated another version than is configured, it is still told
    /// as configured: what is stored came on some connection or other.
    pub fn via_for_client(&self, upstream: Option<usize>) -> &HeaderValue {
        let version = self.towards_apis.get(upstream.unwrap_or_default());
        self.via(version.copied().unwrap_or(Version::HTTP_11))
    }

    /// Our member of Via for a message received with `version` (RFC 9110 §7.6.3).
    pub fn via(&self, version: Version) -> &HeaderValue {
        match version {
            Version::HTTP_09 | Version::HTTP_10 => &self.via_http10,
            Version::HTTP_2 => &self.via_http2,
            _ => &self.via_http11,
        }
    }
}
