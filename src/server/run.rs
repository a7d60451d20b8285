//! A server's life: it binds its addresses, starts the workers, waits for its shutdown, and drains.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::task::Poll;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::runtime;
use tokio::sync::{Semaphore, mpsc, watch};

use super::client_connections::ClientConnections;
use super::error::Error;
use super::inherited::Inherited;
use super::listen::{Listeners, SharedListeners};
use super::renewal::{Renewal, Renewer};
use super::service::Service;
use super::supervisor::{Outcome, Reporter, Supervisor};
use super::tls::{TlsListeners, watch};
use super::worker::{Command, WorkerSetup, work};
use crate::clock::Clock;
use crate::config::{self, ListenAddr};
use crate::descriptors;
use crate::proxy::Challenges;
use crate::telemetry::counters::Metrics;
use crate::telemetry::readiness::{Readiness, Stage};

/// A server whose addresses are bound, and that waits to be run.
#[derive(Debug)]
pub struct Server {
    listeners: SharedListeners,
    tls: TlsListeners,
    config: Arc<ArcSwap<config::Server>>,
    workers: usize,
    renewer: Renewer,
    /// By worker.
    renewals: Vec<mpsc::UnboundedReceiver<Renewal>>,
    readiness: Readiness,
    announcement: &'static str,
    logs_drain: bool,
}

impl Server {
    /// Binds all addresses of `config`; port 0 means a free port, the same for all workers. Raises the limit of open
    /// files to its hard limit.
    ///
    /// # Errors
    /// When an address cannot be bound: also when another process has the port, even if that process would share it.
    pub fn bind(config: &config::Server) -> Result<Self, Error> {
        Self::bind_with(config, &mut Inherited::default())
    }

    /// The same, with the sockets of `inherited` where it has some for an address.
    ///
    /// # Errors
    /// As [`Server::bind`].
    pub fn bind_with(config: &config::Server, inherited: &mut Inherited) -> Result<Self, Error> {
        // Each connection needs one.
        match rlimit::increase_nofile_limit(u64::MAX) {
            Ok(limit) => tracing::debug!(limit, "open files"),
            Err(error) => tracing::warn!(%error, "cannot raise the limit of open files"),
        }
        let workers = worker_count(config);
        let (listeners, tls) = Listeners::bind(config, workers, inherited)?;
        let listeners = SharedListeners::new(listeners);
        let config = Arc::new(ArcSwap::from_pointee(config.clone()));
        let (senders, renewals): (Vec<_>, _) =
            (0..workers).map(|_| mpsc::unbounded_channel()).unzip();
        let renewer = Renewer {
            listeners: listeners.clone(),
            tls: tls.clone(),
            config: config.clone(),
            announcement: "listening",
            workers: senders.into(),
        };
        Ok(Self {
            listeners,
            tls,
            config,
            workers,
            renewer,
            renewals,
            readiness: Readiness::default(),
            announcement: "listening",
            logs_drain: true,
        })
    }

    /// Logs `announcement` in the place of `listening` when the server is ready, and nothing of its drain: it is beside
    /// another, which does.
    pub fn announced_as(mut self, announcement: &'static str) -> Self {
        self.announcement = announcement;
        self.logs_drain = false;
        self
    }

    /// The addresses bound, with the real port where port 0 was asked for.
    pub fn local_addrs(&self) -> Vec<ListenAddr> {
        self.listeners.lock().addrs().cloned().collect()
    }

    /// Its listening sockets, which a handover sends to a successor.
    pub(super) fn listeners(&self) -> SharedListeners {
        self.listeners.clone()
    }

    /// The TLS of its listeners.
    pub fn tls(&self) -> TlsListeners {
        self.tls.clone()
    }

    /// The challenges of certificate authorities that its listeners without TLS answer.
    pub fn challenges(&self) -> Challenges {
        self.listeners.lock().challenges().clone()
    }

    /// Renews its configuration while it runs.
    pub fn renewer(&self) -> Renewer {
        Renewer {
            announcement: self.announcement,
            ..self.renewer.clone()
        }
    }

    /// The number of workers that will run.
    pub fn workers(&self) -> usize {
        self.workers
    }

    /// Whether clients are served now. It changes with the server's state.
    pub fn readiness(&self) -> Readiness {
        self.readiness.clone()
    }

    /// Serves until `shutdown` is done and everything in flight has been answered, or the drain deadline has passed.
    /// What `shutdown` returns says how it ends: `()` means [`Shutdown::Stop`]. `make` is called once on each worker's
    /// thread, inside its runtime, with the worker's index; `metrics` has counters for [`Server::workers`] workers.
    ///
    /// Blocks the calling thread, which polls `shutdown` in a runtime of its own: must not be called from a task.
    ///
    /// # Errors
    /// When a thread or runtime cannot be made, or when a worker ends by itself; the others are drained then, too.
    pub fn run<S, F>(
        self,
        clock: Clock,
        metrics: &Metrics,
        make: F,
        shutdown: impl Future<Output: Into<Shutdown>>,
    ) -> Result<Outcome, Error>
    where
        S: Service,
        F: Fn(usize) -> Rc<S> + Send + Sync + 'static,
    {
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(Error::Start)?;
        let addrs = self.local_addrs();
        let sets = self.listeners.lock().sets().map_err(Error::Start)?;
        let config = self.config.load_full();
        let max_connections = max_connections(&config, sets.len());
        let slots = Arc::new(Semaphore::new(max_connections.min(Semaphore::MAX_PERMITS)));
        let clients = ClientConnections::new(&config);
        let waiting_everywhere = Arc::<AtomicUsize>::default();
        let (commands, given) = watch::channel(Command::Wait);
        let setups = sets.into_iter().zip(self.renewals).enumerate();
        let setups = setups.map(|(index, (listeners, renewals))| WorkerSetup {
            index,
            listeners,
            renewals,
            config: config.clone(),
            clock: clock.clone(),
            counters: metrics.workers.get(index).cloned().unwrap_or_default(),
            slots: slots.clone(),
            clients: clients.clone(),
            waiting_everywhere: waiting_everywhere.clone(),
            commands: given.clone(),
        });
        // A failure drops `commands`, which ends the workers that run already.
        let (threads, mut supervisor) = start(setups, make)?;

        runtime.block_on(async {
            let mut how = Shutdown::Stop;
            supervisor.all_ready().await;
            if !supervisor.has_failed() {
                let mut delayed = pin!(async {
                    let how = shutdown.await.into();
                    let shutdown_delay = self.config.load().shutdown_delay;
                    // A successor serves already.
                    if how == Shutdown::Stop && !shutdown_delay.is_zero() {
                        tracing::info!(delay = ?shutdown_delay, "shutting down: /readyz fails, clients are served");
                        self.readiness.set(Stage::ShuttingDown);
                        tokio::time::sleep(shutdown_delay).await;
                    }
                    how
                });
                // Signals are waited for from here on: who reads the next lines may send one at once.
                let first = poll_fn(|cx| Poll::Ready(delayed.as_mut().poll(cx))).await;
                for addr in &addrs {
                    tracing::info!(address = %addr, "{}", self.announcement);
                }
                // Before any request is served: who has got a response is not to be told that there are none yet.
                self.readiness.set(Stage::Ready);
                commands.send_replace(Command::Serve);
                how = match first {
                    Poll::Ready(how) => how,
                    Poll::Pending => tokio::select! {
                        how = delayed => how,
                        () = supervisor.any_ends() => Shutdown::Stop,
                        () = watch(self.tls, &clock) => Shutdown::Stop,
                    },
                };
            }
            let drain_timeout = self.config.load().drain_timeout;
            if self.logs_drain {
                tracing::info!(deadline = ?drain_timeout, "draining");
            }
            self.listeners.lock().close();
            commands.send_replace(match how {
                Shutdown::Stop => Command::Drain,
                Shutdown::HandedOver => Command::HandedOver,
            });
            self.readiness.set(Stage::Draining);
            if !supervisor.all_end(drain_timeout).await {
                commands.send_replace(Command::CutOff);
                supervisor.all_end(CUT_OFF_WITHIN).await;
            }
        });
        let all_ended = supervisor.all_have_ended();
        for thread in threads {
            // A thread that hangs is not waited for: the process is about to end.
            if all_ended || thread.is_finished() {
                let _ = thread.join();
            }
        }
        supervisor.outcome()
    }
}

/// How a server comes to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shutdown {
    /// After `shutdown_delay`, it drains: idle connections are closed at once.
    Stop,
    /// A successor serves with the same listening sockets. It drains at once; an idle connection has some time for a last
    /// request.
    HandedOver,
}

impl From<()> for Shutdown {
    fn from((): ()) -> Self {
        Self::Stop
    }
}

/// Starts a thread for each worker.
fn start<S, F>(
    setups: impl Iterator<Item = WorkerSetup>,
    make: F,
) -> Result<(Vec<JoinHandle<()>>, Supervisor), Error>
where
    S: Service,
    F: Fn(usize) -> Rc<S> + Send + Sync + 'static,
{
    let (reporter, reports) = mpsc::unbounded_channel();
    let make = Arc::new(make);
    let mut threads = Vec::new();
    for setup in setups {
        let make = make.clone();
        let reporter = Reporter::new(setup.index, reporter.clone());
        let thread = thread::Builder::new()
            .name(format!("worker-{}", setup.index))
            .spawn(move || work(setup, &*make, reporter))
            .map_err(Error::Start)?;
        threads.push(thread);
    }
    let supervisor = Supervisor::new(threads.len(), reports);
    Ok((threads, supervisor))
}

/// How many workers `config` asks for: one a core when it leaves that open.
pub fn worker_count(config: &config::Server) -> usize {
    match config.workers {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        n => n,
    }
}

/// How long workers have to drop the connections that the drain deadline cut off.
const CUT_OFF_WITHIN: Duration = Duration::from_secs(5);

/// Descriptors that a worker needs besides its listeners and connections, and the process besides those that are open when
/// it starts: for runtimes, DNS queries and files.
const WORKER: u64 = 4;
const PROCESS: u64 = 8;

/// How many connections from clients the limit of open files leaves room for, at most as many as are configured.
fn max_connections(config: &config::Server, workers: usize) -> usize {
    let Some(limit) = descriptors::limit() else {
        return config.max_connections;
    };
    let others = descriptors::open() + PROCESS + WORKER * workers as u64;
    let fit = descriptors::for_clients(limit, others);
    let configured = config.max_connections;
    if fit < configured {
        tracing::warn!(
            limit,
            max_connections = fit,
            configured,
            "fewer connections from clients than configured: raise the limit of open files (ulimit -n, or LimitNOFILE= \
             in the unit), or lower max_connections in [server]"
        );
    }
    fit.min(configured)
}
