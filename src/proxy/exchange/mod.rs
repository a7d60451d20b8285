//! The client's side of a request that the store cannot answer at once: a machine with one function a step.

mod answer;
mod ask;
mod follow;
mod half_closed;
mod if_match;
mod lead;
mod pass;
mod unshared;

use std::pin::pin;
use std::rc::Rc;

use bytes::Bytes;
use http::{HeaderMap, Response, Version};

use crate::cache::collapse::Follower;
use crate::clock::{self, timer_now};
use crate::error::{Error, ErrorKind};
use crate::proxy::exchange::half_closed::Presence;
use crate::proxy::fill::Permit;
use crate::proxy::forward::content;
use crate::proxy::gate::auth::Check;
use crate::proxy::lookup::{Lookup, Miss};
use crate::proxy::request::{Class, Request};
use crate::proxy::response::body::Body;
use crate::proxy::response::envelope::Envelope;
use crate::proxy::response::logged;
use crate::proxy::tiers::Wanted;
use crate::proxy::worker::Worker;
use crate::semantics::cache_status::{CacheStatus, Detail, ForwardReason};
use crate::semantics::query::describe;
use crate::tier::fleet::Nonce;
use crate::upstream::Waiting;

/// How often a request looks again before it goes upstream alone: others keep changing what it wants.
const MAX_ROUNDS: u8 = 4;

/// Bytes of a QUERY's content that are read for its key; a longer one is not cached.
const MAX_QUERY: usize = 64 * 1024;

/// A request on its way.
pub struct Exchange {
    worker: Rc<Worker>,
    request: Request,
    envelope: Envelope,
    first: Step,
    /// A QUERY's content, read for its key.
    query: Option<Bytes>,
    /// Look-ups so far.
    rounds: u8,
    /// It waited for a fill whose response was not for sharing, and must not wait again.
    alone: bool,
    /// Why it went upstream the last time.
    reason: Option<ForwardReason>,
    /// Whether it waited for another's fill.
    collapsed: Option<bool>,
    /// The tier that has brought what is stored; `None` where none has.
    raised: Option<Tier>,
    /// The disk tier has been asked.
    has_asked_disk: bool,
    /// Another gateway's fill whose response did not do.
    unfit: Option<Nonce>,
    /// There is a response.
    answered: bool,
}

/// Where a response was found that memory had not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tier {
    Disk,
    /// Another gateway had stored it.
    Shared,
}

enum Step {
    /// Verify the credentials that the route's gate asks for.
    Verify(Box<Check>),
    /// Read a QUERY's content.
    Read,
    LookUp,
    Conclude(Lookup),
    /// Look in the second tiers for what memory does not have.
    Raise(Lookup),
    /// Lead a fill for it, or follow another's.
    Fetch(Miss),
    Lead(Permit, Miss),
    Follow(Follower, Miss),
    /// Forward the request as it is.
    Pass(Miss),
    Done(Box<Response<Body>>),
}

impl Step {
    /// What is done for a request of which nothing has been done yet.
    fn first(request: &Request) -> Self {
        match request.class {
            Class::Unsafe | Class::Other => Self::passed(ForwardReason::Method),
            _ if request.is_bypassed() => Self::passed(ForwardReason::Bypass),
            Class::Query => Self::Read,
            Class::Get | Class::Head => Self::LookUp,
        }
    }

    /// Forward a request for which nothing was looked up.
    fn passed(reason: ForwardReason) -> Self {
        Self::Pass(Miss::pass(reason, None))
    }

    /// Adds fields that are for this client alone to its response, if that is what comes next.
    fn with_fields(mut self, own: HeaderMap) -> Self {
        if let Self::Done(response) = &mut self {
            response.headers_mut().extend(own);
        }
        self
    }
}

/// Dropped before there is a response, its client has left.
impl Drop for Exchange {
    fn drop(&mut self) {
        if !self.answered {
            logged::client_left(&self.worker, &self.request);
        }
    }
}

impl Exchange {
    /// An exchange from its beginning.
    pub fn new(worker: Rc<Worker>, request: Request, envelope: Envelope) -> Self {
        let first = Step::first(&request);
        Self::begin(worker, request, envelope, first)
    }

    /// An exchange that begins once the request's credentials have proved right.
    pub(super) fn unverified(
        worker: Rc<Worker>,
        request: Request,
        envelope: Envelope,
        check: Box<Check>,
    ) -> Self {
        Self::begin(worker, request, envelope, Step::Verify(check))
    }

    /// An exchange that was looked up already.
    pub(super) fn with(
        worker: Rc<Worker>,
        request: Request,
        envelope: Envelope,
        lookup: Lookup,
    ) -> Self {
        Self::begin(worker, request, envelope, Step::Conclude(lookup))
    }

    fn begin(
        worker: Rc<Worker>,
        mut request: Request,
        mut envelope: Envelope,
        first: Step,
    ) -> Self {
        // RFC 9110 §15.2: HTTP/1.0 has no interim responses.
        if request.parts.version == Version::HTTP_11 {
            envelope.hints = Some(request.peer.interim.begin());
        }
        let waiting = Waiting::default();
        request.peer.waiting.set(Some(waiting.clone()));
        request.waiting = Some(waiting);
        envelope.until = request.time_limit().map(|limit| timer_now() + limit);
        Self {
            worker,
            request,
            envelope,
            first,
            query: None,
            rounds: 0,
            alone: false,
            reason: None,
            collapsed: None,
            raised: None,
            has_asked_disk: false,
            unfit: None,
            answered: false,
        }
    }

    /// Runs to the response.
    pub async fn run(mut self: Box<Self>) -> Response<Body> {
        let until = self.envelope.until;
        let waiting = self.request.waiting.clone().unwrap_or_default();
        let presence = Presence::of(&self.worker, &self.request, waiting);
        let response = {
            let steps = pin!(self.steps());
            let steps = pin!(presence.watch(steps));
            match until {
                None => Ok(steps.await),
                Some(until) => clock::by(until, steps).await,
            }
        };
        let mut response = response.unwrap_or_else(|_elapsed| {
            let error = Error::upstream(ErrorKind::ExchangeTimeout);
            self.failure(&error, self.reason)
        });
        self.request.peer.waiting.set(None);
        self.envelope.finish(&self.request, &mut response);
        if let Some(hints) = self.envelope.hints.take() {
            hints.finish().await;
        }
        self.answered = true;
        *response
    }

    async fn steps(&mut self) -> Box<Response<Body>> {
        let mut step = std::mem::replace(&mut self.first, Step::LookUp);
        loop {
            self.reason = match &step {
                Step::Fetch(miss) | Step::Pass(miss) => Some(miss.reason),
                _ => self.reason,
            };
            step = match step {
                // Boxed where they are rarer than the others and larger: every exchange has room for the largest.
                Step::Verify(check) => Box::pin(self.verify(*check)).await,
                Step::Read => Box::pin(self.read()).await,
                Step::LookUp => self.look_up(),
                Step::Conclude(lookup) if self.may_be_raised(&lookup) => Step::Raise(lookup),
                Step::Conclude(lookup) => self.conclude(lookup),
                Step::Raise(lookup) => Box::pin(self.raise(lookup)).await,
                Step::Fetch(miss) => self.ask(miss),
                Step::Lead(fill, miss) => self.lead(fill, miss).await,
                Step::Follow(follower, miss) => Box::pin(self.follow(follower, miss)).await,
                Step::Pass(miss) => self.pass(miss).await,
                Step::Done(response) => return response,
            };
        }
    }

    async fn verify(&mut self, check: Check) -> Step {
        match self.worker.verify(&mut self.request, check).await {
            Ok(()) => Step::first(&self.request),
            Err(response) => Step::Done(response),
        }
    }

    /// Reads a QUERY's content: its digest is part of what is looked up.
    async fn read(&mut self) -> Step {
        let content = match content::read(&mut self.request, self.envelope.until, MAX_QUERY).await {
            Ok(content) => content,
            Err(error) if error.kind() == ErrorKind::ContentTooLarge => {
                let error = error.detail("the content of a QUERY may have 64 KiB here");
                return self.fail(&error, None);
            }
            Err(error) => return self.fail(&error, None),
        };
        let mut hasher = blake3::Hasher::new();
        let described = describe(self.request.headers(), |octets| {
            hasher.update(octets);
        });
        hasher.update(&content);
        self.query = Some(content);
        if !described {
            return Step::passed(ForwardReason::Bypass);
        }
        self.request.digest = Some(*hasher.finalize().as_bytes());
        Step::LookUp
    }

    fn look_up(&mut self) -> Step {
        self.rounds += 1;
        self.request.canonicalise(&self.worker.gateway.store);
        self.request.now = self.worker.gateway.clock.now();
        Step::Conclude(self.worker.look_up(&mut self.request))
    }

    /// Whether memory has nothing for the request, and a second tier may have.
    fn may_be_raised(&self, lookup: &Lookup) -> bool {
        let is_known = |miss: &Miss| miss.resource.is_some();
        let is_known = match lookup {
            Lookup::Deliver { .. } => true,
            Lookup::Miss(miss) | Lookup::Pass(miss) => is_known(miss),
            Lookup::Unsatisfiable => false,
        };
        let gateway = &self.worker.gateway;
        !is_known
            && !self.has_asked_disk
            && self.request.route.tiers.disk
            && gateway.tiers.has_disk()
            && gateway
                .tiers
                .may_have(self.request.key(&gateway.store).as_str())
    }

    async fn raise(&mut self, lookup: Lookup) -> Step {
        let gateway = &self.worker.gateway;
        let (store, request) = (&gateway.store, &self.request);
        let wanted = Wanted {
            key: request.key(store).to_key(),
            route: request.route.clone(),
            path_and_query: request.target.path_and_query().to_owned(),
            epoch: request.epoch.settings.version,
        };
        let raised = gateway.tiers.raise(store, &gateway.clock, wanted).await;
        self.has_asked_disk = true;
        match raised {
            true => {
                self.raised = Some(Tier::Disk);
                self.look_up()
            }
            false => Step::Conclude(lookup),
        }
    }

    fn conclude(&mut self, lookup: Lookup) -> Step {
        match lookup {
            Lookup::Deliver {
                stored,
                age,
                status,
                validate_behind,
            } => {
                if validate_behind {
                    self.refresh(&stored);
                }
                let status = CacheStatus {
                    collapsed: self.collapsed,
                    detail: match (self.raised, status.detail) {
                        (Some(Tier::Disk), None) => Some(Detail::Other("disk")),
                        (Some(Tier::Shared), None) => Some(Detail::Other("shared")),
                        (_, detail) => detail,
                    },
                    ..status
                };
                self.deliver(&stored, Some(age), status)
            }
            Lookup::Miss(miss) => Step::Fetch(miss),
            Lookup::Pass(miss) => self.join_or_pass(miss),
            Lookup::Unsatisfiable => self.fail(&Error::downstream(ErrorKind::OnlyIfCached), None),
        }
    }
}
