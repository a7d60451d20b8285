//! The store: one moka entry a target URI, copied on write, bounded in bytes. Whatever changes a key happens under
//! the lock of its shard, where the fills in flight for it are known too; so an invalidation and a commit see each
//! other, whichever comes first.

mod finish;
mod follow;
mod invalidate;
mod markers;
mod publication;
mod published;
mod raise;
mod resources;

use std::borrow::Cow;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use arc_swap::ArcSwapOption;
use hashbrown::HashMap;
use http::HeaderMap;
use smallvec::SmallVec;

pub use self::follow::{Limits, Role, Sharing};
pub use self::invalidate::Preview;
use self::publication::Publication;
pub use self::publication::Removal;
pub use self::published::Count;
pub use self::raise::Kept;
use self::resources::Resources;
use super::budget::{Budget, Token};
use super::collapse::Fill;
use super::cors::CorsApis;
use super::key::{Key, KeyRef, Keyer, Prehashed};
use super::resource::{Marker, Resource, Several};
use super::search::SearchRules;
use super::stored::StoredResponse;
use super::sync::{AtomicBool, AtomicU64, Mutex, MutexGuard};
use crate::clock::Monotonic;
use crate::ledger::invalidation::Invalidation;
use crate::ledger::local::Ledger;
use crate::semantics::policy::VaryPolicy;
use crate::semantics::selector::Selector;

/// One where loom tries every order: which keys share a shard must not be a matter of chance there.
const SHARDS: usize = if cfg!(bookend_loom) { 1 } else { 256 };

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
    /// Whether there may be keys of more than a target URI.
    longer_keys: AtomicBool,
    /// The number of the latest invalidation.
    sequence: AtomicU64,
    numbering: Mutex<()>,
    /// What numbers invalidations and remembers them, where responses are kept elsewhere, too.
    ledger: ArcSwapOption<Ledger>,
    publication: Publication,
    /// An invalidation of so many resources is published.
    published_from: AtomicU64,
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
            longer_keys: AtomicBool::new(false),
            sequence: AtomicU64::new(0),
            numbering: Mutex::new(()),
            ledger: ArcSwapOption::empty(),
            publication: Publication::default(),
            published_from: AtomicU64::new(Self::PUBLISHED_FROM),
        }
    }

    /// The number of the latest invalidation that has begun: a response may only be stored if none that covers it has begun
    /// since its request was sent.
    pub fn sequence(&self) -> u64 {
        self.sequence.load(Ordering::SeqCst)
    }

    /// Has `ledger` number invalidations from now on. Its numbers go on above those that the store has given.
    pub fn number_by(&self, ledger: Arc<Ledger>) {
        {
            let _numbering = self.numbering();
            // What was numbered here is not in it: a process after this one must not give these numbers again.
            if self.sequence() > ledger.sequence() {
                ledger.distrust(self.sequence());
            }
            self.ledger.store(Some(ledger.clone()));
            self.sequence.fetch_max(ledger.sequence(), Ordering::SeqCst);
        }
        ledger.sync();
    }

    /// What is kept elsewhere is validated before it is used, as far as it was asked for before this call.
    pub fn distrust_kept(&self) {
        let Some(ledger) = self.ledger() else {
            return;
        };
        {
            let _numbering = self.numbering();
            ledger.distrust(self.sequence());
            self.sequence.fetch_max(ledger.sequence(), Ordering::SeqCst);
        }
        ledger.sync();
    }

    /// Numbers invalidations without a ledger from now on: no response is kept elsewhere any more.
    pub fn number_alone(&self) {
        let _numbering = self.numbering();
        self.ledger.store(None);
    }

    fn numbering(&self) -> MutexGuard<'_, ()> {
        self.numbering
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// What numbers invalidations, where responses are kept elsewhere, too.
    pub fn ledger(&self) -> Option<Arc<Ledger>> {
        self.ledger.load_full()
    }

    /// Gives an invalidation its number. To be called before the locks of any shards: who registers a fill under such a lock
    /// either sees the new number, or its fill is found by the invalidation.
    fn number(&self, invalidation: &Invalidation) -> u64 {
        // No number is given twice, nor after a higher one: a response with it as its stamp would count as younger.
        let _numbering = self.numbering();
        let before = self.sequence();
        let number = match self.ledger() {
            Some(ledger) => ledger.append(invalidation, before),
            None => before + 1,
        };
        self.sequence.store(number, Ordering::SeqCst);
        number
    }

    /// Expects keys of more than a target URI from now on: to be called before there is one.
    pub fn expect_longer_keys(&self) {
        self.longer_keys.store(true, Ordering::SeqCst);
    }

    fn has_longer_keys(&self) -> bool {
        self.longer_keys.load(Ordering::SeqCst)
    }

    pub fn key<'a>(&self, target: &'a str) -> KeyRef<'a> {
        self.keyer.key(target)
    }

    pub fn budget(&self) -> &Arc<Budget> {
        &self.budget
    }

    /// Resources stored now, about.
    pub fn resource_count(&self) -> u64 {
        self.resources.count()
    }

    /// Stored responses now: several of a resource where they are variants.
    pub fn variant_count(&self) -> u64 {
        self.resources.variants()
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

    /// Resources with stored responses that had to leave since there was no room for them.
    pub fn evicted(&self) -> u64 {
        self.resources.evicted()
    }

    /// Cache groups now, and their members in all.
    pub fn group_size(&self) -> (usize, usize) {
        self.resources.index().tag_size()
    }

    /// Which APIs do CORS, and what that means for who is answered with what.
    pub fn cors(&self) -> &CorsApis {
        &self.cors
    }

    /// Replaces stored responses outside of a fill: HEAD freshens (RFC 9111 §4.3.5). Only those that still stand.
    pub fn update(&self, key: KeyRef<'_>, updates: &[(Arc<StoredResponse>, Arc<StoredResponse>)]) {
        let _shard = self.locked(key);
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

    /// The same response, to be served only after validation.
    pub fn expired(&self, stored: &Arc<StoredResponse>) -> Arc<StoredResponse> {
        let (head, content) = (stored.head.expired(), stored.content());
        let token = self.token(StoredResponse::cost(&head, &content));
        Arc::new(StoredResponse::new(head, content, token))
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

    /// All that is stored, in no order, and few others. None counts as used by it.
    pub fn each(&self) -> impl Iterator<Item = (Arc<Key>, Resource)> {
        self.resources.each()
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

    /// Puts `all` in the place of `before`, which is what is stored for `key`. The key's shard is locked.
    fn put(&self, key: &Key, before: Option<&Resource>, all: Several) {
        if all.variants.is_empty() && all.markers.is_empty() {
            self.resources.remove(key);
        } else {
            self.resources.insert(key, before, Resource::from(all));
        }
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
