//! An HTTP/1.1 exchange in which nothing is sent but a head, and the protocol stays: what nearly every request is. It is
//! read and written within the task that waits for it, in the buffers of its connection; what has more to it is
//! hyper's ([`crate::upstream::http1::hyper_engine`]).

mod content;
mod head;

use std::future::Future as _;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, Request, Response, StatusCode, Version};
use http_body::Frame;
use tokio::io::{AsyncReadExt as _, AsyncWrite as _};
use tokio::task::yield_now;

pub(in crate::upstream) use self::content::Content;
use self::content::Step;
use self::head::Look;
use crate::error::{Error, ErrorKind};
use crate::upstream::errors;
use crate::upstream::interim::OnInterim;
use crate::upstream::response_head::HeadLimits;
use crate::upstream::wire::Wire;

/// Room for what is read at once, in bytes: at first, and where much comes.
const LEAST_ROOM: usize = 8 << 10;
const MOST_ROOM: usize = 64 << 10;

/// With less room left than this, more is made before the next read.
const SCANT_ROOM: usize = 2 << 10;

/// A connection that carries such exchanges, one after another.
#[derive(Debug)]
pub(in crate::upstream) struct Plain {
    wire: Wire,
    /// The request's head, and how much of it is written.
    output: Vec<u8>,
    written: usize,
    /// Whether something of it may be in a buffer below: TLS has one.
    unflushed: bool,
    /// Why the rest of the head cannot be written. What the server says to its beginning may still come.
    deaf: Option<io::Error>,
    /// What has been read and not been taken yet.
    input: BytesMut,
    room: usize,
    limits: HeadLimits,
    look: Look,
    /// Whether the connection may carry another exchange after this one.
    persists: bool,
    /// Whether others have had their turn since the exchange began.
    gathered: bool,
}

impl Plain {
    pub(in crate::upstream) fn new(wire: Wire, limits: HeadLimits) -> Self {
        Self {
            wire,
            output: Vec::new(),
            written: 0,
            unflushed: false,
            deaf: None,
            input: BytesMut::new(),
            room: LEAST_ROOM,
            limits,
            look: Look::default(),
            persists: true,
            gathered: true,
        }
    }

    /// The socket, to be used in another way. Nothing is on its way on a connection that is ready.
    pub(in crate::upstream) fn into_wire(self) -> Wire {
        self.wire
    }

    /// Whether another request may be sent: the last exchange is over, and nothing has come since, no end either.
    pub(in crate::upstream) fn is_ready(&mut self) -> bool {
        let written = self.written == self.output.len() && !self.unflushed;
        self.persists && written && self.input.is_empty() && self.wire.is_quiet()
    }

    /// Begins an exchange on a connection that is ready.
    pub(in crate::upstream) fn begin<B>(&mut self, request: &Request<B>) {
        self.output.clear();
        self.written = 0;
        self.gathered = false;
        self.room = LEAST_ROOM;
        self.look = Look::default();
        head::write(request, &mut self.output);
    }

    /// Whether nothing of the request has been written.
    pub(in crate::upstream) fn is_untouched(&self) -> bool {
        self.written == 0
    }

    /// The head of the final response. `told` gets those of interim ones before it.
    pub(in crate::upstream) fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        told: Option<&OnInterim>,
    ) -> Poll<Result<Response<()>, Error>> {
        if !std::mem::replace(&mut self.gathered, true) {
            // All requests that have come by now are sent one right after the other: a server that sleeps is woken once
            // for all of them, and not anew for each. And the runtime looks at its sockets before the next turn: what
            // has come on this one is known then.
            let turn = pin!(yield_now()).poll(cx);
            debug_assert!(turn.is_pending(), "others have their turn");
            return Poll::Pending;
        }
        // What comes before the request is no answer to it (RFC 9112 §9.2), but an end mostly.
        if self.is_untouched() && !self.wire.is_quiet() {
            return Poll::Ready(Err(Error::upstream(ErrorKind::ConnectionTerminated)
                .detail(
                    "the upstream closed the connection, or sent something, before the request",
                )));
        }
        loop {
            self.write_on(cx).map_err(errors::before_head_io)?;
            while let Some(head) = self.look.at(&mut self.input, self.limits)? {
                self.look = Look::default();
                let status = head.status();
                self.persists &= persists(&head);
                if status.is_informational() && status != StatusCode::SWITCHING_PROTOCOLS {
                    if let Some(told) = told {
                        told.tell(status, head.headers());
                    }
                    continue;
                }
                return Poll::Ready(Ok(head));
            }
            let read = ready!(self.poll_fill(cx));
            if let Ok(0) | Err(_) = read
                && let Some(deaf) = self.deaf.take()
            {
                return Poll::Ready(Err(errors::before_head_io(deaf)));
            }
            if read.map_err(errors::before_head_io)? == 0 {
                return Poll::Ready(Err(Error::upstream(ErrorKind::ConnectionTerminated)
                    .detail(
                        "the upstream closed the connection before its response's head was whole",
                    )));
            }
        }
    }

    /// The next part of the response's content; `None` after its end.
    pub(in crate::upstream) fn poll_frame(
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
            return Poll::Ready(Some(Err(errors::within_body_io(error))));
        }
        loop {
            match content.take(&mut self.input, self.limits) {
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
                Err(error) => return Poll::Ready(Some(Err(errors::within_body_io(error)))),
            }
        }
    }

    /// Writes as much of the head as the socket takes. Fails when it takes nothing at all.
    fn write_on(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if self.deaf.is_some() {
            return Ok(());
        }
        let Err(error) = self.try_write_on(cx) else {
            return Ok(());
        };
        self.persists = false;
        if self.is_untouched() {
            return Err(error);
        }
        // A server that has heard enough may answer before it closes (RFC 9112 §9.6).
        self.deaf = Some(error);
        Ok(())
    }

    fn try_write_on(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
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

/// Whether the connection goes on after a response, final or interim (RFC 9112 §9.3, §9.6).
fn persists<B>(head: &Response<B>) -> bool {
    head.version() == Version::HTTP_11
        && head.status() != StatusCode::SWITCHING_PROTOCOLS
        && !says_close(head.headers())
        && !announces_what_it_has_not(head)
}

/// Whether it has content by its fields and none by its status (RFC 9112 §6.1, RFC 9110 §8.6): nobody knows what comes.
fn announces_what_it_has_not<B>(head: &Response<B>) -> bool {
    let status = head.status();
    let length = head.headers().get(CONTENT_LENGTH);
    (status.is_informational() || status == StatusCode::NO_CONTENT)
        && (head.headers().contains_key(TRANSFER_ENCODING)
            || length.is_some_and(|length| length.as_bytes() != b"0"))
}

/// Connection options are tokens: a quote is no reason to read less of them.
fn says_close(fields: &HeaderMap) -> bool {
    let values = fields.get_all(CONNECTION).iter();
    let mut options = values.flat_map(|value| value.as_bytes().split(|octet| *octet == b','));
    options.any(|option| option.trim_ascii().eq_ignore_ascii_case(b"close"))
}
