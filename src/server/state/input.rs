//! The octets that have been read from an HTTP/1 connection and not been given to hyper, and their position in its messages.

use std::cell::Cell;
use std::io;

use bytes::{Buf as _, Bytes};
use tokio::io::ReadBuf;

use crate::semantics::percent::encoded_octets;
use crate::server::chunks::{Chunks, Malformed};
use crate::server::request_line::{Fault, Head, Pass, plain_head};

/// Octets on their way to hyper.
#[derive(Debug, Default)]
pub(super) struct Input {
    pub framing: Framing,
    /// The encoded part of a request target, which hyper reads next.
    pub ahead: Bytes,
    /// Octets that have been read and not been tracked.
    pub held: Bytes,
}

/// Where the octet after those that hyper has been given stands.
#[derive(Debug, Default)]
pub(super) enum Framing {
    /// The next octet begins a message, or the content of one whose head hyper has been given as a whole.
    #[default]
    Untracked,
    /// In the head of a request.
    Head(Head),
    /// After a whole head, which hyper has not read yet: what comes next depends on it.
    HeadGiven,
    /// The same, and the head has both Content-Length and Transfer-Encoding.
    HeadGivenWithTwoFramings,
    /// Before so many octets of content.
    Length(u64),
    /// In chunked content.
    Chunked(Chunks),
    /// Not known: hyper sees messages begin elsewhere.
    Lost,
}

/// How many of some octets hyper may be given.
enum Step {
    /// So many as they are.
    Unchanged(usize),
    /// So many percent-encoded.
    Encoded(usize),
    /// None before it has read the head.
    Hold,
}

impl Input {
    pub fn is_used(&self) -> bool {
        !matches!(self.framing, Framing::Untracked)
            || !self.ahead.is_empty()
            || !self.held.is_empty()
    }

    /// Takes octets that have been read. Returns how many of them hyper is given as they are; the others are kept.
    pub fn admit(&mut self, octets: &[u8], fault: &Cell<Option<Fault>>) -> io::Result<usize> {
        let mut at = 0;
        while at < octets.len() {
            let rest = &octets[at..];
            let kept = match self.framing.step(rest, fault)? {
                Step::Unchanged(passed) => {
                    at += passed;
                    continue;
                }
                Step::Encoded(passed) => {
                    self.ahead = encoded_octets(&rest[..passed]).into();
                    &rest[passed..]
                }
                Step::Hold => rest,
            };
            self.held = Bytes::copy_from_slice(kept);
            break;
        }
        Ok(at)
    }

    /// Moves into `buf` what hyper may be given, as far as there is room.
    pub fn give(&mut self, buf: &mut ReadBuf<'_>, fault: &Cell<Option<Fault>>) -> io::Result<()> {
        loop {
            put(&mut self.ahead, buf, usize::MAX);
            let room = self.held.len().min(buf.remaining());
            if room == 0 {
                return Ok(());
            }
            match self.framing.step(&self.held[..room], fault)? {
                Step::Unchanged(passed) => put(&mut self.held, buf, passed),
                Step::Encoded(passed) => {
                    self.ahead = encoded_octets(&self.held.split_to(passed)).into();
                }
                Step::Hold => return Ok(()),
            }
        }
    }

    /// Moves into `buf` what there is, as far as there is room.
    pub fn give_all(&mut self, buf: &mut ReadBuf<'_>) {
        put(&mut self.ahead, buf, usize::MAX);
        put(&mut self.held, buf, usize::MAX);
    }
}

/// Moves `most` octets at most.
fn put(from: &mut Bytes, buf: &mut ReadBuf<'_>, most: usize) {
    let moved = from.len().min(buf.remaining()).min(most);
    buf.put_slice(&from[..moved]);
    from.advance(moved);
    if from.is_empty() {
        // An empty slice would keep the whole buffer.
        *from = Bytes::new();
    }
}

impl Framing {
    fn step(&mut self, octets: &[u8], fault: &Cell<Option<Fault>>) -> io::Result<Step> {
        let passed = match self {
            Self::Untracked => match plain_head(octets) {
                Some(head) => {
                    *self = Self::HeadGiven;
                    head
                }
                None => {
                    *self = Self::Head(Head::default());
                    return self.step(octets, fault);
                }
            },
            Self::Head(head) => {
                let pass = head.pass(octets);
                fault.set(head.fault());
                match pass {
                    Pass::Unchanged(passed) => passed,
                    Pass::Encoded(passed) => return Ok(Step::Encoded(passed)),
                    Pass::End(passed) => {
                        *self = match head.has_two_framings() {
                            true => Self::HeadGivenWithTwoFramings,
                            false => Self::HeadGiven,
                        };
                        passed
                    }
                }
            }
            Self::HeadGiven | Self::HeadGivenWithTwoFramings => return Ok(Step::Hold),
            Self::Length(left) => {
                let passed = (*left).min(octets.len() as u64);
                *left -= passed;
                if *left == 0 {
                    *self = Self::Untracked;
                }
                // No more than the length of `octets`.
                passed as usize
            }
            Self::Chunked(chunks) => match chunks.follow(octets) {
                Ok(None) => octets.len(),
                Ok(Some(end)) => {
                    *self = Self::Untracked;
                    end
                }
                Err(Malformed) => {
                    *self = Self::Lost;
                    return Err(io::ErrorKind::InvalidData.into());
                }
            },
            Self::Lost => octets.len(),
        };
        Ok(Step::Unchanged(passed))
    }
}
