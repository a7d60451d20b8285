//! The list of books as a stream: one JSON object a line, each line sent when it is made.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Sleep, sleep};

/// The time that making one line takes.
pub(super) const PACE: Duration = Duration::from_millis(300);

/// Content of an answer: there at once, or made line by line.
#[derive(Debug)]
pub(super) enum Content {
    Whole(Option<Bytes>),
    Lines(Lines),
}

/// Makes a line every [`PACE`]; the first at once.
#[derive(Debug)]
pub(super) struct Lines {
    /// In reverse: the next line to be made is the last.
    left: Vec<String>,
    pause: Option<Pin<Box<Sleep>>>,
}

impl Lines {
    pub(super) fn new(mut lines: Vec<String>) -> Self {
        lines.reverse();
        Self {
            left: lines,
            pause: None,
        }
    }
}

impl Content {
    pub(super) fn empty() -> Self {
        Self::Whole(None)
    }

    pub(super) fn whole(content: impl Into<Bytes>) -> Self {
        Self::Whole(Some(content.into()).filter(|bytes: &Bytes| !bytes.is_empty()))
    }
}

impl Body for Content {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let lines = match self.get_mut() {
            Self::Whole(bytes) => return Poll::Ready(bytes.take().map(|b| Ok(Frame::data(b)))),
            Self::Lines(lines) => lines,
        };
        if let Some(pause) = &mut lines.pause {
            ready!(pause.as_mut().poll(cx));
        }
        lines.pause = Some(Box::pin(sleep(PACE)));
        Poll::Ready(lines.left.pop().map(|line| Ok(Frame::data(line.into()))))
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.is_none(),
            Self::Lines(lines) => lines.left.is_empty(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64),
            Self::Lines(_) => SizeHint::default(),
        }
    }
}
