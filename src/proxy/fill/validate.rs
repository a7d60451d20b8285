//! The answer 304 to a validation: which stored responses it names, and what becomes of them (RFC 9111 §4.3.4).

use std::sync::Arc;

use http::header::{AGE, CONTENT_RANGE, ETAG, SET_COOKIE};

use super::{Arrived, FillTask, LeaderNews, Unusable};
use crate::cache::stored::{Head, Settled, StoredResponse, Unshared, pack_fields};
use crate::config::EtagMode;
use crate::semantics::cache_control::ResponseDirectives;
use crate::semantics::no_vary_search::SearchVariance;
use crate::semantics::storability::{Storability, assess};
use crate::semantics::validation::{self, Validators};

impl FillTask {
    /// A 304 came: the stored responses that it names are as good as new. Returns the 304 when it names none.
    pub(super) fn validated(&mut self, arrived: Arrived) -> Option<Unusable> {
        let named = validation::named_by_304(&arrived.headers, self.candidates());
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
            return Some(Unusable);
        };
        let freshen = |old: Arc<StoredResponse>| {
            let new = self.freshened(&old, &arrived, self.is_asked_for(&old));
            (old, new)
        };
        let updates: Vec<_> = named.into_iter().map(freshen).collect();
        let own = updates.iter().find(|(old, _)| Arc::ptr_eq(old, &chosen));
        let stored = match own {
            Some((old, new)) if self.is_asked_for(old) => new.clone(),
            // The 304 says that another variant answers this request too (RFC 9111 §4.3.4).
            _ => self.freshened(&chosen, &arrived, true),
        };
        self.take_over(&chosen, &stored, &updates, &arrived);
        self.fill.settle(Settled::Stored(stored.clone()));
        self.tell_leader(LeaderNews::Validated { stored });
        None
    }

    /// Puts freshened responses in the place of the old ones; those that may no longer be stored leave.
    fn take_over(
        &self,
        chosen: &Arc<StoredResponse>,
        stored: &Arc<StoredResponse>,
        updates: &[(Arc<StoredResponse>, Arc<StoredResponse>)],
        arrived: &Arrived,
    ) {
        let store = &self.worker.gateway.store;
        let vary = &self.route.cache.vary;
        let directives =
            ResponseDirectives::parse(&stored.head.headers, &self.route.cache.targeted_fields);
        let head = &stored.head;
        let outcome = match assess(&self.store_input(
            head.status,
            &head.headers,
            &directives,
            &head.freshness,
        )) {
            Storability::Refuse(why) if why.is_in_response() => {
                store.mark(&self.fill, self.marker(arrived, Unshared::Rule(why)), vary);
                return;
            }
            _ if !self.is_asked_for(chosen) => {
                store.update(self.fill.key.as_ref(), updates);
                store.commit(&self.fill, stored.clone(), vary)
            }
            _ => store.freshen(&self.fill, updates),
        };
        if let Err(why) = outcome {
            tracing::debug!(
                ?why,
                key = self.fill.key.as_str(),
                "a validation was overtaken"
            );
        }
    }

    /// Whether the request selects the stored response.
    fn is_asked_for(&self, stored: &StoredResponse) -> bool {
        let vary = &self.route.cache.vary;
        stored.head.variant.matches(&self.fill.ask.headers, vary)
    }

    /// `old` with the fields of the 304 (RFC 9111 §3.2, §4.3.4), for requests like this one or like the one it was
    /// stored for.
    fn freshened(
        &self,
        old: &Arc<StoredResponse>,
        arrived: &Arrived,
        for_this_request: bool,
    ) -> Arc<StoredResponse> {
        let policy = &self.route.cache;
        let mut headers = validation::freshen(&old.head.headers, &arrived.headers);
        if let Some(age) = arrived.headers.get(AGE) {
            headers.insert(AGE, age.clone());
        }
        let directives = ResponseDirectives::parse(&headers, &policy.targeted_fields);
        let freshness = self.reckon(old.head.status, &headers, &directives, arrived.receipt());
        let age = headers.remove(AGE);
        headers.remove(CONTENT_RANGE);
        if policy.ignore.set_cookie {
            headers.remove(SET_COOKIE);
        }
        let ours = self.route.etag != EtagMode::Off && old.head.origin_validators.etag.is_none();
        let mut origin_validators = Validators::of(&headers);
        if ours {
            origin_validators.etag = Validators::of(&arrived.headers).etag;
            if let Some(tag) = old.head.headers.get(ETAG) {
                headers.insert(ETAG, tag.clone());
            }
        }
        pack_fields(&mut headers);
        let head = Head {
            status: old.head.status,
            validators: Validators::of(&headers),
            origin_validators: self.usable_upstream(origin_validators),
            freshness,
            received: arrived.received,
            variant: if for_this_request {
                self.variant(&headers)
            } else {
                old.head.variant.clone()
            },
            digest: old.head.digest,
            groups: self.groups(&headers),
            search: SearchVariance::parse(&headers).map(Box::new),
            content_length: old.head.content_length,
            age,
            receipt: arrived.receipt(),
            credentialed: self.credentials.any(),
            epoch: self.epoch.settings.version,
            headers,
        };
        let token = self.worker.gateway.store.token(head.weight());
        let head = Arc::new(head);
        Arc::new(StoredResponse::new(head, old.content.clone(), token))
    }
}
