//! The socket below a connection. It holds what must last exactly as long as the socket is open, and notes what the
//! deadlines and retries ask: when something was last written, and whether anything came back.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_rustls::client::TlsStream;

use super::deadline;
use super::pool::Open;
use super::tls::session;
use crate::config::Protocol;
use crate::turn;

/// The kinds of sockets that lead to a server.
#[derive(Debug)]
pub(super) enum Transport {
    Tcp(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    Unix(UnixStream),
}

impl Transport {
    /// Whether HTTP/2 is spoken on it: as TLS has negotiated it, or else as the configuration says.
    pub(super) fn speaks_http2(&self, protocol: Protocol) -> bool {
        match (self, protocol) {
            (Self::Tls(stream), Protocol::H2) => stream.get_ref().1.alpn_protocol() == Some(b"h2"),
            (Self::Tcp(_) | Self::Unix(_), Protocol::H2c) => true,
            _ => false,
        }
    }
}

/// What has passed over a socket; read by the exchange, written by what drives the connection.
#[derive(Debug)]
pub(super) struct Traffic {
    start: Instant,
    /// Milliseconds from `start` to the latest write.
    written: AtomicU64,
    /// Whether anything has been written since the latest request began.
    begun: AtomicBool,
    /// Whether anything has been read since the latest request began.
    answered: AtomicBool,
}

impl Traffic {
    fn new() -> Self {
        Self {
            start: deadline::timer_now(),
            written: AtomicU64::new(0),
            begun: AtomicBool::new(false),
            answered: AtomicBool::new(false),
        }
    }

    pub(super) fn begin_request(&self) {
        self.begun.store(false, Ordering::Relaxed);
        self.answered.store(false, Ordering::Relaxed);
    }

    /// Whether the socket has taken anything of the latest request.
    pub(super) fn is_begun(&self) -> bool {
        self.begun.load(Ordering::Relaxed)
    }

    pub(super) fn is_answered(&self) -> bool {
        self.answered.load(Ordering::Relaxed)
    }

    pub(super) fn last_written(&self) -> Instant {
        deadline::far(
            self.start,
            Duration::from_millis(self.written.load(Ordering::Relaxed)),
        )
    }

    fn note_read(&self) {
        self.answered.store(true, Ordering::Relaxed);
    }

    fn note_write(&self) {
        self.begun.store(true, Ordering::Relaxed);
        let millis = deadline::timer_now()
            .saturating_duration_since(self.start)
            .as_millis();
        self.written
            .store(u64::try_from(millis).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

/// What becomes of writes after one has failed. A server may answer a part of a request and close, and what it answered
/// is still there to be read (RFC 9112 §9.6): a failed write must not end the connection before that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OnBroken {
    /// They fail, too: for a writer that reads on by itself.
    Fail,
    /// Once a part of the request is written, they wait until all that came has been read, and fail then.
    Wait,
    /// They are discarded until all that came has been read, and fail then: for a writer that reads only while what it
    /// has to write is taken.
    Discard,
}

/// What can be done with a socket.
#[derive(Debug)]
enum Condition {
    Sound,
    /// Writing has failed, and its error has not been returned yet.
    Broken(io::Error),
    /// Nothing can be written any more.
    Closed,
}

/// An open socket, counted as long as it lives, whoever holds it.
#[derive(Debug)]
pub(super) struct Wire {
    transport: Transport,
    condition: Condition,
    on_broken: OnBroken,
    /// Whether the peer's end, or a reset, has been read.
    read_ended: bool,
    /// Who waits for that.
    waiter: Option<Waker>,
    traffic: Arc<Traffic>,
    /// Rung at the first byte that comes.
    first_read: Option<Arc<Notify>>,
    /// Whether what was written has been flushed since: whoever writes flushes when nothing is left to be written.
    flushed: bool,
    /// Whether closing it is a reset, before which nothing is said.
    resets: bool,
    /// `None` for a health check, which neither waits for the cap nor counts in it.
    _open: Option<Open>,
}

impl Wire {
    pub(super) fn new(transport: Transport, open: Option<Open>) -> Self {
        Self {
            transport,
            condition: Condition::Sound,
            on_broken: OnBroken::Fail,
            read_ended: false,
            waiter: None,
            traffic: Arc::new(Traffic::new()),
            first_read: None,
            flushed: true,
            resets: false,
            _open: open,
        }
    }

    pub(super) fn on_broken(&mut self, on_broken: OnBroken) {
        self.on_broken = on_broken;
    }

    pub(super) fn tell_first_read(&mut self) -> Arc<Notify> {
        self.first_read.insert(Arc::default()).clone()
    }

    pub(super) fn traffic(&self) -> Arc<Traffic> {
        self.traffic.clone()
    }

    pub(super) fn is_flushed(&self) -> bool {
        self.flushed
    }

    /// Whether nothing has come that has not been read, no end either, as far as the runtime knows.
    pub(super) fn is_quiet(&mut self) -> bool {
        let mut unasked = [0];
        let read = match &mut self.transport {
            Transport::Tcp(socket) => socket.try_read(&mut unasked),
            Transport::Unix(socket) => socket.try_read(&mut unasked),
            Transport::Tls(stream) => return session::is_quiet(stream),
        };
        matches!(read, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Makes closing a reset. A Unix socket has none.
    pub(super) fn reset_on_close(&mut self) {
        self.resets = true;
        let socket = match &self.transport {
            Transport::Tcp(socket) => socket,
            Transport::Tls(stream) => stream.get_ref().0,
            Transport::Unix(_) => return,
        };
        // Fails only when the peer has reset the connection before us.
        let _ = socket.set_zero_linger();
    }

    /// What a write of `length` bytes comes to that the socket has answered with `written`.
    fn note_written(
        &mut self,
        length: usize,
        written: io::Result<usize>,
        cx: &Context<'_>,
    ) -> Poll<io::Result<usize>> {
        match written {
            Ok(written) => {
                self.traffic.note_write();
                self.flushed = false;
                Poll::Ready(Ok(written))
            }
            Err(error) => {
                self.condition = Condition::Broken(error);
                self.poll_broken(cx).map_ok(|()| length)
            }
        }
    }

    fn is_broken(&self) -> bool {
        !matches!(self.condition, Condition::Sound)
    }

    /// What a write comes to after one has failed.
    fn poll_broken(&mut self, cx: &Context<'_>) -> Poll<io::Result<()>> {
        match self.on_broken {
            OnBroken::Wait if !self.read_ended && self.traffic.is_begun() => {
                self.waiter = Some(cx.waker().clone());
                return Poll::Pending;
            }
            OnBroken::Discard if !self.read_ended => return Poll::Ready(Ok(())),
            OnBroken::Fail | OnBroken::Wait | OnBroken::Discard => {}
        }
        let error = match std::mem::replace(&mut self.condition, Condition::Closed) {
            Condition::Broken(error) => error,
            Condition::Sound | Condition::Closed => io::ErrorKind::BrokenPipe.into(),
        };
        Poll::Ready(Err(error))
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        if let (Transport::Tls(stream), false) = (&mut self.transport, self.resets) {
            session::tell_end(stream);
        }
    }
}

/// Calls one method of whatever socket there is.
macro_rules! on_transport {
    ($wire:expr, $socket:ident => $call:expr) => {
        match &mut $wire.transport {
            Transport::Tcp($socket) => $call,
            Transport::Tls($socket) => $call,
            Transport::Unix($socket) => $call,
        }
    };
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let room = buf.remaining() > 0;
        let polled = ready!(on_transport!(self, socket => Pin::new(socket).poll_read(cx, buf)));
        let read = buf.filled().len() - before;
        if polled.is_err() || read == 0 && room {
            self.read_ended = true;
            if let Some(waiter) = self.waiter.take() {
                waiter.wake();
            }
        }
        polled?;
        turn::take(read, cx);
        if read > 0 {
            self.traffic.note_read();
            if let Some(first_read) = self.first_read.take() {
                first_read.notify_one();
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.is_broken() {
            return self.poll_broken(cx).map_ok(|()| buf.len());
        }
        let written = ready!(on_transport!(self, socket => Pin::new(socket).poll_write(cx, buf)));
        self.note_written(buf.len(), written, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let [only] = bufs {
            // A request's head as a rule, which costs the system less to take by itself.
            return self.poll_write(cx, only);
        }
        let length = bufs.iter().map(|buf| buf.len()).sum();
        if self.is_broken() {
            return self.poll_broken(cx).map_ok(|()| length);
        }
        let written =
            ready!(on_transport!(self, socket => Pin::new(socket).poll_write_vectored(cx, bufs)));
        self.note_written(length, written, cx)
    }

    fn is_write_vectored(&self) -> bool {
        match &self.transport {
            Transport::Tcp(socket) => socket.is_write_vectored(),
            Transport::Tls(socket) => socket.is_write_vectored(),
            Transport::Unix(socket) => socket.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_broken() {
            return self.poll_broken(cx);
        }
        match ready!(on_transport!(self, socket => Pin::new(socket).poll_flush(cx))) {
            Ok(()) => {
                self.flushed = true;
                Poll::Ready(Ok(()))
            }
            Err(error) => {
                self.condition = Condition::Broken(error);
                self.poll_broken(cx)
            }
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_broken() {
            return Poll::Ready(Ok(()));
        }
        on_transport!(self, socket => Pin::new(socket).poll_shutdown(cx))
    }
}
