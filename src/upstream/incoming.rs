//! A response's content as the connection delivers it, in any version of HTTP.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body as _, Frame};

use super::errors;
use super::framing::Framing;
use super::http1::native_engine::Content;
use super::http2;
use super::request_body::Upload;
use crate::error::Error;

#[derive(Debug)]
pub(super) enum Incoming {
    /// The connection reads it.
    Native(Content),
    Hyper(hyper::body::Incoming),
    Http2(http2::Content),
}

impl Incoming {
    /// Ends where `framing` says; h2 and hyper know that by themselves.
    pub(super) fn framed(self, framing: Framing) -> Self {
        match self {
            Self::Native(_) => Self::Native(Content::framed(framing)),
            other => other,
        }
    }

    /// An error is the client's fault where the request's content broke off before.
    pub(super) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
        upload: Option<&Upload>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        match self {
            // It cannot be read without its connection.
            Self::Native(_) => Poll::Ready(Some(Err(Error::internal()))),
            Self::Hyper(incoming) => Pin::new(incoming)
                .poll_frame(cx)
                .map_err(|error| errors::within_body(error, upload)),
            Self::Http2(content) => content
                .poll_frame(cx)
                .map_err(|error| errors::within_stream(error, upload)),
        }
    }

    /// Whether the end has been read.
    pub(super) fn is_end_stream(&self) -> bool {
        match self {
            Self::Native(content) => content.is_ended(),
            Self::Hyper(incoming) => incoming.is_end_stream(),
            Self::Http2(content) => content.is_end_stream(),
        }
    }
}
