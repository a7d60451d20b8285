//! What a gateway does as one of a fleet: it joins and leaves, announces what it invalidates, and gives receipts.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderValue};

use crate::cache::store::Count;
use crate::clock;
use crate::ledger::invalidation::Invalidation;
use crate::ledger::local::Durability;
use crate::proxy::fleet::{Acknowledgement, Invalidated, NotDurable, StoreMemory, carry_out};
use crate::proxy::gateway::Gateway;
use crate::proxy::receipts::of_fleet;
use crate::proxy::tiers::{Counts as SharedCounts, Shared};
use crate::tier::fleet::{Acknowledged, Announced, Place, Status};
use crate::tier::join::join;
use crate::tier::sabotage::{Sabotage, is_on};

impl Gateway {
    /// Joins the fleet that the settings name.
    ///
    /// # Errors
    /// When it cannot be: a server that cannot be reached is none of these cases.
    pub(super) fn join_fleet(&self) -> std::io::Result<()> {
        let settings = self.settings();
        let Some(valkey) = &settings.config.valkey else {
            return Ok(());
        };
        let memory = StoreMemory::new(self.store.clone(), self.membership.remembered.clone());
        let lease = self.membership.lease.clone();
        let fleet = join(valkey, self.clock.clone(), memory, lease)?;
        self.membership.join(fleet.clone());
        self.tiers.share(Shared {
            fleet,
            remembered: self.membership.remembered.clone(),
            counts: Arc::default(),
            writing: Arc::default(),
        });
        Ok(())
    }

    /// Has the others not wait for this gateway any more, which does not answer from its store from here on.
    pub(super) fn leave_fleet(&self) {
        if let Some(fleet) = self.membership.fleet() {
            fleet.leave();
        }
    }

    /// How the fleet does; `None` where the settings name none.
    pub fn fleet_status(&self) -> Option<Status> {
        let fleet = self.membership.fleet();
        fleet.map(|fleet| fleet.status())
    }

    /// How fills have used what the fleet's gateways store for each other; `None` where there is no fleet.
    pub fn shared_counts(&self) -> Option<&SharedCounts> {
        self.tiers.shared().map(|shared| &*shared.counts)
    }

    /// Carries out an invalidation here, and has the fleet carry it out. When this returns, it holds here. Where it covers very much,
    /// a thread removes that behind, and tells `removed` of how many resources.
    pub(super) fn invalidate(
        &self,
        invalidation: &Invalidation,
        count: Count,
        removed: impl FnOnce(usize) + Send + Clone + 'static,
    ) -> Invalidated {
        let fleet = self.membership.fleet();
        // First: what it covers is not read from the fleet any more by the time at which it has left memory.
        let announced = fleet.map(|fleet| fleet.announce(invalidation));
        let applied = carry_out(&self.store, invalidation, count, removed);
        Invalidated { applied, announced }
    }

    /// Whether what is stored here is at least as recent as a receipt of the fleet's asks.
    pub(super) fn answers(&self, receipt: Place) -> bool {
        let fleet = self.membership.fleet();
        fleet.is_some_and(|fleet| fleet.answers(receipt))
    }

    /// How far an invalidation has come, where there is nothing to wait for; as a rule there is not.
    pub fn acknowledged_at_once(&self, invalidated: &Invalidated) -> Option<Acknowledgement> {
        let number = invalidated.applied.sequence;
        let durability = self
            .store
            .ledger()
            .map_or(Some(Durability::Durable), |it| it.durability(number));
        match (durability?, &invalidated.announced) {
            // Whatever has become of it on disk here, others must not answer with what it covers.
            (_, Some(_)) => None,
            (Durability::Durable, None) => Some(Acknowledgement::Alone),
            (Durability::Failed, None) => Some(Acknowledgement::NotDurable(NotDurable::Failed)),
        }
    }

    /// Waits until an invalidation is in the ledger as it is to be, and the fleet has acknowledged it, at most so long; for the fleet
    /// not at all where it cannot be reached.
    pub async fn acknowledged(&self, invalidated: Invalidated, limit: Duration) -> Acknowledgement {
        if let Some(at_once) = self.acknowledged_at_once(&invalidated) {
            return at_once;
        }
        let Invalidated { applied, announced } = invalidated;
        let ledger = self.store.ledger();
        let settled = ledger.map(|ledger| ledger.settled(applied.sequence));
        let settled = async {
            match settled {
                None => Ok(Durability::Durable),
                Some(settled) => clock::within(limit, pin!(settled)).await,
            }
        };
        let (settled, in_fleet) = tokio::join!(settled, self.in_fleet(announced, limit));
        match settled {
            Ok(Durability::Durable) => in_fleet,
            Ok(Durability::Failed) => Acknowledgement::NotDurable(NotDurable::Failed),
            Err(_elapsed) => Acknowledgement::NotDurable(NotDurable::Late),
        }
    }

    async fn in_fleet(&self, announced: Option<Announced>, limit: Duration) -> Acknowledgement {
        let Some(Announced {
            id,
            is_heard,
            acknowledged,
        }) = announced
        else {
            return Acknowledgement::Alone;
        };
        if is_on(Sabotage::NoWaiting)
            && let Some(Status {
                place: Some(place),
                gateways,
                ..
            }) = self.fleet_status()
        {
            return Acknowledgement::Everywhere(Acknowledged {
                place,
                gateways,
                applied: gateways,
            });
        }
        if is_heard && let Ok(Ok(acknowledged)) = clock::within(limit, pin!(acknowledged)).await {
            return Acknowledgement::Everywhere(acknowledged);
        }
        let fleet = self.membership.fleet();
        let waits_for = fleet.map(|fleet| fleet.waits_for(id));
        Acknowledgement::Pending(waits_for.unwrap_or_default())
    }

    /// The receipt of the invalidation that has this number here, and has come so far in the fleet.
    pub fn receipt(&self, number: u64, acknowledgement: &Acknowledgement) -> HeaderValue {
        match acknowledgement {
            Acknowledgement::Everywhere(acknowledged) => of_fleet(*acknowledged),
            // Other gateways do not know it, and ask the API.
            Acknowledgement::Alone
            | Acknowledgement::NotDurable(_)
            | Acknowledgement::Pending(_) => self.receipts.of(number),
        }
    }

    /// Whether a request names receipts, and each is of an invalidation that has been carried out here.
    pub(super) fn has_all_of(&self, request: &HeaderMap) -> bool {
        let answers = |place| self.answers(place);
        self.receipts
            .have_all(request, self.store.sequence(), answers)
    }
}
