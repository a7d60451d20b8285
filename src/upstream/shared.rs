//! What all workers share about an API.

use std::sync::Arc;
use std::time::Duration;

use super::connection_settings::ConnectionSettings;
use super::health::peers::Peers;
use super::health::state::Availability;
use super::limits::{Http2Limits, PoolLimits};
use super::server::Server;
use super::tls;
use crate::clock::Monotonic;
use crate::config::{self, HostPolicy};
use crate::error::Error;

/// What all workers share about an API: its servers, their caps of connections and their health.
#[derive(Debug)]
pub struct UpstreamShared {
    /// `None` for that of `[upstream]`.
    name: Option<Box<str>>,
    servers: Box<[Arc<Server>]>,
    pub(super) host: HostPolicy,
    pub(super) response_timeout: Duration,
    pub(super) limits: PoolLimits,
    pub(super) protocol: config::Protocol,
    pub(super) http2: Http2Limits,
    pub(super) balance: config::Balance,
    pub(super) retries: config::Retries,
    pub(super) health: config::Health,
    connection_settings: ConnectionSettings,
    /// What all servers answer to their health checks.
    pub(super) peers: Arc<Peers>,
}

impl UpstreamShared {
    /// That of each of `configs`, in their order. Reads the certificates that they name; fails with a detail for the operator
    /// when a file or a name cannot be used.
    ///
    /// After a reload: a server that the API of the same name had `before`, and that is connected to with the same settings,
    /// stays with all that is known of it; limits and rules are those of `configs` from now on. Health checks of servers that
    /// are not in `configs` end. Nothing has changed when this fails.
    pub fn of_all(
        configs: &[config::NamedUpstream],
        before: &[Arc<Self>],
    ) -> Result<Arc<[Arc<Self>]>, Error> {
        let all: Arc<[Arc<Self>]> = configs
            .iter()
            .map(|config| {
                let before = before.iter().find(|before| before.name == config.name);
                Self::prepared(config, before.map(|before| &**before)).map(Arc::new)
            })
            .collect::<Result<_, _>>()?;
        for (shared, config) in all.iter().zip(configs) {
            for server in &shared.servers {
                server.apply(&config.upstream);
            }
        }
        for server in before.iter().flat_map(|before| &before.servers) {
            let mut staying = all.iter().flat_map(|shared| &shared.servers);
            if !staying.any(|stays| Arc::ptr_eq(stays, server)) {
                server.retire();
            }
        }
        Ok(all)
    }

    /// What is known of servers that were there `before` is shared, and not changed.
    fn prepared(config: &config::NamedUpstream, before: Option<&Self>) -> Result<Self, Error> {
        let config::NamedUpstream {
            name,
            upstream: config,
        } = config;
        let connection_settings = ConnectionSettings::of(config);
        let same_settings =
            before.filter(|before| before.connection_settings == connection_settings);
        let known = |url: &config::ServerUrl| {
            let servers = same_settings.map_or(&[][..], |before| &before.servers);
            servers.iter().find(|server| server.url() == url).cloned()
        };
        let peers = before.map_or_else(Arc::default, |before| before.peers.clone());
        let tls = config
            .servers
            .iter()
            .any(|url| url.endpoint.is_tls())
            .then(|| tls::client_config(config))
            .transpose()?;
        let server = |url| match known(url) {
            Some(server) => Ok(server),
            None => Server::new(url, config, tls.as_ref(), &peers).map(Arc::new),
        };
        let servers: Box<[Arc<Server>]> = config
            .servers
            .iter()
            .map(server)
            .collect::<Result<_, _>>()?;
        Ok(Self {
            name: name.clone(),
            servers,
            host: config.host,
            response_timeout: config.response_timeout,
            limits: PoolLimits::of(config),
            protocol: config.protocol,
            http2: Http2Limits::of(config),
            balance: config.balance,
            retries: config.retries.clone(),
            health: config.health.clone(),
            connection_settings,
            peers,
        })
    }

    /// `None` for that of `[upstream]`.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Whether any server is expected to answer.
    pub fn is_available(&self, now: Monotonic) -> bool {
        self.servers
            .iter()
            .filter(|server| !server.takes_only_trials())
            .any(|server| {
                matches!(
                    server.availability(now),
                    Availability::Available(_) | Availability::Paused | Availability::Unchecked
                )
            })
    }

    pub fn servers(&self) -> &[Arc<Server>] {
        &self.servers
    }
}
