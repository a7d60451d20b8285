//! How a gateway comes into its fleet.

use std::io;
use std::sync::Arc;

use super::fleet::{Fleet, Lease, Memory};
use crate::clock::Clock;
use crate::config::Valkey;

/// Has a gateway take part in the fleet of `settings` from now on, whose server need not be reachable. `lease` is extended as far as
/// what is in `memory` may be used.
///
/// # Errors
/// When this program was built without the tier, or no thread can be started.
#[cfg(feature = "valkey")]
pub fn join(
    settings: &Valkey,
    clock: Clock,
    memory: impl Memory,
    lease: Arc<Lease>,
) -> io::Result<Arc<dyn Fleet>> {
    Ok(super::valkey::join(settings, clock, memory, lease)?)
}

/// Has a gateway take part in the fleet of `settings`, in a program that was built with the tier.
///
/// # Errors
/// Always: this one was not.
#[cfg(not(feature = "valkey"))]
pub fn join(
    settings: &Valkey,
    clock: Clock,
    memory: impl Memory,
    lease: Arc<Lease>,
) -> io::Result<Arc<dyn Fleet>> {
    let _ = (settings, clock, memory, lease);
    Err(io::Error::new(
        io::ErrorKind::Unsupported,
        "[valkey]: this program was built without the shared tier: build it with `cargo build --release --features valkey`, or take a package",
    ))
}
