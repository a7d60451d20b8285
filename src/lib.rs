//! Bookend: a caching gateway for REST APIs.

#![forbid(unsafe_code)]

pub mod admin;
pub mod cache;
pub mod cli;
pub mod clock;
pub mod config;
pub mod demo;
pub mod error;
pub mod instance;
pub mod proxy;
pub mod semantics;
pub mod server;
pub mod telemetry;
pub mod upstream;
