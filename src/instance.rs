//! A whole gateway in one value: its listeners, workers and admin API. `run`, the demo and the tests start it alike.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use crate::acme;
use crate::admin::{Admin, GatewayOperations, ReloadSource, Reloader, RunningAdmin};
use crate::clock::Clock;
use crate::config::{Config, ListenAddr};
use crate::error;
use crate::proxy::{Gateway, OpenError, Upkeep, Worker};
use crate::server::{self, Handover, Inherited, Outcome, Server, Shutdown, Takeover, TlsListeners};

/// A gateway whose addresses are taken, and which waits to be run.
#[derive(Debug)]
pub struct Instance {
    gateway: Arc<Gateway>,
    /// By which connections are late.
    deadlines: Clock,
    server: Server,
    /// `None` when it is off.
    admin: Option<Admin>,
    reloader: Arc<Reloader>,
    /// Of its second tiers, where it has any.
    upkeep: Option<Upkeep>,
    /// Where it takes the place of another process.
    takeover: Option<Takeover>,
    acme: acme::Client,
}

impl Instance {
    /// Takes the addresses that `config` names; port 0 means a free one. Fails when an address cannot be taken or the
    /// upstream's certificates cannot be used.
    pub fn bind(config: Config, clock: Clock) -> Result<Self, Error> {
        Self::bind_from(config, None, Inherited::default(), clock)
    }

    /// The same for a configuration that can be read again, from `origin`, and with the sockets that another process has
    /// passed.
    pub fn bind_from(
        config: Config,
        origin: Option<ReloadSource>,
        mut inherited: Inherited,
        clock: Clock,
    ) -> Result<Self, Error> {
        let deadlines = clock.for_deadlines();
        let server = Server::bind_with(&config.server, &mut inherited).map_err(Error::Server)?;
        let admin = config.admin.as_ref();
        let admin = admin
            .map(|admin| Admin::bind_with(admin, &mut inherited))
            .transpose()
            .map_err(Error::Server)?;
        let takeover = inherited.finish().map_err(Error::Server)?;
        let started = config.clone();
        let gateway = Gateway::new(config, server.workers(), clock).map_err(Error::Gateway)?;
        let upkeep = gateway
            .open_tiers(takeover.is_some())
            .map_err(Error::Tiers)?;
        let acme = acme::Client::new(server.tls(), server.challenges(), gateway.clock().clone());
        let renewer = admin.as_ref().map(Admin::renewer);
        let reloader = Reloader::new(origin, started, gateway.clone(), server.renewer(), renewer);
        Ok(Self {
            gateway,
            deadlines,
            server,
            admin,
            reloader: Arc::new(reloader),
            upkeep,
            takeover,
            acme,
        })
    }

    /// Has the deadlines of connections pass by `clock`: without this they run on while a manual clock stands still.
    pub fn with_deadlines_by(mut self, clock: Clock) -> Self {
        self.deadlines = clock;
        self
    }

    /// The addresses taken, with the real port where port 0 was asked for.
    pub fn addrs(&self) -> Vec<ListenAddr> {
        self.server.local_addrs()
    }

    /// The address of the admin API, unless it is off.
    pub fn admin_addr(&self) -> Option<ListenAddr> {
        self.admin.as_ref().map(Admin::addr)
    }

    pub fn gateway(&self) -> &Arc<Gateway> {
        &self.gateway
    }

    /// The TLS of its listeners.
    pub fn tls(&self) -> TlsListeners {
        self.server.tls()
    }

    /// Reads its configuration again.
    pub fn reloader(&self) -> Arc<Reloader> {
        self.reloader.clone()
    }

    /// Gives its listening sockets to a successor.
    pub fn handover(&self) -> Handover {
        let admin = self.admin.iter().map(Admin::server);
        Handover::of([&self.server].into_iter().chain(admin))
    }

    /// Where it takes the place of another process: to be completed when it serves.
    pub fn take_takeover(&mut self) -> Option<Takeover> {
        self.takeover.take()
    }

    /// Serves until `shutdown` is done and everything in flight has been answered, or the drain deadline has passed.
    /// Blocks the calling thread, which polls `shutdown` in a runtime of its own.
    pub fn run(self, shutdown: impl Future<Output: Into<Shutdown>>) -> Result<Outcome, Error> {
        let clock = self.deadlines;
        let operations = GatewayOperations::new(
            self.gateway.clone(),
            self.server.readiness(),
            self.server.tls(),
            self.reloader,
        );
        let admin = self
            .admin
            .map(|admin| admin.start(Arc::new(operations), clock.clone()));
        let mut admin = admin.transpose().map_err(Error::Server)?;
        // On this thread, which has little to do, and no longer than until the shutdown.
        let acme = Box::pin(self.acme.run());
        let gateway = self.gateway.clone();
        let make = move |index| Worker::new(gateway.clone(), index);
        let shutdown = async {
            let how = tokio::select! {
                biased;
                how = shutdown => how.into(),
                never = acme => match never {},
            };
            if how == Shutdown::HandedOver
                && let Some(admin) = &mut admin
            {
                // What is asked from now on is for the successor to answer.
                admin.drain();
            }
            how
        };
        let outcome = self
            .server
            .run(clock, self.gateway.metrics(), make, shutdown);
        // The admin API answers while the gateway drains.
        let stopped = admin.map(RunningAdmin::stop).transpose();
        if let Some(upkeep) = self.upkeep {
            upkeep.stop();
        }
        let outcome = outcome.map_err(Error::Server)?;
        stopped.map_err(Error::Server)?;
        Ok(outcome)
    }
}

/// Why a gateway could not start, or did not end well.
#[derive(Debug)]
pub enum Error {
    Server(server::Error),
    /// The way to the API could not be set up, or the access log not opened.
    Gateway(error::Error),
    /// The directory of `[disk]` cannot be used, or the fleet of `[valkey]` not be joined.
    Tiers(OpenError),
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
            Self::Gateway(error) => error.fmt(f),
            Self::Tiers(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Server(error) => error.source(),
            Self::Gateway(error) => std::error::Error::source(error),
            Self::Tiers(error) => error.source(),
        }
    }
}
