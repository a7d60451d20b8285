//! What gateways of a fleet store for each other. A fill looks there before it asks the API, and one of all gateways fills a cold key.
//!
//! A response without `Vary` is stored in the first slot of its target. For one that has it, the first slot names the fields, and the
//! response is in the slot of its request's values of these.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::{HeaderMap, HeaderName};
use tokio::runtime::Handle;
use tokio::task::{AbortHandle, spawn_local};
use tokio::time::sleep;

use super::kept::record_of;
use super::wanted::Wanted;
use crate::cache::collapse::Fill;
use crate::cache::store::Store;
use crate::cache::stored::StoredResponse;
use crate::clock::{Clock, Now, timer_now, within};
use crate::ledger::remembered::Remembered;
use crate::semantics::policy::{Policy, VaryPolicy};
use crate::semantics::target::target_of;
use crate::semantics::vary::{VariantKey, compared};
use crate::telemetry::counters::Gauge;
use crate::tier::Record;
use crate::tier::fleet::{Begun, Fleet, Found, Nonce, Place, Released, Slot};

/// The first slot of a target.
const FIRST: [u8; 16] = [0; 16];

/// The variant of a record that only names the fields by which others are selected.
const NAMES: [u8; 16] = [0xff; 16];

/// A lease of two seconds is renewed after this.
const RENEWED: Duration = Duration::from_millis(700);

/// Between two questions whether another gateway has stored something: first and at most.
const SOON: Duration = Duration::from_millis(5);
const LATER: Duration = Duration::from_millis(40);

/// A fill waits for another gateway's for so long at most: that may be cut off from the API, or its response not be for sharing.
const LONGEST_FOLLOWED: Duration = Duration::from_secs(2);

/// The clocks of two gateways may differ by so much.
const SKEW: Duration = Duration::from_secs(5);

/// Bytes of bodies that are written for the others at a time.
const MOST_WRITTEN: u64 = 32 << 20;

/// So many slots and responses are tried for one fill.
const TRIES: usize = 6;

/// How fills have used what gateways store for each other.
#[derive(Debug, Default)]
pub struct Counts {
    /// A response was found that memory takes.
    pub hits: Gauge,
    /// Nothing was: the fill asks the API.
    pub misses: Gauge,
    /// Fills that waited for another gateway's.
    pub followed: Gauge,
    /// The server could not be asked, or responses like this are not for sharing.
    pub passed: Gauge,
    pub stored: Gauge,
    /// Responses that were not stored: a later one was, the lease was another's, or the server could not be reached.
    pub refused: Gauge,
}

/// What gateways of a fleet store for each other, as a fill sees it.
#[derive(Clone, Debug)]
pub struct Shared {
    pub fleet: Arc<dyn Fleet>,
    pub remembered: Arc<Remembered>,
    pub counts: Arc<Counts>,
    /// Bytes of bodies that are being written for the others.
    pub writing: Arc<AtomicU64>,
}

/// How a fill may use it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reads {
    /// Only to store: what it brings must be the API's answer to this very request.
    Not,
    /// Nobody waits for it, since its response may not be for others.
    Alone,
    /// It waits for others, and others for it.
    Together,
}

/// What a fill does next.
pub enum Consulted {
    /// The response that this fill has brought is in memory.
    Raised(Nonce),
    /// It asks the API, and may store what comes for the others.
    Ask(Intent),
}

/// What a fill may do with its response.
pub struct Intent {
    shared: Shared,
    slot: Slot,
    fill: Nonce,
    /// Read before the request was sent.
    stamp: Place,
    /// `None` where it has no lease.
    renewing: Option<AbortHandle>,
    /// It may have been given a lease by an answer that is not here.
    is_asking: bool,
    /// It may not store anything.
    is_barred: bool,
}

/// How a fill consults what gateways store for each other.
#[derive(Clone, Copy, Debug)]
pub struct How {
    pub reads: Reads,
    /// The fill's own name.
    pub fill: Nonce,
    /// Another one's, whose response did not do.
    pub unfit: Option<Nonce>,
    /// How long it waits for the server, all in all.
    pub longest: Duration,
}

impl Shared {
    /// What a fill of `wanted` finds; `None` where nothing is to be stored for the others either.
    pub async fn consult(
        &self,
        (store, clock): (&Arc<Store>, &Clock),
        (wanted, fill): (&Wanted, &Fill),
        how: How,
    ) -> Option<Consulted> {
        // A longer key has values of the request's fields or cookies.
        if target_of(wanted.key.as_str()) != wanted.key.as_str() {
            return None;
        }
        let stamp = self.fleet.stamp()?;
        let mut intent = Intent {
            shared: self.clone(),
            slot: Slot {
                epoch: stamp.epoch,
                target: wanted.key.as_str().into(),
                variant: FIRST,
            },
            fill: how.fill,
            stamp,
            renewing: None,
            is_asking: false,
            is_barred: false,
        };
        // The clock is read after the request came.
        if how.reads == Reads::Not || !self.fleet.may_read(clock.now().mono) {
            return Some(Consulted::Ask(intent));
        }
        let (mut unfit, mut pause, mut waited) = (how.unfit, SOON, Duration::ZERO);
        let (mut asked, mut tries) = (Duration::ZERO, 0);
        loop {
            let began = timer_now();
            intent.is_asking = how.reads == Reads::Together;
            let slot = intent.slot.clone();
            let begun = async {
                match how.reads {
                    Reads::Together => self.fleet.begin(slot, how.fill, unfit).await,
                    Reads::Alone | Reads::Not => match self.fleet.peek(slot).await {
                        Some(found) if Some(found.fill) != unfit => Begun::Stored(found),
                        _ => Begun::Away,
                    },
                }
            };
            let left = how.longest.saturating_sub(asked);
            let begun = within(left, pin!(begun)).await.unwrap_or(Begun::Away);
            asked += began.elapsed();
            match begun {
                Begun::Stored(found) => {
                    tries += 1;
                    intent.is_barred = tries > TRIES;
                    if intent.is_barred {
                        return Some(Consulted::Ask(intent));
                    }
                    if let Some(names) = names_of(&found.record) {
                        let vary = &wanted.route.cache.vary;
                        intent.slot.variant = variant_of(&names, &fill.ask.headers, vary);
                        continue;
                    }
                    let by = found.fill;
                    if self.raise((store, clock), (wanted, fill), found, stamp.epoch) {
                        intent.is_asking = false;
                        self.counts.hits.add(1);
                        return Some(Consulted::Raised(by));
                    }
                    unfit = Some(by);
                }
                Begun::Lead => {
                    self.counts.misses.add(1);
                    intent.renew(unfit);
                    return Some(Consulted::Ask(intent));
                }
                Begun::Follow => {
                    intent.is_asking = false;
                    if waited.is_zero() {
                        self.counts.followed.add(1);
                    }
                    if waited >= LONGEST_FOLLOWED {
                        intent.is_barred = true;
                        return Some(Consulted::Ask(intent));
                    }
                    sleep(pause).await;
                    waited += pause;
                    pause = (pause * 2).min(LATER);
                }
                Begun::HitForMiss | Begun::Away => {
                    self.counts.passed.add(1);
                    intent.is_barred = how.reads == Reads::Together;
                    return Some(Consulted::Ask(intent));
                }
            }
        }
    }

    /// Stores what was found in memory, where nothing covers it and memory has nothing later.
    fn raise(
        &self,
        (store, clock): (&Arc<Store>, &Clock),
        (wanted, fill): (&Wanted, &Fill),
        found: Found,
        epoch: u64,
    ) -> bool {
        let mut now = clock.now();
        // While others were waited for, the lease may have ended.
        if !self.fleet.may_read(now.mono) {
            return false;
        }
        // The clocks of two gateways differ, and what has just come is as good as of now.
        let ahead = found.record.stored.since(now.wall);
        if ahead <= SKEW {
            now.wall = now.wall.max(found.record.stored);
        }
        let number = found.record.stamp;
        let Some(kept) = wanted.kept(found.record, store.sequence(), store, now) else {
            return false;
        };
        store.raise_shared(fill, kept, &wanted.route.cache.vary, |subject| {
            self.remembered.judge(Place { epoch, number }, subject)
        })
    }
}

impl Intent {
    /// Has the lease last until this is stored or released. `unfit` stays unfit.
    fn renew(&mut self, unfit: Option<Nonce>) {
        let (fleet, slot, fill) = (self.shared.fleet.clone(), self.slot.clone(), self.fill);
        let renewing = spawn_local(async move {
            loop {
                sleep(RENEWED).await;
                // What others have stored meanwhile is later, and stays.
                let _ = fleet.begin(slot.clone(), fill, unfit).await;
            }
        });
        self.renewing = Some(renewing.abort_handle());
    }

    /// Stores a response for the others that is stored for `fill` here, behind.
    pub fn store(
        mut self,
        store: &Store,
        fill: &Fill,
        stored: &Arc<StoredResponse>,
        (policy, now): (&Policy, Now),
    ) {
        let target = store.canonical(fill.key.as_str());
        let record = record_of(store, &target, stored, self.stamp.number, (policy, now));
        // Under another key than it was asked for, nobody would find it in this slot.
        let record = record.filter(|_| !self.is_barred && *target == *self.slot.target);
        let Some(record) = record else {
            let how = match self.is_barred {
                true => Released::Failed,
                // Nor will the next one be for the others.
                false => Released::NotShared,
            };
            return self.release(how);
        };
        let names = stored.head.variant().map(VariantKey::names);
        let names: Vec<HeaderName> = names.into_iter().flatten().cloned().collect();
        let variant = match names.is_empty() {
            true => FIRST,
            false => variant_of(&names, &fill.ask.headers, &policy.vary),
        };
        let pointer = (!names.is_empty()).then(|| pointer(&record, &names));
        let keep = Duration::from_millis(
            record
                .until
                .as_millis()
                .saturating_sub(now.wall.as_millis()),
        );
        let length: u64 = record.body.iter().map(|piece| piece.len() as u64).sum();
        let Some(room) = Room::take(&self.shared.writing, length) else {
            self.shared.counts.refused.add(1);
            return self.release(Released::Failed);
        };
        self.is_asking = false;
        let leased = self.renewing.take().map(|renewing| {
            renewing.abort();
            self.slot.variant
        });
        // A slot that was found by the fields' names does not need them written again.
        let pointer = pointer.filter(|_| leased != Some(variant));
        let (shared, here, by) = (self.shared.clone(), self.slot.clone(), self.fill);
        behind(async move {
            let mut left = leased;
            for (variant, record) in [(variant, Some(record)), (FIRST, pointer)] {
                let Some(record) = record else { continue };
                let slot = Slot {
                    variant,
                    ..here.clone()
                };
                let is_held = leased == Some(variant) || shared.take(&slot, by).await;
                let is_stored = is_held && shared.fleet.commit(slot, by, record, keep).await;
                match is_stored {
                    true => {
                        left = left.filter(|left| *left != variant);
                        shared.counts.stored.add(1);
                    }
                    false => shared.counts.refused.add(1),
                }
            }
            // Nobody waits for a lease that nothing was stored by.
            if left.is_some() {
                shared.fleet.release(here, by, Released::Failed).await;
            }
            drop(room);
        });
    }

    /// The fill has no response for the others.
    pub fn release(mut self, how: Released) {
        self.end(how);
    }

    fn end(&mut self, how: Released) {
        let renewing = self.renewing.take();
        if renewing.is_some() || std::mem::take(&mut self.is_asking) {
            self.is_asking = false;
            renewing.inspect(AbortHandle::abort);
            let (fleet, slot, fill) = (self.shared.fleet.clone(), self.slot.clone(), self.fill);
            behind(async move { fleet.release(slot, fill, how).await });
        }
    }
}

impl Drop for Intent {
    fn drop(&mut self) {
        self.end(Released::Failed);
    }
}

impl Shared {
    /// Takes the lease of a slot for a fill that has its response, whatever is stored there.
    async fn take(&self, slot: &Slot, fill: Nonce) -> bool {
        let unfit = match self.fleet.begin(slot.clone(), fill, None).await {
            Begun::Lead => return true,
            Begun::Stored(found) => found.fill,
            Begun::Follow | Begun::HitForMiss | Begun::Away => return false,
        };
        let begun = self.fleet.begin(slot.clone(), fill, Some(unfit)).await;
        matches!(begun, Begun::Lead)
    }
}

/// Bytes of bodies that are being written for the others.
struct Room {
    writing: Arc<AtomicU64>,
    bytes: u64,
}

impl Room {
    /// `None` where too much is being written already.
    fn take(writing: &Arc<AtomicU64>, bytes: u64) -> Option<Self> {
        let before = writing.fetch_add(bytes, Ordering::Relaxed);
        let room = Self {
            writing: writing.clone(),
            bytes,
        };
        (before + bytes <= MOST_WRITTEN).then_some(room)
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.writing.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// Runs after the response, where there is still a runtime.
fn behind(work: impl Future<Output = ()> + Send + 'static) {
    if let Ok(runtime) = Handle::try_current() {
        runtime.spawn(work);
    }
}

/// The slot of requests with these values of the fields that select.
fn variant_of(names: &[HeaderName], request: &HeaderMap, vary: &VaryPolicy) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new();
    for name in names {
        let value = compared(name, request, vary);
        let length = value.as_ref().map_or(0, |value| value.len() + 1);
        hasher.update(name.as_str().as_bytes()).update(b"\n");
        hasher.update(&(length as u64).to_le_bytes());
        hasher.update(&value.unwrap_or_default());
    }
    let mut digest = [0; 16];
    digest.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    digest
}

/// A record that names the fields by which the responses of a target are selected.
fn pointer(record: &Record, names: &[HeaderName]) -> Record {
    let names: Vec<_> = names.iter().map(HeaderName::as_str).collect();
    Record {
        variant: NAMES,
        head: names.join(",").into(),
        body: Vec::new(),
        ..record.clone()
    }
}

/// The fields that a record names; `None` where it is a response.
fn names_of(record: &Record) -> Option<Vec<HeaderName>> {
    if record.variant != NAMES {
        return None;
    }
    let names = record.head.split(|octet| *octet == b',');
    Some(
        names
            .filter_map(|name| HeaderName::from_bytes(name).ok())
            .collect(),
    )
}
