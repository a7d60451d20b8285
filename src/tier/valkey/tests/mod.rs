//! The scripts on a real server, held against the protocol's functions. `cargo test --lib --features valkey -- --ignored valkey`
//! runs them; they need the program `redis-server`, of Redis 7.0 or later, or of Valkey.

mod against_fills;
mod against_ledger;
mod connections;
mod members;
mod server;
