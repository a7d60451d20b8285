//! The states of a connection's state machines. [`super`] shows how they follow one another.

use http::StatusCode;

use crate::server::deadline::Timeout;

/// The protocol that a connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) enum Protocol {
    /// The first bytes have not shown it yet.
    Unknown,
    Http1,
    Http2,
}

/// The worker's decision about a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) enum Decision {
    /// It goes on.
    Keep,
    /// One of its deadlines has passed.
    TimedOut(Timeout),
    /// It was evictable, and another connection needs its slot.
    Evicted,
    /// Its client has reset more streams than it may.
    ResetFlood,
    /// The drain deadline has passed.
    CutOff,
}

/// How a connection is to be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) enum Closing {
    /// Our side is shut down first; then the client has some time to close its own (RFC 9112 §9.6).
    Lingering,
    /// Both sides at once: nothing that we sent can still be on its way.
    Immediate,
    /// After a response of the service, in the place of the one with this status that hyper writes when it cannot read a
    /// head.
    Refusal(StatusCode),
    /// With a reset, so that the client does not take an aborted message for a complete one.
    Reset,
}

/// The client's side of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ClientSide {
    Open,
    /// A probe has found it closed. So many probes in a row have found since that the client has taken no byte.
    HalfClosed {
        probes: u32,
    },
    /// Its end has been read.
    Closed,
}

/// Whether an idle HTTP/1 connection keeps hyper's buffers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Parking {
    /// It keeps them.
    Active,
    /// It has been idle for so long that it is to give them up.
    Idle,
    /// It waits for its next byte with nothing but its socket.
    Parked,
}

/// How much of the latest request's content hyper has read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ContentState {
    /// All of it, or the request has none.
    Read,
    /// Some of it is still to come, or to be asked for.
    Unread,
    /// Its reader was dropped before its end: when hyper is polled next, it discards what has come if that is all, or else
    /// closes.
    Abandoned,
}
