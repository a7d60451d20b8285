//! The answer 304 to a validation: which stored responses it names, and what becomes of them (RFC 9111 §4.3.4).

use std::sync::Arc;

use http::header::{ETAG, ORIGIN};

use super::{FillTask, LeaderEvent, Permit, candidates};
use crate::cache::head::Draft;
use crate::cache::outcome::Outcome;
use crate::cache::resource::Unshared;
use crate::cache::stored::StoredResponse;
use crate::config::EtagMode;
use crate::proxy::fill::update::{Asked, Update, withheld};
use crate::proxy::forward::arrived::Arrived;
use crate::semantics::no_vary_search::SearchVariance;
use crate::semantics::storability::Storability;
use crate::semantics::tags;
use crate::semantics::validation::{self, Validators};

impl FillTask {
    /// A 304 came: the stored responses that it names are as good as new. Gives back the permit when it names none.
    pub(super) fn validated(&mut self, permit: Permit, arrived: Arrived) -> Result<(), Permit> {
        let named = validation::named_by_304(&arrived.headers, candidates(&self.known()));
        let named: Vec<_> = named
            .iter()
            .map(|index| self.candidates[*index].clone())
            .collect();
        let is_selected = |old: &&Arc<StoredResponse>| {
            self.selected
                .as_ref()
                .is_some_and(|selected| Arc::ptr_eq(selected, old))
        };
        let Some(chosen) = named.iter().find(is_selected).or(named.first()).cloned() else {
            return Err(permit);
        };
        let update = self.updated(&chosen, &arrived);
        let refused = match &update.storable {
            Ok(_) => None,
            Err(Storability::Refuse(why)) => Some(*why),
            Err(Storability::Store(_)) => None,
        };
        let own = withheld(
            &update.fields,
            update.storable.as_ref().unwrap_or(&update.fields),
        );
        let stored = self.freshened(&chosen, update, &arrived, true);
        let committed = match refused {
            // Where that is the updated response's own doing, what was stored leaves; where it is this request's (its
            // credentials, its no-store), what is stored stays as it is.
            Some(why) => {
                self.not_stored(permit, &arrived, chosen.head.status, Unshared::Rule(why));
                false
            }
            None => {
                let outcome = self.outcome(&chosen, &stored, &named, &arrived);
                let refused = permit.finish(outcome, &self.route);
                if let Some(why) = refused {
                    let key = self.fill.key.as_str();
                    tracing::debug!(why = why.token(), key, "a validation was overtaken");
                }
                refused.is_none()
            }
        };
        self.tell_leader(LeaderEvent::Validated {
            stored,
            committed,
            own,
        });
        Ok(())
    }

    /// Freshened responses in the place of the old ones.
    fn outcome(
        &self,
        chosen: &Arc<StoredResponse>,
        stored: &Arc<StoredResponse>,
        named: &[Arc<StoredResponse>],
        arrived: &Arrived,
    ) -> Outcome {
        // RFC 9111 §4.3.4: updated are those "that could have been chosen for that request". Where it is another variant that
        // the 304 names, it answers this request too, and stays for others as it is.
        if !self.is_asked_for(chosen) {
            return Outcome::Stored(stored.clone());
        }
        let freshen = |old: &Arc<StoredResponse>| {
            if Arc::ptr_eq(old, chosen) {
                return Some((old.clone(), stored.clone()));
            }
            let update = self.updated(old, arrived);
            update
                .storable
                .is_ok()
                .then(|| (old.clone(), self.freshened(old, update, arrived, false)))
        };
        Outcome::Freshened {
            answer: stored.clone(),
            updates: named.iter().filter_map(freshen).collect(),
        }
    }

    /// `old` with the fields of the 304.
    fn updated(&self, old: &StoredResponse, arrived: &Arrived) -> Update {
        let asked = Asked {
            method: self.request.method(),
            directives: self.directives,
            credentials: self.credentials,
            has_origin: self.fill.ask.headers.contains_key(ORIGIN),
            route: &self.route,
        };
        let mut update = Update::of(&old.head, &arrived.headers, arrived.receipt(), asked);
        update.freshness = arrived.believed(update.freshness);
        let lines = tags::updated(&old.head.tags(), &arrived.tags);
        if let Ok(fields) = &update.storable
            && let Err(why) = self.tags(fields, &lines)
        {
            update.storable = Err(Storability::Refuse(why));
        }
        update
    }

    /// Whether the request selects the stored response.
    pub(super) fn is_asked_for(&self, stored: &StoredResponse) -> bool {
        let (store, ask) = (&self.worker.gateway.store, &self.fill.ask);
        let asked = (&ask.headers, ask.digest.as_ref());
        let vary = &self.route.cache.vary;
        store
            .cors()
            .selects(self.fill.key.as_str(), &stored.head, asked, vary)
    }

    /// `old` as `update` has it, for requests like this one or like the one that it was stored for.
    fn freshened(
        &self,
        old: &Arc<StoredResponse>,
        update: Update,
        arrived: &Arrived,
        for_this_request: bool,
    ) -> Arc<StoredResponse> {
        let Update {
            fields,
            age,
            freshness,
            storable,
        } = update;
        let mut headers = storable.unwrap_or(fields);
        let before = old.head.draft();
        // RFC 9111 §3.2: a tag that the origin has after all counts, where the route believes it.
        let ours = match self.route.etag {
            EtagMode::Off => false,
            EtagMode::Missing => {
                before.origin_validators.etag.is_none() && !arrived.headers.contains_key(ETAG)
            }
            EtagMode::Replace => true,
        };
        let mut origin_validators = Validators::of(&headers);
        if ours {
            origin_validators.etag = None;
            if let Some(tag) = before.headers.get(ETAG) {
                headers.insert(ETAG, tag.clone());
            }
        }
        let mut variant = match for_this_request {
            true => self.variant(&headers),
            false => before.variant.clone(),
        };
        if !self.fill.ask.headers.contains_key(ORIGIN) && before.variant.origin().is_some() {
            // It has kept what it tells the page that it was fetched for.
            variant = variant.fetched_with(before.variant.origin());
        }
        let tags = tags::updated(&before.tags, &arrived.tags);
        let head = Draft {
            status: before.status,
            reason: before.reason,
            origin_validators: self.usable_upstream(origin_validators),
            freshness,
            received: arrived.received.mono,
            variant,
            digest: before.digest,
            groups: self.tags(&headers, &tags).unwrap_or_default(),
            tags,
            search: SearchVariance::parse(&headers).map(Box::new),
            content_length: before.content_length,
            age,
            receipt: arrived.receipt(),
            credentialed: self.credentials.any(),
            epoch: self.epoch.settings.version,
            stamp: self.fill.stamp,
            headers,
        };
        let (head, content) = (head.packed(), old.content());
        let cost = StoredResponse::cost(&head, &content);
        let token = self.worker.gateway.store.token(cost);
        Arc::new(StoredResponse::new(head, content, token))
    }
}
