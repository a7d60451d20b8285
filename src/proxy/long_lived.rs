//! Exchanges that last: they keep a connection to the API each, and may not take all of them. The rest is kept for short
//! requests.
//!
//! Requests for another protocol and responses without an end of their own are known before they last, and refused where
//! there are as many as may be. An upload counts once it has lasted; one beyond the bound is cut off only when requests
//! wait for a connection.

use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

use crate::clock::timer_now;
use crate::config::{Protocol, Upstream};
use crate::error::{Error, ErrorKind, Side};
use crate::proxy::epoch::Epoch;
use crate::proxy::limit::{Client, Full, Share, Shares};
use crate::proxy::request::Request;
use crate::proxy::worker::Worker;

/// How long an upload is not called long.
const SHORT: Duration = Duration::from_secs(2);

/// Between two looks whether a connection is needed.
const LOOK: Duration = Duration::from_millis(500);

/// Counts an exchange of `request` that lasts, until what this returns is dropped; `None` where it takes no connection of
/// its own.
///
/// # Errors
/// [`ErrorKind::Overloaded`] when there are as many as may be, in all or of this client.
pub(super) fn begin(worker: &Worker, request: &Request) -> Result<Option<Share>, Error> {
    let Some((shares, (most, each))) = of_api(request) else {
        return Ok(None);
    };
    let client = request.client_behind_proxies();
    let entered = shares.enter(client, most, each);
    entered.map(Some).map_err(|full| {
        worker.counters.shed.inc();
        refusal(full)
    })
}

/// Those of the API that the request goes to, and their bounds; `None` without.
fn of_api(request: &Request) -> Option<(&Arc<Shares>, (usize, usize))> {
    let settings = &request.epoch.settings;
    let bounds = bounds(settings.upstream_of(&request.route)?)?;
    let shares = settings
        .long_lived
        .get(request.route.destination.upstream()?)?;
    Some((shares, bounds))
}

fn refusal(full: Full) -> Error {
    let whose = match full {
        Full::All => "uploads, event streams and tunnels have",
        Full::Client => "this client's uploads, event streams and tunnels have",
    };
    Error::new(ErrorKind::Overloaded, Side::Internal).detail(format!(
        "{whose} as many of the connections to the API as they may (upstream.max_long_lived)"
    ))
}

/// How many may last in all, and how many of one client. `None` without a bound: where requests share connections, none is
/// taken.
fn bounds(upstream: &Upstream) -> Option<(usize, usize)> {
    let percent = upstream.max_long_lived;
    if upstream.protocol != Protocol::Http1 || percent >= 100 {
        return None;
    }
    let connections = upstream
        .max_connections
        .saturating_mul(upstream.servers.len());
    let part = |of: usize| (of.saturating_mul(percent) / 100).max(1);
    Some((part(connections), part(part(connections))))
}

/// An upload on its way, which may turn out to last.
pub(super) struct Lasting {
    shares: Arc<Shares>,
    client: Option<Client>,
    bounds: (usize, usize),
    epoch: Rc<Epoch>,
    upstream: Option<usize>,
    next_look: Instant,
    /// Wakes the upload for it.
    timer: Option<Pin<Box<Sleep>>>,
    /// Once it counts.
    share: Option<Share>,
}

impl Lasting {
    pub fn of(request: &Request) -> Option<Self> {
        let (shares, bounds) = of_api(request)?;
        Some(Self {
            shares: shares.clone(),
            client: request.client_behind_proxies(),
            bounds,
            epoch: request.epoch.clone(),
            upstream: request.route.destination.upstream(),
            next_look: timer_now() + SHORT,
            timer: None,
            share: None,
        })
    }

    /// Ready when the upload has to end: it lasts, is beyond the bound, and other requests wait for a connection.
    pub fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<Error> {
        loop {
            if self.share.is_some() {
                return Poll::Pending;
            }
            if timer_now() < self.next_look {
                let next_look = self.next_look;
                let timer = self
                    .timer
                    .get_or_insert_with(|| Box::pin(sleep_until(next_look)));
                if timer.as_mut().poll(cx).is_pending() {
                    return Poll::Pending;
                }
            }
            self.timer = None;
            self.next_look = timer_now() + LOOK;
            let (most, each) = self.bounds;
            match self.shares.enter(self.client, most, each) {
                Ok(share) => self.share = Some(share),
                Err(full) if self.epoch.settings.has_requests_waiting(self.upstream) => {
                    return Poll::Ready(refusal(full));
                }
                Err(_full) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_the_connections_is_kept_for_short_requests() {
        let servers = |count: usize| {
            let url = |at| format!("http://127.0.0.{at}").parse().expect("a URL");
            (1..=count).map(url).collect::<Vec<_>>()
        };
        for (count, connections, percent, expected) in [
            (1, 1024, 75, Some((768, 576))),
            (2, 1024, 75, Some((1536, 1152))),
            (1, 4, 75, Some((3, 2))),
            (1, 2, 75, Some((1, 1))),
            (1, 1, 75, Some((1, 1))),
            (1, 100, 1, Some((1, 1))),
            (1, 1024, 100, None),
        ] {
            let mut upstream = Upstream::in_front_of(servers(count));
            upstream.max_connections = connections;
            upstream.max_long_lived = percent;
            assert_eq!(
                bounds(&upstream),
                expected,
                "{count} {connections} {percent}"
            );
            upstream.protocol = Protocol::H2c;
            assert_eq!(bounds(&upstream), None);
        }
    }
}
