//! Whether a request leads a fill or follows another's.

use std::sync::Arc;
use std::time::Duration;

use smallvec::SmallVec;

use super::{Shard, Store};
use crate::cache::collapse::{Ask, Fill, Follower};
use crate::cache::head::Head;
use crate::cache::key::KeyRef;
use crate::cache::resource::Resource;
use crate::clock::Monotonic;
use crate::semantics::policy::VaryPolicy;

/// The next action of a request that needs a fill.
#[derive(Debug)]
pub enum Role {
    /// Bring the fill to an end.
    Lead(Arc<Fill>),
    /// Wait for another's.
    Follow(Follower),
    /// The resource has changed since it was looked up.
    LookAgain,
}

/// Whether and with whom a request may share a fill.
#[derive(Clone, Copy, Debug)]
pub struct Sharing<'a> {
    /// Whether it may wait for another's fill.
    pub follow: bool,
    /// Whether others may wait for the fill that it leads.
    pub lead: bool,
    pub vary: &'a VaryPolicy,
    pub limits: Limits,
}

/// How long and by how many a fill is waited for.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub now: Monotonic,
    /// One that began before is joined by nobody.
    pub since: Option<Monotonic>,
    /// A fill without an answer for so long is joined by nobody any more.
    pub leader_timeout: Duration,
    pub max_followers: usize,
}

impl Shard {
    fn register(&mut self, fill: &Arc<Fill>) {
        let fills = self.fills.entry(fill.key.clone()).or_default();
        fills.push(fill.clone());
    }
}

impl Store {
    /// Joins a fill in flight that `ask` can share, or begins one. `seen` is what the request's look-up found.
    pub fn lead_or_follow(
        &self,
        key: KeyRef<'_>,
        seen: Option<&Resource>,
        ask: Ask,
        sharing: Sharing<'_>,
    ) -> Role {
        let mut shard = self.locked(key);
        let current = self.resources.get(key);
        if current.as_ref().map(Resource::address) != seen.map(Resource::address) {
            return Role::LookAgain;
        }
        if let Some(follower) = self.join(&shard, key, current.as_ref(), &ask, &sharing) {
            return Role::Follow(follower);
        }
        let (now, stamp) = (sharing.limits.now, self.sequence());
        let fill = Fill::new(key.to_key(), ask, sharing.lead, now, stamp);
        shard.register(&fill);
        Role::Lead(fill)
    }

    /// A fill for a response that came without one; its request was sent when the store's [`sequence`](Self::sequence) was
    /// `begun`, and has itself begun so many invalidations (`own`) since. `None` when anything else has been invalidated
    /// since, as that may cover the response.
    pub fn adopt(
        &self,
        key: KeyRef<'_>,
        ask: Ask,
        now: Monotonic,
        begun: u64,
        own: u64,
    ) -> Option<Arc<Fill>> {
        let mut shard = self.locked(key);
        let stamp = self.sequence();
        if stamp != begun.wrapping_add(own) {
            return None;
        }
        let fill = Fill::new(key.to_key(), ask, false, now, stamp);
        shard.register(&fill);
        Some(fill)
    }

    /// Joins a fill in flight that `ask` can share, if there is one.
    pub fn follow(&self, key: KeyRef<'_>, ask: &Ask, sharing: Sharing<'_>) -> Option<Follower> {
        let shard = self.locked(key);
        let current = self.resources.get(key);
        self.join(&shard, key, current.as_ref(), ask, &sharing)
    }

    /// Follows the fill for `key` that `ask` can share; `current` is what is stored.
    fn join(
        &self,
        shard: &Shard,
        key: KeyRef<'_>,
        current: Option<&Resource>,
        ask: &Ask,
        sharing: &Sharing<'_>,
    ) -> Option<Follower> {
        let fills = shard.fills.get(&key).filter(|_| sharing.follow)?;
        let coming: SmallVec<[Arc<Head>; 4]> =
            fills.iter().filter_map(|fill| fill.head()).collect();
        let stored = current.into_iter().flat_map(Resource::variants);
        let known = || {
            let stored = stored.clone().map(|stored| &stored.head);
            stored.chain(coming.iter().map(Arc::as_ref))
        };
        let shared = fills
            .iter()
            .find(|fill| self.can_share(fill, ask, known(), sharing));
        shared.map(Fill::follow)
    }

    /// Whether `ask` may wait for `fill`: the same content, and as far as is known the same variant. `known` are the heads
    /// that have come for the resource.
    fn can_share<'a>(
        &self,
        fill: &Fill,
        ask: &Ask,
        mut known: impl Iterator<Item = &'a Head>,
        sharing: &Sharing<'_>,
    ) -> bool {
        let Sharing { vary, limits, .. } = *sharing;
        if !fill.is_joinable()
            || fill.ask.digest != ask.digest
            || limits.since.is_some_and(|since| fill.started() < since)
            || fill.is_overdue(limits.now, limits.leader_timeout)
            || fill.followers() >= limits.max_followers
        {
            return false;
        }
        if let Some(head) = fill.head() {
            let (target, digest) = (fill.key.as_str(), ask.digest.as_ref());
            return self
                .cors
                .selects(target, &head, (&ask.headers, digest), vary);
        }
        !known.any(|head| {
            head.variant()
                .is_some_and(|variant| variant.tells_apart(&ask.headers, &fill.ask.headers, vary))
        })
    }
}
