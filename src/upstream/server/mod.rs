//! One server of the API: where it is, and what all workers share about it.

pub(super) mod cap;

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use http::HeaderValue;
use rustls::ClientConfig;
use tokio::sync::Notify;

use crate::clock::Monotonic;
use crate::config::{Endpoint, ServerUrl, Upstream};
use crate::error::Error;
use crate::upstream::health::check::{Check, Checks};
use crate::upstream::health::circuit::Circuit;
use crate::upstream::health::state::{Fitness, Standing};
use crate::upstream::names::lookup::Names;
use crate::upstream::names::resolve::Resolver;
use crate::upstream::server::cap::Cap;
use crate::upstream::tls::Tls;

/// A server of the API.
#[derive(Debug)]
pub struct Server {
    url: ServerUrl,
    authority: HeaderValue,
    authority_text: Box<str>,
    route: Route,
    /// Of connections, over all workers.
    cap: Arc<Cap>,
    queue: Queue,
    standing: Standing,
    circuit: Circuit,
    latest_failure: Mutex<Option<Error>>,
    /// Whether the API has no other server.
    alone: AtomicBool,
    checks: Arc<Checks>,
    /// Requests in flight to it, from all workers.
    load: AtomicUsize,
    identity: u64,
}

/// How a server is reached.
#[derive(Debug)]
pub(in crate::upstream) enum Route {
    Tcp(Arc<Resolver>),
    Tls(Arc<Resolver>, Tls),
    Unix(Box<Path>),
}

impl Server {
    /// `tls` is there when any server of the upstream speaks TLS; `checked` is rung after each of its health checks.
    pub(in crate::upstream) fn new(
        url: &ServerUrl,
        upstream: &Upstream,
        tls: Option<&Arc<ClientConfig>>,
        checked: &Arc<Notify>,
    ) -> Result<Self, Error> {
        let authority_text = url.endpoint.authority();
        let authority = HeaderValue::from_str(&authority_text).map_err(|error| {
            Error::internal()
                .detail(format!("{url}: its host cannot stand in a Host field"))
                .because(error)
        })?;
        let names = upstream.resolver.map_or(Names::System, Names::At);
        let resolver = |host: &str, port: u16| Resolver::new(host, port, names, &upstream.ejection);
        let route = match (&url.endpoint, tls) {
            (Endpoint::Https { host, port }, Some(tls)) => {
                let resolver = resolver(host, *port);
                let name = upstream.tls_name.as_deref().unwrap_or(resolver.host());
                let tls = Tls::new(tls.clone(), name)?;
                Route::Tls(resolver, tls)
            }
            (Endpoint::Https { .. }, None) => return Err(Error::internal()),
            (Endpoint::Http { host, port }, _) => Route::Tcp(resolver(host, *port)),
            (Endpoint::Unix(path), _) => Route::Unix(path.as_path().into()),
        };
        let server = Self {
            url: url.clone(),
            authority,
            authority_text: authority_text.into(),
            route,
            cap: Arc::new(Cap::new(upstream.max_connections)),
            queue: Queue::default(),
            standing: Standing::new(&upstream.ejection),
            circuit: Circuit::new(&upstream.circuit),
            latest_failure: Mutex::default(),
            alone: AtomicBool::new(false),
            checks: Arc::new(Checks::new(checked.clone())),
            load: AtomicUsize::new(0),
            identity: fnv1a(url.to_string().as_bytes()),
        };
        if upstream.health.path.is_some() {
            server.standing.awaits_checks();
        }
        server.apply(upstream);
        Ok(server)
    }

    /// Puts what `upstream` says of limits, ejection, the circuit and health checks in force. What is known of the server
    /// stays.
    pub(in crate::upstream) fn apply(&self, upstream: &Upstream) {
        let mut ejection = upstream.ejection.clone();
        let alone = upstream.servers.len() == 1;
        if alone {
            // There is nobody to leave it out for; its circuit is another matter.
            ejection.failures = 0;
        }
        self.alone.store(alone, Ordering::Relaxed);
        self.standing.set_rules(&ejection);
        self.circuit.set_rules(&upstream.circuit);
        self.cap.set(upstream.max_connections);
        if let Route::Tcp(resolver) | Route::Tls(resolver, _) = &self.route {
            resolver.set_rules(&upstream.ejection);
        }
        let check = Check::of(upstream);
        if check.is_none() {
            self.standing.forget_checks();
        }
        self.checks.set(check);
    }

    /// The configuration in force is without it: its health checks end.
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

    /// Host, and port unless it is the scheme's default: what Host says under `HostPolicy::Upstream`, and so what
    /// Location and Content-Location in this server's responses refer to.
    pub fn authority(&self) -> &str {
        &self.authority_text
    }

    /// What stands before the path of each request: empty, or `/…` without a slash at its end.
    pub fn base_path(&self) -> &str {
        &self.url.base_path
    }

    pub fn url(&self) -> &ServerUrl {
        &self.url
    }

    /// Whether requests go to this server at the moment.
    pub fn fitness(&self, now: Monotonic) -> Fitness {
        match self.standing.fitness(now) {
            // There is nobody to be asked in its place.
            Fitness::Unchecked if self.is_alone() => Fitness::Fit(1.0),
            fitness => fitness,
        }
    }

    /// Whether only trials go to it: it has been silent too often in a row. Of several servers that concerns those only
    /// that have been ejected: when to leave one out for the others is for the rules of ejection to say.
    pub fn is_cut_off(&self) -> bool {
        self.circuit.is_open() && (self.is_alone() || self.standing.has_been_ejected())
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

    pub(in crate::upstream) fn standing(&self) -> &Standing {
        &self.standing
    }

    pub(in crate::upstream) fn note_failure(&self, error: &Error) {
        let mut latest = self
            .latest_failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *latest = Some(error.share());
    }

    /// What went wrong last with a request or a check, whether or not others have fared better since.
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

    pub(in crate::upstream) fn route(&self) -> &Route {
        &self.route
    }

    /// Looks the server's name up again where that is due, without waiting for it.
    pub(in crate::upstream) fn freshen(&self) {
        if let Route::Tcp(resolver) | Route::Tls(resolver, _) = &self.route {
            resolver.freshen();
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

fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// Who waits for a connection to a server. The order is the semaphore's; here is what the holders of connections must
/// know to make room.
#[derive(Debug, Default)]
pub(in crate::upstream) struct Queue {
    waiting: AtomicUsize,
    /// Those of `waiting` whose worker has no connection at all that could be handed to them.
    starving: AtomicUsize,
    /// Called when somebody begins to wait: each worker's pool then gives up idle connections.
    pools: Mutex<Vec<Arc<Notify>>>,
}

impl Queue {
    /// Takes a place, unless `limit` wait already.
    pub(in crate::upstream) fn enter(&self, limit: usize, starving: bool) -> Option<Place<'_>> {
        self.waiting
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |waiting| {
                (waiting < limit).then_some(waiting + 1)
            })
            .ok()?;
        if starving {
            self.starving.fetch_add(1, Ordering::AcqRel);
        }
        for pool in &*self.pools.lock().unwrap_or_else(PoisonError::into_inner) {
            pool.notify_one();
        }
        Some(Place {
            queue: self,
            starving,
        })
    }

    pub(in crate::upstream) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Acquire)
    }

    pub(in crate::upstream) fn starving(&self) -> usize {
        self.starving.load(Ordering::Acquire)
    }

    pub(in crate::upstream) fn register(&self, pool: Arc<Notify>) {
        self.pools
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(pool);
    }

    pub(in crate::upstream) fn unregister(&self, pool: &Arc<Notify>) {
        self.pools
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|other| !Arc::ptr_eq(other, pool));
    }
}

/// A place in a server's queue, until it is dropped.
#[derive(Debug)]
pub(in crate::upstream) struct Place<'a> {
    queue: &'a Queue,
    starving: bool,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.queue.waiting.fetch_sub(1, Ordering::AcqRel);
        if self.starving {
            self.queue.starving.fetch_sub(1, Ordering::AcqRel);
        }
    }
}
