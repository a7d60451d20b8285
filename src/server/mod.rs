//! Listeners, workers, the choice of a protocol, limits and deadlines, drain.
//!
//! A [`Server`] binds its addresses once, then runs one thread a worker. Each worker has a runtime, listeners, connections
//! and a [`Service`] of its own; workers share nothing on the path of a request.
//!
//! ```text
//!  accept ─(TLS)─> detect ─┬─ HTTP/1 ─> request ─> Service ─> response ─┐   a deadline for each phase:
//!                         │      ├────────── keep-alive ──────────────┘   head, idle, content, write, linger
//!                         │      └─ 101 ─> tunnel
//!                         └─ HTTP/2 (prior knowledge, or chosen by TLS)
//! ```
//!
//! A response whose content ends with an error is aborted, so that no client takes it for complete: an HTTP/1 connection is
//! reset, an HTTP/2 stream is.
//!
//! Listening sockets outlive what accepts from them: a service manager passes them (`inherited`), a successor gets them
//! (`handover`), and a reload gives them to other listeners (`renewal`). No queue is closed with a connection in it. A connection
//! whose listener has other terms by then (`terms`) takes no further request.

mod batch;
mod chunks;
mod client_connections;
mod connection;
mod connections;
mod deadline;
mod drive;
mod error;
mod exchange;
mod gateway;
mod handover;
mod in_memory;
mod inherited;
mod io;
mod listen;
mod listening;
mod opening;
mod protocol;
mod proxy_protocol;
mod refusal;
mod registry;
mod renewal;
mod request_line;
mod run;
mod service;
mod shared;
mod socket;
mod state;
mod supervisor;
mod terms;
mod tls;
mod tunnel;
mod worker;

pub use self::error::Error;
pub use self::handover::{Draining, Handover, HandoverSocket, NotHandedOver, Successors, Takeover};
pub use self::in_memory::InMemory;
pub use self::inherited::Inherited;
pub use self::renewal::Renewer;
pub use self::run::{Server, Shutdown, worker_count};
pub use self::service::{ResponseContent, Service};
pub use self::supervisor::Outcome;
pub use self::tls::{InUse, Issued, IssuedCertificate, PublishedCertificate, TlsListeners, Wanted};
pub use crate::proxy::{Answer, Peer, RequestContent};
pub use crate::semantics::authority::Scheme;
