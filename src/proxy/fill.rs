//! The upstream's side of a request: a task of its own, so that a client who leaves kills nothing that others read or
//! that will be stored.
//!
//! ```text
//!  Requested ──> head ─┬─ 304 to our validation ─> freshen ───────────────────────> Settled
//!                      ├─ not for sharing ───────> hand it to the leader ─────────> Settled
//!                      └─ storable ─┬─ all here ─> commit ────────────────────────> Settled
//!                                   └─ coming ───> Streaming ─> commit | abandon
//! ```

use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AGE, CONTENT_LENGTH, CONTENT_RANGE, ETAG, HeaderValue, RANGE, SET_COOKIE};
use http::{HeaderMap, Response, StatusCode};
use http_body::{Body as _, Frame};
use http_body_util::BodyExt as _;
use tokio::sync::oneshot;

use super::etag;
use super::forward;
use super::receive::{Inquiry, Target};
use super::worker::{Epoch, Want, Worker};
use crate::cache::body::{Reader, SEGMENT, SharedBody, StoredBody, Writer};
use crate::cache::budget::Token;
use crate::cache::collapse::Fill;
use crate::cache::partial::combine;
use crate::cache::store::selects;
use crate::cache::stored::{
    Content, Head, Marker, NotCommitted, Settled, StoredResponse, Unshared, pack_fields,
};
use crate::clock::Now;
use crate::config::{EtagMode, RoutePolicy};
use crate::error::{Error, ErrorKind};
use crate::semantics::cache_control::{RequestDirectives, ResponseDirectives};
use crate::semantics::freshness::{Freshness, Receipt};
use crate::semantics::groups;
use crate::semantics::partial::{Partial, combined_fields, fields_of_whole};
use crate::semantics::storability::{
    Credentials, Keep, NoStoreReason, Scope, Storability, StoreInput, assess, stored_fields,
};
use crate::semantics::validation::{self, Validators};
use crate::semantics::vary::{VariantKey, Vary};
use crate::upstream::{Framing, Outgoing, RequestBody, UpstreamBody};

/// How long the fastest reader of an unstored body waits for slower ones, each time the window is full.
const PATIENCE: Duration = Duration::from_millis(20);

/// What the one who leads a fill learns.
pub enum LeaderNews {
    /// It is coming, and is being stored.
    Streaming {
        head: Arc<Head>,
        reader: Reader,
    },
    /// It is complete.
    Fetched {
        stored: Arc<StoredResponse>,
        committed: bool,
    },
    /// What was stored has been validated.
    Validated {
        stored: Arc<StoredResponse>,
    },
    /// It is for the leader alone.
    Unshared {
        response: Response<UpstreamBody>,
        why: NotShared,
    },
    Failed(Error),
}

/// Why a response is for the leader alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotShared {
    Cause(Unshared),
    /// A server error in answer to a validation.
    ServerError,
}

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
    pub want: Want,
    /// The client's Range.
    range: Option<HeaderValue>,
    pub leader: Option<oneshot::Sender<LeaderNews>>,
}

/// A response whose head has arrived.
struct Arrived {
    status: StatusCode,
    headers: HeaderMap,
    body: UpstreamBody,
    requested: Now,
    received: Now,
}

/// Settles a fill that nobody brought to its end: others may try.
struct Abandonment<'a>(&'a Worker, Arc<Fill>);

impl Drop for Abandonment<'_> {
    fn drop(&mut self) {
        self.0.gateway.store.settle(&self.1, Settled::Abandoned);
    }
}

impl FillTask {
    /// A fill for `inquiry`, whose request has this content.
    ///
    /// # Errors
    /// A downstream [`Error`] when the target cannot be sent on.
    pub fn new(
        worker: &Rc<Worker>,
        inquiry: &Inquiry,
        fill: &Arc<Fill>,
        content: RequestBody,
    ) -> Result<Self, Error> {
        Ok(Self {
            worker: worker.clone(),
            epoch: inquiry.epoch.clone(),
            route: inquiry.route.clone(),
            fill: fill.clone(),
            directives: inquiry.directives,
            credentials: inquiry.credentials,
            target: inquiry.target.clone(),
            request: forward::request(inquiry, forward::Conditions::Stripped, content)?,
            candidates: Vec::new(),
            selected: None,
            want: Want::Whole,
            range: inquiry.headers().get(RANGE).cloned(),
            leader: None,
        })
    }

    /// Runs to the end, whoever leaves.
    pub async fn run(mut self) {
        let worker = self.worker.clone();
        let _abandonment = Abandonment(&worker, self.fill.clone());
        let conditional = !self.candidates.is_empty();
        match self.send(conditional).await {
            Ok(arrived) if arrived.status == StatusCode::NOT_MODIFIED && conditional => {
                if let Some(update) = self.validated(arrived) {
                    self.fetch_anew(update).await;
                }
            }
            Ok(arrived) if self.is_no_part(&arrived) => self.fetch_anew(Unusable).await,
            Ok(arrived) => self.arrived(arrived).await,
            Err(error) => self.failed(error),
        }
    }

    /// Whether the missing part was asked for, and what came is neither that nor the whole.
    fn is_no_part(&self, arrived: &Arrived) -> bool {
        let (Want::Missing(_), Some(stored)) = (self.want, &self.selected) else {
            return false;
        };
        let Content::Partial(parts) = &stored.content else {
            return false;
        };
        let validators = &stored.head.origin_validators;
        let fits = parts
            .ranges
            .combines_with(validators, arrived.status, &arrived.headers)
            .is_some();
        !fits
            && matches!(
                arrived.status,
                StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE
            )
    }

    /// A 304 that named nothing we have may not be used, nor a part that fits nothing: the request is repeated for the
    /// whole, without conditions.
    async fn fetch_anew(&mut self, _unusable: Unusable) {
        self.candidates.clear();
        self.want = Want::Whole;
        match self.send(false).await {
            Ok(arrived) => self.arrived(arrived).await,
            Err(error) => self.failed(error),
        }
    }

    async fn send(&mut self, conditional: bool) -> Result<Arrived, Error> {
        let body = match self.request.body() {
            RequestBody::Full(content) => RequestBody::Full(content.clone()),
            _ => RequestBody::Empty,
        };
        let mut request = http::Request::new(body);
        *request.method_mut() = self.request.method().clone();
        *request.uri_mut() = self.request.uri().clone();
        *request.headers_mut() = self.request.headers().clone();
        let ranged = self.ask_for_part(request.headers_mut());
        if conditional {
            let candidates = self
                .candidates
                .iter()
                .map(|stored| &stored.head.origin_validators);
            validation::conditional_fields(request.headers_mut(), candidates);
        }
        let clock = &self.worker.gateway.clock;
        let requested = clock.now();
        let response = self
            .epoch
            .upstreams
            .send(Outgoing {
                request,
                idempotent: true,
                hash: Some(self.fill.key.hash()),
            })
            .await?;
        let received = clock.now();
        let (parts, body) = response.into_parts();
        let mut headers = parts.headers;
        forward::response_fields(
            &mut headers,
            received.wall,
            body.server(),
            &self.epoch.settings,
            &self.target,
        );
        if parts.status == StatusCode::NOT_MODIFIED && !conditional && !ranged {
            return Err(Error::upstream(ErrorKind::ResponseProtocol)
                .detail("the upstream answered 304 to a request without conditions"));
        }
        Ok(Arrived {
            status: parts.status,
            headers,
            body,
            requested,
            received,
        })
    }

    /// Puts the Range into a request that asks for a part only. Returns whether it does.
    fn ask_for_part(&self, fields: &mut HeaderMap) -> bool {
        match (self.want, &self.range, &self.selected) {
            (Want::ClientRange, Some(range), _) => {
                fields.insert(RANGE, range.clone());
                true
            }
            (Want::Missing(part), _, Some(stored)) => {
                validation::range_fields(fields, part, &stored.head.origin_validators)
            }
            _ => false,
        }
    }

    fn failed(&mut self, error: Error) {
        let shared = error.share();
        self.worker
            .gateway
            .store
            .settle(&self.fill, Settled::Failed(shared));
        self.tell_leader(LeaderNews::Failed(error));
    }

    fn tell_leader(&mut self, news: LeaderNews) {
        if let Some(leader) = self.leader.take() {
            // A leader that is gone needs no news.
            drop(leader.send(news));
        }
    }

    async fn arrived(&mut self, arrived: Arrived) {
        match self.assess(&arrived) {
            Ok((keep, directives, freshness)) => {
                self.keep(arrived, keep, &directives, freshness).await
            }
            Err(why) => self.hand_over(arrived, why),
        }
    }

    /// Whether the response may be stored, and so shared.
    fn assess(
        &self,
        arrived: &Arrived,
    ) -> Result<(Keep, ResponseDirectives, Freshness), NotShared> {
        let Arrived {
            status,
            headers,
            body,
            ..
        } = arrived;
        let revalidating = !self.candidates.is_empty();
        if revalidating && is_server_error(*status) {
            return Err(NotShared::ServerError);
        }
        let policy = &self.route.cache;
        let directives = ResponseDirectives::parse(headers, &policy.targeted_fields);
        let freshness = self.reckon(*status, headers, &directives, arrived.receipt());
        let input = StoreInput {
            method: self.request.method(),
            request: self.directives,
            credentials: self.credentials,
            preconditioned: false,
            content_location_is_target: false,
            status: *status,
            headers,
            directives: &directives,
            freshness: &freshness,
            policy,
        };
        let keep = match assess(&input) {
            Storability::Store(keep) => keep,
            Storability::Refuse(why) => return Err(NotShared::Cause(Unshared::Rule(why))),
        };
        if body.size_hint().lower() > self.route.max_stored_body {
            return Err(NotShared::Cause(Unshared::TooLarge));
        }
        if body.framing() == Framing::Close {
            return Err(NotShared::Cause(Unshared::UnverifiedEnd));
        }
        Ok((keep, directives, freshness))
    }

    fn reckon(
        &self,
        status: StatusCode,
        headers: &HeaderMap,
        directives: &ResponseDirectives,
        receipt: Receipt,
    ) -> Freshness {
        let credentialed = self.credentials.any();
        Freshness::reckon(
            status,
            headers,
            directives,
            receipt,
            credentialed,
            &self.route.cache,
        )
    }

    /// The response is for the leader alone; others like it do not stand in line for a while.
    fn hand_over(&mut self, arrived: Arrived, why: NotShared) {
        let store = &self.worker.gateway.store;
        match why {
            NotShared::ServerError => {
                store.settle(&self.fill, Settled::ServerError(arrived.status))
            }
            NotShared::Cause(cause) if self.is_lasting(cause, arrived.status) => {
                store.mark(
                    &self.fill,
                    self.marker(&arrived, cause),
                    &self.route.cache.vary,
                );
                self.fill.settle(Settled::Unshared);
            }
            NotShared::Cause(_) => store.settle(&self.fill, Settled::Unshared),
        }
        let mut response = Response::new(arrived.body);
        *response.status_mut() = arrived.status;
        *response.headers_mut() = arrived.headers;
        self.tell_leader(LeaderNews::Unshared { response, why });
    }

    /// Whether the next response to such a request will hardly be another.
    fn is_lasting(&self, cause: Unshared, status: StatusCode) -> bool {
        let in_response = match cause {
            Unshared::Rule(reason) => reason.is_in_response(),
            Unshared::TooLarge | Unshared::UnverifiedEnd => true,
        };
        in_response && !is_server_error(status) && self.want == Want::Whole
    }

    fn marker(&self, arrived: &Arrived, why: Unshared) -> Marker {
        let vary = match Vary::parse(&arrived.headers) {
            // A marker is for all requests where the response is for none.
            Vary::Any => Vary::None,
            vary => vary,
        };
        let ttl = self.epoch.settings.config.cache.uncacheable_ttl;
        Marker {
            variant: VariantKey::of(&vary, &self.fill.ask.headers, &self.route.cache.vary),
            digest: self.fill.ask.digest,
            until: arrived.received.mono.after(ttl),
            why,
        }
    }

    /// Stores what arrived, at once or while it comes.
    async fn keep(
        &mut self,
        mut arrived: Arrived,
        keep: Keep,
        directives: &ResponseDirectives,
        freshness: Freshness,
    ) {
        if keep.scope == Scope::Partial {
            return self.keep_part(arrived, keep, directives, freshness).await;
        }
        let head = self.head(&arrived, keep, directives, freshness);
        let length = arrived.body.size_hint().exact();
        let awaited = head.status == StatusCode::OK
            && etag::wanted(self.route.etag, &arrived.headers)
            && length.is_some_and(|length| length <= SEGMENT as u64);
        let mut early = take_early(&mut arrived.body, awaited).await;
        if awaited && let Some(error) = early.failure.take() {
            return self.failed(error);
        }
        if early.ended && arrived.body.end_verified() {
            return self.complete(head, early);
        }
        self.stream(head, arrived.body, early).await;
    }

    /// Stores a part, with those that are there already.
    async fn keep_part(
        &mut self,
        mut arrived: Arrived,
        keep: Keep,
        directives: &ResponseDirectives,
        freshness: Freshness,
    ) {
        let part = Partial::of_206(&arrived.headers);
        let range = part
            .as_ref()
            .and_then(|part| part.ranges().first().copied());
        let (Some(part), Some(range), true) = (
            part,
            range,
            self.range.is_some() || self.want != Want::Whole,
        ) else {
            return self.hand_over(
                arrived,
                NotShared::Cause(Unshared::Rule(NoStoreReason::PartialUnit)),
            );
        };
        let stored = self.combinable(&arrived.headers);
        let held = stored.as_ref().map_or(0, |stored| stored.content.len());
        if held + range.len() > self.route.max_stored_body {
            return self.hand_over(arrived, NotShared::Cause(Unshared::TooLarge));
        }
        let octets = match collect(&mut arrived.body).await {
            Ok(octets) => octets,
            Err(error) => return self.failed(error),
        };
        arrived.headers = match &stored {
            Some(stored) => combined_fields(&stored.head.headers, &arrived.headers),
            None => fields_of_whole(&arrived.headers, part.complete_length()),
        };
        arrived.status = StatusCode::OK;
        let mut head = self.head(&arrived, keep, directives, freshness);
        head.content_length = Some(part.complete_length());
        let store = &self.worker.gateway.store;
        let token = store
            .token(held + range.len())
            .unwrap_or_else(|| Token::empty(store.budget()));
        let before = stored.as_ref().and_then(|stored| match &stored.content {
            Content::Partial(parts) => Some(parts),
            Content::Complete(_) => None,
        });
        match combine(before, part.complete_length(), range, &octets, token) {
            Some(content) => self.store(head, content, None),
            None => self.failed(Error::upstream(ErrorKind::ResponseIncomplete)),
        }
    }

    /// The incomplete response that a part with these fields can be combined with.
    fn combinable(&self, part: &HeaderMap) -> Option<Arc<StoredResponse>> {
        let resource = self.worker.gateway.store.look_up(self.fill.key.as_ref())?;
        let vary = &self.route.cache.vary;
        let stored = resource
            .variants
            .iter()
            .find(|stored| selects(&stored.head, &self.fill.ask, vary))?;
        let Content::Partial(parts) = &stored.content else {
            return None;
        };
        let validators = &stored.head.origin_validators;
        parts
            .ranges
            .combines_with(validators, StatusCode::PARTIAL_CONTENT, part)?;
        Some(stored.clone())
    }

    fn head(
        &self,
        arrived: &Arrived,
        keep: Keep,
        directives: &ResponseDirectives,
        freshness: Freshness,
    ) -> Head {
        let mut headers = stored_fields(&arrived.headers, directives, keep);
        let came_aged = headers.remove(AGE).is_some();
        headers.remove(CONTENT_LENGTH);
        let origin_validators = Validators::of(&arrived.headers);
        if self.route.etag == EtagMode::Replace {
            headers.remove(ETAG);
        }
        pack_fields(&mut headers);
        Head {
            status: arrived.status,
            validators: Validators::of(&headers),
            origin_validators: self.usable_upstream(origin_validators),
            freshness,
            received: arrived.received,
            variant: self.variant(&arrived.headers),
            digest: self.fill.ask.digest,
            groups: groups::memberships(&arrived.headers).into(),
            content_length: arrived.body.size_hint().exact(),
            came_aged,
            epoch: self.epoch.settings.version,
            headers,
        }
    }

    /// Where the route replaces the origin's tags, they are not trusted to validate with either.
    fn usable_upstream(&self, mut validators: Validators) -> Validators {
        if self.route.etag == EtagMode::Replace {
            validators.etag = None;
        }
        validators
    }

    fn variant(&self, response: &HeaderMap) -> VariantKey {
        VariantKey::of(
            &Vary::parse(response),
            &self.fill.ask.headers,
            &self.route.cache.vary,
        )
    }

    /// The whole body came with the head.
    fn complete(&mut self, head: Head, early: Early) {
        let store = &self.worker.gateway.store;
        let token = store
            .token(early.length())
            .unwrap_or_else(|| Token::empty(store.budget()));
        let body = StoredBody::new(&early.pieces, token);
        self.store(head, Content::Complete(body), early.trailers);
    }

    /// Stores a response that is all here, and tells everybody.
    fn store(&mut self, head: Head, content: Content, trailers: Option<HeaderMap>) {
        let (stored, result) = self.commit(Arc::new(head), content, trailers);
        self.fill.settle(Settled::Stored(stored.clone()));
        let committed = result.is_ok();
        self.tell_leader(LeaderNews::Fetched { stored, committed });
    }

    fn commit(
        &self,
        mut head: Arc<Head>,
        content: Content,
        trailers: Option<HeaderMap>,
    ) -> (Arc<StoredResponse>, Result<(), NotCommitted>) {
        let store = &self.worker.gateway.store;
        if head.status == StatusCode::OK
            && etag::wanted(self.route.etag, &head.headers)
            && let Content::Complete(body) = &content
            && let Some(tag) = etag::of(&head.headers, body.pieces())
        {
            head = Arc::new(head.with_etag(tag));
        }
        let token = store.token(head.weight());
        let covered = token.is_some();
        let stored = Arc::new(StoredResponse::new(head, content, trailers, token));
        let result = if covered {
            store.commit(&self.fill, stored.clone(), &self.route.cache.vary)
        } else {
            store.abandon(&self.fill);
            Err(NotCommitted::OverBudget)
        };
        if result.is_ok() {
            self.worker.counters.stored.inc();
        }
        (stored, result)
    }

    /// The body is still coming: every reader gets it as it comes.
    async fn stream(&mut self, head: Head, body: UpstreamBody, early: Early) {
        let head = Arc::new(head);
        let (shared, writer) = SharedBody::new(self.worker.gateway.store.budget());
        let reader = shared.reader();
        self.fill.stream(head.clone(), shared);
        let mut pump = Pump::new(self, writer, early.trailers);
        for piece in &early.pieces {
            pump.push(piece);
        }
        if let Some(reader) = reader {
            let head = head.clone();
            pump.task
                .tell_leader(LeaderNews::Streaming { head, reader });
        }
        match early.failure {
            Some(error) => pump.fail(error),
            None => pump.run(head, body).await,
        }
    }

    /// A 304 came: the stored responses that it names are as good as new. Returns the 304 when it names none.
    fn validated(&mut self, arrived: Arrived) -> Option<Unusable> {
        let validators = self
            .candidates
            .iter()
            .map(|stored| &stored.head.origin_validators);
        let named = validation::named_by_304(&arrived.headers, validators);
        let named: Vec<_> = named
            .iter()
            .map(|index| self.candidates[*index].clone())
            .collect();
        let is_selected = |old: &&Arc<StoredResponse>| {
            self.selected
                .as_ref()
                .is_some_and(|selected| Arc::ptr_eq(selected, old))
        };
        let chosen = named.iter().find(is_selected).or(named.first())?.clone();
        let mut updates = Vec::new();
        let mut answer = None;
        for old in named {
            let new = self.freshened(&old, &arrived);
            if Arc::ptr_eq(&old, &chosen) {
                answer = Some(new.clone());
            }
            updates.push((old, new));
        }
        let stored = answer?;
        self.take_over(&chosen, &stored, &updates, &arrived);
        self.fill.settle(Settled::Stored(stored.clone()));
        self.tell_leader(LeaderNews::Validated { stored });
        None
    }

    /// Puts freshened responses in the place of the old ones; those that may no longer be stored leave.
    fn take_over(
        &self,
        chosen: &Arc<StoredResponse>,
        stored: &Arc<StoredResponse>,
        updates: &[(Arc<StoredResponse>, Arc<StoredResponse>)],
        arrived: &Arrived,
    ) {
        let store = &self.worker.gateway.store;
        let vary = &self.route.cache.vary;
        let directives =
            ResponseDirectives::parse(&stored.head.headers, &self.route.cache.targeted_fields);
        let input = StoreInput {
            method: self.request.method(),
            request: self.directives,
            credentials: self.credentials,
            preconditioned: false,
            content_location_is_target: false,
            status: stored.head.status,
            headers: &stored.head.headers,
            directives: &directives,
            freshness: &stored.head.freshness,
            policy: &self.route.cache,
        };
        let outcome = match assess(&input) {
            Storability::Refuse(why) if why.is_in_response() => {
                store.mark(&self.fill, self.marker(arrived, Unshared::Rule(why)), vary);
                return;
            }
            // The 304 says that another variant answers this request too (RFC 9111 §4.3.4).
            _ if !chosen.head.variant.matches(&self.fill.ask.headers, vary) => {
                store.update(self.fill.key.as_ref(), updates);
                store.commit(&self.fill, stored.clone(), vary)
            }
            _ => store.freshen(&self.fill, updates),
        };
        if let Err(why) = outcome {
            tracing::debug!(
                ?why,
                key = self.fill.key.as_str(),
                "a validation was overtaken"
            );
        }
    }

    /// `old` with the fields of the 304 (RFC 9111 §3.2, §4.3.4).
    fn freshened(&self, old: &Arc<StoredResponse>, arrived: &Arrived) -> Arc<StoredResponse> {
        let policy = &self.route.cache;
        let mut headers = validation::freshen(&old.head.headers, &arrived.headers);
        if let Some(age) = arrived.headers.get(AGE) {
            headers.insert(AGE, age.clone());
        }
        let directives = ResponseDirectives::parse(&headers, &policy.targeted_fields);
        let freshness = self.reckon(old.head.status, &headers, &directives, arrived.receipt());
        let came_aged = headers.remove(AGE).is_some();
        headers.remove(CONTENT_RANGE);
        if policy.ignore.set_cookie {
            headers.remove(SET_COOKIE);
        }
        let ours = self.route.etag != EtagMode::Off && old.head.origin_validators.etag.is_none();
        let mut origin_validators = Validators::of(&headers);
        if ours {
            origin_validators.etag = Validators::of(&arrived.headers).etag;
            if let Some(tag) = old.head.headers.get(ETAG) {
                headers.insert(ETAG, tag.clone());
            }
        }
        pack_fields(&mut headers);
        let keeps_variant = old
            .head
            .variant
            .matches(&self.fill.ask.headers, &policy.vary);
        let head = Head {
            status: old.head.status,
            validators: Validators::of(&headers),
            origin_validators: self.usable_upstream(origin_validators),
            freshness,
            received: arrived.received,
            variant: if keeps_variant {
                old.head.variant.clone()
            } else {
                self.variant(&headers)
            },
            digest: old.head.digest,
            groups: groups::memberships(&headers).into(),
            content_length: old.head.content_length,
            came_aged,
            epoch: self.epoch.settings.version,
            headers,
        };
        let token = self.worker.gateway.store.token(head.weight());
        let head = Arc::new(head);
        Arc::new(StoredResponse::new(
            head,
            old.content.clone(),
            old.trailers.clone(),
            token,
        ))
    }
}

/// A 304 was of no use.
struct Unusable;

impl Arrived {
    fn receipt(&self) -> Receipt {
        Receipt {
            request_time: self.requested.wall,
            response_time: self.received.wall,
        }
    }
}

/// The server errors for which a stale response may stand in (RFC 5861 §4).
pub fn is_server_error(status: StatusCode) -> bool {
    matches!(status.as_u16(), 500 | 502 | 503 | 504)
}

/// What of a body was there as soon as its head was.
struct Early {
    pieces: Vec<Bytes>,
    trailers: Option<HeaderMap>,
    ended: bool,
    /// It broke off so early.
    failure: Option<Error>,
}

impl Early {
    fn length(&self) -> u64 {
        self.pieces.iter().map(|piece| piece.len() as u64).sum()
    }

    fn take(&mut self, frame: Option<Result<Frame<Bytes>, Error>>) {
        match frame.map(|frame| frame.map(Frame::into_data)) {
            Some(Ok(Ok(data))) => self.pieces.push(Bytes::copy_from_slice(&data)),
            Some(Ok(Err(frame))) => self.trailers = frame.into_trailers().ok(),
            Some(Err(error)) => self.failure = Some(error),
            None => self.ended = true,
        }
    }
}

/// Takes what is there of a body; all of it, if `awaited`, and else only what needs no waiting.
async fn take_early(body: &mut UpstreamBody, awaited: bool) -> Early {
    let mut early = Early {
        pieces: Vec::new(),
        trailers: None,
        ended: body.is_end_stream(),
        failure: None,
    };
    let mut yielded = false;
    while !early.ended && early.failure.is_none() && early.length() <= SEGMENT as u64 {
        let frame = if awaited {
            Poll::Ready(body.frame().await)
        } else {
            poll_fn(|cx| Poll::Ready(Pin::new(&mut *body).poll_frame(cx))).await
        };
        match frame {
            Poll::Ready(frame) => {
                early.take(frame);
                early.ended |= body.is_end_stream();
            }
            // The connection's task has been asked for the body just now: it may have all of it.
            Poll::Pending if !yielded => {
                yielded = true;
                tokio::task::yield_now().await;
            }
            Poll::Pending => break,
        }
    }
    early
}

/// All of a body, to its verified end.
async fn collect(body: &mut UpstreamBody) -> Result<Bytes, Error> {
    let collected = body.collect().await?.to_bytes();
    if body.end_verified() {
        return Ok(collected);
    }
    Err(Error::upstream(ErrorKind::ResponseIncomplete))
}

/// Brings a body from its connection to its readers and into the store.
struct Pump<'a> {
    task: &'a mut FillTask,
    writer: Writer,
    trailers: Option<HeaderMap>,
    storing: bool,
    /// Since when nobody reads.
    orphaned: Option<Now>,
}

impl<'a> Pump<'a> {
    fn new(task: &'a mut FillTask, writer: Writer, trailers: Option<HeaderMap>) -> Self {
        Self {
            task,
            writer,
            trailers,
            storing: true,
            orphaned: None,
        }
    }

    async fn run(mut self, head: Arc<Head>, mut body: UpstreamBody) {
        while !body.is_end_stream() {
            self.wait_for_room().await;
            if let Some(why) = self.is_pointless() {
                return self.fail(why);
            }
            match body.frame().await {
                None => break,
                Some(Err(error)) => return self.fail(error),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) if body.is_end_stream() => self.append_last(&data),
                    Ok(data) => self.push(&data),
                    Err(frame) => self.trailers = frame.into_trailers().ok(),
                },
            }
        }
        self.finish(head, &body);
    }

    /// The body broke off: nothing is stored, and its readers see it.
    fn fail(self, error: Error) {
        self.task.worker.gateway.store.abandon(&self.task.fill);
        self.writer.fail(error);
    }

    fn finish(mut self, head: Arc<Head>, body: &UpstreamBody) {
        if !body.end_verified() {
            self.stop_storing();
        }
        match self.writer.seal() {
            Some(content) => {
                let (_, result) =
                    self.task
                        .commit(head, Content::Complete(content), self.trailers.clone());
                if let Err(why) = result {
                    tracing::debug!(
                        ?why,
                        key = self.task.fill.key.as_str(),
                        "a response was not stored"
                    );
                }
            }
            None => self.task.worker.gateway.store.abandon(&self.task.fill),
        }
        self.writer.end(self.trailers);
    }

    fn push(&mut self, data: &[u8]) {
        self.check_size(data);
        if self.writer.push(data).is_err() {
            self.stop_storing();
            // Without the budget's word nothing is refused any more.
            let _ = self.writer.push(data);
        }
    }

    fn append_last(&mut self, data: &[u8]) {
        self.check_size(data);
        if self.writer.append(data).is_err() {
            self.stop_storing();
            let _ = self.writer.append(data);
        }
    }

    fn check_size(&mut self, data: &[u8]) {
        if self.storing
            && self.writer.received() + data.len() as u64 > self.task.route.max_stored_body
        {
            self.stop_storing();
        }
    }

    /// From here on the body only passes through: nobody may join late, and a window bounds what is kept.
    fn stop_storing(&mut self) {
        if std::mem::replace(&mut self.storing, false) {
            let window = self.task.epoch.settings.config.cache.window as u64;
            self.task.worker.gateway.store.abandon(&self.task.fill);
            self.writer.stop_storing(window);
        }
    }

    /// Waits until the slowest reader leaves room, or is cut off for holding up the others.
    async fn wait_for_room(&mut self) {
        loop {
            let writer = &mut self.writer;
            let room = poll_fn(|cx| writer.poll_room(cx));
            if tokio::time::timeout(PATIENCE, room).await.is_ok() {
                return;
            }
            if self.writer.laggards_hold_up_others() {
                self.writer.cut_laggards();
            }
        }
    }

    /// Whether the rest of the body is of no use to anybody, or has been waited for too long without a reader.
    fn is_pointless(&mut self) -> Option<Error> {
        if self.writer.has_readers() {
            self.orphaned = None;
            return None;
        }
        let now = self.task.worker.gateway.clock.now();
        let since = self.orphaned.get_or_insert(now).mono;
        let limit = self.task.epoch.settings.config.cache.fill_timeout;
        let pointless = !self.storing || now.mono.since(since) > limit;
        pointless.then(|| Error::downstream(ErrorKind::ClientGone))
    }
}
