//! A fleet of gateways as each of them sees it: they share what was invalidated. How they talk with each other is behind [`Fleet`]; the
//! [protocol](crate::ledger::protocol) says what holds.

use std::fmt::Debug;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::oneshot;

use super::Record;
use super::sabotage::{Sabotage, is_on};
use crate::clock::Monotonic;
use crate::ledger::invalidation::Invalidation;
pub use crate::ledger::protocol::fills::{Nonce, Released};
pub use crate::ledger::protocol::gateway::{Place, Stored, Use};
pub use crate::ledger::protocol::server::{Epoch, GatewayId};

/// What a gateway has in memory, and its own ledger: what the fleet changes there. Called on the fleet's thread.
pub trait Memory: Debug + Send + Sync + 'static {
    /// Takes an invalidation over that has this number in the epoch in force: when this returns, nothing that it covers is stored
    /// as it was, no fill in flight brings it, and the gateway's own ledger has it.
    fn apply(&self, invalidation: &Invalidation, number: u64);

    /// An epoch begins. No fill in flight brings anything that is stored. [`Stored::Validated`]: what is stored is validated
    /// before its next use, without exception for stale responses.
    fn begin_epoch(&self, epoch: Epoch, stored: Stored);

    /// Invalidations up to this number were forgotten: what was stored for the fleet before is validated before it is used.
    fn raise_floor(&self, floor: u64);

    /// What is stored is validated before its next use: invalidations were forgotten that are not known here.
    fn validate_all(&self);
}

/// A gateway's part in its fleet.
pub trait Fleet: Debug + Send + Sync {
    /// What stored responses may be used for at `now`, which was read after the request came.
    fn may_use(&self, now: Monotonic) -> Use;

    /// Has all gateways carry out an invalidation that is being carried out here.
    fn announce(&self, invalidation: &Invalidation) -> Announced;

    /// The gateways that an announced invalidation still waits for; empty where that is not known, or it is acknowledged.
    fn waits_for(&self, announced: AnnouncedId) -> Vec<GatewayId>;

    /// Whether what is in memory is at least as recent as a receipt asks.
    fn answers(&self, receipt: Place) -> bool;

    fn status(&self) -> Status;

    /// The stamp for a response whose request is sent after this call; `None` while nothing may be stored for others.
    fn stamp(&self) -> Option<Place>;

    /// Whether what others have stored may be used at `now`, which was read after the request came.
    fn may_read(&self, now: Monotonic) -> bool;

    /// A fill of `slot` begins, or renews its lease. `unfit`: the fill whose response was read and cannot be used. It ends within `limit`,
    /// and the response is read by then.
    fn begin(
        &self,
        slot: Slot,
        fill: Nonce,
        unfit: Option<Nonce>,
        limit: Duration,
    ) -> Work<'_, Begun>;

    /// What is stored for `slot`, without a fill; within `limit`.
    fn peek(&self, slot: Slot, limit: Duration) -> Work<'_, Option<Found>>;

    /// Stores the response of a fill for all gateways. Whether it was stored: the fill must have its lease, and no later response be
    /// stored. What it supersedes is deleted.
    fn commit(&self, slot: Slot, fill: Nonce, brought: Brought) -> Work<'_, bool>;

    /// A fill ends without a response for the others.
    fn release(&self, slot: Slot, fill: Nonce, how: Released) -> Work<'_, ()>;

    /// This gateway serves nothing more: the others need not wait for it. Blocks the thread for a short while.
    fn leave(&self);
}

/// What is done by asking the fleet's server. What has no limit is for after the response: no request may wait for it.
pub type Work<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Where gateways store a response for each other: a variant of a target, in an epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    pub epoch: Epoch,
    pub target: Box<str>,
    pub variant: [u8; 16],
}

impl Slot {
    /// The variant by which a target is looked up. What is stored there says by which fields its responses are selected, if by any.
    pub const FIRST: [u8; 16] = [0; 16];
}

/// What a fill has brought for all gateways.
#[derive(Clone, Debug)]
pub struct Brought {
    /// Its stamp is a number in the epoch of its slot.
    pub record: Record,
    /// The names of the fields by which the responses of its target are selected; empty where there is one for all. In the first slot,
    /// it supersedes those that other fields have selected.
    pub selectors: Box<str>,
    /// For so long it may be of use.
    pub keep: Duration,
}

/// What a fill does next.
#[derive(Clone, Debug)]
pub enum Begun {
    Stored(Found),
    /// It asks upstream, and stores what comes.
    Lead,
    /// Another gateway asks upstream.
    Follow,
    /// Responses like this one are not for sharing.
    HitForMiss,
    /// There is no answer in time. The fill may have been given a lease all the same.
    Away,
}

/// A response that was stored for all gateways.
#[derive(Clone, Debug)]
pub struct Found {
    /// The fill that has brought it.
    pub fill: Nonce,
    /// Its stamp is a number in the epoch of the slot.
    pub record: Record,
}

/// The gateway's own name for an invalidation that it has announced.
pub type AnnouncedId = u64;

/// An invalidation on its way to all gateways.
#[derive(Debug)]
pub struct Announced {
    pub id: AnnouncedId,
    /// The fleet can be reached, as far as is known: without that, no acknowledgement comes soon.
    pub is_heard: bool,
    /// It goes on whether or not somebody waits for this.
    pub acknowledged: oneshot::Receiver<Acknowledged>,
}

/// From now on, no gateway serves what the invalidation covers from before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acknowledged {
    pub place: Place,
    /// Gateways that were known when it got its number.
    pub gateways: usize,
    /// Those of them that have taken it over; the others do not serve.
    pub applied: usize,
}

/// How the fleet does, as this gateway sees it.
#[derive(Clone, Debug, Default)]
pub struct Status {
    pub id: GatewayId,
    /// There is a connection to its server.
    pub is_connected: bool,
    /// It hears the others: what is stored may be used by its own freshness.
    pub is_heard: bool,
    /// Invalidations that the server is known to have, and that are not taken over yet.
    pub behind: u64,
    /// `None` until the first connection.
    pub place: Option<Place>,
    /// No gateway may serve any more of which the server knows nothing, as some may when an epoch has just begun.
    pub is_settled: bool,
    /// Gateways that the server knows, this one included.
    pub gateways: usize,
    /// Invalidations of this gateway that are not acknowledged yet.
    pub pending: usize,
    /// A gateway that cannot hear serves on for so long, in milliseconds; 0 if it validates.
    pub deaf: u64,
    /// Gateways for which that is another time, though it should be the same for all, and which.
    pub differing: Vec<(GatewayId, u64)>,
    pub counts: Counts,
}

/// What has happened since the start.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    /// Connections that stood.
    pub connected: u64,
    /// Attempts to connect that failed.
    pub failed: u64,
    /// Calls that were not answered in time.
    pub late: u64,
    /// Connections that were given up since the server was late.
    pub given_up: u64,
    /// Calls that a cluster's node has sent on to the one that has their slot now.
    pub redirected: u64,
    /// Invalidations that were taken over, those of this gateway included.
    pub applied: u64,
    /// Invalidations of this gateway that were acknowledged.
    pub acknowledged: u64,
    /// Epochs that have begun.
    pub epochs: u64,
}

/// `when_deaf` as it is configured: `validate`, or `serve:` and a time.
pub fn when_deaf(milliseconds: u64) -> String {
    match (milliseconds / 1_000, milliseconds % 1_000) {
        (0, 0) => "validate".to_owned(),
        (seconds, 0) => format!("serve:{seconds}s"),
        _ => format!("serve:{milliseconds}ms"),
    }
}

/// Until when this gateway may use what it has stored by its freshness alone. All that a hit reads of the fleet.
#[derive(Debug)]
pub struct Lease(AtomicU64);

impl Default for Lease {
    /// That of a gateway without a fleet: it never ends.
    fn default() -> Self {
        Self(AtomicU64::new(u64::MAX))
    }
}

impl Lease {
    /// That of a gateway that has not heard from its fleet yet.
    pub fn ended() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Whether it holds at `now`, which must have been read after the request came.
    pub fn holds(&self, now: Monotonic) -> bool {
        let until = self.0.load(Ordering::Relaxed);
        now.as_millis() < until || (until > 0 && is_on(Sabotage::LeaseWithoutEnd))
    }

    /// It holds until this, in milliseconds of [`Monotonic`], if it did not for longer.
    pub fn extend(&self, until: u64) {
        self.0.fetch_max(until, Ordering::Relaxed);
    }
}
