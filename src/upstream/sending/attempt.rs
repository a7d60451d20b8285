//! One attempt: a request is sent to one server, once more on another connection where that is safe.

use std::future::poll_fn;

use http::Response;
use smallvec::SmallVec;

use super::request::PendingRequest;
use crate::clock::within;
use crate::error::{Error, ErrorKind, Side};
use crate::upstream::balance::{Balancer, Indexes};
use crate::upstream::outcome::Resend;
use crate::upstream::poll_first::poll_first;
use crate::upstream::pool::{Grant, Lease, Reuse};
use crate::upstream::response_body::UpstreamBody;
use crate::upstream::worker::Worker;

/// How often a request goes to a server that refuses it (RFC 9113 §6.8, §8.7) and does nothing with it.
const MAX_REFUSALS: usize = 8;

pub(super) struct Attempt {
    /// To which server.
    pub(super) server: usize,
    /// Whether the request may go to another server that has room before that one.
    pub(super) waits_elsewhere: bool,
    /// Whether no other attempt can follow.
    pub(super) last: bool,
    /// How many responses this worker had had from the server before it.
    pub(super) answers: u64,
}

impl Worker {
    /// Sends a request to one server: once more on an unused connection when a pooled one turned out to be closed, or
    /// took no more requests.
    pub(super) async fn attempt(
        &self,
        attempt: &mut Attempt,
        request: &mut PendingRequest<'_>,
        tried: &[usize],
    ) -> Result<Response<UpstreamBody>, Error> {
        request.set_server(self.pools[attempt.server].server(), self.shared.host)?;
        request
            .waiting()
            .try_at(self.pools[attempt.server].server());
        if !request.is_idempotent() {
            // One turn of the runtime, so that connections whose end has arrived are known to be closed: there is no
            // second chance for this request once it has been written.
            tokio::task::yield_now().await;
        }
        let mut reuse = Reuse::Any;
        let mut refusals = 0;
        loop {
            let mut span = request.begin_span(&self.clock);
            request.name_server(&mut span, self.pools[attempt.server].server());
            let acquired = self.acquire(attempt, reuse, request, tried).await;
            let mut lease = acquired.inspect_err(|error| span.failed(error))?;
            request.name_server(&mut span, lease.pool().server());
            let may_be_closed = lease.is_reused() && reuse == Reuse::Any;
            // A server may refuse a request unprocessed on a shared connection, and gets none on a closed one.
            let copy_wanted =
                lease.is_shared() || may_be_closed || request.is_idempotent() && !attempt.last;
            let copy = copy_wanted.then(|| request.copy()).flatten();
            let sent = request.take()?;
            self.counters.requests.inc();
            let own = request.response_timeout();
            let timeout = own.unwrap_or(self.shared.response_timeout);
            let began = self.clock.now().mono;
            let unanswered = match lease.exchange(sent, timeout).await {
                Ok(response) => {
                    let answered = self.clock.now().mono;
                    let took = answered.since(began);
                    self.counters.times.record(took);
                    request.waiting().tried(lease.pool().server(), took);
                    lease.record_success();
                    return request.receive(response, lease, span);
                }
                Err(unanswered) => unanswered,
            };
            let failed = self.clock.now().mono.since(began);
            request.waiting().tried(lease.pool().server(), failed);
            let refused = lease.is_shared() && unanswered.resend == Resend::Always;
            refusals += usize::from(refused);
            // Of all that go over to a new connection together, a server that takes few on each refuses the last ones
            // again. One that refuses the first of a connection takes none.
            let refused = refused
                && refusals < MAX_REFUSALS
                && (reuse == Reuse::Any || lease.is_among_others());
            let error = request.restore(unanswered, copy);
            span.failed(&error);
            drop(span);
            if !request.is_sendable() || !(may_be_closed || refused) {
                if error.side() == Side::Upstream {
                    lease.record_failure(&error);
                }
                return Err(error);
            }
            self.counters.retries.inc();
            reuse = if refusals > 1 {
                Reuse::Never
            } else {
                Reuse::Unused
            };
            request.set_server(self.pools[attempt.server].server(), self.shared.host)?;
            request
                .waiting()
                .try_at(self.pools[attempt.server].server());
        }
    }

    /// A connection to the attempt's server, at once or after a wait; then it may be to another server.
    ///
    /// Fails with [`ErrorKind::ConnectionLimit`] when none has room in time, or too many wait, and with the failure of
    /// opening a connection.
    async fn acquire(
        &self,
        attempt: &mut Attempt,
        reuse: Reuse,
        request: &mut PendingRequest<'_>,
        tried: &[usize],
    ) -> Result<Lease, Error> {
        let pool = &self.pools[attempt.server];
        attempt.answers = pool.answers();
        if let Some(grant) = pool.grant(reuse)
            && let Some(lease) = Lease::obtain(pool, grant).await?
        {
            return Ok(lease);
        }
        // Requests that wait count as the server's load.
        let _load = Lease::waiting(pool);
        let waiting = request.waiting().clone();
        let queued = waiting.queue();
        let mut wait = Box::pin(self.await_lease(attempt, reuse, tried));
        let waited = within(pool.limits().queue_timeout, wait.as_mut()).await;
        let lease = waited.unwrap_or_else(|_elapsed| {
            Err(Error::upstream(ErrorKind::ConnectionLimit)
                .detail("no connection to the upstream became free in time"))
        })?;
        queued.yield_to_watcher().await;
        request.set_server(lease.pool().server(), self.shared.host)?;
        Ok(lease)
    }

    /// Waits for a connection to the attempt's server, or to another that has room before it.
    async fn await_lease(
        &self,
        attempt: &mut Attempt,
        reuse: Reuse,
        tried: &[usize],
    ) -> Result<Lease, Error> {
        loop {
            let servers = match attempt.waits_elsewhere {
                true => Balancer::to_wait_at(&self.candidates(), attempt.server, tried),
                false => Indexes::from_elem(attempt.server, 1),
            };
            let (server, grant) = self.first_grant(&servers, reuse).await;
            let pool = &self.pools[server];
            attempt.server = server;
            attempt.answers = pool.answers();
            if let Some(lease) = Lease::obtain(pool, grant?).await? {
                return Ok(lease);
            }
        }
    }

    /// The first grant of any of `servers`, and which of them gave it; the last failure when all have failed.
    async fn first_grant(&self, servers: &[usize], reuse: Reuse) -> (usize, Result<Grant, Error>) {
        let wait = |server: &usize| (*server, Box::pin(self.pools[*server].await_grant(reuse)));
        let mut waits: SmallVec<[_; 4]> = servers.iter().map(wait).collect();
        loop {
            let first = poll_fn(|cx| poll_first(waits.iter_mut().map(|(_, wait)| wait), cx));
            let (at, grant) = first.await;
            let (server, _) = waits.remove(at);
            if grant.is_ok() || waits.is_empty() {
                return (server, grant);
            }
        }
    }
}
