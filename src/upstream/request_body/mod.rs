//! The content of a request that goes upstream: none, all in memory, or a stream (`stream`). A stream keeps its beginning,
//! so that it can be sent again as long as it is no longer than that (`replay`); it may have a stall timeout (`stall`) and
//! wait for a 100 (Continue) (`continuation`).

mod continuation;
mod failure;
mod replay;
mod stall;
mod stream;

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

pub use self::failure::client_failure;
pub(super) use self::stream::Awaiting;
pub use self::stream::{RequestStream, Upload};
use super::expectation::Expectation;
use crate::error::Error;

/// The content of a request that goes upstream.
#[derive(Debug)]
pub enum RequestBody {
    Empty,
    /// Content in memory: may be sent any number of times.
    Full(Bytes),
    /// Content that is sent as it comes from the client: may be sent again while all that has come is kept.
    Stream(RequestStream),
}

impl RequestBody {
    /// The expectation that the content waits for, where its client has sent one.
    pub fn expectation(&self) -> Option<Expectation> {
        match self {
            Self::Stream(stream) => stream.expectation(),
            Self::Empty | Self::Full(_) => None,
        }
    }

    /// The same content, for another attempt.
    pub(super) fn share(&self) -> Self {
        match self {
            Self::Empty => Self::Empty,
            Self::Full(content) => Self::Full(content.clone()),
            Self::Stream(stream) => Self::Stream(stream.share()),
        }
    }

    /// A handle to follow a streamed body on its way; `None` for the others, which are sent at once.
    pub fn upload(&self) -> Option<Upload> {
        match self {
            Self::Stream(stream) => Some(stream.upload()),
            Self::Empty | Self::Full(_) => None,
        }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        match self.get_mut() {
            Self::Empty => Poll::Ready(None),
            Self::Full(content) if content.is_empty() => Poll::Ready(None),
            Self::Full(content) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(content))))),
            Self::Stream(stream) => stream.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Full(content) => content.is_empty(),
            Self::Stream(stream) => stream.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Full(content) => SizeHint::with_exact(content.len() as u64),
            Self::Stream(stream) => stream.size_hint(),
        }
    }
}
