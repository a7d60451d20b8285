//! HTTP/1.1 exchanges whose request is only a head, and which do not change the protocol: nearly all. The task that waits
//! for the response reads and writes them, in the buffers of the connection. [`super::hyper_engine`] has the others.

mod content;
mod head;

use std::future::{Future as _, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{Request, Response, StatusCode, Version};
use http_body::Frame;
use tokio::io::{AsyncReadExt as _, AsyncWrite as _};
use tokio::task::yield_now;

pub(in crate::upstream) use self::content::Content;
use self::content::Step;
use self::head::HeadReader;
use crate::error::{Error, ErrorKind};
use crate::upstream::deadline::Deadline;
use crate::upstream::errors;
use crate::upstream::interim::OnInterim;
use crate::upstream::limits::HeadLimits;
use crate::upstream::outcome::{Resend, Unanswered};
use crate::upstream::request_body::RequestBody;
use crate::upstream::response_deadline::head_within;
use crate::upstream::wire::{Traffic, Wire};

/// Room for one read, in bytes: at first, and where reads fill it.
const MIN_ROOM: usize = 8 << 10;
const MAX_ROOM: usize = 64 << 10;

/// With less room left than this, more is made before the next read.
const LOW_ROOM: usize = 2 << 10;

/// A connection in the hands of this engine.
#[derive(Debug)]
pub(in crate::upstream) struct NativeEngine {
    wire: Wire,
    /// The request's head, and how much of it is written.
    output: Vec<u8>,
    written: usize,
    /// Whether a part of it may be in a buffer below: TLS has one.
    unflushed: bool,
    /// Why the rest of the head cannot be written. The server may still answer the part that it has.
    write_error: Option<io::Error>,
    /// Octets that have been read and not been parsed yet.
    input: BytesMut,
    room: usize,
    limits: HeadLimits,
    head_reader: HeadReader,
    /// Whether the connection may carry another exchange after this one.
    persists: bool,
    /// Whether the task has yielded since the exchange began.
    has_yielded: bool,
}

impl NativeEngine {
    pub(in crate::upstream) fn new(wire: Wire, limits: HeadLimits) -> Self {
        Self {
            wire,
            output: Vec::new(),
            written: 0,
            unflushed: false,
            write_error: None,
            input: BytesMut::new(),
            room: MIN_ROOM,
            limits,
            head_reader: HeadReader::default(),
            persists: true,
            has_yielded: true,
        }
    }

    /// The socket, for another engine. A connection that is ready has nothing left to read or write.
    pub(in crate::upstream) fn into_wire(self) -> Wire {
        self.wire
    }

    /// Whether another request may be sent: the last exchange is over, and neither data nor an end has come since.
    pub(in crate::upstream) fn is_ready(&mut self) -> bool {
        let written = self.written == self.output.len() && !self.unflushed;
        self.persists && written && self.input.is_empty() && self.wire.is_quiet()
    }

    /// Whether nothing of the request has been written.
    fn is_unwritten(&self) -> bool {
        self.written == 0
    }

    /// As [`crate::upstream::http1::connection::Connection::exchange`].
    pub(in crate::upstream) async fn exchange(
        &mut self,
        request: Request<RequestBody>,
        timeout: Duration,
        traffic: &Traffic,
        deadline: &mut Deadline,
    ) -> Result<Response<()>, Unanswered> {
        let on_interim = OnInterim::of(&request);
        self.output.clear();
        self.written = 0;
        self.has_yielded = false;
        self.room = MIN_ROOM;
        self.head_reader = HeadReader::default();
        head::write(&request, &mut self.output);
        let head = poll_fn(|cx| self.poll_head(cx, on_interim.as_ref()));
        match head_within(timeout, head, deadline, || traffic.last_written(), None).await {
            Some(Ok(head)) => Ok(head),
            Some(Err(error)) => Err(Unanswered {
                error,
                unsent: self.is_unwritten().then_some(request),
                resend: traffic.resend(),
            }),
            None => Err(Unanswered {
                error: Error::upstream(ErrorKind::ResponseTimeout),
                unsent: None,
                resend: Resend::Never,
            }),
        }
    }

    /// The head of the final response. Those of interim ones before it go to `on_interim`.
    fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        on_interim: Option<&OnInterim>,
    ) -> Poll<Result<Response<()>, Error>> {
        if !std::mem::replace(&mut self.has_yielded, true) {
            // All requests that have come by now are sent one right after the other: an idle server wakes up once for all
            // of them, and not once for each. And the runtime polls its sockets before the next turn: it is known then
            // whether anything has come on this one.
            let turn = pin!(yield_now()).poll(cx);
            debug_assert!(turn.is_pending(), "other tasks run first");
            return Poll::Pending;
        }
        // Data before the request are no response to it (RFC 9112 §9.2); mostly it is an end that has come.
        if self.is_unwritten() && !self.wire.is_quiet() {
            return Poll::Ready(Err(Error::upstream(ErrorKind::ConnectionTerminated)
                .detail(
                    "the upstream closed the connection, or sent something, before the request",
                )));
        }
        loop {
            self.write_more(cx).map_err(errors::before_head_io)?;
            while let Some(head) = self.head_reader.take(&mut self.input, self.limits)? {
                self.head_reader = HeadReader::default();
                let status = head.status();
                self.persists &= persists(&head);
                if status.is_informational() && status != StatusCode::SWITCHING_PROTOCOLS {
                    if let Some(on_interim) = on_interim {
                        on_interim.call(status, head.headers());
                    }
                    continue;
                }
                return Poll::Ready(Ok(head));
            }
            let read = ready!(self.poll_read_more(cx));
            if let Ok(0) | Err(_) = read
                && let Some(write_error) = self.write_error.take()
            {
                return Poll::Ready(Err(errors::before_head_io(write_error)));
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
        let polled = self.poll_content(content, cx);
        if let Poll::Ready(Some(Err(_))) = &polled {
            self.persists = false;
        }
        polled
    }

    fn poll_content(
        &mut self,
        content: &mut Content,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        // The rest of a large head, where the response came before it was written.
        if let Err(error) = self.write_more(cx) {
            return Poll::Ready(Some(Err(errors::within_body_io(error))));
        }
        loop {
            match content.take(&mut self.input, self.limits) {
                Ok(Step::Frame(frame)) => return Poll::Ready(Some(Ok(frame))),
                Ok(Step::End) => return Poll::Ready(None),
                Ok(Step::More) => {}
                Err(error) => return Poll::Ready(Some(Err(error))),
            }
            match ready!(self.poll_read_more(cx)) {
                Ok(0) => {
                    self.persists = false;
                    return Poll::Ready(content.error_at_close().map(Err));
                }
                Ok(_) => {}
                Err(error) => return Poll::Ready(Some(Err(errors::within_body_io(error)))),
            }
        }
    }

    /// Writes as much of the head as the socket takes. Fails when it takes nothing at all.
    fn write_more(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if self.write_error.is_some() {
            return Ok(());
        }
        let Err(error) = self.try_write(cx) else {
            return Ok(());
        };
        self.persists = false;
        if self.is_unwritten() {
            return Err(error);
        }
        // A server may answer and close before it has read all of the request (RFC 9112 §9.6).
        self.write_error = Some(error);
        Ok(())
    }

    fn try_write(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
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
    fn poll_read_more(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.input.capacity() - self.input.len() < LOW_ROOM {
            self.input.reserve(self.room);
        }
        let free = self.input.capacity() - self.input.len();
        let read = ready!(pin!(self.wire.read_buf(&mut self.input)).poll(cx))?;
        if read == free {
            self.room = (self.room * 2).min(MAX_ROOM);
        }
        Poll::Ready(Ok(read))
    }
}

/// Whether the connection goes on after a response, final or interim (RFC 9112 §9.3, §9.6).
fn persists<B>(head: &Response<B>) -> bool {
    let (status, fields) = (head.status(), head.headers());
    // Connection options are tokens: quotes have no meaning.
    let options = fields.get_all(CONNECTION).iter();
    let mut options = options.flat_map(|value| value.as_bytes().split(|octet| *octet == b','));
    let closes = options.any(|option| option.trim_ascii().eq_ignore_ascii_case(b"close"));
    // RFC 9112 §6.1, RFC 9110 §8.6: by its fields it has content, by its status none. The octets after it may be either.
    let length = fields.get(CONTENT_LENGTH);
    let contradicts = (status.is_informational() || status == StatusCode::NO_CONTENT)
        && (fields.contains_key(TRANSFER_ENCODING)
            || length.is_some_and(|length| length.as_bytes() != b"0"));
    head.version() == Version::HTTP_11
        && status != StatusCode::SWITCHING_PROTOCOLS
        && !closes
        && !contradicts
}
