//! The operator's choices for the rules, as plain data. `config` builds it; the rules read nothing else.

use http::{HeaderName, StatusCode};

use super::time::DeltaSeconds;

/// The choices of one route.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// The operator's freshness lifetime, if there is one.
    pub ttl: Option<OperatorTtl>,
    /// Freshness for responses that say nothing about it.
    pub heuristic: Heuristic,
    /// Which request directives are honoured (RFC 9111 §5.2.1).
    pub honour: HonourRequest,
    /// Rules of the origin that the route overrides by name.
    pub ignore: Ignore,
    /// How a response with Set-Cookie is stored, unless `ignore` decides it.
    pub set_cookie: SetCookie,
    /// Request fields that carry credentials, beside Authorization and Cookie.
    pub credential_fields: Vec<HeaderName>,
    /// `stale-while-revalidate` where the origin does not say (RFC 5861 §3).
    pub stale_while_revalidate: Option<DeltaSeconds>,
    /// `stale-if-error` where the origin does not say (RFC 5861 §4).
    pub stale_if_error: Option<DeltaSeconds>,
    /// How stale a response may be served when no response can be had from upstream (RFC 9111 §4.2.4: "disconnected"), beside
    /// `stale-if-error`.
    pub stale_if_disconnected: Option<DeltaSeconds>,
    /// Targeted cache-control fields, the first valid one wins (RFC 9213).
    pub targeted_fields: Vec<HeaderName>,
    /// Response fields with tags to purge by (see [`super::tags`]).
    pub tag_fields: Vec<HeaderName>,
    /// How request fields that a `Vary` names are reduced before they are compared.
    pub vary: VaryPolicy,
}

/// A freshness lifetime that the operator sets for a route.
#[derive(Clone, Debug, PartialEq)]
pub struct OperatorTtl {
    pub mode: TtlMode,
    /// By status; responses of others are left to the origin.
    pub lifetimes: Vec<(StatusCode, DeltaSeconds)>,
}

impl OperatorTtl {
    /// The statuses an operator's lifetime applies to unless the route lists others.
    pub const STATUSES: [StatusCode; 5] = [
        StatusCode::OK,
        StatusCode::NON_AUTHORITATIVE_INFORMATION,
        StatusCode::MOVED_PERMANENTLY,
        StatusCode::PERMANENT_REDIRECT,
        StatusCode::GONE,
    ];

    /// The same lifetime for [`Self::STATUSES`].
    pub fn of(mode: TtlMode, value: DeltaSeconds) -> Self {
        Self {
            mode,
            lifetimes: Self::STATUSES.map(|status| (status, value)).to_vec(),
        }
    }

    /// The lifetime of responses with this status.
    pub fn lifetime(&self, status: StatusCode) -> Option<DeltaSeconds> {
        let mut lifetimes = self.lifetimes.iter();
        lifetimes.find_map(|(of, value)| (*of == status).then_some(*value))
    }
}

/// How an operator's lifetime meets the origin's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TtlMode {
    /// Where the origin is silent; replaces heuristics, never explicit freshness.
    #[default]
    Fallback,
    /// The origin's, but at most this.
    Cap,
    /// The origin's, but at least this.
    Floor,
    /// This, in the place of the origin's.
    Override,
}

/// Heuristic freshness (RFC 9111 §4.2.2): a share of the time since Last-Modified, capped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heuristic {
    /// Per cent of the time between Last-Modified and Date; 0 turns heuristics off.
    pub percent: u8,
    pub max: DeltaSeconds,
}

impl Default for Heuristic {
    fn default() -> Self {
        Self {
            percent: 10,
            max: DeltaSeconds::new(24 * 60 * 60),
        }
    }
}

/// Request directives that are honoured; all of them by default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HonourRequest {
    pub max_age: bool,
    pub min_fresh: bool,
    /// `max-stale`, and the request's `stale-if-error`: both permit a stale response.
    pub max_stale: bool,
    pub no_cache: bool,
    pub no_store: bool,
    pub only_if_cached: bool,
    /// `Pragma: no-cache` where there is no Cache-Control (RFC 9111 §5.4).
    pub pragma: bool,
}

impl Default for HonourRequest {
    fn default() -> Self {
        Self {
            max_age: true,
            min_fresh: true,
            max_stale: true,
            no_cache: true,
            no_store: true,
            only_if_cached: true,
            pragma: true,
        }
    }
}

/// Rules that a route overrides by name; none by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ignore {
    /// The response's `no-store`.
    pub no_store: bool,
    /// The response's `private`.
    pub private: bool,
    /// `Set-Cookie`: the same as [`SetCookie::Strip`].
    pub set_cookie: bool,
    /// Request credentials: operator or heuristic freshness makes such a response shared.
    pub credentials: bool,
}

/// How a response with Set-Cookie is stored: RFC 9111 §7.3 leaves it to the other fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SetCookie {
    /// It is stored only where the origin allows all users to get it.
    #[default]
    Refuse,
    /// It is stored without the field.
    Strip,
    /// It is stored where the origin gives it a lifetime.
    Store,
}

impl Policy {
    /// How a response with Set-Cookie is stored.
    pub const fn set_cookie(&self) -> SetCookie {
        if self.ignore.set_cookie {
            SetCookie::Strip
        } else {
            self.set_cookie
        }
    }
}

/// Reductions of request fields before a variant is keyed (RFC 9111 §4.1).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct VaryPolicy {
    /// Languages that Accept-Language is reduced to, in order of preference; empty: only insignificant
    /// differences are removed.
    pub languages: Vec<String>,
    /// Content codings that Accept-Encoding is reduced to, in order of preference; empty: likewise.
    pub encodings: Vec<String>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            ttl: None,
            heuristic: Heuristic::default(),
            honour: HonourRequest::default(),
            ignore: Ignore::default(),
            set_cookie: SetCookie::default(),
            credential_fields: Vec::new(),
            stale_while_revalidate: None,
            stale_if_error: None,
            stale_if_disconnected: Some(DeltaSeconds::new(60)),
            targeted_fields: vec![
                HeaderName::from_static("bookend-cache-control"),
                HeaderName::from_static("cdn-cache-control"),
            ],
            tag_fields: Vec::new(),
            vary: VaryPolicy::default(),
        }
    }
}
