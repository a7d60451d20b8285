//! The content of an HTTP/1 request. It may outlast the response: until it has ended, what comes on the connection is
//! content and no other request (DESIGN.md, invariant 9).

use std::rc::Rc;

use super::State;
use super::machines::Content;
use crate::proxy::ContentWatch;
use crate::server::deadline::Phase;

/// How long a connection that has had our last octet may go on sending, in milliseconds, and how much, in bytes: a client
/// that is reset loses the answer if it has not read it yet.
const MOST_LINGERING: u64 = 30_000;
const MOST_DISCARDED: u64 = 256 << 20;

impl State {
    /// A request begins: that of the one before has been read by hyper, whether or not its reader has seen the end.
    pub(super) fn message_begins(&self) {
        self.message.set(self.message.get().wrapping_add(1));
        self.content.set(Content::Ended);
    }

    /// The request that has just begun has content.
    pub fn content_begins(self: &Rc<Self>) -> Box<dyn ContentWatch> {
        self.content.set(Content::Owed);
        Box::new(Watch {
            state: self.clone(),
            message: self.message.get(),
        })
    }

    /// The content has been read, or hyper reads nothing any more.
    pub fn content_ends(&self) {
        self.content.set(Content::Ended);
        self.rests_if_all_has_ended();
    }

    pub fn is_content_abandoned(&self) -> bool {
        self.content.get() == Content::Abandoned
    }

    /// The client sees the end of the response only when we close our side, which must not wait for the rest of the
    /// request.
    pub fn response_ends_by_close(&self) {
        self.ends_by_close.set(true);
    }

    /// Whether our side is to be closed now.
    pub fn closes_our_side(&self) -> bool {
        self.ends_by_close.get() && self.in_flight.get() == 0 && !self.unflushed.get()
    }

    /// The connection is between two messages only when both the request and its response have ended.
    pub(super) fn rests_if_all_has_ended(&self) {
        if self.in_flight.get() == 0
            && self.content.get() == Content::Ended
            && self.phase.get() == Phase::Busy
        {
            self.awaiting_content.set(None);
            self.enter(Phase::Idle);
        }
    }

    /// Octets that came after our last one are not looked at.
    pub fn has_discarded(&self, n: usize) {
        let discarded = self.discarded.get().saturating_add(n as u64);
        self.discarded.set(discarded);
        let lingering = self.now().saturating_sub(self.lingering_since.get());
        if discarded <= MOST_DISCARDED && lingering < MOST_LINGERING && !self.is_draining() {
            self.since.set(self.now());
        }
    }
}

/// Tells the state what becomes of one message's content. The reader may learn of its end when the next message is
/// already under way.
#[derive(Debug)]
struct Watch {
    state: Rc<State>,
    message: u32,
}

impl Watch {
    fn is_current(&self) -> bool {
        self.state.message.get() == self.message
    }
}

impl ContentWatch for Watch {
    fn ended(&self) {
        if self.is_current() {
            self.state.content_ends();
        }
    }

    fn abandoned(&self) {
        if self.is_current() {
            self.state.content.set(Content::Abandoned);
            self.state.wake();
        }
    }
}
