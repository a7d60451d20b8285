//! One HTTP/2 connection, which many requests of a worker share: each has a [`Stream`] of it.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http2::{self, SendRequest};
use hyper::rt::Executor;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::Notify;
use tokio::task::spawn_local;

use super::connection::{Fate, Unanswered, head_within};
use super::deadline::{self, Deadline};
use super::fault;
use super::request_body::{RequestBody, Upload};
use super::request_head::{from_http2, into_http2};
use super::wire::Wire;
use crate::clock::{Clock, Monotonic};
use crate::config;
use crate::error::{Error, ErrorKind};

/// Content that waits in one stream's write buffer, in bytes.
const SEND_BUFFER: usize = 64 << 10;

/// How often a silent server is asked whether it is there while requests wait for it, and how long it has to answer.
const PING_EVERY: Duration = Duration::from_secs(30);
const PONG_WITHIN: Duration = Duration::from_secs(20);

/// What the configuration says about HTTP/2 connections.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Requests on one connection at a time.
    pub(super) streams: usize,
    /// Response content in flight on one stream, in bytes.
    pub(super) stream_window: u32,
    /// Of a response's fields, in bytes.
    pub(super) max_head: usize,
    /// From the open socket to the server's first frame.
    pub(super) greeting: Duration,
}

impl Limits {
    pub(super) fn of(upstream: &config::Upstream) -> Self {
        Self {
            streams: upstream.http2.max_concurrent_streams,
            stream_window: upstream.http2.stream_window,
            max_head: upstream.max_head,
            greeting: upstream.connect_timeout,
        }
    }
}

/// A connection.
#[derive(Debug)]
pub(super) struct Shared {
    sender: SendRequest<RequestBody>,
    status: Rc<Status>,
    /// Our own limit of streams.
    limit: usize,
    active: Cell<usize>,
    used: Cell<bool>,
    /// When its last stream ended.
    idle_since: Cell<Monotonic>,
    clock: Clock,
    /// Rung when a stream has become free, or the connection has ended.
    freed: Rc<Notify>,
}

/// What the task that drives the connection knows.
#[derive(Debug, Default)]
struct Status {
    /// Streams that the server lets us have at a time.
    allowed: Cell<usize>,
    /// It takes no more requests; those that it has may still be answered.
    ended: Cell<bool>,
    failure: RefCell<Option<hyper::Error>>,
    greeted: Notify,
}

impl Shared {
    /// Speaks HTTP/2 from the first byte on, and waits for the server's settings, which say how much it bears.
    pub(super) async fn start(
        mut wire: Wire,
        limits: &Limits,
        freed: Rc<Notify>,
        clock: Clock,
    ) -> Result<Rc<Self>, Error> {
        let first_read = wire.tell_first_read();
        let window = u64::from(limits.stream_window) * limits.streams as u64;
        let (sender, connection) = http2::Builder::new(Tasks)
            .timer(TokioTimer::new())
            .keep_alive_interval(PING_EVERY)
            .keep_alive_timeout(PONG_WITHIN)
            .initial_stream_window_size(limits.stream_window)
            // As much as all streams together: a reader that stands still holds up none but itself.
            .initial_connection_window_size(
                u32::try_from(window).unwrap_or(MAX_WINDOW).min(MAX_WINDOW),
            )
            .max_header_list_size(u32::try_from(limits.max_head).unwrap_or(u32::MAX))
            .max_send_buf_size(SEND_BUFFER)
            .handshake(TokioIo::new(wire))
            .await
            .map_err(|error| fault::before_head(error, None))?;
        let status = Rc::<Status>::default();
        spawn_local(drive(connection, status.clone(), first_read, freed.clone()));
        match tokio::time::timeout(limits.greeting, status.greeted.notified()).await {
            Err(_elapsed) => return Err(Error::upstream(ErrorKind::ConnectionTimeout)),
            Ok(()) if status.ended.get() => return Err(status.no_http2()),
            Ok(()) => {}
        }
        Ok(Rc::new(Self {
            sender,
            status,
            limit: limits.streams,
            active: Cell::new(0),
            used: Cell::new(false),
            idle_since: Cell::new(clock.now().mono),
            clock,
            freed,
        }))
    }

    /// Whether another request may begin on it.
    pub(super) fn has_room(&self) -> bool {
        !self.is_ended() && self.active.get() < self.limit.min(self.status.allowed.get())
    }

    pub(super) fn is_ended(&self) -> bool {
        self.status.ended.get() || self.sender.is_closed()
    }

    pub(super) fn is_used(&self) -> bool {
        self.used.get()
    }

    /// Since when it has been without a request; `None` while it has any.
    pub(super) fn idle_since(&self) -> Option<Monotonic> {
        (self.active.get() == 0).then(|| self.idle_since.get())
    }

    /// A stream for one request.
    pub(super) fn open_stream(self: &Rc<Self>) -> Stream {
        self.active.set(self.active.get() + 1);
        Stream {
            reused: self.used.replace(true),
            shared: self.clone(),
            deadline: Deadline::default(),
            upload: None,
        }
    }
}

/// RFC 9113 §6.9.1.
const MAX_WINDOW: u32 = (1 << 31) - 1;

impl Status {
    fn no_http2(&self) -> Error {
        let error = Error::upstream(ErrorKind::ResponseProtocol)
            .detail("the upstream does not speak HTTP/2 as it is configured to");
        match self.failure.take() {
            Some(failure) => error.because(failure),
            None => error,
        }
    }
}

/// Carries the requests of a connection to its streams, until it takes no more.
async fn drive(
    connection: http2::Connection<TokioIo<Wire>, RequestBody, Tasks>,
    status: Rc<Status>,
    first_read: Arc<Notify>,
    freed: Rc<Notify>,
) {
    let mut connection = connection;
    let mut first_read = pin!(first_read.notified());
    let mut greeted = false;
    let ended = poll_fn(|cx| {
        let polled = Pin::new(&mut connection).poll(cx);
        status.allowed.set(connection.current_max_send_streams());
        if !greeted && first_read.as_mut().poll(cx).is_ready() {
            greeted = true;
            status.greeted.notify_one();
        }
        polled
    })
    .await;
    status.ended.set(true);
    *status.failure.borrow_mut() = ended.err();
    status.greeted.notify_one();
    freed.notify_waiters();
}

/// Runs the parts of one connection on their worker's thread.
#[derive(Clone, Copy, Debug)]
struct Tasks;

impl<F> Executor<F> for Tasks
where
    F: Future<Output = ()> + 'static,
{
    fn execute(&self, task: F) {
        spawn_local(task);
    }
}

/// A request's part of a connection. Dropped before the response's end, it resets its stream.
#[derive(Debug)]
pub(super) struct Stream {
    shared: Rc<Shared>,
    deadline: Deadline,
    upload: Option<Upload>,
    reused: bool,
}

impl Stream {
    pub(super) fn is_reused(&self) -> bool {
        self.reused
    }

    pub(super) fn deadline(&mut self) -> &mut Deadline {
        &mut self.deadline
    }

    /// Sends `request` and waits for a response's head, at most `timeout` from when the upstream had all that there
    /// was to send.
    pub(super) async fn exchange(
        &mut self,
        mut request: Request<RequestBody>,
        scheme: &'static str,
        timeout: Duration,
    ) -> Result<Response<Incoming>, Unanswered> {
        if let Err(error) = into_http2(&mut request, scheme) {
            return Err(Unanswered {
                error,
                unsent: None,
                fate: Fate::Answered,
            });
        }
        let upload = request.body().upload();
        self.upload.clone_from(&upload);
        let begun = deadline::timer_now();
        let mut sender = self.shared.sender.clone();
        let sending = sender.try_send_request(request);
        let deadline = &mut self.deadline;
        match head_within(timeout, sending, deadline, || begun, upload.as_ref()).await {
            Some(Ok(response)) => Ok(response),
            Some(Err(mut failed)) => Err(Unanswered {
                unsent: failed.take_message().map(|mut request| {
                    from_http2(&mut request);
                    request
                }),
                fate: fault::fate_of_stream(failed.error()),
                error: fault::before_head(failed.into_error(), upload.as_ref()),
            }),
            None => Err(Unanswered {
                error: Error::upstream(ErrorKind::ResponseTimeout),
                unsent: None,
                fate: Fate::Answered,
            }),
        }
    }

    /// The response is complete. Where the server had no need of all the request's content, what is left of it may
    /// stall for `stall` before it is given up.
    pub(super) fn finish(mut self, stall: Duration) {
        if let Some(upload) = self.upload.take() {
            upload.bear_stalls_of(Some(stall));
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if let Some(upload) = self.upload.take() {
            upload.cancel();
        }
        let left = self.shared.active.get() - 1;
        self.shared.active.set(left);
        if left == 0 {
            self.shared.idle_since.set(self.shared.clock.now().mono);
        }
        self.shared.freed.notify_one();
    }
}
