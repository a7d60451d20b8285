//! The form in which the tiers keep a response that is stored in memory.

use std::sync::Arc;

use http::header::{AUTHORIZATION, COOKIE};

use crate::cache::content::Content;
use crate::cache::record;
use crate::cache::store::Store;
use crate::cache::stored::StoredResponse;
use crate::clock::Now;
use crate::semantics::freshness::Freshness;
use crate::semantics::policy::Policy;
use crate::semantics::storability::CLIENT_CERT;
use crate::semantics::target::target_of;
use crate::semantics::time::Timestamp;
use crate::tier::Record;

/// How long after its freshness a response is of use that can be validated: its content need not be sent again then.
const VALIDATED_FOR: u64 = 7 * 86_400 * 1_000;

/// What is kept of a response that is stored for `target`, and was asked for at `stamp`; `None` where nothing may be, or it is of no use.
pub(super) fn record_of(
    store: &Store,
    target: &str,
    stored: &Arc<StoredResponse>,
    stamp: u64,
    (policy, now): (&Policy, Now),
) -> Option<Record> {
    let head = &stored.head;
    let until = of_use_until(&head.freshness, has_validators(stored), policy, stored, now);
    let Content::Complete(body) = stored.content() else {
        return None;
    };
    // A key that is longer than its target has values of the request's fields or cookies.
    let is_secret = target_of(target) != target || is_selected_by_credentials(stored, policy);
    if until <= now.wall || is_secret {
        return None;
    }
    let packed = record::pack(head, policy, store.cors().has(target));
    Some(Record {
        target: target.into(),
        variant: packed.variant,
        stamp,
        stored: head.receipt.response_time,
        until,
        head: packed.octets,
        body: body.pieces().to_vec(),
    })
}

fn has_validators(stored: &StoredResponse) -> bool {
    !stored.head.origin_validators().is_empty()
}

/// Until when the response is of use, fresh, stale or to be validated.
fn of_use_until(
    freshness: &Freshness,
    can_be_validated: bool,
    policy: &Policy,
    stored: &StoredResponse,
    now: Now,
) -> Timestamp {
    let age = u64::from(freshness.age(stored.head.resident(now)).as_secs()) * 1_000;
    let fresh_for = freshness.lifetime.as_millis().saturating_sub(age);
    let stale_for = [
        freshness.stale_while_revalidate.as_millis(),
        freshness.stale_if_error.as_millis(),
        policy
            .stale_if_disconnected
            .map_or(0, |limit| limit.as_millis()),
        if can_be_validated { VALIDATED_FOR } else { 0 },
    ];
    let stale_for = stale_for.into_iter().max().unwrap_or_default();
    let left = fresh_for.saturating_add(stale_for);
    Timestamp::from_millis(now.wall.as_millis().saturating_add(left))
}

/// Whether a request field with credentials selects it: they would lie on disk.
fn is_selected_by_credentials(stored: &StoredResponse, policy: &Policy) -> bool {
    stored.head.variant().is_some_and(|variant| {
        [AUTHORIZATION, COOKIE, CLIENT_CERT]
            .iter()
            .chain(&policy.credential_fields)
            .any(|name| variant.has(name))
    })
}
