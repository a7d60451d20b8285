//! Numbers and octets in a row, as tiers keep them: little-endian, without gaps.

/// Takes numbers and octets from a row; everything is `None` once it has ended.
pub struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    pub fn octets<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (first, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*first)
    }

    pub fn u32(&mut self) -> Option<u32> {
        self.octets().map(u32::from_le_bytes)
    }

    pub fn u64(&mut self) -> Option<u64> {
        self.octets().map(u64::from_le_bytes)
    }

    pub fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }
}
