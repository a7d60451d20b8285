//! The part of a stored response that a request asks for, and the part that is fetched where it is incomplete.

use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, VARY};

use crate::cache::head::Head;
use crate::cache::resource::Resource;
use crate::cache::stored::StoredResponse;
use crate::proxy::request::{Class, Request, Traits};
use crate::semantics::cache_control::{RequestDirectives, ResponseDirectives};
use crate::semantics::fetch::{FetchExtent, Incomplete, Situation};
use crate::semantics::preconditions::{Precondition, Selected, evaluate};
use crate::semantics::range::{self, RangeSelection};
use crate::semantics::storability::{StoreInput, refused_for_credentials};
use crate::semantics::vary::Vary;

/// Whether a stored response has all that the request wants of it: a complete one always does.
pub(in crate::proxy) fn holds_what_is_asked(stored: &StoredResponse, request: &Request) -> bool {
    match stored.parts() {
        None => true,
        Some(_) if is_not_modified(&stored.head, request) => true,
        Some(parts) => parts.ranges.holds(&wanted(stored, request)),
    }
}

/// Whether a response that was fetched for the request answers it.
pub(in crate::proxy) fn answers(stored: &StoredResponse, request: &Request) -> bool {
    holds_what_is_asked(stored, request)
        || (stored.parts()).is_some_and(|parts| parts.ranges.answers(&wanted(stored, request)))
}

/// The part of a stored response that the request selects.
fn wanted(stored: &StoredResponse, request: &Request) -> RangeSelection {
    let (head, length) = (&stored.head, stored.complete_length());
    range::select(
        request.method(),
        request.headers(),
        head.status,
        &head.validators(),
        length,
    )
}

/// Whether the request is for a part of a response whose length is not known before its end.
pub(in crate::proxy) fn wants_part_of_unknown_length(head: &Head, request: &Request) -> bool {
    if !request.traits.any(Traits::RANGE) || head.content_length().is_some() {
        return false;
    }
    let (method, fields) = (request.method(), request.headers());
    range::applies(method, fields, head.status, &head.validators())
        && !is_not_modified(head, request)
}

/// Whether the client has the response already (RFC 9111 §4.3.2): that needs none of its content.
fn is_not_modified(head: &Head, request: &Request) -> bool {
    if !request.traits.any(Traits::CONDITIONS) {
        return false;
    }
    let selected = Selected {
        status: head.status,
        validators: &head.validators(),
        received: head.received().wall,
    };
    evaluate(request.method(), request.headers(), &selected) == Precondition::NotModified
}

/// Whether the request has credentials, and nothing that is stored says that its response may be shared.
pub(in crate::proxy) fn is_personal(resource: Option<&Resource>, request: &Request) -> bool {
    let policy = &request.route.cache;
    if !request.credentials.any() || policy.ignore.credentials {
        return false;
    }
    let permits = |head: &Head| {
        let fields = head.fields.to_map();
        let input = StoreInput {
            method: request.method(),
            request: RequestDirectives::default(),
            credentials: request.credentials,
            preconditioned: false,
            negotiated: false,
            answers_get: false,
            status: head.status,
            headers: &fields,
            directives: &ResponseDirectives::parse(&fields, &policy.targeted_fields),
            freshness: &head.freshness,
            policy,
        };
        refused_for_credentials(&input).is_none()
    };
    let mut variants = resource.into_iter().flat_map(Resource::variants);
    !variants.any(|stored| permits(&stored.head))
}

/// Whether the whole may come in a content coding, where its parts come without: many an API codes as it goes, and does not
/// do so for a request with a Range.
fn may_come_coded(stored: &StoredResponse, request: &Request) -> bool {
    let fields = &stored.head.fields.only(&[VARY, CONTENT_ENCODING]);
    let varies =
        matches!(Vary::parse(fields), Vary::Fields(names) if names.contains(&ACCEPT_ENCODING));
    varies
        && !fields.contains_key(CONTENT_ENCODING)
        && request.headers().contains_key(ACCEPT_ENCODING)
}

/// The extent to fetch for a request that selects `selected`.
pub(in crate::proxy) fn fetch_extent(
    request: &Request,
    selected: Option<&StoredResponse>,
    personal: bool,
    marked: bool,
) -> FetchExtent {
    let selected = selected.filter(|stored| !is_not_modified(&stored.head, request));
    let parts = selected.and_then(|stored| Some((stored, stored.parts()?)));
    let asked = parts.map(|(stored, _)| wanted(stored, request));
    let incomplete = parts.zip(asked.as_ref()).map(|((stored, parts), asked)| {
        let combines = stored.head.origin_validators().for_if_range().is_some();
        let coded = *asked == RangeSelection::Whole && may_come_coded(stored, request);
        Incomplete {
            stored: &parts.ranges,
            asked,
            combines: combines && !coded,
        }
    });
    let selective = match request.class {
        Class::Get | Class::Query => request.traits.any(Traits::SELECTIVE),
        _ => false,
    };
    Situation {
        selective,
        personal,
        marked,
        incomplete,
        most: request.route.max_stored_body,
    }
    .extent()
}
