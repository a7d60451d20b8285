//! Health checks: each server is asked by itself, on a connection of its own, by one worker for all.

use std::pin::pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use arc_swap::ArcSwapOption;

use http::header::{CONNECTION, HOST, USER_AGENT};
use http::{HeaderValue, Request, StatusCode};
use tokio::sync::Notify;
use tokio::task::spawn_local;

use crate::clock::Clock;
use crate::config::{Health, Protocol, Upstream};
use crate::error::{Error, ErrorKind};
use crate::upstream::connect::{self, connect};
use crate::upstream::http1::connection::Connection;
use crate::upstream::http2::{self, Shared};
use crate::upstream::request_body::RequestBody;
use crate::upstream::response_head::HeadLimits;
use crate::upstream::server::Server;
use crate::upstream::wire::Wire;

/// A server's health checks, shared by all workers.
#[derive(Debug)]
pub(in crate::upstream) struct Checks {
    /// How it is asked; `None` where it is not.
    check: ArcSwapOption<Check>,
    /// Whether a worker has a task for them.
    running: AtomicBool,
    /// Whether one has ended since the process knows the server.
    any: AtomicBool,
    changed: Notify,
    /// Rung after each check, of this server or another.
    checked: Arc<Notify>,
}

#[derive(Debug, PartialEq)]
pub(in crate::upstream) struct Check {
    path: Box<str>,
    rules: Health,
    connect: connect::Limits,
    head: HeadLimits,
    protocol: Protocol,
    http2: http2::Limits,
}

impl Checks {
    pub(in crate::upstream) fn new(checked: Arc<Notify>) -> Self {
        Self {
            check: ArcSwapOption::empty(),
            running: AtomicBool::new(false),
            any: AtomicBool::new(false),
            changed: Notify::new(),
            checked,
        }
    }

    /// From now on, the server is asked like this, or not at all.
    pub(in crate::upstream) fn set(&self, check: Option<Check>) {
        if self.check.load().as_deref() != check.as_ref() {
            self.check.store(check.map(Arc::new));
            self.changed.notify_waiters();
        }
    }

    /// Whether any check of the server has ended.
    pub(in crate::upstream) fn have_found_any(&self) -> bool {
        self.any.load(Ordering::Acquire)
    }

    fn found_one(&self) {
        self.any.store(true, Ordering::Release);
        self.checked.notify_waiters();
    }
}

/// Starts a task that asks `server`, where it is to be asked and no worker has one. The task ends when the server is
/// gone, or is not to be asked any more.
pub(in crate::upstream) fn start(server: &Arc<Server>, clock: &Clock) {
    let checks = server.checks();
    if checks.check.load().is_some() && !checks.running.swap(true, Ordering::AcqRel) {
        spawn_local(watch(Arc::downgrade(server), checks.clone(), clock.clone()));
    }
}

async fn watch(server: Weak<Server>, checks: Arc<Checks>, clock: Clock) {
    let mut streak = Streak::default();
    loop {
        let mut changed = pin!(checks.changed.notified());
        changed.as_mut().enable();
        let Some(check) = checks.check.load_full() else {
            checks.running.store(false, Ordering::Release);
            // It may have been turned on again meanwhile.
            if checks.check.load().is_some() && !checks.running.swap(true, Ordering::AcqRel) {
                continue;
            }
            return;
        };
        let Some(server) = server.upgrade() else {
            return;
        };
        let found = tokio::select! {
            found = tokio::time::timeout(check.rules.timeout, check.ask(&server, &clock)) => found,
            () = changed.as_mut() => continue,
        };
        let failure = match found {
            Ok(Ok(status)) if status.as_u16() < 400 => None,
            Ok(Ok(status)) => Some(format!("status {}", status.as_u16())),
            Ok(Err(error)) => Some(error.to_string()),
            Err(_elapsed) => Some("no answer in time".to_owned()),
        };
        match &failure {
            None => drop(server.circuit().heard()),
            Some(failure) => server.note_failure(
                &Error::upstream(ErrorKind::DestinationUnavailable)
                    .detail("its health check failed")
                    .because(failure.as_str()),
            ),
        }
        if let Some(healthy) = streak.add(failure.is_none(), &check.rules)
            && server.standing().checked(clock.now().mono, healthy)
        {
            match failure {
                None => tracing::info!(server = %server.url(), "healthy again"),
                Some(failure) => tracing::warn!(server = %server.url(), failure, "unhealthy"),
            }
        }
        checks.found_one();
        drop(server);
        tokio::select! {
            () = tokio::time::sleep(check.rules.interval) => {}
            () = changed => {}
        }
    }
}

impl Check {
    /// `None` where no checks are configured.
    pub(in crate::upstream) fn of(upstream: &Upstream) -> Option<Self> {
        let path = upstream.health.path.as_deref()?;
        Some(Self {
            path: path.into(),
            rules: upstream.health.clone(),
            connect: connect::Limits::of(upstream),
            head: HeadLimits::of(upstream),
            protocol: upstream.protocol,
            http2: http2::Limits::of(upstream),
        })
    }

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
            let mut connection = Connection::new(wire, self.head);
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
    /// The first success is enough for a server that no check has found unhealthy.
    decided: bool,
}

impl Streak {
    /// What the latest checks say together, when enough of them say the same.
    fn add(&mut self, well: bool, rules: &Health) -> Option<bool> {
        if self.well != well {
            self.well = well;
            self.length = 0;
        }
        self.length = self.length.saturating_add(1);
        let enough = match well {
            true if !self.decided => 1,
            true => rules.healthy,
            false => rules.unhealthy,
        };
        let verdict = (self.length >= enough).then_some(well);
        self.decided |= verdict.is_some();
        verdict
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
            (true, Some(true)),
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
