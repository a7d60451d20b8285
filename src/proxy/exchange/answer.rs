//! The response to the client.

use std::sync::Arc;

use http::header::CONTENT_LENGTH;
use http::{Response, StatusCode};
use http_body::Body as _;

use super::{Exchange, MAX_ROUNDS, Step};
use crate::cache::body::Reader;
use crate::cache::head::Head;
use crate::cache::stored::StoredResponse;
use crate::error::{Error, ErrorKind};
use crate::proxy::fleet::{Acknowledgement, NOT_DURABLE, PENDING};
use crate::proxy::forward::arrived::Arrived;
use crate::proxy::long_lived;
use crate::proxy::lookup::Miss;
use crate::proxy::lookup::extent::answers;
use crate::proxy::request::Class;
use crate::proxy::response::body::{Body, Following};
use crate::proxy::response::deliver::Delivery;
use crate::proxy::response::error;
use crate::semantics::cache_status::{CacheStatus, Detail, ForwardReason};
use crate::semantics::media_type::is_endless;
use crate::semantics::time::DeltaSeconds;

impl Exchange {
    pub(super) fn deliver(
        &self,
        stored: &Arc<StoredResponse>,
        age: Option<DeltaSeconds>,
        status: CacheStatus,
    ) -> Step {
        if !answers(stored, &self.request) {
            // Another part came than the one that was asked for: once for the client's own request, and it may come over and
            // over for those of others.
            let is_own = status.forward_status.is_some();
            return match status.forward {
                Some(reason) if is_own || self.rounds >= MAX_ROUNDS => {
                    Step::Pass(Miss::pass(reason, None))
                }
                _ => Step::LookUp,
            };
        }
        Step::Done(Box::new(self.worker.deliver(
            &self.request,
            stored,
            age,
            status,
        )))
    }

    pub(super) fn stream(
        &self,
        head: &Arc<Head>,
        reader: Reader,
        follower: Option<Following>,
        age: Option<DeltaSeconds>,
        status: CacheStatus,
    ) -> Step {
        let delivery = Delivery {
            worker: &self.worker,
            request: &self.request,
            age,
            status,
        };
        Step::Done(Box::new(delivery.stream(head, reader, follower)))
    }

    /// Hands a response on that is for this client alone.
    pub(super) fn forwarded(
        &self,
        arrived: Box<Arrived>,
        reason: ForwardReason,
        detail: Option<Detail>,
    ) -> Step {
        let answered = arrived.status;
        // Content with a known length is not endless.
        let lasts = arrived.body.size_hint().exact().is_none() && is_endless(&arrived.headers);
        let share = match lasts {
            true => match long_lived::begin(&self.worker, &self.request) {
                Ok(share) => share,
                Err(error) => return self.fail(&error, Some(reason)),
            },
            false => None,
        };
        let own = arrived.invalidation.as_ref();
        let detail = match own.map(|own| &own.acknowledgement) {
            Some(Acknowledgement::Pending(_)) => Some(PENDING),
            Some(Acknowledgement::NotDurable(_)) => Some(NOT_DURABLE),
            _ => detail,
        };
        let status = CacheStatus {
            forward_status: Some(answered),
            collapsed: self.collapsed,
            detail,
            ..CacheStatus::forwarded(reason)
        };
        let Arrived {
            reason: phrase,
            mut headers,
            body,
            ..
        } = *arrived;
        let body = Body::upstream(body, self.worker.counters.clone()).holding(share);
        let mut response = Response::new(body);
        // The body's own size is its length, except where there is a length without a body; a 204 has none (RFC 9110 §8.6).
        let bodiless = self.request.class == Class::Head || answered == StatusCode::NOT_MODIFIED;
        if !bodiless || answered == StatusCode::NO_CONTENT {
            headers.remove(CONTENT_LENGTH);
        }
        *response.status_mut() = answered;
        *response.headers_mut() = headers;
        if let Some(phrase) = phrase {
            response.extensions_mut().insert(phrase);
        }
        self.worker.sign(&mut response, &self.request, status);
        Step::Done(Box::new(response))
    }

    /// The request ends with an error of the gateway's.
    pub(super) fn fail(&self, error: &Error, reason: Option<ForwardReason>) -> Step {
        Step::Done(self.failure(error, reason))
    }

    /// The response that reports an error of the gateway's.
    pub(super) fn failure(
        &self,
        error: &Error,
        reason: Option<ForwardReason>,
    ) -> Box<Response<Body>> {
        let identity = &self.request.epoch.settings.identity;
        let mut response = error::respond(
            error,
            self.request.method(),
            identity,
            &self.worker.counters,
        );
        self.worker.date(&mut response, self.request.now);
        self.worker.grant_reading(&mut response, &self.request);
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
        self.worker.sign(&mut response, &self.request, status);
        tracing::debug!(target: "bookend::exchange", %error, request = self.request.target.as_str(), "failed");
        Box::new(response)
    }
}
