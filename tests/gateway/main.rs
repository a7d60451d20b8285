//! The whole gateway over real sockets: scripted origins before it, clients that see every octet behind it. A module is a
//! capability, or a set of rules.

#![allow(
    clippy::type_complexity,
    reason = "tables say what they are in their first line"
)]

#[path = "../common/mod.rs"]
mod common;

mod circuit;
mod collapse;
mod conditions;
mod conformance;
mod disk;
mod disk_clock;
mod disk_directory;
mod disk_faults;
mod disk_synced;
mod explained;
mod failing_api;
mod fault_table;
mod fields;
#[cfg(feature = "valkey")]
mod fleet;
#[cfg(feature = "valkey")]
mod fleet_shared;
mod gate;
mod harness;
mod in_memory;
mod layers;
mod metrics;
mod policy;
mod purges;
mod ranges;
mod reload;
mod route_tiers;
mod routes;
mod server;
mod stored;
mod streaming;
mod streams;
mod tail;
mod traced;
#[cfg(feature = "otlp")]
mod traces;
mod trailers;
mod truncation;
mod validation;
mod variants;
mod writes;
