//! This gateway among those with which it shares a ledger: what they invalidate is carried out here, what is invalidated here is
//! announced to them, and what is stored is used only as far as the fleet allows.

mod memory;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

pub use self::memory::{StoreMemory, carry_out};
use crate::clock::Monotonic;
use crate::ledger::invalidation::Applied;
use crate::ledger::remembered::Remembered;
use crate::semantics::cache_status::Detail;
use crate::tier::fleet::{Acknowledged, Announced, Fleet, GatewayId, Lease, Use};

/// The fleet of a gateway, where it has one.
#[derive(Debug)]
pub struct Membership {
    /// Until when what is stored may be used by its freshness alone.
    pub lease: Arc<Lease>,
    /// What the fleet has invalidated.
    pub remembered: Arc<Remembered>,
    /// `None` where the settings name no fleet, and until it was joined.
    fleet: OnceLock<Arc<dyn Fleet>>,
}

impl Membership {
    /// `is_wanted`: the settings name a fleet. About so many of its matchers are remembered.
    pub fn new(is_wanted: bool, matchers: usize) -> Self {
        let lease = match is_wanted {
            true => Lease::ended(),
            false => Lease::default(),
        };
        Self {
            lease: Arc::new(lease),
            remembered: Arc::new(Remembered::new(matchers)),
            fleet: OnceLock::new(),
        }
    }

    /// To be called once.
    pub fn join(&self, fleet: Arc<dyn Fleet>) {
        let _ = self.fleet.set(fleet);
    }

    pub fn fleet(&self) -> Option<&Arc<dyn Fleet>> {
        self.fleet.get()
    }

    /// Only what was asked for, or validated, since then may be used; `None` where all may.
    #[inline]
    pub fn asked_since(&self, now: Monotonic) -> Option<Monotonic> {
        match self.lease.holds(now) {
            true => None,
            false => self.without_lease(now),
        }
    }

    #[cold]
    fn without_lease(&self, now: Monotonic) -> Option<Monotonic> {
        let allowed = self.fleet.get().map(|fleet| fleet.may_use(now));
        match allowed.unwrap_or(Use::AskedNow) {
            Use::AsTheyAre => None,
            Use::AskedSince(since) => Some(Monotonic::from_millis(since)),
            // When a response was asked for is known to a millisecond.
            Use::AskedNow => Some(now.after(Duration::from_millis(2))),
        }
    }
}

/// Why an invalidation may not outlive what it is to outlive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotDurable {
    /// The device has not taken it yet.
    Late,
    /// The ledger's file has failed.
    Failed,
}

impl NotDurable {
    /// What the answer says.
    pub const fn why(self) -> &'static str {
        match self {
            Self::Late => {
                "it holds here, but the disk has not taken it yet: a loss of power may undo it"
            }
            Self::Failed => {
                "it holds here, but the ledger of [disk] cannot be written: what is stored on disk is not used any more, and a restart or a loss of power may bring it back"
            }
        }
    }
}

/// An invalidation that holds here.
#[derive(Debug)]
pub struct Invalidated {
    pub applied: Applied,
    /// `None` where there is no fleet.
    pub announced: Option<Announced>,
}

/// The answer to a write or a PURGE is held for so long at most, until no gateway of the fleet answers any more with what it covers.
pub const HELD: Duration = Duration::from_millis(1_500);

/// What Cache-Status says of an invalidation that has not been acknowledged in time.
pub const PENDING: Detail = Detail::Other("invalidation-pending");

/// What Cache-Status says of an invalidation that may be undone by a restart, or by a loss of power.
pub const NOT_DURABLE: Detail = Detail::Other("invalidation-not-durable");

/// How far an invalidation has come when its answer goes out.
#[derive(Debug)]
pub enum Acknowledgement {
    /// There is no fleet.
    Alone,
    /// The ledger of the disk tier does not have it as it should.
    NotDurable(NotDurable),
    /// No gateway serves any more what is covered from before.
    Everywhere(Acknowledged),
    /// Some may still serve what is covered from before: these, where they are known.
    Pending(Vec<GatewayId>),
}
