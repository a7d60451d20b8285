//! What is written beside what hyper writes: from the worker's buffer, and trailers.

use std::cell::RefMut;
use std::io::IoSlice;

use http::HeaderMap;

use super::State;

impl State {
    /// The pieces in one.
    pub fn gather(&self, pieces: &[IoSlice<'_>]) -> RefMut<'_, Vec<u8>> {
        let mut gathered = self.beat.gathered.borrow_mut();
        gathered.clear();
        for piece in pieces {
            gathered.extend_from_slice(piece);
        }
        gathered
    }

    /// The worker's buffer, empty; or a new one where another connection has it. With room for so many bytes, and no
    /// more if it has to grow.
    pub fn lends(&self, room: usize) -> Vec<u8> {
        let mut lent = std::mem::take(&mut *self.beat.gathered.borrow_mut());
        lent.clear();
        lent.reserve_exact(room);
        lent
    }

    /// Gives back what was lent.
    pub fn takes_back(&self, lent: Vec<u8>) {
        *self.beat.gathered.borrow_mut() = lent;
    }

    /// The content of an HTTP/1 response, which is chunked, ends with these trailers. hyper writes only those that the head
    /// announced: so it is told of none, and they go out before the empty line that it ends the trailer section with
    /// (RFC 9112 §7.1.2).
    pub fn trails(&self, trailers: &HeaderMap) {
        let mut section = self.trailers.borrow_mut();
        section.clear();
        for (name, value) in trailers {
            section.extend_from_slice(name.as_str().as_bytes());
            section.extend_from_slice(b": ");
            section.extend_from_slice(value.as_bytes());
            section.extend_from_slice(b"\r\n");
        }
    }

    /// How much of so many octets that hyper has to write may go out now. The last of them are the empty line after the last
    /// chunk, where there are trailers: hyper has written nothing else by then.
    pub fn writable(&self, length: usize) -> usize {
        match self.trailers.borrow().is_empty() {
            true => length,
            false => length.saturating_sub(END.len()),
        }
    }

    /// The trailer section, where what hyper has to write is no more than the line that ends it.
    pub fn takes_trailers(&self, rest: &[u8]) -> Option<Vec<u8>> {
        (rest == END).then(|| self.trailers.take())
    }
}

const END: &[u8] = b"\r\n";
