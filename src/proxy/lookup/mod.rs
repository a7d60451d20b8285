//! The look-up of a request in the store, and the decision (RFC 9111 §4): deliver, fetch or forward.

pub(in crate::proxy) mod candidates;
pub(in crate::proxy) mod extent;

use std::sync::Arc;

use http::HeaderMap;

use crate::cache::head::Head;
use crate::cache::resource::{Resource, Unshared};
use crate::cache::store::Store;
use crate::cache::stored::StoredResponse;
use crate::proxy::lookup::extent::{fetch_extent, holds_what_is_asked, is_personal};
use crate::proxy::request::{Class, Request, Traits};
use crate::proxy::worker::Worker;
use crate::semantics::cache_control::RequestDirectives;
use crate::semantics::cache_status::{CacheStatus, Detail, ForwardReason};
use crate::semantics::fetch::FetchExtent;
use crate::semantics::preconditions::origin_must_decide;
use crate::semantics::reuse::{Reuse, Selection, ValidateReason, decide};
use crate::semantics::time::DeltaSeconds;
use crate::semantics::vary::prefer;

/// The decision about a request that was looked up.
pub(in crate::proxy) enum Lookup {
    /// A stored response that may be delivered now.
    Deliver {
        stored: Arc<StoredResponse>,
        age: DeltaSeconds,
        status: CacheStatus,
        /// It is to be validated behind (RFC 5861 §3).
        validate_behind: bool,
    },
    /// A fill has to be led, or another's followed.
    Miss(Miss),
    /// The cache cannot be of use: the request is forwarded as it is.
    Pass(Miss),
    /// Nothing stored will do, and the client wants nothing else.
    Unsatisfiable,
}

/// A request that the store cannot answer, with all that the request upstream needs.
#[derive(Clone)]
pub(in crate::proxy) struct Miss {
    pub reason: ForwardReason,
    /// Why the selected variant needs validation, where `reason` does not tell it.
    pub why: Option<Detail>,
    pub resource: Option<Resource>,
    /// The variant that the request selects, if it needs validation.
    pub selected: Option<Arc<StoredResponse>>,
    /// Why the latest response to such a request could not be stored.
    pub marked: Option<Unshared>,
    /// The request has credentials, and nothing stored says that its response may be shared.
    pub personal: bool,
    pub extent: FetchExtent,
}

impl Miss {
    pub fn pass(reason: ForwardReason, resource: Option<Resource>) -> Self {
        Self {
            reason,
            why: None,
            resource,
            selected: None,
            marked: None,
            personal: false,
            extent: FetchExtent::AsAsked,
        }
    }

    /// The same, with the client's own preconditions and Range.
    pub fn as_asked(&self) -> Self {
        Self {
            extent: FetchExtent::AsAsked,
            ..self.clone()
        }
    }

    /// The Cache-Status of this request, before it has an answer.
    pub fn status(&self) -> CacheStatus {
        CacheStatus {
            detail: self.why,
            ..CacheStatus::forwarded(self.reason)
        }
    }
}

/// The purpose of a look-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::proxy) enum Purpose {
    Serve,
    /// To tell what would be done: nothing changes by it.
    Explain,
}

impl Worker {
    /// Looks the target up and decides (RFC 9111 §4).
    pub(in crate::proxy) fn look_up(&self, request: &mut Request) -> Lookup {
        request.asked_since = self.gateway.membership.asked_since(request.now.mono);
        look_up(&self.gateway.store, request, Purpose::Serve)
    }
}

/// Looks the target of `request` up and decides (RFC 9111 §4).
#[inline]
pub(in crate::proxy) fn look_up(store: &Store, request: &Request, purpose: Purpose) -> Lookup {
    let mut resource = store.look_up(request.key(store));
    let mut selected = resource
        .as_ref()
        .and_then(|resource| select(store, resource, request));
    if let Some(stored) = &selected
        && !stored.head.is_of(request.epoch.settings.version)
    {
        selected = Some(compute_anew(store, request, stored, purpose));
        resource = store.look_up(request.key(store));
    }
    if request.credentials.any()
        && selected
            .as_ref()
            .map(|stored| &stored.head)
            // A refusal of a request that had no credentials says nothing to one that has some.
            .is_some_and(|head| {
                !head.credentialed && matches!(head.status.as_u16(), 401 | 403 | 407)
            })
    {
        selected = None;
    }
    if request.traits.any(Traits::ORIGIN_CONDITIONS) && origin_must_decide(request.headers()) {
        return Lookup::Pass(Miss::pass(ForwardReason::Request, resource));
    }
    let selection = match (&resource, &selected) {
        (_, Some(stored)) => Selection::Found {
            freshness: &stored.head.freshness,
            resident: stored.head.resident(request.now),
        },
        (Some(resource), None) if !resource.variants().is_empty() => Selection::VaryMiss,
        _ => Selection::UriMiss,
    };
    let is_unheard = selected
        .as_ref()
        .is_some_and(|stored| request.is_too_old(&stored.head));
    let reuse = match is_unheard {
        false => decide(selection, &request.directives),
        true => decide_unheard(selection, &request.directives),
    };
    conclude(request, reuse, resource, selected, purpose)
}

/// Decides where the fleet may have invalidated what is stored: it is not used without validation.
#[cold]
fn decide_unheard(selection: Selection<'_>, directives: &RequestDirectives) -> Reuse {
    let mut directives = *directives;
    directives.no_cache = true;
    match decide(selection, &directives) {
        Reuse::Validate { age, ttl, .. } => Reuse::Validate {
            reason: ValidateReason::Unheard,
            age,
            ttl,
        },
        other => other,
    }
}

/// Computes anew, by the settings in force, a response that was stored under former ones.
fn compute_anew(
    store: &Store,
    request: &Request,
    stored: &Arc<StoredResponse>,
    purpose: Purpose,
) -> Arc<StoredResponse> {
    let head = stored
        .head
        .computed_anew(&request.route.cache, request.epoch.settings.version);
    let content = stored.content();
    if purpose == Purpose::Explain {
        return Arc::new(StoredResponse::new(head, content, None));
    }
    let token = store.token(StoredResponse::cost(&head, &content));
    let new = Arc::new(StoredResponse::new(head, content, token));
    store.update(request.key(store), &[(stored.clone(), new.clone())]);
    new
}

fn conclude(
    request: &Request,
    reuse: Reuse,
    resource: Option<Resource>,
    selected: Option<Arc<StoredResponse>>,
    purpose: Purpose,
) -> Lookup {
    let validate_behind = matches!(reuse, Reuse::StaleWhileRevalidate { .. });
    let (age, ttl, detail) = match reuse {
        Reuse::Fresh { age, ttl } => (age, ttl, None),
        Reuse::Stale { age, ttl, why } => (age, ttl, Some(Detail::Stale(why))),
        Reuse::StaleWhileRevalidate { age, ttl } => {
            (age, ttl, Some(Detail::Other("stale-while-revalidate")))
        }
        Reuse::Validate { reason, .. } => {
            let why = Detail::validated(reason);
            return ask(request, reason.forward(), why, resource, selected);
        }
        Reuse::Miss(reason) => return ask(request, reason, None, resource, None),
        Reuse::Unsatisfiable => return Lookup::Unsatisfiable,
    };
    let Some(stored) = selected else {
        return ask(request, ForwardReason::Miss, None, resource, None);
    };
    if !holds_what_is_asked(&stored, request) {
        return ask(
            request,
            ForwardReason::Partial,
            None,
            resource,
            Some(stored),
        );
    }
    if purpose == Purpose::Serve {
        stored.touch(request.now.mono);
    }
    let status = CacheStatus {
        detail,
        ..CacheStatus::hit(ttl)
    };
    Lookup::Deliver {
        stored,
        age,
        status,
        validate_behind,
    }
}

fn ask(
    request: &Request,
    reason: ForwardReason,
    why: Option<Detail>,
    resource: Option<Resource>,
    selected: Option<Arc<StoredResponse>>,
) -> Lookup {
    if request.directives.only_if_cached {
        return Lookup::Unsatisfiable;
    }
    let marker = resource.as_ref().and_then(|resource| {
        let vary = &request.route.cache.vary;
        resource.marker(
            request.headers(),
            request.digest.as_ref(),
            vary,
            request.now.mono,
        )
    });
    let marked = marker.map(|marker| marker.why);
    let personal = is_personal(resource.as_ref(), request);
    let extent = fetch_extent(request, selected.as_deref(), personal, marked.is_some());
    let is_unlikely_to_be_stored = match extent {
        // A fill renews the marker when half of its time has passed.
        FetchExtent::AsAsked => !marker.is_some_and(|marker| {
            let ttl = request.epoch.settings.config.cache.uncacheable_ttl;
            marker.until.since(request.now.mono) < ttl / 2
        }),
        FetchExtent::Whole => {
            personal
                && resource
                    .as_ref()
                    .is_none_or(|found| found.variants().is_empty())
        }
        FetchExtent::Missing(_) => false,
    };
    // A HEAD that the store cannot answer is the origin's to answer; a request that must not be stored is nobody's to
    // share; of what will hardly be stored, a fill costs more than it is of use.
    let is_passed =
        request.class == Class::Head || request.directives.no_store || is_unlikely_to_be_stored;
    let miss = Miss {
        reason,
        why,
        marked,
        personal,
        extent,
        resource,
        selected,
    };
    match is_passed {
        true => Lookup::Pass(miss),
        false => Lookup::Miss(miss),
    }
}

/// The stored response that the request selects (RFC 9111 §4.1).
pub(in crate::proxy) fn select(
    store: &Store,
    resource: &Resource,
    request: &Request,
) -> Option<Arc<StoredResponse>> {
    let headers = request.headers();
    let matches = |stored: &&Arc<StoredResponse>| selects(store, &stored.head, request);
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
pub(in crate::proxy) fn selects(store: &Store, head: &Head, request: &Request) -> bool {
    let (headers, digest) = (request.headers(), request.digest.as_ref());
    head.selected_by(headers, digest, &request.route.cache.vary)
        && (!request.traits.any(Traits::ORIGIN)
            || store
                .cors()
                .may_answer(request.target.as_str(), head, headers))
}

/// A marker's cause, as Cache-Status tells it.
pub(in crate::proxy) fn detail_of(why: Unshared) -> Detail {
    match why {
        Unshared::Rule(reason) => Detail::NotStored(reason),
        Unshared::TooLarge | Unshared::UnverifiedEnd => Detail::Other(why.token()),
    }
}
