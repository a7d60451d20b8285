//! What the soak and the laboratory share: a gateway in a process of its own, an API, a client that sees octets, and numbers of
//! the kernel's.

#![allow(dead_code, reason = "each example uses its own part")]

pub mod api;
pub mod child;
pub mod wire;

use std::process::ExitCode;
use std::time::Duration;

use bookend::clock::{Clock, Monotonic};
use tokio::runtime::LocalRuntime;

/// The time since the program began, for rates and latencies.
#[derive(Clone, Debug)]
pub struct Watch {
    clock: Clock,
    start: Monotonic,
}

impl Watch {
    pub fn start() -> Self {
        let clock = Clock::system();
        let start = clock.now().mono;
        Self { clock, start }
    }

    pub fn elapsed(&self) -> Duration {
        self.clock.now().mono.since(self.start)
    }
}

/// A runtime of one thread.
pub fn runtime() -> LocalRuntime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build_local(tokio::runtime::LocalOptions::default())
        .expect("a runtime")
}

/// If this process was started by [`child`] to be a gateway, runs that.
pub fn gateway_main() -> Option<ExitCode> {
    let mut arguments = std::env::args().skip(1);
    if arguments.next()? != child::GATEWAY {
        return None;
    }
    let file = arguments.next()?;
    Some(bookend::cli::main(["bookend", "run", "--config", &file].map(Into::into)).into())
}

/// A generator of numbers that look random, the same for the same seed.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x2545_f491_4f6c_dd1d)
    }

    pub fn next(&mut self) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `n`.
    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n.max(1)
    }

    /// True `per_mille` times out of a thousand.
    pub fn chance(&mut self, per_mille: u64) -> bool {
        self.below(1000) < per_mille
    }
}
