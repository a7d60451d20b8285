//! Incomplete stored responses: which octets of a representation are there, and which are missing (RFC 9111 §3.3,
//! §3.4). Offsets only; the octets themselves are the cache's.

use super::range::{ByteRange, RangeSpec};

/// The ranges of one representation that are stored: sorted, apart from one another, within the complete length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partial {
    ranges: Vec<ByteRange>,
    complete: u64,
}

impl Partial {
    /// `complete`: the length of the whole representation, in octets.
    pub fn new(complete: u64) -> Self {
        Self {
            ranges: Vec::new(),
            complete,
        }
    }

    pub fn complete_length(&self) -> u64 {
        self.complete
    }

    pub fn ranges(&self) -> &[ByteRange] {
        &self.ranges
    }

    /// Adds a range; false when it reaches beyond the complete length, and nothing was added.
    pub fn insert(&mut self, _range: ByteRange) -> bool {
        false
    }

    pub fn is_complete(&self) -> bool {
        false
    }

    /// Whether all octets of `range` are there.
    pub fn contains(&self, _range: ByteRange) -> bool {
        false
    }

    /// What is missing of `range`, in order.
    pub fn missing(&self, _range: ByteRange) -> Vec<ByteRange> {
        Vec::new()
    }

    /// The octets that `spec` asks for; `None` when it is not satisfiable.
    pub fn resolve(&self, spec: RangeSpec) -> Option<ByteRange> {
        let _ = spec;
        None
    }
}
