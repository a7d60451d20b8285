//! The bytes of one connection: passed between hyper and the socket, while the connection's state
//! learns of each step. Where a deadline has passed, reading or writing fails here, so that hyper ends in its own way.

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
use super::state::{Ending, State};
use crate::proxy::{Interim, LatestWaiting};
use crate::turn;

/// A socket that tells its connection's state what happens.
#[derive(Debug)]
pub(super) struct Io {
    socket: Socket,
    /// Where interim responses come from, and the rest of what is being written before what hyper has: of those, or of
    /// trailers.
    interim: Interim,
    unwritten: Bytes,
    /// How far the connection's request has come.
    waiting: LatestWaiting,
    state: Rc<State>,
}

/// The most that one look at a connection's first bytes takes: a usual request head, whole.
const SNIFF: usize = 2048;

/// Up to so many bytes a copy costs less than the system's look at each piece of a vectored write.
const GATHERED: usize = 4096;

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

    /// Writes what comes from `interim`, too, whenever hyper has nothing to write.
    pub fn send_interim(&mut self, interim: Interim) {
        self.interim = interim;
    }

    /// Looks for the client's end, too, while the request waits for a connection to the API.
    pub fn watch_queue(&mut self, waiting: LatestWaiting) {
        self.waiting = waiting;
    }

    pub fn state(&self) -> &Rc<State> {
        &self.state
    }

    /// Reads more of the connection's first bytes; false at their end. They are kept for hyper to read again.
    pub fn poll_sniff(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let mut room = [0; SNIFF];
        let mut buf = ReadBuf::new(&mut room);
        let before = self.sniffed();
        buf.put_slice(&before);
        ready!(self.socket.poll_read(cx, &mut buf))?;
        let grown = buf.filled().len() - before.len();
        self.state.has_read(grown);
        if grown > 0 {
            self.state.hold(Bytes::copy_from_slice(buf.filled()));
        }
        Poll::Ready(Ok(grown > 0))
    }

    /// The first bytes, as far as they have come: fewer than [`SNIFF`] while the protocol is unclear.
    pub fn sniffed(&self) -> Bytes {
        self.state.held()
    }

    /// Gives back bytes that have been read too early.
    pub fn unread(&mut self, bytes: &[u8]) {
        self.state.hold_again(bytes);
    }

    /// Takes what hyper would answer to a head that it cannot read.
    fn intercept(&self, bytes: &[u8]) {
        // hyper's words begin "HTTP/1.1 400 ".
        let status = bytes
            .get(9..12)
            .and_then(|digits| StatusCode::from_bytes(digits).ok())
            .unwrap_or(StatusCode::BAD_REQUEST);
        self.state.ends(Ending::Refusal(status));
    }

    fn check_write(&self) -> io::Result<()> {
        if self.state.is_write_overdue() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        Ok(())
    }

    /// Closes our side only.
    pub fn poll_half_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket.poll_shutdown(cx)
    }

    /// Writes interim responses, as many as are there.
    fn poll_interim(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            ready!(self.poll_begun_interim(cx))?;
            match self.interim.take(cx) {
                Some(octets) => self.unwritten = octets.into(),
                None => return Poll::Ready(Ok(())),
            }
        }
    }

    /// Writes what comes before what hyper has to write, which begins with `first`; how many of its `length` octets may go out
    /// then.
    fn poll_before(
        &mut self,
        first: &[u8],
        length: usize,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_begun_interim(cx))?;
        let writable = self.state.writable(length);
        if writable > 0 {
            return Poll::Ready(Ok(writable));
        }
        if let Some(trailers) = self.state.takes_trailers(first) {
            self.unwritten = trailers.into();
            ready!(self.poll_begun_interim(cx))?;
        }
        Poll::Ready(Ok(length))
    }

    /// Writes the rest of what has been begun: nothing of hyper's may come in between.
    fn poll_begun_interim(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.unwritten.is_empty() {
            self.check_write()?;
            let (socket, rest) = (&mut self.socket, &self.unwritten);
            let written = poll_noted(&self.state, cx, |cx| socket.poll_write(cx, rest));
            let written = ready!(written)?;
            self.unwritten.advance(written);
            if self.unwritten.is_empty() {
                self.interim.written();
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Looks whether the client is still there while its request waits for a connection to the API. Here the end of what it
    /// sends counts as its leaving: nothing has been sent, and whoever only closed one side (RFC 9112 §9.6) is rarer by
    /// far than whoever left.
    fn poll_left(&self, cx: &mut Context<'_>) -> io::Result<()> {
        if !self.waiting.is_queued(cx) {
            return Ok(());
        }
        // Wakes the task when more can be read, or the end.
        let _ = self.socket.poll_read_ready(cx)?;
        match self.socket.poll_closed(cx)? {
            Poll::Ready((read_closed, gone)) if read_closed || gone => {
                Err(io::ErrorKind::ConnectionAborted.into())
            }
            _ => Ok(()),
        }
    }

    /// Looks whether the client is still there while it waits for a response.
    fn poll_probe(&self, cx: &mut Context<'_>) -> io::Result<()> {
        let (read_closed, gone) = match self.socket.poll_closed(cx)? {
            Poll::Ready(closed) => closed,
            Poll::Pending => return Ok(()),
        };
        if gone || (read_closed && self.state.is_half_closed_too_long()) {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        Ok(())
    }
}

/// Writes with `write`, and has the state note whether the client takes anything.
///
/// A write that only finds the task's turn over says nothing about the client, and is put off. Not twice in a row: what
/// uses up each turn, such as a flood, is not to hide that a client takes nothing.
fn poll_noted(
    state: &State,
    cx: &mut Context<'_>,
    mut write: impl FnMut(&mut Context<'_>) -> Poll<io::Result<usize>>,
) -> Poll<io::Result<usize>> {
    let mut written = write(cx);
    if written.is_pending() && turn::is_over() {
        if state.puts_off_write() {
            return Poll::Pending;
        }
        written = pin!(unconstrained(poll_fn(write))).poll(cx);
    }
    match &written {
        Poll::Ready(Ok(_)) => state.has_written(),
        Poll::Ready(Err(_)) => {}
        Poll::Pending => state.waits_to_write(),
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
            if this.state.is_read_overdue() {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            let before = buf.filled().len();
            let read = this.socket.poll_read(cx, buf);
            match read {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => return read,
                Poll::Pending => {
                    this.state.waits_to_read();
                    return read;
                }
            }
            let octets = &buf.filled()[before..];
            let length = octets.len();
            turn::take(length, cx);
            this.state.has_read(length);
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
        if this.state.is_quiet() {
            this.intercept(buf);
            return Poll::Ready(Ok(buf.len()));
        }
        let writable = ready!(this.poll_before(buf, buf.len(), cx))?;
        let (socket, buf) = (&mut this.socket, &buf[..writable]);
        poll_noted(&this.state, cx, |cx| socket.poll_write(cx, buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.check_write()?;
        if this.state.is_quiet() {
            this.intercept(bufs.first().map_or(&[], |buf| buf));
            return Poll::Ready(Ok(bufs.iter().map(|buf| buf.len()).sum()));
        }
        let length: usize = bufs.iter().map(|buf| buf.len()).sum();
        let mut pieces = bufs.iter().filter(|buf| !buf.is_empty());
        let first = pieces.next().map_or(&[][..], |buf| buf);
        let writable = ready!(this.poll_before(first, length, cx))?;
        let socket = &mut this.socket;
        if length <= GATHERED {
            let gathered = &this.state.gather(bufs)[..writable];
            poll_noted(&this.state, cx, |cx| socket.poll_write(cx, gathered))
        } else if writable < length {
            let first = &first[..first.len().min(writable)];
            poll_noted(&this.state, cx, |cx| socket.poll_write(cx, first))
        } else {
            poll_noted(&this.state, cx, |cx| socket.poll_write_vectored(cx, bufs))
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// hyper calls this when its own buffer is empty; the sockets have none.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.state.has_flushed();
        if this.state.takes_probe() {
            this.poll_probe(cx)?;
        }
        this.poll_left(cx)?;
        ready!(this.poll_interim(cx))?;
        match this.state.closes_our_side() {
            true => this.poll_half_close(cx),
            false => Poll::Ready(Ok(())),
        }
    }

    /// Closes in stages (RFC 9112 §9.6): our side first, then the rest once the client has closed or its time is up.
    /// Closing at once would reset the connection if the client still sends, and the reset could overtake our last
    /// response.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        match this.state.ending() {
            Ending::Staged if !this.state.is_linger_over() => {}
            _ => return Poll::Ready(Ok(())),
        }
        ready!(this.socket.poll_shutdown(cx))?;
        this.state.lingers();
        let mut room = [0; SNIFF];
        loop {
            let mut buf = ReadBuf::new(&mut room);
            match ready!(this.socket.poll_read(cx, &mut buf)) {
                Ok(()) if !buf.filled().is_empty() => this.state.has_discarded(buf.filled().len()),
                Ok(()) | Err(_) => return Poll::Ready(Ok(())),
            }
        }
    }
}

impl Drop for Io {
    fn drop(&mut self) {
        if self.state.must_reset() {
            self.socket.reset_on_close();
        }
    }
}

#[cfg(test)]
mod tests;
