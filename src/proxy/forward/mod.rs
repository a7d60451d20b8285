//! Requests on their way to the API, and what they owe.

pub(in crate::proxy) mod arrived;
pub(in crate::proxy) mod client_paths;
pub(in crate::proxy) mod content;
pub(in crate::proxy) mod fetch;
pub(in crate::proxy) mod fields;
pub(in crate::proxy) mod invalidation;
pub(in crate::proxy) mod pass;
pub(in crate::proxy) mod upgrade;
pub(in crate::proxy) mod written;
