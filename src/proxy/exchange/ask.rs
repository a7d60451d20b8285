//! What is asked upstream: by a fill of its own, or by another's.

use std::sync::Arc;

use super::{Exchange, MAX_ROUNDS, Step};
use crate::cache::collapse::Fill;
use crate::cache::head::Head;
use crate::cache::store::{Limits, Role, Sharing};
use crate::cache::stored::StoredResponse;
use crate::error::Error;
use crate::proxy::fill::FillTask;
use crate::proxy::lookup::Question;
use crate::proxy::lookup::candidates::may_be_validated;
use crate::proxy::lookup::extent::{holds_what_is_asked, is_personal};
use crate::proxy::request::{Class, Inquiry};
use crate::semantics::cache_status::ForwardReason;
use crate::semantics::fetch::Want;
use crate::semantics::time::DeltaSeconds;
use crate::upstream::RequestBody;

impl Exchange {
    /// Leads a fill or follows one.
    pub(super) fn ask(&mut self, question: Question) -> Step {
        let store = &self.worker.gateway.store;
        let alone = self.is_alone();
        // Invariant 2: who sends credentials lets others wait only where a stored response says that what comes is for them
        // too.
        let may_lead = !alone && may_share(&question) && !question.personal;
        let sharing = self.sharing(self.may_follow(&question), may_lead);
        let ask = self.inquiry.ask();
        match store.lead_or_follow(
            self.inquiry.key(store),
            question.resource.as_ref(),
            ask,
            sharing,
        ) {
            Role::Lead(fill) => Step::Lead(fill, question),
            Role::Follow(follower) => Step::Follow(follower, question),
            // Others change it faster than it can be looked at.
            Role::LookAgain if alone => Step::Pass(question),
            Role::LookAgain => Step::LookUp,
        }
    }

    /// A HEAD is answered by the head that a GET brings, where one is under way already.
    pub(super) fn join_or_pass(&mut self, question: Question) -> Step {
        let store = &self.worker.gateway.store;
        let is_head = self.inquiry.class == Class::Head && !self.inquiry.directives.no_store;
        let may_follow = is_head && self.may_follow(&question);
        let sharing = self.sharing(may_follow, false);
        let key = self.inquiry.key(store);
        let follower = may_follow.then(|| store.follow(key, &self.inquiry.ask(), sharing));
        match follower.flatten() {
            Some(follower) => Step::Follow(follower, question),
            None => Step::Pass(question),
        }
    }

    fn is_alone(&self) -> bool {
        self.alone || self.rounds >= MAX_ROUNDS
    }

    /// Whether the request may wait for another's fill. Invariant 2: who sends credentials waits only for what it could get
    /// from the store as well.
    fn may_follow(&self, question: &Question) -> bool {
        let stored = question.resource.as_ref();
        let stored = stored.is_some_and(|resource| !resource.variants().is_empty());
        let selected = question.selected.as_ref();
        let must_ask = question.reason == ForwardReason::Request
            || selected.is_some_and(|stored| never_fresh(&stored.head));
        let may_wait = stored || !question.personal;
        !self.is_alone() && may_share(question) && may_wait && !must_ask
    }

    pub(super) fn sharing(&self, follow: bool, lead: bool) -> Sharing<'_> {
        let config = &self.inquiry.epoch.settings.config.cache;
        Sharing {
            follow,
            lead,
            vary: &self.inquiry.route.cache.vary,
            limits: Limits {
                now: self.inquiry.now.mono,
                leader_timeout: config.leader_timeout,
                max_followers: config.max_followers,
            },
        }
    }

    pub(super) fn fill_task(
        &self,
        fill: &Arc<Fill>,
        question: &Question,
    ) -> Result<Box<FillTask>, Error> {
        let mut task = self.task_for(&self.inquiry, fill, question)?;
        if task.want != Want::Whole {
            return Ok(task);
        }
        let variants = question
            .resource
            .iter()
            .flat_map(|resource| resource.variants().iter());
        task.candidates = variants
            .filter(|stored| may_be_validated(&self.worker.gateway.store, stored, &self.inquiry))
            // RFC 9111 §4.3.2: a part is validated only for a request that it answers.
            .filter(|stored| holds_what_is_asked(stored, &self.inquiry))
            .cloned()
            .collect();
        Ok(task)
    }

    /// A fill's task for `inquiry`, which is this exchange's own or a refresh of what that was given.
    fn task_for(
        &self,
        inquiry: &Inquiry,
        fill: &Arc<Fill>,
        question: &Question,
    ) -> Result<Box<FillTask>, Error> {
        let content = self
            .query
            .clone()
            .map_or(RequestBody::Empty, RequestBody::Full);
        let mut task = FillTask::new(&self.worker, inquiry, fill, content)?.asking(question);
        // Invariant 2: what is fetched with credentials is rarely stored before it has proved shareable, nor what proved
        // not to be stored.
        task.promising = !self.alone && !question.personal && question.want != Want::AsAsked;
        Ok(task)
    }

    /// Begins a refresh of `stale`, which nobody waits for, unless one is going on or has just failed (RFC 5861 §3).
    pub(super) fn refresh(&self, stale: &Arc<StoredResponse>) {
        if !stale.refreshes.is_due(self.inquiry.now.mono) {
            return;
        }
        let settings = &self.inquiry.epoch.settings;
        let counters = &self.worker.counters;
        let limit = settings.config.cache.max_background_fills;
        if counters.background_fills.value() >= limit as u64 {
            counters.background_refused.inc();
            return;
        }
        let store = &self.worker.gateway.store;
        let inquiry = self.inquiry.for_refresh(stale.head.credentialed);
        let resource = store.look_up(inquiry.key(store));
        let question = Question {
            reason: ForwardReason::Stale,
            why: None,
            personal: is_personal(resource.as_ref(), &inquiry),
            resource,
            selected: Some(stale.clone()),
            pass: false,
            marked: None,
            want: Want::Whole,
        };
        let role = store.lead_or_follow(
            inquiry.key(store),
            question.resource.as_ref(),
            inquiry.ask(),
            self.sharing(true, !question.personal),
        );
        let Role::Lead(fill) = role else {
            return;
        };
        match (self.admit(), self.task_for(&inquiry, &fill, &question)) {
            (Ok(admission), Ok(task)) => {
                let task = task.admitted(admission).refreshing(stale);
                self.worker.spawn_behind(task.run());
            }
            (Err(_full), _) => {
                counters.background_refused.inc();
                store.abandon(&fill);
            }
            (_, Err(_)) => store.abandon(&fill),
        }
    }
}

/// Whether what is asked for may be for others too.
fn may_share(question: &Question) -> bool {
    question.want == Want::Whole && question.marked.is_none()
}

/// Whether each use of the response needs a validation of its own.
fn never_fresh(head: &Head) -> bool {
    let freshness = &head.freshness;
    freshness.lifetime == DeltaSeconds::ZERO
        || freshness.must_validate == Some(crate::semantics::freshness::MustValidate::NoCache)
}
