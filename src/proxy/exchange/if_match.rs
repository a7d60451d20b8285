//! If-Match with an entity tag of the gateway's own. The origin has never heard of it, so it is settled here: against
//! the current representation, which is fetched or validated first. What the origin's own tags are for stays its
//! business.

use std::rc::Rc;
use std::sync::Arc;

use http::header::IF_MATCH;

use crate::cache::store::{Limits, Role, Sharing};
use crate::cache::stored::StoredResponse;
use crate::config::EtagMode;
use crate::error::Error;
use crate::proxy::fill::{FillTask, LeaderEvent, Permit};
use crate::proxy::lookup::candidates::may_be_validated;
use crate::proxy::lookup::select;
use crate::proxy::request::Request;
use crate::proxy::task::Task;
use crate::proxy::worker::Worker;
use crate::semantics::preconditions::{Precondition, Selected, evaluate_for_origin};
use crate::semantics::validation::strip_conditionals;
use crate::upstream::RequestBody;

/// The next step of the request.
pub enum Settlement {
    /// It goes on, with the preconditions that are the origin's to evaluate.
    Forward,
    /// 412: the representation is another by now.
    Failed(Arc<StoredResponse>),
}

/// Settles the preconditions of a request that is to be forwarded.
///
/// # Errors
/// When the current representation cannot be had.
pub async fn settle(worker: &Rc<Worker>, request: &mut Request) -> Result<Settlement, Error> {
    let named = request
        .headers()
        .get(IF_MATCH)
        .is_some_and(|tags| tags.as_bytes() != b"*");
    if request.route.etag == EtagMode::Off || !named {
        return Ok(Settlement::Forward);
    }
    let Some(stored) = current(worker, &request.for_get(&worker.gateway.store)).await? else {
        return Ok(Settlement::Forward);
    };
    let head = &stored.head;
    let validators = head.validators();
    if validators.etag == head.origin_validators().etag {
        return Ok(Settlement::Forward);
    }
    let selected = Selected {
        status: head.status,
        validators: &validators,
        received: head.received().wall,
    };
    match evaluate_for_origin(request.method(), request.headers(), &selected) {
        Precondition::Failed => Ok(Settlement::Failed(stored)),
        Precondition::Proceed | Precondition::NotModified => {
            strip_conditionals(&mut request.parts.headers);
            Ok(Settlement::Forward)
        }
    }
}

/// The representation that the origin has now, from the store after a validation; `None` where it is none that is
/// stored, and so has no tag of ours.
async fn current(
    worker: &Rc<Worker>,
    asking: &Request,
) -> Result<Option<Arc<StoredResponse>>, Error> {
    let store = &worker.gateway.store;
    let key = asking.key(store);
    let resource = store.look_up(key);
    let config = &asking.epoch.settings.config.cache;
    let alone = Sharing {
        follow: false,
        lead: false,
        vary: &asking.route.cache.vary,
        limits: Limits {
            now: asking.now.mono,
            since: asking.asked_since,
            leader_timeout: config.leader_timeout,
            max_followers: config.max_followers,
        },
    };
    let Role::Lead(fill) = store.lead_or_follow(key, resource.as_ref(), asking.ask(), alone) else {
        return Ok(None);
    };
    let permit = Permit::new(worker, fill);
    let mut task = FillTask::new(worker, asking, None, &permit, RequestBody::Empty)?;
    let variants = resource.iter().flat_map(|resource| resource.variants());
    task.candidates = variants
        .filter(|stored| may_be_validated(store, stored, asking))
        .cloned()
        .collect();
    let task = Task::new(worker, |leader| task.led_by(leader).run(permit));
    match task.news().await.ok_or_else(Error::internal)? {
        LeaderEvent::Fetched { stored, .. } | LeaderEvent::Validated { stored, .. } => {
            Ok(Some(stored))
        }
        // Its tag is known when all of it is.
        LeaderEvent::Streaming { mut reader, .. } => {
            while let Some(chunk) = std::future::poll_fn(|cx| reader.poll_chunk(cx)).await {
                chunk?;
            }
            Ok(store
                .look_up(key)
                .and_then(|resource| select(store, &resource, asking)))
        }
        LeaderEvent::Unshared { .. } | LeaderEvent::Raised(_) => Ok(None),
        LeaderEvent::Failed(error) => Err(error),
    }
}
