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

use super::beat::Beat;
use super::connection;
use super::deadline::Deadlines;
use super::io::Io;
use super::listen::Listener;
use super::protocol::Protocols;
use super::registry::{Membership, Registry};
use super::service::Service;
use super::socket::{Acceptor, Socket, concerns_one_connection};
use super::state::State;
use crate::clock::Clock;
use crate::config;
use crate::descriptors;
use crate::proxy::Peer;
use crate::semantics::authority::Scheme;
use crate::telemetry::counters::Counters;

/// What all workers are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Order {
    Serve,
    /// Accept nothing new, finish what has begun.
    Drain,
    /// Drop everything.
    Cut,
}

/// What a worker tells.
#[derive(Debug)]
pub(super) enum Report {
    Ready,
    /// It has ended as it was told to, with so many connections still open.
    Ended {
        left: usize,
    },
    /// It could not start.
    Failed {
        source: io::Error,
    },
    /// It panicked.
    Died {
        index: usize,
    },
}

/// Tells of a worker's end whatever happens.
#[derive(Debug)]
pub(super) struct Reporter {
    index: usize,
    reports: mpsc::UnboundedSender<Report>,
    ended: bool,
}

impl Reporter {
    pub fn new(index: usize, reports: mpsc::UnboundedSender<Report>) -> Self {
        Self {
            index,
            reports,
            ended: false,
        }
    }

    fn ready(&self) {
        self.tell(Report::Ready);
    }

    fn ends(mut self, report: Report) {
        self.ended = true;
        self.tell(report);
    }

    fn tell(&self, report: Report) {
        // Nobody listens any more once the server has given up on this worker.
        let _ = self.reports.send(report);
    }
}

impl Drop for Reporter {
    fn drop(&mut self) {
        if !self.ended {
            self.tell(Report::Died { index: self.index });
        }
    }
}

/// What a worker gets from its server.
#[derive(Debug)]
pub(super) struct Seat {
    pub index: usize,
    pub listeners: Vec<Listener>,
    pub config: Arc<config::Server>,
    pub clock: Clock,
    pub counters: Arc<Counters>,
    /// One for each connection that the server may have.
    pub places: Arc<Semaphore>,
    /// How many accepted connections wait for a place, over all workers.
    pub pressure: Arc<AtomicUsize>,
    pub orders: watch::Receiver<Order>,
}

/// A worker's thread.
pub(super) fn work<S: Service>(seat: Seat, make: &dyn Fn(usize) -> Rc<S>, reporter: Reporter) {
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default());
    let report = match runtime {
        Ok(runtime) => match runtime.block_on(live(seat, make, &reporter)) {
            Ok(left) => Report::Ended { left },
            Err(source) => Report::Failed { source },
        },
        Err(source) => Report::Failed { source },
    };
    reporter.ends(report);
}

/// A worker's whole life; the number of connections that had to be cut off.
async fn live<S: Service>(
    mut seat: Seat,
    make: &dyn Fn(usize) -> Rc<S>,
    reporter: &Reporter,
) -> io::Result<usize> {
    let mut orders = seat.orders.clone();
    let listeners = std::mem::take(&mut seat.listeners);
    let worker = Rc::new(Worker::new(seat, make));
    let registry = Rc::downgrade(&worker.registry);
    descriptors::make_room_by(move || {
        if let Some(registry) = registry.upgrade() {
            registry.evict(EVICTED);
        }
    });
    let mut acceptors = JoinSet::new();
    for listener in listeners {
        let listener = Acceptor::new(listener)?;
        acceptors.spawn_local(worker.clone().accept(listener));
    }
    let ticking = tokio::task::spawn_local(worker.clone().tick());
    reporter.ready();

    at_least(&mut orders, Order::Drain).await;
    worker.beat.drain();
    let drained = async {
        while acceptors.join_next().await.is_some() {}
        worker.registry.wake_all();
        worker.registry.emptied().await;
        worker.service.drained().await;
    };
    let left = tokio::select! {
        () = drained => 0,
        () = at_least(&mut orders, Order::Cut) => worker.cut().await,
    };
    ticking.abort();
    Ok(left)
}

/// Waits for `order` or a later one. A server that is gone wants everything to end.
async fn at_least(orders: &mut watch::Receiver<Order>, order: Order) {
    let _ = orders.wait_for(|heard| *heard >= order).await;
}

/// What the tasks of one worker share.
struct Worker<S> {
    seat: Seat,
    service: Rc<S>,
    protocols: Rc<Protocols>,
    registry: Rc<Registry>,
    beat: Rc<Beat>,
    deadlines: Deadlines,
    complained: Cell<Option<u64>>,
}

/// How long to let the system find descriptors or memory again before the next try to accept.
const BREATHER: Duration = Duration::from_millis(20);

/// How many connections make room at once: one at a time is too slow for what comes at once.
const EVICTED: usize = 8;

/// Milliseconds between two complaints about connections that cannot be accepted.
const COMPLAIN_EVERY: u64 = 5_000;

/// Milliseconds between two looks at the wall clock.
const RESYNC_EVERY: u64 = 1_000;

impl<S: Service> Worker<S> {
    fn new(seat: Seat, make: &dyn Fn(usize) -> Rc<S>) -> Self {
        let beat = Rc::new(Beat::counted_by(seat.counters.clone()));
        beat.now.set(seat.clock.now().mono.as_millis());
        Self {
            service: make(seat.index),
            protocols: Rc::new(Protocols::new(&seat.config)),
            registry: Rc::default(),
            beat,
            deadlines: Deadlines::new(&seat.config),
            complained: Cell::new(None),
            seat,
        }
    }

    /// Accepts until the drain, and then what is still in the queue: those clients have been told that they are
    /// connected.
    async fn accept(self: Rc<Self>, acceptor: Acceptor) {
        let mut draining = pin!(self.beat.draining());
        loop {
            tokio::select! {
                biased;
                () = &mut draining => break,
                accepted = acceptor.accept() => self.admit(accepted).await,
            }
        }
        // The runtime learns of what has come since its last look.
        tokio::task::yield_now().await;
        while let Some(accepted @ Ok(_)) = now_or_never(acceptor.accept()).await {
            self.admit(accepted).await;
        }
    }

    async fn admit(self: &Rc<Self>, accepted: io::Result<(Socket, Option<SocketAddr>)>) {
        match accepted {
            Ok((socket, addr)) => {
                let permit = self.place().await;
                self.open(socket, addr, permit);
            }
            Err(error) if concerns_one_connection(&error) => {}
            Err(error) => {
                if descriptors::is_shortage(&error) {
                    descriptors::make_room(&error, self.seat.clock.now().mono);
                } else {
                    self.complain(&error);
                    self.registry.evict(EVICTED);
                }
                tokio::time::sleep(BREATHER).await;
            }
        }
    }

    /// A place for one more connection. Where none is free, the most dispensable connection makes room; as long as
    /// all are busy, new ones wait in the listener's queue.
    async fn place(&self) -> Option<OwnedSemaphorePermit> {
        let places = self.seat.places.clone();
        if let Ok(permit) = places.clone().try_acquire_owned() {
            return Some(permit);
        }
        let _waiting = Waiting::new(&self.seat.pressure, &self.beat);
        let mut permit = pin!(places.acquire_owned());
        loop {
            self.registry.evict(1);
            tokio::select! {
                // Never closed.
                permit = &mut permit => return permit.ok(),
                () = self.beat.spare.notified() => {}
            }
        }
    }

    fn open(
        self: &Rc<Self>,
        socket: Socket,
        addr: Option<SocketAddr>,
        permit: Option<OwnedSemaphorePermit>,
    ) {
        let state = Rc::new(State::new(self.beat.clone()));
        let counters = self.seat.counters.clone();
        counters.connections_accepted.inc();
        counters.connections.add(1);
        let place = Place {
            _membership: self.registry.join(state.clone()),
            _permit: permit,
            counters,
        };
        let peer = Rc::new(Peer::of(
            addr,
            Scheme::Http,
            &self.seat.config.trusted_proxies,
        ));
        let serving = connection::serve(
            Io::new(socket, state),
            peer,
            self.service.clone(),
            self.protocols.clone(),
        );
        tokio::task::spawn_local(async move {
            let _place = place;
            serving.await;
        });
    }

    fn complain(&self, error: &io::Error) {
        let now = self.beat.now.get();
        let due = |last: u64| now.saturating_sub(last) >= COMPLAIN_EVERY;
        if self.complained.get().is_none_or(due) {
            self.complained.set(Some(now));
            let open = self.registry.len();
            tracing::error!(%error, open, "cannot accept connections: they wait in the kernel's queue");
        }
    }

    /// Moves the coarse clock, and compares all connections with their deadlines.
    async fn tick(self: Rc<Self>) {
        let mut ticks = tokio::time::interval(self.deadlines.tick());
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut resynced = self.beat.now.get();
        let mut short = descriptors::shortages();
        loop {
            ticks.tick().await;
            let now = self.seat.clock.now().mono.as_millis();
            self.beat.now.set(now);
            if self.seat.index == 0 && now.saturating_sub(resynced) >= RESYNC_EVERY {
                resynced = now;
                self.seat.clock.resync();
            }
            self.registry.look(&self.deadlines, &self.seat.counters);
            // Other workers have no other way to ask for a place of ours, or for a descriptor.
            let shortages = descriptors::shortages();
            if self.seat.pressure.load(Ordering::Relaxed) > 0 || shortages != short {
                self.registry.evict(EVICTED);
            }
            short = shortages;
        }
    }

    /// Ends all connections; how many there were.
    async fn cut(&self) -> usize {
        let left = self.registry.len();
        self.registry.cut_all();
        self.registry.emptied().await;
        left
    }
}

/// A connection's place among those of its worker and its server.
struct Place {
    _membership: Membership,
    _permit: Option<OwnedSemaphorePermit>,
    counters: Arc<Counters>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.counters.connections.sub(1);
    }
}

/// Counts as a connection that waits for a place until it is dropped.
struct Waiting<'a> {
    everywhere: &'a AtomicUsize,
    here: &'a Cell<usize>,
}

impl<'a> Waiting<'a> {
    fn new(everywhere: &'a AtomicUsize, beat: &'a Beat) -> Self {
        let here = &beat.waiting;
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

async fn now_or_never<F: Future>(future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    poll_fn(|cx| {
        Poll::Ready(match future.as_mut().poll(cx) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        })
    })
    .await
}
