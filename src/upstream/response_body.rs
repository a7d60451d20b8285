//! The content of a response from upstream. It is read from its connection as it is polled.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::upgrade::OnUpgrade;

use super::attempt_span::AttemptSpan;
use super::framing::Framing;
use super::incoming::Incoming;
use super::pool::Lease;
use super::request_body::Upload;
use super::server::Server;
use super::tunnel::Tunnel;
use crate::error::{Error, ErrorKind, Side};
use crate::turn;

/// The content of a response. Its connection goes back to the worker's pool when the end has been read, and is closed
/// when this is dropped before.
#[derive(Debug)]
pub struct UpstreamBody {
    incoming: Incoming,
    framing: Framing,
    /// Bytes read so far.
    received: u64,
    /// Content that is read again, before anything else.
    unread: Bytes,
    progress: Progress,
    server: Arc<Server>,
    span: AttemptSpan,
}

#[derive(Debug)]
enum Progress {
    Reading(Reading),
    /// There is no content, and the connection has switched protocols.
    Switched(OnUpgrade, Lease),
    Complete,
    Failed,
}

#[derive(Debug)]
struct Reading {
    lease: Lease,
    after: After,
    /// Whether the stall deadline runs: only while the upstream is waited for.
    armed: bool,
    upload: Option<Upload>,
}

/// How a connection goes on when a response has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
    /// It may carry another exchange, once this one's request has been sent whole.
    Keep,
    /// It is closed once the request has been sent whole.
    Finish,
    /// It is closed at once.
    Close,
}

impl UpstreamBody {
    pub(super) fn new(
        incoming: Incoming,
        framing: Framing,
        lease: Lease,
        after: After,
        upload: Option<Upload>,
        span: AttemptSpan,
    ) -> Self {
        let mut body = Self {
            framing,
            received: 0,
            unread: Bytes::new(),
            server: lease.pool().server().clone(),
            progress: Progress::Reading(Reading {
                lease,
                after,
                armed: false,
                upload,
            }),
            incoming: incoming.framed(framing),
            span,
        };
        if framing == Framing::Empty || body.incoming.is_end_stream() {
            body.complete();
        }
        body
    }

    /// The content of a response with which the connection has switched protocols.
    pub(super) fn switched(incoming: Incoming, switched: OnUpgrade, lease: Lease) -> Self {
        Self {
            incoming,
            framing: Framing::Empty,
            received: 0,
            unread: Bytes::new(),
            server: lease.pool().server().clone(),
            progress: Progress::Switched(switched, lease),
            span: AttemptSpan::none(),
        }
    }

    /// The connection itself, after a response `101 (Switching Protocols)`.
    ///
    /// # Errors
    /// An upstream [`Error`] when it broke, or has not switched protocols.
    pub async fn into_tunnel(self) -> Result<Tunnel, Error> {
        match self.progress {
            Progress::Switched(switched, lease) => Tunnel::open(switched, lease).await,
            _ => Err(Error::internal()),
        }
    }

    /// The server that answered.
    pub fn server(&self) -> &Server {
        &self.server
    }

    pub fn framing(&self) -> Framing {
        self.framing
    }

    /// Content read so far, in bytes.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Puts back all the content that has been read, to be read again.
    pub fn unread(&mut self, content: Bytes) {
        self.unread = content;
    }

    /// Whether all content has been read, up to an end that the message itself states. Never for [`Framing::Close`]: there
    /// the only end is the connection's.
    pub fn end_verified(&self) -> bool {
        matches!(self.progress, Progress::Complete) && self.framing != Framing::Close
    }

    /// Whether all content has been read, up to any end; not where the connection broke.
    pub fn has_ended(&self) -> bool {
        matches!(self.progress, Progress::Complete)
    }

    fn complete(&mut self) {
        self.span.end();
        if let Progress::Reading(reading) =
            std::mem::replace(&mut self.progress, Progress::Complete)
            && reading.after != After::Close
        {
            let keep = reading.after == After::Keep;
            reading.lease.finish(reading.upload, keep);
        }
    }

    fn fail(&mut self, error: Error) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        self.span.failed(&error);
        self.span.end();
        if let Progress::Reading(reading) = std::mem::replace(&mut self.progress, Progress::Failed)
            && error.side() == Side::Upstream
        {
            reading.lease.pool().counters().errors.inc();
        }
        Poll::Ready(Some(Err(error)))
    }
}

impl Body for UpstreamBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = self.get_mut();
        if !this.unread.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut this.unread)))));
        }
        let Progress::Reading(reading) = &mut this.progress else {
            return Poll::Ready(None);
        };
        let upload = reading.upload.as_ref();
        let late = turn::is_over();
        match reading.lease.poll_frame(&mut this.incoming, upload, cx) {
            Poll::Ready(Some(Ok(frame))) => {
                reading.armed = false;
                if let Some(data) = frame.data_ref() {
                    this.received += data.len() as u64;
                    let counters = reading.lease.pool().counters();
                    counters.bytes_received.add(data.len() as u64);
                }
                if frame.is_trailers()
                    && matches!(this.incoming, Incoming::Hyper(_))
                    && reading.after == After::Keep
                {
                    // hyper accepts a bare LF as the end of a trailer's line: the octets after it may be no response.
                    reading.after = After::Finish;
                }
                // The end is known: the connection need not wait for another poll.
                if this.incoming.is_end_stream() || frame.is_trailers() {
                    this.complete();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => this.fail(error),
            Poll::Ready(None) => {
                this.complete();
                Poll::Ready(None)
            }
            Poll::Pending if late => turn::put_off(cx),
            Poll::Pending => {
                ready!(reading.poll_stalled(cx));
                this.fail(Error::upstream(ErrorKind::ResponseBodyTimeout))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.unread.is_empty()
            && matches!(self.progress, Progress::Complete | Progress::Switched(..))
    }

    fn size_hint(&self) -> SizeHint {
        let again = self.unread.len() as u64;
        match (&self.progress, self.framing) {
            (Progress::Complete, _) | (_, Framing::Empty) => SizeHint::with_exact(again),
            (_, Framing::Length(length)) => {
                SizeHint::with_exact(length.saturating_sub(self.received) + again)
            }
            (_, Framing::Chunked | Framing::Close) => SizeHint::default(),
        }
    }
}

impl Reading {
    /// Ready when no content has come for as long as the configuration allows.
    fn poll_stalled(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let timeout = self.lease.pool().limits().body_timeout;
        let Some(deadline) = self.lease.deadline() else {
            return Poll::Pending;
        };
        if !self.armed {
            deadline.arm(timeout);
            self.armed = true;
        }
        ready!(deadline.poll_passed(cx));
        self.lease.mark_suspect();
        Poll::Ready(())
    }
}
