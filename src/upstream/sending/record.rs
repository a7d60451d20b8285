//! Records the outcome of each attempt: for its server's ejection, circuit and pause.

use http::header::RETRY_AFTER;
use http::{Response, StatusCode};

use crate::error::{Error, ErrorKind, Side};
use crate::semantics::list;
use crate::semantics::time::DeltaSeconds;
use crate::upstream::health::circuit::Unresponsive;
use crate::upstream::pool::Pool;
use crate::upstream::response_body::UpstreamBody;
use crate::upstream::server::Server;
use crate::upstream::worker::Worker;

impl Worker {
    pub(super) fn record_answer(&self, pool: &Pool, response: &Response<UpstreamBody>) {
        let (server, now) = (pool.server(), self.clock.now().mono);
        pool.count_answer();
        if server.circuit().record_answer() {
            tracing::info!(server = %server.url(), "server answers again");
        }
        server.health().record_success(now);
        // A date in Retry-After is ignored: a server whose clock is wrong would be paused for long.
        if response.status() == StatusCode::SERVICE_UNAVAILABLE
            && let Some(retry_after) = response.headers().get(RETRY_AFTER)
            && let Some(pause) =
                DeltaSeconds::parse(list::trim(retry_after.as_bytes()).iter().copied())
        {
            server.health().pause(now, pause.as_duration());
        }
    }

    pub(super) fn record_failure(&self, server: &Server, error: &Error) {
        // A full queue says nothing of the server's health, nor does a client that left.
        if error.side() != Side::Upstream || error.kind() == ErrorKind::ConnectionLimit {
            return;
        }
        server.record_failure(error);
        server.count_failure(error.kind());
        if server.health().record_failure(self.clock.now().mono) {
            tracing::warn!(server = %server.url(), failure = %error, "server ejected: other servers get its requests");
        }
    }

    /// A request has ended in `error`, and meanwhile nothing came from the server.
    pub(super) fn record_unresponsive(&self, server: &Server, error: &Error, trial: bool) {
        let (circuit, now) = (server.circuit(), self.clock.now().mono);
        match Unresponsive::of(error.kind()) {
            _ if error.side() != Side::Upstream => {}
            Some(_) if circuit.record_unresponsive(now) => {
                tracing::warn!(server = %server.url(), failure = %error, "circuit opened: one request at a time tries the server, the others are not sent to it");
            }
            Some(unresponsive) if trial => circuit.trial_failed(now, unresponsive),
            // The server has reacted: the next request will soon show more.
            None if trial && error.kind() != ErrorKind::ConnectionLimit => {
                circuit.record_answer();
            }
            _ => {}
        }
    }
}
