//! From a selected response to the response for this client: preconditions, ranges, and the fields that say what
//! happened.

use std::mem::{forget, replace};
use std::sync::Arc;

use bytes::Bytes;
use http::header::{
    ACCEPT_RANGES, AGE, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, EXPIRES,
    HeaderValue,
};
use http::{HeaderMap, Response, StatusCode};
use smallvec::SmallVec;

use crate::cache::body::{Reader, StoredBody};
use crate::cache::content::{Content, Parts};
use crate::cache::head::Head;
use crate::cache::stored::StoredResponse;
use crate::proxy::request::{Class, Request, Traits};
use crate::proxy::response::body::{Body, Following};
use crate::proxy::response::prepared::{Form, HitFields};
use crate::proxy::response::wire_head::give_reason;
use crate::proxy::worker::Worker;
use crate::semantics::cache_control::ResponseDirectives;
use crate::semantics::cache_status::CacheStatus;
use crate::semantics::content_range::ContentRange;
use crate::semantics::cors;
use crate::semantics::freshness::LifetimeSource;
use crate::semantics::multipart::Multipart;
use crate::semantics::preconditions::{self, Precondition, Selected};
use crate::semantics::range::{self, ByteRange, RangeSelection};
use crate::semantics::time::DeltaSeconds;

/// A response that answers a request, and what happened on the way to it.
pub struct Delivery<'a> {
    pub worker: &'a Worker,
    pub request: &'a Request,
    /// The current age to tell; `None` for a response that came for this very request and had no Age.
    pub age: Option<DeltaSeconds>,
    pub status: CacheStatus,
}

/// The content of a selected response: stored, or still coming.
enum Available<'a> {
    /// All of it is there.
    Stored(&'a Arc<StoredResponse>),
    /// Still coming; its length, where it was declared.
    Coming(Reader, Option<u64>, Option<Following>),
}

impl<'a> Available<'a> {
    /// The stored response that it is all of.
    fn stored(&self) -> Option<&'a Arc<StoredResponse>> {
        match self {
            Self::Stored(stored) => Some(stored),
            Self::Coming(..) => None,
        }
    }

    fn body(&self) -> Option<StoredBody> {
        match self.stored()?.content() {
            Content::Complete(body) => Some(body),
            Content::Partial(_) => None,
        }
    }
}

impl Delivery<'_> {
    /// Answers from a stored response.
    pub fn stored(self, stored: &Arc<StoredResponse>) -> Response<Body> {
        match stored.parts() {
            None => self.select(&stored.head, Available::Stored(stored)),
            Some(parts) => self.of_parts(&stored.head, parts),
        }
    }

    /// Answers from what is stored of an incomplete response, which is at least the beginning of what is asked.
    fn of_parts(self, head: &Head, parts: &Parts) -> Response<Body> {
        if self.request.traits.any(Traits::CONDITIONS) {
            match self.evaluate(head) {
                Precondition::Proceed => {}
                Precondition::NotModified => return self.not_modified(head, None),
                Precondition::Failed => return self.precondition_failed(head),
            }
        }
        let length = parts.ranges.complete_length();
        match self.select_range(head, length) {
            RangeSelection::Single(range) if let Some(range) = parts.ranges.beginning_of(range) => {
                let octets = parts.slice(range).unwrap_or_default();
                let body = Body::full(octets, &self.worker.counters);
                self.partial_content(head, body, range, length)
            }
            RangeSelection::Multiple(ranges) => self.several(
                head,
                |range| parts.slice(range).into_iter().collect(),
                &ranges,
                length,
            ),
            _ => self.unsatisfiable(head, length),
        }
    }

    /// Answers from a response whose content is still coming.
    pub fn stream(
        self,
        head: &Head,
        reader: Reader,
        follower: Option<Following>,
    ) -> Response<Body> {
        let length = head.content_length();
        self.select(head, Available::Coming(reader, length, follower))
    }

    fn select(self, head: &Head, content: Available<'_>) -> Response<Body> {
        let request = self.request;
        if request.traits.any(Traits::CONDITIONS) {
            match self.evaluate(head) {
                Precondition::Proceed => {}
                Precondition::NotModified => return self.not_modified(head, content.stored()),
                Precondition::Failed => return self.precondition_failed(head),
            }
        }
        let length = match &content {
            Available::Stored(stored) => Some(stored.complete_length()),
            Available::Coming(_, length, _) => *length,
        };
        if request.traits.any(Traits::RANGE)
            && let Some(length) = length
        {
            match self.select_range(head, length) {
                RangeSelection::Whole => {}
                RangeSelection::Single(range) => return self.single(head, content, range, length),
                RangeSelection::Multiple(ranges) => {
                    if let Some(body) = content.body() {
                        let slice = |range: ByteRange| body.slice(range.first(), range.end());
                        return self.several(head, slice, &ranges, length);
                    }
                }
                RangeSelection::Unsatisfiable => return self.unsatisfiable(head, length),
            }
        }
        self.whole(head, content, length)
    }

    fn evaluate(&self, head: &Head) -> Precondition {
        let (method, request) = (self.request.method(), self.request.headers());
        let tag = head.fields.single(&ETAG);
        if tag.is_some_and(|tag| preconditions::names_just(method, request, head.status, tag)) {
            return Precondition::NotModified;
        }
        let selected = Selected {
            status: head.status,
            validators: &head.validators(),
            received: head.received().wall,
        };
        preconditions::evaluate(method, request, &selected)
    }

    fn select_range(&self, head: &Head, length: u64) -> RangeSelection {
        let request = self.request;
        range::select(
            request.method(),
            request.headers(),
            head.status,
            &head.validators(),
            length,
        )
    }

    fn whole(self, head: &Head, content: Available<'_>, length: Option<u64>) -> Response<Body> {
        let counters = &self.worker.counters;
        let is_head = self.request.class == Class::Head;
        let stored = content.stored();
        let body = match content {
            _ if is_head => Body::empty(),
            Available::Stored(stored) => match stored.content() {
                Content::Complete(StoredBody::One(bytes)) => Body::full(bytes, counters),
                Content::Complete(body) => Body::pieces(body.pieces().into(), counters),
                // Asked for with its parts alone.
                Content::Partial(_) => Body::empty(),
            },
            Available::Coming(reader, length, follower) => {
                Body::fill(reader, length, follower, counters.clone())
            }
        };
        if !is_head {
            return self.tell(head, stored, Form::Whole, body);
        }
        let mut fields = head.fields.to_map();
        // RFC 9110 §8.6: a 204 has no length.
        if let Some(length) = length
            && head.status != StatusCode::NO_CONTENT
        {
            fields.insert(CONTENT_LENGTH, length.into());
        }
        self.finish(head, head.status, fields, body)
    }

    fn single(
        self,
        head: &Head,
        content: Available<'_>,
        range: ByteRange,
        length: u64,
    ) -> Response<Body> {
        let counters = &self.worker.counters;
        let body = match content {
            Available::Stored(_) => {
                let slice = content
                    .body()
                    .map(|body| body.slice(range.first(), range.end()));
                Body::pieces(slice.unwrap_or_default(), counters)
            }
            Available::Coming(reader, _, follower) => Body::fill_range(
                reader,
                range.first(),
                range.len(),
                follower,
                counters.clone(),
            ),
        };
        self.partial_content(head, body, range, length)
    }

    fn partial_content(
        self,
        head: &Head,
        body: Body,
        range: ByteRange,
        length: u64,
    ) -> Response<Body> {
        let mut fields = range::partial_fields(&head.fields.to_map(), self.request.headers());
        let complete = Some(length);
        fields.insert(
            CONTENT_RANGE,
            ContentRange::Satisfied { range, complete }.to_value(),
        );
        self.finish(head, StatusCode::PARTIAL_CONTENT, fields, body)
    }

    fn several(
        self,
        head: &Head,
        slice: impl Fn(ByteRange) -> SmallVec<[Bytes; 2]>,
        ranges: &[ByteRange],
        length: u64,
    ) -> Response<Body> {
        let seed = self.worker.boundary_seed();
        let mut fields = head.fields.to_map();
        let framing = Multipart::new(ranges, length, fields.get(CONTENT_TYPE), seed);
        let mut pieces = SmallVec::new();
        for part in framing.parts {
            pieces.push(part.head);
            pieces.extend(slice(part.range));
        }
        pieces.push(framing.tail);
        fields.insert(CONTENT_TYPE, framing.content_type);
        let body = Body::pieces(pieces, &self.worker.counters);
        self.finish(head, StatusCode::PARTIAL_CONTENT, fields, body)
    }

    fn unsatisfiable(self, head: &Head, length: u64) -> Response<Body> {
        // CORS fields and Vary are the stored response's.
        let mut fields = cors::readable_fields(&head.fields.to_map());
        fields.insert(
            CONTENT_RANGE,
            ContentRange::Unsatisfied { complete: length }.to_value(),
        );
        fields.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        self.finish(
            head,
            StatusCode::RANGE_NOT_SATISFIABLE,
            fields,
            Body::empty(),
        )
    }

    fn not_modified(self, head: &Head, stored: Option<&Arc<StoredResponse>>) -> Response<Body> {
        self.worker.counters.not_modified.inc();
        self.tell(head, stored, Form::NotModified, Body::empty())
    }

    /// Answers 412 with the validators that the representation has now.
    pub fn precondition_failed(self, head: &Head) -> Response<Body> {
        let fields = preconditions::not_modified_fields(&head.fields.to_map());
        self.finish(head, StatusCode::PRECONDITION_FAILED, fields, Body::empty())
    }

    /// The whole response or a 304, with the fields that went out last where they tell the same.
    fn tell(
        self,
        head: &Head,
        stored: Option<&Arc<StoredResponse>>,
        form: Form,
        body: Body,
    ) -> Response<Body> {
        let status = match form {
            Form::Whole => head.status,
            Form::NotModified => StatusCode::NOT_MODIFIED,
        };
        let (Some((age, ttl)), Some(stored)) = (self.plain_hit(), stored) else {
            let fields = head.fields.to_map();
            let fields = match form {
                Form::Whole => fields,
                Form::NotModified => preconditions::not_modified_fields(&fields),
            };
            return self.finish(head, status, fields, body);
        };
        let epoch = &self.request.epoch;
        let age = sendable_age(age, head);
        let hit = HitFields {
            stored,
            form,
            upstream: self.request.route.destination.upstream(),
            age,
            ttl,
        };
        let fields = epoch.prepared.fields(&hit, &epoch.settings.identity);
        let mut response = response_of(status, fields, body);
        give_reason(&mut response, head);
        self.worker.log(&mut response, self.request, &self.status);
        response
    }

    /// Age and ttl of a hit whose fields depend on nothing else.
    fn plain_hit(&self) -> Option<(DeltaSeconds, i64)> {
        let (age, ttl, route) = (self.age?, self.status.plain_hit()?, &self.request.route);
        let is_plain =
            !route.debug && route.client_ttl.is_none() && route.response_fields.is_none();
        let is_plain = is_plain && !self.request.traits.any(Traits::DEBUG);
        is_plain.then_some((age, ttl))
    }

    fn finish(
        self,
        head: &Head,
        status: StatusCode,
        mut fields: HeaderMap,
        body: Body,
    ) -> Response<Body> {
        let age = self.age.map(|age| sendable_age(age, head));
        if let Some(age) = age {
            fields.insert(AGE, age.as_secs().into());
        }
        if let Some(ttl) = self.request.route.client_ttl {
            // Counted from now: a client adds Age to what it has itself.
            fields.remove(EXPIRES);
            let max_age = ttl.saturating_add(age.unwrap_or_default());
            if let Ok(value) = HeaderValue::from_str(&format!("max-age={max_age}")) {
                fields.insert(CACHE_CONTROL, value);
            }
        }
        let mut response = response_of(status, fields, body);
        give_reason(&mut response, head);
        let (worker, request) = (self.worker, self.request);
        worker.sign_with(&mut response, request, self.status, Some(head));
        response
    }
}

fn response_of(status: StatusCode, fields: HeaderMap, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    // An empty map has no memory to give back, and takes 60 instructions to find that out.
    forget(replace(response.headers_mut(), fields));
    response
}

/// Never an Age beyond the max-age that goes with it: where the operator's lifetime outlives the origin's, the
/// origin's is what the client reads.
fn sendable_age(age: DeltaSeconds, head: &Head) -> DeltaSeconds {
    if head.freshness.source != LifetimeSource::Operator {
        return age;
    }
    match ResponseDirectives::parse(&head.fields.only(&[CACHE_CONTROL]), &[]).max_age {
        Some(max_age) => age.min(max_age),
        None => age,
    }
}

impl Worker {
    /// Answers with a stored response.
    pub(in crate::proxy) fn deliver(
        &self,
        request: &Request,
        stored: &Arc<StoredResponse>,
        age: Option<DeltaSeconds>,
        status: CacheStatus,
    ) -> Response<Body> {
        let delivery = Delivery {
            worker: self,
            request,
            age,
            status,
        };
        delivery.stored(stored)
    }
}
