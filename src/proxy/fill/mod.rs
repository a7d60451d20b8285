//! The upstream's side of a request: a task, so that a client who leaves kills nothing that others read or that will
//! be stored.
//!
//! ```text
//!  Requested ──> head ─┬─ 304 to our validation ─> freshen ───────────────────────> Settled
//!                      ├─ not for sharing ───────> hand it to the leader ─────────> Settled
//!                      └─ storable ─┬─ all here ─> commit ────────────────────────> Settled
//!                                   └─ coming ───> Streaming ─> commit | abandon
//! ```

mod attendance;
mod consult;
mod early;
mod event;
mod keep;
mod permit;
mod pump;
mod refresh;
mod refused;
pub(in crate::proxy) mod update;
mod validate;

pub use self::early::discard;
pub use self::event::{LeaderEvent, NotShared};
pub use self::permit::Permit;

use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;

use http::header::RANGE;
use http::{HeaderMap, Method, StatusCode};
use smallvec::SmallVec;

use self::attendance::Attendance;
use crate::cache::collapse::Fill;
use crate::cache::outcome::Outcome;
use crate::cache::resource::Unshared;
use crate::cache::stored::StoredResponse;
use crate::config::RoutePolicy;
use crate::error::{Error, ErrorKind};
use crate::proxy::admission::Admission;
use crate::proxy::epoch::Epoch;
use crate::proxy::forward::arrived::Arrived;
use crate::proxy::forward::fetch::{Context, fetch};
use crate::proxy::forward::fields;
use crate::proxy::interim::Hints;
use crate::proxy::limit::Client;
use crate::proxy::lookup::Miss;
use crate::proxy::request::{Request, Target};
use crate::proxy::task::Reporter;
use crate::proxy::tiers::Reads;
use crate::proxy::worker::Worker;
use crate::semantics::cache_control::{RequestDirectives, ResponseDirectives};
use crate::semantics::fetch::FetchExtent;
use crate::semantics::freshness::{Freshness, Receipt};
use crate::semantics::preconditions::is_conditional;
use crate::semantics::storability::{Credentials, NoStoreReason, StoreInput, names_negotiation};
use crate::semantics::validation::{self, Candidate, Validators};
use crate::telemetry::traces::{OpenSpan, Parent};
use crate::tier::fleet::Nonce;
use crate::upstream::{Outgoing, RequestBody, Waiting};

/// A fill on its way.
pub struct FillTask {
    pub worker: Rc<Worker>,
    pub epoch: Rc<Epoch>,
    pub route: Arc<RoutePolicy>,
    pub fill: Arc<Fill>,
    pub directives: RequestDirectives,
    pub credentials: Credentials,
    pub target: Target,
    /// What is sent, without conditions.
    pub request: http::Request<RequestBody>,
    /// The stored responses that it validates.
    pub candidates: Vec<Arc<StoredResponse>>,
    /// The stored response that the request selects.
    pub selected: Option<Arc<StoredResponse>>,
    /// Whether what was sent last has a condition of ours.
    validates: bool,
    pub extent: FetchExtent,
    /// Why the latest response to such a request could not be stored.
    pub marked: Option<Unshared>,
    /// The stale response that it refreshes, which clients get meanwhile.
    refreshes: Option<Arc<StoredResponse>>,
    /// The API gave no answer, or one that says nothing about the representation.
    failed: bool,
    /// It is a POST's response, and Content-Location names the target (RFC 9110 §9.3.3).
    answers_get: bool,
    /// Fields of the response that are not stored, for the leader.
    own: HeaderMap,
    leader: Option<Reporter<LeaderEvent>>,
    /// Whose request it was made for.
    client: Option<Client>,
    /// Whether the response may be stored, as far as is known before it comes.
    pub promising: bool,
    /// How it uses what other gateways store.
    pub reads: Reads,
    /// Another gateway's fill whose response did not do.
    pub unfit: Option<Nonce>,
    /// Held until the response has come: it waits for the API, whether or not somebody waits for it.
    admission: Option<Admission>,
    /// How far its request has come; `None` where it goes on whoever leaves.
    pub waiting: Option<Waiting>,
    /// What its requests are recorded by; `None` where they are not.
    parent: Option<Rc<Parent>>,
    /// Its own, where it is a refresh that is recorded.
    span: Option<OpenSpan>,
}

impl FillTask {
    /// What brings the fill of `permit` to its end for `request`, whose request has this content; `hints` say where interim responses go.
    ///
    /// # Errors
    /// A downstream [`Error`] when the target cannot be sent on.
    pub fn new(
        worker: &Rc<Worker>,
        request: &Request,
        hints: Option<&Hints>,
        permit: &Permit,
        content: RequestBody,
    ) -> Result<Box<Self>, Error> {
        Ok(Box::new(Self {
            worker: worker.clone(),
            epoch: request.epoch.clone(),
            route: request.route.clone(),
            fill: permit.fill().clone(),
            directives: request.directives,
            credentials: request.credentials,
            target: request.target.clone(),
            request: fields::request(request, hints, fields::Conditions::Stripped, content)?,
            candidates: Vec::new(),
            selected: None,
            validates: false,
            extent: FetchExtent::Whole,
            marked: None,
            refreshes: None,
            failed: false,
            answers_get: false,
            own: HeaderMap::new(),
            leader: None,
            client: request.client_behind_proxies(),
            promising: true,
            reads: Reads::Not,
            unfit: None,
            admission: None,
            waiting: request.waiting.clone(),
            parent: request.parent(),
            span: None,
        }))
    }

    /// What it asks for, and what is known of that.
    pub fn asking(mut self: Box<Self>, miss: &Miss) -> Box<Self> {
        self.selected = miss.selected.clone();
        self.extent = miss.extent;
        self.marked = miss.marked;
        self
    }

    /// Has it hold a place among the requests that wait for the API.
    pub fn admitted(mut self: Box<Self>, admission: Admission) -> Box<Self> {
        self.admission = Some(admission);
        self
    }

    /// Has `leader` tell what comes of it.
    pub fn led_by(mut self: Box<Self>, leader: Reporter<LeaderEvent>) -> Box<Self> {
        self.leader = Some(leader);
        self
    }

    /// Runs to the end, or until nobody needs it.
    pub async fn run(mut self: Box<Self>, permit: Permit) {
        let attendance = self.attendance();
        attendance.watch(pin!(self.fetch(permit))).await;
        self.end_refresh();
    }

    fn attendance(&self) -> Attendance {
        Attendance {
            worker: self.worker.clone(),
            epoch: self.epoch.clone(),
            fill: self.fill.clone(),
            client: self.client,
            leader: self.leader.as_ref().map(|leader| leader.audience()),
            promising: self.promising,
            waiting: self.waiting.clone(),
            unattended: None,
        }
    }

    async fn fetch(&mut self, mut permit: Permit) {
        if self.worker.gateway.tiers.shared().is_some() {
            let Some(asks) = Box::pin(self.consult(permit)).await else {
                return;
            };
            permit = asks;
        }
        match self.send().await {
            Ok(arrived) if arrived.status == StatusCode::NOT_MODIFIED && self.validates => {
                if let Err(permit) = self.validated(permit, *arrived) {
                    Box::pin(self.fetch_anew(permit)).await;
                }
            }
            Ok(arrived) if self.is_useless(&arrived) => Box::pin(self.fetch_anew(permit)).await,
            Ok(arrived) => self.arrived(permit, arrived).await,
            Err(error) => self.failed(permit, error),
        }
    }

    /// Takes over a response to a request that was not this task's own but was passed on; a POST's is one that answers a
    /// later GET.
    pub async fn adopt(mut self: Box<Self>, permit: Permit, arrived: Box<Arrived>) {
        self.answers_get = self.request.method() == Method::POST;
        let attendance = self.attendance();
        attendance.watch(pin!(self.arrived(permit, arrived))).await;
    }

    /// Whether the missing part was asked for, and what came can neither be combined with what is stored nor does it answer
    /// the client, who asked for something else.
    fn is_useless(&self, arrived: &Arrived) -> bool {
        let (FetchExtent::Missing(_), Some(stored)) = (self.extent, &self.selected) else {
            return false;
        };
        match arrived.status {
            StatusCode::NOT_MODIFIED | StatusCode::RANGE_NOT_SATISFIABLE => true,
            StatusCode::PARTIAL_CONTENT => !stored.parts().is_some_and(|parts| {
                let (before, fields) = (&parts.ranges, &arrived.headers);
                let validators = &stored.head.origin_validators();
                let part = before.combines_with(validators, arrived.status, fields);
                let fits = |part| before.octets_with(part) <= self.route.max_stored_body;
                part.is_some_and(|part| fits(part) && self.is_answered_by(part, before, fields))
                    && self.assess(arrived).is_ok()
            }),
            _ => false,
        }
    }

    /// A 304 that named nothing we have may not be used, nor a part that fits nothing: the request is repeated without
    /// conditions of ours; in the place of a missing part, with the client's own.
    async fn fetch_anew(&mut self, permit: Permit) {
        self.candidates.clear();
        self.extent = match self.extent {
            FetchExtent::Missing(_) if self.has_range() => FetchExtent::AsAsked,
            _ => FetchExtent::Whole,
        };
        match self.send().await {
            Ok(arrived) => self.arrived(permit, arrived).await,
            Err(error) => self.failed(permit, error),
        }
    }

    /// Whether the client asks for a part.
    fn has_range(&self) -> bool {
        self.fill.ask.headers.contains_key(RANGE)
    }

    async fn send(&mut self) -> Result<Box<Arrived>, Error> {
        let (request, ranged, validates) = self.request_now();
        self.validates = validates;
        let upstream = self.route.destination.upstream();
        let outgoing = Outgoing {
            upstream,
            request,
            idempotent: true,
            response_timeout: self.route.limits.response_timeout,
            max_retries: self.route.limits.max_retries,
            hash: self
                .epoch
                .upstreams
                .wants_hash(upstream)
                .then(|| self.fill.key.as_ref().stable_hash()),
            waiting: self.waiting.clone(),
            trace: self.parent.clone(),
        };
        let context = Context {
            worker: &self.worker,
            epoch: &self.epoch,
            route: &self.route,
            target: &self.target,
            fields: &self.fill.ask.headers,
        };
        let make = || Some(self.request_now().0);
        let (response, requested) = fetch(context, outgoing, Some(&make)).await?;
        let wanted = self.validates || ranged || is_conditional(&self.fill.ask.headers);
        if response.status() == StatusCode::NOT_MODIFIED && !wanted {
            return Err(Error::upstream(ErrorKind::ResponseProtocol)
                .detail("the upstream answered 304 to a request without conditions"));
        }
        Ok(context.arrived(response, requested, self.extent == FetchExtent::AsAsked))
    }

    /// What is sent now; whether it has a Range and whether a condition of ours.
    fn request_now(&self) -> (http::Request<RequestBody>, bool, bool) {
        let body = match self.request.body() {
            RequestBody::Full(content) => RequestBody::Full(content.clone()),
            _ => RequestBody::Empty,
        };
        let mut request = http::Request::new(body);
        *request.method_mut() = self.request.method().clone();
        *request.uri_mut() = self.request.uri().clone();
        *request.headers_mut() = self.request.headers().clone();
        *request.extensions_mut() = self.request.extensions().clone();
        let fields = request.headers_mut();
        // The client's preconditions and Range, or a Range of our own.
        let ranged = match (self.extent, &self.selected) {
            (FetchExtent::AsAsked, _) => {
                validation::copy_conditionals(&self.fill.ask.headers, fields);
                fields.contains_key(RANGE)
            }
            (FetchExtent::Missing(part), Some(stored)) => {
                validation::range_fields(fields, part, &stored.head.origin_validators())
            }
            _ => false,
        };
        let validates = !self.candidates.is_empty()
            && validation::conditional_fields(fields, candidates(&self.known()));
        (request, ranged, validates)
    }

    /// The stored responses that are validated, as the rules see them.
    fn known(&self) -> Known {
        let candidates = self.candidates.iter();
        candidates
            .map(|stored| (stored.head.origin_validators(), self.is_asked_for(stored)))
            .collect()
    }

    fn failed(&mut self, permit: Permit, error: Error) {
        self.has_failed();
        if let Some(span) = &mut self.span {
            span.fail(error.kind().token(), Some(error.explanation()));
        }
        permit.finish(Outcome::Failed(error.share()), &self.route);
        self.tell_leader(LeaderEvent::Failed(error));
    }

    fn tell_leader(&mut self, news: LeaderEvent) {
        self.admission = None;
        if let Some(leader) = self.leader.take() {
            leader.tell(news);
        }
    }

    async fn arrived(&mut self, permit: Permit, arrived: Box<Arrived>) {
        // The client's condition was not sent, and this origin answers it all the same.
        if arrived.status == StatusCode::NOT_MODIFIED {
            let own = Unshared::Rule(NoStoreReason::Precondition);
            return self.hand_over(permit, arrived, NotShared::Cause(own));
        }
        match self.assess(&arrived) {
            Ok((keep, directives, freshness)) => {
                self.keep(permit, arrived, keep, &directives, freshness)
                    .await
            }
            Err(why) => self.hand_over(permit, arrived, why),
        }
    }

    /// What decides whether a response with this status and these fields may be stored.
    fn store_input<'a>(
        &'a self,
        status: StatusCode,
        headers: &'a HeaderMap,
        directives: &'a ResponseDirectives,
        freshness: &'a Freshness,
    ) -> StoreInput<'a> {
        StoreInput {
            method: self.request.method(),
            request: self.directives,
            credentials: self.credentials,
            // An origin may answer what it was not asked: its 416 to a Range is for the one who sent that.
            preconditioned: self.has_range() || is_conditional(&self.fill.ask.headers),
            negotiated: status == StatusCode::NOT_ACCEPTABLE
                && names_negotiation(&self.fill.ask.headers, headers),
            answers_get: self.answers_get,
            status,
            headers,
            directives,
            freshness,
            policy: &self.route.cache,
        }
    }

    fn compute(
        &self,
        status: StatusCode,
        headers: &HeaderMap,
        directives: &ResponseDirectives,
        receipt: Receipt,
    ) -> Freshness {
        let credentialed = self.credentials.any();
        Freshness::compute(
            status,
            headers,
            directives,
            receipt,
            credentialed,
            &self.route.cache,
        )
    }
}

/// The validators of each stored response that is validated, and whether the request selects it.
type Known = SmallVec<[(Validators, bool); 1]>;

fn candidates(known: &Known) -> impl Iterator<Item = Candidate<'_>> {
    known.iter().map(|(validators, selected)| Candidate {
        validators,
        selected: *selected,
    })
}
