//! What was invalidated. An invalidation is a value, whoever asked for it, so that it can be previewed, logged and replayed.
//!
//! [`local::Ledger`] gives each invalidation its number, and tells of a record outside memory whether it may be used:
//! [`verdict::Verdict`]. [`protocol`] is what gateways with a common server agree on.

pub mod calendar;
pub mod directory;
mod file;
mod format;
mod index;
pub mod invalidation;
pub mod local;
pub mod log;
pub mod protocol;
pub mod remembered;
pub mod verdict;
