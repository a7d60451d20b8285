//! Who is told of the interim responses (RFC 9110 §15.2) to a request, whatever protocol they come in.

use std::sync::Arc;

use http::{HeaderMap, Request, StatusCode};

type Told = dyn Fn(StatusCode, &HeaderMap) + Send + Sync;

/// Travels in the extensions of the request, and of each copy that is sent.
#[derive(Clone)]
pub struct OnInterim(Arc<Told>);

impl OnInterim {
    /// Has `told` called with each interim response to `request`, 100 (Continue) among them, in the order in which
    /// they come, and never after the final one.
    pub fn put<B>(
        request: &mut Request<B>,
        told: impl Fn(StatusCode, &HeaderMap) + Send + Sync + 'static,
    ) {
        request.extensions_mut().insert(Self(Arc::new(told)));
    }

    pub(super) fn of<B>(request: &Request<B>) -> Option<Self> {
        request.extensions().get().cloned()
    }

    pub(super) fn tell(&self, status: StatusCode, fields: &HeaderMap) {
        (self.0)(status, fields);
    }
}
