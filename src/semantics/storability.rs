//! Whether a response may be stored, and what of it (RFC 9111 §3).

use std::fmt;

use http::{HeaderMap, Method, StatusCode};

use super::cache_control::{RequestDirectives, ResponseDirectives};
use super::freshness::Freshness;
use super::policy::Policy;

/// Which kinds of credentials a request carries (invariant: they never make a response shared by themselves).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Credentials {
    pub authorization: bool,
    pub cookie: bool,
    /// One of the fields that the operator lists.
    pub listed: bool,
}

impl Credentials {
    pub fn of(_request: &HeaderMap, _policy: &Policy) -> Self {
        Self::default()
    }

    pub const fn any(self) -> bool {
        self.authorization || self.cookie || self.listed
    }
}

/// All that the decision to store reads.
#[derive(Clone, Copy, Debug)]
pub struct StoreInput<'a> {
    pub method: &'a Method,
    /// As honoured.
    pub request: RequestDirectives,
    pub credentials: Credentials,
    /// The client's own preconditions or Range went upstream with the request.
    pub preconditioned: bool,
    /// Content-Location names the target URI; matters for POST only.
    pub content_location_is_target: bool,
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

/// Why a response is not stored; `Display` gives the token for Cache-Status' `detail`, logs and metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NoStoreReason {
    /// The method's responses are not stored.
    Method,
    /// A HEAD response only freshens or invalidates what is stored (§4.3.5).
    Head,
    /// A POST response without explicit freshness or a Content-Location that names its target (RFC 9110 §9.3.3).
    Post,
    /// The request's `no-store`.
    RequestNoStore,
    /// An interim response.
    Interim,
    /// A status that is never stored: 304 by itself, or one whose definition forbids it.
    Status,
    /// A 412 or 416 to the client's own preconditions or Range.
    Precondition,
    /// `must-understand` with a status that we do not.
    NotUnderstood,
    /// A 206 without one range of bytes.
    PartialUnit,
    NoStore,
    Private,
    /// The request has Authorization and the response does not allow sharing (§3.5).
    Authorization,
    /// The request has other credentials and the response does not allow sharing.
    Credentials,
    SetCookie,
    VaryAny,
    /// Neither explicit freshness nor a status that is cacheable without it.
    NotCacheable,
    /// It could never be used: not fresh, and nothing to validate it with.
    NeverReusable,
}

impl NoStoreReason {
    /// Whether the cause lies in the response, so that the next one for the same variant is likely to share it.
    pub const fn is_in_response(self) -> bool {
        true
    }

    pub const fn token(self) -> &'static str {
        "no-store"
    }
}

impl fmt::Display for NoStoreReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.token())
    }
}

/// Decides whether a final response may be stored.
pub fn assess(_input: &StoreInput<'_>) -> Storability {
    Storability::Refuse(NoStoreReason::NoStore)
}

/// The fields of a response that may be stored (§3.1): not the hop-by-hop ones, those of the proxy, those that
/// `private` or `no-cache` name.
pub fn stored_fields(
    headers: &HeaderMap,
    _directives: &ResponseDirectives,
    _keep: Keep,
) -> HeaderMap {
    headers.clone()
}
