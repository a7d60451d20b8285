//! A malformed field is a stream error (RFC 9113 §8.1.1). h2 treats some as connection errors, which end all streams, and has
//! no setting for that. So field sections are read before h2 reads them, and those are rewritten so that h2 finds another
//! error, which it treats as one of the stream.

mod huffman;
mod section;
mod table;

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use self::table::Table;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// An HTTP/2 connection whose frames are read before h2 reads them.
#[derive(Debug)]
pub(crate) struct Guarded<T> {
    io: T,
    guard: Guard,
}

/// Reads the frames that a peer sends. Only field sections are held back, until they are complete.
#[derive(Debug)]
struct Guard {
    /// Octets, of the current frame or the preface, that are still to be passed on as they are.
    skip: usize,
    /// A field section that is not complete yet, and the octets after it.
    held: Vec<u8>,
    /// Octets that h2 reads next.
    ready: Vec<u8>,
    /// The dynamic table, to whose entries field sections refer.
    table: Table,
}

/// RFC 9113 §4.1.
const HEAD: usize = 9;
const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 0x1;
const END_HEADERS: u8 = 0x4;
const PADDED: u8 = 0x8;
const PRIORITY: u8 = 0x20;

/// The largest payload of a frame, unless the receiver allows more (RFC 9113 §4.2).
const MAX_PAYLOAD: usize = 1 << 14;

/// Octets of a field section that are held back, and frames that it may consist of: they are read anew with each read of the
/// connection. A larger section is passed on, and h2 refuses it.
const MAX_HELD: usize = 64 << 10;
const MAX_FRAMES: usize = 16;

/// RFC 9113 §3.4.
const PREFACE: usize = 24;

enum Step {
    /// So many octets are passed on as they are, whether or not all have been read.
    Pass(usize),
    /// More octets are needed to decide.
    Wait,
    /// These frames take the place of so many octets.
    Replace(usize, Vec<u8>),
}

impl<T> Guarded<T> {
    /// For a connection whose peer is the client, which begins with a preface.
    pub fn from_client(io: T) -> Self {
        let guard = Guard::behind(PREFACE);
        Self { io, guard }
    }

    /// For a connection whose peer is the server.
    pub fn from_server(io: T) -> Self {
        let guard = Guard::behind(0);
        Self { io, guard }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Guarded<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { io, guard } = self.get_mut();
        loop {
            if !guard.ready.is_empty() {
                buf.put_slice(&guard.take(buf.remaining()));
                return Poll::Ready(Ok(()));
            }
            let before = buf.filled().len();
            ready!(Pin::new(&mut *io).poll_read(cx, buf))?;
            let read = &buf.filled()[before..];
            if read.is_empty() {
                return Poll::Ready(Ok(()));
            }
            let passed = guard.filter(read);
            buf.set_filled(before + passed);
            if passed > 0 {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Guarded<T> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(cx)
    }
}

impl Guard {
    /// A guard that passes on `skip` octets before the first frame.
    fn behind(skip: usize) -> Self {
        Self {
            skip,
            held: Vec::new(),
            ready: Vec::new(),
            table: Table::default(),
        }
    }

    /// Takes octets that have been read. Returns how many of them are passed on as they are; the others are kept.
    fn filter(&mut self, octets: &[u8]) -> usize {
        if !self.held.is_empty() || !self.ready.is_empty() {
            self.held.extend_from_slice(octets);
            self.release();
            return 0;
        }
        let mut at = 0;
        loop {
            let passed = self.skip.min(octets.len() - at);
            self.skip -= passed;
            at += passed;
            if at == octets.len() {
                return at;
            }
            match self.step(&octets[at..]) {
                Step::Pass(length) => self.skip = length,
                Step::Wait => {
                    self.held.extend_from_slice(&octets[at..]);
                    return at;
                }
                Step::Replace(length, frames) => {
                    self.ready = frames;
                    self.held.extend_from_slice(&octets[at + length..]);
                    self.release();
                    return at;
                }
            }
        }
    }

    /// Takes up to `room` of the octets that h2 reads next.
    fn take(&mut self, room: usize) -> Vec<u8> {
        let rest = self.ready.split_off(self.ready.len().min(room));
        std::mem::replace(&mut self.ready, rest)
    }

    /// Moves the frames and complete sections in `held` to `ready`.
    fn release(&mut self) {
        let held = std::mem::take(&mut self.held);
        let mut rest = &held[..];
        while !rest.is_empty() {
            if self.skip == 0 {
                match self.step(rest) {
                    Step::Pass(length) => self.skip = length,
                    Step::Wait => break,
                    Step::Replace(length, frames) => {
                        self.ready.extend(frames);
                        rest = &rest[length..];
                    }
                }
                continue;
            }
            let (passed, others) = rest.split_at(self.skip.min(rest.len()));
            self.ready.extend_from_slice(passed);
            self.skip -= passed.len();
            rest = others;
        }
        self.held = rest.to_vec();
    }

    /// Decides about octets that begin with a frame. Adds the lines of a complete section to the table, so that no section
    /// may come here twice.
    fn step(&mut self, octets: &[u8]) -> Step {
        let Some(frame) = Frame::read(octets) else {
            return Step::Wait;
        };
        if frame.kind != HEADERS {
            return Step::Pass(HEAD + frame.length);
        }
        if frame.length > MAX_PAYLOAD {
            return self.pass_unread(HEAD + frame.length);
        }
        let Some(payload) = frame.payload else {
            return Step::Wait;
        };
        let mut whole = HEAD + frame.length;
        let Some(fragment) = frame.fragment(payload) else {
            return self.pass_unread(whole);
        };
        if frame.flags & END_HEADERS != 0 {
            return self.rewrite(frame, fragment, whole);
        }
        let mut section = fragment.to_vec();
        for _ in 1..MAX_FRAMES {
            let Some(next) = Frame::read(&octets[whole..]) else {
                return Step::Wait;
            };
            let is_part = next.kind == CONTINUATION && next.stream == frame.stream;
            if !is_part || next.length > MAX_PAYLOAD || whole > MAX_HELD {
                break;
            }
            let Some(payload) = next.payload else {
                return Step::Wait;
            };
            section.extend_from_slice(payload);
            whole += HEAD + next.length;
            if next.flags & END_HEADERS != 0 {
                return self.rewrite(frame, &section, whole);
            }
        }
        self.pass_unread(whole)
    }

    /// Decides about the `whole` octets that hold this section and begin with `frame`.
    fn rewrite(&mut self, frame: Frame<'_>, section: &[u8], whole: usize) -> Step {
        match section::rewrite(section, &mut self.table) {
            None => Step::Pass(whole),
            Some(section) => Step::Replace(whole, frame.with_section(&section)),
        }
    }

    /// Leaves a section to h2, with its CONTINUATION frames.
    fn pass_unread(&mut self, length: usize) -> Step {
        self.table.forget();
        Step::Pass(length)
    }
}

#[derive(Clone, Copy)]
struct Frame<'a> {
    length: usize,
    kind: u8,
    flags: u8,
    stream: [u8; 4],
    /// `None` while it is not complete.
    payload: Option<&'a [u8]>,
}

impl<'a> Frame<'a> {
    fn read(octets: &'a [u8]) -> Option<Self> {
        let (head, rest) = octets.split_first_chunk::<HEAD>()?;
        let [a, b, c, kind, flags, stream @ ..] = *head;
        let length = u32::from_be_bytes([0, a, b, c]) as usize;
        Some(Self {
            length,
            kind,
            flags,
            stream,
            payload: rest.get(..length),
        })
    }

    /// The part of a field section in a HEADERS frame (RFC 9113 §6.2); `None` where it is longer than the frame.
    fn fragment(&self, payload: &'a [u8]) -> Option<&'a [u8]> {
        let (mut rest, mut padding) = (payload, 0);
        if self.flags & PADDED != 0 {
            let (first, others) = rest.split_first()?;
            (rest, padding) = (others, usize::from(*first));
        }
        if self.flags & PRIORITY != 0 {
            rest = rest.get(5..)?;
        }
        rest.get(..rest.len().checked_sub(padding)?)
    }

    /// Frames like this one with another field section.
    fn with_section(&self, section: &[u8]) -> Vec<u8> {
        let mut frames = Vec::with_capacity(HEAD + section.len());
        let last = section.len().div_ceil(MAX_PAYLOAD).saturating_sub(1);
        for (at, part) in section.chunks(MAX_PAYLOAD).enumerate() {
            let (kind, flags) = match at {
                0 => (HEADERS, self.flags & END_STREAM),
                _ => (CONTINUATION, 0),
            };
            let ends = if at == last { END_HEADERS } else { 0 };
            frames.extend_from_slice(&(part.len() as u32).to_be_bytes()[1..]);
            frames.extend([kind, flags | ends]);
            frames.extend(self.stream);
            frames.extend_from_slice(part);
        }
        frames
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let length = (payload.len() as u32).to_be_bytes();
        [&length[1..], &[kind, flags, 0, 0, 0, 1], payload].concat()
    }

    /// What h2 reads when `sent` comes in pieces of so many octets.
    fn read(sent: &[u8], size: usize) -> Vec<u8> {
        let mut guard = Guard::behind(PREFACE);
        let mut seen = Vec::new();
        for piece in sent.chunks(size) {
            let passed = guard.filter(piece);
            seen.extend_from_slice(&piece[..passed]);
            while !guard.ready.is_empty() {
                let some = guard.take(7);
                seen.extend(some);
            }
        }
        seen
    }

    #[test]
    fn octets_are_passed_on_as_they_came_however_they_came() {
        let bad = b"\0\x01A\x01x";
        let rewritten = b"\0\x0aconnection\x01x";
        // What comes after the preface, and what h2 reads of it.
        #[rustfmt::skip]
        let table: [(Vec<u8>, Vec<u8>); 7] = [
            (frame(0, 0, b"content"), frame(0, 0, b"content")),
            (frame(HEADERS, 5, b"\x82\x86\x84"), frame(HEADERS, 5, b"\x82\x86\x84")),
            (frame(HEADERS, 5, bad), frame(HEADERS, 5, rewritten)),
            (frame(HEADERS, 0x2d, &[&[2, 0, 0, 0, 0, 9][..], bad, &[0, 0]].concat()), frame(HEADERS, 5, rewritten)),
            (
                [frame(HEADERS, 1, &bad[..2]), frame(CONTINUATION, 0, &bad[2..4]), frame(CONTINUATION, 4, &bad[4..])].concat(),
                frame(HEADERS, 5, rewritten),
            ),
            // Not a part of the section: h2 ends the connection.
            ([frame(HEADERS, 1, bad), frame(0, 0, b"x")].concat(), [frame(HEADERS, 1, bad), frame(0, 0, b"x")].concat()),
            // Padding longer than the frame.
            (frame(HEADERS, 0xd, &[9, 0x82]), frame(HEADERS, 0xd, &[9, 0x82])),
        ];
        let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
        let ping = frame(6, 0, &[7; 8]);
        for (sent, expected) in table {
            let sent = [&preface[..], &ping, &sent, &ping].concat();
            let expected = [&preface[..], &ping, &expected, &ping].concat();
            for size in [1, 2, 3, 10, 1_000] {
                assert_eq!(
                    read(&sent, size),
                    expected,
                    "{} in {size}",
                    sent.escape_ascii()
                );
            }
        }
    }

    #[test]
    fn a_section_that_does_not_end_is_not_held_for_long() {
        let line = [&[0, 1, b'a', 0x7f, 0x81, 0x5e][..], &[b'x'; 12_000]].concat();
        let mut sent = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        sent.extend(frame(HEADERS, 1, &line));
        (0..20).for_each(|_| sent.extend(frame(CONTINUATION, 0, &line)));
        let mut guard = Guard::behind(PREFACE);
        let mut passed = 0;
        for piece in sent.chunks(4_096) {
            passed += guard.filter(piece);
            passed += guard.take(usize::MAX).len();
            assert!(guard.held.len() <= MAX_HELD + 2 * MAX_PAYLOAD);
        }
        assert!(passed > MAX_HELD);
    }
}
