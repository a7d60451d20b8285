//! One HTTP/1.1 connection, which one request has at a time: its socket, what reads and writes it, and the timer that
//! travels with it.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::UPGRADE;
use http::{Request, Response};
use http_body::Frame;
use tokio::time::Instant;

use crate::error::{Error, ErrorKind};
use crate::turn;
use crate::upstream::deadline::{self, Deadline};
use crate::upstream::http1::hyper_engine::Whole;
use crate::upstream::http1::native_engine::{Content, Plain};
use crate::upstream::incoming::Incoming;
use crate::upstream::interim::OnInterim;
use crate::upstream::names::address::Address;
use crate::upstream::request_body::{RequestBody, Turn, Upload};
use crate::upstream::response_head::HeadLimits;
use crate::upstream::wire::{Traffic, Wire};

#[derive(Debug)]
pub(in crate::upstream) struct Connection {
    engine: Engine,
    head: HeadLimits,
    traffic: Arc<Traffic>,
    deadline: Deadline,
    reused: bool,
    address: Option<Arc<Address>>,
}

/// What reads and writes a connection. It changes only between two exchanges.
#[derive(Debug)]
enum Engine {
    Plain(Box<Plain>),
    Whole(Box<Whole>),
    /// It broke on its way from one to the other.
    None,
}

/// Why no response came, and what may be done about it.
#[derive(Debug)]
pub(in crate::upstream) struct Unanswered {
    pub(in crate::upstream) error: Error,
    /// The request itself, when none of it has been written.
    pub(in crate::upstream) unsent: Option<Request<RequestBody>>,
    pub(in crate::upstream) fate: Fate,
}

/// What may have become of a request that was not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::upstream) enum Fate {
    /// The server has done nothing with it: it says so, or none of it was written.
    Refused,
    /// The connection broke before anything was heard of it: as a pooled one does that its peer has closed meanwhile.
    Silent,
    /// The server has it, or may have done anything with it.
    Answered,
}

impl Fate {
    /// Of a request on a connection that broke.
    pub(in crate::upstream) fn seen(traffic: &Traffic) -> Self {
        match (traffic.is_answered(), traffic.is_begun()) {
            (true, _) => Self::Answered,
            (false, true) => Self::Silent,
            (false, false) => Self::Refused,
        }
    }
}

impl Connection {
    pub(in crate::upstream) fn new(wire: Wire, head: HeadLimits) -> Self {
        Self {
            traffic: wire.traffic(),
            engine: Engine::Plain(Box::new(Plain::new(wire, head))),
            head,
            deadline: Deadline::default(),
            reused: false,
            address: None,
        }
    }

    pub(in crate::upstream) fn leads_to(&mut self, address: Option<Arc<Address>>) {
        self.address = address;
    }

    /// The address that it leads to; none for a Unix socket.
    pub(in crate::upstream) fn address(&self) -> Option<&Address> {
        self.address.as_deref()
    }

    /// Whether its server's name leads elsewhere by now.
    pub(in crate::upstream) fn is_astray(&self) -> bool {
        self.address().is_some_and(Address::has_left)
    }

    /// Whether another request may be sent at once.
    pub(in crate::upstream) fn is_ready(&mut self) -> bool {
        match &mut self.engine {
            Engine::Plain(plain) => plain.is_ready(),
            Engine::Whole(whole) => whole.is_ready(),
            Engine::None => false,
        }
    }

    /// Whether there is no use in waiting for it to be ready.
    pub(in crate::upstream) fn is_closed(&self) -> bool {
        match &self.engine {
            // Its exchange is over, or it never will be.
            Engine::Plain(_) | Engine::None => true,
            Engine::Whole(whole) => whole.is_closed(),
        }
    }

    #[cfg(test)]
    pub(in crate::upstream) fn is_plain(&self) -> bool {
        matches!(self.engine, Engine::Plain(_))
    }

    pub(in crate::upstream) fn is_reused(&self) -> bool {
        self.reused
    }

    pub(in crate::upstream) fn mark_reused(&mut self) {
        self.reused = true;
    }

    pub(in crate::upstream) fn deadline(&mut self) -> &mut Deadline {
        &mut self.deadline
    }

    /// Closes the socket, whatever is on its way.
    pub(in crate::upstream) fn abort(mut self) {
        if let Engine::Whole(whole) = &mut self.engine {
            whole.abort();
        }
    }

    /// The next part of a response's content; `None` after its end.
    pub(in crate::upstream) fn poll_frame(
        &mut self,
        incoming: &mut Incoming,
        upload: Option<&Upload>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        match (&mut self.engine, incoming) {
            (Engine::Plain(plain), Incoming::Plain(content)) => plain.poll_frame(content, cx),
            (Engine::Whole(whole), incoming) => {
                whole.poll_until(cx, |cx| incoming.poll_frame(cx, upload))
            }
            (_, incoming) => incoming.poll_frame(cx, upload),
        }
    }

    /// The exchange is over, and nobody waits for anything of the connection. Whether another request may still be sent.
    #[must_use]
    pub(in crate::upstream) fn rest(&mut self) -> bool {
        if let Engine::Whole(whole) = &mut self.engine {
            let Some(wire) = whole.rest() else {
                return whole.is_ready();
            };
            self.engine = Engine::Plain(Box::new(Plain::new(wire, self.head)));
        }
        true
    }

    /// Sends `request` and waits for a response's head, at most `timeout` from when the upstream had all that there
    /// was to send. Interim responses do not prolong that.
    pub(in crate::upstream) async fn exchange(
        &mut self,
        request: Request<RequestBody>,
        timeout: Duration,
    ) -> Result<Response<Incoming>, Unanswered> {
        self.traffic.begin_request();
        let is_plain = matches!(request.body(), RequestBody::Empty)
            && !request.headers().contains_key(UPGRADE);
        match &mut self.engine {
            Engine::Plain(plain) if is_plain => {
                let (traffic, deadline) = (&self.traffic, &mut self.deadline);
                exchange_plainly(plain, request, timeout, traffic, deadline).await
            }
            // Larger, and rarer.
            _ => Box::pin(self.exchange_whole(request, timeout)).await,
        }
    }

    async fn exchange_whole(
        &mut self,
        request: Request<RequestBody>,
        timeout: Duration,
    ) -> Result<Response<Incoming>, Unanswered> {
        let unsent = |request, error| Unanswered {
            error,
            unsent: Some(request),
            fate: Fate::Silent,
        };
        if let Engine::Plain(_) = &self.engine
            && let Engine::Plain(plain) = std::mem::replace(&mut self.engine, Engine::None)
        {
            match Whole::start(plain.into_wire(), self.head).await {
                Ok(whole) => self.engine = Engine::Whole(Box::new(whole)),
                Err(error) => return Err(unsent(request, error)),
            }
        }
        let Engine::Whole(whole) = &mut self.engine else {
            return Err(unsent(request, Error::internal()));
        };
        let answer = whole.exchange(request, timeout, &self.traffic, &mut self.deadline);
        answer.await.map(|answer| answer.map(Incoming::Http1))
    }

    /// Waits until the request's content has been sent, too, after its response has ended.
    ///
    /// Fails when the connection closes, or when the server takes nothing for `stall`.
    pub(in crate::upstream) async fn settle(
        &mut self,
        stall: Duration,
        upload: Option<&Upload>,
    ) -> Result<(), ()> {
        let (traffic, deadline) = (&self.traffic, &mut self.deadline);
        match &mut self.engine {
            Engine::Whole(whole) => whole.settle(stall, traffic, deadline, upload).await,
            Engine::Plain(_) | Engine::None => Err(()),
        }
    }
}

async fn exchange_plainly(
    plain: &mut Plain,
    request: Request<RequestBody>,
    timeout: Duration,
    traffic: &Traffic,
    deadline: &mut Deadline,
) -> Result<Response<Incoming>, Unanswered> {
    let told = OnInterim::of(&request);
    plain.begin(&request);
    let head = poll_fn(|cx| plain.poll_head(cx, told.as_ref()));
    match head_within(timeout, head, deadline, || traffic.last_written(), None).await {
        // How it is framed is found out by who looks at the head.
        Some(Ok(head)) => Ok(head.map(|()| Incoming::Plain(Content::Ended))),
        Some(Err(error)) => Err(Unanswered {
            error,
            unsent: plain.is_untouched().then_some(request),
            fate: Fate::seen(traffic),
        }),
        None => Err(Unanswered {
            error: Error::upstream(ErrorKind::ResponseTimeout),
            unsent: None,
            fate: Fate::Answered,
        }),
    }
}

/// Waits for a response's head, at most `timeout` from when the upstream's turn began; `None` when that has passed.
///
/// `written` tells when the latest part of the request was handed to the upstream.
pub(in crate::upstream) async fn head_within<F: Future>(
    timeout: Duration,
    sending: F,
    deadline: &mut Deadline,
    written: impl Fn() -> Instant,
    upload: Option<&Upload>,
) -> Option<F::Output> {
    deadline.arm(timeout);
    let mut sending = pin!(sending);
    poll_fn(|cx| {
        let late = turn::is_over();
        match sending.as_mut().poll(cx) {
            Poll::Ready(sent) => return Poll::Ready(Some(sent)),
            Poll::Pending if late => return turn::put_off(cx),
            Poll::Pending => {}
        }
        poll_overdue(deadline, &written, upload, timeout, cx).map(|()| None)
    })
    .await
}

/// Ready when `timeout` has passed since the upstream's turn began. The timer runs ahead of that: what moved while it
/// ran is reckoned with when it rings.
pub(in crate::upstream) fn poll_overdue(
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
