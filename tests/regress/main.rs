//! Faults that were once there: one case each, as a table where a fault is of a kind, by what they were about.

#![allow(
    clippy::type_complexity,
    reason = "tables say what they are in their first line"
)]

#[path = "../common/mod.rs"]
mod common;

mod config;
mod framing;
mod http2;
mod operations;
mod ranges;
mod servers;
mod serving;
mod storing;
mod targets;
mod upstream;
mod variants;
