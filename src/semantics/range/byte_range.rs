//! A range of octets, and the numbers that it is written with (RFC 9110 §14.1.1, §14.1.2).

/// Octets of a representation, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ByteRange {
    first: u64,
    last: u64,
}

impl ByteRange {
    /// `None` when `last` lies before `first`, or is `u64::MAX`, which no representation reaches.
    pub const fn new(first: u64, last: u64) -> Option<Self> {
        if last < first || last == u64::MAX {
            None
        } else {
            Some(Self { first, last })
        }
    }

    /// The whole of a representation; `None` for one without octets.
    pub const fn whole(complete_length: u64) -> Option<Self> {
        match complete_length.checked_sub(1) {
            Some(last) => Self::new(0, last),
            None => None,
        }
    }

    /// The offset of the first octet.
    pub const fn first(self) -> u64 {
        self.first
    }

    /// The offset of the last octet.
    pub const fn last(self) -> u64 {
        self.last
    }

    /// The offset behind the last octet.
    pub const fn end(self) -> u64 {
        self.last + 1
    }

    /// The number of octets, at least one.
    #[expect(clippy::len_without_is_empty, reason = "a range is never empty")]
    pub const fn len(self) -> u64 {
        self.last - self.first + 1
    }

    /// Whether they have an octet in common.
    pub const fn overlaps(self, other: Self) -> bool {
        self.first <= other.last && other.first <= self.last
    }

    /// The smallest range that holds both.
    pub(super) const fn around(self, other: Self) -> Self {
        Self {
            first: if self.first < other.first {
                self.first
            } else {
                other.first
            },
            last: if self.last > other.last {
                self.last
            } else {
                other.last
            },
        }
    }
}

/// A decimal number of any length, saturating (§14.1.2); `None` when it is not one.
pub(crate) fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |value, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        Some(value.saturating_mul(10).saturating_add(digit))
    })
}
