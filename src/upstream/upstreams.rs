//! The API as a worker of the proxy sees it.

use std::rc::Rc;
use std::sync::Arc;

use http::Response;

use super::outgoing::{Maker, Outgoing};
use super::response_body::UpstreamBody;
use super::sending::PendingRequest;
use super::shared::UpstreamShared;
use super::worker::Worker;
use crate::clock::Clock;
use crate::config;
use crate::error::{Error, Side};
use crate::telemetry::counters::Counters;

/// One worker's client of the API. Clones share one pool of connections.
#[derive(Clone, Debug)]
pub struct Upstreams(pub(super) Rc<Worker>);

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
        let before = before.map(|before| &*before.0);
        Self(Rc::new(Worker::new(shared, clock, counters, before)))
    }

    /// Whether requests are spread by a hash of theirs.
    pub fn wants_hash(&self) -> bool {
        self.0.shared.balance == config::Balance::Hash
    }

    /// Starts the health checks of each server, where they are configured and no worker has started them. The first
    /// request does this too; a worker that calls it when it starts knows its servers before that.
    pub fn start(&self) {
        self.0.start_checks();
    }

    /// Sends a request and waits for the response's head. Dropping the future closes the connection that it uses.
    ///
    /// Fails with an [`Error`] whose side says who broke the exchange: the upstream, or the client while it sent its
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
        let request = PendingRequest::new(outgoing, make);
        async {
            let sent = self.0.send(request).await;
            if let Err(error) = &sent
                && error.side() == Side::Upstream
            {
                self.0.counters.upstream_errors.inc();
            }
            sent
        }
    }
}
