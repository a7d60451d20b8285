//! Where the messages on an HTTP/1 connection begin and end is tracked beside hyper, for two reasons: hyper refuses request
//! targets that other servers accept ([`crate::server::request_line`]), and it accepts chunked content that is malformed
//! ([`crate::server::chunks`]). hyper is given one head at a time; once it has read it, the request's content is known. A
//! head that arrives whole and alone, as nearly all do, is looked at once and needs no state.

use std::io;

use bytes::Bytes;
use tokio::io::ReadBuf;

use super::State;
use super::input::{Framing, Input};
use super::machines::Protocol;
use crate::server::chunks::Chunks;
use crate::server::deadline::Phase;
use crate::server::request_line::plain_head;

/// Whether the end of a request's content is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) enum ContentFraming {
    Known,
    /// Only hyper knows its end: no other request may follow on the connection.
    Unknown,
    Malformed,
}

impl State {
    /// Takes octets that have been read. Returns how many of them hyper is given as they are; the others are held until it
    /// reads again. Fails where they are malformed content.
    pub fn admit(&self, octets: &[u8]) -> io::Result<usize> {
        if !self.has_input.get() && plain_head(octets) == Some(octets.len()) {
            return Ok(octets.len());
        }
        self.admit_tracked(octets)
    }

    #[cold]
    fn admit_tracked(&self, octets: &[u8]) -> io::Result<usize> {
        if !self.is_tracked() {
            return Ok(octets.len());
        }
        let mut input = self.input.borrow_mut();
        let admitted = input.admit(octets, &self.target_fault);
        self.has_input.set(input.is_used());
        admitted
    }

    /// Moves what is held into `buf`; false where nothing is held.
    pub fn read_held(&self, buf: &mut ReadBuf<'_>) -> io::Result<bool> {
        if !self.has_input.get() {
            return Ok(false);
        }
        let before = buf.filled().len();
        {
            let mut input = self.input.borrow_mut();
            if input.ahead.is_empty() && input.held.is_empty() {
                return Ok(false);
            }
            match self.is_tracked() {
                true => input.give(buf, &self.target_fault)?,
                false => input.give_all(buf),
            }
            self.has_input.set(input.is_used());
        }
        match buf.filled().len() - before {
            // hyper has not taken the octets that end a head for its end.
            0 => Err(io::ErrorKind::InvalidData.into()),
            given => {
                self.on_read(given);
                Ok(true)
            }
        }
    }

    /// Whether messages are tracked: not those of HTTP/2, nor the octets of a tunnel.
    fn is_tracked(&self) -> bool {
        self.protocol.get() == Protocol::Http1 && self.phase.get() != Phase::Tunnel
    }

    /// hyper has read the head of a request without content.
    pub fn on_head(&self) {
        if self.has_input.get() {
            self.set_framing(Framing::Untracked);
        }
    }

    /// hyper has read the head of a request whose content has that length, or is chunked where there is none.
    pub fn on_content(&self, length: Option<u64>) -> ContentFraming {
        if let Some(length) = length {
            self.set_framing(Framing::Length(length));
            return ContentFraming::Known;
        }
        let is_malformed = {
            let input = self.input.borrow();
            // RFC 9112 §6.1: two framings may be an attempt at request smuggling, and may be refused. hyper ignores the
            // length.
            let has_two_framings = matches!(input.framing, Framing::HeadGivenWithTwoFramings);
            has_two_framings || Chunks::new().follow(&input.held).is_err()
        };
        if is_malformed {
            self.set_framing(Framing::Lost);
            return ContentFraming::Malformed;
        }
        match self.set_framing(Framing::Chunked(Chunks::new())) {
            true => ContentFraming::Known,
            false => ContentFraming::Unknown,
        }
    }

    /// Sets what follows the head that hyper has read. Returns false where hyper and we disagree on the end of that head.
    fn set_framing(&self, next: Framing) -> bool {
        let mut input = self.input.borrow_mut();
        let agrees = matches!(
            input.framing,
            Framing::Untracked | Framing::HeadGiven | Framing::HeadGivenWithTwoFramings
        );
        input.framing = match agrees {
            true => next,
            false => Framing::Lost,
        };
        self.has_input.set(input.is_used());
        agrees
    }

    /// Octets that have been read and not been given to hyper.
    pub fn held(&self) -> Bytes {
        self.input.borrow().held.clone()
    }

    /// Holds all that has been read of a connection, for hyper to read.
    pub fn hold(&self, octets: Bytes) {
        let mut input = self.input.borrow_mut();
        input.held = octets;
        self.has_input.set(input.is_used());
    }

    /// Holds what hyper has read and not used; it begins a message.
    pub fn put_back(&self, octets: &[u8]) {
        let mut input = self.input.borrow_mut();
        let held = match input.ahead.is_empty() && input.held.is_empty() {
            // A slice of hyper's buffer would keep all of it.
            true => Bytes::copy_from_slice(octets),
            false => [octets, &input.ahead, &input.held].concat().into(),
        };
        *input = Input {
            held,
            ..Input::default()
        };
        self.has_input.set(input.is_used());
    }
}

#[cfg(test)]
mod tests;
