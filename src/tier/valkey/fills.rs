//! The calls of [`protocol::fills`](crate::ledger::protocol::fills): each does to the keys of one variant what the function of
//! the same name does to a [`Slot`](crate::ledger::protocol::fills::Slot).

use std::ops::Range;
use std::time::Duration;

use super::answers::{number, octets, pairs, values};
use super::keys::Resource;
use super::scripts::{Call, Name};
use crate::ledger::protocol::fills::{Begun, HIT_FOR_MISS, LEASE, Nonce, Released, Stored};

/// Variants of a resource that are kept. With one more, all of them make room.
const VARIANTS: u64 = 64;

/// Chunks outlive their record by so long.
const CHUNKS_OUTLIVE: Duration = Duration::from_secs(60);

/// No record is kept for longer.
const LONGEST: Duration = Duration::from_secs(365 * 86_400);

/// Fills whose chunks are of no use any more, and how many each has.
pub type Gone = Vec<(Nonce, u64)>;

/// What the server has to know of a record, which it does not read.
#[derive(Clone, Copy, Debug)]
pub struct Outline<'a> {
    /// It expires after this, or with another variant of its resource that is kept for longer.
    pub keep: Duration,
    /// Of its body.
    pub chunks: usize,
    /// The names of the fields by which the responses of its target are selected.
    pub selectors: &'a str,
}

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

    /// What is stored, without a fill: nobody is kept waiting.
    pub fn peek(&self) -> Call<Option<Stored<Vec<u8>>>> {
        let call = self.call(Name::Peek, |value| match value {
            redis::Value::Nil => Some(None),
            value => stored(&mut values(value)?.into_iter()).map(Some),
        });
        call.octets(&self.variant)
    }

    /// `None` where it is not stored. A lease that ran out more than a minute ago is not its own any more. In the first slot, variants
    /// that other fields have selected are forgotten.
    pub fn commit(&self, new: &Stored<Vec<u8>>, outline: &Outline<'_>) -> Call<Option<Gone>> {
        let read = |value| match value {
            redis::Value::Nil => Some(None),
            value => gone(value).map(Some),
        };
        let keep = outline.keep.clamp(Duration::from_millis(1), LONGEST);
        let call = self.call(Name::Commit, read).octets(&self.variant);
        let call = call.number(new.nonce).number(new.number);
        call.octets(&new.response)
            .number(keep.as_millis() as u64)
            .number(VARIANTS)
            .number(outline.chunks as u64)
            .octets(outline.selectors.as_bytes())
    }

    pub fn release(&self, nonce: Nonce, how: Released) -> Call<Gone> {
        let (span, outdated) = match how {
            Released::Failed => (0, &[][..]),
            Released::NotShared => (HIT_FOR_MISS, &[][..]),
            Released::Outdated => (HIT_FOR_MISS, &self.variant[..]),
        };
        let call = self.call(Name::Release, gone);
        call.number(nonce).number(span).octets(outdated)
    }
}

/// Forgets all variants of a resource whose stamps are below `number`.
pub fn invalidate(resource: &Resource, number: u64) -> Call<Gone> {
    let keys = vec![resource.entry(), resource.lease(&[0; 16])];
    Call::new(Name::Invalidate, keys, gone).number(number)
}

fn gone(value: redis::Value) -> Option<Gone> {
    pairs(value, number, number)
}

fn stored(values: &mut impl Iterator<Item = redis::Value>) -> Option<Stored<Vec<u8>>> {
    Some(Stored {
        nonce: number(values.next()?)?,
        number: number(values.next()?)?,
        response: octets(values.next()?)?,
    })
}

/// Writes a chunk of the body that the fill `nonce` brings: it outlives the record by a while, for gateways that have
/// just read that.
pub fn put_chunk(
    resource: &Resource,
    nonce: Nonce,
    index: u32,
    chunk: &[u8],
    keep: Duration,
) -> Call<()> {
    let keep = keep.min(LONGEST) + CHUNKS_OUTLIVE;
    let key = resource.chunk(nonce, index);
    let call = Call::new(Name::PutChunk, vec![key], |value| number(value).map(|_| ()));
    call.octets(chunk).number(keep.as_millis() as u64)
}

/// Reads chunks; `None` in the place of one that is gone.
pub fn get_chunks(
    resource: &Resource,
    nonce: Nonce,
    indices: &[u32],
) -> Call<Vec<Option<Vec<u8>>>> {
    let keys = indices.iter().map(|index| resource.chunk(nonce, *index));
    let read = |value| match value {
        redis::Value::Nil => Some(None),
        value => octets(value).map(Some),
    };
    Call::new(Name::GetChunks, keys.collect(), move |value| {
        values(value)?.into_iter().map(read).collect()
    })
}

/// Deletes chunks.
pub fn drop_chunks(resource: &Resource, nonce: Nonce, indices: Range<u32>) -> Call<()> {
    let keys = indices.map(|index| resource.chunk(nonce, index)).collect();
    Call::new(Name::DropChunks, keys, |value| number(value).map(|_| ()))
}

fn begun(value: redis::Value) -> Option<Begun<Vec<u8>>> {
    let mut values = values(value)?.into_iter();
    Some(match octets(values.next()?)?.as_slice() {
        b"stored" => Begun::Stored(stored(&mut values)?),
        b"lead" => Begun::Lead,
        b"follow" => Begun::Follow,
        b"hfm" => Begun::HitForMiss,
        _ => return None,
    })
}
