//! Pings (RFC 9113 §6.7) that find out whether the server is still there while requests wait for it: the operating system
//! may keep a connection open for long whose peer has vanished. A ping is sent now and then, and at once where a request
//! has timed out.

use std::cell::Cell;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use h2::{Ping, PingPong};

use crate::upstream::deadline::Deadline;

/// How often a server that has requests is pinged, and how long it has to answer.
const PING_EVERY: Duration = Duration::from_secs(30);
const PONG_WITHIN: Duration = Duration::from_secs(20);

/// A connection's pings.
pub(super) struct KeepAlive {
    pings: PingPong,
    timer: Deadline,
    pending: bool,
}

impl KeepAlive {
    pub(super) fn new(pings: PingPong) -> Self {
        let mut timer = Deadline::default();
        timer.arm(PING_EVERY);
        Self {
            pings,
            timer,
            pending: false,
        }
    }

    /// Ready when the server has not answered a ping in time. Pings are sent while it is `busy`, and at once when it is
    /// `suspect`, which its answer ends.
    pub(super) fn poll_lost(
        &mut self,
        cx: &mut Context<'_>,
        busy: bool,
        suspect: &Cell<bool>,
    ) -> Poll<()> {
        loop {
            if self.pending && self.pings.poll_pong(cx).is_ready() {
                self.pending = false;
                suspect.set(false);
                self.timer.arm(PING_EVERY);
            }
            if suspect.get() && !self.pending && self.ping() {
                self.timer.arm(PONG_WITHIN);
            }
            ready!(self.timer.poll_passed(cx));
            if self.pending {
                return Poll::Ready(());
            }
            let next = match busy && self.ping() {
                true => PONG_WITHIN,
                false => PING_EVERY,
            };
            self.timer.arm(next);
        }
    }

    /// Sends a ping; whether that could be done.
    fn ping(&mut self) -> bool {
        self.pending = self.pings.send_ping(Ping::opaque()).is_ok();
        self.pending
    }
}
