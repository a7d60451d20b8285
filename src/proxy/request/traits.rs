//! The traits of a request that matter to a cache: its method's class, and which special fields it has.

use http::{HeaderMap, Method};

use crate::semantics::method::is_safe;
use crate::semantics::query::is_query;

/// How the cache treats a method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    Get,
    Head,
    Query,
    /// Safe, and its responses are not stored: OPTIONS, TRACE.
    Other,
    /// Unsafe or unknown: a success invalidates.
    Unsafe,
}

impl Class {
    pub(super) fn of(method: &Method) -> Self {
        match *method {
            Method::GET => Self::Get,
            Method::HEAD => Self::Head,
            _ if is_query(method) => Self::Query,
            _ if is_safe(method) => Self::Other,
            _ => Self::Unsafe,
        }
    }

    /// Whether a stored response may answer it.
    pub fn is_looked_up(self) -> bool {
        matches!(self, Self::Get | Self::Head | Self::Query)
    }
}

/// Which fields of note a request has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traits(u32);

impl Traits {
    pub const DIRECTIVES: Self = Self(1);
    pub const CREDENTIALS: Self = Self(1 << 1);
    /// If-None-Match or If-Modified-Since.
    pub const CONDITIONS: Self = Self(1 << 2);
    /// If-Match or If-Unmodified-Since.
    pub const ORIGIN_CONDITIONS: Self = Self(1 << 3);
    pub const RANGE: Self = Self(1 << 4);
    /// The client may want less than the whole.
    pub const SELECTIVE: Self = Self(Self::CONDITIONS.0 | Self::RANGE.0);
    pub const CONTENT: Self = Self(1 << 5);
    pub const CDN_LOOP: Self = Self(1 << 6);
    pub const FORWARDED: Self = Self(1 << 7);
    /// An offer to change the protocol, which is passed on.
    pub const UPGRADE: Self = Self(1 << 8);
    /// It has fields for this hop, or fields that frame the request on it.
    pub const THIS_HOP: Self = Self(1 << 9);
    pub const ORIGIN: Self = Self(1 << 10);
    /// Fields that tell the certificate of a client (RFC 9440).
    pub const CLIENT_CERT: Self = Self(1 << 11);

    /// The cache is not used: while a handover is under way, another process serves the same clients, and neither knows the
    /// other's invalidations.
    pub const HANDOVER: Self = Self(1 << 12);

    /// It is to be answered with nothing older than what it has a receipt of.
    pub const AFTER: Self = Self(1 << 13);

    /// It has a receipt that is not known here: nothing stored answers it without validation.
    pub const NOTHING_OLDER: Self = Self(1 << 14);

    /// It has a Cache-Debug field; of a request that was understood: it is the admin token's, and the answer gets the trace.
    pub const DEBUG: Self = Self(1 << 15);

    /// Its client says which trace it belongs to.
    pub const TRACED: Self = Self(1 << 16);

    /// It has fields that are for the gateway alone, or may have.
    pub const OWN_FIELDS: Self = Self(Self::THIS_HOP.0 | Self::AFTER.0);

    /// The cache is not asked.
    pub const PASSED: Self = Self(Self::UPGRADE.0 | Self::HANDOVER.0);

    pub fn of(headers: &HeaderMap) -> Self {
        let mut traits = Self::default();
        for name in headers.keys() {
            traits.0 |= match name.as_str() {
                "cache-control" | "pragma" => Self::DIRECTIVES.0,
                "authorization" | "cookie" => Self::CREDENTIALS.0,
                "if-none-match" | "if-modified-since" => Self::CONDITIONS.0,
                "if-match" | "if-unmodified-since" => Self::ORIGIN_CONDITIONS.0,
                "range" => Self::RANGE.0,
                "origin" => Self::ORIGIN.0,
                "client-cert" | "client-cert-chain" => Self::CLIENT_CERT.0,
                "cdn-loop" => Self::CDN_LOOP.0,
                "cache-debug" => Self::DEBUG.0,
                "bookend-after" => Self::AFTER.0,
                #[cfg(feature = "otlp")]
                "traceparent" => Self::TRACED.0,
                "x-forwarded-proto" | "x-forwarded-host" | "forwarded" => Self::FORWARDED.0,
                "upgrade" => Self::UPGRADE.0 | Self::THIS_HOP.0,
                "connection" | "keep-alive" | "proxy-connection" | "te" | "trailer"
                | "transfer-encoding" | "content-length" | "expect" => Self::THIS_HOP.0,
                _ => 0,
            };
        }
        traits
    }

    /// Those of another request of this one's exchange, with these fields.
    pub(super) fn inherited(self, headers: &HeaderMap) -> Self {
        let mut traits = Self::of(headers);
        traits.0 |= self.0 & (Self::HANDOVER.0 | Self::DEBUG.0);
        traits
    }

    pub(in crate::proxy) fn add(&mut self, others: Self) {
        self.0 |= others.0;
    }

    pub(in crate::proxy) fn remove(&mut self, others: Self) {
        self.0 &= !others.0;
    }

    /// Whether it has any of these.
    pub fn any(self, of: Self) -> bool {
        self.0 & of.0 != 0
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use http::header::{CONTENT_LENGTH, HOST};

    use super::*;
    use crate::semantics::hop_by_hop::HOP_BY_HOP;

    #[test]
    fn whatever_is_for_this_hop_is_noticed() {
        let framing = [CONTENT_LENGTH, http::header::EXPECT];
        for name in HOP_BY_HOP.iter().chain(&framing) {
            let headers = HeaderMap::from_iter([(name.clone(), HeaderValue::from_static("x"))]);
            assert!(Traits::of(&headers).any(Traits::THIS_HOP), "{name}");
        }
        let plain = HeaderMap::from_iter([(HOST, HeaderValue::from_static("a"))]);
        assert!(!Traits::of(&plain).any(Traits::THIS_HOP));
    }
}
