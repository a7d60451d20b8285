//! One worker: a thread with a runtime of its own, its listeners, its connections and its service.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use tokio::runtime::{self, LocalOptions};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::task::JoinSet;

use super::client_connections::ClientConnections;
use super::connections::Connections;
use super::listen::{Bound, Treatment};
use super::listening::BACKLOG;
use super::renewal::Renewal;
use super::service::Service;
use super::socket::{Acceptor, Socket, concerns_one_connection};
use super::supervisor::{Report, Reporter};
use crate::clock::Clock;
use crate::config;
use crate::descriptors;
use crate::telemetry::counters::Counters;

/// A command of the server to all its workers; a later command replaces an earlier one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Command {
    /// Accept nothing yet.
    Wait,
    Serve,
    /// As `Drain`; a successor accepts from the same sockets, and idle connections have some time for a last request.
    HandedOver,
    /// Accept nothing new, finish what has begun.
    Drain,
    /// Abort all connections.
    CutOff,
}

/// The parts that a worker is made from.
#[derive(Debug)]
pub(super) struct WorkerSetup {
    pub index: usize,
    pub listeners: Vec<Bound>,
    pub config: Arc<config::Server>,
    pub clock: Clock,
    pub counters: Arc<Counters>,
    /// A permit for each connection that the server may have.
    pub slots: Arc<Semaphore>,
    pub clients: ClientConnections,
    /// Accepted connections that wait for a slot, over all workers.
    pub waiting_everywhere: Arc<AtomicUsize>,
    pub commands: watch::Receiver<Command>,
    pub renewals: mpsc::UnboundedReceiver<Renewal>,
}

/// Runs a worker to its end, in the thread that calls this.
pub(super) fn work<S: Service>(
    setup: WorkerSetup,
    make: &dyn Fn(usize) -> Rc<S>,
    reporter: Reporter,
) {
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default());
    let report = match runtime {
        Ok(runtime) => match runtime.block_on(run(setup, make, &reporter)) {
            Ok(left) => Report::Ended { left },
            Err(source) => Report::Failed { source },
        },
        Err(source) => Report::Failed { source },
    };
    reporter.end(report);
}

/// Returns the number of connections that were cut off.
async fn run<S: Service>(
    mut setup: WorkerSetup,
    make: &dyn Fn(usize) -> Rc<S>,
    reporter: &Reporter,
) -> io::Result<usize> {
    let mut commands = setup.commands.clone();
    let listeners = std::mem::take(&mut setup.listeners);
    let (_, none) = mpsc::unbounded_channel();
    let mut renewals = std::mem::replace(&mut setup.renewals, none);
    let worker = Rc::new(Worker::new(setup, make));
    let registry = Rc::downgrade(&worker.connections.registry);
    descriptors::make_room_by(move || {
        if let Some(registry) = registry.upgrade() {
            registry.evict(EVICT_AT_ONCE);
        }
    });
    let listeners = acceptors_of(listeners)?;
    let ticking = tokio::task::spawn_local(worker.clone().tick());
    reporter.ready();

    at_least(&mut commands, Command::Serve).await;
    let mut acceptors = JoinSet::new();
    let mut accepting = worker.clone().start(listeners, &mut acceptors);
    loop {
        tokio::select! {
            biased;
            () = at_least(&mut commands, Command::HandedOver) => break,
            Some(renewal) = renewals.recv() => {
                worker.connections.renew(&renewal.config);
                match renewal.listeners.map(acceptors_of).transpose() {
                    // Those before stop when the sender is dropped.
                    Ok(Some(listeners)) => accepting = worker.clone().start(listeners, &mut acceptors),
                    Ok(None) => {}
                    Err(error) => tracing::error!(%error, "a worker keeps its listeners as they were"),
                }
            }
            Some(_) = acceptors.join_next() => {}
        }
    }
    let is_handed_over = *commands.borrow() == Command::HandedOver;
    worker.connections.shared.drain(is_handed_over);
    let drained = async {
        while acceptors.join_next().await.is_some() {}
        drop(accepting);
        worker.connections.drained().await;
    };
    let left = tokio::select! {
        () = drained => 0,
        () = at_least(&mut commands, Command::CutOff) => worker.connections.cut_off().await,
    };
    ticking.abort();
    Ok(left)
}

fn acceptors_of(listeners: Vec<Bound>) -> io::Result<Vec<(Acceptor, Treatment)>> {
    let listeners = listeners.into_iter();
    let acceptors = listeners.map(|bound| Ok((Acceptor::new(bound.socket)?, bound.treatment)));
    acceptors.collect()
}

/// Waits for `command` or a later one. A server that has ended tells its workers to end.
async fn at_least(commands: &mut watch::Receiver<Command>, command: Command) {
    let _ = commands.wait_for(|given| *given >= command).await;
}

/// State that the tasks of one worker share.
struct Worker<S> {
    setup: WorkerSetup,
    connections: Connections<S>,
    /// When an error of accepting was last logged, in milliseconds of the coarse clock.
    last_reported: Cell<Option<u64>>,
}

/// How long the system has to free descriptors or memory before the next try to accept.
const RETRY_ACCEPT_AFTER: Duration = Duration::from_millis(20);

/// Connections that are evicted at once: one at a time would be too slow for a burst of new ones.
const EVICT_AT_ONCE: usize = 8;

/// Milliseconds between two log lines about connections that cannot be accepted.
const REPORT_ERROR_EVERY: u64 = 5_000;

/// Milliseconds between two looks at the wall clock.
const RESYNC_EVERY: u64 = 1_000;

impl<S: Service> Worker<S> {
    fn new(setup: WorkerSetup, make: &dyn Fn(usize) -> Rc<S>) -> Self {
        Self {
            connections: Connections::new(
                make(setup.index),
                &setup.config,
                setup.clock.clone(),
                setup.counters.clone(),
                setup.clients.clone(),
            ),
            last_reported: Cell::new(None),
            setup,
        }
    }

    /// Accepts from all until the sender is dropped.
    fn start(
        self: Rc<Self>,
        listeners: Vec<(Acceptor, Treatment)>,
        acceptors: &mut JoinSet<()>,
    ) -> watch::Sender<()> {
        let (accepting, until) = watch::channel(());
        for (acceptor, treatment) in listeners {
            let accepts = self.clone().accept(acceptor, treatment, until.clone());
            acceptors.spawn_local(accepts);
        }
        accepting
    }

    /// Accepts until the drain, or until another listener has the same socket, and then those that are still in the listener's queue: their clients are connected
    /// already.
    async fn accept(
        self: Rc<Self>,
        acceptor: Acceptor,
        treatment: Treatment,
        mut until: watch::Receiver<()>,
    ) {
        let mut replaced = pin!(async { while until.changed().await.is_ok() {} });
        let mut draining = pin!(self.connections.shared.draining());
        loop {
            tokio::select! {
                biased;
                () = &mut draining => break,
                () = &mut replaced => break,
                accepted = acceptor.accept() => self.admit(accepted, &treatment).await,
            }
        }
        // The runtime polls the listener for what has come since it did last.
        tokio::task::yield_now().await;
        // No more than the queue can have had: where the service manager has the socket too, new ones go on to come.
        for _ in 0..BACKLOG {
            let polled = poll_fn(|cx| Poll::Ready(pin!(acceptor.accept()).poll(cx))).await;
            let Poll::Ready(accepted @ Ok(_)) = polled else {
                break;
            };
            self.admit(accepted, &treatment).await;
        }
    }

    async fn admit(
        &self,
        accepted: io::Result<(Socket, Option<SocketAddr>)>,
        treatment: &Treatment,
    ) {
        match accepted {
            Ok((socket, addr)) => {
                // Before it waits for a slot: one that is refused costs no other its own.
                if let Ok(admitted) = self.connections.admit(socket, addr, treatment) {
                    let permit = self.slot().await;
                    self.connections.open(admitted, permit, treatment);
                }
            }
            Err(error) if concerns_one_connection(&error) => {}
            Err(error) => {
                if descriptors::is_shortage(&error) {
                    descriptors::make_room(&error, self.setup.clock.now().mono);
                } else {
                    self.report_accept_error(&error);
                    self.connections.registry.evict(EVICT_AT_ONCE);
                }
                tokio::time::sleep(RETRY_ACCEPT_AFTER).await;
            }
        }
    }

    /// A slot for one more connection. Where none is free, an evictable connection gives up its own; as long as all are
    /// busy, new ones wait in the listener's queue.
    async fn slot(&self) -> Option<OwnedSemaphorePermit> {
        let slots = self.setup.slots.clone();
        if let Ok(permit) = slots.clone().try_acquire_owned() {
            return Some(permit);
        }
        let shared = &self.connections.shared;
        let _waiting = Waiting::new(&self.setup.waiting_everywhere, &shared.waiting_for_slot);
        let mut permit = pin!(slots.acquire_owned());
        loop {
            self.connections.registry.evict(1);
            tokio::select! {
                // The semaphore is never closed.
                permit = &mut permit => return permit.ok(),
                () = shared.evictable.notified() => {}
            }
        }
    }

    fn report_accept_error(&self, error: &io::Error) {
        let now = self.connections.shared.now.get();
        let is_due = |last: u64| now.saturating_sub(last) >= REPORT_ERROR_EVERY;
        if self.last_reported.get().is_none_or(is_due) {
            self.last_reported.set(Some(now));
            let open = self.connections.registry.len();
            tracing::error!(%error, open, "cannot accept connections: they wait in the kernel's queue");
        }
    }

    /// Ticks for ever: connections that are late end, and evictable ones where others need what they hold.
    async fn tick(self: Rc<Self>) {
        let mut ticks = self.connections.ticks();
        let mut resynced = self.connections.shared.now.get();
        let mut shortages_before = descriptors::shortages();
        loop {
            if !self.connections.has_ticks(&ticks) {
                ticks = self.connections.ticks();
            }
            ticks.tick().await;
            let now = self.connections.tick();
            if self.setup.index == 0 && now.saturating_sub(resynced) >= RESYNC_EVERY {
                resynced = now;
                self.setup.clock.resync();
            }
            // Other workers have no other way to ask for one of our slots, or for a descriptor.
            let shortages = descriptors::shortages();
            let is_waited_for = self.setup.waiting_everywhere.load(Ordering::Relaxed) > 0;
            if is_waited_for || shortages != shortages_before {
                self.connections.registry.evict(EVICT_AT_ONCE);
            }
            shortages_before = shortages;
        }
    }
}

/// Counts as a connection that waits for a slot until it is dropped.
struct Waiting<'a> {
    everywhere: &'a AtomicUsize,
    here: &'a Cell<usize>,
}

impl<'a> Waiting<'a> {
    fn new(everywhere: &'a AtomicUsize, here: &'a Cell<usize>) -> Self {
        everywhere.fetch_add(1, Ordering::Relaxed);
        here.set(here.get() + 1);
        Self { everywhere, here }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.everywhere.fetch_sub(1, Ordering::Relaxed);
        self.here.set(self.here.get() - 1);
    }
}
