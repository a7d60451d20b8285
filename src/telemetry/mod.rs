//! Telemetry: counters, the access log, the gateway's own log, traces.

pub mod access;
pub mod by_route;
mod counter;
pub mod counters;
pub mod histogram;
pub mod latest;
pub mod log;
pub mod readiness;
mod throttle;
pub mod top;
pub mod traces;
