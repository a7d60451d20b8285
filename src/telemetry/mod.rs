//! What the gateway tells about itself: counters, the access log, tracing.

pub mod counters;
pub mod readiness;
