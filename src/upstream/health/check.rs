//! A server's health checks: how it is checked, and whether a worker does it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwapOption;
use tokio::sync::Notify;

use super::peers::Peers;
use crate::config::{Health, Protocol, Upstream};
use crate::upstream::limits::{ConnectLimits, HeadLimits, Http2Limits};

/// A server's health checks, shared by all workers.
#[derive(Debug)]
pub(in crate::upstream) struct Checks {
    /// How it is checked; `None` where it is not.
    check: ArcSwapOption<Check>,
    /// Whether a worker has a task for them.
    running: AtomicBool,
    /// Whether any check has ended since the process knows the server.
    any: AtomicBool,
    changed: Notify,
    /// Those of all servers of the API.
    peers: Arc<Peers>,
}

#[derive(Debug, PartialEq)]
pub(in crate::upstream) struct Check {
    pub(super) path: Box<str>,
    pub(super) rules: Health,
    pub(super) connect: ConnectLimits,
    pub(super) head: HeadLimits,
    pub(super) protocol: Protocol,
    pub(super) http2: Http2Limits,
}

impl Checks {
    pub(in crate::upstream) fn new(peers: Arc<Peers>) -> Self {
        Self {
            check: ArcSwapOption::empty(),
            running: AtomicBool::new(false),
            any: AtomicBool::new(false),
            changed: Notify::new(),
            peers,
        }
    }

    /// Has the server checked like this from now on, or not at all.
    pub(in crate::upstream) fn set(&self, check: Option<Check>) {
        if self.check.load().as_deref() != check.as_ref() {
            self.check.store(check.map(Arc::new));
            self.changed.notify_waiters();
        }
    }

    pub(super) fn peers(&self) -> &Peers {
        &self.peers
    }

    pub(super) fn current(&self) -> Option<Arc<Check>> {
        self.check.load_full()
    }

    /// Notified when [`Checks::current`] has changed.
    pub(super) fn changed(&self) -> &Notify {
        &self.changed
    }

    /// Whether the caller is to make the checks: they are configured, and no other worker does.
    pub(super) fn claim(&self) -> bool {
        self.check.load().is_some() && !self.running.swap(true, Ordering::AcqRel)
    }

    /// To be called when the caller makes no checks any more.
    pub(super) fn unclaim(&self) {
        self.running.store(false, Ordering::Release);
    }

    /// Whether any check of the server has ended.
    pub(in crate::upstream) fn have_ended_any(&self) -> bool {
        self.any.load(Ordering::Acquire)
    }

    pub(in crate::upstream) fn record_end(&self) {
        self.any.store(true, Ordering::Release);
        self.peers.checked().notify_waiters();
    }
}

impl Check {
    /// `None` where no checks are configured.
    pub(in crate::upstream) fn of(upstream: &Upstream) -> Option<Self> {
        let path = upstream.health.path.as_deref()?;
        Some(Self {
            path: path.into(),
            rules: upstream.health.clone(),
            connect: ConnectLimits::of(upstream),
            head: HeadLimits::of(upstream),
            protocol: upstream.protocol,
            http2: Http2Limits::of(upstream),
        })
    }
}
