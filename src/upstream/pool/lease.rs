//! An exchange's hold on a connection, from the request to the end of its response.

use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Frame;
use tokio::task::spawn_local;

use super::Pool;
use super::channel::{Channel, Grant};
use super::http2_connections::Opening;
use crate::error::Error;
use crate::upstream::deadline::Deadline;
use crate::upstream::incoming::Incoming;
use crate::upstream::names::address::Address;
use crate::upstream::outcome::{Resend, Unanswered};
use crate::upstream::request_body::{RequestBody, Upload};

/// A connection, or a stream of one, that belongs to one exchange. It counts as the server's load as long as it lives.
#[derive(Debug)]
pub(in crate::upstream) struct Lease {
    /// `None` while the request waits for one, and once the exchange is finished.
    channel: Option<Channel>,
    pool: Rc<Pool>,
}

impl Lease {
    /// A lease without a connection, for a request that waits for one.
    pub(in crate::upstream) fn waiting(pool: &Rc<Pool>) -> Self {
        pool.server().begin_request();
        Self {
            channel: None,
            pool: pool.clone(),
        }
    }

    /// A lease of the granted connection, which is opened where it is not yet; `None` where the server takes no request on
    /// it at the moment.
    pub(in crate::upstream) async fn obtain(
        pool: &Rc<Pool>,
        grant: Grant,
    ) -> Result<Option<Self>, Error> {
        let mut lease = Self::waiting(pool);
        lease.channel = match grant {
            Grant::Ready(channel) => Some(channel),
            // Large, and seldom needed.
            Grant::MayOpen(permit) if pool.http2.is_on() => {
                // Other requests wait to share it; it is the request's own if the server turns out to speak HTTP/1.1.
                let opening = Opening::begin(&pool.http2);
                opening.end(Box::pin(pool.open(permit)).await)?
            }
            Grant::MayOpen(permit) => Box::pin(pool.open(permit)).await?,
        };
        Ok(lease.channel.is_some().then_some(lease))
    }

    pub(in crate::upstream) fn pool(&self) -> &Pool {
        &self.pool
    }

    /// The next part of the response's content; `None` after its end.
    pub(in crate::upstream) fn poll_frame(
        &mut self,
        incoming: &mut Incoming,
        upload: Option<&Upload>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        match &mut self.channel {
            Some(Channel::Http1(connection)) => connection.poll_frame(incoming, upload, cx),
            // A task drives the connections that requests share.
            Some(Channel::Http2(_)) | None => incoming.poll_frame(cx, upload),
        }
    }

    /// Sends `request` and waits for its response's head; see `http1::connection::Connection::exchange`.
    pub(in crate::upstream) async fn exchange(
        &mut self,
        request: Request<RequestBody>,
        timeout: Duration,
    ) -> Result<Response<Incoming>, Unanswered> {
        let scheme = self.pool.server().scheme();
        match &mut self.channel {
            Some(Channel::Http1(connection)) => connection.exchange(request, timeout).await,
            // Larger, and rarer.
            Some(Channel::Http2(stream)) => {
                let answer = Box::pin(stream.exchange(request, scheme, timeout)).await?;
                Ok(answer.map(Incoming::Http2))
            }
            None => Err(Unanswered {
                error: Error::internal(),
                unsent: Some(request),
                resend: Resend::IfIdempotent,
            }),
        }
    }

    /// The response has stalled. Before other requests share the connection, the server has to answer a ping.
    pub(in crate::upstream) fn mark_suspect(&self) {
        if let Some(Channel::Http2(stream)) = &self.channel {
            stream.mark_suspect();
        }
    }

    /// A response's head has come, from the address that the connection leads to.
    pub(in crate::upstream) fn record_success(&self) {
        if let Some(address) = self.address() {
            address.succeeded(|| self.pool.now());
        }
    }

    /// No response came, by the upstream's fault.
    pub(in crate::upstream) fn record_failure(&self, error: &Error) {
        if let Some(address) = self.address() {
            address.failed(self.pool.now(), error);
        }
    }

    fn address(&self) -> Option<&Address> {
        self.channel.as_ref()?.address()
    }

    /// The exchange's timer; `None` only after the lease has ended.
    pub(in crate::upstream) fn deadline(&mut self) -> Option<&mut Deadline> {
        self.channel.as_mut().map(Channel::deadline)
    }

    /// Whether the connection has carried a request before this exchange.
    pub(in crate::upstream) fn is_reused(&self) -> bool {
        self.channel.as_ref().is_some_and(Channel::is_reused)
    }

    /// Whether the server has got other requests on the same connection before this one.
    pub(in crate::upstream) fn is_among_others(&self) -> bool {
        matches!(&self.channel, Some(Channel::Http2(stream)) if !stream.is_first())
    }

    /// Whether other requests may be on the same connection.
    pub(in crate::upstream) fn is_shared(&self) -> bool {
        matches!(self.channel, Some(Channel::Http2(_)))
    }

    /// The response is complete. Where its request has been sent whole, too, the connection may `keep` for another
    /// exchange, unless its peer has closed it. A server that answers early and reads on gets the rest of the content.
    pub(in crate::upstream) fn finish(mut self, upload: Option<Upload>, keep: bool) {
        if let Some(upload) = &upload {
            upload.limit_stalls(true);
        }
        let mut connection = match self.channel.take() {
            Some(Channel::Http1(connection)) => connection,
            Some(Channel::Http2(stream)) => return stream.finish(self.pool.limits().body_timeout),
            None => return,
        };
        connection.mark_reused();
        if connection.is_ready() {
            if keep && connection.end_exchange() {
                self.pool.give_back(connection);
            }
        } else if !connection.is_closed() {
            let pool = self.pool.clone();
            spawn_local(async move {
                let sent = connection.finish_sending(pool.limits().body_timeout, upload.as_ref());
                match sent.await {
                    Ok(()) if keep && connection.end_exchange() => pool.give_back(connection),
                    Ok(()) | Err(_) => connection.abort(),
                }
            });
        }
    }

    /// The connection has switched protocols: its socket belongs to the tunnel now.
    pub(in crate::upstream) fn release(mut self) {
        self.channel = None;
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.pool.server().end_request();
        if let Some(Channel::Http1(connection)) = self.channel.take() {
            connection.abort();
        }
    }
}
