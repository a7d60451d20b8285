//! The door: listeners, workers, the choice of a protocol, limits and deadlines, drain.
//!
//! A [`Server`] takes its addresses once, then runs one thread a worker. Each worker is a runtime of its own with its
//! own listeners, connections and [`Service`]; nothing on the path of a request is shared between two workers.
//!
//! ```text
//!  accept ──> sniff ─┬─ HTTP/1 ─> request ─> Service ─> response ─┐   a coarse deadline on every state:
//!                    │      ├────────── keep-alive ──────────────┘   head, idle, body, write, linger
//!                    │      └─ 101 ─> bytes, both ways
//!                    └─ HTTP/2 (prior knowledge)
//! ```
//!
//! What a service answers with an error in the body is aborted so that no client can take it for whole: an HTTP/1
//! connection is reset, an HTTP/2 stream is.

mod batch;
mod beat;
mod chunks;
mod connection;
mod deadline;
mod drive;
mod error;
mod exchange;
mod gateway;
mod io;
mod listen;
mod protocol;
mod refusal;
mod registry;
mod request_line;
mod run;
mod service;
mod socket;
mod state;
mod supervisor;
mod tunnel;
mod worker;

pub use self::error::Error;
pub use self::run::{Server, worker_count};
pub use self::service::{ResponseContent, Service};
pub use self::supervisor::Outcome;
pub use crate::proxy::{Peer, RequestContent};
pub use crate::semantics::authority::Scheme;
