//! A response's content as the connection gives it, in whichever version of HTTP.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body as _, Frame};

use super::errors;
use super::http1::native_engine::Content;
use super::http2;
use super::request_body::Upload;
use super::response_body::Framing;
use crate::error::Error;

#[derive(Debug)]
pub(super) enum Incoming {
    /// It is read by its connection.
    Plain(Content),
    Http1(hyper::body::Incoming),
    Http2(http2::Content),
}

impl Incoming {
    /// Reads no further than `framing` says; the others find that out by themselves.
    pub(super) fn framed(self, framing: Framing) -> Self {
        match self {
            Self::Plain(_) => Self::Plain(Content::framed(framing)),
            other => other,
        }
    }

    /// What goes wrong is the client's fault where the request's content broke off before.
    pub(super) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
        upload: Option<&Upload>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        match self {
            // Without its connection, nothing more comes.
            Self::Plain(_) => Poll::Ready(Some(Err(Error::internal()))),
            Self::Http1(incoming) => Pin::new(incoming)
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
            Self::Plain(content) => content.is_ended(),
            Self::Http1(incoming) => incoming.is_end_stream(),
            Self::Http2(content) => content.is_end_stream(),
        }
    }
}
