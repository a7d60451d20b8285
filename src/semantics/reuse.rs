//! Whether a stored response answers a request, and what is to be done if not (RFC 9111 §4).

use std::time::Duration;

use http::StatusCode;

use super::cache_control::RequestDirectives;
use super::cache_status::ForwardReason;
use super::freshness::{Freshness, MustValidate};
use super::policy::Policy;
use super::time::DeltaSeconds;

/// What the store holds for a request.
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

/// What to do with a request.
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
}

impl ValidateReason {
    pub const fn forward(self) -> ForwardReason {
        match self {
            Self::Request => ForwardReason::Request,
            Self::NoCache | Self::Stale | Self::MustValidate(_) => ForwardReason::Stale,
        }
    }
}

/// Decides what to do with a request. `request` is as honoured.
pub fn decide(selection: Selection<'_>, _request: &RequestDirectives) -> Reuse {
    match selection {
        Selection::UriMiss => Reuse::Miss(ForwardReason::UriMiss),
        Selection::VaryMiss => Reuse::Miss(ForwardReason::VaryMiss),
        Selection::Found { .. } => Reuse::Miss(ForwardReason::Miss),
    }
}

/// How the upstream failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No answer: refused, reset, timed out, garbage.
    Disconnected,
    /// An answer with this status.
    Status(StatusCode),
}

/// Whether a stored response may answer although the upstream failed; `None` passes the failure on.
pub fn on_error(
    _failure: Failure,
    _freshness: &Freshness,
    _resident: Duration,
    _request: &RequestDirectives,
    _policy: &Policy,
) -> Option<Reuse> {
    None
}
