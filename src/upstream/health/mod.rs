//! A server's health: ejection after failures in a row (`state`), the circuit breaker (`circuit`), health checks: their
//! settings and outcome (`check`), the task that makes them (`checker`), and whether the servers of an API agree (`peers`).

mod atomic_time;
pub(super) mod check;
pub(super) mod checker;
pub(super) mod circuit;
pub(super) mod peers;
pub(super) mod state;
