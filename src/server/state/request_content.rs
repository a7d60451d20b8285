//! The content of an HTTP/1 request. It may end later than the response: until then, what is read of the connection is
//! content and no other request (DESIGN.md, invariant 9).

use std::rc::Rc;

use super::State;
use super::machines::ContentState;
use crate::proxy::ContentWatch;
use crate::server::deadline::Phase;

/// Milliseconds for which a client may go on sending after our last octet, and the bytes that are discarded meanwhile: a
/// client that is reset loses the response if it has not read it yet.
const MAX_LINGERING: u64 = 30_000;
const MAX_DISCARDED: u64 = 256 << 20;

impl State {
    /// A request begins. hyper has read the content of the one before, whether or not its reader has seen the end.
    pub(super) fn begin_message(&self) {
        self.message.set(self.message.get().wrapping_add(1));
        self.content.set(ContentState::Read);
    }

    /// The request that has just begun has content.
    pub fn begin_content(self: &Rc<Self>) -> Box<dyn ContentWatch> {
        self.content.set(ContentState::Unread);
        Box::new(Watch {
            state: self.clone(),
            message: self.message.get(),
        })
    }

    /// The content has been read, or hyper reads nothing any more.
    pub fn end_content(&self) {
        self.content.set(ContentState::Read);
        self.become_idle_if_all_has_ended();
    }

    pub fn is_content_abandoned(&self) -> bool {
        self.content.get() == ContentState::Abandoned
    }

    /// The client sees the end of the response only when we shut our side down, which must not wait for the rest of the
    /// request.
    pub fn end_response_by_close(&self) {
        self.ends_by_close.set(true);
    }

    /// Whether our side is to be shut down now.
    pub fn closes_our_side(&self) -> bool {
        self.ends_by_close.get() && self.in_flight.get() == 0 && !self.unflushed.get()
    }

    /// The connection is between two messages only when both the request and its response have ended.
    pub(super) fn become_idle_if_all_has_ended(&self) {
        if self.in_flight.get() == 0
            && self.content.get() == ContentState::Read
            && self.phase.get() == Phase::Busy
        {
            self.awaiting_content.set(None);
            self.enter(Phase::Idle);
        }
    }

    /// Octets that were read after our last one was sent have been discarded.
    pub fn on_discarded(&self, n: usize) {
        let discarded = self.discarded.get().saturating_add(n as u64);
        self.discarded.set(discarded);
        let lingering = self.now().saturating_sub(self.lingering_since.get());
        if discarded <= MAX_DISCARDED && lingering < MAX_LINGERING && !self.is_draining() {
            self.since.set(self.now());
        }
    }
}

/// Tells the state what becomes of one message's content. The reader may learn of its end when the next message has
/// already begun.
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
            self.state.end_content();
        }
    }

    fn abandoned(&self) {
        if self.is_current() {
            self.state.content.set(ContentState::Abandoned);
            self.state.wake();
        }
    }
}
