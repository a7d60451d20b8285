//! The admin API: health, metrics, purge, explain, reload and the dashboard, on a listener of its own. It uses the same server as clients do,
//! with one worker and tighter limits, so that it answers while the gateway is busy or drains.

mod answer;
mod content;
mod dashboard;
mod disk;
mod explain;
mod fleet;
mod gateway;
mod limits;
mod live;
mod metrics;
mod operations;
mod page;
mod process;
mod purge;
mod purges;
mod query;
mod reload;
mod service;
mod state;
mod stored;
mod stream;
mod tail;

use std::rc::Rc;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use tokio::sync::{oneshot, watch};

pub use self::answer::{json, problem};
pub use self::gateway::GatewayOperations;
pub use self::operations::{Operations, Reply};
pub use self::page::{Kind, Page};
pub use self::reload::{NotReloaded, Phase, ReloadSource, Reloaded, Reloader};

use self::limits::limits;
use self::service::AdminService;
use crate::clock::Clock;
use crate::config::{self, ListenAddr};
use crate::server::{Error, Inherited, Outcome, Renewer, Server};
use crate::telemetry::counters::Metrics;

/// An admin API whose address is bound and which does not serve yet.
#[derive(Debug)]
pub struct Admin {
    server: Server,
    config: config::Admin,
}

impl Admin {
    /// Binds the configured address; port 0 means a free one.
    pub fn bind(config: &config::Admin) -> Result<Self, Error> {
        Self::bind_with(config, &mut Inherited::default())
    }

    /// The same, with the socket of `inherited` where it has one for the address.
    pub fn bind_with(config: &config::Admin, inherited: &mut Inherited) -> Result<Self, Error> {
        let server = Server::bind_with(&limits(config.listen.clone()), inherited)?;
        Ok(Self {
            server: server.announced_as("admin API open"),
            config: config.clone(),
        })
    }

    /// The bound address, with the real port where port 0 was given.
    pub fn addr(&self) -> ListenAddr {
        let mut addrs = self.server.local_addrs();
        addrs.pop().unwrap_or_else(|| self.config.listen.clone())
    }

    /// Its listening sockets are this server's.
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// Changes its address while it runs.
    pub fn renewer(&self) -> Renewer {
        self.server.renewer()
    }

    /// Serves on a thread of its own until [`RunningAdmin::stop`].
    pub fn start(
        self,
        operations: Arc<dyn Operations>,
        clock: Clock,
    ) -> Result<RunningAdmin, Error> {
        let (stop, stopped) = oneshot::channel();
        // Streams of events end when the admin API begins to drain, rather than at its deadline.
        let (streams, open) = watch::channel(());
        let thread = thread::Builder::new()
            .name("admin".to_owned())
            .spawn(move || {
                let make = {
                    let (config, clock) = (self.config, clock.clone());
                    move |_| {
                        Rc::new(AdminService::new(
                            operations.clone(),
                            config.clone(),
                            clock.clone(),
                            open.clone(),
                        ))
                    }
                };
                // Dropping the sender stops it too.
                let stopped = async { stopped.await.unwrap_or(()) };
                self.server.run(clock, &Metrics::new(1), make, stopped)
            })
            .map_err(Error::Start)?;
        Ok(RunningAdmin {
            stop: Some((stop, streams)),
            thread,
        })
    }
}

/// An admin API that serves.
#[derive(Debug)]
pub struct RunningAdmin {
    stop: Option<(oneshot::Sender<()>, watch::Sender<()>)>,
    thread: JoinHandle<Result<Outcome, Error>>,
}

impl RunningAdmin {
    /// It accepts no more, answers the requests in flight, and then ends.
    pub fn drain(&mut self) {
        if let Some((stop, _streams)) = self.stop.take() {
            // It may have ended by itself.
            let _ = stop.send(());
        }
    }

    /// Waits until it has drained.
    pub fn stop(mut self) -> Result<Outcome, Error> {
        self.drain();
        self.thread
            .join()
            .unwrap_or(Err(Error::WorkerDied { index: 0 }))
    }
}
