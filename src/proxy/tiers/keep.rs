//! The second tiers follow the store: a response that is stored is kept there, and one that is superseded is removed.

use std::sync::Arc;

use http::header::{AUTHORIZATION, COOKIE};
use smallvec::SmallVec;

use super::Tiers;
use crate::cache::body::StoredBody;
use crate::cache::collapse::Fill;
use crate::cache::content::Content;
use crate::cache::outcome::{NotCommitted, Outcome, Superseded};
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

/// What a fill's outcome changes in the store, if it is not refused.
#[derive(Debug)]
pub enum Change {
    /// These are stored.
    Stored(SmallVec<[Arc<StoredResponse>; 1]>),
    /// What was stored is outdated.
    Outdated,
    Nothing,
}

impl Change {
    pub fn of(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Stored(stored) => Self::Stored(SmallVec::from_iter([stored.clone()])),
            Outcome::Freshened { updates, .. } => {
                Self::Stored(updates.iter().map(|(_, new)| new.clone()).collect())
            }
            Outcome::Uncacheable { effect, .. } => match effect {
                Superseded::Nothing => Self::Nothing,
                Superseded::Stale | Superseded::All(_) => Self::Outdated,
            },
            Outcome::ServerError(_) | Outcome::Failed(_) => Self::Nothing,
        }
    }
}

impl Tiers {
    /// Keeps what `fill` has changed in the store, unless that was refused.
    pub fn follow(
        &self,
        store: &Store,
        fill: &Fill,
        change: Change,
        refused: Option<NotCommitted>,
        (policy, now): (&Policy, Now),
    ) {
        match change {
            Change::Stored(stored) if refused.is_none() => {
                let target = store.canonical(fill.key.as_str());
                for stored in &stored {
                    self.keep(store, &target, stored, fill.stamp, (policy, now));
                }
            }
            Change::Outdated => self.remove(&store.canonical(fill.key.as_str())),
            Change::Stored(_) | Change::Nothing => {}
        }
    }

    /// Nothing that was kept for `target` is used any more.
    pub fn remove(&self, target: &str) {
        if let Some(disk) = self.disk.get()
            && disk.may_come_to_have(target)
        {
            disk.remove(target);
        }
    }

    /// Keeps a response that was asked for when the latest invalidation had the number `stamp`, and which is stored for `target`.
    fn keep(
        &self,
        store: &Store,
        target: &str,
        stored: &Arc<StoredResponse>,
        stamp: u64,
        (policy, now): (&Policy, Now),
    ) {
        let Some(disk) = self.disk.get() else {
            return;
        };
        let head = &stored.head;
        let until = of_use_until(&head.freshness, has_validators(stored), policy, stored, now);
        let body = match stored.content() {
            Content::Complete(body) => Some(body),
            Content::Partial(_) => None,
        };
        // A key that is longer than its target has values of the request's fields or cookies.
        let is_secret = target_of(target) != target || is_selected_by_credentials(stored, policy);
        let body = body.filter(|_| until > now.wall && !is_secret);
        let record = body.map(|body| {
            let packed = record::pack(head, policy, store.cors().has(target));
            Record {
                target: target.into(),
                variant: packed.variant,
                stamp,
                stored: head.receipt.response_time,
                until,
                head: packed.octets,
                body: pieces(body),
            }
        });
        // What is kept is in the order in which it was stored: one that was replaced meanwhile comes too late.
        store.if_it_stands(store.key(target), stored, |all| {
            let variants = all.variants().iter();
            let variants: SmallVec<[_; 2]> = variants.map(|it| record::variant(&it.head)).collect();
            // One that this one has replaced, since its request selects it, must not outlive it.
            if record.is_none() || disk.may_have_others(target, &variants) {
                self.remove(target);
            }
            if record.is_some_and(|record| !disk.put(record)) {
                // Nor may an earlier one come back in its place.
                self.remove(target);
            }
        });
    }
}

fn pieces(body: StoredBody) -> Vec<bytes::Bytes> {
    body.pieces().to_vec()
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
