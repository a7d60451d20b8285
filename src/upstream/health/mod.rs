//! What is known of a server's health: ejection after failures in a row, its circuit breaker, its health checks.

pub(super) mod check;
pub(super) mod circuit;
pub(super) mod state;
