//! Telemetry: counters, the access log, tracing.

pub mod access;
pub mod counters;
pub mod log;
pub mod readiness;
mod throttle;
