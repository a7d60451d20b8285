//! From a request to a response's head: which server and connection carry it, and when it may be sent again.
//!
//! A request that may have been processed is not sent again, unless it is idempotent (RFC 9110 §9.2.2). A request of which
//! nothing was written may always be sent again.
//!
//! `send` here goes from server to server; `attempt` sends to one; `choice` shows the servers to the balancer; `record`
//! notes the outcome of each attempt for its server, and `traced` for a trace; `request` stays the same over all attempts.

mod attempt;
mod choice;
mod record;
mod request;
mod traced;

use http::Response;
use smallvec::SmallVec;

use self::attempt::Attempt;
use self::choice::Trial;
pub(super) use self::request::PendingRequest;
use super::balance::Choice;
use super::response_body::UpstreamBody;
use super::worker::Worker;
use crate::error::{Error, ErrorKind};

impl Worker {
    /// Sends a request and waits for the response's head.
    pub(super) async fn send(
        &self,
        request: &mut PendingRequest<'_>,
    ) -> Result<Response<UpstreamBody>, Error> {
        self.budget.add_request();
        self.await_first_checks().await;
        let mut tried = SmallVec::<[usize; 4]>::new();
        let mut choice = self
            .choose(request, &tried)
            .ok_or_else(|| self.unavailable())?;
        loop {
            let (first, trial) = match choice {
                Choice::Server(server) => (server, None),
                Choice::Trial(server) => (server, Some(Trial(self.pools[server].server()))),
            };
            let max_retries = request.max_retries().unwrap_or(self.shared.retries.max);
            let last = tried.len() >= max_retries || tried.len() + 1 >= self.pools.len();
            let mut attempt = Attempt {
                server: first,
                waits_elsewhere: trial.is_none(),
                last,
                answers: 0,
            };
            let sent = self.attempt(&mut attempt, request, &tried).await;
            let pool = &self.pools[attempt.server];
            tried.push(attempt.server);
            let error = match sent {
                Ok(response) => {
                    self.record_answer(pool, &response);
                    return Ok(response);
                }
                Err(error) => error,
            };
            self.record_failure(pool.server(), &error);
            // A server that has answered other requests meanwhile is not unresponsive, whatever the outcome of this one.
            if pool.answers() == attempt.answers {
                self.record_unresponsive(pool.server(), &error, trial.is_some());
            }
            drop(trial);
            let next = match request.is_sendable() {
                // It has waited at all servers that are as good: no other queue is better.
                true if error.kind() == ErrorKind::ConnectionLimit => None,
                true if !last => self.choose(request, &tried),
                _ => None,
            };
            match next {
                Some(next) if self.budget.spend(self.clock.now().mono) => choice = next,
                _ => return Err(error),
            }
            self.counters.retries.inc();
        }
    }
}
