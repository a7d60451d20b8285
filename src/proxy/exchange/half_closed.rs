//! Clients that close their side of an HTTP/1 connection while they wait. That does not say that they are "no longer
//! interested in a response" (RFC 9112 §9.6), but most have left, and it looks the same until something is written to them.
//! So a bounded number of them waits on, few of them one client's, and not long where others find no place.

use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;

use crate::proxy::admission::{are_places_scarce, most_half_closed};
use crate::proxy::epoch::Epoch;
use crate::proxy::limit::{Client, Share};
use crate::proxy::request::Request;
use crate::proxy::worker::Worker;
use crate::upstream::Waiting;

/// A request that waits for its response, and whether its client has closed its side.
pub(super) struct Presence {
    worker: Rc<Worker>,
    epoch: Rc<Epoch>,
    /// The API that is asked.
    upstream: Option<usize>,
    client: Option<Client>,
    waiting: Waiting,
    /// How often the connection has been found half-closed, as far as it was looked at here.
    found: u32,
    /// Its place among those that have closed their side.
    share: Option<Share>,
}

impl Presence {
    pub fn of(worker: &Rc<Worker>, request: &Request, waiting: Waiting) -> Self {
        Self {
            worker: worker.clone(),
            epoch: request.epoch.clone(),
            upstream: request.route.destination.upstream(),
            client: request.client_behind_proxies(),
            waiting,
            found: 0,
            share: None,
        }
    }

    /// Carries `work` on. Where its client is given up, the connection drops it.
    pub async fn watch<T>(mut self, mut work: Pin<&mut impl Future<Output = T>>) -> T {
        poll_fn(|cx| {
            let found = self.waiting.half_closed();
            if found != self.found {
                self.found = found;
                self.half_closed();
            }
            work.as_mut().poll(cx)
        })
        .await
    }

    /// The connection was found half-closed: at once when it became so, and then from time to time.
    fn half_closed(&mut self) {
        let may_wait = match self.share {
            Some(_) => !are_places_scarce(&self.worker, &self.epoch, self.upstream),
            None => {
                let (most, each) = most_half_closed(&self.epoch.settings.config);
                let shares = &self.worker.gateway.half_closed;
                self.share = shares.enter(self.client, most, each).ok();
                self.share.is_some()
            }
        };
        if !may_wait {
            self.waiting.give_up();
        }
    }
}
