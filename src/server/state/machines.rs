//! The states of a connection's state machines.

use http::StatusCode;

use crate::server::deadline::Overdue;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) enum Protocol {
    /// The first bytes have not shown it yet.
    Unknown,
    Http1,
    Http2,
}

/// What has been decided about a connection from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) enum Verdict {
    Carry,
    Overdue(Overdue),
    /// It is idle or about to end, and its place is needed.
    Evicted,
    /// Its client has reset more streams than it may.
    Calm,
    /// The drain deadline has passed.
    Cut,
}

/// How a connection is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) enum Ending {
    /// We close our side and wait for the client to close its own.
    Staged,
    /// Nothing of ours can still be under way: no need to wait.
    AtOnce,
    /// hyper could not read a head and wants to answer with this status; our own words go out instead.
    Refusal(StatusCode),
    /// The client must not take what it got for whole.
    Reset,
}

/// What is known of the client's side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Client {
    Open,
    /// It sends nothing any more, and so many probes have found that it has taken no byte since.
    HalfClosed {
        probes: u32,
    },
    /// We have read its end.
    Ended,
}

/// Whether an idle HTTP/1 connection has hyper's buffers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rest {
    Awake,
    /// It is to give them up.
    Drowsy,
    /// It waits for its next byte with nothing but its socket.
    Asleep,
}

/// How far the content of the latest request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// It has been read, or there is none.
    Ended,
    /// Some of it is still to come, or to be asked for.
    Owed,
    /// The rest is asked for by nobody: when hyper is polled next, it takes what has come for the end, or else closes.
    Abandoned,
}
