//! The servers as the balancer sees them, and the wait for the first health checks.

use std::error::Error as _;
use std::pin::pin;

use smallvec::SmallVec;

use super::request::PendingRequest;
use crate::clock::{Monotonic, within};
use crate::error::{Error, ErrorKind};
use crate::upstream::balance::{Candidates, Choice};
use crate::upstream::health::state::Availability;
use crate::upstream::server::Server;
use crate::upstream::worker::Worker;

impl Worker {
    pub(super) fn choose(&self, request: &PendingRequest<'_>, tried: &[usize]) -> Option<Choice> {
        self.balancer
            .choose(&self.candidates(), request.hash(), tried)
    }

    pub(super) fn candidates(&self) -> Servers<'_> {
        Servers {
            worker: self,
            now: self.clock.now().mono,
        }
    }

    /// Where no server is known to be healthy yet, waits for the first health check that succeeds, or until each server has
    /// been checked once. That takes no longer than one check.
    pub(super) async fn await_first_checks(&self) {
        if self.shared.health.path.is_none() || self.pools.len() < 2 {
            return;
        }
        let decided = async {
            loop {
                let mut checked = pin!(self.shared.peers.checked().notified());
                checked.as_mut().enable();
                let now = self.clock.now().mono;
                let servers = self.shared.servers().iter();
                let servers: SmallVec<[_; 8]> = servers
                    .map(|server| (server.availability(now), server.checks().have_ended_any()))
                    .collect();
                let is_known = |&(availability, _): &(_, bool)| {
                    matches!(
                        availability,
                        Availability::Available(_) | Availability::Paused
                    )
                };
                let is_awaited = |&(availability, checked): &(_, bool)| {
                    availability == Availability::Unchecked && !checked
                };
                if servers.iter().any(is_known) || !servers.iter().any(is_awaited) {
                    return;
                }
                checked.await;
            }
        };
        // The worker that runs the checks may be about to stop.
        let _late = within(self.shared.health.timeout, pin!(decided)).await;
    }

    /// No server can be asked, until the next trial or check of one of them.
    pub(super) fn unavailable(&self) -> Error {
        self.counters.unavailable.inc();
        let now = self.clock.now().mono;
        let servers = self.shared.servers().iter();
        let waits = servers.map(|server| match server.availability(now) {
            Availability::Unhealthy => self.shared.health.interval,
            // The pause that the server has asked for is the better guess.
            _ => (server.circuit().wait(now)).max(server.health().pause_left(now)),
        });
        let kind = ErrorKind::DestinationUnavailable;
        let error = Error::upstream(kind).lasting(waits.min().unwrap_or_default());
        let mut servers = self.shared.servers().iter();
        match servers.find_map(|server| server.latest_failure()) {
            None => error,
            Some(failure) => {
                let (kind, failed) = (kind.explanation(), failure.explanation());
                let error = error.detail(format!("{kind}; the latest failure: {failed}"));
                match failure.source() {
                    None => error,
                    Some(cause) => error.because(cause.to_string()),
                }
            }
        }
    }
}

/// The servers as one worker sees them at one moment.
pub(super) struct Servers<'a> {
    worker: &'a Worker,
    now: Monotonic,
}

impl Servers<'_> {
    fn server(&self, server: usize) -> &Server {
        &self.worker.shared.servers()[server]
    }
}

impl Candidates for Servers<'_> {
    fn len(&self) -> usize {
        self.worker.shared.servers().len()
    }

    fn availability(&self, server: usize) -> Availability {
        self.server(server).availability(self.now)
    }

    fn load(&self, server: usize) -> usize {
        self.server(server).load()
    }

    fn has_room(&self, server: usize) -> bool {
        self.worker.pools[server].has_room()
    }

    fn identity(&self, server: usize) -> u64 {
        self.server(server).identity()
    }

    fn takes_only_trials(&self, server: usize) -> bool {
        self.server(server).takes_only_trials()
    }

    fn begin_trial(&self, server: usize, urgent: bool) -> bool {
        let server = self.server(server);
        server.circuit().wait(self.now).is_zero() && server.health().begin_trial(self.now, urgent)
    }
}

/// A request that tries a server that is ejected or whose circuit is open, until it is dropped.
pub(super) struct Trial<'a>(pub(super) &'a Server);

impl Drop for Trial<'_> {
    fn drop(&mut self) {
        self.0.health().end_trial();
    }
}
