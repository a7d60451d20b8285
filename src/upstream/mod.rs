//! The API behind the gateway: connections, pool, TLS, deadlines, retries.
//!
//! ```text
//! send -> choose (balance) -> set server (base path, Host) -> acquire (pool | connect | queue) -> exchange -> inspect
//!            ^                                                    ^                                 |          |
//!            |                                                    +-- pooled connection closed -----+          v
//!            +---- another server, within the budget, where that is safe ---------------------------+    UpstreamBody
//!                                                                                         end: back to the pool
//! ```
//!
//! From the top down; no files use each other in a circle:
//!
//! * [`Upstreams`], [`Outgoing`]: the proxy's interface. `sending` chooses a server, sends and retries; a `worker` has a
//!   `pool` of connections for each server, the choice of a server (`balance`), the retry `budget`.
//! * `attempt_span`: what is recorded of an attempt, where a request is recorded.
//! * `response_body`, `tunnel`: the content of a response, and a connection that has switched protocols.
//! * `pool`: idle connections, shared connections, requests that wait for one.
//! * `health`: ejection after failures in a row (outlier detection), the circuit breaker, health checks.
//! * `http1`: one HTTP/1.1 connection. Its native engine exchanges requests without content; its hyper engine those with
//!   content or a change of the protocol. A connection may change from one to the other between two exchanges.
//! * `http2`: one HTTP/2 connection, which requests share; h2 reads and writes it.
//! * `connect`, `names`, `tls`: from a server's name to an open socket (`wire`).
//! * `reach`: which servers can be connected to, for the log of a start.
//! * `server`, [`UpstreamShared`]: shared by all workers: servers, their caps of connections, queues, health.

mod attempt_span;
mod balance;
mod budget;
mod connect;
mod connection_settings;
mod deadline;
mod errors;
mod expectation;
mod framing;
mod health;
mod http1;
mod http2;
mod incoming;
mod interim;
mod limits;
mod names;
mod open;
mod outcome;
mod outgoing;
mod poll_first;
mod pool;
mod reach;
mod request_body;
mod request_head;
mod response_body;
mod response_deadline;
mod response_head;
mod sending;
mod server;
mod shared;
#[cfg(test)]
mod tests;
mod tls;
mod tunnel;
mod upstreams;
mod waiting;
mod wire;
mod worker;

pub use self::expectation::Expectation;
pub use self::framing::Framing;
pub use self::health::state::Availability;
pub use self::interim::OnInterim;
pub use self::outgoing::{Maker, Outgoing};
pub use self::request_body::{RequestBody, RequestStream, Upload, client_failure};
pub use self::response_body::UpstreamBody;
pub use self::server::Server;
pub use self::shared::UpstreamShared;
pub use self::tunnel::Tunnel;
pub use self::upstreams::Upstreams;
pub use self::waiting::{HalfClosed, LatestWaiting, Trials, Waiting};
