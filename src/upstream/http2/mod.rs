//! One HTTP/2 connection, which many requests of a worker share: each has a [`Stream`] of it.

mod keep_alive;
mod stream;

use std::cell::{Cell, RefCell};
use std::future::{Future as _, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use h2::client::{self, SendRequest};
use tokio::sync::Notify;
use tokio::task::spawn_local;

use self::keep_alive::Pulse;
pub(super) use self::stream::{Content, Stream};
use super::errors;
use super::names::address::Address;
use super::response_head::HeadLimits;
use super::wire::{OnBroken, Wire};
use crate::clock::{Clock, Monotonic};
use crate::config;
use crate::error::{Error, ErrorKind};
use crate::guard::Guarded;

/// Content that waits in one stream's write buffer, in bytes.
const SEND_BUFFER: usize = 64 << 10;

/// RFC 9113 §6.9.1.
const MAX_WINDOW: u32 = (1 << 31) - 1;

/// What the configuration says about HTTP/2 connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limits {
    /// Requests on one connection at a time.
    pub(super) streams: usize,
    /// Response content in flight on one stream, in bytes.
    pub(super) stream_window: u32,
    pub(super) head: HeadLimits,
    /// From the open socket to the server's first frame.
    pub(super) greeting: Duration,
}

impl Limits {
    pub(super) fn of(upstream: &config::Upstream) -> Self {
        Self {
            streams: upstream.http2.max_concurrent_streams,
            stream_window: upstream.http2.stream_window,
            head: HeadLimits::of(upstream),
            greeting: upstream.connect_timeout,
        }
    }
}

/// A connection. It is closed when this and all its streams are gone.
#[derive(Debug)]
pub(super) struct Shared {
    /// Where it leads; none for a Unix socket.
    address: Option<Arc<Address>>,
    sender: SendRequest<Bytes>,
    status: Rc<Status>,
    /// Our own limit of streams.
    limit: Cell<usize>,
    head: HeadLimits,
    used: Cell<bool>,
    /// When its last stream ended.
    idle_since: Cell<Monotonic>,
    clock: Clock,
    /// Rung when a stream has become free, or the connection has ended.
    freed: Rc<Notify>,
}

/// What the task that drives the connection knows, and has to know.
#[derive(Debug, Default)]
struct Status {
    active: Cell<usize>,
    /// Streams that the server lets us have at a time.
    allowed: Cell<usize>,
    /// Whether the server's settings have come.
    settled: Cell<bool>,
    ended: Cell<bool>,
    /// Whether a request has waited in vain, and the server has not shown since that it is there.
    doubted: Cell<bool>,
    driver: RefCell<Option<Waker>>,
    failure: RefCell<Option<h2::Error>>,
    greeted: Notify,
}

impl Shared {
    /// Speaks HTTP/2 from the first byte on, and waits for the server's settings, which say how much it bears.
    pub(super) async fn start(
        mut wire: Wire,
        address: Option<Arc<Address>>,
        limits: &Limits,
        freed: Rc<Notify>,
        clock: Clock,
    ) -> Result<Rc<Self>, Error> {
        wire.on_broken(OnBroken::Discard);
        let first_read = wire.tell_first_read();
        let window = u64::from(limits.stream_window) * limits.streams as u64;
        let (sender, connection) = client::Builder::new()
            .initial_window_size(limits.stream_window)
            // Until its settings have come.
            .initial_max_send_streams(0)
            // As much as all streams together: a reader that stands still holds up none but itself. Nor shall what small
            // frames cost beside their content (below) break the connection for all: h2 would bear a quarter of that.
            .initial_connection_window_size(
                u32::try_from(window).unwrap_or(MAX_WINDOW).min(MAX_WINDOW),
            )
            .max_header_list_size(u32::try_from(limits.head.bytes).unwrap_or(u32::MAX))
            .data_frame_budget(
                usize::try_from(window)
                    .unwrap_or(usize::MAX)
                    .saturating_mul(2),
            )
            .max_send_buffer_size(SEND_BUFFER)
            .enable_push(false)
            .handshake(Guarded::from_server(wire))
            .await
            .map_err(|error| errors::of_stream(error, None))?;
        let status = Rc::<Status>::default();
        spawn_local(drive(connection, status.clone(), first_read, freed.clone()));
        match tokio::time::timeout(limits.greeting, status.greeted.notified()).await {
            Err(_elapsed) => return Err(Error::upstream(ErrorKind::ConnectionTimeout)),
            Ok(()) if status.ended.get() => return Err(status.stillborn()),
            Ok(()) => {}
        }
        Ok(Rc::new(Self {
            address,
            sender,
            status,
            limit: Cell::new(limits.streams),
            head: limits.head,
            used: Cell::new(false),
            idle_since: Cell::new(clock.now().mono),
            clock,
            freed,
        }))
    }

    /// Whether another request may begin on it.
    pub(super) fn has_room(&self) -> bool {
        self.status.active.get() < self.limit.get().min(self.status.allowed.get())
            && !self.status.doubted.get()
            && !self.is_ended()
    }

    pub(super) fn set_limit(&self, streams: usize) {
        self.limit.set(streams);
    }

    /// Whether the server lets no request begin, whatever has ended.
    pub(super) fn grants_none(&self) -> bool {
        self.status.allowed.get() == 0
    }

    /// A request has waited for its answer in vain: no other begins here before the server has answered a ping.
    fn doubt(&self) {
        self.status.doubted.set(true);
        if let Some(driver) = self.status.driver.take() {
            driver.wake();
        }
    }

    /// Whether others of the server's addresses are to be used in place of the one that it leads to.
    pub(super) fn is_left_out(&self) -> bool {
        let address = self.address.as_ref();
        address.is_some_and(|address| address.is_out(|| self.clock.now().mono))
    }

    /// Whether it takes no more requests; those that it has may still be answered.
    pub(super) fn is_ended(&self) -> bool {
        let astray = self.address.as_deref().is_some_and(Address::has_left);
        // A sender that waits for nothing of its own is ready, unless the server goes away or no number is left.
        let mut unused = Context::from_waker(Waker::noop());
        let ready = self.sender.clone().poll_ready(&mut unused);
        astray || self.status.ended.get() || matches!(ready, Poll::Ready(Err(_)))
    }

    pub(super) fn is_used(&self) -> bool {
        self.used.get()
    }

    /// Since when it has been without a request; `None` while it has any.
    pub(super) fn idle_since(&self) -> Option<Monotonic> {
        (self.status.active.get() == 0).then(|| self.idle_since.get())
    }

    /// A stream for one request.
    pub(super) fn open_stream(self: &Rc<Self>) -> Stream {
        Stream::new(self, self.used.replace(true))
    }
}

impl Status {
    /// Why the connection has ended before it had a request.
    fn stillborn(&self) -> Error {
        let failure = self.failure.take();
        let error = match self.settled.get() {
            true => Error::upstream(ErrorKind::ConnectionTerminated),
            false => Error::upstream(ErrorKind::ResponseProtocol)
                .detail("the upstream does not speak HTTP/2 as it is configured to"),
        };
        match failure {
            Some(failure) => error.because(failure),
            None => error,
        }
    }
}

/// Carries the requests of a connection to its server and the answers back, to its end.
async fn drive(
    mut connection: client::Connection<Guarded<Wire>, Bytes>,
    status: Rc<Status>,
    first_read: Arc<Notify>,
    freed: Rc<Notify>,
) {
    let mut pulse = connection.ping_pong().map(Pulse::new);
    let mut first_read = pin!(first_read.notified());
    let mut greeted = false;
    let ended = poll_fn(|cx| {
        let polled = Pin::new(&mut connection).poll(cx);
        let allowed = connection.max_concurrent_send_streams();
        if status.allowed.replace(allowed) < allowed {
            freed.notify_waiters();
        }
        if allowed > 0 {
            status.settled.set(true);
        }
        if !greeted && first_read.as_mut().poll(cx).is_ready() {
            greeted = true;
            status.greeted.notify_one();
        }
        let (Poll::Pending, Some(pulse)) = (&polled, &mut pulse) else {
            return polled;
        };
        let doubted = status.doubted.get();
        let lost = pulse.poll_lost(cx, status.active.get() > 0, &status.doubted);
        if doubted && !status.doubted.get() {
            freed.notify_waiters();
        }
        *status.driver.borrow_mut() = Some(cx.waker().clone());
        lost.map(|()| Ok(()))
    })
    .await;
    status.ended.set(true);
    *status.failure.borrow_mut() = ended.err();
    status.greeted.notify_one();
    freed.notify_waiters();
}
