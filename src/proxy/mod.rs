//! The life of a request. An exchange is the client's side of it, a fill the upstream's; each is a small machine.
//!
//! ```text
//!  Exchange: receive -> look up -> decide ─┬─ fresh, or stale and allowed ──> deliver
//!                                          ├─ stale while revalidate ───────> deliver, and a fill goes on behind
//!                                          ├─ validate, miss ─> lead a fill, or follow one ─> deliver
//!                                          ├─ pass ─> forward ─> invalidate ─> deliver
//!                                          └─ nothing in memory, but in a second tier ─> raise it, look up again
//!  Fill:     request upstream -> head -> storability -> stream the body to every reader -> commit | abandon
//! ```
//!
//! A request that the store can answer is answered without suspension; only one that has to wait becomes a state machine.

mod admission;
mod challenges;
mod epoch;
mod exchange;
mod explain;
mod fill;
mod fleet;
mod forward;
mod gate;
mod gateway;
mod handle;
mod in_fleet;
mod interim;
mod limit;
mod long_lived;
mod lookup;
mod operations;
mod own_answers;
mod purging;
mod reached;
mod receipts;
mod redirect;
mod request;
mod response;
mod stored;
mod tagged;
mod task;
mod tiers;
mod upkeep;
mod worker;

pub use self::challenges::{Challenges, OwnAnswers, Published};
pub use self::explain::Question;
pub use self::fleet::{Acknowledgement, Invalidated, NotDurable};
pub use self::forward::upgrade::Switch;
pub use self::gateway::Gateway;
pub use self::handle::Answer;
pub use self::interim::Interim;
pub use self::limit::{Client, Full, Share, Shares};
pub use self::operations::{Memory, PurgePreview, ServerState};
pub use self::receipts::BOOKEND_RECEIPT;
pub use self::request::content::{ContentWatch, RequestContent};
pub use self::request::peer::Peer;
pub use self::response::body::Body;
pub use self::stored::{Listing, MAX_LISTED, Order, Top};
pub use self::tiers::Counts as SharedCounts;
pub use self::upkeep::{DiskState, OpenError, Upkeep};
pub use self::worker::Worker;
pub use crate::upstream::{HalfClosed, LatestWaiting, Tunnel};
