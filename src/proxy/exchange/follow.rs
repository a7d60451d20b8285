//! Those who wait for a fill that another leads.

use super::{Exchange, Step};
use crate::cache::collapse::{Follower, FollowerEvent};
use crate::cache::head::Head;
use crate::clock::within;
use crate::proxy::lookup::extent::wants_part_of_unknown_length;
use crate::proxy::lookup::{Miss, selects};
use crate::proxy::response::body::Following;
use crate::semantics::cache_status::CacheStatus;
use crate::semantics::reuse::{Failure, Reuse, Selection, decide};
use std::pin::pin;

impl Exchange {
    pub(super) async fn follow(&mut self, follower: Follower, miss: Miss) -> Step {
        let counters = self.worker.counters.clone();
        let following = Following::new(follower, counters.clone());
        let patience = self.request.epoch.settings.config.cache.follower_timeout;
        let event = within(patience, pin!(following.follower.event())).await;
        self.request.now = self.worker.gateway.clock.now();
        self.collapsed = Some(true);
        self.request.link(following.follower.leader_span());
        // Who has waited long enough looks again: the fill is overdue for all by then, and one of them leads another.
        let Ok(event) = event else {
            // Waiting is no haste: however slow the API is, not all of them lose patience with one another in the end.
            self.rounds = 0;
            return self.go_on(true);
        };
        match event {
            FollowerEvent::Streaming(head, _)
                if self.may_reuse(&head) && wants_part_of_unknown_length(&head, &self.request) =>
            {
                self.collapsed = Some(false);
                Step::Fetch(miss.as_asked())
            }
            FollowerEvent::Streaming(head, reader) if self.may_reuse(&head) => {
                counters.collapsed.inc();
                let status = CacheStatus {
                    collapsed: Some(true),
                    ..miss.status()
                };
                let age = head.freshness.age(head.resident(self.request.now));
                self.stream(&head, reader, Some(following), Some(age), status)
            }
            FollowerEvent::Stored(stored) if self.may_reuse(&stored.head) => {
                counters.collapsed.inc();
                let status = CacheStatus {
                    collapsed: Some(true),
                    ..miss.status()
                };
                let age = stored
                    .head
                    .freshness
                    .age(stored.head.resident(self.request.now));
                self.deliver(&stored, Some(age), status)
            }
            FollowerEvent::Streaming(head, _) => self.go_on(!self.selects(&head)),
            FollowerEvent::Stored(stored) => self.go_on(!self.selects(&stored.head)),
            FollowerEvent::Abandoned => self.go_on(true),
            FollowerEvent::Unshared => self.go_on(false),
            // Once: where each answer is of that kind, waiting in line would take as long as there are requests.
            FollowerEvent::LeaderOnly => self.go_on(self.rounds < 2),
            FollowerEvent::ServerError(status) => {
                match self.stand_in(Failure::Status(status), &miss) {
                    Some(step) => step,
                    None => self.go_on(false),
                }
            }
            FollowerEvent::Failed(error) => self.failed(&error, &miss),
        }
    }

    /// The fill was of no use: look again, and wait for another only if that may help.
    fn go_on(&mut self, may_wait: bool) -> Step {
        self.collapsed = Some(false);
        self.alone |= !may_wait;
        Step::LookUp
    }

    /// Whether the response of another's fill answers this request without validation.
    fn may_reuse(&self, head: &Head) -> bool {
        let selection = Selection::Found {
            freshness: &head.freshness,
            resident: head.resident(self.request.now),
        };
        self.selects(head)
            && matches!(
                decide(selection, &self.request.directives),
                Reuse::Fresh { .. } | Reuse::Stale { .. } | Reuse::StaleWhileRevalidate { .. }
            )
    }

    fn selects(&self, head: &Head) -> bool {
        selects(&self.worker.gateway.store, head, &self.request)
    }
}
