//! The I/O of one connection, between hyper and the socket. It reports each step to the connection's state. When a deadline
//! has passed, reading or writing fails here, so that hyper ends the connection.

use std::future::{Future as _, poll_fn};
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http::StatusCode;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::task::unconstrained;

use super::socket::Socket;
use super::state::{Closing, State};
use crate::proxy::{HalfClosed, Interim, LatestWaiting};
use crate::turn;

/// A socket whose reads and writes are reported to the connection's state.
#[derive(Debug)]
pub(super) struct Io {
    socket: Socket,
    /// The source of interim responses.
    interim: Interim,
    /// The rest of an interim response or of trailers, which goes before anything of hyper's.
    unwritten: Bytes,
    /// Whether the connection's latest request waits for a connection to the API.
    waiting: LatestWaiting,
    state: Rc<State>,
}

/// The most bytes of a connection that are read to detect its protocol: a usual request head fits.
const FIRST_BYTES: usize = 2048;

/// Up to so many bytes, copying pieces together costs less than a vectored write of them.
const MAX_GATHERED: usize = 4096;

impl Io {
    pub fn new(socket: Socket, state: Rc<State>) -> Self {
        Self {
            socket,
            interim: Interim::default(),
            unwritten: Bytes::new(),
            waiting: LatestWaiting::default(),
            state,
        }
    }

    /// Writes the interim responses that come from `interim`, when hyper has nothing to write.
    pub fn send_interim(&mut self, interim: Interim) {
        self.interim = interim;
    }

    /// Looks whether the client has left while its request, whose progress `waiting` tells, waits for a response.
    pub fn watch_queue(&mut self, waiting: LatestWaiting) {
        self.waiting = waiting;
    }

    pub fn state(&self) -> &Rc<State> {
        &self.state
    }

    /// Reads more of the connection's first bytes, and keeps them for hyper. Returns false at the client's end.
    pub fn poll_first_bytes(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let mut room = [0; FIRST_BYTES];
        let mut buf = ReadBuf::new(&mut room);
        let before = self.first_bytes();
        buf.put_slice(&before);
        ready!(self.socket.poll_read(cx, &mut buf))?;
        let grown = buf.filled().len() - before.len();
        self.state.on_read(grown);
        if grown > 0 {
            self.state.hold(Bytes::copy_from_slice(buf.filled()));
        }
        Poll::Ready(Ok(grown > 0))
    }

    /// The first bytes that have been read: fewer than [`FIRST_BYTES`] while the protocol is unclear.
    pub fn first_bytes(&self) -> Bytes {
        self.state.held()
    }

    /// Has hyper read `bytes` again: it has read them too early.
    pub fn unread(&mut self, bytes: &[u8]) {
        self.state.put_back(bytes);
    }

    /// Takes the response that hyper writes to a head that it cannot read: the service's is sent in its place.
    fn intercept(&self, bytes: &[u8]) {
        // It begins "HTTP/1.1 400 ".
        let status = bytes
            .get(9..12)
            .and_then(|digits| StatusCode::from_bytes(digits).ok())
            .unwrap_or(StatusCode::BAD_REQUEST);
        self.state.set_closing(Closing::Refusal(status));
    }

    fn check_write(&self) -> io::Result<()> {
        if self.state.has_write_timed_out() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        Ok(())
    }

    /// Shuts down our side only.
    pub fn poll_half_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket.poll_shutdown(cx)
    }

    /// Writes all interim responses that are ready.
    fn poll_interim(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            if !self.unwritten.is_empty() {
                ready!(self.poll_unwritten(cx))?;
            }
            match self.interim.take(cx) {
                Some(octets) => self.unwritten = octets.into(),
                None => return Poll::Ready(Ok(())),
            }
        }
    }

    /// Whether anything of ours goes before what hyper writes next.
    fn has_own(&self) -> bool {
        !self.unwritten.is_empty() || self.state.has_trailers()
    }

    /// Writes what goes before `length` octets of hyper's, which begin with `first`. Returns how many of those may be written
    /// then.
    fn poll_before(
        &mut self,
        first: &[u8],
        length: usize,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_unwritten(cx))?;
        let writable = self.state.writable(length);
        if writable > 0 {
            return Poll::Ready(Ok(writable));
        }
        if let Some(trailers) = self.state.take_trailers(first) {
            self.unwritten = trailers.into();
            ready!(self.poll_unwritten(cx))?;
        }
        Poll::Ready(Ok(length))
    }

    /// Writes what the socket has encrypted and not written.
    fn poll_flush_socket(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.socket.is_buffered() {
            return Poll::Ready(Ok(()));
        }
        let flushed = self.socket.poll_flush(cx);
        if flushed.is_pending() {
            self.check_write()?;
            self.state.on_write_pending();
        }
        flushed
    }

    /// Writes the rest of `unwritten`.
    fn poll_unwritten(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.unwritten.is_empty() {
            self.check_write()?;
            let (socket, rest) = (&mut self.socket, &self.unwritten);
            let written = poll_write_noted(&self.state, cx, |cx| socket.poll_write(cx, rest));
            let written = ready!(written)?;
            self.unwritten.advance(written);
            if self.unwritten.is_empty() {
                self.interim.written();
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Fails when the client has left while its request is on its way. A client that has closed its side may still read (RFC
    /// 9112 §9.6); it counts as one that has left where nothing has been sent for it yet, and where more such clients wait
    /// than may.
    fn poll_left(&self, cx: &mut Context<'_>) -> io::Result<()> {
        if !self.waiting.is_any() {
            return Ok(());
        }
        let is_queued = self.waiting.is_queued(cx);
        // Has the task woken when more can be read, or the end.
        if self.socket.poll_read_ready(cx)?.is_pending() && !is_queued {
            return Ok(());
        }
        let gone = match self.socket.poll_closed(cx)? {
            Poll::Ready((_, true)) => true,
            Poll::Ready((true, false)) => match self.waiting.half_closed(cx) {
                HalfClosed::Noticed => {
                    // The future that waits for the response decides.
                    cx.waker().wake_by_ref();
                    false
                }
                HalfClosed::Known => false,
                HalfClosed::Gone => true,
            },
            _ => false,
        };
        match gone {
            true => Err(io::ErrorKind::ConnectionAborted.into()),
            false => Ok(()),
        }
    }

    /// Fails when the client has left while it waits for a response.
    fn poll_probe(&self, cx: &mut Context<'_>) -> io::Result<()> {
        let (read_closed, gone) = match self.socket.poll_closed(cx)? {
            Poll::Ready(closed) => closed,
            Poll::Pending => return Ok(()),
        };
        if gone || (read_closed && self.state.is_half_closed_too_long()) {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        if read_closed {
            self.waiting.still_half_closed();
            cx.waker().wake_by_ref();
        }
        Ok(())
    }
}

/// Writes with `write`, and reports to the state whether the client takes anything.
///
/// A write that fails only because the task's turn is over says nothing about the client, and is deferred to the next turn;
/// not twice in a row, since a flood that uses up each turn must not hide that a client takes nothing.
fn poll_write_noted(
    state: &State,
    cx: &mut Context<'_>,
    mut write: impl FnMut(&mut Context<'_>) -> Poll<io::Result<usize>>,
) -> Poll<io::Result<usize>> {
    if state.has_written_its_share() {
        return turn::put_off(cx);
    }
    let mut written = write(cx);
    if written.is_pending() && turn::is_over() {
        if state.defer_write() {
            return Poll::Pending;
        }
        written = pin!(unconstrained(poll_fn(write))).poll(cx);
    }
    match &written {
        Poll::Ready(Ok(written)) => state.on_written(*written),
        Poll::Ready(Err(_)) => {}
        Poll::Pending => state.on_write_pending(),
    }
    written
}

impl AsyncRead for Io {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            if this.state.read_held(buf)? {
                return Poll::Ready(Ok(()));
            }
            if this.state.has_read_timed_out() {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            let before = buf.filled().len();
            let read = this.socket.poll_read(cx, buf);
            match read {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => return read,
                Poll::Pending => {
                    this.state.on_read_pending();
                    return read;
                }
            }
            let octets = &buf.filled()[before..];
            let length = octets.len();
            turn::take(length, cx);
            this.state.on_read(length);
            let admitted = this.state.admit(octets)?;
            buf.set_filled(before + admitted);
            if admitted > 0 || length == 0 {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl AsyncWrite for Io {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.check_write()?;
        if this.state.is_hyper_answering() {
            this.intercept(buf);
            return Poll::Ready(Ok(buf.len()));
        }
        let writable = match this.has_own() {
            true => ready!(this.poll_before(buf, buf.len(), cx))?,
            false => buf.len(),
        };
        let (socket, buf) = (&mut this.socket, &buf[..writable]);
        poll_write_noted(&this.state, cx, |cx| socket.poll_write(cx, buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.check_write()?;
        if this.state.is_hyper_answering() {
            this.intercept(bufs.first().map_or(&[], |buf| buf));
            return Poll::Ready(Ok(bufs.iter().map(|buf| buf.len()).sum()));
        }
        let length: usize = bufs.iter().map(|buf| buf.len()).sum();
        let (mut first, mut writable) = (&[][..], length);
        if this.has_own() {
            let mut pieces = bufs.iter().filter(|buf| !buf.is_empty());
            first = pieces.next().map_or(&[][..], |buf| buf);
            writable = ready!(this.poll_before(first, length, cx))?;
        }
        let socket = &mut this.socket;
        if length <= MAX_GATHERED {
            let write_buffer = &this.state.gather(bufs)[..writable];
            poll_write_noted(&this.state, cx, |cx| socket.poll_write(cx, write_buffer))
        } else if writable < length {
            let first = &first[..first.len().min(writable)];
            poll_write_noted(&this.state, cx, |cx| socket.poll_write(cx, first))
        } else {
            poll_write_noted(&this.state, cx, |cx| socket.poll_write_vectored(cx, bufs))
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// hyper calls this when its own buffer is empty.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_flush_socket(cx))?;
        this.state.on_flushed();
        if this.state.take_probe() {
            this.poll_probe(cx)?;
        }
        this.poll_left(cx)?;
        ready!(this.poll_interim(cx))?;
        ready!(this.poll_flush_socket(cx))?;
        match this.state.closes_our_side() {
            true => this.poll_half_close(cx),
            false => Poll::Ready(Ok(())),
        }
    }

    /// A lingering close (RFC 9112 §9.6): our side is shut down first, and the connection closed once the client has closed its
    /// own or its time is up. Closing both at once would reset the connection if the client still sends, and the client could
    /// lose our last response.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        match this.state.closing() {
            Closing::Lingering if !this.state.is_linger_over() => {}
            _ => return Poll::Ready(Ok(())),
        }
        ready!(this.socket.poll_shutdown(cx))?;
        this.state.begin_lingering();
        let mut room = [0; FIRST_BYTES];
        loop {
            let mut buf = ReadBuf::new(&mut room);
            match ready!(this.socket.poll_read(cx, &mut buf)) {
                Ok(()) if !buf.filled().is_empty() => this.state.on_discarded(buf.filled().len()),
                Ok(()) | Err(_) => return Poll::Ready(Ok(())),
            }
        }
    }
}

impl Drop for Io {
    fn drop(&mut self) {
        if self.state.must_reset() {
            self.socket.reset_on_close();
        } else if self.state.is_idle() {
            self.socket.notify_close();
        }
    }
}

#[cfg(test)]
mod tests;
