//! What the store says to a request, and what is to be asked upstream where that is not enough.

pub(in crate::proxy) mod candidates;
pub(in crate::proxy) mod extent;

use std::sync::Arc;

use http::HeaderMap;

use crate::cache::head::Head;
use crate::cache::store::Store;
use crate::cache::stored::{Marker, Resource, StoredResponse, Unshared};
use crate::proxy::lookup::extent::{holds_what_is_asked, is_personal, want};
use crate::proxy::request::{Class, Facts, Inquiry};
use crate::proxy::worker::Worker;
use crate::semantics::cache_status::{CacheStatus, Detail, ForwardReason};
use crate::semantics::fetch::Want;
use crate::semantics::preconditions::origin_must_decide;
use crate::semantics::reuse::{Reuse, Selection, decide};
use crate::semantics::time::DeltaSeconds;
use crate::semantics::vary::prefer;

/// What the store says to a request.
pub(in crate::proxy) enum Verdict {
    /// A stored response that may be delivered now.
    Deliver {
        stored: Arc<StoredResponse>,
        age: DeltaSeconds,
        status: CacheStatus,
        /// It is to be validated behind (RFC 5861 §3).
        validate_behind: bool,
    },
    /// Something has to be asked upstream.
    Ask(Question),
    /// Nothing stored will do, and the client wants nothing else.
    Unsatisfiable,
}

/// What is asked upstream, and what is known for it.
#[derive(Clone)]
pub(in crate::proxy) struct Question {
    pub reason: ForwardReason,
    /// Why the selected variant needs validation, where `reason` does not tell it.
    pub why: Option<Detail>,
    pub resource: Option<Resource>,
    /// The variant that the request selects, if it needs validation.
    pub selected: Option<Arc<StoredResponse>>,
    /// The cache cannot be of use: forward the request as it is.
    pub pass: bool,
    /// Why the latest response to such a request could not be stored.
    pub marked: Option<Unshared>,
    /// The request has credentials, and nothing stored says that its response may be shared.
    pub personal: bool,
    pub want: Want,
}

impl Question {
    pub fn pass(reason: ForwardReason, resource: Option<Resource>) -> Self {
        Self {
            reason,
            why: None,
            resource,
            selected: None,
            pass: true,
            marked: None,
            personal: false,
            want: Want::AsAsked,
        }
    }

    /// The same, with the client's own preconditions and Range.
    pub fn as_asked(&self) -> Self {
        Self {
            want: Want::AsAsked,
            ..self.clone()
        }
    }

    /// What is told of a request that this was asked for, before there is an answer.
    pub fn status(&self) -> CacheStatus {
        CacheStatus {
            detail: self.why,
            ..CacheStatus::forwarded(self.reason)
        }
    }
}

impl Worker {
    /// Looks the target up and decides (RFC 9111 §4).
    pub(in crate::proxy) fn look_up(&self, inquiry: &Inquiry) -> Verdict {
        let store = &self.gateway.store;
        let mut resource = store.look_up(inquiry.key(store));
        let mut selected = resource
            .as_ref()
            .and_then(|resource| select(store, resource, inquiry));
        if let Some(stored) = &selected
            && !stored.head.is_of(inquiry.epoch.settings.version)
        {
            selected = Some(self.reckon_anew(inquiry, stored));
            resource = store.look_up(inquiry.key(store));
        }
        if inquiry.credentials.any()
            && selected
                .as_ref()
                .is_some_and(|stored| lacks_credentials(stored))
        {
            selected = None;
        }
        if inquiry.facts.any(Facts::ORIGIN_CONDITIONS) && origin_must_decide(inquiry.headers()) {
            return Verdict::Ask(Question::pass(ForwardReason::Request, resource));
        }
        let selection = match (&resource, &selected) {
            (_, Some(stored)) => Selection::Found {
                freshness: &stored.head.freshness,
                resident: stored.head.resident(inquiry.now),
            },
            (Some(resource), None) if !resource.variants().is_empty() => Selection::VaryMiss,
            _ => Selection::UriMiss,
        };
        let reuse = decide(selection, &inquiry.directives);
        self.conclude(inquiry, reuse, resource, selected)
    }

    /// What was stored under other settings is reckoned by those in force.
    fn reckon_anew(&self, inquiry: &Inquiry, stored: &Arc<StoredResponse>) -> Arc<StoredResponse> {
        let store = &self.gateway.store;
        let head = stored
            .head
            .reckoned_anew(&inquiry.route.cache, inquiry.epoch.settings.version);
        let content = stored.content();
        let token = store.token(StoredResponse::cost(&head, &content));
        let new = Arc::new(StoredResponse::new(head, content, token));
        store.update(inquiry.key(store), &[(stored.clone(), new.clone())]);
        new
    }

    fn conclude(
        &self,
        inquiry: &Inquiry,
        reuse: Reuse,
        resource: Option<Resource>,
        selected: Option<Arc<StoredResponse>>,
    ) -> Verdict {
        let validate_behind = matches!(reuse, Reuse::StaleWhileRevalidate { .. });
        let (age, ttl, detail) = match reuse {
            Reuse::Fresh { age, ttl } => (age, ttl, None),
            Reuse::Stale { age, ttl, why } => (age, ttl, Some(Detail::Stale(why))),
            Reuse::StaleWhileRevalidate { age, ttl } => {
                (age, ttl, Some(Detail::Other("stale-while-revalidate")))
            }
            Reuse::Validate { reason, .. } => {
                let why = Detail::validated(reason);
                return self.ask(inquiry, reason.forward(), why, resource, selected);
            }
            Reuse::Miss(reason) => return self.ask(inquiry, reason, None, resource, None),
            Reuse::Unsatisfiable => return Verdict::Unsatisfiable,
        };
        let Some(stored) = selected else {
            return self.ask(inquiry, ForwardReason::Miss, None, resource, None);
        };
        if !holds_what_is_asked(&stored, inquiry) {
            return self.ask(
                inquiry,
                ForwardReason::Partial,
                None,
                resource,
                Some(stored),
            );
        }
        stored.touch(inquiry.now.mono);
        let status = CacheStatus {
            detail,
            ..CacheStatus::hit(ttl)
        };
        Verdict::Deliver {
            stored,
            age,
            status,
            validate_behind,
        }
    }

    fn ask(
        &self,
        inquiry: &Inquiry,
        reason: ForwardReason,
        why: Option<Detail>,
        resource: Option<Resource>,
        selected: Option<Arc<StoredResponse>>,
    ) -> Verdict {
        if inquiry.directives.only_if_cached {
            return Verdict::Unsatisfiable;
        }
        let marker = resource.as_ref().and_then(|resource| {
            let vary = &inquiry.route.cache.vary;
            resource.marker(
                inquiry.headers(),
                inquiry.digest.as_ref(),
                vary,
                inquiry.now.mono,
            )
        });
        let marked = marker.map(|marker| marker.why);
        let personal = is_personal(resource.as_ref(), inquiry);
        let want = want(inquiry, selected.as_deref(), personal, marked.is_some());
        let is_passed = match want {
            // A fill renews the marker in time.
            Want::AsAsked => !marker.is_some_and(|marker| is_half_over(marker, inquiry)),
            Want::Whole => {
                personal
                    && resource
                        .as_ref()
                        .is_none_or(|found| found.variants().is_empty())
            }
            Want::Missing(_) => false,
        };
        Verdict::Ask(Question {
            reason,
            why,
            // A HEAD that the store cannot answer is the origin's to answer; a request that must not be stored is
            // nobody's to share; of what will hardly be stored, a fill costs more than it is of use.
            pass: inquiry.class == Class::Head || inquiry.directives.no_store || is_passed,
            marked,
            personal,
            want,
            resource,
            selected,
        })
    }
}

/// The stored response that the request selects (RFC 9111 §4.1).
pub(in crate::proxy) fn select(
    store: &Store,
    resource: &Resource,
    inquiry: &Inquiry,
) -> Option<Arc<StoredResponse>> {
    let headers = inquiry.headers();
    let matches = |stored: &&Arc<StoredResponse>| selects(store, &stored.head, inquiry);
    if let [only] = resource.variants() {
        return Some(only).filter(matches).cloned();
    }
    let matching: smallvec::SmallVec<[&Arc<StoredResponse>; 4]> =
        resource.variants().iter().filter(matches).collect();
    if let [only] = matching.as_slice() {
        return Some(Arc::clone(only));
    }
    let fields: smallvec::SmallVec<[HeaderMap; 4]> = matching
        .iter()
        .map(|stored| stored.head.fields.to_map())
        .collect();
    let dates = matching.iter().map(|stored| stored.head.freshness.date);
    prefer(headers, fields.iter().zip(dates)).map(|best| matching[best].clone())
}

/// Whether the request selects the response with this head.
pub(in crate::proxy) fn selects(store: &Store, head: &Head, inquiry: &Inquiry) -> bool {
    let (headers, digest) = (inquiry.headers(), inquiry.digest.as_ref());
    head.selected_by(headers, digest, &inquiry.route.cache.vary)
        && (!inquiry.facts.any(Facts::ORIGIN)
            || store
                .cors()
                .may_answer(inquiry.target.as_str(), head, headers))
}

/// Whether it refuses a request that had no credentials, which says nothing to one that has some.
fn lacks_credentials(stored: &StoredResponse) -> bool {
    !stored.head.credentialed && matches!(stored.head.status.as_u16(), 401 | 403 | 407)
}

/// Whether more than half of a marker's time has passed.
fn is_half_over(marker: &Marker, inquiry: &Inquiry) -> bool {
    let ttl = inquiry.epoch.settings.config.cache.uncacheable_ttl;
    marker.until.since(inquiry.now.mono) < ttl / 2
}

/// A marker's cause, as Cache-Status tells it.
pub(in crate::proxy) fn detail_of(why: Unshared) -> Detail {
    match why {
        Unshared::Rule(reason) => Detail::NotStored(reason),
        Unshared::TooLarge | Unshared::UnverifiedEnd => Detail::Other(why.token()),
    }
}
