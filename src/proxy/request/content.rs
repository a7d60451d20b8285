//! The content of a request as its connection gives it. On HTTP/1 the connection is told when all of it has been read,
//! or when nobody will read the rest: before that it is not between two messages, whatever has been answered.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Tells a connection what happens to the content of one request.
pub trait ContentWatch: fmt::Debug {
    /// All of it has been read, or it broke off.
    fn ended(&self);

    /// Nobody reads the rest.
    fn abandoned(&self);
}

/// The content of a request.
#[derive(Debug)]
pub struct RequestContent {
    source: Source,
    /// `None` once it has been told, and where the end is a stream's.
    watch: Option<Box<dyn ContentWatch>>,
}

/// The source of the content.
enum Source {
    /// A connection that hyper reads.
    Hyper(Incoming),
    /// Anything else: another protocol's implementation, or a test.
    Other(Pin<Box<dyn Body<Data = Bytes, Error = BoxError>>>),
    /// The same, and all of it has been read.
    Ended,
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hyper(incoming) => incoming.fmt(f),
            Self::Other(_) => f.write_str("Other"),
            Self::Ended => f.write_str("Ended"),
        }
    }
}

impl RequestContent {
    /// Content whose connection does not depend on its end.
    pub fn new(incoming: Incoming) -> Self {
        Self {
            source: Source::Hyper(incoming),
            watch: None,
        }
    }

    /// Content that no connection of hyper's brings. An error of `body` is a failure of the client.
    pub fn from_body<B>(body: B) -> Self
    where
        B: Body<Data = Bytes, Error: Into<BoxError>> + 'static,
    {
        Self {
            source: Source::Other(Box::pin(body.map_err(Into::into))),
            watch: None,
        }
    }

    /// Content whose end `watch` learns of.
    pub fn watched(incoming: Incoming, watch: Box<dyn ContentWatch>) -> Self {
        Self {
            source: Source::Hyper(incoming),
            watch: Some(watch),
        }
    }
}

impl Body for RequestContent {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        let frame = match &mut this.source {
            Source::Hyper(incoming) => {
                let frame = ready!(Pin::new(incoming).poll_frame(cx));
                frame.map(|frame| frame.map_err(Into::into))
            }
            Source::Other(body) => {
                let frame = ready!(body.as_mut().poll_frame(cx));
                if frame.is_none() {
                    // Not every body says so itself.
                    this.source = Source::Ended;
                }
                frame
            }
            Source::Ended => None,
        };
        // hyper hands the last octets of a Content-Length over after it has noted the end of the message.
        let ended = !matches!(frame, Some(Ok(_))) || this.is_end_stream();
        if ended && let Some(watch) = this.watch.take() {
            watch.ended();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Hyper(incoming) => incoming.is_end_stream(),
            Source::Other(body) => body.is_end_stream(),
            Source::Ended => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Hyper(incoming) => incoming.size_hint(),
            Source::Other(body) => body.size_hint(),
            Source::Ended => SizeHint::with_exact(0),
        }
    }
}

impl Drop for RequestContent {
    fn drop(&mut self) {
        if let Some(watch) = self.watch.take() {
            watch.abandoned();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::io;

    use super::*;

    /// Frames as they are, without a word of their end or length.
    struct Scripted(VecDeque<Result<&'static str, io::Error>>);

    impl Body for Scripted {
        type Data = Bytes;
        type Error = io::Error;

        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
            let next = self.get_mut().0.pop_front();
            Poll::Ready(next.map(|next| next.map(|data| Frame::data(data.into()))))
        }
    }

    #[tokio::test]
    async fn content_may_come_from_any_body() {
        let mut content = RequestContent::from_body(Scripted(["ab", "c"].map(Ok).into()));
        for expected in ["ab", "c"] {
            assert!(!content.is_end_stream());
            let frame = content.frame().await.unwrap().unwrap();
            assert_eq!(frame.into_data().unwrap(), expected);
        }
        assert!(content.frame().await.is_none());
        // Content of HTTP/2 that has ended before its end stream was cut short by its client.
        assert!(content.is_end_stream());
        assert_eq!(content.size_hint().exact(), Some(0));

        let broken = Err(io::ErrorKind::ConnectionReset.into());
        let mut content = RequestContent::from_body(Scripted([Ok("a"), broken].into()));
        content.frame().await.unwrap().unwrap();
        let error = content.frame().await.unwrap().unwrap_err();
        assert!(error.is::<io::Error>(), "{error}");
        assert!(!content.is_end_stream());
    }
}
