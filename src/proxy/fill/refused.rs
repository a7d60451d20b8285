//! A response that may not be stored: it goes to the leader, and what is stored for its request changes where it says so.

use http::{HeaderMap, StatusCode};

use super::{FillTask, LeaderEvent, NotShared, Permit};
use crate::cache::outcome::{Outcome, Superseded};
use crate::cache::resource::{Marker, Unshared};
use crate::clock::Now;
use crate::proxy::forward::arrived::Arrived;
use crate::semantics::fetch::FetchExtent;
use crate::semantics::unstored::{Effect, is_about_the_request};
use crate::semantics::vary::{VariantKey, Vary};

impl FillTask {
    /// The response is for the leader alone. What it says of what is stored, and to those who wait, depends on what it is.
    pub(super) fn hand_over(&mut self, permit: Permit, arrived: Box<Arrived>, why: NotShared) {
        match why {
            NotShared::ServerError => {
                self.has_failed();
                let outcome = Outcome::ServerError(arrived.status);
                permit.finish(outcome, &self.route);
            }
            NotShared::Cause(cause) => self.not_stored(permit, &arrived, arrived.status, cause),
        }
        self.tell_leader(LeaderEvent::Unshared { arrived, why });
    }

    /// An answer came that may not be stored, with this status, or for a stored response with this status.
    pub(super) fn not_stored(
        &mut self,
        permit: Permit,
        arrived: &Arrived,
        status: StatusCode,
        cause: Unshared,
    ) {
        // The others are counted where their client is told.
        if self.refreshes.is_some() {
            self.worker.counters.count_not_stored(cause.token());
        }
        // It says nothing of what a refresh would have brought: that is tried again.
        if is_about_the_request(status)
            || (self.credentials.any() && matches!(status.as_u16(), 401 | 403))
        {
            self.has_failed();
        }
        let credentialed = self.credentials.any();
        let effect = match cause {
            // A part says nothing about the whole, nor that it is too large about those that are stored.
            _ if matches!(self.extent, FetchExtent::Missing(_)) => Effect::None,
            Unshared::TooLarge if arrived.status == StatusCode::PARTIAL_CONTENT => Effect::None,
            Unshared::Rule(reason) => Effect::of_refused(reason, status, credentialed),
            // Known by its marker alone, which is not to last for that.
            Unshared::TooLarge if self.is_too_large_as_marked(arrived) => Effect::None,
            // It may be shared, so far as the rules go.
            Unshared::TooLarge | Unshared::UnverifiedEnd => Effect::of(status),
        };
        let is_for_leader_only =
            is_about_the_request(status) || (credentialed && effect == Effect::None);
        let outcome = Outcome::Uncacheable {
            effect: match effect {
                Effect::None => Superseded::Nothing,
                Effect::EndStaleness => Superseded::Stale,
                Effect::Supersede => {
                    Superseded::All(self.marker(&arrived.headers, arrived.received, cause))
                }
            },
            received: arrived.received,
            is_for_leader_only,
        };
        permit.finish(outcome, &self.route);
    }

    pub(super) fn marker(&self, headers: &HeaderMap, received: Now, why: Unshared) -> Marker {
        let vary = match Vary::parse(headers) {
            // A marker is for all requests where the response is for none.
            Vary::Any => Vary::None,
            vary => vary,
        };
        let ttl = self.epoch.settings.config.cache.uncacheable_ttl;
        Marker {
            variant: VariantKey::of(&vary, &self.fill.ask.headers, &self.route.cache.vary),
            digest: self.fill.ask.digest,
            until: received.mono.after(ttl),
            why,
            stamp: self.fill.stamp,
        }
    }
}
