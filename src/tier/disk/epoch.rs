//! Hashes and checksums, which depend on the epoch: what was written in another one fails each check.

use std::fmt;
use std::hash::Hasher;

use twox_hash::XxHash3_64;

/// Octets of a checksum.
pub const SUM: usize = 8;

/// An incarnation of the ledger, whose records exist; those of all others do not.
pub struct Epoch {
    octets: [u8; 16],
    /// Counts the epochs of this process.
    generation: u32,
    targets: [u8; 32],
    seed: u64,
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
            seed: XxHash3_64::oneshot(&octets),
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
        let hash = blake3::keyed_hash(&self.targets, target.as_bytes());
        let first = hash.as_bytes().first_chunk();
        first.map_or(0, |first| u64::from_le_bytes(*first))
    }

    /// The checksum of some octets. It is for chance, not for whoever can write to the directory.
    pub fn sum(&self, octets: &[u8]) -> u64 {
        XxHash3_64::oneshot_with_seed(self.seed, octets)
    }

    /// The checksum of octets in pieces, which is that of the whole.
    pub fn sum_of<'a>(&self, pieces: impl IntoIterator<Item = &'a [u8]>) -> u64 {
        let mut hasher = XxHash3_64::with_seed(self.seed);
        for piece in pieces {
            hasher.write(piece);
        }
        hasher.finish()
    }
}
