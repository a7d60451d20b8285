//! How a request gets a connection, a stream of one, or the permit to open one: at once, or after a wait.

use std::sync::atomic::Ordering;

use tokio::sync::oneshot;

use super::Pool;
use super::channel::{Channel, Grant, Reuse};
use crate::error::{Error, ErrorKind};
use crate::upstream::server::queue::Place;

impl Pool {
    /// A connection, a stream of one, or the permit to open one, if any is there at once.
    pub(in crate::upstream) fn grant(&self, reuse: Reuse) -> Option<Grant> {
        if self.http2.is_on() {
            return self.grant_shared(reuse);
        }
        let idle = match reuse {
            Reuse::Any => self
                .idle
                .take_latest(self.now(), self.limits().idle_timeout),
            Reuse::Unused | Reuse::Never => None,
        };
        match idle {
            Some(connection) => Some(Grant::Ready(Channel::Http1(connection))),
            None => self.server().cap().try_take().map(Grant::MayOpen),
        }
    }

    fn grant_shared(&self, reuse: Reuse) -> Option<Grant> {
        let ready = |stream| Grant::Ready(Channel::Http2(stream));
        if let Some(stream) = self.http2.open_stream(reuse, false) {
            return Some(ready(stream));
        }
        if self.may_open_shared()
            && let Some(permit) = self.server().cap().try_take()
        {
            return Some(Grant::MayOpen(permit));
        }
        self.http2.open_stream(reuse, true).map(ready)
    }

    /// Whether a request to the server would find a connection at once, or could open one, as this worker sees it.
    pub(in crate::upstream) fn has_room(&self) -> bool {
        if !self.http2.is_on() {
            return !self.idle.is_empty() || self.server().cap().has_room();
        }
        self.http2.has_room() || (!self.is_refused_streams() && self.server().cap().has_room())
    }

    /// The same as [`Pool::grant`] as soon as the cap allows it, or a connection becomes free.
    ///
    /// Fails with [`ErrorKind::ConnectionLimit`] when too many wait, and with the failure of another request that was to open
    /// a shared connection.
    pub(in crate::upstream) async fn await_grant(&self, reuse: Reuse) -> Result<Grant, Error> {
        match self.http2.is_on() {
            true => self.await_shared_grant(reuse).await,
            false => self.await_own_grant(reuse).await,
        }
    }

    /// Waits in the queue. The semaphore keeps the order among all workers; a connection that this worker gets back
    /// goes to its own waiters first, since it cannot go to another worker and a new one costs a handshake.
    async fn await_own_grant(&self, reuse: Reuse) -> Result<Grant, Error> {
        if let Some(grant) = self.grant(reuse) {
            return Ok(grant);
        }
        let _place = self.enter_queue()?;
        let (giver, receiver) = oneshot::channel();
        let _ticket = match reuse {
            Reuse::Any => Some(self.waiters.join(giver)),
            Reuse::Unused | Reuse::Never => None,
        };
        tokio::select! {
            biased;
            Ok(connection) = receiver => Ok(Grant::Ready(Channel::Http1(connection))),
            permit = self.server().cap().take() => permit.map(Grant::MayOpen).ok_or_else(Error::internal),
        }
    }

    async fn await_shared_grant(&self, mut reuse: Reuse) -> Result<Grant, Error> {
        let http2 = &self.http2;
        loop {
            let freed = http2.freed().notified();
            if let Some(grant) = self.grant_shared(reuse) {
                return Ok(grant);
            }
            let opening = http2.is_opening();
            // In neither case does the request wait for a connection to end.
            let _place = match opening || self.is_refused_streams() {
                true => None,
                false => Some(self.enter_queue()?),
            };
            tokio::select! {
                () = freed => {
                    if opening && let Some(error) = http2.opening_failure() {
                        return Err(error);
                    }
                }
                permit = self.server().cap().take(), if self.may_open_shared() => {
                    return permit.map(Grant::MayOpen).ok_or_else(Error::internal);
                }
            }
            // A connection that was opened meanwhile counts as unused for this request; and where none can be opened, a used
            // one is better than none.
            if reuse == Reuse::Unused || !self.server().cap().has_room() {
                reuse = Reuse::Any;
            }
            if !http2.is_on() {
                return self.await_own_grant(reuse).await;
            }
        }
    }

    /// A place in the server's queue.
    ///
    /// Fails with [`ErrorKind::ConnectionLimit`] when too many wait already.
    fn enter_queue(&self) -> Result<Place<'_>, Error> {
        let queue = self.server().queue();
        // Whether this worker has no connection at all that could be handed to the request.
        let without_connection =
            (self.open.load(Ordering::Relaxed) == 0).then_some(&self.waiters.without_connection);
        let place = queue.enter(self.limits().max_waiting, without_connection);
        place.ok_or_else(|| {
            Error::upstream(ErrorKind::ConnectionLimit)
                .detail("all connections to the upstream are in use, and too many wait for one")
        })
    }

    /// Whether the server has announced that it takes no request for now, and another server may take it.
    fn is_refused_streams(&self) -> bool {
        !self.server().is_alone() && self.http2.allows_none()
    }

    fn may_open_shared(&self) -> bool {
        !self.http2.is_opening() && !self.is_refused_streams()
    }
}
