//! How a fill ends.

use std::sync::Arc;

use http::StatusCode;

use super::resource::Marker;
use super::stored::StoredResponse;
use crate::clock::Now;
use crate::error::Error;

/// How a fill ends, as its leader has it. One whose leader says nothing is abandoned.
#[derive(Debug)]
pub enum Outcome {
    /// The response is complete, and is stored in place of every variant that its request selects.
    Stored(Arc<StoredResponse>),
    /// Stored responses have been validated (RFC 9111 §4.3.4): each old one is replaced by its new one, where it still
    /// stands. `answer` is for those who wait.
    Freshened {
        answer: Arc<StoredResponse>,
        updates: Vec<(Arc<StoredResponse>, Arc<StoredResponse>)>,
    },
    /// The response, which came at `received`, may not be stored.
    Uncacheable {
        effect: Superseded,
        received: Now,
        /// Whether it was about the request of the one who asked.
        is_for_leader_only: bool,
    },
    /// The upstream answered a validation with this server error.
    ServerError(StatusCode),
    Failed(Error),
}

/// The stored responses that are outdated by a response that may not be stored itself.
#[derive(Debug)]
pub enum Superseded {
    Nothing,
    /// Stale ones are validated before they are used again.
    Stale,
    /// All of it; the next response will hardly be storable.
    All(Marker),
}

/// How a fill ended, for those who wait for it.
#[derive(Debug)]
pub enum Settled {
    /// A response was stored or freshened: look whether it may be reused.
    Stored(Arc<StoredResponse>),
    /// Its response is for the leader alone: followers go upstream themselves, without waiting for another.
    Unshared,
    /// The response was to the leader's own request, such as 412: others may well get a better one.
    LeaderOnly,
    /// Nobody brought it to an end: somebody else may try.
    Abandoned,
    /// The upstream answered a validation with this server error.
    ServerError(StatusCode),
    Failed(Error),
}

/// Why a fill was not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotCommitted {
    /// An invalidation or purge came in between.
    Invalidated,
    /// A response that was stored meanwhile is selected by a request field by which this one is not.
    Overtaken,
    /// The byte budget is used up.
    OverBudget,
    /// It is a part of what is stored whole.
    Superseded,
    /// A response that was asked for later was stored meanwhile.
    Outdated,
}

impl NotCommitted {
    /// Its name in the log.
    pub const fn token(self) -> &'static str {
        match self {
            Self::Invalidated => "invalidated",
            Self::Overtaken => "overtaken",
            Self::OverBudget => "over-budget",
            Self::Superseded => "superseded",
            Self::Outdated => "outdated",
        }
    }
}
