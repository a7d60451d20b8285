//! The calls of [`protocol::fills`](crate::ledger::protocol::fills): each does to the keys of one variant what the function of
//! the same name does to a [`Slot`](crate::ledger::protocol::fills::Slot).

use std::time::Duration;

use super::answers::{number, octets, values};
use super::keys::Resource;
use super::scripts::{Call, Name};
use crate::ledger::protocol::fills::{Begun, HIT_FOR_MISS, LEASE, Nonce, Released, Stored};

/// Variants of a resource that are kept. With one more, all of them make room.
const VARIANTS: u64 = 64;

/// No record is kept for longer.
const LONGEST: Duration = Duration::from_secs(365 * 86_400);

/// One variant of a resource.
#[derive(Clone, Debug)]
pub struct Variant {
    resource: Resource,
    variant: [u8; 16],
}

impl Variant {
    pub fn new(resource: Resource, variant: [u8; 16]) -> Self {
        Self { resource, variant }
    }

    fn call<A>(
        &self,
        name: Name,
        read: impl Fn(redis::Value) -> Option<A> + Send + Sync + 'static,
    ) -> Call<A> {
        let lease = self.resource.lease(&self.variant);
        Call::new(name, vec![self.resource.entry(), lease], read)
    }

    /// What is stored is a record, as [`wire`](super::wire) writes it.
    pub fn begin(&self, nonce: Nonce, unfit: Option<Nonce>) -> Call<Begun<Vec<u8>>> {
        let call = self.call(Name::Begin, begun).octets(&self.variant);
        let unfit = unfit.map_or_else(String::new, |nonce| nonce.to_string());
        call.number(nonce).octets(unfit.as_bytes()).number(LEASE)
    }

    /// The record expires after `keep`, or with another variant of its resource that is kept for longer. A lease that ran out more than a
    /// minute ago is not its own any more.
    pub fn commit(&self, new: &Stored<Vec<u8>>, keep: Duration) -> Call<bool> {
        let is_stored = |value| Some(number(value)? == 1);
        let keep = keep.clamp(Duration::from_millis(1), LONGEST).as_millis();
        let call = self.call(Name::Commit, is_stored).octets(&self.variant);
        let call = call.number(new.nonce).number(new.number);
        call.octets(&new.response)
            .number(keep as u64)
            .number(VARIANTS)
    }

    pub fn release(&self, nonce: Nonce, how: Released) -> Call<()> {
        let span = match how {
            Released::Failed => 0,
            Released::NotShared => HIT_FOR_MISS,
        };
        let call = self.call(Name::Release, |value| number(value).map(|_| ()));
        call.number(nonce).number(span)
    }
}

fn begun(value: redis::Value) -> Option<Begun<Vec<u8>>> {
    let mut values = values(value)?.into_iter();
    Some(match octets(values.next()?)?.as_slice() {
        b"stored" => Begun::Stored(Stored {
            nonce: number(values.next()?)?,
            number: number(values.next()?)?,
            response: octets(values.next()?)?,
        }),
        b"lead" => Begun::Lead,
        b"follow" => Begun::Follow,
        b"hfm" => Begun::HitForMiss,
        _ => return None,
    })
}
