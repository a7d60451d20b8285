//! Whether a stored response answers a request, and the next action if not (RFC 9111 §4).

use std::time::Duration;

use http::StatusCode;

use super::cache_control::RequestDirectives;
use super::cache_status::ForwardReason;
use super::freshness::{Freshness, MustValidate};
use super::policy::Policy;
use super::time::DeltaSeconds;

/// The stored response that was found for a request.
#[derive(Clone, Copy, Debug)]
pub enum Selection<'a> {
    /// Nothing for the target URI.
    UriMiss,
    /// Something for the target URI, but no variant that matches.
    VaryMiss,
    /// A variant that matches, stored or last validated `resident` ago.
    Found {
        freshness: &'a Freshness,
        resident: Duration,
    },
}

/// How a request is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reuse {
    Fresh {
        age: DeltaSeconds,
        ttl: i64,
    },
    Stale {
        age: DeltaSeconds,
        ttl: i64,
        why: StaleReason,
    },
    /// Serve it, and validate it behind.
    StaleWhileRevalidate {
        age: DeltaSeconds,
        ttl: i64,
    },
    Validate {
        reason: ValidateReason,
        age: DeltaSeconds,
        ttl: i64,
    },
    Miss(ForwardReason),
    /// `only-if-cached`, and nothing stored will do: 504 (§5.2.1.7).
    Unsatisfiable,
}

/// Why a stale response may be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StaleReason {
    /// The request's `max-stale`.
    MaxStale,
    /// `stale-if-error`: the response's, the request's or the route's.
    Error,
    /// The upstream cannot be reached, and the route allows it (§4.2.4).
    Disconnected,
}

/// Why a stored response needs validation first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValidateReason {
    /// The response's `no-cache`.
    NoCache,
    /// Stale, and nothing allows to serve it.
    Stale,
    /// Stale, and this forbids to serve it whatever the client says.
    MustValidate(MustValidate),
    /// The request's `no-cache`, `max-age` or `min-fresh`.
    Request,
    /// Another gateway of the fleet may have invalidated it, which cannot be heard of at present.
    Unheard,
}

impl StaleReason {
    pub const fn token(self) -> &'static str {
        match self {
            Self::MaxStale => "max-stale",
            Self::Error => "stale-if-error",
            Self::Disconnected => "disconnected",
        }
    }
}

impl ValidateReason {
    pub const fn token(self) -> &'static str {
        match self {
            Self::NoCache => "no-cache",
            Self::Stale => "stale",
            Self::MustValidate(by) => by.token(),
            Self::Request => "request",
            Self::Unheard => "unheard",
        }
    }

    /// For Cache-Status: `request` where the request's directives demand validation; `stale` otherwise, also for a fresh
    /// response with `no-cache`.
    pub const fn forward(self) -> ForwardReason {
        match self {
            Self::Request => ForwardReason::Request,
            Self::NoCache | Self::Stale | Self::MustValidate(_) | Self::Unheard => {
                ForwardReason::Stale
            }
        }
    }
}

/// Decides what to do with a request whose method a stored response may answer (RFC 9111 §4). `request` is as honoured.
pub fn decide(selection: Selection<'_>, request: &RequestDirectives) -> Reuse {
    let reuse = match selection {
        Selection::UriMiss => Reuse::Miss(ForwardReason::UriMiss),
        Selection::VaryMiss => Reuse::Miss(ForwardReason::VaryMiss),
        Selection::Found {
            freshness,
            resident,
        } => decide_found(freshness, resident, request),
    };
    match reuse {
        // RFC 9111 §5.2.1.7
        Reuse::Miss(_) | Reuse::Validate { .. } if request.only_if_cached => Reuse::Unsatisfiable,
        reuse => reuse,
    }
}

fn decide_found(freshness: &Freshness, resident: Duration, request: &RequestDirectives) -> Reuse {
    let age = freshness.age(resident);
    let ttl = freshness.ttl(resident);
    let validate = |reason| Reuse::Validate { reason, age, ttl };

    // RFC 9111 §5.2.2.4; no directive of the request's makes up for it.
    if freshness.must_validate == Some(MustValidate::NoCache) {
        return validate(ValidateReason::NoCache);
    }
    let Some(stale_for) = freshness.stale_millis(resident) else {
        return if request.no_cache || !suits(freshness, resident, request) {
            validate(ValidateReason::Request)
        } else {
            Reuse::Fresh { age, ttl }
        };
    };
    // RFC 9111 §4.2.4
    if let Some(by) = freshness.must_validate {
        return validate(ValidateReason::MustValidate(by));
    }
    // A client that sends min-fresh wants a response that stays fresh.
    let is_young = is_young(freshness.age_millis(resident), request);
    if request.no_cache || request.min_fresh.is_some() || !is_young {
        return validate(ValidateReason::Stale);
    }
    // RFC 5861 §3. A client that sends max-age does not accept a stale response, unless with max-stale (RFC 9111
    // §5.2.1.1).
    let max_stale = request.max_stale.allows(stale_for);
    let window = freshness.stale_while_revalidate.as_millis();
    if stale_for < window && (max_stale || request.max_age.is_none()) {
        Reuse::StaleWhileRevalidate { age, ttl }
    } else if max_stale {
        let why = StaleReason::MaxStale;
        Reuse::Stale { age, ttl, why }
    } else {
        validate(ValidateReason::Stale)
    }
}

/// Whether a fresh response is young enough, and will be fresh for long enough (RFC 9111 §5.2.1.1, §5.2.1.3).
fn suits(freshness: &Freshness, resident: Duration, request: &RequestDirectives) -> bool {
    let age = freshness.age_millis(resident);
    let min_fresh = request.min_fresh.unwrap_or_default().as_millis();
    let lasts = freshness.lifetime.as_millis() >= age.saturating_add(min_fresh);
    // An immutable response is not too old at any age; only no-cache asks for it anew (RFC 8246 §2.1).
    lasts && (freshness.immutable || is_young(age, request))
}

/// `max-age=0` asks for validation, even within the millisecond.
fn is_young(age: u64, request: &RequestDirectives) -> bool {
    request
        .max_age
        .is_none_or(|max_age| max_age > DeltaSeconds::ZERO && age <= max_age.as_millis())
}

/// How the upstream failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No answer: refused, reset, timed out, garbage.
    Disconnected,
    /// An answer with this status.
    Status(StatusCode),
}

/// Whether a stored response, which by [`decide`] needs validation, may answer although the upstream failed; `None` passes
/// the failure on.
///
/// `request` is as honoured. Of the response's (or the route's) `stale-if-error`, the request's, and the route's allowance for
/// a lost upstream the longest counts: each permits by itself (RFC 9111 §4.2.4).
pub fn on_error(
    failure: Failure,
    freshness: &Freshness,
    resident: Duration,
    request: &RequestDirectives,
    policy: &Policy,
) -> Option<Reuse> {
    if !failure.is_error() {
        return None;
    }
    let stale_for = freshness.stale_millis(resident);
    match freshness.must_validate {
        Some(MustValidate::NoCache) => return None,
        // RFC 9111 §5.2.2.2, §5.2.2.8, §5.2.2.10; while the response is fresh they forbid nothing.
        Some(_) if stale_for.is_some() => return None,
        _ => {}
    }
    // RFC 5861 §4: no more stale than that.
    let within = |limit: DeltaSeconds| {
        limit > DeltaSeconds::ZERO && stale_for.unwrap_or(0) <= limit.as_millis()
    };
    let disconnected = policy.stale_if_disconnected.unwrap_or_default();
    let why = if within(request.stale_if_error.unwrap_or_default()) {
        StaleReason::Error
    } else if request.no_cache {
        // A client that demands validation gets the error, unless it sends stale-if-error as well.
        return None;
    } else if within(freshness.stale_if_error) {
        StaleReason::Error
    } else if failure == Failure::Disconnected && within(disconnected) {
        StaleReason::Disconnected
    } else {
        return None;
    };
    let age = freshness.age(resident);
    let ttl = freshness.ttl(resident);
    Some(match stale_for {
        None => Reuse::Fresh { age, ttl },
        Some(_) => Reuse::Stale { age, ttl, why },
    })
}

impl Failure {
    /// What `stale-if-error` calls an error (RFC 5861 §4): 500, 502, 503 or 504, from the API or from the gateway.
    pub const fn is_error(self) -> bool {
        match self {
            Self::Disconnected => true,
            Self::Status(status) => matches!(status.as_u16(), 500 | 502 | 503 | 504),
        }
    }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
