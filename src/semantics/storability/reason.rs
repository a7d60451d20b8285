//! Why a response is not stored.

use std::fmt;

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
    /// An error about the request's own fields, with no Vary that names them.
    RequestFields,
    /// `must-understand` with a status that the gateway does not understand.
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
    /// It has tags that cannot all be kept: those left out would not be purged.
    Tags,
}

impl NoStoreReason {
    /// Whether the cause lies in the response alone, so that the next response for the same variant is likely to have it,
    /// too, for any client.
    pub const fn is_in_response(self) -> bool {
        match self {
            Self::Method
            | Self::Head
            | Self::Post
            | Self::RequestNoStore
            | Self::Interim
            | Self::Precondition
            | Self::RequestFields
            | Self::PartialUnit
            | Self::Authorization
            | Self::Credentials => false,
            Self::Status
            | Self::NotUnderstood
            | Self::NoStore
            | Self::Private
            | Self::SetCookie
            | Self::VaryAny
            | Self::NotCacheable
            | Self::NeverReusable
            | Self::Tags => true,
        }
    }

    pub const fn token(self) -> &'static str {
        match self {
            Self::Method => "method",
            Self::Head => "head",
            Self::Post => "post",
            Self::RequestNoStore => "request-no-store",
            Self::Interim => "interim",
            Self::Status => "status",
            Self::Precondition => "precondition",
            Self::RequestFields => "request-fields",
            Self::NotUnderstood => "not-understood",
            Self::PartialUnit => "partial-unit",
            Self::NoStore => "no-store",
            Self::Private => "private",
            Self::Authorization => "authorization",
            Self::Credentials => "credentials",
            Self::SetCookie => "set-cookie",
            Self::VaryAny => "vary-any",
            Self::NotCacheable => "not-cacheable",
            Self::NeverReusable => "never-reusable",
            Self::Tags => "tags",
        }
    }
}

impl fmt::Display for NoStoreReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.token())
    }
}
