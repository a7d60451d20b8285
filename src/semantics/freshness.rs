//! How long a response is fresh, and how old it is (RFC 9111 §4.2).

use std::time::Duration;

use http::{HeaderMap, StatusCode};

use super::cache_control::ResponseDirectives;
use super::policy::Policy;
use super::time::{DeltaSeconds, Timestamp};

/// When the exchange with the upstream took place, on our clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// When the request was sent.
    pub request_time: Timestamp,
    /// When the response's head had arrived.
    pub response_time: Timestamp,
}

/// Where a freshness lifetime comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LifetimeSource {
    /// There is none; the lifetime is zero.
    #[default]
    None,
    SMaxage,
    MaxAge,
    Expires,
    Heuristic,
    /// The operator's own.
    Operator,
}

/// What forbids any use of a stored response without validation once it is stale (RFC 9111 §4.2.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MustValidate {
    /// Fresh or not: `no-cache`.
    NoCache,
    MustRevalidate,
    ProxyRevalidate,
    /// `s-maxage` implies `proxy-revalidate` (§5.2.2.10).
    SMaxage,
}

/// The freshness of one response, worked out when it is stored or validated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Freshness {
    /// The freshness lifetime (§4.2.1).
    pub lifetime: DeltaSeconds,
    pub source: LifetimeSource,
    /// The origin gave an explicit expiration time, be it in the past.
    pub explicit: bool,
    /// The corrected initial age (§4.2.3), in milliseconds.
    pub initial_age: u64,
    /// The Date field's, or the time of receipt.
    pub date: Timestamp,
    pub must_validate: Option<MustValidate>,
    /// How long it may be served stale while it is validated behind (RFC 5861 §3).
    pub stale_while_revalidate: DeltaSeconds,
    /// How long it may be served stale instead of an error (RFC 5861 §4).
    pub stale_if_error: DeltaSeconds,
    /// Not worth validating while fresh (RFC 8246).
    pub immutable: bool,
}

impl Freshness {
    pub fn reckon(
        _status: StatusCode,
        _headers: &HeaderMap,
        _directives: &ResponseDirectives,
        receipt: Receipt,
        _credentialed: bool,
        _policy: &Policy,
    ) -> Self {
        Self {
            lifetime: DeltaSeconds::ZERO,
            source: LifetimeSource::None,
            explicit: false,
            initial_age: 0,
            date: receipt.response_time,
            must_validate: None,
            stale_while_revalidate: DeltaSeconds::ZERO,
            stale_if_error: DeltaSeconds::ZERO,
            immutable: false,
        }
    }

    /// The current age after `resident` in the store, in whole seconds rounded down.
    pub fn age(&self, resident: Duration) -> DeltaSeconds {
        DeltaSeconds::from_duration(resident)
    }

    /// The remaining lifetime in seconds; above zero exactly when fresh, negative once stale.
    pub fn ttl(&self, _resident: Duration) -> i64 {
        0
    }

    pub fn is_fresh(&self, resident: Duration) -> bool {
        self.ttl(resident) > 0
    }

    /// The same response, to be considered stale from now on (RFC 9111 §4.3.5) and served only after validation.
    #[must_use]
    pub fn expired(self) -> Self {
        self
    }
}
