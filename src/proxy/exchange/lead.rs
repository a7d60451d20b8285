//! The one who leads a fill: what it learns, and what stands in when the upstream fails.

use super::{Exchange, Step, Tier};
use crate::cache::head::Head;
use crate::cache::outcome::Outcome;
use crate::error::{Error, Side};
use crate::proxy::admission::{Admission, Refused};
use crate::proxy::fill::{LeaderEvent, Permit};
use crate::proxy::limit::Full;
use crate::proxy::lookup::Miss;
use crate::proxy::lookup::extent::{holds_what_is_asked, wants_part_of_unknown_length};
use crate::proxy::request::{Request, Traits};
use crate::proxy::task::Task;
use crate::semantics::cache_status::{CacheStatus, Detail};
use crate::semantics::fetch::FetchExtent;
use crate::semantics::reuse::{Failure, Reuse, on_error};
use crate::semantics::time::DeltaSeconds;
use http::StatusCode;

impl Exchange {
    /// A place among the requests that wait for the API.
    pub(super) fn admit(&self) -> Result<Admission, Refused> {
        Admission::of(&self.worker, &self.request)
    }

    pub(super) async fn lead(&mut self, permit: Permit, miss: Miss) -> Step {
        let admission = match self.admit() {
            Ok(admission) => admission,
            Err(refused) => {
                // If only this client is over its share, another of those who wait leads.
                if refused.full == Full::All {
                    let outcome = Outcome::Failed(refused.error.share());
                    permit.finish(outcome, &self.request.route);
                }
                return self.failed(&refused.error, &miss);
            }
        };
        let task = match self.fill_task(&permit, &miss) {
            Ok(task) => task,
            Err(error) => return self.fail(&error, Some(miss.reason)),
        };
        let task = Task::new(&self.worker, |leader| {
            task.admitted(admission).led_by(leader).run(permit)
        });
        self.learn(task, &miss).await
    }

    pub(super) async fn learn(&mut self, task: Task<LeaderEvent>, miss: &Miss) -> Step {
        let news = task
            .news()
            .await
            .unwrap_or_else(|| LeaderEvent::Failed(Error::internal()));
        self.request.now = self.worker.gateway.clock.now();
        self.led(news, miss)
    }

    pub(super) fn led(&mut self, news: LeaderEvent, miss: &Miss) -> Step {
        let mut status = miss.status();
        match news {
            LeaderEvent::Raised(by) => {
                self.raised = Some(Tier::Shared);
                self.unfit = Some(by);
                self.look_up()
            }
            LeaderEvent::Streaming { head, .. }
                if miss.extent != FetchExtent::AsAsked
                    && wants_part_of_unknown_length(&head, &self.request) =>
            {
                // The fill goes on. Whether it will be stored is not known before its end.
                Step::Fetch(miss.as_asked())
            }
            LeaderEvent::Streaming { head, reader, own } => {
                status.forward_status = Some(head.status);
                // RFC 9211 §2.5: of unknown length, it may yet prove too large.
                status.stored = head.content_length().is_some();
                let age = came_aged(&head, &self.request);
                self.stream(&head, reader, None, age, status)
                    .with_fields(own)
            }
            LeaderEvent::Fetched {
                stored,
                refused,
                own,
            } => {
                status.forward_status = Some(stored.head.status);
                status.stored = refused.is_none();
                if let Some(why) = refused {
                    status.detail = Some(Detail::Other(why.token()));
                }
                let age = came_aged(&stored.head, &self.request);
                self.deliver(&stored, age, status).with_fields(own)
            }
            LeaderEvent::Validated {
                stored,
                committed,
                own,
            } => {
                status.forward_status = Some(StatusCode::NOT_MODIFIED);
                status.stored = committed;
                let age = came_aged(&stored.head, &self.request);
                self.deliver(&stored, age, status).with_fields(own)
            }
            LeaderEvent::Unshared { arrived, why } => self.unshared(arrived, why, miss),
            LeaderEvent::Failed(error) => self.failed(&error, miss),
        }
    }

    pub(super) fn failed(&mut self, error: &Error, miss: &Miss) -> Step {
        let stand_in = match error.side() {
            // It is the client that this request failed of.
            Side::Downstream => None,
            Side::Upstream | Side::Internal => self.stand_in(Failure::Disconnected, miss),
        };
        let selected = miss.selected.as_ref();
        let must_validate =
            selected.is_some_and(|stored| stored.head.freshness.must_validate.is_some());
        match stand_in {
            Some(step) => step,
            None if must_validate && error.side() == Side::Upstream => {
                // RFC 9111 §5.2.2.2: 504, whatever kept the origin from answering.
                let lost = error.share().answered(StatusCode::GATEWAY_TIMEOUT);
                self.fail(&lost, Some(miss.reason))
            }
            None => self.fail(error, Some(miss.reason)),
        }
    }

    /// A stale response instead of an error, where that is allowed (RFC 5861 §4, RFC 9111 §4.2.4).
    pub(super) fn stand_in(&mut self, failure: Failure, miss: &Miss) -> Option<Step> {
        let stored = miss.selected.as_ref()?;
        if self.request.traits.any(Traits::NOTHING_OLDER) || self.request.is_too_old(&stored.head) {
            return None;
        }
        if !holds_what_is_asked(stored, &self.request) {
            return None;
        }
        let resident = stored.head.resident(self.request.now);
        let policy = &self.request.route.cache;
        let reuse = on_error(
            failure,
            &stored.head.freshness,
            resident,
            &self.request.directives,
            policy,
        )?;
        let (age, ttl, detail) = match reuse {
            Reuse::Stale { age, ttl, why } => (age, ttl, Some(Detail::Stale(why))),
            // Only the request had wanted it younger.
            Reuse::Fresh { age, ttl } => (age, ttl, None),
            _ => return None,
        };
        let status = CacheStatus {
            ttl: Some(ttl),
            detail,
            collapsed: self.collapsed,
            forward_status: match failure {
                Failure::Status(status) => Some(status),
                Failure::Disconnected => None,
            },
            ..CacheStatus::forwarded(miss.reason)
        };
        Some(self.deliver(stored, Some(age), status))
    }
}

/// The age of a response that came for this very request: only when it had been stored before (RFC 9111 §5.1).
fn came_aged(head: &Head, request: &Request) -> Option<DeltaSeconds> {
    head.age()
        .is_some()
        .then(|| head.freshness.age(head.resident(request.now)))
}
