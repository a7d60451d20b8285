//! A request from its head to its response: read, count against the limits, pass the route's
//! gate, look up, deliver at once or run an exchange.

use std::pin::Pin;
use std::rc::Rc;

use http::header::RETRY_AFTER;
use http::request::Parts;
use http::{Method, Response};

use crate::config::Destination;
use crate::config::traces::BUILT_IN;
use crate::error::Error;
use crate::proxy::exchange::Exchange;
use crate::proxy::fleet::HELD;
use crate::proxy::gate::{Met, dotted, grant};
use crate::proxy::limit::Refusal;
use crate::proxy::lookup::Lookup;
use crate::proxy::purging::Purged;
use crate::proxy::request::content::RequestContent;
use crate::proxy::request::peer::Peer;
use crate::proxy::request::{Class, Request, Traits};
use crate::proxy::response::body::Body;
use crate::proxy::response::envelope::Envelope;
use crate::proxy::response::{error, logged, trace};
use crate::proxy::task::pinned;
use crate::proxy::worker::Worker;
use crate::semantics::cache_status::{CacheStatus, Detail};

/// The answer to a request. Where there is nothing to wait for, it is made where the request is: to move a request into a
/// future and out of it again costs more than to look it up.
pub enum Answer<B> {
    Now(Response<B>),
    Later(Pin<Box<dyn Future<Output = Response<B>>>>),
}

impl<B> Answer<B> {
    /// What `response` comes to.
    pub fn later(response: impl Future<Output = Response<B>> + 'static) -> Self {
        Self::Later(Box::pin(response))
    }
}

impl Worker {
    /// Answers one request, whatever happens: from the store at once, or with an exchange.
    pub fn handle(
        self: &Rc<Self>,
        peer: &Rc<Peer>,
        mut parts: Parts,
        content: RequestContent,
    ) -> Answer<Body> {
        let now = self.gateway.clock.now();
        let epoch = self.epoch();
        let before = self.latest_target.take();
        let (mut traits, target) = match Request::understand(&parts, &content, peer, &epoch, before)
        {
            Ok(understood) => understood,
            Err(error) => return Answer::Now(self.refuse(peer, &error, Some(&parts))),
        };
        if traits.any(Traits::DEBUG)
            && !trace::is_asked_for(&mut parts.headers, &epoch.settings.config)
        {
            traits.remove(Traits::DEBUG);
        }
        if self.gateway.is_handing_over() {
            traits.add(Traits::HANDOVER);
        }
        let mut request = Request::new(parts, content, peer, epoch, now, traits, target);
        if request.route.destination == Destination::Dotted {
            return Answer::Now(self.refuse(peer, &dotted(), Some(&request.parts)));
        }
        if BUILT_IN {
            request.record();
        }
        if request.class == Class::Unsafe
            && let Some(purged) = self.answer_purge(&request)
        {
            return self.answered_purge(request, purged);
        }
        if request.route.requests.is_some() {
            request.follow_rules();
        }
        if let Some(own) = &peer.own_answers {
            match self.answer_itself(&request, own) {
                Ok(None) => {}
                Ok(Some(response)) => return Answer::Now(response),
                Err(error) => {
                    return Answer::Now(self.refuse(peer, &error, Some(&request.parts)));
                }
            }
        }
        let mut envelope = Envelope::default();
        if let Some(limits) = &request.epoch.settings.limits {
            match limits.count(&request) {
                Ok(quotas) => envelope.quotas = quotas.some(),
                Err(refusal) => return Answer::Now(self.limited(&request, &refusal)),
            }
        }
        request.canonicalise(&self.gateway.store);
        if request.traits.any(Traits::OWN_FIELDS) {
            if request.traits.any(Traits::AFTER) {
                let gateway = &self.gateway;
                request.heed_receipts(|fields| gateway.has_all_of(fields));
            }
            request.drop_nominated(&self.gateway.store);
        }
        if request.route.gate.is_some() {
            match self.meet_gate(&mut request, &mut envelope) {
                Met::Passed => {}
                Met::Answered(response) => return Answer::Now(*response),
                Met::Unverified(check) => {
                    let exchange = Exchange::unverified(self.clone(), request, envelope, check);
                    let exchange = Box::new(exchange);
                    return Answer::Later(pinned(|| exchange.run()));
                }
            }
        }
        if !request.class.is_looked_up() || request.is_bypassed() || request.class == Class::Query {
            let exchange = Box::new(Exchange::new(self.clone(), request, envelope));
            return Answer::Later(pinned(|| exchange.run()));
        }
        match self.look_up(&mut request) {
            Lookup::Deliver {
                stored,
                age,
                status,
                validate_behind: false,
            } => {
                let mut response = self.deliver(&request, &stored, Some(age), status);
                envelope.finish(&request, &mut response);
                self.latest_target.set(request.target);
                Answer::Now(response)
            }
            lookup => {
                let exchange = Exchange::with(self.clone(), request, envelope, lookup);
                let exchange = Box::new(exchange);
                Answer::Later(pinned(|| exchange.run()))
            }
        }
    }

    /// The answer to a PURGE, as soon as it is acknowledged.
    fn answered_purge(self: &Rc<Self>, request: Request, purged: Purged) -> Answer<Body> {
        let (invalidated, strength) = match purged {
            Purged::Refused(response) => return Answer::Now(response),
            Purged::Carried {
                invalidated,
                strength,
            } => (invalidated, strength),
        };
        let applied = invalidated.applied;
        if let Some(at_once) = self.gateway.acknowledged_at_once(&invalidated) {
            return Answer::Now(self.purged(&request, (applied, strength), &at_once));
        }
        let worker = self.clone();
        Answer::later(async move {
            let acknowledgement = worker.gateway.acknowledged(invalidated, HELD).await;
            worker.purged(&request, (applied, strength), &acknowledgement)
        })
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
        self.count_unrouted(response.status(), method);
        logged::follow_refusal(self, &mut response, peer, parts);
        response
    }

    /// The response to a request that is beyond a limit.
    fn limited(&self, request: &Request, refusal: &Refusal) -> Response<Body> {
        self.counters.limited.inc();
        let identity = &request.epoch.settings.identity;
        let error = &refusal.error;
        let mut response = error::respond(error, request.method(), identity, &self.counters);
        self.date(&mut response, request.now);
        self.grant_reading(&mut response, request);
        grant(&mut response, request);
        let fields = response.headers_mut();
        fields.insert(RETRY_AFTER, refusal.retry_after.as_secs().into());
        refusal.quotas.add_to(fields);
        let status = CacheStatus {
            detail: Some(Detail::Other("rate-limited")),
            ..CacheStatus::default()
        };
        self.sign(&mut response, request, status);
        response
    }
}
