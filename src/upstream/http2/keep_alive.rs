//! Whether the server is still there while requests wait for it: a connection whose peer has vanished without a word
//! takes requests for as long as the operating system believes in it. It is asked now and then, and at once where a
//! request has waited in vain.

use std::cell::Cell;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use h2::{Ping, PingPong};

use crate::upstream::deadline::Deadline;

/// How often a server that has requests is asked, and how long it has to answer.
const PING_EVERY: Duration = Duration::from_secs(30);
const PONG_WITHIN: Duration = Duration::from_secs(20);

/// A connection's pings (RFC 9113 §6.7).
pub(super) struct Pulse {
    pings: PingPong,
    timer: Deadline,
    asked: bool,
}

impl Pulse {
    pub(super) fn new(pings: PingPong) -> Self {
        let mut timer = Deadline::default();
        timer.arm(PING_EVERY);
        Self {
            pings,
            timer,
            asked: false,
        }
    }

    /// Ready when the server has not answered in time. It is asked while it is `busy`, and at once when it is
    /// `doubted`, which ends with its answer.
    pub(super) fn poll_lost(
        &mut self,
        cx: &mut Context<'_>,
        busy: bool,
        doubted: &Cell<bool>,
    ) -> Poll<()> {
        loop {
            if self.asked && self.pings.poll_pong(cx).is_ready() {
                self.asked = false;
                doubted.set(false);
                self.timer.arm(PING_EVERY);
            }
            if doubted.get() && !self.asked && self.ask() {
                self.timer.arm(PONG_WITHIN);
            }
            ready!(self.timer.poll_passed(cx));
            if self.asked {
                return Poll::Ready(());
            }
            let next = match busy && self.ask() {
                true => PONG_WITHIN,
                false => PING_EVERY,
            };
            self.timer.arm(next);
        }
    }

    /// Whether that could be done.
    fn ask(&mut self) -> bool {
        self.asked = self.pings.send_ping(Ping::opaque()).is_ok();
        self.asked
    }
}
