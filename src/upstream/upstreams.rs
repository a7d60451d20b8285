//! The APIs as a worker of the proxy sees them.

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
use crate::error::{Error, ErrorKind, Side};
use crate::telemetry::counters::Counters;

/// One worker's client of all APIs. Clones share one pool of connections for each server.
#[derive(Clone, Debug)]
pub struct Upstreams(pub(super) Rc<[Worker]>);

impl Upstreams {
    /// For one worker; to be used within its `LocalRuntime` only. After a reload, servers that were there `before` keep their
    /// connections.
    pub fn new(
        shared: &[Arc<UpstreamShared>],
        clock: &Clock,
        counters: &Counters,
        before: Option<&Self>,
    ) -> Self {
        let before = before.map_or(&[][..], |before| &before.0);
        let worker = |shared: &Arc<UpstreamShared>| {
            let name = shared.name();
            let before = before.iter().find(|before| before.shared.name() == name);
            let counters = counters.of_upstream(name);
            Worker::new(shared.clone(), clock.clone(), counters, before)
        };
        Self(shared.iter().map(worker).collect())
    }

    /// Whether requests to this API are spread by a hash of theirs.
    pub fn wants_hash(&self, upstream: Option<usize>) -> bool {
        let worker = upstream.and_then(|upstream| self.0.get(upstream));
        worker.is_some_and(|worker| worker.shared.balance == config::Balance::Hash)
    }

    /// Starts the health checks of each server, where they are configured and no worker has started them. The first
    /// request to an API does this too; a worker that calls it when it starts knows its servers before that.
    pub fn start(&self) {
        self.0.iter().for_each(Worker::start_checks);
    }

    /// Sends a request and waits for the response's head. Dropping the future closes the connection that it uses.
    ///
    /// Fails with an [`Error`] whose side says who broke the exchange: the upstream, or the client while it sent its
    /// content; with [`ErrorKind::NoRoute`] where the request is for no API.
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
        let worker = outgoing.upstream.and_then(|upstream| self.0.get(upstream));
        if let Some(worker) = worker {
            worker.start_checks();
        }
        let mut request = PendingRequest::new(outgoing, make);
        async move {
            let worker = worker.ok_or_else(|| Error::downstream(ErrorKind::NoRoute))?;
            let sent = worker.send(&mut request).await;
            if let Err(error) = &sent
                && error.side() == Side::Upstream
            {
                worker.counters.errors.inc();
            }
            sent
        }
    }
}
