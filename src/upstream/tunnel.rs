//! A connection to the API that has switched to another protocol (RFC 9110 §7.8).

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Buf as _, Bytes};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::pool::Lease;
use super::server::Server;
use super::wire::Wire;
use crate::error::{Error, ErrorKind};
use crate::telemetry::counters::UpstreamCounters;

/// The upstream's side of a tunnel. It keeps its place in the cap of connections, and counts as the server's load.
/// Dropping it closes the connection.
#[derive(Debug)]
pub struct Tunnel {
    wire: Wire,
    /// The octets that came right after the response.
    early: Bytes,
    _load: Load,
    /// Dropped with the tunnel.
    held: Option<Box<dyn fmt::Debug + Send>>,
}

impl Tunnel {
    /// Takes the connection over when its HTTP has ended.
    pub(super) async fn open(switched: OnUpgrade, lease: Lease) -> Result<Self, Error> {
        let load = Load {
            server: lease.pool().server().clone(),
            counters: lease.pool().counters().clone(),
        };
        load.server.begin_request();
        load.counters.tunnels.add(1);
        lease.release();
        let broken = |error| Error::upstream(ErrorKind::ConnectionTerminated).because(error);
        let upgraded = switched.await.map_err(broken)?;
        let parts = upgraded
            .downcast::<TokioIo<Wire>>()
            .map_err(|_other| Error::internal())?;
        Ok(Self {
            wire: parts.io.into_inner(),
            early: parts.read_buf,
            _load: load,
            held: None,
        })
    }

    /// Drops `held` when the tunnel ends.
    pub fn holding(mut self, held: Option<impl fmt::Debug + Send + 'static>) -> Self {
        self.held = held.map(|held| Box::new(held) as Box<_>);
        self
    }

    /// Closes it by a reset, so that the server cannot take the octets that it got for complete.
    pub fn reset(mut self) {
        self.wire.reset_on_close();
    }
}

impl AsyncRead for Tunnel {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.early.is_empty() {
            return Pin::new(&mut this.wire).poll_read(cx, buf);
        }
        let n = this.early.len().min(buf.remaining());
        buf.put_slice(&this.early[..n]);
        this.early.advance(n);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Tunnel {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().wire).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().wire).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().wire).poll_shutdown(cx)
    }
}

/// Counts as a request in flight until it is dropped.
#[derive(Debug)]
struct Load {
    server: Arc<Server>,
    counters: Arc<UpstreamCounters>,
}

impl Drop for Load {
    fn drop(&mut self) {
        self.server.end_request();
        self.counters.tunnels.sub(1);
    }
}
