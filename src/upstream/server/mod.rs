//! One server of the API: its address, and the state of it that all workers share.

pub(super) mod cap;
pub(super) mod queue;

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use http::HeaderValue;
use rustls::ClientConfig;

use self::cap::Cap;
use self::queue::Queue;
use crate::clock::Monotonic;
use crate::config::{Endpoint, ServerUrl, Upstream};
use crate::error::{Error, ErrorKind};
use crate::upstream::health::check::{Check, Checks};
use crate::upstream::health::circuit::Circuit;
use crate::upstream::health::peers::Peers;
use crate::upstream::health::state::{Availability, ServerHealth};
use crate::upstream::names::lookup::NameServers;
use crate::upstream::names::resolve::Resolver;
use crate::upstream::tls::Tls;

/// A server of the API.
#[derive(Debug)]
pub struct Server {
    url: ServerUrl,
    authority: HeaderValue,
    authority_text: Box<str>,
    transport: Transport,
    /// The cap of connections, over all workers.
    cap: Arc<Cap>,
    queue: Queue,
    health: ServerHealth,
    circuit: Circuit,
    latest_failure: Mutex<Option<Error>>,
    /// Requests that failed, by the number of the kind of error.
    failures: [AtomicU64; ErrorKind::ALL.len()],
    /// Whether the API has no other server.
    alone: AtomicBool,
    checks: Arc<Checks>,
    /// Requests in flight to it, from all workers.
    load: AtomicUsize,
    identity: u64,
}

/// How a server is reached.
#[derive(Debug)]
pub(in crate::upstream) enum Transport {
    Tcp(Arc<Resolver>),
    Tls(Arc<Resolver>, Tls),
    Unix(Box<Path>),
}

impl Server {
    /// `tls` is there when any server of the upstream speaks TLS; `checked` is woken after each of its health checks.
    pub(in crate::upstream) fn new(
        url: &ServerUrl,
        upstream: &Upstream,
        tls: Option<&Arc<ClientConfig>>,
        peers: &Arc<Peers>,
    ) -> Result<Self, Error> {
        let authority_text = url.endpoint.authority();
        let authority = HeaderValue::from_str(&authority_text).map_err(|error| {
            Error::internal()
                .detail(format!("{url}: its host cannot stand in a Host field"))
                .because(error)
        })?;
        let name_servers = upstream
            .resolver
            .map_or(NameServers::System, NameServers::At);
        let resolver =
            |host: &str, port: u16| Resolver::new(host, port, name_servers, &upstream.ejection);
        let transport = match (&url.endpoint, tls) {
            (Endpoint::Https { host, port }, Some(tls)) => {
                let resolver = resolver(host, *port);
                let name = upstream.tls_name.as_deref().unwrap_or(resolver.host());
                let tls = Tls::new(tls.clone(), name)?;
                Transport::Tls(resolver, tls)
            }
            (Endpoint::Https { .. }, None) => return Err(Error::internal()),
            (Endpoint::Http { host, port }, _) => Transport::Tcp(resolver(host, *port)),
            (Endpoint::Unix(path), _) => Transport::Unix(path.as_path().into()),
        };
        // The FNV-1a hash.
        let identity = (url.to_string().bytes()).fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        let server = Self {
            url: url.clone(),
            authority,
            authority_text: authority_text.into(),
            transport,
            cap: Arc::new(Cap::new(upstream.max_connections)),
            queue: Queue::default(),
            health: ServerHealth::new(&upstream.ejection),
            circuit: Circuit::new(&upstream.circuit),
            latest_failure: Mutex::default(),
            failures: std::array::from_fn(|_| AtomicU64::new(0)),
            alone: AtomicBool::new(false),
            checks: Arc::new(Checks::new(peers.clone())),
            load: AtomicUsize::new(0),
            identity,
        };
        if upstream.health.path.is_some() {
            server.health.awaits_checks();
        }
        server.apply(upstream);
        Ok(server)
    }

    /// Puts the limits, the rules of ejection and of the circuit, and the health checks of `upstream` in force. The server's
    /// health stays.
    pub(in crate::upstream) fn apply(&self, upstream: &Upstream) {
        let mut ejection = upstream.ejection.clone();
        let alone = upstream.servers.len() == 1;
        if alone {
            // There is no other server to use in its place. Its circuit may still open.
            ejection.failures = 0;
        }
        self.alone.store(alone, Ordering::Relaxed);
        self.health.set_rules(&ejection);
        self.circuit.set_rules(&upstream.circuit);
        self.cap.set(upstream.max_connections);
        if let Transport::Tcp(resolver) | Transport::Tls(resolver, _) = &self.transport {
            resolver.set_rules(&upstream.ejection);
        }
        let check = Check::of(upstream);
        if check.is_none() {
            self.health.forget_checks();
        }
        self.checks.set(check);
    }

    /// Ends the health checks of a server that is not in the configuration any more.
    pub(in crate::upstream) fn retire(&self) {
        self.checks.set(None);
    }

    /// Whether the API has no other server.
    pub(in crate::upstream) fn is_alone(&self) -> bool {
        self.alone.load(Ordering::Relaxed)
    }

    /// `http` or `https`.
    pub fn scheme(&self) -> &'static str {
        if self.url.endpoint.is_tls() {
            "https"
        } else {
            "http"
        }
    }

    /// The host, and the port unless it is the scheme's default: the value of Host under `HostPolicy::Upstream`, to which
    /// Location and Content-Location in this server's responses then refer.
    pub fn authority(&self) -> &str {
        &self.authority_text
    }

    /// The path before that of each request: empty, or `/…` without a slash at its end.
    pub fn base_path(&self) -> &str {
        &self.url.base_path
    }

    pub fn url(&self) -> &ServerUrl {
        &self.url
    }

    /// Whether requests may go to this server at the moment.
    pub fn availability(&self, now: Monotonic) -> Availability {
        match self.health.availability(now) {
            // There is no other server to ask in its place.
            Availability::Unchecked if self.is_alone() => Availability::Available(1.0),
            availability => availability,
        }
    }

    /// Whether only trials go to it: its circuit is open. Of several servers, only for those that have been ejected: the
    /// rules of ejection decide when one of several gets no requests.
    pub fn takes_only_trials(&self) -> bool {
        self.circuit.is_open() && (self.is_alone() || self.health.has_been_ejected())
    }

    /// Requests in flight to this server, from all workers; those that wait for a connection count.
    pub fn load(&self) -> usize {
        self.load.load(Ordering::Relaxed)
    }

    /// Connections to this server that are open or being opened, from all workers.
    pub fn connections(&self) -> usize {
        self.cap.taken()
    }

    /// Requests that wait for a connection to this server, from all workers.
    pub fn waiting(&self) -> usize {
        self.queue.waiting()
    }

    pub(in crate::upstream) fn begin_request(&self) {
        self.load.fetch_add(1, Ordering::Relaxed);
    }

    pub(in crate::upstream) fn end_request(&self) {
        self.load.fetch_sub(1, Ordering::Relaxed);
    }

    pub(in crate::upstream) fn health(&self) -> &ServerHealth {
        &self.health
    }

    pub(in crate::upstream) fn record_failure(&self, error: &Error) {
        let mut latest = self
            .latest_failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *latest = Some(error.share());
    }

    /// A request to it has ended in an error of this kind.
    pub(in crate::upstream) fn count_failure(&self, kind: ErrorKind) {
        self.failures[kind as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// How many requests to it have ended in an error, by its kind, for those that there were.
    pub fn failures(&self) -> Vec<(ErrorKind, u64)> {
        let counts = self.failures.iter().map(|n| n.load(Ordering::Relaxed));
        let failures = ErrorKind::ALL.into_iter().zip(counts);
        failures.filter(|(_, count)| *count > 0).collect()
    }

    /// The latest failure of a request or a check, even if others have succeeded since.
    pub(in crate::upstream) fn latest_failure(&self) -> Option<Error> {
        let latest = self
            .latest_failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        latest.as_ref().map(Error::share)
    }

    pub(in crate::upstream) fn circuit(&self) -> &Circuit {
        &self.circuit
    }

    /// The same number in every process, for consistent hashing.
    pub(in crate::upstream) fn identity(&self) -> u64 {
        self.identity
    }

    pub(in crate::upstream) fn host_value(&self) -> HeaderValue {
        self.authority.clone()
    }

    pub(in crate::upstream) fn transport(&self) -> &Transport {
        &self.transport
    }

    /// Looks the server's name up again where its TTL is over, without waiting for the answer.
    pub(in crate::upstream) fn refresh_name(&self) {
        if let Transport::Tcp(resolver) | Transport::Tls(resolver, _) = &self.transport {
            resolver.refresh_if_due();
        }
    }

    pub(in crate::upstream) fn cap(&self) -> &Arc<Cap> {
        &self.cap
    }

    pub(in crate::upstream) fn checks(&self) -> &Arc<Checks> {
        &self.checks
    }

    pub(in crate::upstream) fn queue(&self) -> &Queue {
        &self.queue
    }
}
