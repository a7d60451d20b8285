//! Whether the gateway accepts requests, which `/readyz` tells a load balancer.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

/// The stages of a server's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Its workers do not accept yet.
    Starting,
    Ready,
    /// It serves as before, but not for long: a load balancer is to send no more.
    ShuttingDown,
    /// It answers the requests that it has, and accepts no new ones.
    Draining,
}

/// The stage of one server, shared by all clones.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<AtomicU8>);

impl Readiness {
    pub fn set(&self, stage: Stage) {
        let value = match stage {
            Stage::Starting => 0,
            Stage::Ready => 1,
            Stage::ShuttingDown => 2,
            Stage::Draining => 3,
        };
        self.0.store(value, Ordering::Release);
    }

    pub fn stage(&self) -> Stage {
        match self.0.load(Ordering::Acquire) {
            0 => Stage::Starting,
            1 => Stage::Ready,
            2 => Stage::ShuttingDown,
            _ => Stage::Draining,
        }
    }
}
