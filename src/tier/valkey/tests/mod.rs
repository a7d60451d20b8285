//! The scripts on a real server, held against the protocol's functions. `cargo test --lib --features valkey -- --ignored valkey`
//! runs them; they need the program `redis-server` of Redis 7.0 or later, or that of Valkey, which `BOOKEND_TEST_VALKEY` names. With
//! `-- --skip tls` for one that was built without.

mod against_fills;
mod against_ledger;
mod clusters;
mod connections;
mod deleted;
mod members;
mod replicas;
mod sentinels;
mod server;
mod settings;
mod tls;
mod users;
