//! What is asked upstream: by a fill of its own, or by another's.

use std::sync::Arc;

use super::{Exchange, MAX_ROUNDS, Step};
use crate::cache::collapse::{Ask, Fill};
use crate::cache::head::Head;
use crate::cache::store::{Limits, Role, Sharing};
use crate::cache::stored::{Resource, StoredResponse};
use crate::error::Error;
use crate::proxy::fill::FillTask;
use crate::proxy::worker::{Question, Want, holds_what_is_asked};
use crate::semantics::cache_status::ForwardReason;
use crate::semantics::time::DeltaSeconds;
use crate::upstream::RequestBody;

impl Exchange {
    /// Leads a fill or follows one.
    pub(super) fn ask(&mut self, question: Question) -> Step {
        let store = &self.worker.gateway.store;
        let alone = self.alone || self.rounds >= MAX_ROUNDS;
        let proved = question
            .resource
            .as_ref()
            .is_some_and(|resource| !resource.variants().is_empty());
        // Invariant 2: who sends credentials shares only what has proved shareable.
        let may_share = !alone && !question.marked && (proved || !self.inquiry.credentials.any());
        let must_ask = question.reason == ForwardReason::Request
            || question
                .selected
                .as_ref()
                .is_some_and(|stored| never_fresh(&stored.head));
        let whole = question.want == Want::Whole;
        let sharing = self.sharing(may_share && !must_ask && whole, may_share && whole);
        let ask = self.ask_of();
        match store.lead_or_follow(
            self.inquiry.key(store),
            question.resource.as_ref(),
            ask,
            sharing,
        ) {
            Role::Lead(fill) => Step::Lead(fill, question),
            Role::Follow(follower) => Step::Follow(follower, question),
            // Others change it faster than it can be looked at.
            Role::LookAgain if alone => Step::Pass(question.reason, None),
            Role::LookAgain => Step::LookUp,
        }
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

    /// What this request would have a fill ask.
    pub(super) fn ask_of(&self) -> Ask {
        Ask {
            headers: self.inquiry.headers().clone(),
            digest: self.inquiry.digest,
        }
    }

    pub(super) fn fill_task(
        &self,
        fill: &Arc<Fill>,
        question: &Question,
    ) -> Result<Box<FillTask>, Error> {
        let content = self
            .query
            .clone()
            .map_or(RequestBody::Empty, RequestBody::Full);
        let mut task = FillTask::new(&self.worker, &self.inquiry, fill, content)?;
        task.selected = question.selected.clone();
        task.want = question.want;
        let variants = question.resource.as_ref().map(Resource::variants);
        let proved = variants.is_some_and(|variants| !variants.is_empty());
        // Invariant 2: what is fetched with credentials is rarely stored before it has proved shareable.
        task.promising = !self.alone && (proved || !self.inquiry.credentials.any());
        if task.want != Want::Whole {
            return Ok(task);
        }
        let variants = question
            .resource
            .iter()
            .flat_map(|resource| resource.variants().iter());
        task.candidates = variants
            .filter(|stored| stored.head.digest() == self.inquiry.digest.as_ref())
            .filter(|stored| !stored.head.origin_validators().is_empty())
            // RFC 9111 §4.3.2: a part is validated only for a request that it answers.
            .filter(|stored| holds_what_is_asked(stored, &self.inquiry))
            .cloned()
            .collect();
        Ok(task)
    }

    /// Begins a fill that nobody waits for, unless one is going on (RFC 5861 §3).
    pub(super) fn validate_behind(&self, stored: &Arc<StoredResponse>) {
        let limit = self
            .inquiry
            .epoch
            .settings
            .config
            .cache
            .max_background_fills;
        let counters = &self.worker.counters;
        if counters.background_fills.value() >= limit as u64 {
            counters.background_refused.inc();
            return;
        }
        let store = &self.worker.gateway.store;
        let resource = store.look_up(self.inquiry.key(store));
        let question = Question {
            reason: ForwardReason::Stale,
            why: None,
            resource,
            selected: Some(stored.clone()),
            pass: false,
            marked: false,
            expected: None,
            want: Want::Whole,
        };
        let sharing = self.sharing(true, true);
        let ask = self.ask_of();
        let role = store.lead_or_follow(
            self.inquiry.key(store),
            question.resource.as_ref(),
            ask,
            sharing,
        );
        let Role::Lead(fill) = role else {
            return;
        };
        match (self.admit(), self.fill_task(&fill, &question)) {
            (Ok(admission), Ok(mut task)) => {
                // It waits for nobody.
                task.waiting = None;
                self.worker.spawn_behind(task.admitted(admission).run());
            }
            (Err(_full), _) => {
                counters.background_refused.inc();
                store.abandon(&fill);
            }
            (_, Err(_)) => store.abandon(&fill),
        }
    }
}

/// Whether each use of the response needs a validation of its own.
fn never_fresh(head: &Head) -> bool {
    let freshness = &head.freshness;
    freshness.lifetime == DeltaSeconds::ZERO
        || freshness.must_validate == Some(crate::semantics::freshness::MustValidate::NoCache)
}
