//! Bookend: a caching gateway for REST APIs.
//!
//! # The life of a request
//!
//! ```text
//!  client ──> server ──> Exchange: receive -> look up -> decide ─┬─ Fresh ────────────────> deliver
//!                                                                ├─ StaleWhileRevalidate ─> deliver, and a Fill goes on behind
//!                                                                ├─ Validate, Miss ───────> lead a Fill or follow one -> deliver
//!                                                                ├─ pass ─────────────────> forward -> invalidate -> deliver
//!                                                                └─ nothing in memory, but in a second tier: raise it, look up again
//!  Fill (goes on whoever leaves): request upstream -> head -> storability -> stream the body to every reader -> commit | abandon
//! ```
//!
//! An exchange ([`proxy`]) is the client's side of a request, a fill the upstream's. They meet at the fill's state,
//! which only moves forward: `Requested -> Streaming -> Settled` ([`cache::collapse`]).
//!
//! # The rooms
//!
//! | module | what lives there |
//! |---|---|
//! | [`cli`] | arguments; one file a subcommand |
//! | [`instance`] | a whole gateway in one value: listeners, workers, the admin API |
//! | [`server`] | listeners, protocol choice, limits and deadlines, drain |
//! | [`acme`] | certificates that an authority issues, and renews in time |
//! | [`admin`] | the admin API: health, metrics, purge, explain, reload |
//! | [`proxy`] | the life of a request: exchange, fill, what is added and stripped, and where an error becomes a response |
//! | [`cache`] | where responses live: keys, the store, bodies that many read, collapse, the byte budget |
//! | [`tier`] | where responses outlive the process: the disk tier |
//! | [`ledger`] | what was invalidated: an invalidation as one value, its number and its file, and what a fleet of gateways agrees on |
//! | [`upstream`] | the API behind: connections, pool, balancing, health, retries |
//! | [`semantics`] | the rules, as pure functions: no I/O, no clock, no async |
//! | [`config`] | what the operator wrote, checked as a whole and turned into plain data |
//! | [`telemetry`] | counters, the access log, tracing |
//! | [`clock`], [`error`] | the only place that reads the time; what can go wrong, told once |
//! | [`descriptors`] | file descriptors, and who makes room when there are none left |
//! | [`faults`] | what tests make of a disk's operations |
//! | [`guard`] | malformed fields of HTTP/2, kept from ending connections |
//! | [`turn`] | how much a task may read before others have their turn |
//! | [`demo`] | the embedded book API and the tour of `bookend demo` |
//!
//! Arrows point down only: `cli -> acme, admin -> server -> proxy -> (cache, tier, upstream) -> ledger -> semantics`;
//! `tests/layering` holds them.

#![forbid(unsafe_code)]

pub mod acme;
pub mod admin;
pub mod cache;
pub mod cli;
pub mod clock;
pub mod config;
pub mod demo;
pub mod descriptors;
pub mod error;
pub mod faults;
pub mod guard;
pub mod huge_pages;
pub mod instance;
pub mod ledger;
pub mod printable;
pub mod proxy;
pub mod semantics;
pub mod server;
pub mod telemetry;
pub mod tier;
pub mod turn;
pub mod upstream;
