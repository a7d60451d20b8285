//! A bound on the connections of each client: one client alone must not take all that the server may have.

use std::sync::Arc;

use ipnet::IpNet;

use crate::config;
use crate::proxy::{Client, Peer, Share, Shares};
use crate::telemetry::counters::Counters;

/// The connections that are open now, by client, over all workers.
#[derive(Clone, Debug)]
pub(super) struct ClientConnections {
    shares: Arc<Shares>,
    /// How many each client may have; `None`: there is no limit.
    each: Option<usize>,
    proxies: Arc<[IpNet]>,
}

/// There is no room for another connection of this client.
#[derive(Debug)]
pub(super) struct Refused;

impl ClientConnections {
    /// None yet.
    pub fn new(config: &config::Server) -> Self {
        Self {
            shares: Arc::default(),
            each: Some(config.max_connections_per_client).filter(|each| *each > 0),
            proxies: config.trusted_proxies.clone().into(),
        }
    }

    /// The same connections, with the limit of another configuration.
    pub fn renewed(&self, config: &config::Server) -> Self {
        Self {
            shares: self.shares.clone(),
            ..Self::new(config)
        }
    }

    /// Counts a connection of `peer` until the share is dropped. Trusted proxies have those of all their clients, and are
    /// not counted.
    ///
    /// # Errors
    /// When it would be one too many.
    pub fn admit(&self, peer: &Peer, counters: &Counters) -> Result<Option<Share>, Refused> {
        let (Some(each), Some(addr)) = (self.each, peer.addr) else {
            return Ok(None);
        };
        if peer.is_trusted(&self.proxies) {
            return Ok(None);
        }
        let client = Some(Client::from(addr.ip()));
        let share = self.shares.enter(client, usize::MAX, each);
        share.map(Some).map_err(|_| {
            counters.connections_refused.inc();
            tracing::warn!(
                client = %addr.ip(),
                limit = each,
                "connection refused: this client has as many as max_connections_per_client in [server] allows; if it is a \
                 proxy with many clients, list it in trusted_proxies"
            );
            Refused
        })
    }
}
