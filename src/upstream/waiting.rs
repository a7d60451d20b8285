//! Whether a request has been sent, and whether its client has closed its side, for the two that may cancel it: its client's
//! connection, and the task that waits for the response. And what has come of sending it, for the access log.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};
use std::time::Duration;

use tokio::task::yield_now;

use super::server::Server;

/// How far a request has come on its way to a connection. Clones share one state.
#[derive(Clone, Debug, Default)]
pub struct Waiting(Arc<Progress>);

/// The latest request of a client's connection, if it is on its way to the API. Clones share one state.
#[derive(Clone, Debug, Default)]
pub struct LatestWaiting(Arc<Latest>);

#[derive(Debug, Default)]
struct Latest {
    /// Whether there is one: a hit reads no more than that.
    any: AtomicBool,
    waiting: Mutex<Option<Waiting>>,
}

#[derive(Debug, Default)]
struct Progress {
    stage: AtomicU8,
    /// Woken when the request begins to wait, and before it is sent after that.
    watcher: Mutex<Option<Waker>>,
    /// How often its client's connection was found half-closed.
    half_closed: AtomicU32,
    /// Nobody waits for the response any more.
    given_up: AtomicBool,
    trials: Mutex<Trials>,
}

/// How often a request was tried, and how that went.
#[derive(Clone, Debug, Default)]
pub struct Trials {
    /// How often it was sent, or was to be.
    pub count: u32,
    /// The server of the latest; `None` where none was chosen.
    pub server: Option<Arc<Server>>,
    /// From when the latest was sent to the head of its response, or to its failure; `None` where nothing was sent.
    pub duration: Option<Duration>,
}

/// Not handed to a connection.
const UNSENT: u8 = 0;
/// Not handed to a connection, since none is free.
const QUEUED: u8 = 1;
/// Handed to a connection, at least once.
const SENT: u8 = 2;

/// How a request goes on whose client has closed its side (RFC 9112 §9.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HalfClosed {
    /// This was not known before. The request goes on: its client may still read.
    Noticed,
    /// This was known, or no request is on its way.
    Known,
    /// Its client counts as gone.
    Gone,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl LatestWaiting {
    pub fn set(&self, waiting: Option<Waiting>) {
        self.0.any.store(waiting.is_some(), Ordering::Release);
        *lock(&self.0.waiting) = waiting;
    }

    /// Whether there is a request on its way.
    pub fn is_any(&self) -> bool {
        self.0.any.load(Ordering::Acquire)
    }

    /// Whether the request waits for a connection to the API. If it does not and still may, wakes the task when it does.
    pub fn is_queued(&self, cx: &Context<'_>) -> bool {
        self.is_any()
            && (lock(&self.0.waiting).as_ref()).is_some_and(|waiting| waiting.is_queued(cx))
    }

    /// Its client's connection is found half-closed. A request that waits for a connection is given up: nothing of it has been
    /// sent, and by far most such clients have left.
    pub fn half_closed(&self, cx: &Context<'_>) -> HalfClosed {
        let latest = lock(&self.0.waiting);
        let Some(waiting) = &*latest else {
            return HalfClosed::Known;
        };
        if waiting.is_queued(cx) || waiting.0.given_up.load(Ordering::Acquire) {
            return HalfClosed::Gone;
        }
        let first =
            waiting
                .0
                .half_closed
                .compare_exchange(0, 1, Ordering::AcqRel, Ordering::Acquire);
        match first {
            Ok(_) => HalfClosed::Noticed,
            Err(_) => HalfClosed::Known,
        }
    }

    /// It is still half-closed after some time.
    pub fn still_half_closed(&self) {
        if let Some(waiting) = &*lock(&self.0.waiting) {
            waiting.0.half_closed.fetch_add(1, Ordering::AcqRel);
        }
    }
}

impl Waiting {
    /// Whether any of it may have reached the API.
    pub fn is_sent(&self) -> bool {
        self.stage() == SENT
    }

    /// How often its client's connection was found half-closed.
    pub fn half_closed(&self) -> u32 {
        self.0.half_closed.load(Ordering::Acquire)
    }

    /// Its client's connection is to end.
    pub fn give_up(&self) {
        self.0.given_up.store(true, Ordering::Release);
    }

    /// How often it was tried until now, and how that went.
    pub fn trials(&self) -> Trials {
        lock(&self.0.trials).clone()
    }

    /// It is tried once more.
    pub(super) fn try_at(&self, server: &Arc<Server>) {
        let mut trials = lock(&self.0.trials);
        let count = trials.count.saturating_add(1);
        *trials = Trials {
            count,
            server: Some(server.clone()),
            duration: None,
        };
    }

    /// The trial has ended so long after it was sent to `server`.
    pub(super) fn tried(&self, server: &Arc<Server>, duration: Duration) {
        let mut trials = lock(&self.0.trials);
        // It may have waited at another one.
        trials.server = Some(server.clone());
        trials.duration = Some(duration);
    }

    fn is_queued(&self, cx: &Context<'_>) -> bool {
        let stage = self.stage();
        if stage != SENT {
            let mut watcher = lock(&self.0.watcher);
            if !(watcher.as_ref()).is_some_and(|watcher| watcher.will_wake(cx.waker())) {
                *watcher = Some(cx.waker().clone());
            }
        }
        stage == QUEUED
    }

    /// Counts as waiting until the returned value is dropped.
    pub(super) fn queue(&self) -> Queued<'_> {
        if !self.is_sent() {
            self.0.stage.store(QUEUED, Ordering::Release);
            self.wake();
        }
        Queued(self)
    }

    pub(super) fn sent(&self) {
        self.0.stage.store(SENT, Ordering::Release);
        lock(&self.0.watcher).take();
    }

    fn stage(&self) -> u8 {
        self.0.stage.load(Ordering::Acquire)
    }

    fn wake(&self) {
        let watcher = lock(&self.0.watcher).take();
        if let Some(watcher) = watcher {
            watcher.wake();
        }
    }
}

pub(super) struct Queued<'a>(&'a Waiting);

impl Queued<'_> {
    /// The wait is over. The watcher may still cancel the request before it is sent.
    pub(super) async fn yield_to_watcher(&self) {
        self.0.wake();
        yield_now().await;
    }
}

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        if self.0.stage() == QUEUED {
            self.0.0.stage.store(UNSENT, Ordering::Release);
        }
    }
}
