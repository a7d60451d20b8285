//! The client's side of a request that the store cannot answer at once: a machine with one function a step.

mod answer;
mod ask;
mod follow;
mod if_match;
mod lead;
mod pass;
mod unshared;

use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Response, Version};

use crate::cache::collapse::{Fill, Follower};
use crate::clock::{self, timer_now};
use crate::error::{Error, ErrorKind};
use crate::proxy::forward::content;
use crate::proxy::lookup::{Question, Verdict};
use crate::proxy::request::{Class, Inquiry};
use crate::proxy::response::body::Body;
use crate::proxy::response::logged;
use crate::proxy::worker::Worker;
use crate::semantics::cache_status::{CacheStatus, ForwardReason};
use crate::semantics::query::describe;
use crate::upstream::Waiting;

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
    /// Why it went upstream the last time.
    reason: Option<ForwardReason>,
    /// Whether it waited for another's fill.
    collapsed: Option<bool>,
    /// There is a response.
    answered: bool,
}

enum Step {
    /// Read a QUERY's content.
    Read,
    LookUp,
    Conclude(Verdict),
    Ask(Question),
    Lead(Arc<Fill>, Question),
    Follow(Follower, Question),
    /// Forward the request as it is.
    Pass(Question),
    Done(Box<Response<Body>>),
}

impl Step {
    /// Forward a request for which nothing was looked up.
    fn passed(reason: ForwardReason) -> Self {
        Self::Pass(Question::pass(reason, None))
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
            logged::client_left(&self.worker, &self.inquiry);
        }
    }
}

impl Exchange {
    /// An exchange from its beginning.
    pub fn new(worker: Rc<Worker>, inquiry: Inquiry) -> Self {
        let first = match inquiry.class {
            Class::Unsafe | Class::Other => Step::passed(ForwardReason::Method),
            _ if inquiry.is_bypassed() => Step::passed(ForwardReason::Bypass),
            Class::Query => Step::Read,
            Class::Get | Class::Head => Step::LookUp,
        };
        Self::begin(worker, inquiry, first)
    }

    /// An exchange that was looked up already.
    pub(super) fn with(worker: Rc<Worker>, inquiry: Inquiry, verdict: Verdict) -> Self {
        Self::begin(worker, inquiry, Step::Conclude(verdict))
    }

    fn begin(worker: Rc<Worker>, mut inquiry: Inquiry, first: Step) -> Self {
        // RFC 9110 §15.2: HTTP/1.0 has no interim responses.
        if inquiry.parts.version == Version::HTTP_11 {
            inquiry.hints = Some(inquiry.peer.interim.begin());
        }
        let waiting = Waiting::default();
        inquiry.peer.waiting.set(Some(waiting.clone()));
        inquiry.waiting = Some(waiting);
        inquiry.until = inquiry.time_limit().map(|limit| timer_now() + limit);
        Self {
            worker,
            inquiry,
            first,
            query: None,
            rounds: 0,
            alone: false,
            reason: None,
            collapsed: None,
            answered: false,
        }
    }

    /// Runs to the response.
    pub async fn run(mut self: Box<Self>) -> Response<Body> {
        let mut response = match self.inquiry.until {
            None => self.steps().await,
            Some(until) => match clock::by(until, self.steps()).await {
                Ok(response) => response,
                Err(_elapsed) => {
                    let error = Error::upstream(ErrorKind::ExchangeTimeout);
                    self.failure(&error, self.reason)
                }
            },
        };
        self.inquiry.peer.waiting.set(None);
        self.inquiry.bound(&mut response);
        if let Some(quotas) = &self.inquiry.quotas {
            quotas.tell(response.headers_mut());
        }
        if let Some(hints) = self.inquiry.hints.take() {
            hints.finish().await;
        }
        self.answered = true;
        *response
    }

    async fn steps(&mut self) -> Box<Response<Body>> {
        let mut step = std::mem::replace(&mut self.first, Step::LookUp);
        loop {
            self.reason = match &step {
                Step::Ask(question) | Step::Pass(question) => Some(question.reason),
                _ => self.reason,
            };
            step = match step {
                // Boxed where they are rarer than the others and larger: every exchange has room for the largest.
                Step::Read => Box::pin(self.read()).await,
                Step::LookUp => self.look_up(),
                Step::Conclude(verdict) => self.conclude(verdict),
                Step::Ask(question) => self.ask(question),
                Step::Lead(fill, question) => self.lead(fill, question).await,
                Step::Follow(follower, question) => Box::pin(self.follow(follower, question)).await,
                Step::Pass(question) => self.pass(question).await,
                Step::Done(response) => return response,
            };
        }
    }

    /// Reads a QUERY's content: its digest is part of what is looked up.
    async fn read(&mut self) -> Step {
        let content = match content::read(&mut self.inquiry, MAX_QUERY).await {
            Ok(content) => content,
            Err(error) if error.kind() == ErrorKind::ContentTooLarge => {
                let error = error.detail("the content of a QUERY may have 64 KiB here");
                return self.fail(&error, None);
            }
            Err(error) => return self.fail(&error, None),
        };
        let mut hasher = blake3::Hasher::new();
        let described = describe(self.inquiry.headers(), |octets| {
            hasher.update(octets);
        });
        hasher.update(&content);
        self.query = Some(content);
        if !described {
            return Step::passed(ForwardReason::Bypass);
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
                    self.refresh(&stored);
                }
                let status = CacheStatus {
                    collapsed: self.collapsed,
                    ..status
                };
                self.deliver(&stored, Some(age), status)
            }
            Verdict::Ask(question) if question.pass => self.join_or_pass(question),
            Verdict::Ask(question) => Step::Ask(question),
            Verdict::Unsatisfiable => self.fail(&Error::downstream(ErrorKind::OnlyIfCached), None),
        }
    }
}
