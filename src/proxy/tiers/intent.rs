//! What becomes of a fill's response in the fleet: it is stored for the other gateways, or those who wait are told that it is not.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::{HeaderMap, HeaderName};
use tokio::runtime::Handle;
use tokio::task::{AbortHandle, spawn_local};
use tokio::time::sleep;

use super::kept::record_of;
use super::shared::Shared;
use crate::cache::collapse::Fill;
use crate::cache::store::Store;
use crate::cache::stored::StoredResponse;
use crate::clock::Now;
use crate::semantics::policy::{Policy, VaryPolicy};
use crate::semantics::vary::{VariantKey, compared};
use crate::tier::Record;
use crate::tier::fleet::{Begun, Brought, Nonce, Place, Released, Slot};

/// The variant of a record that only names the fields by which others are selected.
const NAMES: [u8; 16] = [0xff; 16];

/// A lease of two seconds is renewed after this.
const RENEWED: Duration = Duration::from_millis(700);

/// For so long, the server may keep a call waiting for which no request waits.
const BEHIND: Duration = Duration::from_secs(1);

/// Bytes of bodies that are written for the others at a time.
const MOST_WRITTEN: u64 = 32 << 20;

/// What a fill may do with its response.
pub struct Intent {
    pub(super) shared: Shared,
    pub(super) slot: Slot,
    pub(super) fill: Nonce,
    /// Read before the request was sent.
    pub(super) stamp: Place,
    /// `None` where it has no lease.
    pub(super) renewing: Option<AbortHandle>,
    /// It may have been given a lease by an answer that is not here: others wait for it then.
    pub(super) is_asking: bool,
    /// It may not store anything.
    pub(super) is_barred: bool,
}

impl Intent {
    /// Has the lease last until this is stored or released. `unfit` stays unfit.
    pub(super) fn renew(&mut self, unfit: Option<Nonce>) {
        let (fleet, slot, fill) = (self.shared.fleet.clone(), self.slot.clone(), self.fill);
        let renewing = spawn_local(async move {
            loop {
                sleep(RENEWED).await;
                // What others have stored meanwhile is later, and stays.
                let _ = fleet.begin(slot.clone(), fill, unfit, BEHIND).await;
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
            // Nor will the next one be for the others.
            return self.release(Released::NotShared);
        };
        let names = stored.head.variant().map(VariantKey::names);
        let names: Vec<HeaderName> = names.into_iter().flatten().cloned().collect();
        let variant = match names.is_empty() {
            true => Slot::FIRST,
            false => variant_of(&names, &fill.ask.headers, &policy.vary),
        };
        let selectors = selectors_of(&names);
        let pointer = (!names.is_empty()).then(|| pointer(&record, &selectors));
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
        let renewing = self.renewing.take();
        let leased = renewing.is_some().then_some(self.slot.variant);
        // A slot that was found by the fields' names does not need them written again.
        let pointer = pointer.filter(|_| leased != Some(variant));
        let (shared, here, by) = (self.shared.clone(), self.slot.clone(), self.fill);
        behind(async move {
            let mut left = leased;
            for (variant, record) in [(variant, Some(record)), (Slot::FIRST, pointer)] {
                let Some(record) = record else { continue };
                let slot = Slot {
                    variant,
                    ..here.clone()
                };
                let is_held = leased == Some(variant) || shared.take(&slot, by).await;
                let brought = Brought {
                    record,
                    selectors: selectors.clone(),
                    keep,
                };
                let commit = shared.fleet.commit(slot.clone(), by, brought);
                if is_held && commit.await {
                    left = left.filter(|left| *left != variant);
                    shared.counts.stored.add(1);
                    continue;
                }
                shared.counts.refused.add(1);
                if is_held && leased != Some(variant) {
                    shared.fleet.release(slot, by, Released::Failed).await;
                }
            }
            // Until here, however long a body takes to be written.
            renewing.inspect(AbortHandle::abort);
            // Nobody waits for a lease that nothing was stored by.
            if left.is_some() {
                shared.fleet.release(here, by, Released::Failed).await;
            }
            drop(room);
        });
    }

    /// The fill has no response for the others.
    pub fn release(mut self, how: Released) {
        // One that does not know of its lease speaks for nobody but itself.
        let knows = self.renewing.is_some();
        self.end(if knows { how } else { Released::Failed });
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
        let unfit = match self.fleet.begin(slot.clone(), fill, None, BEHIND).await {
            Begun::Lead => return true,
            Begun::Stored(found) => found.fill,
            Begun::Follow | Begun::HitForMiss | Begun::Away => return false,
        };
        let begun = self
            .fleet
            .begin(slot.clone(), fill, Some(unfit), BEHIND)
            .await;
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
pub(super) fn variant_of(names: &[HeaderName], request: &HeaderMap, vary: &VaryPolicy) -> [u8; 16] {
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

fn selectors_of(names: &[HeaderName]) -> Box<str> {
    let names: Vec<_> = names.iter().map(HeaderName::as_str).collect();
    names.join(",").into()
}

/// A record that names the fields by which the responses of a target are selected.
fn pointer(record: &Record, selectors: &str) -> Record {
    Record {
        variant: NAMES,
        head: selectors.to_owned().into(),
        body: Vec::new(),
        ..record.clone()
    }
}

/// The fields that a record names; `None` where it is a response.
pub(super) fn names_of(record: &Record) -> Option<Vec<HeaderName>> {
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
