//! Who waits for a fill, and whether it goes on without anybody.
//!
//! A client that leaves kills nothing that others read or that will be stored (invariant 6). But a request costs its
//! client nothing when that leaves at once: so only a bounded number of fills goes on for the store alone, few of them one
//! client's, and only those whose response may be stored, as far as is known.

use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::time::{Sleep, sleep};

use super::event::LeaderEvent;
use crate::cache::collapse::{Fill, Use};
use crate::clock::Now;
use crate::proxy::epoch::Epoch;
use crate::proxy::limit::{Client, Share};
use crate::proxy::task::Listener;
use crate::proxy::worker::Worker;
use crate::upstream::Waiting;

/// This part of the fills that go on for the store alone may be one client's.
const CLIENTS: usize = 8;

pub struct Attendance {
    pub(super) worker: Rc<Worker>,
    pub(super) epoch: Rc<Epoch>,
    pub(super) fill: Arc<Fill>,
    pub(super) client: Option<Client>,
    /// `None` for a fill behind a stale response: there is a bound on those already.
    pub(super) leader: Option<Listener<LeaderEvent>>,
    /// Whether the response may be stored, as far as is known before it comes.
    pub(super) promising: bool,
    /// How far its request has come.
    pub(super) waiting: Option<Waiting>,
    pub(super) unattended: Option<Unattended>,
}

/// Nobody waits for it.
pub(super) struct Unattended {
    since: Now,
    /// Wakes the fill when its time is over.
    timer: Pin<Box<Sleep>>,
    _share: Option<Share>,
}

impl Attendance {
    /// Carries `work` to its end, or drops it, and the request upstream with it, when nobody waits for it and it may not
    /// go on for the store alone.
    pub async fn watch(mut self, mut work: Pin<&mut impl Future<Output = ()>>) {
        poll_fn(|cx| match work.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(()),
            Poll::Pending => self.poll_given_up(cx),
        })
        .await;
    }

    fn poll_given_up(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let awaited = (self.leader.as_ref()).is_some_and(|leader| !leader.has_left());
        let promising = match self.fill.poll_use(cx) {
            Use::Requested if awaited => None,
            // It has the upstream's deadlines.
            Use::Requested if self.leader.is_none() => None,
            // What has not been sent leaves with the last who asked for it.
            Use::Requested => Some(self.promising && self.is_sent()),
            Use::Unread { storing } => Some(storing),
            Use::Followed | Use::Settled => None,
        };
        match promising {
            None => {
                self.unattended = None;
                Poll::Pending
            }
            Some(false) => Poll::Ready(()),
            Some(true) => self.poll_unattended(cx),
        }
    }

    fn is_sent(&self) -> bool {
        self.waiting.as_ref().is_none_or(Waiting::is_sent)
    }

    fn poll_unattended(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let cache = &self.epoch.settings.config.cache;
        let now = self.worker.gateway.clock.now();
        if self.unattended.is_none() {
            let most = cache.max_unattended_fills;
            let each = most.div_ceil(CLIENTS);
            let enter = || {
                self.worker
                    .gateway
                    .unattended
                    .enter(self.client, most, each)
            };
            let share = match self.leader.as_ref().map(|_| enter()).transpose() {
                Ok(share) => share,
                Err(_full) => return Poll::Ready(()),
            };
            self.unattended = Some(Unattended {
                since: now,
                timer: Box::pin(sleep(cache.fill_timeout)),
                _share: share,
            });
        }
        let Some(unattended) = &mut self.unattended else {
            return Poll::Pending;
        };
        if now.mono.since(unattended.since.mono) > cache.fill_timeout {
            return Poll::Ready(());
        }
        unattended.timer.as_mut().poll(cx)
    }
}
