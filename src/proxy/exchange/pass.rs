//! Requests that are forwarded as they are, as far as their clients see it.

use http::{Response, StatusCode};

use super::{Exchange, Step};
use crate::cache::head::Head;
use crate::error::Error;
use crate::proxy::exchange::if_match::{Settlement, settle};
use crate::proxy::fill::{Arrived, FillTask};
use crate::proxy::forward::pass;
use crate::proxy::forward::upgrade::Switch;
use crate::proxy::limit::Share;
use crate::proxy::long_lived;
use crate::proxy::lookup::{Question, detail_of};
use crate::proxy::request::{Class, Facts};
use crate::proxy::response::body::Body;
use crate::proxy::response::deliver::Delivery;
use crate::proxy::task::Errand;
use crate::semantics::cache_status::{CacheStatus, Detail, ForwardReason};
use crate::semantics::reuse::Failure;
use crate::semantics::storability::Storability;
use crate::upstream::RequestBody;

impl Exchange {
    pub(super) async fn pass(&mut self, question: Question) -> Step {
        let reason = question.reason;
        if let Some(mut response) = pass::max_forwards(&self.worker, &mut self.inquiry) {
            self.worker
                .sign(&mut response, &self.inquiry, CacheStatus::forwarded(reason));
            return Step::Done(Box::new(response));
        }
        let admission = match self.admit() {
            Ok(admission) => admission,
            Err(refused) => return self.not_passed(&refused.error, &question),
        };
        let tunnel_share = match self.inquiry.facts.any(Facts::UPGRADE) {
            true => match long_lived::begin(&self.worker, &self.inquiry) {
                Ok(share) => share,
                Err(error) => return self.fail(&error, Some(reason)),
            },
            false => None,
        };
        if self.inquiry.facts.any(Facts::ORIGIN_CONDITIONS) {
            // Large and rare: it would make every exchange as large.
            match Box::pin(settle(&self.worker, &mut self.inquiry)).await {
                Ok(Settlement::Forward) => {}
                Ok(Settlement::Failed(stored)) => {
                    return self.precondition_failed(&stored.head, reason);
                }
                Err(error) => return self.fail(&error, Some(reason)),
            }
        }
        let begun = self.worker.gateway.store.sequence();
        let read = self.query.clone();
        match pass::forward(&self.worker, &mut self.inquiry, read, admission).await {
            Ok(arrived) if pass::answers_a_get(&self.inquiry, &arrived) => {
                Box::pin(self.keep_post(arrived, question)).await
            }
            Ok(arrived) if arrived.status == StatusCode::SWITCHING_PROTOCOLS => {
                Box::pin(self.switch(*arrived, tunnel_share, reason)).await
            }
            Ok(arrived) => {
                drop(tunnel_share);
                self.passed(arrived, question, begun).await
            }
            Err(error) => self.not_passed(&error, &question),
        }
    }

    /// The API's answer to a request that was passed on when the store's sequence was `begun`.
    async fn passed(&mut self, arrived: Box<Arrived>, question: Question, begun: u64) -> Step {
        if self.may_be_answered_stale()
            && let Some(step) = self.stand_in(Failure::Status(arrived.status), &question)
        {
            return step;
        }
        let is_get = question.personal || question.marked.is_some() || question.selected.is_some();
        let storability = (is_get && self.inquiry.class != Class::Head)
            .then(|| pass::storability(&self.inquiry, &arrived));
        let detail = match storability {
            Some(Storability::Store(_)) if arrived.status != StatusCode::NOT_MODIFIED => {
                return Box::pin(self.keep_passed(arrived, question, begun)).await;
            }
            Some(Storability::Refuse(why)) => Some(Detail::NotStored(why)),
            _ => question.marked.map(detail_of).or(question.why),
        };
        let detail = detail.or_else(|| pass::why_not_stored(&self.inquiry, &arrived));
        self.forwarded(arrived, question.reason, detail)
    }

    /// HEAD gets what GET would: a stale response, where one may stand in.
    fn not_passed(&mut self, error: &Error, question: &Question) -> Step {
        if self.may_be_answered_stale() {
            return self.failed(error, question);
        }
        self.fail(error, Some(question.reason))
    }

    fn may_be_answered_stale(&self) -> bool {
        self.inquiry.class.is_looked_up() && !self.inquiry.directives.no_store
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
        self.worker.sign(&mut response, &self.inquiry, status);
        Step::Done(Box::new(response))
    }

    fn precondition_failed(&self, head: &Head, reason: ForwardReason) -> Step {
        let delivery = Delivery {
            worker: &self.worker,
            inquiry: &self.inquiry,
            age: None,
            status: CacheStatus::forwarded(reason),
        };
        Step::Done(Box::new(delivery.precondition_failed(head)))
    }

    /// A POST's response that is what a GET would bring is stored as such, where the rules allow it.
    async fn keep_post(&mut self, arrived: Box<Arrived>, question: Question) -> Step {
        // Its own invalidation has begun since it was sent.
        let begun = self.worker.gateway.store.sequence();
        self.keep_passed(arrived, question, begun).await
    }

    /// Stores a response that was passed on, where the rules allow it and nothing was invalidated since `begun`.
    async fn keep_passed(&mut self, arrived: Box<Arrived>, question: Question, begun: u64) -> Step {
        let store = &self.worker.gateway.store;
        let (key, ask) = (self.inquiry.key(store), self.inquiry.ask());
        let Some(fill) = store.adopt(key, ask, self.inquiry.now.mono, begun) else {
            return self.forwarded(arrived, question.reason, None);
        };
        let task = match FillTask::new(&self.worker, &self.inquiry, &fill, RequestBody::Empty) {
            Ok(task) => task.asking(&question),
            Err(_) => {
                store.abandon(&fill);
                return self.forwarded(arrived, question.reason, None);
            }
        };
        let errand = Errand::new(&self.worker, |leader| task.led_by(leader).adopt(arrived));
        self.learn(errand, &question).await
    }
}
