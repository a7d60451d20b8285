//! What gateways of a fleet store for each other. A fill looks there before it asks the API, and one of all gateways fills a cold key.
//!
//! A response without `Vary` is stored in the first slot of its target. For one that has it, the first slot names the fields, and the
//! response is in the slot of its request's values of these.

use std::sync::Arc;
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
use crate::clock::{Clock, Now};
use crate::ledger::remembered::Remembered;
use crate::semantics::policy::{Policy, VaryPolicy};
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
    /// It may not store anything.
    is_barred: bool,
}

impl Shared {
    /// What a fill of `wanted` finds. `unfit`: the fill whose response did not do.
    pub async fn consult(
        &self,
        (store, clock): (&Arc<Store>, &Clock),
        wanted: &Wanted,
        (fill, unfit): (&Fill, Option<Nonce>),
        (reads, nonce, patience): (Reads, Nonce, Duration),
    ) -> Option<Consulted> {
        let stamp = self.fleet.stamp()?;
        let mut slot = Slot {
            epoch: stamp.epoch,
            target: wanted.key.as_str().into(),
            variant: FIRST,
        };
        let ask = |slot: Slot, renewing, is_barred| {
            Some(Consulted::Ask(Intent {
                shared: self.clone(),
                slot,
                fill: nonce,
                stamp,
                renewing,
                is_barred,
            }))
        };
        // Below, the clock is read after the request came.
        if reads == Reads::Not || !self.fleet.may_read(clock.now().mono) {
            return ask(slot, None, false);
        }
        let (mut unfit, mut pause, mut waited) = (unfit, SOON, Duration::ZERO);
        let mut tries = 0;
        loop {
            let begun = match reads {
                Reads::Together => self.fleet.begin(slot.clone(), nonce, unfit).await,
                _ => match self.fleet.peek(slot.clone()).await {
                    Some(found) if Some(found.fill) != unfit => Begun::Stored(found),
                    _ => {
                        self.counts.misses.add(1);
                        return ask(slot, None, false);
                    }
                },
            };
            match begun {
                Begun::Stored(found) => {
                    tries += 1;
                    if tries > TRIES {
                        return ask(slot, None, true);
                    }
                    if let Some(names) = names_of(&found.record) {
                        let vary = &wanted.route.cache.vary;
                        let variant = variant_of(&names, &fill.ask.headers, vary);
                        // A slot of its own has a response.
                        let is_first = slot.variant == FIRST;
                        slot.variant = variant;
                        unfit = unfit.filter(|_| is_first);
                        continue;
                    }
                    let by = found.fill;
                    if self.raise((store, clock), wanted, found, stamp.epoch) {
                        self.counts.hits.add(1);
                        return Some(Consulted::Raised(by));
                    }
                    unfit = Some(by);
                }
                Begun::Lead => {
                    self.counts.misses.add(1);
                    // The stamp was read before: what was taken over meanwhile covers the response, too.
                    let renewing = self.renew(slot.clone(), nonce);
                    return ask(slot, Some(renewing), false);
                }
                Begun::Follow => {
                    if waited.is_zero() {
                        self.counts.followed.add(1);
                    }
                    if waited >= patience {
                        return ask(slot, None, true);
                    }
                    sleep(pause).await;
                    waited += pause;
                    pause = (pause * 2).min(LATER);
                }
                Begun::HitForMiss | Begun::Away => {
                    self.counts.passed.add(1);
                    return ask(slot, None, true);
                }
            }
        }
    }

    /// Stores what was found in memory, where nothing covers it and memory has nothing later.
    fn raise(
        &self,
        (store, clock): (&Arc<Store>, &Clock),
        wanted: &Wanted,
        found: Found,
        epoch: u64,
    ) -> bool {
        let number = found.record.stamp;
        let kept = wanted.kept(found.record, store.sequence(), store, clock);
        let Some(kept) = kept else {
            return false;
        };
        let (key, vary) = (wanted.key.as_ref(), &wanted.route.cache.vary);
        store.raise_shared(key, kept, vary, |subject| {
            self.remembered.judge(Place { epoch, number }, subject)
        })
    }

    fn renew(&self, slot: Slot, fill: Nonce) -> AbortHandle {
        let fleet = self.fleet.clone();
        let renewing = spawn_local(async move {
            loop {
                sleep(RENEWED).await;
                // What others have stored meanwhile is later, and stays.
                let _ = fleet.begin(slot.clone(), fill, None).await;
            }
        });
        renewing.abort_handle()
    }
}

impl Intent {
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
            return self.release(Released::Failed);
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
        let leased = self.renewing.take().map(|renewing| {
            renewing.abort();
            self.slot.variant
        });
        // Who has come to a slot by the fields' names need not write them again.
        let pointer = pointer.filter(|_| leased != Some(variant));
        let (shared, here, by) = (self.shared.clone(), self.slot.clone(), self.fill);
        behind(async move {
            for (variant, record) in [(variant, Some(record)), (FIRST, pointer)] {
                let Some(record) = record else { continue };
                let slot = Slot {
                    variant,
                    ..here.clone()
                };
                let is_held = leased == Some(variant) || shared.take(&slot, by).await;
                match is_held && shared.fleet.commit(slot, by, record, keep).await {
                    true => shared.counts.stored.add(1),
                    false => shared.counts.refused.add(1),
                }
            }
            // A response that has come to vary otherwise is in another slot than the one whose lease this was.
            if leased.is_some_and(|leased| leased != variant && leased != FIRST) {
                shared.fleet.release(here, by, Released::Failed).await;
            }
        });
    }

    /// The fill has no response for the others.
    pub fn release(mut self, how: Released) {
        self.end(how);
    }

    fn end(&mut self, how: Released) {
        if let Some(renewing) = self.renewing.take() {
            renewing.abort();
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
