//! From a server's name to its addresses: the DNS look-up (`lookup`), the cached answer (`resolve`), the health of each
//! address (`address`).

pub(super) mod address;
pub(super) mod lookup;
pub(super) mod resolve;
