//! Sends all that an HTTP/2 connection writes while it is polled with one system call. h2 writes and flushes each frame by
//! itself, which costs a system call for each of many responses that are ready at once.

use std::cell::RefCell;
use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::service::BoxError;
use super::state::{Decision, State};

/// The outgoing bytes of a connection. hyper holds one handle, and [`Batched`] the other.
#[derive(Debug)]
pub(super) struct Batch<T>(Rc<RefCell<Outgoing<T>>>);

#[derive(Debug)]
struct Outgoing<T> {
    io: T,
    state: Rc<State>,
    /// Written by hyper and not sent yet, [`MAX_PENDING`] bytes at most. This is the worker's buffer, and returned to it once
    /// all is sent, so that an idle connection has none.
    pending: Vec<u8>,
    /// Octets have been sent and not been flushed.
    unflushed: bool,
    /// hyper waits until what is pending has been sent.
    is_waited_for: bool,
    /// The last write was taken in part: hyper continues in the middle of a frame.
    is_mid_frame: bool,
}

/// The most bytes that are pending, and so the memory that a client which takes nothing keeps. More are sent while hyper is
/// polled.
const MAX_PENDING: usize = 32 << 10;

/// Writes of up to so many bytes are copied, to be sent with others; larger ones are not.
const MAX_COPIED: usize = 4 << 10;

impl<T> Batch<T> {
    pub fn new(io: T, state: Rc<State>) -> Self {
        Self(Rc::new(RefCell::new(Outgoing {
            io,
            state,
            pending: Vec::new(),
            unflushed: false,
            is_waited_for: false,
            is_mid_frame: false,
        })))
    }

    /// A handle to the same bytes.
    pub fn handle(&self) -> Self {
        Self(self.0.clone())
    }
}

/// A connection that is polled together with its batch: what it has written is sent after each poll.
#[derive(Debug)]
pub(super) struct Batched<'a, C, T> {
    connection: Pin<&'a mut C>,
    batch: Batch<T>,
}

impl<'a, C, T> Batched<'a, C, T> {
    pub fn new(connection: Pin<&'a mut C>, batch: Batch<T>) -> Self {
        Self { connection, batch }
    }

    pub fn connection(&mut self) -> Pin<&mut C> {
        self.connection.as_mut()
    }
}

impl<C, T, E> Future for Batched<'_, C, T>
where
    C: Future<Output = Result<(), E>>,
    T: AsyncWrite + Unpin,
    E: Into<BoxError>,
{
    type Output = Result<(), BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        loop {
            let polled = this.connection.as_mut().poll(cx);
            let mut outgoing = this.batch.0.borrow_mut();
            let sent = outgoing.poll_send(cx);
            if let Poll::Ready(ended) = polled {
                // Shutting down has sent all, where it succeeded; where not, the connection's own error says more.
                return Poll::Ready(ended.map_err(Into::into));
            }
            if outgoing.state.decision() == Decision::ResetFlood {
                outgoing.write_goaway();
                return Poll::Ready(Err("the client reset more streams than it may".into()));
            }
            ready!(sent)?;
            if !std::mem::take(&mut outgoing.is_waited_for) {
                return Poll::Pending;
            }
        }
    }
}

/// RFC 9113 §6.8. hyper does not tell which stream was the last; any may have been processed.
const LAST_STREAM: u32 = (1 << 31) - 1;
const GOAWAY: u8 = 7;
const ENHANCE_YOUR_CALM: u32 = 11;

impl<T: AsyncWrite + Unpin> Outgoing<T> {
    /// Writes a GOAWAY frame with ENHANCE_YOUR_CALM (RFC 9113 §7), unless hyper is in the middle of a frame. hyper cannot send
    /// that error code.
    fn write_goaway(&mut self) {
        if self.is_mid_frame {
            return;
        }
        self.pending.extend([0, 0, 8, GOAWAY, 0, 0, 0, 0, 0]);
        self.pending.extend(LAST_STREAM.to_be_bytes());
        self.pending.extend(ENHANCE_YOUR_CALM.to_be_bytes());
    }

    /// Sends all that is pending.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.pending.is_empty() {
            let sent = ready!(Pin::new(&mut self.io).poll_write(cx, &self.pending))?;
            self.has_sent(sent)?;
        }
        if self.unflushed {
            ready!(Pin::new(&mut self.io).poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    fn has_sent(&mut self, sent: usize) -> io::Result<()> {
        if sent == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        self.unflushed = true;
        if sent < self.pending.len() {
            self.pending.drain(..sent);
        } else if self.pending.capacity() > 0 {
            self.pending.clear();
            self.state.return_buffer(std::mem::take(&mut self.pending));
        }
        Ok(())
    }

    fn poll_append(
        &mut self,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
        length: usize,
    ) -> Poll<io::Result<usize>> {
        if self.pending.len() + length > MAX_PENDING {
            ready!(self.poll_send(cx))?;
        }
        if self.pending.capacity() == 0 {
            self.pending = self.state.lend_buffer(MAX_PENDING);
        }
        for piece in pieces {
            self.pending.extend_from_slice(piece);
        }
        Poll::Ready(Ok(length))
    }

    /// Sends `pieces` after what is pending. Returns how many of their bytes were sent.
    fn poll_through(
        &mut self,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        while !self.pending.is_empty() {
            // A frame's head and its payload; further pieces are left for the next write.
            let mut all = [IoSlice::new(&self.pending); 4];
            let some = pieces.len().min(all.len() - 1);
            all[1..=some].copy_from_slice(&pieces[..some]);
            let waited = self.pending.len();
            let io = Pin::new(&mut self.io);
            let sent = ready!(io.poll_write_vectored(cx, &all[..=some]))?;
            self.has_sent(sent)?;
            if sent > waited {
                return Poll::Ready(Ok(sent - waited));
            }
        }
        let sent = ready!(Pin::new(&mut self.io).poll_write_vectored(cx, pieces))?;
        self.unflushed = true;
        Poll::Ready(Ok(sent))
    }

    /// Notes whether hyper has to wait for what is pending; then [`Batched`] polls it again. The socket may take the pending
    /// bytes before hyper asks again, and would not wake its task then.
    fn note_wait<V>(&mut self, outcome: Poll<V>) -> Poll<V> {
        self.is_waited_for |= outcome.is_pending() && (self.unflushed || !self.pending.is_empty());
        outcome
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Batch<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0.borrow_mut().io).poll_read(cx, buf)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Batch<T> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut outgoing = self.0.borrow_mut();
        let length: usize = bufs.iter().map(|buf| buf.len()).sum();
        let written = if length <= MAX_COPIED {
            outgoing.poll_append(cx, bufs, length)
        } else {
            outgoing.poll_through(cx, bufs)
        };
        outgoing.is_mid_frame = !matches!(written, Poll::Ready(Ok(taken)) if taken == length);
        outgoing.note_wait(written)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// [`Batched`] flushes after each poll.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut outgoing = self.0.borrow_mut();
        let sent = outgoing.poll_send(cx);
        ready!(outgoing.note_wait(sent))?;
        Pin::new(&mut outgoing.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests;
