//! One worker's connections to one server: idle HTTP/1.1 connections, HTTP/2 connections that requests share, and the
//! requests that wait for one. The cap of connections and the order of waiting are the server's, shared by all workers.
//!
//! A connection, or a stream of one, leaves the pool as a [`Lease`]. Finished, it comes back; dropped, it is closed:
//! after a broken exchange the next bytes on it could belong to anything.
//!
//! `acquire` says how a request gets a connection, and `lease` how it uses it; `channel` has the types of both. A pool
//! consists of `idle`, `http2_connections` and `waiters`.

mod acquire;
mod channel;
mod http2_connections;
mod idle;
mod lease;
mod waiters;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit};
use tokio::task::spawn_local;

use self::channel::Channel;
pub(super) use self::channel::{Grant, Reuse};
pub(super) use self::http2_connections::Http2Connections;
use self::idle::IdleConnections;
pub(super) use self::lease::Lease;
use self::waiters::Waiters;
use super::connect::{Connected, connect};
use super::http1::connection::Connection;
use super::http2::{Http2Connection, Stream};
use super::limits::{Http2Limits, PoolLimits};
use super::open::OpenConnection;
use super::server::Server;
use super::wire::Wire;
use crate::clock::{Clock, Monotonic};
use crate::error::Error;
use crate::telemetry::counters::UpstreamCounters;

#[derive(Debug)]
pub(super) struct Pool {
    server: Arc<Server>,
    limits: RefCell<Rc<PoolLimits>>,
    clock: Clock,
    counters: Arc<UpstreamCounters>,
    idle: IdleConnections,
    http2: Http2Connections,
    waiters: Waiters,
    /// Connections of this worker that are open or being opened.
    open: Arc<AtomicUsize>,
    /// Notified when a request, of any worker, waits for a connection: closing an idle one here may make room.
    reclaim: Arc<Notify>,
    sweeping: Cell<bool>,
    /// Responses that this worker has had from the server.
    answers: Cell<u64>,
}

impl Pool {
    pub(super) fn new(
        server: Arc<Server>,
        limits: PoolLimits,
        http2: Http2Connections,
        clock: Clock,
        counters: Arc<UpstreamCounters>,
    ) -> Rc<Self> {
        let reclaim = Arc::new(Notify::new());
        server.queue().register(reclaim.clone());
        Rc::new(Self {
            server,
            limits: RefCell::new(Rc::new(limits)),
            clock,
            counters,
            idle: IdleConnections::default(),
            http2,
            waiters: Waiters::default(),
            open: Arc::default(),
            reclaim,
            sweeping: Cell::default(),
            answers: Cell::default(),
        })
    }

    pub(super) fn server(&self) -> &Arc<Server> {
        &self.server
    }

    /// How many responses this worker has had from the server.
    pub(super) fn answers(&self) -> u64 {
        self.answers.get()
    }

    pub(super) fn count_answer(&self) {
        self.answers.set(self.answers.get().wrapping_add(1));
    }

    pub(super) fn counters(&self) -> &Arc<UpstreamCounters> {
        &self.counters
    }

    fn now(&self) -> Monotonic {
        self.clock.now().mono
    }

    pub(super) fn limits(&self) -> Rc<PoolLimits> {
        self.limits.borrow().clone()
    }

    /// Puts other limits in force, for the connections that are open too.
    pub(super) fn set_limits(&self, limits: &PoolLimits, http2: Http2Limits) {
        *self.limits.borrow_mut() = Rc::new(limits.clone());
        self.http2.set_limits(http2);
        self.idle.shrink_to(limits.max_idle);
        while self.server.cap().is_exceeded() && !self.idle.is_empty() {
            self.idle.close_oldest(1);
        }
    }

    /// Opens a connection; `None` where the server takes no request on it at the moment.
    ///
    /// Fails as [`connect`] does.
    async fn open(self: &Rc<Self>, permit: OwnedSemaphorePermit) -> Result<Option<Channel>, Error> {
        let cap = self.server.cap().clone();
        let open = OpenConnection::new(permit, cap, self.open.clone(), self.counters.clone());
        let connect_limits = self.limits().connect;
        let Connected { socket, address } =
            connect(&self.server, connect_limits, &self.clock).await?;
        self.counters.connects.inc();
        let is_http2 = socket.speaks_http2(self.http2.protocol());
        self.http2.set_http1_chosen(!is_http2);
        let wire = Wire::new(socket, Some(open));
        if !is_http2 {
            let connection = Connection::new(wire, self.limits().head, address);
            return Ok(Some(Channel::Http1(connection)));
        }
        let freed = self.http2.freed().clone();
        let (limits, clock) = (self.http2.limits(), self.clock.clone());
        let started = Http2Connection::start(wire, address.clone(), &limits, freed, clock).await;
        let connection = started.inspect_err(|error| {
            if let Some(address) = address {
                address.failed(self.now(), error);
            }
        })?;
        self.http2.add(&connection);
        self.keep_sweeping();
        // A request that has no other server is sent on it all the same, within its deadline.
        let usable = self.server.is_alone() || connection.has_room();
        Ok(usable.then(|| Channel::Http2(Stream::open(&connection))))
    }

    /// Takes a connection back that may carry another request.
    fn give_back(self: &Rc<Self>, connection: Connection) {
        self.keep_sweeping();
        if connection.is_retired() || self.server.cap().is_exceeded() {
            return;
        }
        let queue = self.server.queue();
        let mut left = Some(connection);
        // Requests of this worker can have it, though the worker had no connection when they began to wait.
        if queue.without_connection() <= self.waiters.without_connection.get() {
            left = left.and_then(|connection| self.waiters.hand_over(connection));
        }
        let max_idle = self.limits().max_idle;
        // Where requests wait, closing it makes room for the one that has waited longest.
        if let Some(connection) = left
            && queue.waiting() == 0
            && max_idle > 0
        {
            self.idle.put(connection, self.now(), max_idle);
        }
    }

    /// Starts the task that closes idle connections in time, if it is not running. It also resolves the server's name
    /// again where no connection has to be opened. It ends when no connection is left.
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

    /// Closes connections that are idle for too long, closed by the server, or in the way of requests that wait. Returns
    /// whether any idle or shared connections are left.
    fn sweep(&self) -> bool {
        self.server.refresh_name();
        let now = self.now();
        let idle_timeout = self.limits().idle_timeout;
        self.idle.close_expired(now, idle_timeout);
        let waiting = self.server.queue().waiting();
        let (closed, shared) = self.http2.sweep(now, idle_timeout, waiting);
        self.idle.close_oldest(waiting - closed);
        shared || !self.idle.is_empty()
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.server.queue().unregister(&self.reclaim);
    }
}
