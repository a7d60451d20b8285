//! A restart without a gap: a successor gets the listening sockets of this process over a Unix socket, serves, and then this
//! process drains.
//!
//! Both accept from the same sockets for a moment, so that no queue of the kernel is ever closed with a connection in it:
//! new sockets for the same port (SO_REUSEPORT) would have queues of their own, and those of the old ones would be lost.
//!
//! ```text
//!  successor                          predecessor
//!  take ─────────────────────────────>
//!       <───────────────────────────── listeners, then their descriptors (SCM_RIGHTS)
//!  reads its files, binds what is new
//!  ready ────────────────────────────> does without its cache from now on
//!       <───────────────────────────── serve
//!  starts its workers
//!  serving ──────────────────────────> tells the service manager
//!       <───────────────────────────── released; drains
//! ```
//!
//! Until it has read `ready`, the predecessor changes nothing, and until `serving`, it goes on: when the successor ends, or is
//! silent for too long, it says `kept`. When the predecessor ends without `released` or `kept`, the successor goes on.
//!
//! - `message`: the messages, and descriptors between them.
//! - `predecessor`: the side that has the sockets.
//! - `takeover`: the side that gets them.

mod message;
mod predecessor;
pub(super) mod takeover;

pub use self::predecessor::{Handover, HandoverSocket, NotHandedOver, Successors};
pub use self::takeover::{Draining, Takeover};
