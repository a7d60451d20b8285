//! Requests that are forwarded as they are, as far as their clients see it.

use std::sync::Arc;

use http::{Method, Response, StatusCode};

use super::{Exchange, Step};
use crate::cache::head::Head;
use crate::config::Destination;
use crate::error::{Error, ErrorKind};
use crate::proxy::exchange::if_match::{Settlement, settle};
use crate::proxy::fill::{FillTask, Permit};
use crate::proxy::forward::arrived::Arrived;
use crate::proxy::forward::pass;
use crate::proxy::forward::upgrade::Switch;
use crate::proxy::gate::dotted;
use crate::proxy::limit::Share;
use crate::proxy::long_lived;
use crate::proxy::lookup::{Miss, detail_of};
use crate::proxy::request::{Class, Request, Traits};
use crate::proxy::response::body::Body;
use crate::proxy::response::deliver::Delivery;
use crate::proxy::task::Task;
use crate::semantics::cache_status::{CacheStatus, Detail, ForwardReason};
use crate::semantics::reuse::Failure;
use crate::semantics::storability::Storability;
use crate::upstream::RequestBody;

impl Exchange {
    pub(super) async fn pass(&mut self, miss: Miss) -> Step {
        let reason = miss.reason;
        if let Some(mut response) = pass::max_forwards(&self.worker, &mut self.request) {
            self.worker
                .sign(&mut response, &self.request, CacheStatus::forwarded(reason));
            return Step::Done(Box::new(response));
        }
        if let Some(error) = without_destination(&self.request) {
            return self.fail(&error, None);
        }
        let admission = match self.admit() {
            Ok(admission) => admission,
            Err(refused) => return self.not_passed(&refused.error, &miss),
        };
        let tunnel_share = match self.request.traits.any(Traits::UPGRADE) {
            true => match long_lived::begin(&self.worker, &self.request) {
                Ok(share) => share,
                Err(error) => return self.fail(&error, Some(reason)),
            },
            false => None,
        };
        if self.request.traits.any(Traits::ORIGIN_CONDITIONS) {
            // Large and rare: it would make every exchange as large.
            match Box::pin(settle(&self.worker, &mut self.request)).await {
                Ok(Settlement::Forward) => {}
                Ok(Settlement::Failed(stored)) => {
                    return self.precondition_failed(&stored.head, reason);
                }
                Err(error) => return self.fail(&error, Some(reason)),
            }
        }
        let begun = self.worker.gateway.store.sequence();
        let read = self.query.clone();
        let answer = pass::forward(
            &self.worker,
            &mut self.request,
            &self.envelope,
            read,
            admission,
        )
        .await;
        if self.request.route.receipts
            && let Ok(arrived) = &answer
            && let Some(own) = &arrived.invalidation
        {
            let receipt = (self.worker.gateway).receipt(own.number, &own.acknowledgement);
            self.envelope.receipt = Some(receipt);
        }
        match answer {
            Ok(arrived) if pass::answers_a_get(&self.request, &arrived) => {
                Box::pin(self.keep_passed(arrived, miss, begun)).await
            }
            Ok(arrived) if arrived.status == StatusCode::SWITCHING_PROTOCOLS => {
                Box::pin(self.switch(*arrived, tunnel_share, reason)).await
            }
            Ok(arrived) => {
                drop(tunnel_share);
                self.passed(arrived, miss, begun).await
            }
            Err(error) => self.not_passed(&error, &miss),
        }
    }

    /// The API's answer to a request that was passed on when the store's sequence was `begun`.
    async fn passed(&mut self, arrived: Box<Arrived>, miss: Miss, begun: u64) -> Step {
        if self.may_be_answered_stale()
            && let Some(step) = self.stand_in(Failure::Status(arrived.status), &miss)
        {
            return step;
        }
        let is_get = miss.personal || miss.marked.is_some() || miss.selected.is_some();
        let storability = (is_get && self.request.class != Class::Head)
            .then(|| pass::storability(&self.request, &arrived));
        let detail = match storability {
            Some(Storability::Store(_)) if arrived.status != StatusCode::NOT_MODIFIED => {
                return Box::pin(self.keep_passed(arrived, miss, begun)).await;
            }
            Some(Storability::Refuse(why)) => Some(Detail::NotStored(why)),
            _ => miss.marked.map(detail_of).or(miss.why),
        };
        let detail = detail.or_else(|| pass::why_not_stored(&self.request, &arrived));
        self.forwarded(arrived, miss.reason, detail)
    }

    /// HEAD gets what GET would: a stale response, where one may stand in.
    fn not_passed(&mut self, error: &Error, miss: &Miss) -> Step {
        if self.may_be_answered_stale() {
            return self.failed(error, miss);
        }
        self.fail(error, Some(miss.reason))
    }

    fn may_be_answered_stale(&self) -> bool {
        self.request.class.is_looked_up() && !self.request.directives.no_store
    }

    /// The connections on both sides speak another protocol from here on.
    async fn switch(&self, arrived: Arrived, share: Option<Share>, reason: ForwardReason) -> Step {
        let tunnel = match arrived.body.into_tunnel().await {
            Ok(tunnel) => tunnel.holding(share),
            Err(error) => return self.fail(&error, Some(reason)),
        };
        let mut response = Response::new(Body::empty());
        *response.status_mut() = arrived.status;
        *response.headers_mut() = arrived.headers;
        response.extensions_mut().insert(Switch::to(tunnel));
        let status = CacheStatus {
            forward_status: Some(arrived.status),
            ..CacheStatus::forwarded(reason)
        };
        self.worker.sign(&mut response, &self.request, status);
        Step::Done(Box::new(response))
    }

    fn precondition_failed(&self, head: &Head, reason: ForwardReason) -> Step {
        let delivery = Delivery {
            worker: &self.worker,
            request: &self.request,
            age: None,
            status: CacheStatus::forwarded(reason),
        };
        Step::Done(Box::new(delivery.precondition_failed(head)))
    }

    /// Stores a response that was passed on, where the rules allow it and nothing was invalidated since `begun` but by the
    /// request itself.
    async fn keep_passed(&mut self, arrived: Box<Arrived>, miss: Miss, begun: u64) -> Step {
        // What a POST's answer is stored for are GETs, whose route may have other keys, tags and rules.
        if !Arc::ptr_eq(self.request.route_of(&Method::GET), &self.request.route) {
            return self.forwarded(arrived, miss.reason, None);
        }
        let store = &self.worker.gateway.store;
        let (key, ask) = (self.request.key(store), self.request.ask());
        let (now, own) = (self.request.now.mono, arrived.invalidation.is_some());
        let Some(fill) = store.adopt(key, ask, now, begun, own.into()) else {
            return self.forwarded(arrived, miss.reason, None);
        };
        let permit = Permit::new(&self.worker, fill);
        let content = RequestBody::Empty;
        let Ok(task) = FillTask::new(&self.worker, &self.request, None, &permit, content) else {
            return self.forwarded(arrived, miss.reason, None);
        };
        let task = task.asking(&miss);
        let task = Task::new(&self.worker, |leader| {
            task.led_by(leader).adopt(permit, arrived)
        });
        self.learn(task, &miss).await
    }
}

/// Why no API is asked, where none is.
fn without_destination(request: &Request) -> Option<Error> {
    match request.route.destination {
        Destination::Upstream(_) => None,
        Destination::Nowhere => Some(Error::downstream(ErrorKind::NoRoute)),
        Destination::Unclear => Some(Error::downstream(ErrorKind::BadRequest).detail(
            "the path can be read as that of several routes, which lead to different APIs",
        )),
        Destination::Dotted => Some(dotted()),
    }
}
