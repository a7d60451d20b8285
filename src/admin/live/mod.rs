//! What the gateway does now: rates and percentiles of the last seconds and minutes, as one JSON object (`GET /status`), and
//! once a second as a stream of such objects (`GET /live`), for the dashboard and `bookend top`.
//!
//! The counters are read once a second, whether or not anybody looks: an operator who begins to look wants the minutes before. That costs one
//! load for each counter. The object is made when somebody asks for it, and once a second for all who listen together.

mod document;
mod ring;
mod stream;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use self::ring::Ring;
pub(super) use self::stream::Events;
use super::operations::Operations;
use crate::clock::Clock;

const EVERY: Duration = Duration::from_secs(1);

/// Streams that may be open at once.
pub(super) const MAX_LISTENERS: usize = 32;

/// The latest seconds of the gateway, and those who listen.
pub(super) struct Live {
    operations: Arc<dyn Operations>,
    clock: Clock,
    ring: RefCell<Ring>,
    /// The latest event; a client that is slow gets this one alone.
    latest: watch::Sender<Bytes>,
    /// Closed when the admin API ends.
    open: watch::Receiver<()>,
}

impl Live {
    /// Reads the counters once a second from now on; to be made within the runtime of the admin API. Streams end when the
    /// sender of `open` is dropped.
    pub fn start(
        operations: Arc<dyn Operations>,
        clock: Clock,
        open: watch::Receiver<()>,
    ) -> Rc<Self> {
        let ring = Ring::new(operations.metrics(), operations.evicted(), clock.now().mono);
        let live = Rc::new(Self {
            operations,
            clock,
            ring: RefCell::new(ring),
            latest: watch::Sender::new(Bytes::new()),
            open,
        });
        let reading = Rc::downgrade(&live);
        tokio::task::spawn_local(async move {
            let mut ticks = interval(EVERY);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            // The first comes at once, and the counters have just been read.
            ticks.tick().await;
            loop {
                ticks.tick().await;
                match reading.upgrade() {
                    Some(live) => live.read(),
                    None => return,
                }
            }
        });
        live
    }

    fn read(&self) {
        let now = self.clock.now().mono;
        let mut ring = self.ring.borrow_mut();
        let operations = &self.operations;
        ring.read(operations.metrics(), operations.evicted(), now);
        drop(ring);
        if self.latest.receiver_count() > 0 {
            self.latest.send_replace(stream::event(&self.status()));
        }
    }

    /// The object.
    pub fn status(&self) -> Value {
        let now = self.clock.now().wall;
        document::of(&*self.operations, &self.ring.borrow(), now)
    }

    /// One more stream of events, which begins with the state of now; `None` where there are as many as may be.
    pub fn listen(&self) -> Option<Events> {
        if self.latest.receiver_count() >= MAX_LISTENERS {
            return None;
        }
        let first = stream::first(&self.status());
        let (latest, open) = (self.latest.subscribe(), self.open.clone());
        Some(Events::new(first, latest, open))
    }

    /// Changes when streams are to end: its sender is dropped.
    pub fn open(&self) -> watch::Receiver<()> {
        self.open.clone()
    }
}
