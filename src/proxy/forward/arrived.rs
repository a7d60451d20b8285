//! A response of the API's whose head is here.

use http::{HeaderMap, StatusCode};
use hyper::ext::ReasonPhrase;

use crate::clock::Now;
use crate::proxy::fleet::Acknowledgement;
use crate::semantics::freshness::{Freshness, Receipt};
use crate::upstream::UpstreamBody;

/// A response whose head has arrived.
pub struct Arrived {
    pub status: StatusCode,
    /// The reason phrase, where it is not the usual one of the status.
    pub reason: Option<ReasonPhrase>,
    pub headers: HeaderMap,
    /// The lines of the fields that the route reads tags from.
    pub tags: HeaderMap,
    pub body: UpstreamBody,
    /// When the request was sent.
    pub requested: Now,
    pub received: Now,
    /// The client's own preconditions and Range were sent.
    pub as_asked: bool,
    /// That of the request itself, where it is a write that was successful.
    pub invalidation: Option<OwnInvalidation>,
}

/// An invalidation that holds here.
pub struct OwnInvalidation {
    /// Its number here.
    pub number: u64,
    pub acknowledgement: Acknowledgement,
}

impl Arrived {
    /// `freshness` without the claims that may not be trusted: `immutable` needs an authenticated way to the origin
    /// (RFC 8246 §3).
    pub fn believed(&self, freshness: Freshness) -> Freshness {
        match self.body.server().scheme() {
            "https" => freshness,
            _ => freshness.mutable(),
        }
    }

    pub fn receipt(&self) -> Receipt {
        Receipt {
            request_time: self.requested.wall,
            response_time: self.received.wall,
        }
    }
}
