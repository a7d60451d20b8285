//! What was invalidated. An invalidation is a value, whoever asked for it, so that it can be previewed, logged and replayed.

pub mod invalidation;
pub mod log;
