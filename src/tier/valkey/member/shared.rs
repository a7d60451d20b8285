//! What a member reads and writes of the responses that gateways store for each other.

use std::time::Duration;

use super::Member;
use crate::ledger::protocol::fills::{self, Nonce, Released, Stored};
use crate::tier::Record;
use crate::tier::fleet::{Begun, Found, Memory, Slot};
use crate::tier::valkey::fills::{Variant, get_chunks, put_chunk};
use crate::tier::valkey::keys::Resource;
use crate::tier::valkey::wire;

/// Chunks that are read at a time.
const AT_ONCE: usize = 4;

impl<M: Memory> Member<M> {
    fn resource(&self, slot: &Slot) -> Resource {
        let namespace = &self.settings.ledger.namespace;
        namespace.resource(slot.epoch, &slot.target)
    }

    fn variant(&self, slot: &Slot) -> Variant {
        Variant::new(self.resource(slot), slot.variant)
    }

    /// See [`Fleet::begin`](crate::tier::fleet::Fleet::begin). A record that cannot be read is as good as none.
    pub async fn begin_fill(&self, slot: Slot, fill: Nonce, unfit: Option<Nonce>) -> Begun {
        let mut unfit = unfit;
        loop {
            let call = self.variant(&slot).begin(fill, unfit);
            match self.connection.call(&call).await {
                Ok(fills::Begun::Stored(stored)) => {
                    let by = stored.nonce;
                    if let Some(found) = self.read(&slot, stored).await {
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
    pub async fn peek(&self, slot: Slot) -> Option<Found> {
        let call = self.variant(&slot).peek();
        let stored = self.connection.call(&call).await.ok()??;
        self.read(&slot, stored).await
    }

    /// The record with its whole body; `None` where any of it is damaged or gone.
    async fn read(&self, slot: &Slot, stored: Stored<Vec<u8>>) -> Option<Found> {
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
            let chunks = self.connection.call(&call).await.ok()?;
            for (chunk, index) in chunks.into_iter().zip(indices) {
                record.body.push(wire::unpack_chunk(chunk?, *index)?);
            }
        }
        let fill = stored.nonce;
        Some(Found { fill, record })
    }

    /// See [`Fleet::commit`](crate::tier::fleet::Fleet::commit). A long body is written first, so that it is there once its
    /// record can be read.
    pub async fn commit_fill(
        &self,
        slot: Slot,
        fill: Nonce,
        record: Record,
        keep: Duration,
    ) -> bool {
        let (variant, resource) = (self.variant(&slot), self.resource(&slot));
        let number = record.stamp;
        let Some(packed) = wire::pack(&record) else {
            return false;
        };
        for (chunk, index) in packed.chunks.iter().zip(0..) {
            let call = put_chunk(&resource, fill, index, chunk, keep);
            if self.connection.call(&call).await.is_err() {
                return false;
            }
        }
        let stored = Stored {
            nonce: fill,
            number,
            response: packed.record,
        };
        let committed = self.connection.call(&variant.commit(&stored, keep)).await;
        committed.unwrap_or(false)
    }

    /// See [`Fleet::release`](crate::tier::fleet::Fleet::release).
    pub async fn release_fill(&self, slot: Slot, fill: Nonce, how: Released) {
        let call = self.variant(&slot).release(fill, how);
        // Its lease ends by itself where the server cannot be told.
        let _ = self.connection.call(&call).await;
    }
}
