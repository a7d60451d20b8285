//! Hashes and checksums, both keyed with the epoch: what was written in another one fails each check.

use std::fmt;

/// Octets of a checksum.
pub const SUM: usize = 8;

/// An incarnation of the ledger, whose records exist; those of all others do not.
pub struct Epoch {
    octets: [u8; 16],
    /// Counts the epochs of this process.
    generation: u32,
    targets: [u8; 32],
    sums: [u8; 32],
}

impl fmt::Debug for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Epoch").field(&self.generation).finish()
    }
}

impl Epoch {
    pub fn new(octets: [u8; 16], generation: u32) -> Self {
        Self {
            octets,
            generation,
            targets: blake3::derive_key("bookend 2026-11 disk tier: targets", &octets),
            sums: blake3::derive_key("bookend 2026-11 disk tier: checksums", &octets),
        }
    }

    pub fn octets(&self) -> &[u8; 16] {
        &self.octets
    }

    pub fn generation(&self) -> u32 {
        self.generation
    }

    /// A target's place in the index. Nobody without the key can find two targets that share it; where two do by
    /// chance, the record itself tells which it is of.
    pub fn hash(&self, target: &str) -> u64 {
        first(&blake3::keyed_hash(&self.targets, target.as_bytes()))
    }

    /// The checksum of some octets.
    pub fn sum(&self, octets: &[u8]) -> u64 {
        first(&blake3::keyed_hash(&self.sums, octets))
    }

    /// The checksum of octets in pieces, which is that of the whole.
    pub fn sum_of<'a>(&self, pieces: impl IntoIterator<Item = &'a [u8]>) -> u64 {
        let mut hasher = blake3::Hasher::new_keyed(&self.sums);
        for piece in pieces {
            hasher.update(piece);
        }
        first(&hasher.finalize())
    }
}

fn first(hash: &blake3::Hash) -> u64 {
    let octets = hash.as_bytes().first_chunk();
    octets.map_or(0, |first| u64::from_le_bytes(*first))
}
