//! The callback for interim responses (RFC 9110 §15.2) to a request, in any version of HTTP.

use std::sync::Arc;

use http::{HeaderMap, Request, StatusCode};

type Callback = dyn Fn(StatusCode, &HeaderMap) + Send + Sync;

/// An extension of the request, and of each copy that is sent.
#[derive(Clone)]
pub struct OnInterim(Arc<Callback>);

impl OnInterim {
    /// Has `callback` called with each interim response to `request`, 100 (Continue) among them, in the order in which
    /// they come, and never after the final one.
    pub fn put<B>(
        request: &mut Request<B>,
        callback: impl Fn(StatusCode, &HeaderMap) + Send + Sync + 'static,
    ) {
        request.extensions_mut().insert(Self(Arc::new(callback)));
    }

    pub(super) fn of<B>(request: &Request<B>) -> Option<Self> {
        request.extensions().get().cloned()
    }

    pub(super) fn call(&self, status: StatusCode, fields: &HeaderMap) {
        (self.0)(status, fields);
    }
}
