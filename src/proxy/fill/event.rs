//! What a fill reports to the one who leads it.

use std::sync::Arc;

use http::HeaderMap;

use crate::cache::body::Reader;
use crate::cache::head::Head;
use crate::cache::outcome::NotCommitted;
use crate::cache::resource::Unshared;
use crate::cache::stored::StoredResponse;
use crate::error::Error;
use crate::proxy::forward::arrived::Arrived;
use crate::tier::fleet::Nonce;

/// What the one who leads a fill learns.
pub enum LeaderEvent {
    /// Another gateway of the fleet has brought it, by this fill of its own: it is in memory.
    Raised(Nonce),
    /// It is coming, and is being stored.
    Streaming {
        head: Arc<Head>,
        reader: Reader,
        /// Fields that are for the leader alone.
        own: HeaderMap,
    },
    /// It is complete.
    Fetched {
        stored: Arc<StoredResponse>,
        /// Why it was not stored, where it was not.
        refused: Option<NotCommitted>,
        own: HeaderMap,
    },
    /// What was stored has been validated.
    Validated {
        stored: Arc<StoredResponse>,
        committed: bool,
        own: HeaderMap,
    },
    /// It is for the leader alone.
    Unshared {
        arrived: Box<Arrived>,
        why: NotShared,
    },
    Failed(Error),
}

/// Why a response is for the leader alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotShared {
    Cause(Unshared),
    /// A server error in answer to a validation.
    ServerError,
}
