//! Cache-Control as typed directives (RFC 9111 §5.2), with its targeted relatives (RFC 9213) and Pragma (§5.4).

use http::{HeaderMap, HeaderName};

use super::policy::HonourRequest;
use super::time::DeltaSeconds;

/// What a request asks of caches (RFC 9111 §5.2.1, RFC 5861 §4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestDirectives {
    /// The response's age may be at most this; 0 asks for validation.
    pub max_age: Option<DeltaSeconds>,
    /// The response shall be fresh for at least this much longer.
    pub min_fresh: Option<DeltaSeconds>,
    pub max_stale: MaxStale,
    /// Staleness that the client accepts rather than an error.
    pub stale_if_error: Option<DeltaSeconds>,
    /// `no-cache`, or `Pragma: no-cache` where there is no Cache-Control.
    pub no_cache: bool,
    pub no_store: bool,
    pub no_transform: bool,
    pub only_if_cached: bool,
    /// `no_cache` comes from Pragma.
    pragma: bool,
}

/// How stale a response the client accepts (RFC 9111 §5.2.1.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MaxStale {
    /// Not at all.
    #[default]
    None,
    /// By at most this.
    Limit(DeltaSeconds),
    /// By any time.
    Any,
}

impl RequestDirectives {
    /// Reads Cache-Control and, where there is none, Pragma.
    pub fn parse(_request: &HeaderMap) -> Self {
        Self::default()
    }

    /// Those directives that the route honours.
    #[must_use]
    pub fn honoured(self, _honour: &HonourRequest) -> Self {
        self
    }
}

/// What a response allows caches (RFC 9111 §5.2.2, RFC 5861, RFC 8246).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResponseDirectives {
    pub max_age: Option<DeltaSeconds>,
    pub s_maxage: Option<DeltaSeconds>,
    pub stale_while_revalidate: Option<DeltaSeconds>,
    pub stale_if_error: Option<DeltaSeconds>,
    pub no_cache: Scoped,
    pub private: Scoped,
    pub no_store: bool,
    pub no_transform: bool,
    pub must_revalidate: bool,
    pub proxy_revalidate: bool,
    pub must_understand: bool,
    pub public: bool,
    pub immutable: bool,
    /// They come from a targeted field: Cache-Control and Expires do not count (RFC 9213 §2.2).
    pub targeted: bool,
}

/// A directive that speaks of the whole response or of some of its fields (RFC 9111 §5.2.2.4, §5.2.2.7).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Scoped {
    #[default]
    Absent,
    Fields(Vec<HeaderName>),
    Whole,
}

impl Scoped {
    pub fn is_whole(&self) -> bool {
        *self == Self::Whole
    }

    /// The fields it names; none when it is absent or speaks of the whole response.
    pub fn fields(&self) -> &[HeaderName] {
        match self {
            Self::Fields(names) => names,
            Self::Absent | Self::Whole => &[],
        }
    }
}

impl ResponseDirectives {
    /// Reads the first of the `targeted` fields that is valid and not empty, else Cache-Control.
    pub fn parse(_response: &HeaderMap, _targeted: &[HeaderName]) -> Self {
        Self::default()
    }
}
