//! Health checks: each server is asked by itself, on a connection of its own, by one worker for all.

use std::rc::Rc;
use std::sync::{Arc, Weak};
use std::time::Duration;

use http::header::{CONNECTION, HOST, USER_AGENT};
use http::{HeaderValue, Request, StatusCode};
use tokio::task::spawn_local;

use super::UpstreamShared;
use super::connect::{self, connect};
use super::connection::Connection;
use super::http2::{self, Shared};
use super::request_body::RequestBody;
use super::server::Server;
use super::wire::Wire;
use crate::clock::Clock;
use crate::config::{Health, Protocol};
use crate::error::Error;

/// Starts a task for each server. They end when `shared` is gone.
pub(super) fn start(shared: &Arc<UpstreamShared>, clock: &Clock) {
    let Some(path) = &shared.health.path else {
        return;
    };
    for at in 0..shared.servers.len() {
        let check = Check {
            path: path.as_str().into(),
            rules: shared.health.clone(),
            connect: shared.limits.connect,
            max_head: shared.limits.max_head,
            protocol: shared.protocol,
            http2: shared.http2,
        };
        spawn_local(watch(Arc::downgrade(shared), at, check, clock.clone()));
    }
}

struct Check {
    path: Box<str>,
    rules: Health,
    connect: connect::Limits,
    max_head: usize,
    protocol: Protocol,
    http2: http2::Limits,
}

async fn watch(shared: Weak<UpstreamShared>, at: usize, check: Check, clock: Clock) {
    let mut streak = Streak::default();
    loop {
        let Some(server) = shared.upgrade().map(|shared| shared.servers[at].clone()) else {
            return;
        };
        let found = tokio::time::timeout(check.rules.timeout, check.ask(&server, &clock)).await;
        let failure = match found {
            Ok(Ok(status)) if status.as_u16() < 400 => None,
            Ok(Ok(status)) => Some(format!("status {}", status.as_u16())),
            Ok(Err(error)) => Some(error.to_string()),
            Err(_elapsed) => Some("no answer in time".to_owned()),
        };
        if failure.is_none() {
            server.circuit().heard();
        }
        if let Some(well) = streak.add(failure.is_none(), &check.rules)
            && server.standing().checked(clock.now().mono, well)
        {
            match failure {
                None => tracing::info!(server = %server.url(), "well again"),
                Some(failure) => tracing::warn!(server = %server.url(), failure, "unwell"),
            }
        }
        drop(server);
        tokio::time::sleep(check.rules.interval).await;
    }
}

impl Check {
    async fn ask(&self, server: &Server, clock: &Clock) -> Result<StatusCode, Error> {
        let request = self.request(server)?;
        let transport = connect(server, self.connect, clock).await?.transport;
        let http2 = transport.speaks_http2(self.protocol);
        let wire = Wire::new(transport, None);
        let answer = if http2 {
            let shared =
                Shared::start(wire, None, &self.http2, Rc::default(), clock.clone()).await?;
            let mut stream = shared.open_stream();
            let answer = stream.exchange(request, server.scheme(), Duration::MAX);
            answer.await.map(|response| response.status())
        } else {
            let mut connection = Connection::new(wire, self.max_head);
            let answer = connection.exchange(request, Duration::MAX).await;
            connection.abort();
            answer.map(|response| response.status())
        };
        answer.map_err(|unanswered| unanswered.error)
    }

    fn request(&self, server: &Server) -> Result<Request<RequestBody>, Error> {
        let mut request = Request::new(RequestBody::Empty);
        *request.uri_mut() = format!("{}{}", server.base_path(), self.path)
            .parse()
            .map_err(|error: http::uri::InvalidUri| Error::internal().because(error))?;
        let fields = request.headers_mut();
        fields.insert(HOST, server.host_value());
        fields.insert(
            USER_AGENT,
            HeaderValue::from_static("bookend (health check)"),
        );
        fields.insert(CONNECTION, HeaderValue::from_static("close"));
        Ok(request)
    }
}

/// Checks of the same outcome in a row.
#[derive(Debug, Default)]
struct Streak {
    well: bool,
    length: u32,
}

impl Streak {
    /// What the latest checks say together, when enough of them say the same.
    fn add(&mut self, well: bool, rules: &Health) -> Option<bool> {
        if self.well != well {
            *self = Self { well, length: 0 };
        }
        self.length = self.length.saturating_add(1);
        let enough = if well { rules.healthy } else { rules.unhealthy };
        (self.length >= enough).then_some(well)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_takes_enough_checks_in_a_row() {
        let rules = Health {
            unhealthy: 3,
            healthy: 2,
            ..Health::default()
        };
        let mut streak = Streak::default();
        let table = [
            (false, None),
            (false, None),
            (true, None),
            (false, None),
            (false, None),
            (false, Some(false)),
            (false, Some(false)),
            (true, None),
            (true, Some(true)),
            (false, None),
        ];
        for (well, verdict) in table {
            assert_eq!(streak.add(well, &rules), verdict);
        }
    }
}
