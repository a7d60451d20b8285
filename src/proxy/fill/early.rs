//! What of a body is there as soon as its head is.

use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::{Body as _, Frame};
use http_body_util::BodyExt as _;

use crate::cache::body::SEGMENT;
use crate::error::{Error, ErrorKind};
use crate::proxy::worker::Worker;
use crate::upstream::UpstreamBody;

/// What of a body was there as soon as its head was.
pub struct Early {
    /// Slices of the connection's read buffer: to be copied at once, and not to be kept.
    pub pieces: Vec<Bytes>,
    pub trailers: Option<HeaderMap>,
    pub ended: bool,
    /// It broke off so early.
    pub failure: Option<Error>,
}

impl Early {
    /// Bytes of content.
    pub fn length(&self) -> u64 {
        self.pieces.iter().map(|piece| piece.len() as u64).sum()
    }

    fn take(&mut self, frame: Option<Result<Frame<Bytes>, Error>>) {
        match frame.map(|frame| frame.map(Frame::into_data)) {
            Some(Ok(Ok(data))) => self.pieces.push(data),
            Some(Ok(Err(frame))) => self.trailers = frame.into_trailers().ok(),
            Some(Err(error)) => self.failure = Some(error),
            None => self.ended = true,
        }
    }
}

/// Takes what is there of a body; all of it, if `awaited`, and else only what needs no waiting.
pub async fn take_early(body: &mut UpstreamBody, awaited: bool) -> Early {
    let mut early = Early {
        pieces: Vec::new(),
        trailers: None,
        ended: body.is_end_stream(),
        failure: None,
    };
    let mut yielded = false;
    while !early.ended && early.failure.is_none() && early.length() <= SEGMENT as u64 {
        let frame = if awaited {
            Poll::Ready(body.frame().await)
        } else {
            poll_fn(|cx| Poll::Ready(Pin::new(&mut *body).poll_frame(cx))).await
        };
        match frame {
            Poll::Ready(frame) => {
                early.take(frame);
                early.ended |= body.is_end_stream();
            }
            // Where a task drives the connection, it has been asked for the body just now: it may have all of it.
            Poll::Pending if !yielded => {
                yielded = true;
                tokio::task::yield_now().await;
            }
            Poll::Pending => break,
        }
    }
    early
}

/// Lets go of a body that nobody wants. A short one is read to its end, so that its connection can be used again.
pub fn discard(worker: &Rc<Worker>, mut body: UpstreamBody) {
    let length = body.size_hint().exact();
    if let Some(length) = length.filter(|length| *length <= SEGMENT as u64) {
        worker.spawn(async move {
            let _ = collect(&mut body, length).await;
        });
    }
}

/// All of a body, to its end, where it has exactly `length` bytes. `None` where it has not: then nothing of it is
/// gone but its trailers.
pub async fn collect(body: &mut UpstreamBody, length: u64) -> Result<Option<Bytes>, Error> {
    let mut content = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else {
            continue;
        };
        content.extend_from_slice(&data);
        if content.len() as u64 > length {
            body.unread(content.freeze());
            return Ok(None);
        }
    }
    if !body.has_ended() {
        return Err(Error::upstream(ErrorKind::ResponseIncomplete));
    }
    if length > content.len() as u64 {
        body.unread(content.freeze());
        return Ok(None);
    }
    Ok(Some(content.freeze()))
}
