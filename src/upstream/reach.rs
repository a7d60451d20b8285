//! Whether the servers of an API can be connected to, to be told when the gateway starts. Requests do not depend on it.

use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;

use super::connect::connect;
use super::limits::ConnectLimits;
use super::poll_first::poll_first;
use super::server::Server;
use super::shared::UpstreamShared;
use crate::clock::Clock;
use crate::error::Error;

/// For the name, the connection and TLS, each.
const LIMITS: ConnectLimits = ConnectLimits {
    connect: Duration::from_secs(2),
    tls: Duration::from_secs(2),
};

type Trial<'a> = Pin<Box<dyn Future<Output = (&'a Server, Result<Duration, Error>)> + 'a>>;

impl UpstreamShared {
    /// Connects to each server, to all at once, and tells as soon as it is known of one how long that took, or why it was not
    /// possible. The connections are closed without a request.
    pub async fn reach_servers(
        &self,
        clock: &Clock,
        mut tell: impl FnMut(&Server, Result<Duration, Error>),
    ) {
        let servers = self.servers().iter();
        let trials = servers.map(|server| -> Trial<'_> {
            let server: &Server = server;
            Box::pin(async move {
                let began = clock.now().mono;
                let connected = connect(server, LIMITS, clock).await;
                let took = clock.now().mono.since(began);
                (server, connected.map(|_| took))
            })
        });
        let mut trials: Vec<_> = trials.collect();
        while !trials.is_empty() {
            let (at, (server, reached)) = poll_fn(|cx| poll_first(trials.iter_mut(), cx)).await;
            drop(trials.remove(at));
            tell(server, reached);
        }
    }
}
