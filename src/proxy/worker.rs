//! One worker of the gateway: its way upstream, its counters, the settings it works with, and the first step of each
//! request, which is the last one for a hit.

use std::cell::{Cell, RefCell};
use std::hash::{BuildHasher as _, RandomState};
use std::rc::{Rc, Weak};
use std::sync::Arc;

use http::header::DATE;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, Response};
use tokio::sync::{Notify, watch};
use tokio::task::spawn_local;

use super::body::Body;
use super::deliver::Delivery;
use super::exchange::Exchange;
use super::gateway::{Gateway, Settings};
use super::logged;
use super::peer::Peer;
use super::ready::ReadyFields;
use super::receive::{Class, Facts, Inquiry, Target};
use super::request_content::RequestContent;
use super::rescue;
use super::want::{holds_what_is_asked, is_personal, want};
use crate::cache::head::Head;
use crate::cache::store::Store;
use crate::cache::stored::{Marker, Resource, StoredResponse, Unshared};
use crate::clock::Now;
use crate::error::Error;
use crate::semantics::cache_status::{CacheStatus, Detail, ForwardReason};
use crate::semantics::fetch::Want;
use crate::semantics::preconditions::origin_must_decide;
use crate::semantics::reuse::{Reuse, Selection, decide};
use crate::semantics::time::DeltaSeconds;
use crate::semantics::vary::prefer;
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

/// What the store says to a request.
pub(super) enum Verdict {
    /// A stored response that may be delivered now.
    Deliver {
        stored: Arc<StoredResponse>,
        age: DeltaSeconds,
        status: CacheStatus,
        /// It is to be validated behind (RFC 5861 §3).
        validate_behind: bool,
    },
    /// Something has to be asked upstream.
    Ask(Question),
    /// Nothing stored will do, and the client wants nothing else.
    Unsatisfiable,
}

/// What is asked upstream, and what is known for it.
#[derive(Clone)]
pub(super) struct Question {
    pub reason: ForwardReason,
    /// Why the selected variant needs validation, where `reason` does not tell it.
    pub why: Option<Detail>,
    pub resource: Option<Resource>,
    /// The variant that the request selects, if it needs validation.
    pub selected: Option<Arc<StoredResponse>>,
    /// The cache cannot be of use: forward the request as it is.
    pub pass: bool,
    /// Why the latest response to such a request could not be stored.
    pub marked: Option<Unshared>,
    /// The request has credentials, and nothing stored says that its response may be shared.
    pub personal: bool,
    pub want: Want,
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
        request: Request<RequestContent>,
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
        run_apart(task, Running::begin(self.clone()));
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
        request: Request<RequestContent>,
    ) -> Result<Response<Body>, Box<Exchange>> {
        let now = self.gateway.clock.now();
        let epoch = self.epoch();
        let mut inquiry = match Inquiry::read(request, peer, &epoch, now, self.latest_target.take())
        {
            Ok(inquiry) => inquiry,
            Err(refused) => return Ok(self.refuse(peer, &refused.error, Some(&refused.parts))),
        };
        if let Some(limits) = &epoch.settings.limits {
            match limits.count(&inquiry) {
                Ok(quotas) => inquiry.quotas = quotas.some(),
                Err(refusal) => return Ok(self.limited(&inquiry, &refusal)),
            }
        }
        inquiry.canonicalise(&self.gateway.store);
        if inquiry.facts.any(Facts::THIS_HOP) {
            inquiry.drop_nominated(&self.gateway.store);
        }
        if !inquiry.class.is_looked_up() || inquiry.is_bypassed() || inquiry.class == Class::Query {
            return Err(Box::new(Exchange::new(self.clone(), inquiry)));
        }
        match self.look_up(&inquiry) {
            Verdict::Deliver {
                stored,
                age,
                status,
                validate_behind: false,
            } => {
                let mut response = self.deliver(&inquiry, &stored, Some(age), status);
                inquiry.bound(&mut response);
                if let Some(quotas) = &inquiry.quotas {
                    quotas.tell(response.headers_mut());
                }
                self.latest_target.set(inquiry.target);
                Ok(response)
            }
            verdict => Err(Box::new(Exchange::with(self.clone(), inquiry, verdict))),
        }
    }

    /// Looks the target up and decides (RFC 9111 §4).
    pub(super) fn look_up(&self, inquiry: &Inquiry) -> Verdict {
        let store = &self.gateway.store;
        let mut resource = store.look_up(inquiry.key(store));
        let mut selected = resource
            .as_ref()
            .and_then(|resource| select(store, resource, inquiry));
        if let Some(stored) = &selected
            && !stored.head.is_of(inquiry.epoch.settings.version)
        {
            selected = Some(self.reckon_anew(inquiry, stored));
            resource = store.look_up(inquiry.key(store));
        }
        if inquiry.credentials.any()
            && selected
                .as_ref()
                .is_some_and(|stored| lacks_credentials(stored))
        {
            selected = None;
        }
        if inquiry.facts.any(Facts::ORIGIN_CONDITIONS) && origin_must_decide(inquiry.headers()) {
            return Verdict::Ask(Question::pass(ForwardReason::Request, resource));
        }
        let selection = match (&resource, &selected) {
            (_, Some(stored)) => Selection::Found {
                freshness: &stored.head.freshness,
                resident: stored.head.resident(inquiry.now),
            },
            (Some(resource), None) if !resource.variants().is_empty() => Selection::VaryMiss,
            _ => Selection::UriMiss,
        };
        let reuse = decide(selection, &inquiry.directives);
        self.conclude(inquiry, reuse, resource, selected)
    }

    /// What was stored under other settings is reckoned by those in force.
    fn reckon_anew(&self, inquiry: &Inquiry, stored: &Arc<StoredResponse>) -> Arc<StoredResponse> {
        let store = &self.gateway.store;
        let head = stored
            .head
            .reckoned_anew(&inquiry.route.cache, inquiry.epoch.settings.version);
        let content = stored.content();
        let token = store.token(StoredResponse::cost(&head, &content));
        let new = Arc::new(StoredResponse::new(head, content, token));
        store.update(inquiry.key(store), &[(stored.clone(), new.clone())]);
        new
    }

    fn conclude(
        &self,
        inquiry: &Inquiry,
        reuse: Reuse,
        resource: Option<Resource>,
        selected: Option<Arc<StoredResponse>>,
    ) -> Verdict {
        let validate_behind = matches!(reuse, Reuse::StaleWhileRevalidate { .. });
        let (age, ttl, detail) = match reuse {
            Reuse::Fresh { age, ttl } => (age, ttl, None),
            Reuse::Stale { age, ttl, why } => (age, ttl, Some(Detail::Stale(why))),
            Reuse::StaleWhileRevalidate { age, ttl } => {
                (age, ttl, Some(Detail::Other("stale-while-revalidate")))
            }
            Reuse::Validate { reason, .. } => {
                let why = Detail::validated(reason);
                return self.ask(inquiry, reason.forward(), why, resource, selected);
            }
            Reuse::Miss(reason) => return self.ask(inquiry, reason, None, resource, None),
            Reuse::Unsatisfiable => return Verdict::Unsatisfiable,
        };
        let Some(stored) = selected else {
            return self.ask(inquiry, ForwardReason::Miss, None, resource, None);
        };
        if !holds_what_is_asked(&stored, inquiry) {
            return self.ask(
                inquiry,
                ForwardReason::Partial,
                None,
                resource,
                Some(stored),
            );
        }
        stored.touch(inquiry.now.mono);
        let status = CacheStatus {
            detail,
            ..CacheStatus::hit(ttl)
        };
        Verdict::Deliver {
            stored,
            age,
            status,
            validate_behind,
        }
    }

    fn ask(
        &self,
        inquiry: &Inquiry,
        reason: ForwardReason,
        why: Option<Detail>,
        resource: Option<Resource>,
        selected: Option<Arc<StoredResponse>>,
    ) -> Verdict {
        if inquiry.directives.only_if_cached {
            return Verdict::Unsatisfiable;
        }
        let marker = resource.as_ref().and_then(|resource| {
            let vary = &inquiry.route.cache.vary;
            resource.marker(
                inquiry.headers(),
                inquiry.digest.as_ref(),
                vary,
                inquiry.now.mono,
            )
        });
        let marked = marker.map(|marker| marker.why);
        let personal = is_personal(resource.as_ref(), inquiry);
        let want = want(inquiry, selected.as_deref(), personal, marked.is_some());
        let is_passed = match want {
            // A fill renews the marker in time.
            Want::AsAsked => !marker.is_some_and(|marker| is_half_over(marker, inquiry)),
            Want::Whole => {
                personal
                    && resource
                        .as_ref()
                        .is_none_or(|found| found.variants().is_empty())
            }
            Want::Missing(_) => false,
        };
        Verdict::Ask(Question {
            reason,
            why,
            // A HEAD that the store cannot answer is the origin's to answer; a request that must not be stored is
            // nobody's to share; of what will hardly be stored, a fill costs more than it is of use.
            pass: inquiry.class == Class::Head || inquiry.directives.no_store || is_passed,
            marked,
            personal,
            want,
            resource,
            selected,
        })
    }

    /// Answers with a stored response.
    pub(super) fn deliver(
        &self,
        inquiry: &Inquiry,
        stored: &Arc<StoredResponse>,
        age: Option<DeltaSeconds>,
        status: CacheStatus,
    ) -> Response<Body> {
        let delivery = Delivery {
            worker: self,
            inquiry,
            age,
            status,
        };
        delivery.stored(stored)
    }

    /// The response that reports an error to a request that was not understood.
    pub(super) fn rescue(&self, error: &Error, method: &Method) -> Response<Body> {
        let epoch = self.epoch();
        let identity = &epoch.settings.identity;
        let mut response = rescue::respond(error, method, identity, &self.counters);
        self.date(&mut response, self.gateway.clock.now());
        let fields = response.headers_mut();
        super::forward::add_via(fields, identity);
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

impl Question {
    pub fn pass(reason: ForwardReason, resource: Option<Resource>) -> Self {
        Self {
            reason,
            why: None,
            resource,
            selected: None,
            pass: true,
            marked: None,
            personal: false,
            want: Want::AsAsked,
        }
    }

    /// The same, with the client's own preconditions and Range.
    pub fn as_asked(&self) -> Self {
        Self {
            want: Want::AsAsked,
            ..self.clone()
        }
    }

    /// What is told of a request that this was asked for, before there is an answer.
    pub fn status(&self) -> CacheStatus {
        CacheStatus {
            detail: self.why,
            ..CacheStatus::forwarded(self.reason)
        }
    }
}

/// The stored response that the request selects (RFC 9111 §4.1).
pub(super) fn select(
    store: &Store,
    resource: &Resource,
    inquiry: &Inquiry,
) -> Option<Arc<StoredResponse>> {
    let headers = inquiry.headers();
    let matches = |stored: &&Arc<StoredResponse>| selects(store, &stored.head, inquiry);
    if let [only] = resource.variants() {
        return Some(only).filter(matches).cloned();
    }
    let matching: smallvec::SmallVec<[&Arc<StoredResponse>; 4]> =
        resource.variants().iter().filter(matches).collect();
    if let [only] = matching.as_slice() {
        return Some(Arc::clone(only));
    }
    let fields: smallvec::SmallVec<[HeaderMap; 4]> = matching
        .iter()
        .map(|stored| stored.head.fields.to_map())
        .collect();
    let dates = matching.iter().map(|stored| stored.head.freshness.date);
    prefer(headers, fields.iter().zip(dates)).map(|best| matching[best].clone())
}

/// Whether the request selects the response with this head.
pub(super) fn selects(store: &Store, head: &Head, inquiry: &Inquiry) -> bool {
    let (headers, digest) = (inquiry.headers(), inquiry.digest.as_ref());
    head.selected_by(headers, digest, &inquiry.route.cache.vary)
        && (!inquiry.facts.any(Facts::ORIGIN)
            || store
                .cors()
                .may_answer(inquiry.target.as_str(), head, headers))
}

/// Whether it refuses a request that had no credentials, which says nothing to one that has some.
fn lacks_credentials(stored: &StoredResponse) -> bool {
    !stored.head.credentialed && matches!(stored.head.status.as_u16(), 401 | 403 | 407)
}

/// Whether more than half of a marker's time has passed.
fn is_half_over(marker: &Marker, inquiry: &Inquiry) -> bool {
    let ttl = inquiry.epoch.settings.config.cache.uncacheable_ttl;
    marker.until.since(inquiry.now.mono) < ttl / 2
}

/// A marker's cause, as Cache-Status tells it.
pub(super) fn detail_of(why: Unshared) -> Detail {
    match why {
        Unshared::Rule(reason) => Detail::NotStored(reason),
        Unshared::TooLarge => Detail::Other("too-large"),
        Unshared::UnverifiedEnd => Detail::Other("unverified-end"),
    }
}

/// Runs `work` in a task of its own.
pub(super) fn run_apart(work: impl Future<Output = ()> + 'static, running: Running) {
    tokio::task::spawn_local(async move {
        work.await;
        drop(running);
    });
}

/// Counts work for as long as it goes on, however it ends.
pub(super) struct Running(Rc<Worker>);

impl Running {
    pub(super) fn begin(worker: Rc<Worker>) -> Self {
        worker.tasks.set(worker.tasks.get() + 1);
        worker.counters.fills.add(1);
        Self(worker)
    }
}

impl Drop for Running {
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
