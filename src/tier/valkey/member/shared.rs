//! What a member reads and writes of the responses that gateways store for each other.

use std::time::Duration;

use tokio::time::Instant;

use super::Member;
use crate::clock::timer_now;
use crate::ledger::invalidation::{Invalidation, Matcher, Strength};
use crate::ledger::protocol::fills::{self, Nonce, Released, Stored};
use crate::ledger::protocol::server::Epoch;
use crate::semantics::selector::Selector;
use crate::tier::fleet::{Begun, Brought, Found, Memory, Slot};
use crate::tier::valkey::connection::Error;
use crate::tier::valkey::fills::{
    self as calls, Outline, Variant, drop_chunks, get_chunks, put_chunk,
};
use crate::tier::valkey::keys::Resource;
use crate::tier::valkey::scripts::Call;
use crate::tier::valkey::wire;

/// Chunks that are read at a time.
const AT_ONCE: usize = 4;

/// No body has more: its number comes from the server.
const MOST_CHUNKS: u64 = 64;

/// A call for which no request waits may take so long: where a response came late into the server, or not at all, the API would be asked
/// for it again.
const BEHIND: Duration = Duration::from_secs(1);

impl<M: Memory> Member<M> {
    fn resource(&self, slot: &Slot) -> Resource {
        let namespace = &self.settings.ledger.namespace;
        namespace.resource(slot.epoch, &slot.target)
    }

    fn variant(&self, slot: &Slot) -> Variant {
        Variant::new(self.resource(slot), slot.variant)
    }

    /// See [`Fleet::begin`](crate::tier::fleet::Fleet::begin). A record that cannot be read is as good as none.
    pub async fn begin_fill(
        &self,
        slot: Slot,
        fill: Nonce,
        unfit: Option<Nonce>,
        limit: Duration,
    ) -> Begun {
        let (mut unfit, until) = (unfit, timer_now() + limit);
        loop {
            let call = self.variant(&slot).begin(fill, unfit);
            match self.connection.call_by(&call, until).await {
                Ok(fills::Begun::Stored(stored)) => {
                    let by = stored.nonce;
                    if let Some(found) = self.read(&slot, stored, until).await {
                        return Begun::Stored(found);
                    }
                    if unfit.replace(by) == Some(by) {
                        return Begun::Away;
                    }
                }
                Ok(fills::Begun::Lead) => return Begun::Lead,
                Ok(fills::Begun::Follow) => return Begun::Follow,
                Ok(fills::Begun::HitForMiss) => return Begun::HitForMiss,
                Err(_) => return Begun::Away,
            }
        }
    }

    /// See [`Fleet::peek`](crate::tier::fleet::Fleet::peek).
    pub async fn peek(&self, slot: Slot, limit: Duration) -> Option<Found> {
        let (call, until) = (self.variant(&slot).peek(), timer_now() + limit);
        let stored = self.connection.call_by(&call, until).await.ok()??;
        self.read(&slot, stored, until).await
    }

    /// The record with its whole body; `None` where any of it is damaged or gone.
    async fn read(&self, slot: &Slot, stored: Stored<Vec<u8>>, until: Instant) -> Option<Found> {
        let unpacked = wire::unpack(&stored.response)?;
        let mut record = unpacked.record;
        // Two targets with the same hash: nobody finds such, and a record names its own.
        if record.target != slot.target {
            return None;
        }
        record.stamp = stored.number;
        let resource = self.resource(slot);
        let indices: Vec<u32> = (0..unpacked.chunks).collect();
        for indices in indices.chunks(AT_ONCE) {
            let call = get_chunks(&resource, stored.nonce, indices);
            let chunks = self.connection.call_by(&call, until).await.ok()?;
            for (chunk, index) in chunks.into_iter().zip(indices) {
                record.body.push(wire::unpack_chunk(chunk?, *index)?);
            }
        }
        let fill = stored.nonce;
        Some(Found { fill, record })
    }

    /// See [`Fleet::commit`](crate::tier::fleet::Fleet::commit). A long body is written first, so that it is there once its
    /// record can be read; that of what it supersedes is deleted last. Who reads that meanwhile finds the new one then.
    pub async fn commit_fill(&self, slot: Slot, fill: Nonce, brought: Brought) -> bool {
        let (variant, resource) = (self.variant(&slot), self.resource(&slot));
        let Brought {
            record,
            selectors,
            keep,
        } = &brought;
        let Some(packed) = wire::pack(record) else {
            return false;
        };
        let chunks = packed.chunks.len();
        let own = [(fill, chunks as u64)];
        for (chunk, index) in packed.chunks.iter().zip(0..) {
            let call = put_chunk(&resource, fill, index, chunk, *keep);
            if self.behind(&call).await.is_err() {
                self.drop_chunks(&resource, &own).await;
                return false;
            }
        }
        let stored = Stored {
            nonce: fill,
            number: record.stamp,
            response: packed.record,
        };
        let outline = Outline {
            keep: *keep,
            chunks,
            selectors,
        };
        match self.behind(&variant.commit(&stored, &outline)).await {
            Ok(Some(superseded)) => {
                self.drop_chunks(&resource, &superseded).await;
                true
            }
            Ok(None) => {
                self.drop_chunks(&resource, &own).await;
                false
            }
            // It may be stored: then its chunks are needed.
            Err(_) => false,
        }
    }

    /// Deletes chunks that are of no use any more. Those that stay, since the server is not reached, expire.
    async fn drop_chunks(&self, resource: &Resource, gone: &[(Nonce, u64)]) {
        for (fill, chunks) in gone {
            let chunks = (*chunks).min(MOST_CHUNKS) as u32;
            if chunks > 0 {
                let _ = self.behind(&drop_chunks(resource, *fill, 0..chunks)).await;
            }
        }
    }

    /// Deletes what an invalidation has killed, where it names a target: nobody uses it, but a server from which nothing is evicted
    /// would keep it until it expires.
    pub(super) async fn delete_dead(&self) {
        let mut dead = self.dead.1.lock().await;
        while let Some((epoch, number, target)) = dead.recv().await {
            let namespace = &self.settings.ledger.namespace;
            let resource = namespace.resource(epoch, &target);
            if let Ok(gone) = self.behind(&calls::invalidate(&resource, number)).await {
                self.drop_chunks(&resource, &gone).await;
            }
        }
    }

    /// Has what this invalidation has killed deleted behind. There is no harm in what is not, where there is too much.
    pub(in crate::tier::valkey) fn delete_behind(
        &self,
        epoch: Epoch,
        number: u64,
        invalidation: &Invalidation,
    ) {
        if invalidation.strength == Strength::Soft {
            return;
        }
        for matcher in &invalidation.covers {
            let Matcher::Urls(Selector::Target(target) | Selector::TargetPath(target)) = matcher
            else {
                continue;
            };
            let _ = self.dead.0.try_send((epoch, number, target.clone()));
        }
    }

    async fn behind<A>(&self, call: &Call<A>) -> Result<A, Error> {
        self.connection.call_by(call, timer_now() + BEHIND).await
    }

    /// See [`Fleet::release`](crate::tier::fleet::Fleet::release).
    pub async fn release_fill(&self, slot: Slot, fill: Nonce, how: Released) {
        let call = self.variant(&slot).release(fill, how);
        // Its lease ends by itself where the server cannot be told.
        if let Ok(outdated) = self.behind(&call).await {
            self.drop_chunks(&self.resource(&slot), &outdated).await;
        }
    }
}
