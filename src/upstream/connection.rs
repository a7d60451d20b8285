//! One HTTP/1.1 connection, which one request has at a time: hyper's sender, what drives its socket, and the timer that
//! travels with it.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::header::UPGRADE;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::time::Instant;

use super::address::Address;
use super::deadline::{self, Deadline};
use super::driver::Driver;
use super::fault;
use super::interim::OnInterim;
use super::request_body::{RequestBody, Turn, Upload};
use super::wire::{Traffic, Wire};
use crate::error::{Error, ErrorKind};

/// Room for content in a connection's read buffer and, as much again, in its write buffer, in bytes.
const CONTENT_BUFFER: usize = 64 << 10;

#[derive(Debug)]
pub(super) struct Connection {
    sender: http1::SendRequest<RequestBody>,
    driver: Driver,
    traffic: Arc<Traffic>,
    deadline: Deadline,
    reused: bool,
    address: Option<Arc<Address>>,
}

/// Why no response came, and what may be done about it.
#[derive(Debug)]
pub(super) struct Unanswered {
    pub(super) error: Error,
    /// The request itself, when none of it has been written.
    pub(super) unsent: Option<Request<RequestBody>>,
    pub(super) fate: Fate,
}

/// What may have become of a request that was not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// The server says that it has done nothing with it.
    Refused,
    /// The connection broke before anything was heard of it: as a pooled one does that its peer has closed meanwhile.
    Silent,
    /// The server has it, or may have done anything with it.
    Answered,
}

impl Connection {
    /// `max_head` bounds the response's status line and fields together, in bytes.
    pub(super) async fn start(wire: Wire, max_head: usize) -> Result<Self, Error> {
        let traffic = wire.traffic();
        let (sender, connection) = http1::Builder::new()
            // RFC 9112 §5.1: a proxy removes white space between a field's name and its colon.
            .allow_spaces_after_header_name_in_responses(true)
            // The number of fields stays at hyper's 100: another one would cost an allocation a response.
            .max_header_size(max_head)
            .max_buf_size(max_head.max(CONTENT_BUFFER))
            .handshake(TokioIo::new(wire))
            .await
            .map_err(|error| fault::before_head(error, None))?;
        Ok(Self {
            sender,
            driver: Driver::new(connection),
            traffic,
            deadline: Deadline::default(),
            reused: false,
            address: None,
        })
    }

    pub(super) fn leads_to(&mut self, address: Option<Arc<Address>>) {
        self.address = address;
    }

    /// The address that it leads to; none for a Unix socket.
    pub(super) fn address(&self) -> Option<&Address> {
        self.address.as_deref()
    }

    /// Whether another request may be sent at once.
    pub(super) fn is_ready(&self) -> bool {
        if self.driver.has_news() {
            self.driver.look();
        }
        self.sender.is_ready()
    }

    pub(super) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    pub(super) fn is_reused(&self) -> bool {
        self.reused
    }

    pub(super) fn mark_reused(&mut self) {
        self.reused = true;
    }

    pub(super) fn deadline(&mut self) -> &mut Deadline {
        &mut self.deadline
    }

    /// Closes the socket, whatever is on its way.
    pub(super) fn abort(mut self) {
        self.driver.abort();
    }

    /// Moves what is on its way until `wanted`, which waits for a part of it, is ready.
    pub(super) fn poll_until<T>(
        &self,
        cx: &mut Context<'_>,
        wanted: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        self.driver.poll_until(cx, wanted)
    }

    /// The exchange is over, and nobody waits for anything of the connection.
    pub(super) fn rest(&mut self) {
        self.driver.rest();
    }

    /// Sends `request` and waits for a response's head, at most `timeout` from when the upstream had all that there
    /// was to send. Interim responses do not prolong that.
    pub(super) fn exchange(
        &mut self,
        mut request: Request<RequestBody>,
        timeout: Duration,
    ) -> impl Future<Output = Result<Response<Incoming>, Unanswered>> {
        if let Some(told) = OnInterim::of(&request) {
            hyper::ext::on_informational(&mut request, move |interim| {
                told.tell(interim.status(), interim.headers());
            });
        }
        let upload = request.body().upload();
        self.traffic.begin_request();
        let upgrades = request.headers().contains_key(UPGRADE);
        // Not within the future: it would be as large as a request.
        let sending = self.sender.try_send_request(request);
        if upgrades {
            self.driver.work_towards_upgrade();
        } else if upload.is_some() {
            self.driver.work_apart();
        }
        async move {
            let mut sending = pin!(sending);
            let (traffic, deadline, driver) = (&self.traffic, &mut self.deadline, &self.driver);
            let sent = poll_fn(|cx| driver.poll_until(cx, |cx| sending.as_mut().poll(cx)));
            let written = || traffic.last_written();
            match head_within(timeout, sent, deadline, written, upload.as_ref()).await {
                Some(Ok(response)) => Ok(response),
                Some(Err(mut failed)) => Err(Unanswered {
                    unsent: failed.take_message(),
                    fate: match self.traffic.is_answered() {
                        true => Fate::Answered,
                        false => Fate::Silent,
                    },
                    error: fault::before_head(failed.into_error(), upload.as_ref()),
                }),
                None => Err(Unanswered {
                    error: Error::upstream(ErrorKind::ResponseTimeout),
                    unsent: None,
                    fate: Fate::Answered,
                }),
            }
        }
    }

    /// Waits until the request's content has been sent, too, after its response has ended.
    ///
    /// Fails when the connection closes, or when nothing moves for `stall`.
    pub(super) async fn settle(&mut self, stall: Duration) -> Result<(), ()> {
        self.deadline.arm(stall);
        let Self {
            sender,
            driver,
            traffic,
            deadline,
            ..
        } = self;
        poll_fn(|cx| {
            if let Poll::Ready(ready) = driver.poll_until(cx, |cx| sender.poll_ready(cx)) {
                return Poll::Ready(ready.map_err(|_closed| ()));
            }
            poll_overdue(deadline, || traffic.last_written(), None, stall, cx).map(Err)
        })
        .await
    }
}

/// Waits for a response's head, at most `timeout` from when the upstream's turn began; `None` when that has passed.
///
/// `written` tells when the latest part of the request was handed to the upstream.
pub(super) async fn head_within<F: Future>(
    timeout: Duration,
    sending: F,
    deadline: &mut Deadline,
    written: impl Fn() -> Instant,
    upload: Option<&Upload>,
) -> Option<F::Output> {
    deadline.arm(timeout);
    let mut sending = pin!(sending);
    poll_fn(|cx| {
        if let Poll::Ready(sent) = sending.as_mut().poll(cx) {
            return Poll::Ready(Some(sent));
        }
        poll_overdue(deadline, &written, upload, timeout, cx).map(|()| None)
    })
    .await
}

/// Ready when `timeout` has passed since the upstream's turn began. The timer runs ahead of that: what moved while it
/// ran is reckoned with when it rings.
fn poll_overdue(
    deadline: &mut Deadline,
    written: impl Fn() -> Instant,
    upload: Option<&Upload>,
    timeout: Duration,
    cx: &mut Context<'_>,
) -> Poll<()> {
    while deadline.poll_passed(cx).is_ready() {
        let now = deadline::timer_now();
        let until = match upload.map(Upload::turn) {
            Some(Turn::Client) => deadline::far(now, timeout),
            Some(Turn::Upstream(at)) => deadline::far(at.max(written()), timeout),
            Some(Turn::Unasked) | None => deadline::far(written(), timeout),
        };
        if until <= now {
            return Poll::Ready(());
        }
        deadline.arm_at(Instant::max(until, now));
    }
    Poll::Pending
}
