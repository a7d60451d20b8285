//! A server's health: ejection after failures in a row (`state`), the circuit breaker (`circuit`), health checks: their
//! settings and outcome (`check`), and the task that makes them (`checker`).

mod atomic_time;
pub(super) mod check;
pub(super) mod checker;
pub(super) mod circuit;
pub(super) mod state;
