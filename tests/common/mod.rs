//! What whole-gateway tests are made of: a gateway in this process, an origin that does exactly what the test says,
//! and a client that sees exactly what came over the wire. Real sockets on loopback, blocking threads, no sleeps: what
//! a test waits for has a name and a deadline.
//!
//! ```ignore
//! let origin = Origin::answering(reply(200).field("Cache-Control", "max-age=60").body("1984"));
//! let gateway = Gateway::before(&origin).start();
//! assert!(gateway.get("/books/123").fwd("uri-miss"));
//! assert!(gateway.get("/books/123").is_hit());
//! assert_eq!(origin.count(), 1);
//! ```

#![allow(
    dead_code,
    unused_imports,
    reason = "each file of tests uses its own part of the harness"
)]

pub mod bench;
mod client;
mod gate;
mod gateway;
pub mod http2;
pub mod logged;
mod message;
mod origin;
mod valkey;

pub use client::{Answer, Client, End, Incoming};
pub use gate::Gate;
pub use gateway::{Gateway, Setup};
pub use message::{Fields, Request, delete, get, head, post, put, request};
pub use origin::{Conn, Origin, Reply, http_date, reply};
pub use valkey::{Valkey, Wire};

use std::thread;
use std::time::Duration;

use bookend::clock::Clock;

/// How long a test waits for what it expects before it fails. Long, since it is only ever reached by a failure.
pub const PATIENCE: Duration = Duration::from_secs(15);

/// Waits until `reached` is true, asking again and again; panics when it stays false.
///
/// For states that nobody announces. What can be waited for by event should be.
#[track_caller]
pub fn await_that(what: &str, reached: impl FnMut() -> bool) {
    let mut reached = reached;
    let clock = Clock::system();
    let start = clock.now().mono;
    while !reached() {
        let waited = clock.now().mono.since(start);
        assert!(waited < PATIENCE, "waited {waited:?} in vain: {what}");
        thread::sleep(Duration::from_millis(2));
    }
}
