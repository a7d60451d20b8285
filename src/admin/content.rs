//! The content of the admin API's responses: whole, or a stream that goes on until the client or the admin API ends.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;

use super::live::Events;
use super::stream::Lines;
use crate::ledger::log::Follower;
use crate::server::ResponseContent;
use crate::telemetry::access::Reader;

/// What comes bit by bit.
#[derive(Clone, Debug)]
pub(super) enum Stream {
    Events(Events),
    Tailed(Lines<Arc<Reader>>),
    Purges(Lines<Follower>),
}

impl Stream {
    /// What comes next; `None` where the stream ends.
    async fn next(self) -> (Self, Option<Bytes>) {
        match self {
            Self::Events(events) => {
                let (events, event) = events.next().await;
                (Self::Events(events), event)
            }
            Self::Tailed(tailed) => {
                let (tailed, lines) = tailed.next().await;
                (Self::Tailed(tailed), lines)
            }
            Self::Purges(followed) => {
                let (followed, lines) = followed.next().await;
                (Self::Purges(followed), lines)
            }
        }
    }
}

type Next = Pin<Box<dyn Future<Output = (Stream, Option<Bytes>)>>>;

/// The content of a response.
pub(super) enum Content {
    Whole(Full<Bytes>),
    /// The wait for what comes next; `None` at the end.
    Stream(Option<Next>),
}

impl From<Bytes> for Content {
    fn from(content: Bytes) -> Self {
        Self::Whole(Full::new(content))
    }
}

impl From<Stream> for Content {
    fn from(stream: Stream) -> Self {
        Self::Stream(Some(Box::pin(stream.next())))
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
            Self::Stream(next) => next,
        };
        let Some(waiting) = next else {
            return Poll::Ready(None);
        };
        let (stream, bytes) = ready!(waiting.as_mut().poll(cx));
        *next = bytes.is_some().then(|| Box::pin(stream.next()) as Next);
        Poll::Ready(bytes.map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(content) => content.is_end_stream(),
            Self::Stream(next) => next.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(content) => content.size_hint(),
            Self::Stream(_) => SizeHint::default(),
        }
    }
}
