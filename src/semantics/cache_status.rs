//! How the cache handled a request, as one value that the Cache-Status field (RFC 9211), the access log, the metrics and
//! `explain` all read.

mod forward_reason;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::reuse::{StaleReason, ValidateReason};
use super::storability::NoStoreReason;
use super::structured::{Buffer, MAX_INTEGER, write_string, write_token_or_string};

pub use self::forward_reason::ForwardReason;

/// The field (RFC 9211 §2).
pub const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

/// The `detail` parameter (RFC 9211 §2.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    NotStored(NoStoreReason),
    Stale(StaleReason),
    /// The reason for validation; see [`Detail::validated`].
    Validated(ValidateReason),
    /// Anything else; written as a string where it is no token.
    Other(&'static str),
}

impl Detail {
    /// Why a stored response had to be validated; `None` where the forward reason says it as well.
    pub const fn validated(reason: ValidateReason) -> Option<Self> {
        match reason {
            ValidateReason::NoCache | ValidateReason::MustValidate(_) | ValidateReason::Unheard => {
                Some(Self::Validated(reason))
            }
            ValidateReason::Stale | ValidateReason::Request => None,
        }
    }

    pub const fn text(self) -> &'static str {
        match self {
            Self::NotStored(reason) => reason.token(),
            Self::Stale(reason) => reason.token(),
            Self::Validated(reason) => reason.token(),
            Self::Other(text) => text,
        }
    }
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

/// The result of an exchange, as the metrics count it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheResult {
    /// Answered from the store while fresh.
    Hit,
    /// Answered from the store while stale.
    Stale,
    /// Answered from the store after the API had said that it is current.
    Validated,
    /// Answered by the API, since nothing suitable was stored.
    Miss,
    /// Answered by the API without asking the store.
    Pass,
}

/// The instance's name, ready to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceName(Box<[u8]>);

impl InstanceName {
    /// The item as it is written.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// A token as it is, any other name as a quoted string, in which `?` replaces characters beyond printable ASCII.
    pub fn new(name: &str) -> Self {
        let mut out = Buffer::new();
        write_token_or_string(name, &mut out);
        Self(out.as_slice().into())
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

    /// The ttl of a hit of which nothing else is to be said.
    pub fn plain_hit(&self) -> Option<i64> {
        match *self {
            Self {
                hit: true,
                forward: None,
                forward_status: None,
                ttl,
                stored: false,
                collapsed: None,
                key: None,
                detail: None,
            } => ttl,
            _ => None,
        }
    }

    pub fn forwarded(reason: ForwardReason) -> Self {
        Self {
            forward: Some(reason),
            ..Self::default()
        }
    }

    /// The result of the exchange; `None` where the cache had no part in it, as in errors of the gateway's own.
    pub fn result(&self) -> Option<CacheResult> {
        use ForwardReason as Reason;
        let from_store = |ttl: i64| match ttl {
            1.. => CacheResult::Hit,
            _ => CacheResult::Stale,
        };
        Some(match (self.forward, self.ttl) {
            (None, _) if !self.hit => return None,
            (None, ttl) => from_store(ttl.unwrap_or_default()),
            (Some(Reason::Bypass | Reason::Method), _) => CacheResult::Pass,
            // A stored response is served in the place of the API's.
            (Some(_), Some(ttl)) => from_store(ttl),
            // Nothing was stored that could be validated: the condition was the client's.
            (Some(Reason::UriMiss | Reason::Miss), None) => CacheResult::Miss,
            (Some(_), None) if self.forward_status == Some(StatusCode::NOT_MODIFIED) => {
                CacheResult::Validated
            }
            (Some(_), None) => CacheResult::Miss,
        })
    }

    /// Appends the list member, without a comma before it.
    pub fn write_to(&self, name: &InstanceName, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.member(name));
    }

    /// Appends a member after those of the caches nearer to the origin (RFC 9211 §2).
    pub fn append_to(&self, headers: &mut HeaderMap, name: &InstanceName) {
        headers.append(CACHE_STATUS, self.to_value(name));
    }

    /// The member as a value of its own.
    pub fn to_value(&self, name: &InstanceName) -> HeaderValue {
        // Printable ASCII is always a valid value; an empty list would have no meaning.
        HeaderValue::from_bytes(&self.member(name)).unwrap_or_else(|_| HeaderValue::from_static(""))
    }

    fn member(&self, name: &InstanceName) -> Buffer {
        let mut member = Buffer::new();
        let out = &mut member;
        out.extend_from_slice(&name.0);
        if let Some(reason) = self.forward {
            out.extend_from_slice(b"; fwd=");
            out.extend_from_slice(reason.token().as_bytes());
            // RFC 9211 §2.3, §2.5, §2.6: these mean something only beside `fwd`.
            if let Some(status) = self.forward_status {
                out.extend_from_slice(b"; fwd-status=");
                out.extend_from_slice(status.as_str().as_bytes());
            }
            if self.stored {
                out.extend_from_slice(b"; stored");
            }
            match self.collapsed {
                Some(true) => out.extend_from_slice(b"; collapsed"),
                Some(false) => out.extend_from_slice(b"; collapsed=?0"),
                None => {}
            }
        } else if self.hit {
            out.extend_from_slice(b"; hit");
        }
        if let Some(ttl) = self.ttl {
            let ttl = ttl.clamp(-MAX_INTEGER, MAX_INTEGER);
            out.extend_from_slice(b"; ttl=");
            out.extend_from_slice(itoa::Buffer::new().format(ttl).as_bytes());
        }
        if let Some(key) = &self.key {
            out.extend_from_slice(b"; key=");
            write_string(key, out);
        }
        if let Some(detail) = self.detail {
            out.extend_from_slice(b"; detail=");
            write_token_or_string(detail.text(), out);
        }
        member
    }
}

#[cfg(test)]
mod tests;
