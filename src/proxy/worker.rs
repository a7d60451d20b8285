//! The context of one worker: its counters, the settings it works with, and the work that goes on.

use std::cell::{Cell, RefCell};
use std::hash::{BuildHasher as _, RandomState};
use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::Notify;
use tokio::task::spawn_local;

use crate::clock::Monotonic;
use crate::proxy::epoch::Epoch;
use crate::proxy::gateway::Gateway;
use crate::proxy::request::target::Target;
use crate::telemetry::access::AccessWriter;
use crate::telemetry::by_route::RouteCounters;
use crate::telemetry::counters::Counters;

/// A worker: lives on one thread, within its runtime.
pub struct Worker {
    pub(super) gateway: Arc<Gateway>,
    pub(super) counters: Arc<Counters>,
    /// Of requests that are refused before they have a route.
    pub(super) unrouted: Arc<RouteCounters>,
    /// When the next hit is measured.
    pub(super) next_measured_hit: Cell<Monotonic>,
    pub(super) access: Rc<AccessWriter>,
    epoch: RefCell<Rc<Epoch>>,
    /// The target of the latest hit: the next request reuses its memory, and mostly has the same origin.
    pub(super) latest_target: Cell<Target>,
    /// Fills and writes that go on, whether or not their client stays.
    tasks: Cell<usize>,
    idle: Notify,
    /// Hits until the next one that the sketches of URLs count.
    pub(super) unsampled: Cell<u32>,
    seeds: RandomState,
    seed: Cell<u64>,
}

impl Worker {
    /// The worker with this index; to be made within its runtime.
    pub fn new(gateway: Arc<Gateway>, index: usize) -> Rc<Self> {
        let counters = gateway.metrics.workers[index % gateway.metrics.workers.len()].clone();
        let unrouted = counters.routes.of_none();
        let epoch = Rc::new(Epoch::new(&gateway, &counters, None));
        let access = Rc::new(gateway.access.writer(counters.clone()));
        let mut reloads = gateway.reloads.subscribe();
        let worker = Rc::new(Self {
            gateway,
            counters,
            unrouted,
            next_measured_hit: Cell::default(),
            access,
            epoch: RefCell::new(epoch),
            latest_target: Cell::default(),
            tasks: Cell::new(0),
            idle: Notify::new(),
            unsampled: Cell::new(0),
            seeds: RandomState::new(),
            seed: Cell::new(0),
        });
        // A worker that has no request takes new settings over as soon as they are there, too: health checks of new servers
        // begin, and connections to servers that have left are closed.
        let follower = Rc::downgrade(&worker);
        spawn_local(async move {
            while reloads.changed().await.is_ok() {
                let Some(worker) = follower.upgrade() else {
                    return;
                };
                worker.epoch();
            }
        });
        worker
    }

    /// Done when no fill or write goes on any more.
    pub async fn drained(self: &Rc<Self>) {
        while self.tasks.get() > 0 {
            self.idle.notified().await;
        }
    }

    /// Runs `task` on this worker's thread; the drain waits for it.
    pub(super) fn spawn(self: &Rc<Self>, task: impl Future<Output = ()> + 'static) {
        run_apart(task, TaskGuard::begin(self.clone()));
    }

    /// Runs a fill that nobody waits for.
    pub(super) fn spawn_behind(self: &Rc<Self>, task: impl Future<Output = ()> + 'static) {
        self.counters.background_begun.inc();
        self.counters.background_fills.add(1);
        let behind = Behind(self.clone());
        let task = Box::pin(task);
        self.spawn(async move {
            task.await;
            drop(behind);
        });
    }

    /// The settings in force, taken over when they have changed.
    pub(super) fn epoch(&self) -> Rc<Epoch> {
        let mut epoch = self.epoch.borrow_mut();
        if epoch.settings.version != self.gateway.version() {
            let renewed = Epoch::new(&self.gateway, &self.counters, Some(&epoch));
            *epoch = Rc::new(renewed);
            self.access.renew();
        }
        epoch.clone()
    }

    /// Hard to guess, and another each time.
    pub(super) fn boundary_seed(&self) -> u128 {
        let seed = self.seed.get().wrapping_add(1);
        self.seed.set(seed);
        let (high, low) = (
            self.seeds.hash_one((seed, true)),
            self.seeds.hash_one((seed, false)),
        );
        (u128::from(high) << 64) | u128::from(low)
    }
}

/// Runs `work` in a task of its own.
pub(super) fn run_apart(work: impl Future<Output = ()> + 'static, running: TaskGuard) {
    tokio::task::spawn_local(async move {
        work.await;
        drop(running);
    });
}

/// Counts work for as long as it goes on, however it ends.
pub(super) struct TaskGuard(Rc<Worker>);

impl TaskGuard {
    pub(super) fn begin(worker: Rc<Worker>) -> Self {
        worker.tasks.set(worker.tasks.get() + 1);
        worker.counters.fills.add(1);
        Self(worker)
    }
}

impl Drop for TaskGuard {
    fn drop(&mut self) {
        self.0.tasks.set(self.0.tasks.get() - 1);
        self.0.counters.fills.sub(1);
        if self.0.tasks.get() == 0 {
            self.0.idle.notify_waiters();
        }
    }
}

/// Counts a fill that nobody waits for, for as long as it runs.
struct Behind(Rc<Worker>);

impl Drop for Behind {
    fn drop(&mut self) {
        self.0.counters.background_fills.sub(1);
    }
}
