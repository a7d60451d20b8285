//! A request from its head to its response: read, count against the limits, look up, deliver at once or run an exchange.

use std::rc::Rc;

use http::header::RETRY_AFTER;
use http::request::Parts;
use http::{Method, Response};

use crate::error::Error;
use crate::proxy::exchange::Exchange;
use crate::proxy::limit::Refusal;
use crate::proxy::lookup::Lookup;
use crate::proxy::request::content::RequestContent;
use crate::proxy::request::peer::Peer;
use crate::proxy::request::{Class, Request, Traits};
use crate::proxy::response::body::Body;
use crate::proxy::response::envelope::Envelope;
use crate::proxy::response::{error, logged};
use crate::proxy::worker::Worker;
use crate::semantics::cache_status::{CacheStatus, Detail};

impl Worker {
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
        if let Some(port) = peer.redirect {
            return Ok(match self.redirect(&request, port) {
                Ok(response) => response,
                Err(error) => self.refuse(peer, &error, Some(&request.parts)),
            });
        }
        let mut envelope = Envelope::default();
        if let Some(limits) = &epoch.settings.limits {
            match limits.count(&request) {
                Ok(quotas) => envelope.quotas = quotas.some(),
                Err(refusal) => return Ok(self.limited(&request, &refusal)),
            }
        }
        request.canonicalise(&self.gateway.store);
        if request.traits.any(Traits::THIS_HOP) {
            request.drop_nominated(&self.gateway.store);
        }
        if !request.class.is_looked_up() || request.is_bypassed() || request.class == Class::Query {
            return Err(Box::new(Exchange::new(self.clone(), request, envelope)));
        }
        match self.look_up(&request) {
            Lookup::Deliver {
                stored,
                age,
                status,
                validate_behind: false,
            } => {
                let mut response = self.deliver(&request, &stored, Some(age), status);
                envelope.finish(&request, &mut response);
                self.latest_target.set(request.target);
                Ok(response)
            }
            lookup => Err(Box::new(Exchange::with(
                self.clone(),
                request,
                envelope,
                lookup,
            ))),
        }
    }

    /// The response to a request that is beyond a limit.
    fn limited(&self, request: &Request, refusal: &Refusal) -> Response<Body> {
        self.counters.limited.inc();
        let identity = &request.epoch.settings.identity;
        let error = &refusal.error;
        let mut response = error::respond(error, request.method(), identity, &self.counters);
        self.date(&mut response, request.now);
        self.grant_reading(&mut response, request);
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
