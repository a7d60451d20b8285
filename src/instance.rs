//! A whole gateway in one value: what its workers share, and the door. `run`, the demo and the tests start it alike.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use crate::clock::Clock;
use crate::config::{Config, ListenAddr};
use crate::error;
use crate::proxy::{Gateway, Worker};
use crate::server::{self, Outcome, Server};

/// A gateway whose addresses are taken, and which waits to be run.
#[derive(Debug)]
pub struct Instance {
    gateway: Arc<Gateway>,
    server: Server,
}

impl Instance {
    /// Takes the addresses that `config` names; port 0 means a free one. Fails when an address cannot be taken or the
    /// upstream's certificates cannot be used.
    pub fn bind(config: Config, clock: Clock) -> Result<Self, Error> {
        let server = Server::bind(&config.server).map_err(Error::Server)?;
        let gateway = Gateway::new(config, server.workers(), clock).map_err(Error::Upstream)?;
        Ok(Self { gateway, server })
    }

    /// The addresses taken, with the real port where port 0 was asked for.
    pub fn addrs(&self) -> &[ListenAddr] {
        self.server.local_addrs()
    }

    pub fn gateway(&self) -> &Arc<Gateway> {
        &self.gateway
    }

    /// Serves until `shutdown` is done and everything in flight has been answered, or the drain deadline has passed.
    /// Blocks the calling thread, which polls `shutdown` in a runtime of its own.
    pub fn run(self, shutdown: impl Future<Output = ()>) -> Result<Outcome, Error> {
        let gateway = self.gateway.clone();
        let make = move |index| Worker::new(gateway.clone(), index);
        let (clock, metrics) = (self.gateway.clock().clone(), self.gateway.metrics());
        self.server
            .run(clock, metrics, make, shutdown)
            .map_err(Error::Server)
    }
}

/// Why a gateway could not start, or did not end well.
#[derive(Debug)]
pub enum Error {
    Server(server::Error),
    /// The way to the API could not be set up.
    Upstream(error::Error),
}

impl Error {
    /// Whether the address that was asked for is another's.
    pub fn is_addr_in_use(&self) -> bool {
        matches!(
            self,
            Self::Server(server::Error::Listen { source, .. })
                if source.kind() == std::io::ErrorKind::AddrInUse
        )
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server(error) => error.fmt(f),
            Self::Upstream(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Server(error) => error.source(),
            Self::Upstream(error) => std::error::Error::source(error),
        }
    }
}
