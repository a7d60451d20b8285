//! Bookend: a caching gateway for REST APIs.

#![forbid(unsafe_code)]

pub mod clock;
pub mod demo;
pub mod error;
pub mod semantics;
pub mod telemetry;
