//! A server's life: start the workers, wait for the order to stop, drain.

use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::thread;
use std::time::Duration;

use tokio::runtime;
use tokio::sync::{Semaphore, mpsc, watch};

use super::worker::{Order, Report, Reporter, Seat, work};
use super::{Error, Server, Service};
use crate::clock::Clock;
use crate::config;
use crate::descriptors;
use crate::telemetry::counters::Metrics;
use crate::telemetry::readiness::Stage;

/// How a server ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Everything in flight was answered.
    Drained,
    /// The drain deadline passed first, and something was cut off.
    Cut {
        /// Connections that were still open.
        connections: usize,
    },
}

/// How long workers have to drop what the drain deadline cut off.
const CUT_WITHIN: Duration = Duration::from_secs(5);

/// Raises the limit of open files to its hard limit: each connection needs one.
pub(super) fn raise_file_limit() {
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

pub(super) fn run<S, F>(
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

    let mut crew = Crew {
        working: threads.len(),
        left: 0,
        died: None,
        reports,
    };
    runtime.block_on(async {
        crew.all_ready().await;
        if crew.died.is_none() {
            for addr in &addrs {
                tracing::info!(address = %addr, "{announcement}");
            }
            readiness.set(Stage::Ready);
            tokio::select! {
                () = shutdown => {}
                () = crew.any_ends() => {}
            }
        }
        tracing::info!(deadline = ?config.drain_timeout, "draining");
        orders.send_replace(Order::Drain);
        readiness.set(Stage::Draining);
        if !crew.all_end(config.drain_timeout).await {
            orders.send_replace(Order::Cut);
            crew.all_end(CUT_WITHIN).await;
        }
    });
    let all_ended = crew.working == 0;
    for thread in threads {
        // One that hangs is left behind; the process is about to end.
        if all_ended || thread.is_finished() {
            let _ = thread.join();
        }
    }
    crew.outcome()
}

/// What is known of the workers.
struct Crew {
    working: usize,
    /// Connections that were cut off.
    left: usize,
    died: Option<Error>,
    reports: mpsc::UnboundedReceiver<Report>,
}

impl Crew {
    /// Waits until each worker accepts, or one has died.
    async fn all_ready(&mut self) {
        let mut ready = 0;
        while ready < self.working && self.died.is_none() {
            if self.next().await {
                ready += 1;
            }
        }
    }

    /// Waits until a worker has ended of itself.
    async fn any_ends(&mut self) {
        let working = self.working;
        while self.working == working {
            self.next().await;
        }
    }

    /// Waits until all workers have ended; false when `limit` passes first.
    async fn all_end(&mut self, limit: Duration) -> bool {
        let mut limit = pin!(tokio::time::sleep(limit));
        while self.working > 0 {
            tokio::select! {
                _ = self.next() => {}
                () = &mut limit => return false,
            }
        }
        true
    }

    /// Takes the next report; whether it says that a worker is ready.
    async fn next(&mut self) -> bool {
        match self.reports.recv().await {
            Some(Report::Ready) => return true,
            Some(Report::Ended { left }) => {
                self.working -= 1;
                self.left += left;
            }
            Some(Report::Failed { source }) => {
                self.working -= 1;
                self.died.get_or_insert(Error::Start(source));
            }
            Some(Report::Died { index }) => {
                self.working -= 1;
                self.died.get_or_insert(Error::WorkerDied { index });
            }
            None => self.working = 0,
        }
        false
    }

    fn outcome(self) -> Result<Outcome, Error> {
        match self.died {
            Some(error) => Err(error),
            None if self.left == 0 && self.working == 0 => Ok(Outcome::Drained),
            None => Ok(Outcome::Cut {
                connections: self.left,
            }),
        }
    }
}
