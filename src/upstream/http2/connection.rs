//! One HTTP/2 connection, which many requests of a worker share: each has a [`super::Stream`] of it.

use std::cell::{Cell, RefCell};
use std::future::{Future as _, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use h2::client::{self, SendRequest};
use tokio::sync::Notify;
use tokio::task::spawn_local;

use super::keep_alive::KeepAlive;
use crate::clock::{Clock, Monotonic, within};
use crate::error::{Error, ErrorKind};
use crate::guard::Guarded;
use crate::upstream::errors;
use crate::upstream::limits::{HeadLimits, Http2Limits};
use crate::upstream::names::address::Address;
use crate::upstream::wire::{AfterWriteError, Wire};

/// Content that waits in one stream's write buffer, in bytes.
const SEND_BUFFER: usize = 64 << 10;

/// RFC 9113 §6.9.1.
const MAX_WINDOW: u32 = (1 << 31) - 1;

/// A connection. It is closed when this and all its streams are gone.
#[derive(Debug)]
pub(in crate::upstream) struct Http2Connection {
    /// Where it leads; none for a Unix socket.
    address: Option<Arc<Address>>,
    pub(super) sender: SendRequest<Bytes>,
    status: Rc<Status>,
    /// Our own limit of streams.
    limit: Cell<usize>,
    pub(super) head: HeadLimits,
    used: Cell<bool>,
    /// When its last stream ended.
    idle_since: Cell<Monotonic>,
    clock: Clock,
    /// Notified when a stream has become free, or the connection has ended.
    freed: Rc<Notify>,
}

/// The state that the connection and the task that drives it share.
#[derive(Debug, Default)]
struct Status {
    active: Cell<usize>,
    /// Streams that the server allows at a time.
    allowed: Cell<usize>,
    /// Whether the server's settings have come.
    settled: Cell<bool>,
    ended: Cell<bool>,
    /// Whether a request has timed out, and the server has not answered a ping since.
    suspect: Cell<bool>,
    driver: RefCell<Option<Waker>>,
    failure: RefCell<Option<h2::Error>>,
    got_first_frame: Notify,
}

impl Http2Connection {
    /// Speaks HTTP/2 from the first byte on (prior knowledge or ALPN), and waits for the server's settings.
    pub(in crate::upstream) async fn start(
        mut wire: Wire,
        address: Option<Arc<Address>>,
        limits: &Http2Limits,
        freed: Rc<Notify>,
        clock: Clock,
    ) -> Result<Rc<Self>, Error> {
        wire.after_write_error(AfterWriteError::Discard);
        let first_read = wire.on_first_read();
        let window = u64::from(limits.stream_window) * limits.streams as u64;
        let (sender, connection) = client::Builder::new()
            .initial_window_size(limits.stream_window)
            // Until its settings have come.
            .initial_max_send_streams(0)
            // As much as all streams together: a slow reader delays no other. Nor must the overhead of small frames (below)
            // end the connection for all: h2's default is a quarter of that.
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
        match within(limits.first_frame, pin!(status.got_first_frame.notified())).await {
            Err(_elapsed) => return Err(Error::upstream(ErrorKind::ConnectionTimeout)),
            Ok(()) if status.ended.get() => return Err(status.failed_handshake()),
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
    pub(in crate::upstream) fn has_room(&self) -> bool {
        self.status.active.get() < self.limit.get().min(self.status.allowed.get())
            && !self.status.suspect.get()
            && !self.is_ended()
    }

    pub(in crate::upstream) fn set_limit(&self, streams: usize) {
        self.limit.set(streams);
    }

    /// Whether the server allows no stream at all.
    pub(in crate::upstream) fn allows_none(&self) -> bool {
        self.status.allowed.get() == 0
    }

    /// A request has timed out: no other begins here before the server has answered a ping.
    pub(super) fn mark_suspect(&self) {
        self.status.suspect.set(true);
        if let Some(driver) = self.status.driver.take() {
            driver.wake();
        }
    }

    /// Whether other addresses of the server are to be used in place of its own.
    pub(in crate::upstream) fn is_avoided(&self) -> bool {
        let address = self.address.as_ref();
        address.is_some_and(|address| address.is_avoided(|| self.clock.now().mono))
    }

    /// Whether it takes no more requests; those that it has may still be answered.
    pub(in crate::upstream) fn is_ended(&self) -> bool {
        let retired = self.address.as_deref().is_some_and(Address::is_retired);
        // A sender that waits for nothing is ready, unless the server has sent GOAWAY or stream identifiers have run out.
        let mut unused = Context::from_waker(Waker::noop());
        let ready = self.sender.clone().poll_ready(&mut unused);
        retired || self.status.ended.get() || matches!(ready, Poll::Ready(Err(_)))
    }

    pub(in crate::upstream) fn is_used(&self) -> bool {
        self.used.get()
    }

    /// Since when it has been without a request; `None` while it has any.
    pub(in crate::upstream) fn idle_since(&self) -> Option<Monotonic> {
        (self.status.active.get() == 0).then(|| self.idle_since.get())
    }

    /// Where it leads; `None` for a Unix socket.
    pub(super) fn address(&self) -> Option<&Address> {
        self.address.as_deref()
    }

    /// A stream begins. Returns whether the connection has carried one before.
    pub(super) fn begin_stream(&self) -> bool {
        self.status.active.set(self.status.active.get() + 1);
        self.used.replace(true)
    }

    pub(super) fn end_stream(&self) {
        let left = self.status.active.get() - 1;
        self.status.active.set(left);
        if left == 0 {
            self.idle_since.set(self.clock.now().mono);
        }
        self.freed.notify_one();
    }
}

impl Status {
    /// Why the connection has ended before it could be used.
    fn failed_handshake(&self) -> Error {
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

/// Drives a connection to its end.
async fn drive(
    mut connection: client::Connection<Guarded<Wire>, Bytes>,
    status: Rc<Status>,
    first_read: Arc<Notify>,
    freed: Rc<Notify>,
) {
    let mut keep_alive = connection.ping_pong().map(KeepAlive::new);
    let mut first_read = pin!(first_read.notified());
    let mut got_first_frame = false;
    let ended = poll_fn(|cx| {
        let polled = Pin::new(&mut connection).poll(cx);
        let allowed = connection.max_concurrent_send_streams();
        if status.allowed.replace(allowed) < allowed {
            freed.notify_waiters();
        }
        if allowed > 0 {
            status.settled.set(true);
        }
        if !got_first_frame && first_read.as_mut().poll(cx).is_ready() {
            got_first_frame = true;
            status.got_first_frame.notify_one();
        }
        let (Poll::Pending, Some(keep_alive)) = (&polled, &mut keep_alive) else {
            return polled;
        };
        let suspect = status.suspect.get();
        let lost = keep_alive.poll_lost(cx, status.active.get() > 0, &status.suspect);
        if suspect && !status.suspect.get() {
            freed.notify_waiters();
        }
        *status.driver.borrow_mut() = Some(cx.waker().clone());
        lost.map(|()| Ok(()))
    })
    .await;
    status.ended.set(true);
    *status.failure.borrow_mut() = ended.err();
    status.got_first_frame.notify_one();
    freed.notify_waiters();
}
