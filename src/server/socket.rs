//! The sockets of clients, and the listeners that accept them.

use std::future::Future as _;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use rustls::ProtocolVersion;
use tokio::io::{AsyncRead as _, AsyncWrite as _, DuplexStream, Interest, ReadBuf};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::task::unconstrained;

use tokio_rustls::server::TlsStream;

use crate::semantics::authority::Scheme;

/// The socket of one connection. Each kind knows the scheme of the requests that come on it.
#[derive(Debug)]
pub(super) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
    Tls(Box<TlsStream<TcpStream>>),
    /// One end of a stream within the process.
    Memory {
        stream: DuplexStream,
        scheme: Scheme,
    },
}

impl Socket {
    /// The scheme of the requests that come on it, unless a trusted proxy names another.
    pub fn scheme(&self) -> Scheme {
        match self {
            Self::Tcp(_) | Self::Unix(_) => Scheme::Http,
            Self::Tls(_) => Scheme::Https,
            Self::Memory { scheme, .. } => *scheme,
        }
    }

    /// The version of TLS that it speaks; `None` without TLS.
    pub fn tls_version(&self) -> Option<&'static str> {
        let Self::Tls(stream) = self else {
            return None;
        };
        match stream.get_ref().1.protocol_version()? {
            ProtocolVersion::TLSv1_2 => Some("TLSv1.2"),
            ProtocolVersion::TLSv1_3 => Some("TLSv1.3"),
            _ => None,
        }
    }

    /// The kinds that are rarer than TCP are handled apart, so that this is inlined.
    pub fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(socket) => Pin::new(socket).poll_read(cx, buf),
            other => other.poll_read_other(cx, buf),
        }
    }

    #[inline(never)]
    fn poll_read_other(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(socket) => Pin::new(socket).poll_read(cx, buf),
            Self::Unix(socket) => Pin::new(socket).poll_read(cx, buf),
            Self::Tls(stream) => match Pin::new(stream).poll_read(cx, buf) {
                // The client has not sent `close_notify`. No request ends by the end of its connection, so that one which is
                // cut off is seen as such without it.
                Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    Poll::Ready(Ok(()))
                }
                read => read,
            },
            Self::Memory { stream, .. } => Pin::new(stream).poll_read(cx, buf),
        }
    }

    /// As [`Self::poll_read`].
    pub fn poll_write(&mut self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Tcp(socket) => Pin::new(socket).poll_write(cx, buf),
            other => other.poll_write_other(cx, buf),
        }
    }

    #[inline(never)]
    fn poll_write_other(&mut self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Tcp(socket) => Pin::new(socket).poll_write(cx, buf),
            Self::Unix(socket) => Pin::new(socket).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Memory { stream, .. } => Pin::new(stream).poll_write(cx, buf),
        }
    }

    pub fn poll_write_vectored(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Tcp(socket) => Pin::new(socket).poll_write_vectored(cx, bufs),
            Self::Unix(socket) => Pin::new(socket).poll_write_vectored(cx, bufs),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Self::Memory { stream, .. } => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
    }

    pub fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(socket) => Pin::new(socket).poll_shutdown(cx),
            Self::Unix(socket) => Pin::new(socket).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Memory { stream, .. } => Pin::new(stream).poll_shutdown(cx),
        }
    }

    /// Whether what is written may wait in a buffer until it is flushed.
    pub fn is_buffered(&self) -> bool {
        matches!(self, Self::Tls(_))
    }

    /// Writes what is encrypted and not yet written; only TLS has a buffer.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tcp(_) | Self::Unix(_) | Self::Memory { .. } => Poll::Ready(Ok(())),
        }
    }

    /// Completes when something can be read, be it the client's end or an error. Memory does not tell.
    pub fn poll_read_ready(&self, cx: &mut Context<'_>) -> io::Result<Poll<()>> {
        let ready = match self {
            Self::Tcp(socket) => socket.poll_read_ready(cx),
            Self::Unix(socket) => socket.poll_read_ready(cx),
            Self::Tls(stream) => stream.get_ref().0.poll_read_ready(cx),
            Self::Memory { .. } => Poll::Pending,
        };
        Ok(match ready {
            Poll::Ready(ready) => Poll::Ready(ready?),
            Poll::Pending => Poll::Pending,
        })
    }

    /// Whether the client has closed its side, and whether it has also stopped taking bytes. No byte is read: the socket's
    /// events tell, even when an API that floods has used up the task's turn. Memory does not tell.
    pub fn poll_closed(&self, cx: &mut Context<'_>) -> io::Result<Poll<(bool, bool)>> {
        let interest = Interest::READABLE | Interest::WRITABLE;
        let ready = match self {
            Self::Tcp(socket) => pin!(unconstrained(socket.ready(interest))).poll(cx),
            Self::Unix(socket) => pin!(unconstrained(socket.ready(interest))).poll(cx),
            Self::Tls(stream) => {
                let (socket, _) = stream.get_ref();
                pin!(unconstrained(socket.ready(interest))).poll(cx)
            }
            Self::Memory { .. } => Poll::Pending,
        };
        Ok(ready?.map(|ready| (ready.is_read_closed(), ready.is_write_closed())))
    }

    /// Has the connection reset when it is closed. Only TCP has resets: elsewhere only the framing shows that a message was
    /// aborted.
    pub fn reset_on_close(&self) {
        let socket = match self {
            Self::Tcp(socket) => socket,
            Self::Tls(stream) => stream.get_ref().0,
            Self::Unix(_) | Self::Memory { .. } => return,
        };
        // Fails only when the client has reset the connection already.
        let _ = socket.set_zero_linger();
    }

    /// Sends `close_notify` (RFC 9112 §9.8), if this is TLS and the socket takes it at once.
    pub fn notify_close(&mut self) {
        let Self::Tls(stream) = self else { return };
        let (socket, session) = stream.get_mut();
        session.send_close_notify();
        let mut records = Vec::new();
        while session.wants_write() && session.write_tls(&mut records).is_ok() {}
        // A client that has left needs none.
        let _ = socket.try_write(&records);
    }
}

/// A listener in its worker's runtime.
pub(super) enum Acceptor {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Acceptor {
    pub fn new(listening: socket2::Socket) -> io::Result<Self> {
        Ok(match listening.local_addr()?.is_unix() {
            true => Self::Unix(UnixListener::from_std(listening.into())?),
            false => Self::Tcp(TcpListener::from_std(listening.into())?),
        })
    }

    pub async fn accept(&self) -> io::Result<(Socket, Option<SocketAddr>)> {
        match self {
            Self::Tcp(listener) => {
                let (socket, addr) = listener.accept().await?;
                Ok((Socket::Tcp(socket), Some(addr)))
            }
            Self::Unix(listener) => {
                let (socket, _) = listener.accept().await?;
                Ok((Socket::Unix(socket), None))
            }
        }
    }
}

/// Whether an error of accepting concerns one connection only: the next may well be accepted.
pub(super) fn concerns_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{
        ConnectionAborted, ConnectionReset, Interrupted, PermissionDenied, TimedOut,
    };
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionReset | Interrupted | PermissionDenied | TimedOut
    )
}
