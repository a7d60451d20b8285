//! Requests that are forwarded as they are, as far as their clients see it.

use http::{Response, StatusCode};

use super::{Exchange, Step};
use crate::cache::head::Head;
use crate::cache::store::Role;
use crate::error::Error;
use crate::proxy::body::Body;
use crate::proxy::deliver::Delivery;
use crate::proxy::errand::Errand;
use crate::proxy::fill::{Arrived, FillTask};
use crate::proxy::limit::Share;
use crate::proxy::long_lived;
use crate::proxy::pass;
use crate::proxy::receive::{Class, Facts};
use crate::proxy::settle::{Settlement, settle};
use crate::proxy::upgrade::Switch;
use crate::proxy::worker::{Question, detail_of};
use crate::semantics::cache_status::{CacheStatus, ForwardReason};
use crate::semantics::reuse::Failure;
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
        let read = self.query.clone();
        match pass::forward(&self.worker, &mut self.inquiry, read, admission).await {
            Ok(arrived) if pass::answers_a_get(&self.inquiry, &arrived) => {
                Box::pin(self.keep_post(arrived, reason)).await
            }
            Ok(arrived) if arrived.status == StatusCode::SWITCHING_PROTOCOLS => {
                Box::pin(self.switch(*arrived, tunnel_share, reason)).await
            }
            Ok(arrived) => {
                drop(tunnel_share);
                let failure = Failure::Status(arrived.status);
                if self.inquiry.class == Class::Head
                    && !self.inquiry.directives.no_store
                    && let Some(step) = self.stand_in(failure, &question)
                {
                    return step;
                }
                let detail = question.marked.map(detail_of).or(question.why);
                let detail = detail.or_else(|| pass::why_not_stored(&self.inquiry, &arrived));
                self.forwarded(arrived, reason, detail)
            }
            Err(error) => self.not_passed(&error, &question),
        }
    }

    /// HEAD gets what GET would: a stale response, where one may stand in.
    fn not_passed(&mut self, error: &Error, question: &Question) -> Step {
        if self.inquiry.class == Class::Head && !self.inquiry.directives.no_store {
            return self.failed(error, question);
        }
        self.fail(error, Some(question.reason))
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
    async fn keep_post(&mut self, arrived: Box<Arrived>, reason: ForwardReason) -> Step {
        let store = &self.worker.gateway.store;
        let key = self.inquiry.key(store);
        let resource = store.look_up(key);
        let alone = self.sharing(false, false);
        let Role::Lead(fill) =
            store.lead_or_follow(key, resource.as_ref(), self.inquiry.ask(), alone)
        else {
            return self.forwarded(arrived, reason, None);
        };
        let task = match FillTask::new(&self.worker, &self.inquiry, &fill, RequestBody::Empty) {
            Ok(task) => task,
            Err(_) => {
                store.abandon(&fill);
                return self.forwarded(arrived, reason, None);
            }
        };
        let errand = Errand::new(&self.worker, |leader| task.led_by(leader).adopt(arrived));
        let question = Question::pass(reason, None);
        self.learn(errand, &question).await
    }
}
