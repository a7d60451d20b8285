//! One worker of the gateway: its way upstream, its counters, the settings it works with, and the first step of each
//! request, which is the last one for a hit.

use std::cell::{Cell, RefCell};
use std::hash::{BuildHasher as _, RandomState};
use std::rc::{Rc, Weak};
use std::sync::Arc;

use http::header::DATE;
use http::request::Parts;
use http::{HeaderValue, Method, Response};
use tokio::sync::{Notify, watch};
use tokio::task::spawn_local;

use crate::cache::stored::StoredResponse;
use crate::clock::Now;
use crate::error::Error;
use crate::proxy::exchange::Exchange;
use crate::proxy::gateway::{Gateway, Settings};
use crate::proxy::lookup::Lookup;
use crate::proxy::request::content::RequestContent;
use crate::proxy::request::peer::Peer;
use crate::proxy::request::{Class, Request, Target, Traits};
use crate::proxy::response::body::Body;
use crate::proxy::response::deliver::Delivery;
use crate::proxy::response::error;
use crate::proxy::response::logged;
use crate::proxy::response::prepared::ReadyFields;
use crate::semantics::cache_status::CacheStatus;
use crate::semantics::time::DeltaSeconds;
use crate::telemetry::access::AccessWriter;
use crate::telemetry::counters::Counters;
use crate::upstream::Upstreams;

/// What a worker works with until the configuration changes.
#[derive(Debug)]
pub struct Epoch {
    pub settings: Arc<Settings>,
    pub upstreams: Upstreams,
    pub ready: ReadyFields,
}

/// A worker: lives on one thread, within its runtime.
pub struct Worker {
    pub(super) gateway: Arc<Gateway>,
    pub(super) counters: Arc<Counters>,
    pub(super) access: Rc<AccessWriter>,
    epoch: RefCell<Rc<Epoch>>,
    /// That of the latest hit: the next request uses its memory, and mostly has the same origin.
    latest_target: Cell<Target>,
    /// Fills and writes that go on, whether or not their client stays.
    tasks: Cell<usize>,
    idle: Notify,
    seeds: RandomState,
    seed: Cell<u64>,
}

impl Worker {
    /// The worker with this index; to be made within its runtime.
    pub fn new(gateway: Arc<Gateway>, index: usize) -> Rc<Self> {
        let counters = gateway.metrics.workers[index % gateway.metrics.workers.len()].clone();
        let epoch = Rc::new(Epoch::new(&gateway, &counters, None));
        let access = Rc::new(gateway.access.writer(counters.clone()));
        let reloads = gateway.reloads.subscribe();
        let worker = Rc::new(Self {
            gateway,
            counters,
            access,
            epoch: RefCell::new(epoch),
            latest_target: Cell::default(),
            tasks: Cell::new(0),
            idle: Notify::new(),
            seeds: RandomState::new(),
            seed: Cell::new(0),
        });
        spawn_local(follow(Rc::downgrade(&worker), reloads));
        worker
    }

    /// Answers one request, whatever happens.
    pub async fn handle(
        self: &Rc<Self>,
        peer: &Rc<Peer>,
        request: http::Request<RequestContent>,
    ) -> Response<Body> {
        match self.receive(peer, request) {
            Ok(response) => response,
            Err(exchange) => Box::pin(exchange.run()).await,
        }
    }

    /// The response to a request whose head could not be read, or is larger than it may be: `parts` is what is known of
    /// it.
    pub fn refuse(
        self: &Rc<Self>,
        peer: &Rc<Peer>,
        error: &Error,
        parts: Option<&Parts>,
    ) -> Response<Body> {
        let method = parts.map_or(&Method::GET, |parts| &parts.method);
        let mut response = self.rescue(error, method);
        logged::follow_refusal(self, &mut response, peer, parts);
        response
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

    /// Answers from the store at once, or begins an exchange.
    fn receive(
        self: &Rc<Self>,
        peer: &Rc<Peer>,
        request: http::Request<RequestContent>,
    ) -> Result<Response<Body>, Box<Exchange>> {
        let now = self.gateway.clock.now();
        let epoch = self.epoch();
        let mut request = match Request::read(request, peer, &epoch, now, self.latest_target.take())
        {
            Ok(request) => request,
            Err(refused) => return Ok(self.refuse(peer, &refused.error, Some(&refused.parts))),
        };
        if let Some(limits) = &epoch.settings.limits {
            match limits.count(&request) {
                Ok(quotas) => request.quotas = quotas.some(),
                Err(refusal) => return Ok(self.limited(&request, &refusal)),
            }
        }
        request.canonicalise(&self.gateway.store);
        if request.traits.any(Traits::THIS_HOP) {
            request.drop_nominated(&self.gateway.store);
        }
        if !request.class.is_looked_up() || request.is_bypassed() || request.class == Class::Query {
            return Err(Box::new(Exchange::new(self.clone(), request)));
        }
        match self.look_up(&request) {
            Lookup::Deliver {
                stored,
                age,
                status,
                validate_behind: false,
            } => {
                let mut response = self.deliver(&request, &stored, Some(age), status);
                request.bound(&mut response);
                if let Some(quotas) = &request.quotas {
                    quotas.tell(response.headers_mut());
                }
                self.latest_target.set(request.target);
                Ok(response)
            }
            lookup => Err(Box::new(Exchange::with(self.clone(), request, lookup))),
        }
    }

    /// Answers with a stored response.
    pub(super) fn deliver(
        &self,
        request: &Request,
        stored: &Arc<StoredResponse>,
        age: Option<DeltaSeconds>,
        status: CacheStatus,
    ) -> Response<Body> {
        let delivery = Delivery {
            worker: self,
            request,
            age,
            status,
        };
        delivery.stored(stored)
    }

    /// The response that reports an error to a request that was not understood.
    pub(super) fn rescue(&self, error: &Error, method: &Method) -> Response<Body> {
        let epoch = self.epoch();
        let identity = &epoch.settings.identity;
        let mut response = error::respond(error, method, identity, &self.counters);
        self.date(&mut response, self.gateway.clock.now());
        let fields = response.headers_mut();
        crate::proxy::forward::fields::add_via(fields, identity);
        CacheStatus::default().append_to(fields, &identity.name);
        response
    }

    /// Dates a response of our own.
    pub(super) fn date(&self, response: &mut Response<Body>, now: Now) {
        if let Ok(date) = HeaderValue::from_str(&now.wall.to_http_date()) {
            response.headers_mut().insert(DATE, date);
        }
    }

    /// The settings in force, taken over when they have changed.
    pub(super) fn epoch(&self) -> Rc<Epoch> {
        let mut epoch = self.epoch.borrow_mut();
        if epoch.settings.version != self.gateway.version() {
            let renewed = Epoch::new(&self.gateway, &self.counters, Some(&epoch));
            *epoch = Rc::new(renewed);
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

/// Takes new settings over as soon as they are there, for a worker that has no request then: health checks of new servers
/// begin, and connections to servers that have left are closed.
async fn follow(worker: Weak<Worker>, mut reloads: watch::Receiver<u64>) {
    while reloads.changed().await.is_ok() {
        let Some(worker) = worker.upgrade() else {
            return;
        };
        worker.epoch();
    }
}

impl Epoch {
    fn new(gateway: &Gateway, counters: &Arc<Counters>, before: Option<&Self>) -> Self {
        let settings = gateway.settings();
        let upstreams = Upstreams::renewed(
            settings.upstream.clone(),
            gateway.clock.clone(),
            counters.clone(),
            before.map(|before| &before.upstreams),
        );
        upstreams.start();
        Self {
            settings,
            upstreams,
            ready: ReadyFields::new(counters.clone()),
        }
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
