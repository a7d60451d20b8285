//! The socket of a connection. It holds the place in the cap exactly as long as the socket is open, and records the facts for
//! deadlines and retries: when octets were last written, and whether any were read.

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
use super::open::OpenConnection;
use super::outcome::Resend;
use super::tls::session;
use crate::config::Protocol;
use crate::turn;

/// The kinds of sockets that lead to a server.
#[derive(Debug)]
pub(super) enum Socket {
    Tcp(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    Unix(UnixStream),
}

impl Socket {
    /// Whether HTTP/2 is spoken on it: as negotiated in TLS, or else as the configuration says.
    pub(super) fn speaks_http2(&self, protocol: Protocol) -> bool {
        match (self, protocol) {
            (Self::Tls(stream), Protocol::H2) => stream.get_ref().1.alpn_protocol() == Some(b"h2"),
            (Self::Tcp(_) | Self::Unix(_), Protocol::H2c) => true,
            _ => false,
        }
    }
}

/// When, and whether, octets have passed over a socket. The connection's driver writes it, the exchange reads it.
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
    fn is_begun(&self) -> bool {
        self.begun.load(Ordering::Relaxed)
    }

    /// Whether a request may be sent again when its connection has broken now.
    pub(super) fn resend(&self) -> Resend {
        match (self.answered.load(Ordering::Relaxed), self.is_begun()) {
            (true, _) => Resend::Never,
            (false, true) => Resend::IfIdempotent,
            (false, false) => Resend::Always,
        }
    }

    pub(super) fn last_written(&self) -> Instant {
        deadline::far(
            self.start,
            Duration::from_millis(self.written.load(Ordering::Relaxed)),
        )
    }
}

/// The result of later writes after one has failed. A server may answer a part of a request and close, and its response still
/// has to be read (RFC 9112 §9.6): a failed write must not end the connection before that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AfterWriteError {
    /// An error: for an engine that reads on by itself.
    Fail,
    /// Once a part of the request is written, they wait until everything that came has been read, and fail then.
    Wait,
    /// They are discarded until everything that came has been read, and fail then: for an engine that reads only while its
    /// writes succeed.
    Discard,
}

/// Whether a socket can be written to.
#[derive(Debug)]
enum WriteState {
    Open,
    /// A write has failed, and its error has not been returned yet.
    Failed(io::Error),
    /// Nothing can be written any more.
    Closed,
}

/// An open socket. It is counted as long as it lives.
#[derive(Debug)]
pub(super) struct Wire {
    socket: Socket,
    write_state: WriteState,
    after_write_error: AfterWriteError,
    /// Whether the peer's end, or a reset, has been read.
    read_ended: bool,
    /// The writer that waits for that.
    waiter: Option<Waker>,
    traffic: Arc<Traffic>,
    /// Notified of the first byte that comes.
    first_read: Option<Arc<Notify>>,
    /// Whether all octets written have been flushed. An engine flushes when it has nothing left to write.
    flushed: bool,
    /// Whether it is closed by a reset, without close_notify.
    resets: bool,
    /// `None` for a health check, which neither waits for the cap nor counts in it.
    _open: Option<OpenConnection>,
}

impl Wire {
    pub(super) fn new(socket: Socket, open: Option<OpenConnection>) -> Self {
        Self {
            socket,
            write_state: WriteState::Open,
            after_write_error: AfterWriteError::Fail,
            read_ended: false,
            waiter: None,
            traffic: Arc::new(Traffic::new()),
            first_read: None,
            flushed: true,
            resets: false,
            _open: open,
        }
    }

    pub(super) fn after_write_error(&mut self, after_write_error: AfterWriteError) {
        self.after_write_error = after_write_error;
    }

    pub(super) fn on_first_read(&mut self) -> Arc<Notify> {
        self.first_read.insert(Arc::default()).clone()
    }

    pub(super) fn traffic(&self) -> Arc<Traffic> {
        self.traffic.clone()
    }

    pub(super) fn is_flushed(&self) -> bool {
        self.flushed
    }

    /// Whether neither data nor an end has come that has not been read, as far as the runtime knows.
    pub(super) fn is_quiet(&mut self) -> bool {
        let mut unexpected = [0];
        let read = match &mut self.socket {
            Socket::Tcp(socket) => socket.try_read(&mut unexpected),
            Socket::Unix(socket) => socket.try_read(&mut unexpected),
            Socket::Tls(stream) => return session::is_quiet(stream),
        };
        matches!(read, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Makes closing a reset. A Unix socket has none.
    pub(super) fn reset_on_close(&mut self) {
        self.resets = true;
        let socket = match &self.socket {
            Socket::Tcp(socket) => socket,
            Socket::Tls(stream) => stream.get_ref().0,
            Socket::Unix(_) => return,
        };
        // Fails only when the peer has reset the connection already.
        let _ = socket.set_zero_linger();
    }

    /// The result of a write of `length` bytes, for which the socket has returned `written`.
    fn poll_written(
        &mut self,
        length: usize,
        written: io::Result<usize>,
        cx: &Context<'_>,
    ) -> Poll<io::Result<usize>> {
        match written {
            Ok(written) => {
                let traffic = &self.traffic;
                traffic.begun.store(true, Ordering::Relaxed);
                let since = deadline::timer_now().saturating_duration_since(traffic.start);
                let millis = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
                traffic.written.store(millis, Ordering::Relaxed);
                self.flushed = false;
                Poll::Ready(Ok(written))
            }
            Err(error) => {
                self.write_state = WriteState::Failed(error);
                self.poll_after_write_error(cx).map_ok(|()| length)
            }
        }
    }

    fn has_write_failed(&self) -> bool {
        !matches!(self.write_state, WriteState::Open)
    }

    /// The result of a write after one has failed.
    fn poll_after_write_error(&mut self, cx: &Context<'_>) -> Poll<io::Result<()>> {
        match self.after_write_error {
            AfterWriteError::Wait if !self.read_ended && self.traffic.is_begun() => {
                self.waiter = Some(cx.waker().clone());
                return Poll::Pending;
            }
            AfterWriteError::Discard if !self.read_ended => return Poll::Ready(Ok(())),
            AfterWriteError::Fail | AfterWriteError::Wait | AfterWriteError::Discard => {}
        }
        let error = match std::mem::replace(&mut self.write_state, WriteState::Closed) {
            WriteState::Failed(error) => error,
            WriteState::Open | WriteState::Closed => io::ErrorKind::BrokenPipe.into(),
        };
        Poll::Ready(Err(error))
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        if let (Socket::Tls(stream), false) = (&mut self.socket, self.resets) {
            session::send_close_notify(stream);
        }
    }
}

/// Calls one method of the socket, of whichever kind.
macro_rules! on_socket {
    ($wire:expr, $socket:ident => $call:expr) => {
        match &mut $wire.socket {
            Socket::Tcp($socket) => $call,
            Socket::Tls($socket) => $call,
            Socket::Unix($socket) => $call,
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
        let polled = ready!(on_socket!(self, socket => Pin::new(socket).poll_read(cx, buf)));
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
            self.traffic.answered.store(true, Ordering::Relaxed);
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
        if self.has_write_failed() {
            return self.poll_after_write_error(cx).map_ok(|()| buf.len());
        }
        let written = ready!(on_socket!(self, socket => Pin::new(socket).poll_write(cx, buf)));
        self.poll_written(buf.len(), written, cx)
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
        if self.has_write_failed() {
            return self.poll_after_write_error(cx).map_ok(|()| length);
        }
        let written =
            ready!(on_socket!(self, socket => Pin::new(socket).poll_write_vectored(cx, bufs)));
        self.poll_written(length, written, cx)
    }

    fn is_write_vectored(&self) -> bool {
        match &self.socket {
            Socket::Tcp(socket) => socket.is_write_vectored(),
            Socket::Tls(socket) => socket.is_write_vectored(),
            Socket::Unix(socket) => socket.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.has_write_failed() {
            return self.poll_after_write_error(cx);
        }
        match ready!(on_socket!(self, socket => Pin::new(socket).poll_flush(cx))) {
            Ok(()) => {
                self.flushed = true;
                Poll::Ready(Ok(()))
            }
            Err(error) => {
                self.write_state = WriteState::Failed(error);
                self.poll_after_write_error(cx)
            }
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.has_write_failed() {
            return Poll::Ready(Ok(()));
        }
        on_socket!(self, socket => Pin::new(socket).poll_shutdown(cx))
    }
}
