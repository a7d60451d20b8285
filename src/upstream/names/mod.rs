//! From a server's name to its addresses: the DNS look-up, the cached answer, the health of each address.

pub(super) mod address;
pub(super) mod lookup;
pub(super) mod resolve;
