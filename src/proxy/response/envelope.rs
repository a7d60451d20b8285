//! A request's deadline, quotas and interim responses, which belong to its response.

use http::{HeaderValue, Response};
use tokio::time::Instant;

use crate::clock::timer_now;
use crate::proxy::interim::Hints;
use crate::proxy::limit::Quotas;
use crate::proxy::receipts::BOOKEND_RECEIPT;
use crate::proxy::request::Request;
use crate::proxy::response::body::Body;
use crate::proxy::response::gate_fields::GateFields;
use crate::semantics::media_type::is_endless;

/// The deadline of an exchange, where its interim responses go, and what its client is told of its limits.
#[derive(Debug, Default)]
pub struct Envelope {
    /// When the time of the whole exchange is over; set for requests that the store does not answer at once.
    pub until: Option<Instant>,
    /// The way for interim responses; `None` for requests that the store answers, and on HTTP/1.0 and HTTP/2.
    pub hints: Option<Hints>,
    pub quotas: Option<Box<Quotas>>,
    /// `None` for routes without a gate.
    pub gate_fields: Option<Box<GateFields>>,
    /// That of its invalidation, where the request is a write on a route that gives receipts.
    pub receipt: Option<HeaderValue>,
}

impl Envelope {
    /// Makes `response`, which answers `request`, ready to go: content that comes in more than one piece ends when the
    /// exchange's time is over, and the client is told of its limits.
    pub fn finish(&self, request: &Request, response: &mut Response<Body>) {
        let until = || {
            self.until
                .or_else(|| Some(timer_now() + request.time_limit()?))
        };
        if response.body().is_long()
            && let Some(until) = until()
            && (request.route.exchange_timeout.is_some() || !is_endless(response.headers()))
        {
            response.body_mut().end_by(until);
        }
        if let Some(quotas) = &self.quotas {
            quotas.add_to(response.headers_mut());
        }
        if let Some(receipt) = &self.receipt {
            let fields = response.headers_mut();
            fields.insert(BOOKEND_RECEIPT, receipt.clone());
        }
        if let Some(gate_fields) = &self.gate_fields {
            let targeted = &request.route.cache.targeted_fields;
            gate_fields.add_to(response.headers_mut(), targeted);
        }
    }
}
