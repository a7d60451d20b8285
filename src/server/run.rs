//! A server's life: start the workers, wait for the order to stop, drain.

use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::thread;
use std::time::Duration;

use tokio::runtime;
use tokio::sync::{Semaphore, mpsc, watch};

use super::error::Error;
use super::listen::Listeners;
use super::service::Service;
use super::supervisor::{Outcome, Supervisor};
use super::worker::{Order, Reporter, Seat, work};
use crate::clock::Clock;
use crate::config::{self, ListenAddr};
use crate::descriptors;
use crate::telemetry::counters::Metrics;
use crate::telemetry::readiness::{Readiness, Stage};

/// Listeners that are bound and wait to be run.
#[derive(Debug)]
pub struct Server {
    listeners: Listeners,
    config: Arc<config::Server>,
    workers: usize,
    readiness: Readiness,
    announcement: &'static str,
}

impl Server {
    /// Takes all addresses of `config.listen`. A port that another process has is an error, even if that process
    /// would share it; port 0 takes a free one, the same for all workers. Raises the limit of open files to its hard
    /// limit.
    pub fn bind(config: &config::Server) -> Result<Self, Error> {
        raise_file_limit();
        let workers = worker_count(config);
        Ok(Self {
            listeners: Listeners::bind(&config.listen, workers)?,
            config: Arc::new(config.clone()),
            workers,
            readiness: Readiness::default(),
            announcement: "listening",
        })
    }

    /// Says `announcement` in the log, instead of `listening`, when the server is ready.
    pub fn announced_as(mut self, announcement: &'static str) -> Self {
        self.announcement = announcement;
        self
    }

    /// The addresses taken, with the real port where port 0 was asked for.
    pub fn local_addrs(&self) -> &[ListenAddr] {
        self.listeners.addrs()
    }

    /// The number of workers that will run.
    pub fn workers(&self) -> usize {
        self.workers
    }

    /// Whether clients are served now; clones follow the server's life.
    pub fn readiness(&self) -> Readiness {
        self.readiness.clone()
    }

    /// Serves until `shutdown` is done and everything in flight has been answered, or the drain deadline has passed.
    /// `make` is called once on each worker's thread, inside its runtime, with the worker's index; `metrics` has
    /// counters for [`Server::workers`] workers.
    ///
    /// Blocks the calling thread, which polls `shutdown` in a runtime of its own: must not be called from a task.
    /// Fails when a thread or runtime cannot be made, or when a worker dies; the others are drained then, too.
    pub fn run<S, F>(
        self,
        clock: Clock,
        metrics: &Metrics,
        make: F,
        shutdown: impl Future<Output = ()>,
    ) -> Result<Outcome, Error>
    where
        S: Service,
        F: Fn(usize) -> Rc<S> + Send + Sync + 'static,
    {
        run(self, clock, metrics, make, shutdown)
    }
}

/// How many workers `config` asks for: one a core when it leaves that open.
pub fn worker_count(config: &config::Server) -> usize {
    match config.workers {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        n => n,
    }
}

/// How long workers have to drop what the drain deadline cut off.
const CUT_WITHIN: Duration = Duration::from_secs(5);

/// Raises the limit of open files to its hard limit: each connection needs one.
fn raise_file_limit() {
    match rlimit::increase_nofile_limit(u64::MAX) {
        Ok(limit) => tracing::debug!(limit, "open files"),
        Err(error) => tracing::warn!(%error, "cannot raise the limit of open files"),
    }
}

/// Descriptors that a worker has for itself, beside its listeners, and the process beside those that are open when it
/// starts: runtimes, questions for names, files.
const WORKER: u64 = 4;
const PROCESS: u64 = 8;

/// Connections from clients that fit into the limit of open files, as many as are configured at most.
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

fn run<S, F>(
    server: Server,
    clock: Clock,
    metrics: &Metrics,
    make: F,
    shutdown: impl Future<Output = ()>,
) -> Result<Outcome, Error>
where
    S: Service,
    F: Fn(usize) -> Rc<S> + Send + Sync + 'static,
{
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Error::Start)?;
    let (orders, heard) = watch::channel(Order::Serve);
    let (reporter, reports) = mpsc::unbounded_channel();
    let Server {
        listeners,
        config,
        readiness,
        announcement,
        ..
    } = server;
    let addrs = listeners.addrs().to_vec();
    let (sets, _files) = listeners.into_parts();
    let make = Arc::new(make);
    let places = Arc::new(Semaphore::new(
        max_connections(&config, sets.len()).min(Semaphore::MAX_PERMITS),
    ));
    let pressure = Arc::<AtomicUsize>::default();

    let mut threads = Vec::with_capacity(sets.len());
    for (index, listeners) in sets.into_iter().enumerate() {
        let seat = Seat {
            index,
            listeners,
            config: config.clone(),
            clock: clock.clone(),
            counters: metrics.workers.get(index).cloned().unwrap_or_default(),
            places: places.clone(),
            pressure: pressure.clone(),
            orders: heard.clone(),
        };
        let make = make.clone();
        let reporter = Reporter::new(index, reporter.clone());
        // A failure drops `orders`, which ends the workers that run already.
        let thread = thread::Builder::new()
            .name(format!("worker-{index}"))
            .spawn(move || work(seat, &*make, reporter))
            .map_err(Error::Start)?;
        threads.push(thread);
    }
    drop(reporter);

    let mut supervisor = Supervisor::new(threads.len(), reports);
    runtime.block_on(async {
        supervisor.all_ready().await;
        if !supervisor.has_died() {
            for addr in &addrs {
                tracing::info!(address = %addr, "{announcement}");
            }
            readiness.set(Stage::Ready);
            tokio::select! {
                () = shutdown => {}
                () = supervisor.any_ends() => {}
            }
        }
        tracing::info!(deadline = ?config.drain_timeout, "draining");
        orders.send_replace(Order::Drain);
        readiness.set(Stage::Draining);
        if !supervisor.all_end(config.drain_timeout).await {
            orders.send_replace(Order::Cut);
            supervisor.all_end(CUT_WITHIN).await;
        }
    });
    let all_ended = supervisor.all_have_ended();
    for thread in threads {
        // One that hangs is left behind; the process is about to end.
        if all_ended || thread.is_finished() {
            let _ = thread.join();
        }
    }
    supervisor.outcome()
}
