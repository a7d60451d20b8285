//! The API behind the gateway: connections, pool, TLS, deadlines, retries.
//!
//! ```text
//! send -> choose (balance) -> aim (base path, Host) -> acquire (pool | connect | queue) -> exchange -> inspect
//!            ^                                                ^                               |          |
//!            |                                                +-- pooled connection dead -----+          v
//!            +---- another server, within the budget, where that is safe --------------------+    UpstreamBody
//!                                                                                     end: back to the pool
//! ```
//!
//! An exchange over HTTP/1.1 in which nothing is sent but a head is our own to read and write (`plain`); hyper has those
//! with content to send or a change of the protocol (`whole`), and the streams of HTTP/2 are h2's (`http2`). One
//! connection carries both kinds by turns (`connection`).
//!
//! What is shared by all workers ([`UpstreamShared`]): the servers, their caps of connections and queues, their names'
//! addresses, how they stand, and whether only trials go to them (`circuit`). What belongs to one worker ([`Upstreams`]):
//! the connections themselves, what drives them, and the choice of a server.

mod balance;
mod budget;
mod connect;
mod connection_settings;
mod deadline;
mod errors;
mod expectation;
mod health;
mod http1;
mod http2;
mod incoming;
mod interim;
mod names;
mod pool;
mod request_body;
mod request_head;
mod response_body;
mod response_head;
mod sending;
mod server;
#[cfg(test)]
mod tests;
mod tls;
mod tunnel;
mod waiting;
mod wire;

use std::cell::Cell;
use std::hash::{BuildHasher as _, RandomState};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use tokio::sync::Notify;

use self::balance::Balancer;
use self::budget::Budget;
use self::connection_settings::Reach;
pub use self::expectation::Expectation;
pub use self::health::state::Fitness;
pub use self::interim::OnInterim;
use self::pool::http2_connections::Sharing;
use self::pool::{Limits, Pool};
pub use self::request_body::{RequestBody, RequestStream, Upload, client_failure};
pub use self::response_body::{Framing, UpstreamBody};
use self::sending::Sending;
pub use self::server::Server;
pub use self::tunnel::Tunnel;
pub use self::waiting::{LatestWaiting, Waiting};
use crate::clock::{Clock, Monotonic};
use crate::config::{self, HostPolicy};
use crate::error::{Error, Side};
use crate::telemetry::counters::Counters;

/// What all workers share about the API: its servers, their caps of connections and their health.
#[derive(Debug)]
pub struct UpstreamShared {
    servers: Box<[Arc<Server>]>,
    host: HostPolicy,
    response_timeout: Duration,
    limits: Limits,
    protocol: config::Protocol,
    http2: http2::Limits,
    balance: config::Balance,
    retries: config::Retries,
    health: config::Health,
    reach: Reach,
    /// Rung after each health check of any server.
    checked: Arc<Notify>,
}

impl UpstreamShared {
    /// Reads the certificates that the configuration names; fails with a detail for the operator when a file or a name
    /// cannot be used.
    pub fn new(config: &config::Upstream) -> Result<Arc<Self>, Error> {
        Self::renewed(config, None)
    }

    /// The same after a reload: a server that was there `before`, and is reached in the same way, stays with all that is
    /// known of it; limits and rules are those of `config` from now on. Health checks of servers that are not in
    /// `config` end. Nothing has changed when this fails.
    pub fn renewed(config: &config::Upstream, before: Option<&Self>) -> Result<Arc<Self>, Error> {
        let reach = Reach::of(config);
        let same_way = before.filter(|before| before.reach == reach);
        let kept = |url: &config::ServerUrl| {
            let servers = same_way.map_or(&[][..], |before| &before.servers);
            servers.iter().find(|server| server.url() == url).cloned()
        };
        let checked = before.map_or_else(Arc::default, |before| before.checked.clone());
        let tls = config
            .servers
            .iter()
            .any(|url| url.endpoint.is_tls())
            .then(|| tls::client_config(config))
            .transpose()?;
        let server = |url| match kept(url) {
            Some(server) => Ok(server),
            None => Server::new(url, config, tls.as_ref(), &checked).map(Arc::new),
        };
        let servers: Box<[Arc<Server>]> = config
            .servers
            .iter()
            .map(server)
            .collect::<Result<_, _>>()?;
        for server in &servers {
            server.apply(config);
        }
        for server in before.iter().flat_map(|before| &before.servers) {
            if !servers.iter().any(|stays| Arc::ptr_eq(stays, server)) {
                server.retire();
            }
        }
        Ok(Arc::new(Self {
            servers,
            host: config.host,
            response_timeout: config.response_timeout,
            limits: Limits::of(config),
            protocol: config.protocol,
            http2: http2::Limits::of(config),
            balance: config.balance,
            retries: config.retries.clone(),
            health: config.health.clone(),
            reach,
            checked,
        }))
    }

    /// Whether any server is thought to be able to answer.
    pub fn is_available(&self, now: Monotonic) -> bool {
        self.servers
            .iter()
            .filter(|server| !server.is_cut_off())
            .any(|server| {
                let fitness = server.fitness(now);
                matches!(
                    fitness,
                    Fitness::Fit(_) | Fitness::Resting | Fitness::Unchecked
                )
            })
    }

    pub fn servers(&self) -> &[Arc<Server>] {
        &self.servers
    }
}

/// A request to be sent upstream.
#[derive(Debug)]
pub struct Outgoing {
    /// The target is in origin form, as it is forwarded: the server's base path is put before it here. Hop-by-hop
    /// fields are gone and forwarding fields are there already; framing fields are set here, from the body.
    ///
    /// Interim responses (1xx) are told to the [`OnInterim`] in its extensions.
    pub request: Request<RequestBody>,
    /// Whether a second sending does no more than the first (RFC 9110 §9.2.2): such a request is sent again when the
    /// connection broke before anything of its response had come.
    pub idempotent: bool,
    /// Requests with the same hash go to the same server under consistent hashing.
    pub hash: Option<u64>,
    /// Where it is told how far the request has come, for those who may call it off by dropping what [`Upstreams::send`]
    /// returns.
    pub waiting: Option<Waiting>,
}

/// Makes a request once more, as it was; `None` when that cannot be done.
pub type Maker<'a> = dyn Fn() -> Option<Request<RequestBody>> + 'a;

/// One worker's way to the API. Clones share one pool of connections.
#[derive(Clone, Debug)]
pub struct Upstreams(Rc<Worker>);

#[derive(Debug)]
struct Worker {
    shared: Arc<UpstreamShared>,
    /// One a server, in the same order.
    pools: Box<[Rc<Pool>]>,
    balancer: Balancer,
    budget: Budget,
    started: Cell<bool>,
    clock: Clock,
    counters: Arc<Counters>,
}

impl Upstreams {
    /// For one worker; to be used within its `LocalRuntime` only.
    pub fn new(shared: Arc<UpstreamShared>, clock: Clock, counters: Arc<Counters>) -> Self {
        Self::renewed(shared, clock, counters, None)
    }

    /// The same after a reload: servers that have stayed keep their connections.
    pub fn renewed(
        shared: Arc<UpstreamShared>,
        clock: Clock,
        counters: Arc<Counters>,
        before: Option<&Self>,
    ) -> Self {
        let pool = |server: &Arc<Server>| {
            let pools = before.map_or(&[][..], |before| &before.0.pools);
            let kept = pools.iter().find(|pool| Arc::ptr_eq(pool.server(), server));
            if let Some(pool) = kept {
                pool.set_limits(&shared.limits, shared.http2);
                return pool.clone();
            }
            Pool::new(
                server.clone(),
                shared.limits.clone(),
                Sharing::new(shared.protocol, shared.http2),
                clock.clone(),
                counters.clone(),
            )
        };
        Self(Rc::new(Worker {
            pools: shared.servers.iter().map(pool).collect(),
            balancer: Balancer::new(shared.balance, RandomState::new().hash_one(0)),
            budget: Budget::new(&shared.retries, clock.now().mono),
            started: Cell::new(false),
            shared,
            clock,
            counters,
        }))
    }

    /// Whether requests are spread by a hash of theirs.
    pub fn wants_hash(&self) -> bool {
        self.0.shared.balance == config::Balance::Hash
    }

    /// Begins the health checks of each server, where they are configured and no worker has begun them. The first request does
    /// this too; a worker that calls it when it starts knows its servers before that.
    pub fn start(&self) {
        if !self.0.started.replace(true) {
            for server in &self.0.shared.servers {
                health::check::start(server, &self.0.clock);
            }
        }
    }

    /// Sends a request and waits for the response's head. Dropping the future closes the connection that it uses.
    ///
    /// Fails with an [`Error`] whose side tells who broke the exchange: the upstream, or the client while it sent its
    /// content.
    pub fn send(
        &self,
        outgoing: Outgoing,
    ) -> impl Future<Output = Result<Response<UpstreamBody>, Error>> {
        self.send_made(outgoing, None)
    }

    /// The same for a request that `make` can make once more, if need be: it is not copied beforehand.
    pub fn send_made<'a>(
        &'a self,
        outgoing: Outgoing,
        make: Option<&'a Maker<'a>>,
    ) -> impl Future<Output = Result<Response<UpstreamBody>, Error>> {
        self.start();
        let sending = Sending::new(outgoing, make);
        async {
            let sent = self.0.send(sending).await;
            if let Err(error) = &sent
                && error.side() == Side::Upstream
            {
                self.0.counters.upstream_errors.inc();
            }
            sent
        }
    }
}
