//! What is asked upstream: by a fill of its own, or by another's.

use std::sync::Arc;

use super::{Exchange, MAX_ROUNDS, Step};
use crate::cache::store::{Limits, Role, Sharing};
use crate::cache::stored::StoredResponse;
use crate::error::Error;
use crate::proxy::fill::{FillTask, Permit};
use crate::proxy::interim::Hints;
use crate::proxy::lookup::Miss;
use crate::proxy::lookup::candidates::may_be_validated;
use crate::proxy::lookup::extent::{holds_what_is_asked, is_personal};
use crate::proxy::request::{Class, Request, Traits};
use crate::proxy::tiers::Reads;
use crate::semantics::cache_status::ForwardReason;
use crate::semantics::fetch::FetchExtent;
use crate::semantics::freshness::MustValidate;
use crate::semantics::time::DeltaSeconds;
use crate::telemetry::traces::OpenSpan;
use crate::upstream::RequestBody;

impl Exchange {
    /// Leads a fill or follows one.
    pub(super) fn ask(&mut self, miss: Miss) -> Step {
        let store = &self.worker.gateway.store;
        let alone = self.is_alone();
        // Invariant 2: who sends credentials lets others wait only where a stored response says that what comes is for them
        // too.
        let may_lead = !alone && may_share(&miss) && !miss.personal;
        let sharing = self.sharing(self.may_follow(&miss), may_lead);
        let ask = self.request.ask();
        match store.lead_or_follow(
            self.request.key(store),
            miss.resource.as_ref(),
            ask,
            sharing,
        ) {
            Role::Lead(fill) => Step::Lead(Permit::new(&self.worker, fill), miss),
            Role::Follow(follower) => Step::Follow(follower, miss),
            // Others change it faster than it can be looked at.
            Role::LookAgain if alone => Step::Pass(miss),
            Role::LookAgain => Step::LookUp,
        }
    }

    /// A HEAD is answered by the head that a GET brings, where one is under way already.
    pub(super) fn join_or_pass(&mut self, miss: Miss) -> Step {
        let store = &self.worker.gateway.store;
        let is_head = self.request.class == Class::Head && !self.request.directives.no_store;
        let may_follow = is_head && self.may_follow(&miss);
        let sharing = self.sharing(may_follow, false);
        let key = self.request.key(store);
        let follower = may_follow.then(|| store.follow(key, &self.request.ask(), sharing));
        match follower.flatten() {
            Some(follower) => Step::Follow(follower, miss),
            None => Step::Pass(miss),
        }
    }

    fn is_alone(&self) -> bool {
        self.alone || self.rounds >= MAX_ROUNDS
    }

    /// Whether the request may wait for another's fill. Invariant 2: who sends credentials waits only for what it could get
    /// from the store as well.
    fn may_follow(&self, miss: &Miss) -> bool {
        let stored = miss.resource.as_ref();
        let stored = stored.is_some_and(|resource| !resource.variants().is_empty());
        let selected = miss.selected.as_ref();
        let must_ask = miss.reason == ForwardReason::Request
            || selected.is_some_and(|stored| {
                // Each use of it needs a validation of its own.
                let freshness = &stored.head.freshness;
                freshness.lifetime == DeltaSeconds::ZERO
                    || freshness.must_validate == Some(MustValidate::NoCache)
            });
        // A fill that has begun may bring what is older.
        let may_wait =
            (stored || !miss.personal) && !self.request.traits.any(Traits::NOTHING_OLDER);
        !self.is_alone() && may_share(miss) && may_wait && !must_ask
    }

    pub(super) fn sharing(&self, follow: bool, lead: bool) -> Sharing<'_> {
        let config = &self.request.epoch.settings.config.cache;
        Sharing {
            follow,
            lead,
            vary: &self.request.route.cache.vary,
            limits: Limits {
                now: self.request.now.mono,
                since: self.request.asked_since,
                leader_timeout: config.leader_timeout,
                max_followers: config.max_followers,
            },
        }
    }

    pub(super) fn fill_task(&self, permit: &Permit, miss: &Miss) -> Result<Box<FillTask>, Error> {
        let mut task = self.task_for(&self.request, self.envelope.hints.as_ref(), permit, miss)?;
        if task.extent != FetchExtent::Whole {
            return Ok(task);
        }
        let variants = miss
            .resource
            .iter()
            .flat_map(|resource| resource.variants().iter());
        task.candidates = variants
            .filter(|stored| may_be_validated(&self.worker.gateway.store, stored, &self.request))
            // RFC 9111 §4.3.2: a part is validated only for a request that it answers.
            .filter(|stored| holds_what_is_asked(stored, &self.request))
            .cloned()
            .collect();
        Ok(task)
    }

    /// A fill's task for `request`, which is this exchange's own or a refresh of what that was given; `hints` say where
    /// interim responses go.
    fn task_for(
        &self,
        request: &Request,
        hints: Option<&Hints>,
        permit: &Permit,
        miss: &Miss,
    ) -> Result<Box<FillTask>, Error> {
        let content = self
            .query
            .clone()
            .map_or(RequestBody::Empty, RequestBody::Full);
        let mut task = FillTask::new(&self.worker, request, hints, permit, content)?.asking(miss);
        // Invariant 2: what is fetched with credentials is rarely stored before it has proved shareable, nor what proved
        // not to be stored.
        task.reads = self.reads(request, miss);
        task.unfit = self.unfit;
        task.promising = !self.alone && !miss.personal && miss.extent != FetchExtent::AsAsked;
        Ok(task)
    }

    /// How a fill for `request` uses what other gateways store.
    fn reads(&self, request: &Request, miss: &Miss) -> Reads {
        // The API has to be asked for this very request.
        if request.traits.any(Traits::NOTHING_OLDER)
            || request.asked_since.is_some()
            || miss.reason == ForwardReason::Request
            || self.is_alone()
        {
            return Reads::Not;
        }
        match miss.personal || !may_share(miss) {
            true => Reads::Alone,
            false => Reads::Together,
        }
    }

    /// Begins a refresh of `stale`, which nobody waits for, unless one is going on or has just failed (RFC 5861 §3).
    pub(super) fn refresh(&self, stale: &Arc<StoredResponse>) {
        if !stale.refreshes.is_due(self.request.now.mono) {
            return;
        }
        let settings = &self.request.epoch.settings;
        let counters = &self.worker.counters;
        let limit = settings.config.cache.max_background_fills;
        if counters.background_fills.value() >= limit as u64 {
            counters.background_refused.inc();
            return;
        }
        let store = &self.worker.gateway.store;
        let mut request = self.request.for_refresh(stale.head.credentialed);
        let span = request.record_behind();
        let resource = store.look_up(request.key(store));
        let miss = Miss {
            reason: ForwardReason::Stale,
            why: None,
            personal: is_personal(resource.as_ref(), &request),
            resource,
            selected: Some(stale.clone()),
            marked: None,
            extent: FetchExtent::Whole,
        };
        let role = store.lead_or_follow(
            request.key(store),
            miss.resource.as_ref(),
            request.ask(),
            self.sharing(true, !miss.personal),
        );
        let Role::Lead(fill) = role else {
            discard(span);
            return;
        };
        let permit = Permit::new(&self.worker, fill);
        match (self.admit(), self.task_for(&request, None, &permit, &miss)) {
            (Ok(admission), Ok(task)) => {
                let task = task.admitted(admission).refreshing(stale, span);
                self.worker.spawn_behind(task.run(permit));
            }
            (admitted, _) => {
                if admitted.is_err() {
                    counters.background_refused.inc();
                }
                discard(span);
            }
        }
    }
}

/// The span of what is not begun.
fn discard(span: Option<OpenSpan>) {
    if let Some(span) = span {
        span.discard();
    }
}

/// Whether what is asked for may be for others too.
fn may_share(miss: &Miss) -> bool {
    miss.extent == FetchExtent::Whole && miss.marked.is_none()
}
