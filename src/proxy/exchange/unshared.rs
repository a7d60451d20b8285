//! Responses that are for the one who asked alone.

use http::header::{ACCEPT_RANGES, CONTENT_RANGE};
use http::{Response, StatusCode};
use http_body::Body as _;

use super::{Exchange, Step};
use crate::proxy::fill::{self, NotShared};
use crate::proxy::forward::arrived::Arrived;
use crate::proxy::lookup::{Miss, detail_of};
use crate::proxy::request::{Class, Traits};
use crate::proxy::response::body::Body;
use crate::semantics::cache_status::{CacheStatus, Detail};
use crate::semantics::content_range::ContentRange;
use crate::semantics::partial::Partial;
use crate::semantics::preconditions::{Precondition, Selected, evaluate, not_modified_fields};
use crate::semantics::range::{self, ByteRange, RangeSelection};
use crate::semantics::reuse::Failure;
use crate::semantics::validation::Validators;

impl Exchange {
    pub(super) fn unshared(&mut self, arrived: Box<Arrived>, why: NotShared, miss: &Miss) -> Step {
        if why == NotShared::ServerError
            && let Some(step) = self.stand_in(Failure::Status(arrived.status), miss)
        {
            return step;
        }
        let detail = match why {
            NotShared::Cause(cause) => Some(detail_of(cause)),
            NotShared::ServerError => None,
        };
        let selective = self.request.traits.any(Traits::SELECTIVE);
        if selective && !arrived.as_asked && self.request.class != Class::Head {
            return self.select_of(arrived, miss, detail);
        }
        self.forwarded(arrived, miss.reason, detail)
    }

    /// The client's preconditions and Range were left out for the store's sake, and the response is not for the store. RFC
    /// 9111 §4.3.2 would leave them to the API, which has not seen them: they are evaluated here, against the current
    /// representation, which has just come, and with the API's own result (RFC 9110 §13.2.2).
    fn select_of(&mut self, arrived: Box<Arrived>, miss: &Miss, detail: Option<Detail>) -> Step {
        let (method, request) = (self.request.method(), self.request.headers());
        let validators = &Validators::of(&arrived.headers);
        let selected = Selected {
            status: arrived.status,
            validators,
            received: arrived.received.wall,
        };
        if evaluate(method, request, &selected) == Precondition::NotModified {
            let status = self.status_of(&arrived, miss, detail);
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            *response.headers_mut() = not_modified_fields(&arrived.headers);
            fill::discard(&self.worker, arrived.body);
            self.worker.sign(&mut response, &self.request, status);
            return Step::Done(Box::new(response));
        }
        if self.answers_another_range(&arrived) {
            // The API is to see the one that the client has.
            fill::discard(&self.worker, arrived.body);
            return Step::Fetch(miss.as_asked());
        }
        if !range::applies(method, request, arrived.status, validators) {
            return self.forwarded(arrived, miss.reason, detail);
        }
        let length = arrived.body.size_hint().exact();
        let most = self.request.route.max_stored_body;
        // A server that does not support ranges answers with the whole.
        let knows_ranges = arrived
            .headers
            .get(ACCEPT_RANGES)
            .is_some_and(|unit| unit == "bytes");
        if !knows_ranges && length.is_some_and(|length| length <= most) {
            return self.forwarded(arrived, miss.reason, detail);
        }
        let selection = length.map(|length| {
            let selection = range::select(method, request, arrived.status, validators, length);
            (selection, length)
        });
        match selection {
            Some((RangeSelection::Whole, _)) => self.forwarded(arrived, miss.reason, detail),
            Some((RangeSelection::Single(range), length)) if length <= most => {
                self.part_of(arrived, range, length, miss, detail)
            }
            // Too much would come only to be thrown away: the API is to cut it out.
            _ => Step::Fetch(miss.as_asked()),
        }
    }

    /// Whether the API answers a Range that it was not sent, and not by what the client asks for.
    fn answers_another_range(&self, arrived: &Arrived) -> bool {
        if !self.request.traits.any(Traits::RANGE) {
            return false;
        }
        let (method, request) = (self.request.method(), self.request.headers());
        match arrived.status {
            StatusCode::RANGE_NOT_SATISFIABLE => true,
            // A 206 that does not say which part it is is passed on as it came (RFC 9110 §14.4).
            StatusCode::PARTIAL_CONTENT => Partial::of_206(&arrived.headers).is_some_and(|part| {
                let validators = &Validators::of(&arrived.headers);
                let length = part.complete_length();
                let asked = range::select(method, request, StatusCode::OK, validators, length);
                let begins =
                    |range: ByteRange| part.beginning_of(range).as_ref() == part.ranges().first();
                !matches!(asked, RangeSelection::Single(range) if begins(range))
            }),
            _ => false,
        }
    }

    /// The part that the client asked for, cut out of the whole as that comes.
    fn part_of(
        &self,
        arrived: Box<Arrived>,
        range: ByteRange,
        length: u64,
        miss: &Miss,
        detail: Option<Detail>,
    ) -> Step {
        let status = self.status_of(&arrived, miss, detail);
        let mut fields = range::partial_fields(&arrived.headers, self.request.headers());
        let complete = Some(length);
        fields.insert(
            CONTENT_RANGE,
            ContentRange::Satisfied { range, complete }.to_value(),
        );
        let counters = self.worker.counters.clone();
        let mut response = Response::new(Body::upstream_range(arrived.body, range, counters));
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        *response.headers_mut() = fields;
        self.worker.sign(&mut response, &self.request, status);
        Step::Done(Box::new(response))
    }

    fn status_of(&self, arrived: &Arrived, miss: &Miss, detail: Option<Detail>) -> CacheStatus {
        CacheStatus {
            forward_status: Some(arrived.status),
            collapsed: self.collapsed,
            detail,
            ..CacheStatus::forwarded(miss.reason)
        }
    }
}
