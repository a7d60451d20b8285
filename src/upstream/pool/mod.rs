//! One worker's connections to one server: the idle ones, latest first; who waits for one; and the cap that all workers
//! share. What several requests use at a time is in [`crate::upstream::pool::http2_connections`].
//!
//! A connection, or a stream of one, leaves the pool as a [`Lease`]. Finished, it comes back; dropped, it is closed: after a broken exchange
//! nobody knows what the next bytes on it would mean.

pub(super) mod http2_connections;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Frame;
use tokio::sync::{Notify, OwnedSemaphorePermit, oneshot};
use tokio::task::spawn_local;

use crate::clock::{Clock, Monotonic};
use crate::config;
use crate::error::{Error, ErrorKind};
use crate::telemetry::counters::Counters;
use crate::upstream::connect::{self, Connected, connect};
use crate::upstream::deadline::Deadline;
use crate::upstream::http1::connection::{Connection, Fate, Unanswered};
use crate::upstream::http2::{self, Shared, Stream};
use crate::upstream::incoming::Incoming;
use crate::upstream::names::address::Address;
use crate::upstream::pool::http2_connections::Sharing;
use crate::upstream::request_body::{RequestBody, Upload};
use crate::upstream::response_head::HeadLimits;
use crate::upstream::server::cap::Cap;
use crate::upstream::server::{Place, Server};
use crate::upstream::wire::Wire;

/// What the configuration says about connections.
#[derive(Clone, Debug)]
pub(in crate::upstream) struct Limits {
    pub(in crate::upstream) connect: connect::Limits,
    pub(in crate::upstream) idle_timeout: Duration,
    pub(in crate::upstream) body_timeout: Duration,
    pub(in crate::upstream) queue_timeout: Duration,
    pub(in crate::upstream) max_idle: usize,
    pub(in crate::upstream) max_waiting: usize,
    pub(in crate::upstream) head: HeadLimits,
}

impl Limits {
    pub(in crate::upstream) fn of(upstream: &config::Upstream) -> Self {
        Self {
            connect: connect::Limits::of(upstream),
            idle_timeout: upstream.idle_timeout,
            body_timeout: upstream.body_timeout,
            queue_timeout: upstream.queue_timeout,
            max_idle: upstream.max_idle,
            max_waiting: upstream.max_waiting,
            head: HeadLimits::of(upstream),
        }
    }
}

/// Which connection will do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::upstream) enum Want {
    Any,
    /// One that has not carried a request yet: a pooled one has just proved to be dead.
    Fresh,
    /// One that the request opens itself, so that it is the first on it: connections that it shared have refused it.
    Own,
}

#[derive(Debug)]
pub(in crate::upstream) struct Pool {
    server: Arc<Server>,
    limits: RefCell<Rc<Limits>>,
    clock: Clock,
    counters: Arc<Counters>,
    /// The oldest first.
    idle: RefCell<Vec<Idle>>,
    /// This worker's part of the server's queue, in order of arrival.
    waiters: RefCell<VecDeque<Waiter>>,
    next_ticket: Cell<u64>,
    sharing: Sharing,
    /// Connections of this worker that are open or being opened.
    open: Arc<AtomicUsize>,
    /// Rung when somebody, on whatever worker, waits for a connection that an idle one may stand in the way of.
    reclaim: Arc<Notify>,
    sweeping: Cell<bool>,
    /// Answers that this worker has had from the server.
    answers: Cell<u64>,
}

#[derive(Debug)]
struct Idle {
    connection: Connection,
    since: Monotonic,
}

#[derive(Debug)]
struct Waiter {
    ticket: u64,
    hand: oneshot::Sender<Connection>,
}

/// What a request is given to be sent with.
#[derive(Debug)]
pub(in crate::upstream) enum Grant {
    Held(Held),
    /// Leave to open a connection.
    Slot(OwnedSemaphorePermit),
}

impl Pool {
    pub(in crate::upstream) fn new(
        server: Arc<Server>,
        limits: Limits,
        sharing: Sharing,
        clock: Clock,
        counters: Arc<Counters>,
    ) -> Rc<Self> {
        let reclaim = Arc::new(Notify::new());
        server.queue().register(reclaim.clone());
        Rc::new(Self {
            server,
            limits: RefCell::new(Rc::new(limits)),
            clock,
            counters,
            idle: RefCell::default(),
            waiters: RefCell::default(),
            next_ticket: Cell::default(),
            sharing,
            open: Arc::default(),
            reclaim,
            sweeping: Cell::default(),
            answers: Cell::default(),
        })
    }

    pub(in crate::upstream) fn server(&self) -> &Arc<Server> {
        &self.server
    }

    /// How many answers this worker has had from the server.
    pub(in crate::upstream) fn answers(&self) -> u64 {
        self.answers.get()
    }

    pub(in crate::upstream) fn count_answer(&self) {
        self.answers.set(self.answers.get().wrapping_add(1));
    }

    pub(in crate::upstream) fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }

    pub(in crate::upstream) fn limits(&self) -> Rc<Limits> {
        self.limits.borrow().clone()
    }

    /// Puts other limits in force, for the connections that are there too.
    pub(in crate::upstream) fn set_limits(&self, limits: &Limits, http2: http2::Limits) {
        *self.limits.borrow_mut() = Rc::new(limits.clone());
        self.sharing.set_limits(http2);
        let mut idle = self.idle.borrow_mut();
        let surplus = idle.len().saturating_sub(limits.max_idle);
        idle.drain(..surplus);
        while self.server.cap().is_exceeded() && !idle.is_empty() {
            idle.remove(0);
        }
    }

    pub(in crate::upstream) fn sharing(&self) -> &Sharing {
        &self.sharing
    }

    /// A connection, a stream of one, or leave to open one, if any is there at once.
    pub(in crate::upstream) fn grant(&self, want: Want) -> Option<Grant> {
        if self.sharing.is_on() {
            return self.grant_shared(want);
        }
        let idle = match want {
            Want::Any => self.checkout(),
            Want::Fresh | Want::Own => None,
        };
        match idle {
            Some(connection) => Some(Grant::Held(Held::Own(connection))),
            None => self.server.cap().try_take().map(Grant::Slot),
        }
    }

    /// Whether a request to the server would find a connection at once, or leave to open one, as this worker sees it.
    pub(in crate::upstream) fn has_room(&self) -> bool {
        match self.sharing.is_on() {
            true => self.has_shared_room(),
            false => !self.idle.borrow().is_empty() || self.server.cap().has_room(),
        }
    }

    /// The same as [`Pool::grant`] as soon as the cap allows it, or a connection becomes free.
    ///
    /// Fails with [`ErrorKind::ConnectionLimit`] when too many wait, and with what kept another request from opening a
    /// connection that was to be shared.
    pub(in crate::upstream) async fn await_grant(&self, want: Want) -> Result<Grant, Error> {
        match self.sharing.is_on() {
            true => self.await_shared_grant(want).await,
            false => self.await_own_grant(want).await,
        }
    }

    /// What was granted, its connection opened where that is left to do; `None` where the server takes no request on it
    /// at the moment.
    pub(in crate::upstream) async fn redeem(
        self: &Rc<Self>,
        grant: Grant,
    ) -> Result<Option<Lease>, Error> {
        let lease = Lease::new(self);
        let held = match grant {
            Grant::Held(held) => Some(held),
            // Large, and seldom needed.
            Grant::Slot(slot) if self.sharing.is_on() => Box::pin(self.open_to_share(slot)).await?,
            Grant::Slot(slot) => Box::pin(self.open(slot)).await?,
        };
        Ok(held.map(|held| lease.with(held)))
    }

    /// The idle connection that was used last: the least likely to have been closed, and the others grow old.
    fn checkout(&self) -> Option<Connection> {
        let now = self.clock.now().mono;
        let idle_timeout = self.limits().idle_timeout;
        let mut idle = self.idle.borrow_mut();
        while let Some(mut last) = idle.pop() {
            if now.since(last.since) >= idle_timeout {
                // Those below are older still.
                idle.clear();
                return None;
            }
            let is_out = last
                .connection
                .address()
                .is_some_and(|address| address.is_out(|| now));
            if !is_out && !last.connection.is_astray() && last.connection.is_ready() {
                return Some(last.connection);
            }
        }
        None
    }

    /// Opens a connection; `None` where it is one that the server takes no request on at the moment.
    ///
    /// Fails with what [`connect`] fails with.
    pub(in crate::upstream) async fn open(
        self: &Rc<Self>,
        slot: OwnedSemaphorePermit,
    ) -> Result<Option<Held>, Error> {
        let cap = self.server.cap().clone();
        let open = Open::new(slot, cap, self.open.clone(), self.counters.clone());
        let connect_limits = self.limits().connect;
        let Connected { transport, address } =
            connect(&self.server, connect_limits, &self.clock).await?;
        self.counters.upstream_connects.inc();
        let http2 = transport.speaks_http2(self.sharing.protocol());
        self.sharing.refused(!http2);
        let wire = Wire::new(transport, Some(open));
        if !http2 {
            let mut connection = Connection::new(wire, self.limits().head);
            connection.leads_to(address);
            return Ok(Some(Held::Own(connection)));
        }
        let freed = self.sharing.freed.clone();
        let (limits, clock) = (self.sharing.limits(), self.clock.clone());
        let shared = match Shared::start(wire, address.clone(), &limits, freed, clock).await {
            Ok(shared) => shared,
            Err(error) => {
                if let Some(address) = address {
                    address.failed(self.clock.now().mono, &error);
                }
                return Err(error);
            }
        };
        self.sharing.add(&shared);
        self.keep_sweeping();
        // A request that can go nowhere else is put on it all the same: it has its deadline.
        let usable = self.server.is_alone() || shared.has_room();
        let stream = usable.then(|| shared.open_stream());
        Ok(stream.map(Held::Stream))
    }

    /// A place in the server's queue; `None` when too many wait already.
    pub(in crate::upstream) fn enter_queue(&self) -> Option<Place<'_>> {
        let starving = self.open.load(Ordering::Relaxed) == 0;
        self.server
            .queue()
            .enter(self.limits().max_waiting, starving)
    }

    /// Waits in line. The semaphore keeps the order among all workers; a connection that this worker gets back goes to
    /// its own line first, since it cannot cross to another worker and a new one costs a handshake.
    pub(in crate::upstream) async fn await_own_grant(&self, want: Want) -> Result<Grant, Error> {
        if let Some(grant) = self.grant(want) {
            return Ok(grant);
        }
        let _place = self.enter_queue().ok_or_else(overfull)?;
        let (hand, handed) = oneshot::channel();
        let _ticket = match want {
            Want::Any => Some(self.line_up(hand)),
            Want::Fresh | Want::Own => None,
        };
        tokio::select! {
            biased;
            Ok(connection) = handed => Ok(Grant::Held(Held::Own(connection))),
            slot = self.server.cap().take() => slot.map(Grant::Slot).ok_or_else(Error::internal),
        }
    }

    fn line_up(&self, hand: oneshot::Sender<Connection>) -> Ticket<'_> {
        let ticket = self.next_ticket.get();
        self.next_ticket.set(ticket + 1);
        self.waiters.borrow_mut().push_back(Waiter { ticket, hand });
        Ticket { pool: self, ticket }
    }

    fn give_back(self: &Rc<Self>, mut connection: Connection) {
        self.keep_sweeping();
        if connection.is_astray() || self.server.cap().is_exceeded() {
            return;
        }
        let queue = self.server.queue();
        if queue.starving() == 0 {
            loop {
                let next = self.waiters.borrow_mut().pop_front();
                let Some(waiter) = next else { break };
                match waiter.hand.send(connection) {
                    Ok(()) => return,
                    Err(refused) => connection = refused,
                }
            }
        }
        // Closing it makes room for whoever has waited longest.
        let max_idle = self.limits().max_idle;
        if queue.waiting() > 0 || max_idle == 0 {
            return;
        }
        let mut idle = self.idle.borrow_mut();
        if idle.len() >= max_idle {
            idle.remove(0);
        }
        idle.push(Idle {
            connection,
            since: self.clock.now().mono,
        });
    }

    /// Sees to it that idle connections are closed in time, as long as there are any, and that the server's name is
    /// looked up again even where no connection has to be opened.
    fn keep_sweeping(self: &Rc<Self>) {
        if self.sweeping.replace(true) {
            return;
        }
        let pool = Rc::downgrade(self);
        let reclaim = self.reclaim.clone();
        let period = (self.limits().idle_timeout / 4)
            .clamp(Duration::from_millis(10), Duration::from_secs(1));
        spawn_local(async move {
            loop {
                tokio::select! {
                    () = tokio::time::sleep(period) => {}
                    () = reclaim.notified() => {}
                }
                let Some(pool) = pool.upgrade() else { return };
                if !pool.sweep() {
                    pool.sweeping.set(false);
                    return;
                }
            }
        });
    }

    /// Closes what is outdated, dead or in somebody's way; whether any idle connections are left.
    fn sweep(&self) -> bool {
        self.server.freshen();
        let now = self.clock.now().mono;
        let idle_timeout = self.limits().idle_timeout;
        let mut idle = self.idle.borrow_mut();
        idle.retain_mut(|idle| {
            !idle.connection.is_astray()
                && idle.connection.is_ready()
                && now.since(idle.since) < idle_timeout
        });
        let waiting = self.server.queue().waiting();
        let (closed, shared) = self.sharing.sweep(now, idle_timeout, waiting);
        let in_the_way = (waiting - closed).min(idle.len());
        idle.drain(..in_the_way);
        shared || !idle.is_empty()
    }
}

pub(in crate::upstream) fn overfull() -> Error {
    Error::upstream(ErrorKind::ConnectionLimit)
        .detail("all connections to the upstream are in use, and too many wait for one")
}

pub(in crate::upstream) fn too_late() -> Error {
    Error::upstream(ErrorKind::ConnectionLimit)
        .detail("no connection to the upstream became free in time")
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.server.queue().unregister(&self.reclaim);
    }
}

/// A place in a worker's line, until it is dropped.
struct Ticket<'a> {
    pool: &'a Pool,
    ticket: u64,
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        let mut waiters = self.pool.waiters.borrow_mut();
        if let Ok(at) = waiters.binary_search_by_key(&self.ticket, |waiter| waiter.ticket) {
            waiters.remove(at);
        }
    }
}

/// What an exchange has of a connection.
#[derive(Debug)]
pub(in crate::upstream) enum Held {
    /// All of it.
    Own(Connection),
    Stream(Stream),
}

/// A connection, or a stream of one, that belongs to one exchange, which counts as the server's load as long as this
/// lives.
#[derive(Debug)]
pub(in crate::upstream) struct Lease {
    /// Not there yet, or gone again once the exchange is finished.
    held: Option<Held>,
    pool: Rc<Pool>,
}

impl Lease {
    pub(in crate::upstream) fn new(pool: &Rc<Pool>) -> Self {
        pool.server.begin_request();
        Self {
            held: None,
            pool: pool.clone(),
        }
    }

    fn with(mut self, held: Held) -> Self {
        self.held = Some(held);
        self
    }

    pub(in crate::upstream) fn pool(&self) -> &Pool {
        &self.pool
    }

    /// The next part of the response's content; `None` after its end.
    pub(in crate::upstream) fn poll_frame(
        &mut self,
        incoming: &mut Incoming,
        upload: Option<&Upload>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        match &mut self.held {
            Some(Held::Own(connection)) => connection.poll_frame(incoming, upload, cx),
            // A task drives what several requests share.
            Some(Held::Stream(_)) | None => incoming.poll_frame(cx, upload),
        }
    }

    /// Sends `request` and waits for its response's head; see [`Connection::exchange`].
    pub(in crate::upstream) async fn exchange(
        &mut self,
        request: Request<RequestBody>,
        timeout: Duration,
    ) -> Result<Response<Incoming>, Unanswered> {
        let scheme = self.pool.server.scheme();
        match &mut self.held {
            Some(Held::Own(connection)) => connection.exchange(request, timeout).await,
            // Larger, and rarer.
            Some(Held::Stream(stream)) => {
                let answer = Box::pin(stream.exchange(request, scheme, timeout)).await?;
                Ok(answer.map(Incoming::Http2))
            }
            None => Err(Unanswered {
                error: Error::internal(),
                unsent: Some(request),
                fate: Fate::Silent,
            }),
        }
    }

    /// The response has stalled. What other requests are to share has to show that it is still there.
    pub(in crate::upstream) fn doubt(&self) {
        if let Some(Held::Stream(stream)) = &self.held {
            stream.doubt();
        }
    }

    /// A response's head has come, from the address that the connection leads to.
    pub(in crate::upstream) fn has_answered(&self) {
        if let Some(address) = self.address() {
            address.succeeded(|| self.pool.clock.now().mono);
        }
    }

    /// None came, and that is the upstream's fault.
    pub(in crate::upstream) fn has_failed(&self, error: &Error) {
        if let Some(address) = self.address() {
            address.failed(self.pool.clock.now().mono, error);
        }
    }

    fn address(&self) -> Option<&Address> {
        match self.held.as_ref()? {
            Held::Own(connection) => connection.address(),
            Held::Stream(stream) => stream.address(),
        }
    }

    /// The exchange's timer; `None` only after the lease has ended.
    pub(in crate::upstream) fn deadline(&mut self) -> Option<&mut Deadline> {
        self.held.as_mut().map(|held| match held {
            Held::Own(connection) => connection.deadline(),
            Held::Stream(stream) => stream.deadline(),
        })
    }

    /// Whether the connection has carried a request before this exchange.
    pub(in crate::upstream) fn is_reused(&self) -> bool {
        self.held.as_ref().is_some_and(|held| match held {
            Held::Own(connection) => connection.is_reused(),
            Held::Stream(stream) => stream.is_reused(),
        })
    }

    /// Whether the server has got other requests on the same connection before this one, of whomever.
    pub(in crate::upstream) fn is_among_others(&self) -> bool {
        matches!(&self.held, Some(Held::Stream(stream)) if !stream.is_first())
    }

    /// Whether other requests may be on the same connection.
    pub(in crate::upstream) fn is_shared(&self) -> bool {
        matches!(self.held, Some(Held::Stream(_)))
    }

    /// The response is complete. Where its request has been sent whole, too, the connection may `keep` for another
    /// exchange, unless its peer has closed it. A server that answers early and reads on gets the rest of the content.
    pub(in crate::upstream) fn finish(mut self, upload: Option<Upload>, keep: bool) {
        if let Some(upload) = &upload {
            upload.limit_stalls(true);
        }
        let mut connection = match self.held.take() {
            Some(Held::Own(connection)) => connection,
            Some(Held::Stream(stream)) => return stream.finish(self.pool.limits().body_timeout),
            None => return,
        };
        connection.mark_reused();
        if connection.is_ready() {
            if keep && connection.rest() {
                self.pool.give_back(connection);
            }
        } else if !connection.is_closed() {
            let pool = self.pool.clone();
            spawn_local(async move {
                let settled = connection.settle(pool.limits().body_timeout, upload.as_ref());
                match settled.await {
                    Ok(()) if keep && connection.rest() => pool.give_back(connection),
                    Ok(()) | Err(_) => connection.abort(),
                }
            });
        }
    }

    /// The exchange went over into another protocol: whoever holds its socket now closes it.
    pub(in crate::upstream) fn release(mut self) {
        self.held = None;
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.pool.server.end_request();
        if let Some(Held::Own(connection)) = self.held.take() {
            connection.abort();
        }
    }
}

/// Counts a connection from before it is opened until its socket is closed, and holds its part of the cap.
#[derive(Debug)]
pub(in crate::upstream) struct Open {
    /// There until it is dropped.
    slot: Option<OwnedSemaphorePermit>,
    cap: Arc<Cap>,
    of_worker: Arc<AtomicUsize>,
    counters: Arc<Counters>,
}

impl Open {
    fn new(
        slot: OwnedSemaphorePermit,
        cap: Arc<Cap>,
        of_worker: Arc<AtomicUsize>,
        counters: Arc<Counters>,
    ) -> Self {
        of_worker.fetch_add(1, Ordering::Relaxed);
        counters.upstream_connections.add(1);
        Self {
            slot: Some(slot),
            cap,
            of_worker,
            counters,
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if let Some(slot) = self.slot.take() {
            self.cap.give_back(slot);
        }
        self.of_worker.fetch_sub(1, Ordering::Relaxed);
        self.counters.upstream_connections.sub(1);
    }
}
