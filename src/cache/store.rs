//! The store: one moka entry a target URI, copied on write, bounded in bytes. Whatever changes a key happens under
//! the lock of its shard, where the fills in flight for it are known too; so an invalidation and a commit see each
//! other, whichever comes first.

mod follow;
mod invalidate;
mod markers;
mod resources;

use std::borrow::Cow;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use hashbrown::HashMap;
use http::HeaderMap;
use smallvec::SmallVec;

pub use self::follow::{Limits, Role, Sharing};
use self::resources::Resources;
use super::budget::{Budget, Token};
use super::collapse::{Ask, Fill};
use super::cors::CorsApis;
use super::key::{Key, KeyRef, Keyer, Prehashed};
use super::outcome::{NotCommitted, Settled};
use super::resource::{Marker, Resource, Several};
use super::search::SearchRules;
use super::stored::StoredResponse;
use super::sync::{AtomicU64, Mutex, MutexGuard};
use crate::clock::{Monotonic, Now};
use crate::ledger::invalidation::Strength;
use crate::semantics::freshness::MustValidate;
use crate::semantics::policy::VaryPolicy;
use crate::semantics::selector::Selector;

/// One where loom tries every order: which keys share a shard must not be a matter of chance there.
const SHARDS: usize = if cfg!(bookend_loom) { 1 } else { 256 };

/// Markers of one resource; the oldest leaves first.
const MAX_MARKERS: usize = 8;

/// So many expired markers at most leave for one that comes: nobody waits for all that a burst has left.
const EXPIRED_AT_ONCE: usize = 16;

/// Where responses live.
#[derive(Debug)]
pub struct Store {
    resources: Resources,
    shards: Box<[Mutex<Shard>]>,
    keyer: Keyer,
    budget: Arc<Budget>,
    search: SearchRules,
    cors: CorsApis,
    max_variants: usize,
    /// Invalidations begun so far.
    sequence: AtomicU64,
}

#[derive(Debug, Default)]
struct Shard {
    fills: HashMap<Key, SmallVec<[Arc<Fill>; 1]>, Prehashed>,
}

impl Store {
    /// A store of at most `memory` bytes, bodies in flight included, with at most `max_variants` a target URI.
    pub fn new(memory: u64, max_variants: usize) -> Self {
        let budget = Budget::new(memory);
        let resources = Resources::new(memory, &budget);
        Self {
            resources,
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            keyer: Keyer::default(),
            budget,
            search: SearchRules::default(),
            cors: CorsApis::default(),
            max_variants: max_variants.max(1),
            sequence: AtomicU64::new(0),
        }
    }

    /// The number of the latest invalidation that has begun: a response may only be stored if none that covers it has begun
    /// since its request was sent.
    pub fn sequence(&self) -> u64 {
        self.sequence.load(Ordering::SeqCst)
    }

    pub fn key<'a>(&self, target: &'a str) -> KeyRef<'a> {
        self.keyer.key(target)
    }

    pub fn look_up(&self, key: KeyRef<'_>) -> Option<Resource> {
        self.resources.get(key)
    }

    pub fn budget(&self) -> &Arc<Budget> {
        &self.budget
    }

    /// Resources stored now, about.
    pub fn resource_count(&self) -> u64 {
        self.resources.count()
    }

    /// Bytes of the largest body that there is room for.
    pub fn largest_body(&self) -> u64 {
        let room = self.resources.capacity();
        // Its head and its key need some of it.
        room - (room / 8).min(64 << 10)
    }

    /// Bytes of stored resources now, about.
    pub fn resource_bytes(&self) -> u64 {
        self.resources.bytes()
    }

    /// Cache groups now, and their members in all.
    pub fn group_size(&self) -> (usize, usize) {
        self.resources.index().tag_size()
    }

    /// Which APIs do CORS, and what that means for who is answered with what.
    pub fn cors(&self) -> &CorsApis {
        &self.cors
    }

    /// Stores what a fill brought, in place of every variant that its request selects, and ends the fill.
    ///
    /// # Errors
    /// [`NotCommitted`] when an invalidation came since the fill began, or the budget is used up; nothing is stored.
    pub fn commit(
        &self,
        fill: &Arc<Fill>,
        stored: Arc<StoredResponse>,
        vary: &VaryPolicy,
    ) -> Result<(), NotCommitted> {
        self.search.learn(fill.key.as_str(), stored.head.search());
        let home = self.search.canonical(fill.key.as_str());
        let committed = if home == fill.key.as_str() {
            let mut shard = self.shard(fill.key.hash());
            self.end(&mut shard, fill);
            self.commit_under(&fill.key, fill, stored, vary)
        } else {
            let home = self.key(&home).to_key();
            let shard = self.shard(home.hash());
            let committed = self.commit_under(&home, fill, stored, vary);
            drop(shard);
            // Only now: till it was stored under its other key, an invalidation had to find it among those in flight.
            self.abandon(fill);
            committed
        };
        self.take_out_evicted();
        committed
    }

    /// Stores under `key`, whose shard is locked.
    fn commit_under(
        &self,
        key: &Key,
        fill: &Fill,
        stored: Arc<StoredResponse>,
        vary: &VaryPolicy,
    ) -> Result<(), NotCommitted> {
        let stored = self.as_invalidated(fill, stored)?;
        let before = self.resources.get(key.as_ref());
        let before = before.as_ref();
        let mut next = before.map_or_else(Several::default, Resource::to_several);
        if next.has_unknown_selectors(&stored.head) {
            return Err(NotCommitted::Overtaken);
        }
        let asked = (&fill.ask.headers, fill.ask.digest.as_ref());
        let is_replaced =
            |old: &Arc<StoredResponse>| self.cors.is_replaced(key.as_str(), &old.head, asked, vary);
        let mut replaced = next.variants.iter().filter(|old| is_replaced(old));
        if replaced.any(|old| stored.is_part_of(old)) {
            return Err(NotCommitted::Superseded);
        }
        next.variants.retain(|old| !is_replaced(old));
        next.markers
            .retain(|marker| !marks(marker, &fill.ask, vary));
        next.variants.insert(0, stored);
        next.drop_unselectable();
        while next.variants.len() > self.max_variants && next.evict_least_recently_used() {}
        self.fit(key, &mut next)?;
        self.put(key, before, next);
        Ok(())
    }

    /// Replaces stored responses by freshened ones (RFC 9111 §4.3.4), where they still stand, and ends the fill.
    ///
    /// # Errors
    /// [`NotCommitted::Invalidated`] when an invalidation came since the fill began; nothing is replaced.
    pub fn freshen(
        &self,
        fill: &Arc<Fill>,
        updates: &[(Arc<StoredResponse>, Arc<StoredResponse>)],
    ) -> Result<(), NotCommitted> {
        let mut shard = self.shard(fill.key.hash());
        self.end(&mut shard, fill);
        let updates = updates.iter().map(|(old, new)| {
            let new = self.as_invalidated(fill, new.clone())?;
            Ok((old.clone(), new))
        });
        let updates: SmallVec<[_; 2]> = updates.collect::<Result<_, _>>()?;
        self.replace(&fill.key, &updates);
        Ok(())
    }

    /// `stored`, which `fill` brought, as the invalidations leave it that came since the fill began.
    fn as_invalidated(
        &self,
        fill: &Fill,
        stored: Arc<StoredResponse>,
    ) -> Result<Arc<StoredResponse>, NotCommitted> {
        match fill.invalidation(stored.head.groups()) {
            None => Ok(stored),
            Some(Strength::Soft) => Ok(self.expired(&stored)),
            Some(Strength::Hard) => Err(NotCommitted::Invalidated),
        }
    }

    /// Replaces stored responses outside of a fill: HEAD freshens (RFC 9111 §4.3.5). Only those that still stand.
    pub fn update(&self, key: KeyRef<'_>, updates: &[(Arc<StoredResponse>, Arc<StoredResponse>)]) {
        let _shard = self.shard(key.hash());
        self.replace(&key.to_key(), updates);
    }

    fn replace(&self, key: &Key, updates: &[(Arc<StoredResponse>, Arc<StoredResponse>)]) {
        let Some(current) = self.resources.get(key.as_ref()) else {
            return;
        };
        let mut next = current.to_several();
        for (old, new) in updates {
            if let Some(slot) = next.variants.iter_mut().find(|slot| Arc::ptr_eq(slot, old)) {
                *slot = new.clone();
            }
        }
        next.drop_unselectable();
        self.put(key, Some(&current), next);
    }

    /// Notes at `now` that responses like the fill's cannot be shared, removes what it supersedes, and ends the fill.
    pub fn mark(&self, fill: &Arc<Fill>, marker: Marker, now: Monotonic, vary: &VaryPolicy) {
        let mut shard = self.shard(fill.key.hash());
        self.end(&mut shard, fill);
        if fill.is_invalidated() {
            return;
        }
        let before = self.resources.get(fill.key.as_ref());
        let before = before.as_ref();
        if before.is_some_and(|before| marker.is_known(before, &fill.ask, now, vary)) {
            return;
        }
        let mut next = before.map_or_else(Several::default, Resource::to_several);
        // What was stored for the same request has been superseded by a response that may not be stored.
        let asked = (&fill.ask.headers, fill.ask.digest.as_ref());
        let key = fill.key.as_str();
        next.variants
            .retain(|old| !self.cors.is_replaced(key, &old.head, asked, vary));
        next.markers.retain(|old| !marks(old, &fill.ask, vary));
        next.markers.truncate(MAX_MARKERS - 1);
        next.markers.insert(0, marker);
        self.resources.drop_expired(now, EXPIRED_AT_ONCE);
        self.put(&fill.key, before, next);
        drop(shard);
        self.take_out_evicted();
    }

    /// Ends the fill, and has what its request selects and is stale at `now` validated before it is used again.
    pub fn end_staleness(&self, fill: &Arc<Fill>, now: Now, vary: &VaryPolicy) {
        let mut shard = self.shard(fill.key.hash());
        self.end(&mut shard, fill);
        if fill.is_invalidated() {
            return;
        }
        let Some(current) = self.resources.get(fill.key.as_ref()) else {
            return;
        };
        let asked = (&fill.ask.headers, fill.ask.digest.as_ref());
        let is_stale = |old: &&Arc<StoredResponse>| {
            let freshness = &old.head.freshness;
            freshness.must_validate != Some(MustValidate::NoCache)
                && !freshness.is_fresh(old.head.resident(now))
                && self.cors.selects(fill.key.as_str(), &old.head, asked, vary)
        };
        let stale = current.variants().iter().filter(is_stale);
        let updates: Vec<_> = stale.map(|old| (old.clone(), self.expired(old))).collect();
        if !updates.is_empty() {
            self.replace(&fill.key, &updates);
        }
    }

    /// The same response, to be served only after validation.
    pub fn expired(&self, stored: &Arc<StoredResponse>) -> Arc<StoredResponse> {
        let (head, content) = (stored.head.expired(), stored.content());
        let token = self.token(StoredResponse::cost(&head, &content));
        Arc::new(StoredResponse::new(head, content, token))
    }

    /// Ends a fill without a result for the store.
    pub fn abandon(&self, fill: &Arc<Fill>) {
        let mut shard = self.shard(fill.key.hash());
        self.end(&mut shard, fill);
    }

    /// Ends a fill that failed or is not for sharing, and tells its followers.
    pub fn settle(&self, fill: &Arc<Fill>, settled: Settled) {
        self.abandon(fill);
        fill.settle(settled);
    }

    /// The target under which responses for `target` are stored.
    pub fn canonical<'a>(&self, target: &'a str) -> Cow<'a, str> {
        self.search.canonical(target)
    }

    /// At most `most` of the resources that an operator names.
    pub fn find(&self, selector: &Selector, most: usize) -> Vec<(Key, Resource)> {
        let keys = self.selected(selector).into_iter();
        let found = keys.filter_map(|key| Some((key.clone(), self.look_up(key.as_ref())?)));
        found.take(most).collect()
    }

    /// How many fills are in flight for the target URIs that are `wanted`.
    pub fn fills_for(&self, wanted: impl Fn(&str) -> bool) -> usize {
        let count = |shard: &Mutex<Shard>| {
            let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            let wanted = shard.fills.iter().filter(|(key, _)| wanted(key.as_str()));
            wanted.map(|(_, fills)| fills.len()).sum::<usize>()
        };
        self.shards.iter().map(count).sum()
    }

    /// A share of the budget for a stored head; evictions that are due are done first where it is tight.
    pub fn token(&self, bytes: u64) -> Option<Token> {
        Token::take(&self.budget, bytes).or_else(|| {
            self.resources.run_pending_tasks();
            Token::take(&self.budget, bytes)
        })
    }

    /// Forgets markers that have expired at `now`.
    pub fn drop_expired(&self, now: Monotonic) {
        self.resources.drop_expired(now, usize::MAX);
    }

    /// Does what moka has put off: evictions above all.
    pub fn run_pending_tasks(&self) {
        self.resources.run_pending_tasks();
        self.take_out_evicted();
    }

    /// Takes what was evicted out of the index. No shard may be locked.
    fn take_out_evicted(&self) {
        for evicted in self.resources.index().evicted() {
            let _shard = self.shard(evicted.key.hash());
            let now = self.resources.get(evicted.key.as_ref().as_ref());
            self.resources.index().take_out(&evicted, now.as_ref());
        }
    }

    fn shard(&self, hash: u64) -> MutexGuard<'_, Shard> {
        let shard = &self.shards[hash as usize % SHARDS];
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the fill off the list of those in flight.
    fn end(&self, shard: &mut Shard, fill: &Arc<Fill>) {
        let Some(fills) = shard.fills.get_mut(&fill.key) else {
            return;
        };
        fills.retain(|other| !Arc::ptr_eq(other, fill));
        if fills.is_empty() {
            shard.fills.remove(&fill.key);
        }
    }

    /// Evicts variants of `resource` until the store has room for the rest. Fails where one alone is too large.
    fn fit(&self, key: &Key, resource: &mut Several) -> Result<(), NotCommitted> {
        while Resource::from(resource.clone()).weight(key.as_str().len())
            > self.resources.capacity()
        {
            if !resource.evict_least_recently_used() {
                return Err(NotCommitted::OverBudget);
            }
        }
        Ok(())
    }

    /// Puts `all` in the place of `before`, which is what is stored for `key`. The key's shard is locked.
    fn put(&self, key: &Key, before: Option<&Resource>, all: Several) {
        if all.variants.is_empty() && all.markers.is_empty() {
            self.resources.remove(key);
        } else {
            self.resources.insert(key, before, Resource::from(all));
        }
    }
}

fn marks(marker: &Marker, ask: &Ask, vary: &VaryPolicy) -> bool {
    marker.digest == ask.digest && marker.variant.matches(&ask.headers, vary)
}

impl Marker {
    /// Whether the resource has a marker like this one for the request already, which will last for more than half of its
    /// time, and no stored response: then nothing is to be written.
    fn is_known(&self, resource: &Resource, ask: &Ask, now: Monotonic, vary: &VaryPolicy) -> bool {
        let half = self.until.since(now) / 2;
        let lasts = |old: &&Marker| old.why == self.why && self.until.since(old.until) < half;
        let mut alike = resource.markers().iter().filter(lasts);
        resource.variants().is_empty() && alike.any(|old| marks(old, ask, vary))
    }
}

impl Resource {
    /// The marker that stands for a request with these fields, if one does.
    pub fn marker(
        &self,
        headers: &HeaderMap,
        digest: Option<&[u8; 32]>,
        vary: &VaryPolicy,
        now: Monotonic,
    ) -> Option<&Marker> {
        self.markers().iter().find(|marker| {
            marker.until > now
                && marker.digest.as_ref() == digest
                && marker.variant.matches(headers, vary)
        })
    }
}
