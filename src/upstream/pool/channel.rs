//! The connections and streams that requests are sent on, and which of them a request may use again.

use tokio::sync::OwnedSemaphorePermit;

use crate::upstream::deadline::Deadline;
use crate::upstream::http1::connection::Connection;
use crate::upstream::http2::Stream;
use crate::upstream::names::address::Address;

/// A whole connection, or a stream of a connection that requests share.
#[derive(Debug)]
pub(in crate::upstream) enum Channel {
    Http1(Connection),
    Http2(Stream),
}

impl Channel {
    /// The address that the connection leads to; `None` for a Unix socket.
    pub(super) fn address(&self) -> Option<&Address> {
        match self {
            Self::Http1(connection) => connection.address(),
            Self::Http2(stream) => stream.address(),
        }
    }

    pub(super) fn deadline(&mut self) -> &mut Deadline {
        match self {
            Self::Http1(connection) => connection.deadline(),
            Self::Http2(stream) => stream.deadline(),
        }
    }

    /// Whether the connection has carried a request before this exchange.
    pub(super) fn is_reused(&self) -> bool {
        match self {
            Self::Http1(connection) => connection.is_reused(),
            Self::Http2(stream) => stream.is_reused(),
        }
    }
}

/// The pool's answer to a request that needs a connection.
#[derive(Debug)]
pub(in crate::upstream) enum Grant {
    Ready(Channel),
    /// The request may open a connection.
    MayOpen(OwnedSemaphorePermit),
}

/// Which open connections a request may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::upstream) enum Reuse {
    Any,
    /// Connections that have not carried a request yet: a pooled one was found closed.
    Unused,
    /// None: the request opens its own, on which it is the first. Connections that it shared have refused it.
    Never,
}
