//! An HTTP/1.1 exchange in which nothing is sent but a head, and the protocol stays: what nearly every request is. It is
//! read and written within the task that waits for it, in the buffers of its connection; what has more to it is
//! hyper's ([`super::whole`]).

mod content;
mod head;

use std::future::{Future as _, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker, ready};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Request, Response, StatusCode, Version};
use http_body::Frame;
use tokio::io::{AsyncRead as _, AsyncReadExt as _, AsyncWrite as _, ReadBuf};
use tokio::task::unconstrained;

pub(super) use self::content::Content;
use self::content::Step;
use self::head::Look;
use super::fault;
use super::interim::OnInterim;
use super::wire::Wire;
use crate::error::{Error, ErrorKind};

/// Room for what is read at once, in bytes: at first, and where much comes.
const LEAST_ROOM: usize = 8 << 10;
const MOST_ROOM: usize = 64 << 10;

/// With less room left than this, more is made before the next read.
const SCANT_ROOM: usize = 2 << 10;

/// A connection that carries such exchanges, one after another.
#[derive(Debug)]
pub(super) struct Plain {
    wire: Wire,
    /// The request's head, and how much of it is written.
    output: Vec<u8>,
    written: usize,
    /// Whether something of it may be in a buffer below: TLS has one.
    unflushed: bool,
    /// What has been read and not been taken yet.
    input: BytesMut,
    room: usize,
    /// In bytes.
    max_head: usize,
    look: Look,
    /// Whether the connection may carry another exchange after this one.
    persists: bool,
    /// Whether others have had their turn since the exchange began.
    gathered: bool,
}

impl Plain {
    /// `max_head` bounds a response's status line and fields together, in bytes.
    pub(super) fn new(wire: Wire, max_head: usize) -> Self {
        Self {
            wire,
            output: Vec::new(),
            written: 0,
            unflushed: false,
            input: BytesMut::new(),
            room: LEAST_ROOM,
            max_head,
            look: Look::default(),
            persists: true,
            gathered: true,
        }
    }

    /// The socket, to be used in another way. Nothing is on its way on a connection that is ready.
    pub(super) fn into_wire(self) -> Wire {
        self.wire
    }

    /// Whether another request may be sent: the last exchange is over, and nothing has come since, no end either.
    pub(super) fn is_ready(&mut self) -> bool {
        let written = self.written == self.output.len() && !self.unflushed;
        self.persists && written && self.input.is_empty() && self.is_quiet()
    }

    /// Whether nothing has come that has not been read, no end either.
    fn is_quiet(&mut self) -> bool {
        let mut unasked = [0];
        let read =
            poll_fn(|cx| Pin::new(&mut self.wire).poll_read(cx, &mut ReadBuf::new(&mut unasked)));
        // Whatever the task has done in this turn: the answer must be true.
        pin!(unconstrained(read))
            .poll(&mut Context::from_waker(Waker::noop()))
            .is_pending()
    }

    /// Begins an exchange on a connection that is ready.
    pub(super) fn begin<B>(&mut self, request: &Request<B>) {
        self.output.clear();
        self.written = 0;
        self.gathered = false;
        self.room = LEAST_ROOM;
        self.look = Look::default();
        head::write(request, &mut self.output);
    }

    /// Whether nothing of the request has been written.
    pub(super) fn is_untouched(&self) -> bool {
        self.written == 0
    }

    /// The head of the final response. `told` gets those of interim ones before it.
    pub(super) fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        told: Option<&OnInterim>,
    ) -> Poll<Result<Response<()>, Error>> {
        if !std::mem::replace(&mut self.gathered, true) {
            // All requests that have come by now are sent one right after the other: a server that sleeps is woken once
            // for all of them, and not anew for each.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        // What comes before the request is no answer to it (RFC 9112 §9.2), but an end mostly.
        if self.is_untouched() && !self.is_quiet() {
            return Poll::Ready(Err(Error::upstream(ErrorKind::ConnectionTerminated)
                .detail(
                    "the upstream closed the connection, or sent something, before the request",
                )));
        }
        loop {
            self.write_on(cx).map_err(fault::before_head_io)?;
            while let Some(head) = self.look.at(&mut self.input, self.max_head)? {
                self.look = Look::default();
                let status = head.status();
                if status.is_informational() && status != StatusCode::SWITCHING_PROTOCOLS {
                    if let Some(told) = told {
                        told.tell(status, head.headers());
                    }
                    continue;
                }
                self.persists = persists(&head);
                return Poll::Ready(Ok(head));
            }
            if ready!(self.poll_fill(cx)).map_err(fault::before_head_io)? == 0 {
                return Poll::Ready(Err(Error::upstream(ErrorKind::ConnectionTerminated)
                    .detail(
                        "the upstream closed the connection before its response's head was whole",
                    )));
            }
        }
    }

    /// The next part of the response's content; `None` after its end.
    pub(super) fn poll_frame(
        &mut self,
        content: &mut Content,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let polled = self.poll_step(content, cx);
        if let Poll::Ready(Some(Err(_))) = &polled {
            self.persists = false;
        }
        polled
    }

    fn poll_step(
        &mut self,
        content: &mut Content,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        // The rest of a large head, where the response has overtaken it.
        if let Err(error) = self.write_on(cx) {
            return Poll::Ready(Some(Err(fault::within_body_io(error))));
        }
        loop {
            match content.take(&mut self.input, self.max_head) {
                Ok(Step::Frame(frame)) => return Poll::Ready(Some(Ok(frame))),
                Ok(Step::End) => return Poll::Ready(None),
                Ok(Step::More) => {}
                Err(error) => return Poll::Ready(Some(Err(error))),
            }
            match ready!(self.poll_fill(cx)) {
                Ok(0) => {
                    self.persists = false;
                    return Poll::Ready(content.at_close().map(Err));
                }
                Ok(_) => {}
                Err(error) => return Poll::Ready(Some(Err(fault::within_body_io(error)))),
            }
        }
    }

    /// Writes as much of the head as the socket takes.
    fn write_on(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        while let rest @ [_, ..] = &self.output[self.written..] {
            match Pin::new(&mut self.wire).poll_write(cx, rest)? {
                Poll::Ready(0) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(written) => self.written += written,
                Poll::Pending => return Ok(()),
            }
            self.unflushed = true;
        }
        if self.unflushed && Pin::new(&mut self.wire).poll_flush(cx)?.is_ready() {
            self.unflushed = false;
        }
        Ok(())
    }

    /// Reads more; zero at the end.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.input.capacity() - self.input.len() < SCANT_ROOM {
            self.input.reserve(self.room);
        }
        let free = self.input.capacity() - self.input.len();
        let read = ready!(pin!(self.wire.read_buf(&mut self.input)).poll(cx))?;
        if read == free {
            self.room = (self.room * 2).min(MOST_ROOM);
        }
        Poll::Ready(Ok(read))
    }
}

/// Whether the connection goes on after the response (RFC 9112 §9.3).
fn persists<B>(head: &Response<B>) -> bool {
    head.version() == Version::HTTP_11
        && head.status() != StatusCode::SWITCHING_PROTOCOLS
        && !says_close(head.headers())
}

fn says_close(fields: &HeaderMap) -> bool {
    crate::semantics::list::members(fields, &http::header::CONNECTION)
        .any(|option| option.eq_ignore_ascii_case(b"close"))
}
