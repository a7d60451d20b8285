//! The client's side of a request that the store cannot answer at once: a machine with one function a step.

use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, Response, StatusCode};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::Incoming;
use tokio::sync::oneshot;

use super::body::{Body, Following};
use super::deliver::Delivery;
use super::fill::{Arrived, FillTask, LeaderNews, NotShared};
use super::pass;
use super::receive::{Class, Facts, Inquiry};
use super::rescue;
use super::settle::{Settlement, settle};
use super::worker::{Question, Verdict, Want, Worker, detail_of, holds_what_is_asked};
use crate::cache::body::Reader;
use crate::cache::collapse::{Ask, Fill, Follower, News};
use crate::cache::store::{Limits, Role, Sharing};
use crate::cache::stored::{Head, StoredResponse, Unshared};
use crate::error::{Error, ErrorKind, Side};
use crate::semantics::cache_status::{CacheStatus, Detail, ForwardReason};
use crate::semantics::query::describe;
use crate::semantics::reuse::{Failure, Reuse, Selection, decide, on_error};
use crate::semantics::time::DeltaSeconds;
use crate::upstream::RequestBody;

/// How often a request looks again before it goes upstream alone: others keep changing what it wants.
const MAX_ROUNDS: u8 = 4;

/// Bytes of a QUERY's content that are read for its key; a longer one is not cached.
const MAX_QUERY: usize = 64 * 1024;

/// A request on its way.
pub struct Exchange {
    worker: Rc<Worker>,
    inquiry: Inquiry,
    first: Step,
    /// A QUERY's content, read for its key.
    query: Option<Bytes>,
    /// Look-ups so far.
    rounds: u8,
    /// It waited for a fill whose response was not for sharing, and must not wait again.
    alone: bool,
    /// Whether it waited for another's fill.
    collapsed: Option<bool>,
}

enum Step {
    /// Read a QUERY's content.
    Read,
    LookUp,
    Conclude(Verdict),
    Ask(Question),
    Lead(Arc<Fill>, Question),
    Follow(Follower, Question),
    Pass(ForwardReason, Option<Detail>),
    Done(Box<Response<Body>>),
}

impl Step {
    /// Adds fields that are for this client alone to its response, if that is what comes next.
    fn with_fields(mut self, own: HeaderMap) -> Self {
        if let Self::Done(response) = &mut self {
            response.headers_mut().extend(own);
        }
        self
    }
}

impl Exchange {
    /// An exchange from its beginning.
    pub fn new(worker: Rc<Worker>, inquiry: Inquiry) -> Self {
        let first = match inquiry.class {
            Class::Unsafe | Class::Other => Step::Pass(ForwardReason::Method, None),
            _ if inquiry.is_bypassed() => Step::Pass(ForwardReason::Bypass, None),
            Class::Query => Step::Read,
            Class::Get | Class::Head => Step::LookUp,
        };
        Self::begin(worker, inquiry, first)
    }

    /// An exchange that was looked up already.
    pub(super) fn with(worker: Rc<Worker>, inquiry: Inquiry, verdict: Verdict) -> Self {
        Self::begin(worker, inquiry, Step::Conclude(verdict))
    }

    fn begin(worker: Rc<Worker>, inquiry: Inquiry, first: Step) -> Self {
        Self {
            worker,
            inquiry,
            first,
            query: None,
            rounds: 0,
            alone: false,
            collapsed: None,
        }
    }

    /// Runs to the response.
    pub async fn run(mut self) -> Response<Body> {
        let mut step = std::mem::replace(&mut self.first, Step::LookUp);
        loop {
            step = match step {
                Step::Read => self.read().await,
                Step::LookUp => self.look_up(),
                Step::Conclude(verdict) => self.conclude(verdict),
                Step::Ask(question) => self.ask(question),
                Step::Lead(fill, question) => self.lead(fill, question).await,
                Step::Follow(follower, question) => self.follow(follower, question).await,
                Step::Pass(reason, detail) => self.pass(reason, detail).await,
                Step::Done(response) => return *response,
            };
        }
    }

    /// Reads a QUERY's content: its digest is part of what is looked up.
    async fn read(&mut self) -> Step {
        let Some(content) = self.inquiry.content.take() else {
            return self.fail(&Error::internal(), None);
        };
        let limited: Limited<Incoming> = Limited::new(content, MAX_QUERY);
        let content = match limited.collect().await {
            Ok(content) => content.to_bytes(),
            Err(error) if error.is::<LengthLimitError>() => {
                let error = Error::downstream(ErrorKind::ContentTooLarge)
                    .detail("the content of a QUERY may have 64 KiB here");
                return self.fail(&error, None);
            }
            Err(error) => {
                return self.fail(
                    &Error::downstream(ErrorKind::ClientGone).because(error),
                    None,
                );
            }
        };
        let mut hasher = blake3::Hasher::new();
        let described = describe(self.inquiry.headers(), |octets| {
            hasher.update(octets);
        });
        hasher.update(&content);
        self.query = Some(content);
        if !described {
            return Step::Pass(ForwardReason::Bypass, None);
        }
        self.inquiry.digest = Some(*hasher.finalize().as_bytes());
        Step::LookUp
    }

    fn look_up(&mut self) -> Step {
        self.rounds += 1;
        self.inquiry.canonicalise(&self.worker.gateway.store);
        self.inquiry.now = self.worker.gateway.clock.now();
        Step::Conclude(self.worker.look_up(&self.inquiry))
    }

    fn conclude(&mut self, verdict: Verdict) -> Step {
        match verdict {
            Verdict::Deliver {
                stored,
                age,
                status,
                validate_behind,
            } => {
                if validate_behind {
                    self.validate_behind(&stored);
                }
                let status = CacheStatus {
                    collapsed: self.collapsed,
                    ..status
                };
                self.deliver(&stored, Some(age), status)
            }
            Verdict::Ask(question) if question.pass => {
                Step::Pass(question.reason, question.expected)
            }
            Verdict::Ask(question) => Step::Ask(question),
            Verdict::Unsatisfiable => self.fail(&Error::downstream(ErrorKind::OnlyIfCached), None),
        }
    }

    /// Leads a fill or follows one.
    fn ask(&mut self, question: Question) -> Step {
        let store = &self.worker.gateway.store;
        let alone = self.alone || self.rounds >= MAX_ROUNDS;
        let proved = question
            .resource
            .as_ref()
            .is_some_and(|resource| !resource.variants.is_empty());
        // Invariant 2: who sends credentials shares only what has proved shareable.
        let may_share = !alone && (proved || !self.inquiry.credentials.any());
        let must_ask = question.reason == ForwardReason::Request
            || question
                .selected
                .as_ref()
                .is_some_and(|stored| never_fresh(&stored.head));
        let whole = question.want == Want::Whole;
        let sharing = self.sharing(may_share && !must_ask && whole, may_share && whole);
        let ask = self.ask_of();
        match store.lead_or_follow(
            self.inquiry.key(store),
            question.resource.as_ref(),
            ask,
            sharing,
        ) {
            Role::Lead(fill) => Step::Lead(fill, question),
            Role::Follow(follower) => Step::Follow(follower, question),
            // Others change it faster than it can be looked at.
            Role::LookAgain if alone => Step::Pass(question.reason, None),
            Role::LookAgain => Step::LookUp,
        }
    }

    async fn lead(&mut self, fill: Arc<Fill>, question: Question) -> Step {
        let (sender, receiver) = oneshot::channel();
        match self.fill_task(&fill, &question) {
            Ok(mut task) => {
                task.leader = Some(sender);
                self.worker.spawn(task.run());
            }
            Err(error) => {
                self.worker.gateway.store.abandon(&fill);
                return self.fail(&error, Some(question.reason));
            }
        }
        self.learn(receiver, &question).await
    }

    async fn learn(
        &mut self,
        receiver: oneshot::Receiver<LeaderNews>,
        question: &Question,
    ) -> Step {
        let news = receiver
            .await
            .unwrap_or_else(|_| LeaderNews::Failed(Error::internal()));
        self.inquiry.now = self.worker.gateway.clock.now();
        self.led(news, question)
    }

    fn sharing(&self, follow: bool, lead: bool) -> Sharing<'_> {
        let config = &self.inquiry.epoch.settings.config.cache;
        Sharing {
            follow,
            lead,
            vary: &self.inquiry.route.cache.vary,
            limits: Limits {
                now: self.inquiry.now.mono,
                leader_timeout: config.leader_timeout,
                max_followers: config.max_followers,
            },
        }
    }

    /// What this request would have a fill ask.
    fn ask_of(&self) -> Ask {
        Ask {
            headers: self.inquiry.headers().clone(),
            digest: self.inquiry.digest,
        }
    }

    fn fill_task(&self, fill: &Arc<Fill>, question: &Question) -> Result<FillTask, Error> {
        let content = self
            .query
            .clone()
            .map_or(RequestBody::Empty, RequestBody::Full);
        let mut task = FillTask::new(&self.worker, &self.inquiry, fill, content)?;
        task.selected = question.selected.clone();
        task.want = question.want;
        if task.want != Want::Whole {
            return Ok(task);
        }
        let variants = question
            .resource
            .iter()
            .flat_map(|resource| resource.variants.iter());
        task.candidates = variants
            .filter(|stored| stored.head.digest == self.inquiry.digest)
            .filter(|stored| !stored.head.origin_validators.is_empty())
            // RFC 9111 §4.3.2: a part is validated only for a request that it answers.
            .filter(|stored| holds_what_is_asked(stored, &self.inquiry))
            .cloned()
            .collect();
        Ok(task)
    }

    fn led(&mut self, news: LeaderNews, question: &Question) -> Step {
        let worker = self.worker.clone();
        let mut status = CacheStatus::forwarded(question.reason);
        match news {
            LeaderNews::Streaming { head, reader, own } => {
                worker.counters.misses.inc();
                status.forward_status = Some(head.status);
                status.stored = true;
                let age = came_aged(&head, &self.inquiry);
                self.stream(&head, reader, None, age, status)
                    .with_fields(own)
            }
            LeaderNews::Fetched {
                stored,
                committed,
                own,
            } => {
                worker.counters.misses.inc();
                status.forward_status = Some(stored.head.status);
                status.stored = committed;
                let age = came_aged(&stored.head, &self.inquiry);
                self.deliver(&stored, age, status).with_fields(own)
            }
            LeaderNews::Validated {
                stored,
                committed,
                own,
            } => {
                worker.counters.validated.inc();
                status.forward_status = Some(StatusCode::NOT_MODIFIED);
                status.stored = committed;
                let age = came_aged(&stored.head, &self.inquiry);
                self.deliver(&stored, age, status).with_fields(own)
            }
            LeaderNews::Unshared { arrived, why } => self.unshared(*arrived, why, question),
            LeaderNews::Failed(error) => self.failed(&error, question),
        }
    }

    fn unshared(&mut self, arrived: Arrived, why: NotShared, question: &Question) -> Step {
        // The client wanted a part of something large: let the origin cut it out.
        if why == NotShared::Cause(Unshared::TooLarge) && self.inquiry.facts.any(Facts::SELECTIVE) {
            return self.ask_for_part(arrived, question);
        }
        if why == NotShared::ServerError {
            let failure = Failure::Status(arrived.status);
            if let Some(step) = self.stand_in(failure, question) {
                return step;
            }
        }
        self.worker.counters.misses.inc();
        let detail = match why {
            NotShared::Cause(cause) => Some(detail_of(cause)),
            NotShared::ServerError => None,
        };
        self.forwarded(arrived, question.reason, detail)
    }

    /// The client wanted only a part of something too large to be stored: the origin is to cut it out, now that its
    /// size is known, unless that is what it did.
    fn ask_for_part(&mut self, arrived: Arrived, question: &Question) -> Step {
        let range = self.inquiry.class == Class::Get && self.inquiry.facts.any(Facts::RANGE);
        if question.want != Want::Whole {
            return self.forwarded(arrived, question.reason, question.expected);
        }
        if !range {
            return Step::Pass(question.reason, Some(detail_of(Unshared::TooLarge)));
        }
        drop(arrived);
        Step::LookUp
    }

    fn failed(&mut self, error: &Error, question: &Question) -> Step {
        match self.stand_in(Failure::Disconnected, question) {
            Some(step) => step,
            None if must_not_be_stale(question) && error.side() == Side::Upstream => {
                // RFC 9111 §5.2.2.2: 504, whatever kept the origin from answering.
                let lost = error.share().answered(StatusCode::GATEWAY_TIMEOUT);
                self.fail(&lost, Some(question.reason))
            }
            None => self.fail(error, Some(question.reason)),
        }
    }

    /// A stale response instead of an error, where that is allowed (RFC 5861 §4, RFC 9111 §4.2.4).
    fn stand_in(&mut self, failure: Failure, question: &Question) -> Option<Step> {
        let stored = question.selected.as_ref()?;
        let resident = stored.head.resident(self.inquiry.now);
        let policy = &self.inquiry.route.cache;
        let reuse = on_error(
            failure,
            &stored.head.freshness,
            resident,
            &self.inquiry.directives,
            policy,
        )?;
        let (age, ttl, detail) = match reuse {
            Reuse::Stale { age, ttl, why } => (age, ttl, Some(Detail::Stale(why))),
            // Only the request had wanted it younger.
            Reuse::Fresh { age, ttl } => (age, ttl, None),
            _ => return None,
        };
        self.worker.counters.stale_hits.inc();
        let status = CacheStatus {
            ttl: Some(ttl),
            detail,
            collapsed: self.collapsed,
            forward_status: match failure {
                Failure::Status(status) => Some(status),
                Failure::Disconnected => None,
            },
            ..CacheStatus::forwarded(question.reason)
        };
        Some(self.deliver(stored, Some(age), status))
    }

    async fn follow(&mut self, follower: Follower, question: Question) -> Step {
        let counters = self.worker.counters.clone();
        let following = Following::new(follower, counters.clone());
        let patience = self.inquiry.epoch.settings.config.cache.follower_timeout;
        let news = tokio::time::timeout(patience, following.follower.news()).await;
        self.inquiry.now = self.worker.gateway.clock.now();
        self.collapsed = Some(true);
        // Who has waited long enough looks again: the fill is overdue for all by then, and one of them leads another.
        let Ok(news) = news else {
            return self.go_on(true);
        };
        match news {
            News::Streaming(head, reader) if self.may_reuse(&head) => {
                counters.collapsed.inc();
                let status = CacheStatus {
                    collapsed: Some(true),
                    ..CacheStatus::forwarded(question.reason)
                };
                let age = head.freshness.age(head.resident(self.inquiry.now));
                self.stream(&head, reader, Some(following), Some(age), status)
            }
            News::Stored(stored) if self.may_reuse(&stored.head) => {
                counters.collapsed.inc();
                let status = CacheStatus {
                    collapsed: Some(true),
                    ..CacheStatus::forwarded(question.reason)
                };
                let age = stored
                    .head
                    .freshness
                    .age(stored.head.resident(self.inquiry.now));
                self.deliver(&stored, Some(age), status)
            }
            News::Streaming(head, _) => self.go_on(!selects(&head, &self.inquiry)),
            News::Stored(stored) => self.go_on(!selects(&stored.head, &self.inquiry)),
            News::Abandoned => self.go_on(true),
            News::Unshared => self.go_on(false),
            News::ServerError(status) => match self.stand_in(Failure::Status(status), &question) {
                Some(step) => step,
                None => self.go_on(false),
            },
            News::Failed(error) => self.failed(&error, &question),
        }
    }

    /// The fill was of no use: look again, and wait for another only if that may help.
    fn go_on(&mut self, may_wait: bool) -> Step {
        self.collapsed = Some(false);
        self.alone |= !may_wait;
        Step::LookUp
    }

    /// Whether the response of another's fill answers this request without validation.
    fn may_reuse(&self, head: &Head) -> bool {
        let selection = Selection::Found {
            freshness: &head.freshness,
            resident: head.resident(self.inquiry.now),
        };
        selects(head, &self.inquiry)
            && matches!(
                decide(selection, &self.inquiry.directives),
                Reuse::Fresh { .. } | Reuse::Stale { .. } | Reuse::StaleWhileRevalidate { .. }
            )
    }

    async fn pass(&mut self, reason: ForwardReason, detail: Option<Detail>) -> Step {
        if let Some(mut response) = pass::max_forwards(&self.worker, &mut self.inquiry) {
            self.worker
                .sign(&mut response, &self.inquiry, CacheStatus::forwarded(reason));
            return Step::Done(Box::new(response));
        }
        self.worker.counters.passes.inc();
        if self.inquiry.facts.any(Facts::ORIGIN_CONDITIONS) {
            match settle(&self.worker, &mut self.inquiry).await {
                Ok(Settlement::Forward) => {}
                Ok(Settlement::Failed(stored)) => {
                    return self.precondition_failed(&stored.head, reason);
                }
                Err(error) => return self.fail(&error, Some(reason)),
            }
        }
        match pass::forward(&self.worker, &mut self.inquiry, self.query.clone()).await {
            Ok(arrived) if pass::answers_a_get(&self.inquiry, &arrived) => {
                self.keep_post(arrived, reason).await
            }
            Ok(arrived) => self.forwarded(arrived, reason, detail),
            Err(error) => self.fail(&error, Some(reason)),
        }
    }

    fn precondition_failed(&self, head: &Head, reason: ForwardReason) -> Step {
        let delivery = Delivery {
            worker: &self.worker,
            inquiry: &self.inquiry,
            age: None,
            status: CacheStatus::forwarded(reason),
        };
        Step::Done(Box::new(delivery.precondition_failed(head)))
    }

    /// A POST's response that is what a GET would bring is stored as such, where the rules allow it.
    async fn keep_post(&mut self, arrived: Arrived, reason: ForwardReason) -> Step {
        let store = &self.worker.gateway.store;
        let key = self.inquiry.key(store);
        let resource = store.look_up(key);
        let alone = self.sharing(false, false);
        let Role::Lead(fill) = store.lead_or_follow(key, resource.as_ref(), self.ask_of(), alone)
        else {
            return self.forwarded(arrived, reason, None);
        };
        let mut task = match FillTask::new(&self.worker, &self.inquiry, &fill, RequestBody::Empty) {
            Ok(task) => task,
            Err(_) => {
                store.abandon(&fill);
                return self.forwarded(arrived, reason, None);
            }
        };
        let (sender, receiver) = oneshot::channel();
        task.leader = Some(sender);
        self.worker.spawn(task.adopt(arrived));
        let question = Question::pass(reason, None);
        self.learn(receiver, &question).await
    }

    /// Hands a response on that is for this client alone.
    fn forwarded(&self, arrived: Arrived, reason: ForwardReason, detail: Option<Detail>) -> Step {
        let status = CacheStatus {
            forward_status: Some(arrived.status),
            collapsed: self.collapsed,
            detail,
            ..CacheStatus::forwarded(reason)
        };
        let body = Body::upstream(arrived.body, self.worker.counters.clone());
        let mut response = Response::new(body);
        let mut headers = arrived.headers;
        // The body's own size is its length, except where there is a length without a body.
        if self.inquiry.class != Class::Head && arrived.status != StatusCode::NOT_MODIFIED {
            headers.remove(CONTENT_LENGTH);
        }
        *response.status_mut() = arrived.status;
        *response.headers_mut() = headers;
        self.worker.sign(&mut response, &self.inquiry, status);
        Step::Done(Box::new(response))
    }

    fn deliver(
        &self,
        stored: &StoredResponse,
        age: Option<DeltaSeconds>,
        status: CacheStatus,
    ) -> Step {
        if !holds_what_is_asked(stored, &self.inquiry) {
            // A part came, and another is still missing; or it is not the part that was asked for.
            return match status.forward {
                Some(reason) if self.rounds >= MAX_ROUNDS => Step::Pass(reason, status.detail),
                _ => Step::LookUp,
            };
        }
        Step::Done(Box::new(self.worker.deliver(
            &self.inquiry,
            stored,
            age,
            status,
        )))
    }

    fn stream(
        &self,
        head: &Arc<Head>,
        reader: Reader,
        follower: Option<Following>,
        age: Option<DeltaSeconds>,
        status: CacheStatus,
    ) -> Step {
        let delivery = Delivery {
            worker: &self.worker,
            inquiry: &self.inquiry,
            age,
            status,
        };
        Step::Done(Box::new(delivery.stream(head, reader, follower)))
    }

    /// The request ends with an error of the gateway's.
    fn fail(&self, error: &Error, reason: Option<ForwardReason>) -> Step {
        let identity = &self.inquiry.epoch.settings.identity;
        let mut response = rescue::respond(
            error,
            self.inquiry.method(),
            identity,
            &self.worker.counters,
        );
        self.worker.date(&mut response, self.inquiry.now);
        let status = match reason {
            Some(reason) => CacheStatus {
                collapsed: self.collapsed,
                ..CacheStatus::forwarded(reason)
            },
            None => CacheStatus {
                detail: (error.kind() == ErrorKind::OnlyIfCached)
                    .then_some(Detail::Other("only-if-cached")),
                ..CacheStatus::default()
            },
        };
        self.worker.sign(&mut response, &self.inquiry, status);
        tracing::debug!(target: "bookend::exchange", %error, request = self.inquiry.target.as_str(), "failed");
        Step::Done(Box::new(response))
    }

    /// Begins a fill that nobody waits for, unless one is going on (RFC 5861 §3).
    fn validate_behind(&self, stored: &Arc<StoredResponse>) {
        let limit = self
            .inquiry
            .epoch
            .settings
            .config
            .cache
            .max_background_fills;
        if self.worker.background.get() >= limit {
            return;
        }
        let store = &self.worker.gateway.store;
        let resource = store.look_up(self.inquiry.key(store));
        let question = Question {
            reason: ForwardReason::Stale,
            resource,
            selected: Some(stored.clone()),
            pass: false,
            expected: None,
            want: Want::Whole,
        };
        let sharing = self.sharing(true, true);
        let ask = self.ask_of();
        let role = store.lead_or_follow(
            self.inquiry.key(store),
            question.resource.as_ref(),
            ask,
            sharing,
        );
        if let Role::Lead(fill) = role {
            match self.fill_task(&fill, &question) {
                Ok(task) => self.worker.spawn_behind(task.run()),
                Err(_) => store.abandon(&fill),
            }
        }
    }
}

fn selects(head: &Head, inquiry: &Inquiry) -> bool {
    head.digest == inquiry.digest
        && head
            .variant
            .matches(inquiry.headers(), &inquiry.route.cache.vary)
}

/// Whether a stored response was to be validated that may not be served stale.
fn must_not_be_stale(question: &Question) -> bool {
    let selected = question.selected.as_ref();
    selected.is_some_and(|stored| stored.head.freshness.must_validate.is_some())
}

/// Whether each use of the response needs a validation of its own.
fn never_fresh(head: &Head) -> bool {
    let freshness = &head.freshness;
    freshness.lifetime == DeltaSeconds::ZERO
        || freshness.must_validate == Some(crate::semantics::freshness::MustValidate::NoCache)
}

/// The age of a response that came for this very request: only when it had been stored before (RFC 9111 §5.1).
fn came_aged(head: &Head, inquiry: &Inquiry) -> Option<DeltaSeconds> {
    head.age
        .is_some()
        .then(|| head.freshness.age(head.resident(inquiry.now)))
}
