//! Second tiers: where responses are kept beside memory, so that they outlive the process ([`disk`]), and so that other gateways
//! have them too (`valkey`, with the feature of that name).
//!
//! Only fills consult them, before they ask upstream. What they keep is a [`Record`]: one stored response, with the target
//! URI and the variant that it answers, wall-clock times, and its *stamp*, the sequence number of the ledger that had been
//! applied when its upstream request began. A tier knows nothing of HTTP, and does not decide whether a record may be used:
//! that is decided by the stamp when a record is read. So a record that is written late, or that comes back after a crash,
//! does no harm.

pub mod disk;
pub mod fleet;
pub mod join;
mod octets;
pub mod sabotage;
#[cfg(feature = "valkey")]
pub mod valkey;

use bytes::Bytes;

use crate::semantics::time::Timestamp;

/// One stored response in the form that tiers keep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The target URI as it is keyed.
    pub target: Box<str>,
    /// A digest of what selects it among the responses of its target. A later record with the same target and variant
    /// replaces the earlier one.
    pub variant: [u8; 16],
    /// The sequence number of the ledger that had been applied when its request began.
    pub stamp: u64,
    /// When it was received, by the wall clock.
    pub stored: Timestamp,
    /// It is of no use after this, not even stale: it is never returned from then on.
    pub until: Timestamp,
    /// Status, fields and whatever else the layer above needs, in its own versioned form.
    pub head: Bytes,
    /// The complete content, in pieces.
    pub body: Vec<Bytes>,
}
