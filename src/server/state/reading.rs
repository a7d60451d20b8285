//! Where the messages on an HTTP/1 connection begin and end, followed beside hyper: for the targets of requests, which hyper
//! refuses where others take them ([`crate::server::request_line`]), and for chunked content, which hyper takes where it is
//! malformed ([`crate::server::chunks`]). hyper is given one head at a time, and says then what is behind it. Heads that come
//! whole and by themselves, as nearly all do, cost a look and leave no trace.

use std::io;

use bytes::Bytes;
use tokio::io::ReadBuf;

use super::State;
use super::input::{Following, Input};
use super::machines::Protocol;
use crate::server::chunks::Chunks;
use crate::server::deadline::Phase;
use crate::server::request_line::plain_head;

/// How a message with content is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) enum Followed {
    Known,
    /// Its end is hyper's word only: no other request may come behind it.
    Unknown,
    Malformed,
}

impl State {
    /// Octets have been read. How many of them hyper may see, as they are; the others are held until it reads again. Fails
    /// where they are no content that hyper may see.
    pub fn admit(&self, octets: &[u8]) -> io::Result<usize> {
        if !self.follows.get() && plain_head(octets) == Some(octets.len()) {
            return Ok(octets.len());
        }
        self.admit_followed(octets)
    }

    #[cold]
    fn admit_followed(&self, octets: &[u8]) -> io::Result<usize> {
        if !self.is_followed() {
            return Ok(octets.len());
        }
        let mut input = self.input.borrow_mut();
        let admitted = input.admit(octets, &self.target_fault);
        self.follows.set(input.is_used());
        admitted
    }

    /// Reads what is held into `buf`; false where nothing is.
    pub fn read_held(&self, buf: &mut ReadBuf<'_>) -> io::Result<bool> {
        if !self.follows.get() {
            return Ok(false);
        }
        let before = buf.filled().len();
        {
            let mut input = self.input.borrow_mut();
            if input.ahead.is_empty() && input.held.is_empty() {
                return Ok(false);
            }
            match self.is_followed() {
                true => input.give(buf, &self.target_fault)?,
                false => input.give_all(buf),
            }
            self.follows.set(input.is_used());
        }
        match buf.filled().len() - before {
            // hyper has not taken what ends a head for that.
            0 => Err(io::ErrorKind::InvalidData.into()),
            given => {
                self.has_read(given);
                Ok(true)
            }
        }
    }

    /// Whether messages are followed: not those of HTTP/2, nor what comes after them.
    fn is_followed(&self) -> bool {
        self.protocol.get() == Protocol::Http1 && self.phase.get() != Phase::Tunnel
    }

    /// hyper has read the head of a request without content.
    pub fn follow_head(&self) {
        if self.follows.get() {
            self.follow_from_head(Following::Nothing);
        }
    }

    /// hyper has read the head of a request with content of that length, or else chunked.
    pub fn follow_content(&self, length: Option<u64>) -> Followed {
        if let Some(length) = length {
            self.follow_from_head(Following::Length(length));
            return Followed::Known;
        }
        let is_malformed = {
            let input = self.input.borrow();
            // RFC 9112 §6.1: this may be an attempt at request smuggling, and may be refused. hyper leaves the length out.
            let is_framed_twice = matches!(input.following, Following::ReadFramedTwice);
            is_framed_twice || Chunks::new().follow(&input.held).is_err()
        };
        if is_malformed {
            self.follow_from_head(Following::Lost);
            return Followed::Malformed;
        }
        match self.follow_from_head(Following::Chunked(Chunks::new())) {
            true => Followed::Known,
            false => Followed::Unknown,
        }
    }

    /// What follows the head that hyper has read; false where that is not where it was seen to end.
    fn follow_from_head(&self, next: Following) -> bool {
        let mut input = self.input.borrow_mut();
        let is_behind_head = matches!(
            input.following,
            Following::Nothing | Following::Read | Following::ReadFramedTwice
        );
        input.following = match is_behind_head {
            true => next,
            false => Following::Lost,
        };
        self.follows.set(input.is_used());
        is_behind_head
    }

    /// What has been read and that hyper has not seen.
    pub fn held(&self) -> Bytes {
        self.input.borrow().held.clone()
    }

    /// Holds all that has been read of a connection until hyper reads.
    pub fn hold(&self, octets: Bytes) {
        let mut input = self.input.borrow_mut();
        input.held = octets;
        self.follows.set(input.is_used());
    }

    /// Holds what hyper has read and not taken; it begins a message.
    pub fn hold_again(&self, octets: &[u8]) {
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
        self.follows.set(input.is_used());
    }
}

#[cfg(test)]
mod tests;
