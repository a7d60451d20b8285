//! What a request meets before the cache: the networks that may ask, the answers to preflights of CORS, the answer that its route
//! has for all, and the question who it is.

pub(in crate::proxy) mod auth;
pub(in crate::proxy) mod explained;
mod preflight;
mod respond;
pub(in crate::proxy) mod verifier;

use std::sync::Arc;

use http::Response;
use smallvec::SmallVec;

use self::auth::{Check, Checked};
use crate::config::RoutePolicy;
use crate::error::{Error, ErrorKind};
use crate::proxy::request::{Request, Traits};
use crate::proxy::response::body::Body;
use crate::proxy::response::envelope::Envelope;
use crate::proxy::response::error;
use crate::proxy::response::gate_fields::Cors;
use crate::proxy::worker::Worker;
use crate::semantics::access::is_admitted;
use crate::semantics::cache_status::{CacheStatus, Detail};

/// The routes whose gates a request has to pass: its own, or all that its path can be read as.
type Gated = SmallVec<[Arc<RoutePolicy>; 2]>;

/// What comes of a request at the gate.
pub(in crate::proxy) enum Met {
    /// It goes on.
    Passed,
    Answered(Box<Response<Body>>),
    /// It goes on if its password proves right.
    Unverified(Box<Check>),
}

impl Worker {
    /// Has `request` meet the gate of its route.
    pub(in crate::proxy) fn meet_gate(
        &self,
        request: &mut Request,
        envelope: &mut Envelope,
    ) -> Met {
        let routes = gated_routes(request);
        let answered = |mut response: Response<Body>, request: &Request, envelope: &Envelope| {
            envelope.finish(request, &mut response);
            Met::Answered(Box::new(response))
        };
        let cors = preflight::cors(&routes, request);
        let has_policy = matches!(cors, Some(Cors::ByPolicy { .. }));
        if cors.is_some() {
            envelope.gate_fields.get_or_insert_default().cors = cors;
        }
        if let Some(response) = self.answer_at_gate(request, &routes, envelope) {
            return answered(response, request, envelope);
        }
        if has_policy && request.class.is_looked_up() && !request.traits.any(Traits::UPGRADE) {
            request.drop_origin();
        }
        match auth::check(request, &routes, &self.gateway.verifier) {
            Checked::Unasked => Met::Passed,
            Checked::Wrong(auth) => {
                let response = self.challenge(request, &auth);
                answered(response, request, envelope)
            }
            Checked::Right(right) => {
                envelope.gate_fields.get_or_insert_default().is_private = true;
                right.let_in(request);
                Met::Passed
            }
            Checked::Unverified(check) => {
                envelope.gate_fields.get_or_insert_default().is_private = true;
                Met::Unverified(Box::new(check))
            }
        }
    }

    /// The response that a gate gives without a look at the credentials.
    fn answer_at_gate(
        &self,
        request: &Request,
        routes: &Gated,
        envelope: &mut Envelope,
    ) -> Option<Response<Body>> {
        let client = request.address();
        let mut gates = routes.iter().filter_map(|route| route.gate.as_deref());
        if !gates.all(|gate| is_admitted(&gate.allow, &gate.deny, client)) {
            let error = Error::downstream(ErrorKind::AddressDenied);
            return Some(self.turn_away(request, &error, Detail::Other("refused")));
        }
        let fields = envelope.gate_fields.as_ref();
        let cors = fields.and_then(|fields| fields.cors.as_ref());
        if let Some(answer) = cors.and_then(|cors| preflight::answer(request, cors)) {
            return Some(match answer {
                Ok(response) => {
                    // It has its own fields of CORS.
                    envelope.gate_fields = None;
                    self.own(response, request, Detail::Other("preflight"))
                }
                Err(error) => self.turn_away(request, &error, Detail::Other("preflight")),
            });
        }
        let answered = routes.iter().find_map(|route| {
            let respond = route.gate.as_ref()?.respond.as_ref()?;
            Some((route, respond))
        });
        let (route, respond) = answered?;
        let response = respond::answer(request, route, respond, &self.counters);
        Some(match response {
            Ok(response) => self.own(response, request, Detail::Other("responded")),
            Err(error) => self.turn_away(request, &error, Detail::Other("responded")),
        })
    }

    /// The response that reports `error` to a request that is refused.
    pub(in crate::proxy) fn turn_away(
        &self,
        request: &Request,
        error: &Error,
        detail: Detail,
    ) -> Response<Body> {
        let identity = &request.epoch.settings.identity;
        let mut response = error::respond(error, request.method(), identity, &self.counters);
        self.grant_reading(&mut response, request);
        self.own(response, request, detail)
    }

    /// A response of the gateway's own, dated and signed.
    pub(in crate::proxy) fn own(
        &self,
        mut response: Response<Body>,
        request: &Request,
        detail: Detail,
    ) -> Response<Body> {
        self.date(&mut response, request.now);
        let status = CacheStatus {
            detail: Some(detail),
            ..CacheStatus::default()
        };
        self.sign(&mut response, request, status);
        response
    }
}

/// Lets the pages that may read the responses of a request's route read this one too, which comes before the gate.
pub(in crate::proxy) fn grant(response: &mut Response<Body>, request: &Request) {
    if request.route.gate.is_some()
        && let Some(cors) = preflight::cors(&gated_routes(request), request)
    {
        cors.add_to(response.headers_mut());
    }
}

/// No spelling of a path leads past a gate: where it could mean several routes, the gates of all hold.
fn gated_routes(request: &Request) -> Gated {
    let is_unclear = |route: &RoutePolicy| {
        let gate = route.gate.as_ref();
        gate.is_some_and(|gate| gate.of_readings)
    };
    if !is_unclear(&request.route) {
        return Gated::from_iter([request.route.clone()]);
    }
    request.readings().into_iter().cloned().collect()
}

/// Why a request is refused whose path has dot segments, where these could lead round a gate.
pub(in crate::proxy) fn dotted() -> Error {
    Error::downstream(ErrorKind::BadRequest)
        .detail("the path has a segment `.` or `..`, which APIs resolve in different ways")
}
