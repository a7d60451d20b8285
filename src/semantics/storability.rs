//! Whether a response may be stored, and what of it (RFC 9111 §3).

mod reason;

pub use self::reason::NoStoreReason;

use std::time::Duration;

use http::header::{
    ACCEPT, ACCEPT_CHARSET, ACCEPT_ENCODING, ACCEPT_LANGUAGE, AUTHORIZATION, CONTENT_ENCODING,
    CONTENT_TYPE, COOKIE, EXPECT, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_UNMODIFIED_SINCE,
    ORIGIN, RANGE, SET_COOKIE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

use super::cache_control::{RequestDirectives, ResponseDirectives};
use super::content_range::ContentRange;
use super::freshness::{Freshness, LifetimeSource, MustValidate, is_heuristically_cacheable};
use super::hop_by_hop;
use super::policy::{Policy, SetCookie};
use super::time::DeltaSeconds;
use super::validation::Validators;
use super::vary::Vary;

/// Tells the certificate of a client to the origin (RFC 9440 §2.2).
pub const CLIENT_CERT: HeaderName = HeaderName::from_static("client-cert");

/// Which kinds of credentials a request carries (invariant: they never make a response shared by themselves).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Credentials {
    pub authorization: bool,
    pub cookie: bool,
    /// One of the fields that the operator lists.
    pub listed: bool,
    /// The client's certificate is told in a field (RFC 9440).
    pub certificate: bool,
}

impl Credentials {
    pub fn of(request: &HeaderMap, policy: &Policy) -> Self {
        Self {
            authorization: request.contains_key(AUTHORIZATION),
            cookie: request.contains_key(COOKIE),
            listed: policy
                .credential_fields
                .iter()
                .any(|name| request.contains_key(name)),
            certificate: request.contains_key(CLIENT_CERT),
        }
    }

    pub const fn any(self) -> bool {
        self.authorization || self.cookie || self.listed || self.certificate
    }
}

/// All that the decision to store reads.
#[derive(Clone, Copy, Debug)]
pub struct StoreInput<'a> {
    pub method: &'a Method,
    /// The request's directives that the route honours.
    pub request: RequestDirectives,
    pub credentials: Credentials,
    /// The client's own preconditions or Range went upstream with the request.
    pub preconditioned: bool,
    /// See [`names_negotiation`]; matters for 406 only.
    pub negotiated: bool,
    /// See [`super::post::answers_get`]; matters for POST only.
    pub answers_get: bool,
    pub status: StatusCode,
    pub headers: &'a HeaderMap,
    pub directives: &'a ResponseDirectives,
    pub freshness: &'a Freshness,
    pub policy: &'a Policy,
}

/// Whether to store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Storability {
    Store(Keep),
    Refuse(NoStoreReason),
}

/// How to store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    pub scope: Scope,
    /// The route wants it stored without Set-Cookie.
    pub without_set_cookie: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    Whole,
    /// A single range of a 206, as part of an incomplete 200 (§3.3).
    Partial,
}

/// Decides whether a response may be stored (RFC 9111 §3): the first reason against it, or how to.
pub fn assess(input: &StoreInput<'_>) -> Storability {
    refused_by_request(input)
        .or_else(|| refused_by_status(input))
        .or_else(|| refused_by_directives(input.headers, input.directives, input.policy))
        .or_else(|| refused_to_be_shared(input))
        .or_else(|| refused_as_useless(input))
        .map_or_else(|| Storability::Store(keep(input)), Storability::Refuse)
}

fn refused_by_request(input: &StoreInput<'_>) -> Option<NoStoreReason> {
    match input.method.as_str() {
        "GET" | "QUERY" => {}
        "HEAD" => return Some(NoStoreReason::Head),
        // RFC 9110 §9.3.3
        "POST" if input.freshness.explicit.is_some() && input.answers_get => {}
        "POST" => return Some(NoStoreReason::Post),
        _ => return Some(NoStoreReason::Method),
    }
    // RFC 9111 §5.2.1.5
    input
        .request
        .no_store
        .then_some(NoStoreReason::RequestNoStore)
}

fn refused_by_status(input: &StoreInput<'_>) -> Option<NoStoreReason> {
    // One range of octets, of a representation of known length.
    let is_one_range = || {
        let range = ContentRange::of(input.headers);
        matches!(range, Some(ContentRange::Satisfied { complete, .. }) if complete.is_some())
    };
    match input.status.as_u16() {
        100..=199 => Some(NoStoreReason::Interim),
        // A 304 only updates what is stored. The others are never stored by their definition (RFC 6585).
        304 | 428 | 429 | 431 | 511 => Some(NoStoreReason::Status),
        // The answer to a condition that other requests do not make.
        412 | 416 if input.preconditioned => Some(NoStoreReason::Precondition),
        // RFC 9111 §3.3
        206 if input.method != Method::GET || !is_one_range() => Some(NoStoreReason::PartialUnit),
        status if answers_unknown_fields(status, input) => Some(NoStoreReason::RequestFields),
        _ if input.directives.must_understand && !is_understood(input.status) => {
            Some(NoStoreReason::NotUnderstood)
        }
        _ => None,
    }
}

/// Whether the response is an error because of fields, or content, of its request that are no part of the key: a request
/// with others would get another response. Vary makes fields a part of the key.
fn answers_unknown_fields(status: u16, input: &StoreInput<'_>) -> bool {
    let varies_on = |names: &[HeaderName]| match Vary::parse(input.headers) {
        Vary::Fields(fields) => names.iter().any(|name| fields.contains(name)),
        Vary::None | Vary::Any => false,
    };
    // Middleware adds Vary for coding, language and CORS to errors, too.
    let varies_on_others = || match Vary::parse(input.headers) {
        Vary::Fields(fields) => fields.iter().any(|name| !NEGOTIATED.contains(name)),
        Vary::None | Vary::Any => false,
    };
    match status {
        406 => !input.negotiated || !varies_on(&NEGOTIATED[..4]),
        412 => !varies_on(&PRECONDITIONS),
        415 => !varies_on(&[CONTENT_TYPE, CONTENT_ENCODING]),
        416 => !varies_on(&[RANGE]),
        417 => !varies_on(&[EXPECT]),
        // The target URI is the key. It may do for a heuristic's minute (RFC 9110 §15.5.15), but a lifetime that the API
        // gives to all that it sends is not trusted.
        414 => input.freshness.explicit.is_some() && !varies_on_others(),
        413 | 421 | 422 => !varies_on_others(),
        _ => false,
    }
}

const NEGOTIATED: [HeaderName; 5] = [
    ACCEPT,
    ACCEPT_LANGUAGE,
    ACCEPT_CHARSET,
    ACCEPT_ENCODING,
    ORIGIN,
];

const PRECONDITIONS: [HeaderName; 4] = [
    IF_MATCH,
    IF_NONE_MATCH,
    IF_MODIFIED_SINCE,
    IF_UNMODIFIED_SINCE,
];

/// Whether Vary names each field of the request by which a 406 may have been chosen (RFC 9110 §15.5.7): Accept-Encoding is one
/// only where it refuses `identity` (§12.5.3).
pub fn names_negotiation(request: &HeaderMap, response: &HeaderMap) -> bool {
    let Vary::Fields(fields) = Vary::parse(response) else {
        return false;
    };
    NEGOTIATED[..4].iter().all(|name| {
        let refuses = |value: &HeaderValue| {
            let value = value.as_bytes();
            let is_identity = |window: &[u8]| window.eq_ignore_ascii_case(b"identity");
            *name != ACCEPT_ENCODING || value.contains(&b'*') || value.windows(8).any(is_identity)
        };
        fields.contains(name) || !request.get_all(name).iter().any(refuses)
    })
}

/// Why the response may not be stored for any request, as its own directives and Vary say.
pub fn refused_by_directives(
    headers: &HeaderMap,
    directives: &ResponseDirectives,
    policy: &Policy,
) -> Option<NoStoreReason> {
    // RFC 9111 §5.2.2.3: a cache that understands the status ignores no-store beside must-understand.
    if directives.no_store && !directives.must_understand && !policy.ignore.no_store {
        return Some(NoStoreReason::NoStore);
    }
    // RFC 9111 §5.2.2.7
    if directives.private.is_whole() && !policy.ignore.private {
        return Some(NoStoreReason::Private);
    }
    // RFC 9111 §4.1: it would never match.
    (Vary::parse(headers) == Vary::Any).then_some(NoStoreReason::VaryAny)
}

fn refused_to_be_shared(input: &StoreInput<'_>) -> Option<NoStoreReason> {
    refused_for_credentials(input).or_else(|| {
        let directives = input.directives;
        let sets_cookie = input.headers.contains_key(SET_COOKIE)
            && !directives.private.fields().contains(&SET_COOKIE)
            && !directives.no_cache.fields().contains(&SET_COOKIE)
            && input.policy.set_cookie() != SetCookie::Strip;
        (sets_cookie && !may_share_cookies(input)).then_some(NoStoreReason::SetCookie)
    })
}

/// Why a response may not be shared because of the credentials that its request has, if so.
pub fn refused_for_credentials(input: &StoreInput<'_>) -> Option<NoStoreReason> {
    let StoreInput {
        credentials,
        directives,
        policy,
        ..
    } = input;
    if policy.ignore.credentials {
        return None;
    }
    // RFC 9111 §3.5
    if credentials.authorization && !directives.allow_sharing() {
        return Some(NoStoreReason::Authorization);
    }
    // Other credentials follow the same rule, with two exceptions that §3.5 does not mention: a targeted field is for shared
    // caches, and a response that varies on the credentials answers only requests with the same ones.
    let shared = directives.allow_sharing() || directives.targeted;
    // Vary names each of the fields that may carry them.
    let varies_on_them = || match Vary::parse(input.headers) {
        Vary::Fields(fields) => {
            let names_listed = || policy.credential_fields.iter().all(|f| fields.contains(f));
            (!credentials.cookie || fields.contains(&COOKIE))
                && (!credentials.certificate || fields.contains(&CLIENT_CERT))
                && (!credentials.listed || names_listed())
        }
        Vary::None | Vary::Any => false,
    };
    let others = credentials.cookie || credentials.listed || credentials.certificate;
    let refused = others && !shared && !(input.freshness.explicit.is_some() && varies_on_them());
    refused.then_some(NoStoreReason::Credentials)
}

/// Whether the origin allows that other clients get the cookie, too. RFC 9111 §7.3 leaves it to Cache-Control. A cache must
/// never give one client's session to another, so by default `public`, `s-maxage` or a targeted field has to allow it, as for
/// credentials, in a response that may be reused without validation: where each use needs validation, the cookie is one
/// client's. With [`SetCookie::Store`] an explicit lifetime allows it as well, but not where the response varies on Cookie:
/// so frameworks mark responses that depend on a session.
fn may_share_cookies(input: &StoreInput<'_>) -> bool {
    let StoreInput {
        directives,
        freshness,
        policy,
        ..
    } = input;
    if directives.no_cache.is_whole() || freshness.lifetime == DeltaSeconds::ZERO {
        return false;
    }
    let shared = directives.public || directives.s_maxage.is_some() || directives.targeted;
    let varies =
        || matches!(Vary::parse(input.headers), Vary::Fields(names) if names.contains(&COOKIE));
    let lasts = freshness.explicit > Some(DeltaSeconds::ZERO);
    shared || (policy.set_cookie() == SetCookie::Store && lasts && !varies())
}

fn refused_as_useless(input: &StoreInput<'_>) -> Option<NoStoreReason> {
    let StoreInput {
        status,
        headers,
        directives,
        freshness,
        ..
    } = input;
    let cacheable = freshness.explicit.is_some()
        || directives.public
        || freshness.source == LifetimeSource::Operator
        || is_heuristically_cacheable(*status);
    if !cacheable {
        return Some(NoStoreReason::NotCacheable);
    }
    let usable = match freshness.must_validate {
        Some(MustValidate::NoCache) => false,
        Some(_) => freshness.is_fresh(Duration::ZERO),
        // A request may accept it when it is stale.
        None => {
            let windows = [freshness.stale_while_revalidate, freshness.stale_if_error];
            freshness.lifetime > DeltaSeconds::ZERO
                || windows.iter().any(|w| *w > DeltaSeconds::ZERO)
        }
    };
    (!usable && Validators::of(headers).is_empty()).then_some(NoStoreReason::NeverReusable)
}

fn keep(input: &StoreInput<'_>) -> Keep {
    Keep {
        scope: match input.status {
            StatusCode::PARTIAL_CONTENT => Scope::Partial,
            _ => Scope::Whole,
        },
        without_set_cookie: input.policy.set_cookie() == SetCookie::Strip,
    }
}

/// Status codes whose requirements on caches this gateway knows and keeps: those that RFC 9110 §15 defines, and 451.
fn is_understood(status: StatusCode) -> bool {
    matches!(
        status.as_u16(),
        200..=206 | 300..=303 | 305 | 307 | 308 | 400..=417 | 421 | 422 | 426 | 451 | 500..=505
    )
}

/// The fields of a response that may be stored (RFC 9111 §3.1): not those for the next hop or for the proxy, and not those
/// that `private` or `no-cache` name. To be called for an update by a 304, HEAD or part, too.
pub fn stored_fields(
    headers: &HeaderMap,
    directives: &ResponseDirectives,
    keep: Keep,
) -> HeaderMap {
    let mut fields = headers.clone();
    hop_by_hop::strip(&mut fields);
    hop_by_hop::remove_any(&mut fields, &hop_by_hop::PROXY_SPECIFIC);
    for scoped in [&directives.private, &directives.no_cache] {
        for name in scoped.fields() {
            fields.remove(name);
        }
    }
    if keep.without_set_cookie {
        fields.remove(SET_COOKIE);
    }
    fields
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod sharing;
#[cfg(test)]
mod tests;
