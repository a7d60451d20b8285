//! The rules of HTTP caching as pure functions: RFC 9110, 9111, 5861, 8246, 9211, 9213, 9875 and their family.
//! No I/O, no clock, no async: what is decided here is decided from the messages, the policy and a `now` that the
//! caller read.

pub mod cache_control;
pub mod cache_status;
pub mod freshness;
pub mod policy;
pub mod reuse;
pub mod storability;
pub mod time;
