//! The content of the admin API's responses: whole, or Server-Sent Events (HTML, "Server-sent events") that go on until the
//! client or the admin API ends.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use serde_json::Value;
use tokio::sync::watch;

use crate::server::ResponseContent;

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
    async fn next(mut self) -> (Self, Option<Bytes>) {
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

type Next = Pin<Box<dyn Future<Output = (Events, Option<Bytes>)>>>;

/// The content of a response.
pub(in crate::admin) enum Content {
    Whole(Full<Bytes>),
    /// The wait for the next event; `None` at the end.
    Events(Option<Next>),
}

impl From<Bytes> for Content {
    fn from(content: Bytes) -> Self {
        Self::Whole(Full::new(content))
    }
}

impl From<Events> for Content {
    fn from(events: Events) -> Self {
        Self::Events(Some(Box::pin(events.next())))
    }
}

impl ResponseContent for Content {}

impl Body for Content {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let next = match self.get_mut() {
            Self::Whole(content) => return Pin::new(content).poll_frame(cx),
            Self::Events(next) => next,
        };
        let Some(waiting) = next else {
            return Poll::Ready(None);
        };
        let (events, event) = ready!(waiting.as_mut().poll(cx));
        *next = event.is_some().then(|| Box::pin(events.next()) as Next);
        Poll::Ready(event.map(|event| Ok(Frame::data(event))))
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(content) => content.is_end_stream(),
            Self::Events(next) => next.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(content) => content.size_hint(),
            Self::Events(_) => SizeHint::default(),
        }
    }
}
