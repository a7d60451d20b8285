//! Responses on their way to the client.

pub(in crate::proxy) mod body;
mod counted;
pub(in crate::proxy) mod deliver;
pub(in crate::proxy) mod envelope;
pub(in crate::proxy) mod error;
pub(in crate::proxy) mod etag;
pub(in crate::proxy) mod gate_fields;
pub(in crate::proxy) mod logged;
mod noted;
pub(in crate::proxy) mod prepared;
mod sign;
mod spanned;
pub(in crate::proxy) mod trace;
pub(in crate::proxy) mod wire_head;
