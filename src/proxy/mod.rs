//! The life of a request. An exchange is the client's side of it, a fill the upstream's; each is a small machine.
//!
//! ```text
//!  Exchange: receive -> look up -> decide ─┬─ fresh, or stale and allowed ──> deliver
//!                                          ├─ stale while revalidate ───────> deliver, and a fill goes on behind
//!                                          ├─ validate, miss ─> lead a fill, or follow one ─> deliver
//!                                          └─ pass ─> forward ─> invalidate ─> deliver
//!  Fill:     request upstream -> head -> storability -> stream the body to every reader -> commit | abandon
//! ```
//!
//! What can be answered from the store is answered without a suspension; only what has to wait becomes a machine.

mod admission;
pub mod body;
mod candidates;
mod content;
mod deliver;
mod errand;
mod etag;
mod exchange;
mod explain;
mod fill;
mod forward;
mod gateway;
mod interim;
mod invalidation;
mod limit;
mod logged;
mod long_lived;
mod lookup;
mod ops;
mod pass;
mod peer;
mod ready;
mod receive;
mod request_content;
mod rescue;
mod settle;
mod update;
mod upgrade;
mod want;
mod wire_head;
mod worker;

pub use self::body::Body;
pub use self::gateway::Gateway;
pub use self::interim::Interim;
pub use self::ops::{Memory, Purge, ServerState};
pub use self::peer::Peer;
pub use self::request_content::{ContentWatch, RequestContent};
pub use self::upgrade::Switch;
pub use self::worker::Worker;
pub use crate::upstream::{LatestWaiting, Tunnel};
