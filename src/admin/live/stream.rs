//! Server-Sent Events (HTML, "Server-sent events") that go on until the client or the admin API ends.

use bytes::Bytes;
use serde_json::Value;
use tokio::sync::watch;

/// A client whose stream ends asks again after this time, in milliseconds.
const RETRY: u32 = 2_000;

/// The event of a state.
pub(super) fn event(status: &Value) -> Bytes {
    format!("event: status\ndata: {status}\n\n").into()
}

/// The first event of a stream.
pub(super) fn first(status: &Value) -> Bytes {
    format!("retry: {RETRY}\nevent: status\ndata: {status}\n\n").into()
}

/// The events of one client. They are not queued: a client that reads slowly misses some, and nothing is kept for it.
#[derive(Clone, Debug)]
pub(in crate::admin) struct Events {
    first: Option<Bytes>,
    latest: watch::Receiver<Bytes>,
    open: watch::Receiver<()>,
}

impl Events {
    pub(super) fn new(
        first: Bytes,
        latest: watch::Receiver<Bytes>,
        open: watch::Receiver<()>,
    ) -> Self {
        Self {
            first: Some(first),
            latest,
            open,
        }
    }

    /// The next event; `None` where the stream ends.
    pub(in crate::admin) async fn next(mut self) -> (Self, Option<Bytes>) {
        if let Some(first) = self.first.take() {
            return (self, Some(first));
        }
        let event = tokio::select! {
            biased;
            // Nothing is ever sent: it ends.
            _ = self.open.changed() => None,
            changed = self.latest.changed() => changed.ok().map(|()| self.latest.borrow_and_update().clone()),
        };
        (self, event)
    }
}
