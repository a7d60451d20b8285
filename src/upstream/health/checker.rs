//! The task that makes a server's health checks, on connections of their own. One worker has it for all.

use std::pin::pin;
use std::rc::Rc;
use std::sync::{Arc, Weak};
use std::time::Duration;

use http::header::{CONNECTION, HOST, USER_AGENT};
use http::{HeaderValue, Request, StatusCode};
use tokio::task::spawn_local;

use super::check::{Check, Checks};
use crate::clock::{Clock, within};
use crate::config::Health;
use crate::error::{Error, ErrorKind};
use crate::upstream::connect::connect;
use crate::upstream::http1::connection::Connection;
use crate::upstream::http2::{Http2Connection, Stream};
use crate::upstream::request_body::RequestBody;
use crate::upstream::server::Server;
use crate::upstream::wire::Wire;

/// Starts the task that checks `server`, where checks are configured and no worker has one. The task ends when the server
/// is gone, or is not to be checked any more.
pub(in crate::upstream) fn start(server: &Arc<Server>, clock: &Clock) {
    let checks = server.checks();
    if checks.claim() {
        spawn_local(run_checks(
            Arc::downgrade(server),
            checks.clone(),
            clock.clone(),
        ));
    }
}

async fn run_checks(server: Weak<Server>, checks: Arc<Checks>, clock: Clock) {
    let mut streak = Streak::default();
    loop {
        let mut changed = pin!(checks.changed().notified());
        changed.as_mut().enable();
        let Some(check) = checks.current() else {
            if let Some(server) = server.upgrade() {
                checks.peers().forget(server.url());
            }
            checks.unclaim();
            // Checks may have been turned on again meanwhile.
            if checks.claim() {
                continue;
            }
            return;
        };
        let Some(server) = server.upgrade() else {
            return;
        };
        let found = {
            let sent = pin!(send_check(&check, &server, &clock));
            tokio::select! {
                found = within(check.rules.timeout, sent) => found,
                () = changed.as_mut() => continue,
            }
        };
        if let Ok(Ok(status)) = found {
            checks.peers().note(server.url(), status);
        }
        let failure = match found {
            Ok(Ok(status)) if status.as_u16() < 400 => None,
            Ok(Ok(status)) => Some(format!("status {}", status.as_u16())),
            Ok(Err(error)) => Some(error.to_string()),
            Err(_elapsed) => Some("no answer in time".to_owned()),
        };
        match &failure {
            None => drop(server.circuit().record_answer()),
            Some(failure) => server.record_failure(
                &Error::upstream(ErrorKind::DestinationUnavailable)
                    .detail("its health check failed")
                    .because(failure.as_str()),
            ),
        }
        if let Some(healthy) = streak.add(failure.is_none(), &check.rules)
            && server.health().record_checks(clock.now().mono, healthy)
        {
            match failure {
                None => {
                    tracing::info!(server = %server.url(), "health check succeeded: server is healthy again")
                }
                Some(failure) => {
                    tracing::warn!(server = %server.url(), failure, "health check failed: server is unhealthy")
                }
            }
        }
        checks.record_end();
        drop(server);
        tokio::select! {
            () = tokio::time::sleep(check.rules.interval) => {}
            () = changed => {}
        }
    }
}

/// The status of the response to one check.
async fn send_check(check: &Check, server: &Server, clock: &Clock) -> Result<StatusCode, Error> {
    let mut request = Request::new(RequestBody::Empty);
    *request.uri_mut() = format!("{}{}", server.base_path(), check.path)
        .parse()
        .map_err(|error: http::uri::InvalidUri| Error::internal().because(error))?;
    let fields = request.headers_mut();
    fields.insert(HOST, server.host_value());
    fields.insert(
        USER_AGENT,
        HeaderValue::from_static("bookend (health check)"),
    );
    fields.insert(CONNECTION, HeaderValue::from_static("close"));
    let socket = connect(server, check.connect, clock).await?.socket;
    let http2 = socket.speaks_http2(check.protocol);
    let wire = Wire::new(socket, None);
    let answer = if http2 {
        let connection =
            Http2Connection::start(wire, None, &check.http2, Rc::default(), clock.clone()).await?;
        let mut stream = Stream::open(&connection);
        let answer = stream.exchange(request, server.scheme(), Duration::MAX);
        answer.await.map(|response| response.status())
    } else {
        let mut connection = Connection::new(wire, check.head, None);
        let answer = connection.exchange(request, Duration::MAX).await;
        connection.abort();
        answer.map(|response| response.status())
    };
    answer.map_err(|unanswered| unanswered.error)
}

/// Checks of the same outcome in a row.
#[derive(Debug, Default)]
struct Streak {
    healthy: bool,
    length: u32,
    /// Whether the checks have decided before: else the first success is enough.
    decided: bool,
}

impl Streak {
    /// Whether the server is healthy, when enough checks in a row agree.
    fn add(&mut self, healthy: bool, rules: &Health) -> Option<bool> {
        if self.healthy != healthy {
            self.healthy = healthy;
            self.length = 0;
        }
        self.length = self.length.saturating_add(1);
        let enough = match healthy {
            true if !self.decided => 1,
            true => rules.healthy,
            false => rules.unhealthy,
        };
        let decision = (self.length >= enough).then_some(healthy);
        self.decided |= decision.is_some();
        decision
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decision_takes_enough_checks_in_a_row() {
        let rules = Health {
            unhealthy: 3,
            healthy: 2,
            ..Health::default()
        };
        let mut streak = Streak::default();
        let table = [
            (false, None),
            (false, None),
            (true, Some(true)),
            (false, None),
            (false, None),
            (false, Some(false)),
            (false, Some(false)),
            (true, None),
            (true, Some(true)),
            (false, None),
        ];
        for (healthy, decision) in table {
            assert_eq!(streak.add(healthy, &rules), decision);
        }
    }
}
