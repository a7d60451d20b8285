//! A fill looks for what other gateways of the fleet have stored, before it asks the API.

use super::{FillTask, LeaderEvent, Permit};
use crate::proxy::tiers::{Consulted, How, Wanted};
use crate::semantics::fetch::FetchExtent;
use crate::tier::fleet::Nonce;

impl FillTask {
    /// Returns the permit, where it is to be asked.
    pub(super) async fn consult(&mut self, mut permit: Permit) -> Option<Permit> {
        let worker = self.worker.clone();
        let gateway = &worker.gateway;
        let Some(shared) = gateway.tiers.shared() else {
            return Some(permit);
        };
        // What selects it is told by more than fields.
        if !self.route.tiers.shared
            || self.fill.ask.digest.is_some()
            || self.extent != FetchExtent::Whole
        {
            return Some(permit);
        }
        let wanted = Wanted {
            key: self.fill.key.clone(),
            route: self.route.clone(),
            path_and_query: self.target.path_and_query().to_owned(),
            epoch: self.epoch.settings.version,
        };
        let how = How {
            reads: self.reads,
            fill: worker.boundary_seed() as Nonce,
            unfit: self.unfit,
            longest: gateway.tiers.longest(),
        };
        let memory = (&gateway.store, &gateway.clock);
        let consulted = shared.consult(memory, (&wanted, &self.fill), how).await;
        match consulted {
            None => {}
            Some(Consulted::Ask(intent)) => permit.intend(intent),
            Some(Consulted::Raised(by)) => {
                // Those who wait look again.
                drop(permit);
                self.tell_leader(LeaderEvent::Raised(by));
                return None;
            }
        }
        Some(permit)
    }
}
