//! The store: one moka entry a target URI, copied on write, bounded in bytes. Whatever changes a key happens under
//! the lock of its shard, where the fills in flight for it are known too; so an invalidation and a commit see each
//! other, whichever comes first.

mod invalidate;

use std::borrow::Cow;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use hashbrown::HashMap;
use http::HeaderMap;
use moka::policy::EvictionPolicy;
use smallvec::SmallVec;

use super::budget::{Budget, Token};
use super::collapse::{Ask, Fill, Follower, Invalidation};
use super::cors::CorsApis;
use super::head::Head;
use super::index::GroupIndex;
use super::key::{Key, KeyRef, Keyer, Prehashed};
use super::search::SearchRules;
use super::stored::{Marker, NotCommitted, Resource, Settled, Several, StoredResponse};
use super::sync::{Mutex, MutexGuard};
use crate::clock::{Monotonic, Now};
use crate::semantics::freshness::MustValidate;
use crate::semantics::policy::VaryPolicy;
use crate::semantics::selector::Selector;

/// One where loom tries every order: which keys share a shard must not be a matter of chance there.
const SHARDS: usize = if cfg!(bookend_loom) { 1 } else { 256 };

/// Markers of one resource; the oldest leaves first.
const MAX_MARKERS: usize = 8;

/// Where responses live.
#[derive(Debug)]
pub struct Store {
    resources: moka::sync::Cache<Key, Resource, Prehashed>,
    shards: Box<[Mutex<Shard>]>,
    keyer: Keyer,
    budget: Arc<Budget>,
    groups: Arc<GroupIndex>,
    search: SearchRules,
    cors: CorsApis,
    max_variants: usize,
}

#[derive(Debug, Default)]
struct Shard {
    fills: HashMap<Key, SmallVec<[Arc<Fill>; 1]>, Prehashed>,
}

/// What a request that needs a fill is to do.
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
    /// A fill without an answer for so long is joined by nobody any more.
    pub leader_timeout: Duration,
    pub max_followers: usize,
}

impl Store {
    /// A store of at most `memory` bytes, bodies in flight included, with at most `max_variants` a target URI.
    pub fn new(memory: u64, max_variants: usize) -> Self {
        let groups = Arc::new(GroupIndex::default());
        let listener = groups.clone();
        // moka evicts a little late, and bodies in flight need room too.
        let settled = memory - memory / 8;
        let resources = moka::sync::Cache::builder()
            .max_capacity(settled)
            .weigher(|key: &Key, resource: &Resource| {
                u32::try_from(resource.weight(key.as_str().len())).unwrap_or(u32::MAX)
            })
            // LRU rather than TinyLFU: what Cache-Status calls stored is there for the next request.
            .eviction_policy(EvictionPolicy::lru())
            .eviction_listener(move |key: Arc<Key>, resource: Resource, _| {
                listener.enqueue_removal(&key, &resource);
            })
            .build_with_hasher(Prehashed::default());
        Self {
            resources,
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            keyer: Keyer::default(),
            budget: Budget::new(memory),
            groups,
            search: SearchRules::default(),
            cors: CorsApis::default(),
            max_variants: max_variants.max(1),
        }
    }

    pub fn key<'a>(&self, target: &'a str) -> KeyRef<'a> {
        self.keyer.key(target)
    }

    pub fn look_up(&self, key: KeyRef<'_>) -> Option<Resource> {
        self.resources.get(&key)
    }

    pub fn budget(&self) -> &Arc<Budget> {
        &self.budget
    }

    /// Resources stored now, about.
    pub fn resource_count(&self) -> u64 {
        self.resources.entry_count()
    }

    /// Bytes of stored resources now, about.
    pub fn resource_bytes(&self) -> u64 {
        self.resources.weighted_size()
    }

    /// Cache groups now, and their members in all.
    pub fn group_size(&self) -> (usize, usize) {
        self.groups.size()
    }

    /// Joins a fill in flight that `ask` can share, or begins one. `seen` is what the request's look-up found.
    pub fn lead_or_follow(
        &self,
        key: KeyRef<'_>,
        seen: Option<&Resource>,
        ask: Ask,
        sharing: Sharing<'_>,
    ) -> Role {
        let mut shard = self.shard(key.hash());
        let current = self.resources.get(&key);
        if current.as_ref().map(Resource::address) != seen.map(Resource::address) {
            return Role::LookAgain;
        }
        if let Some(follower) = self.join(&shard, key, current.as_ref(), &ask, &sharing) {
            return Role::Follow(follower);
        }
        let fill = Fill::new(key.to_key(), ask, sharing.lead, sharing.limits.now);
        shard
            .fills
            .entry(fill.key.clone())
            .or_default()
            .push(fill.clone());
        Role::Lead(fill)
    }

    /// Joins a fill in flight that `ask` can share, if there is one.
    pub fn follow(&self, key: KeyRef<'_>, ask: &Ask, sharing: Sharing<'_>) -> Option<Follower> {
        let shard = self.shard(key.hash());
        let current = self.resources.get(&key);
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
        if home == fill.key.as_str() {
            let mut shard = self.shard(fill.key.hash());
            self.end(&mut shard, fill);
            return self.commit_under(&fill.key, fill, stored, vary);
        }
        let home = self.key(&home).to_key();
        let shard = self.shard(home.hash());
        let committed = self.commit_under(&home, fill, stored, vary);
        drop(shard);
        // Only now: till it was stored under its other key, an invalidation had to find it among those in flight.
        self.abandon(fill);
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
        let mut next = self.copy(key);
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
        self.shed_variants(&mut next);
        self.put(key, next);
        Ok(())
    }

    /// Replaces stored responses by freshened ones (RFC 9111 §4.3.4), where they still stand, and ends the fill.
    ///
    /// # Errors
    /// [`NotCommitted::Doomed`] when an invalidation came since the fill began; nothing is replaced.
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
            Some(Invalidation::Soft) => Ok(self.expired(&stored)),
            Some(Invalidation::Hard) => Err(NotCommitted::Doomed),
        }
    }

    /// Replaces stored responses outside of a fill: HEAD freshens (RFC 9111 §4.3.5). Only those that still stand.
    pub fn update(&self, key: KeyRef<'_>, updates: &[(Arc<StoredResponse>, Arc<StoredResponse>)]) {
        let _shard = self.shard(key.hash());
        self.replace(&key.to_key(), updates);
    }

    fn replace(&self, key: &Key, updates: &[(Arc<StoredResponse>, Arc<StoredResponse>)]) {
        let Some(current) = self.resources.get(&key.as_ref()) else {
            return;
        };
        let mut next = current.to_several();
        for (old, new) in updates {
            if let Some(slot) = next.variants.iter_mut().find(|slot| Arc::ptr_eq(slot, old)) {
                *slot = new.clone();
            }
        }
        next.drop_unselectable();
        self.put(key, next);
    }

    /// Notes at `now` that responses like the fill's cannot be shared, removes what it supersedes, and ends the fill.
    pub fn mark(&self, fill: &Arc<Fill>, marker: Marker, now: Monotonic, vary: &VaryPolicy) {
        let mut shard = self.shard(fill.key.hash());
        self.end(&mut shard, fill);
        if fill.is_doomed() {
            return;
        }
        let current = self.resources.get(&fill.key.as_ref());
        if current.is_some_and(|current| marker.is_known(&current, &fill.ask, now, vary)) {
            return;
        }
        let mut next = self.copy(&fill.key);
        // What was stored for the same request has been superseded by a response that may not be stored.
        let asked = (&fill.ask.headers, fill.ask.digest.as_ref());
        let key = fill.key.as_str();
        next.variants
            .retain(|old| !self.cors.is_replaced(key, &old.head, asked, vary));
        next.markers.retain(|old| !marks(old, &fill.ask, vary));
        next.markers.truncate(MAX_MARKERS - 1);
        next.markers.insert(0, marker);
        self.put(&fill.key, next);
    }

    /// Ends the fill, and has what its request selects and is stale at `now` validated before it is used again.
    pub fn end_staleness(&self, fill: &Arc<Fill>, now: Now, vary: &VaryPolicy) {
        let mut shard = self.shard(fill.key.hash());
        self.end(&mut shard, fill);
        if fill.is_doomed() {
            return;
        }
        let Some(current) = self.resources.get(&fill.key.as_ref()) else {
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

    /// Ends a fill that failed or is not for sharing; its followers are told so.
    pub fn settle(&self, fill: &Arc<Fill>, settled: Settled) {
        self.abandon(fill);
        fill.settle(settled);
    }

    /// The target under which responses for `target` are stored.
    pub fn canonical<'a>(&self, target: &'a str) -> Cow<'a, str> {
        self.search.canonical(target)
    }

    /// At most `most` of the resources that an operator names; each is looked at, unless they are one at most.
    pub fn find(&self, selector: &Selector, most: usize) -> Vec<(Key, Resource)> {
        if let Selector::Target(target) = selector {
            let target = self.canonical(target);
            let key = self.key(&target);
            let found = self.look_up(key);
            return found
                .map(|resource| (key.to_key(), resource))
                .into_iter()
                .collect();
        }
        let found = self
            .resources
            .iter()
            .filter(|(key, _)| self.is_selected(selector, key.as_str()));
        found
            .map(|(key, resource)| (Key::clone(&key), resource))
            .take(most)
            .collect()
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

    /// Does what moka has put off: evictions above all.
    pub fn run_pending_tasks(&self) {
        self.resources.run_pending_tasks();
        self.groups.clean_up(|key| self.look_up(key));
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

    /// What is stored for `key`, to be changed.
    fn copy(&self, key: &Key) -> Several {
        let current = self.resources.get(&key.as_ref());
        current.map_or_else(Several::default, |resource| resource.to_several())
    }

    fn shed_variants(&self, resource: &mut Several) {
        while resource.variants.len() > self.max_variants {
            // The first is the one that came just now.
            let used = resource.variants.iter().enumerate().skip(1);
            let Some((oldest, _)) = used.min_by_key(|(_, stored)| stored.last_used()) else {
                return;
            };
            resource.variants.remove(oldest);
        }
    }

    fn put(&self, key: &Key, all: Several) {
        if all.variants.is_empty() && all.markers.is_empty() {
            self.resources.invalidate(&key.as_ref());
        } else {
            let resource = Resource::from(all);
            self.resources.insert(key.clone(), resource.clone());
            self.groups.add(key, &resource, |key| self.look_up(key));
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
