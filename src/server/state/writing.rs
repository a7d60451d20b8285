//! The worker's write buffer, and the trailers of HTTP/1 responses, which are written beside what hyper writes.

use std::cell::RefMut;
use std::io::IoSlice;

use http::HeaderMap;

use super::State;
use crate::semantics::field_line::write_lines;

impl State {
    /// The pieces in one, in the worker's buffer.
    pub fn gather(&self, pieces: &[IoSlice<'_>]) -> RefMut<'_, Vec<u8>> {
        let mut write_buffer = self.shared.write_buffer.borrow_mut();
        write_buffer.clear();
        for piece in pieces {
            write_buffer.extend_from_slice(piece);
        }
        write_buffer
    }

    /// Takes the worker's buffer, emptied, or a new one where another connection has it. It has room for `room` bytes; a
    /// new one for no more.
    pub fn lend_buffer(&self, room: usize) -> Vec<u8> {
        let mut lent = std::mem::take(&mut *self.shared.write_buffer.borrow_mut());
        lent.clear();
        lent.reserve_exact(room);
        lent
    }

    /// Returns what [`State::lend_buffer`] gave.
    pub fn return_buffer(&self, lent: Vec<u8>) {
        *self.shared.write_buffer.borrow_mut() = lent;
    }

    /// The chunked content of an HTTP/1 response has ended with these trailers. hyper writes only trailers that the head
    /// announced. So it is given none, and they are written before the empty line with which it ends the trailer section
    /// (RFC 9112 §7.1.2).
    pub fn set_trailers(&self, trailers: &HeaderMap) {
        let mut section = self.trailers.borrow_mut();
        section.clear();
        write_lines(trailers, &mut section);
    }

    /// Whether the trailers of a response are still to be written.
    pub fn has_trailers(&self) -> bool {
        !self.trailers.borrow().is_empty()
    }

    /// How many of `length` octets that hyper writes may be sent now. Where there are trailers, the last octets are the empty
    /// line after the last chunk, since hyper has written all else: it waits for them.
    pub fn writable(&self, length: usize) -> usize {
        match self.has_trailers() {
            false => length,
            true => length.saturating_sub(END.len()),
        }
    }

    /// Takes the trailer section, where `rest` of what hyper writes is only the line that ends it.
    pub fn take_trailers(&self, rest: &[u8]) -> Option<Vec<u8>> {
        (rest == END).then(|| self.trailers.take())
    }
}

const END: &[u8] = b"\r\n";
