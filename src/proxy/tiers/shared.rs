//! The fleet as this gateway's fills share it, and what is counted of that.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use crate::ledger::remembered::Remembered;
use crate::telemetry::counters::Gauge;
use crate::tier::fleet::Fleet;

/// How fills have used what gateways store for each other.
#[derive(Debug, Default)]
pub struct Counts {
    /// A response was found that memory takes.
    pub hits: Gauge,
    /// Nothing was: the fill asks the API.
    pub misses: Gauge,
    /// Fills that waited for another gateway's.
    pub followed: Gauge,
    /// The server could not be asked, or responses like this are not for sharing.
    pub passed: Gauge,
    pub stored: Gauge,
    /// Responses that were not stored: a later one was, the lease was another's, or the server could not be reached.
    pub refused: Gauge,
}

/// What gateways of a fleet store for each other, as a fill sees it.
#[derive(Clone, Debug)]
pub struct Shared {
    pub fleet: Arc<dyn Fleet>,
    pub remembered: Arc<Remembered>,
    pub counts: Arc<Counts>,
    /// Bytes of bodies that are being written for the others.
    pub writing: Arc<AtomicU64>,
}
