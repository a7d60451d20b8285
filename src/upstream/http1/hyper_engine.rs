//! HTTP/1.1 exchanges with content to send, with trailers and expectations, or with a change of the protocol. hyper reads
//! and writes them; [`super::driver`] drives its socket.

use std::future::{Future as _, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http::header::UPGRADE;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;

use crate::error::{Error, ErrorKind};
use crate::upstream::deadline::Deadline;
use crate::upstream::errors;
use crate::upstream::http1::driver::Driver;
use crate::upstream::interim::OnInterim;
use crate::upstream::limits::HeadLimits;
use crate::upstream::outcome::{Resend, Unanswered};
use crate::upstream::request_body::{RequestBody, Upload};
use crate::upstream::response_deadline::{head_within, poll_overdue};
use crate::upstream::wire::{AfterWriteError, Traffic, Wire};

/// Room for content in a connection's read buffer and, as much again, in its write buffer, in bytes.
const CONTENT_BUFFER: usize = 64 << 10;

/// A connection in hyper's hands.
#[derive(Debug)]
pub(in crate::upstream) struct HyperEngine {
    sender: http1::SendRequest<RequestBody>,
    driver: Driver,
}

impl HyperEngine {
    pub(in crate::upstream) async fn start(
        mut wire: Wire,
        head: HeadLimits,
    ) -> Result<Self, Error> {
        wire.after_write_error(AfterWriteError::Wait);
        let (sender, connection) = http1::Builder::new()
            // RFC 9112 §5.1: a proxy removes white space between a field's name and its colon.
            .allow_spaces_after_header_name_in_responses(true)
            .max_headers(head.fields)
            .max_header_size(head.bytes)
            .max_buf_size(head.bytes.max(CONTENT_BUFFER))
            .handshake(TokioIo::new(wire))
            .await
            .map_err(|error| errors::before_head(error, None))?;
        Ok(Self {
            sender,
            driver: Driver::new(connection),
        })
    }

    /// Whether another request may be sent at once.
    pub(in crate::upstream) fn is_ready(&self) -> bool {
        if self.driver.is_woken() {
            self.driver.poll_once();
        }
        self.sender.is_ready()
    }

    pub(in crate::upstream) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Closes the socket, whatever is on its way.
    pub(in crate::upstream) fn abort(&mut self) {
        self.driver.abort();
    }

    /// Drives the connection until `wanted`, which waits for a part of the exchange, is ready.
    pub(in crate::upstream) fn poll_until<T>(
        &self,
        cx: &mut Context<'_>,
        wanted: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        self.driver.poll_until(cx, wanted)
    }

    /// The exchange is over, and nothing of the connection is waited for. Returns the socket, where nothing is left to be
    /// read or written.
    pub(in crate::upstream) fn end_exchange(&mut self) -> Option<Wire> {
        self.driver.detach();
        if !self.sender.is_ready() {
            return None;
        }
        self.driver.take_wire()
    }

    /// As [`crate::upstream::http1::connection::Connection::exchange`].
    pub(in crate::upstream) async fn exchange(
        &mut self,
        mut request: Request<RequestBody>,
        timeout: Duration,
        traffic: &Traffic,
        deadline: &mut Deadline,
    ) -> Result<Response<Incoming>, Unanswered> {
        if let Some(on_interim) = OnInterim::of(&request) {
            hyper::ext::on_informational(&mut request, move |interim| {
                on_interim.call(interim.status(), interim.headers());
            });
        }
        let upload = request.body().upload();
        let upgrades = request.headers().contains_key(UPGRADE);
        let mut sending = pin!(self.sender.try_send_request(request));
        if upgrades {
            self.driver.spawn_for_upgrade();
        } else if upload.is_some() {
            self.driver.spawn();
        }
        let driver = &self.driver;
        let sent = poll_fn(|cx| driver.poll_until(cx, |cx| sending.as_mut().poll(cx)));
        let written = || traffic.last_written();
        match head_within(timeout, sent, deadline, written, upload.as_ref()).await {
            Some(Ok(response)) => Ok(response),
            Some(Err(mut failed)) => Err(Unanswered {
                unsent: failed.take_message(),
                resend: traffic.resend(),
                error: errors::before_head(failed.into_error(), upload.as_ref()),
            }),
            None => Err(Unanswered {
                error: Error::upstream(ErrorKind::ResponseTimeout),
                unsent: None,
                resend: Resend::Never,
            }),
        }
    }

    /// As [`crate::upstream::http1::connection::Connection::finish_sending`].
    pub(in crate::upstream) async fn finish_sending(
        &mut self,
        stall: Duration,
        traffic: &Traffic,
        deadline: &mut Deadline,
        upload: Option<&Upload>,
    ) -> Result<(), ()> {
        deadline.arm(stall);
        let Self { sender, driver } = self;
        poll_fn(|cx| {
            if let Poll::Ready(ready) = driver.poll_until(cx, |cx| sender.poll_ready(cx)) {
                return Poll::Ready(ready.map_err(|_closed| ()));
            }
            poll_overdue(deadline, || traffic.last_written(), upload, stall, cx).map(Err)
        })
        .await
    }
}
