//! The tier of Valkey or Redis, 7.0 or later: what gateways with a common server share, as scripts that the server carries out.
//!
//! [`ledger`] is the [protocol](crate::ledger::protocol) of invalidations and [`fills`] that of fills, each as
//! [calls](scripts::Call) whose answers are the protocol's own types. A test holds the scripts against the protocol's functions,
//! call by call. [`wire`] is what is written into keys, [`keys`] how these are named, and [`connection`] how the server is
//! reached without a request ever waiting for it longer than it may. [`member`] is a gateway's part in the fleet.
//!
//! A script touches the keys of one hash slot, and all of them are declared, so that a cluster can carry it out.
//!
//! Reaching a server, from below: `dial` makes one connection, with `tls`; `sentinels` tell which server is the primary;
//! `slots` and `cluster` which node has a key; a `node` is one server with what calls have found of it.

mod answers;
mod cluster;
pub mod connection;
mod dial;
mod error;
pub mod fills;
mod joined;
pub mod keys;
pub mod ledger;
pub mod log_reader;
pub mod member;
mod node;
pub mod scripts;
mod sentinels;
mod slots;
#[cfg(test)]
mod tests;
mod tls;
pub mod wire;

pub use self::joined::join;
