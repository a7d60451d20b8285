//! What has been read of an HTTP/1 connection, and where in its messages that stands.

use std::cell::Cell;
use std::io;

use bytes::{Buf as _, Bytes};
use tokio::io::ReadBuf;

use crate::semantics::percent::encoded_octets;
use crate::server::chunks::{Chunks, Malformed};
use crate::server::request_line::{Fault, Head, Pass, plain_head};

/// What has been read of a connection, and how far it has been followed.
#[derive(Debug, Default)]
pub(super) struct Input {
    pub following: Following,
    /// What hyper is to read next.
    pub ahead: Bytes,
    /// What has been read and not been followed.
    pub held: Bytes,
}

/// What is being followed.
#[derive(Debug, Default)]
pub(super) enum Following {
    /// The next octet begins a message, or the content of one whose head hyper has been given as a whole.
    #[default]
    Nothing,
    Head(Head),
    /// hyper has been given a whole head, with more behind it, and has not said yet what that is.
    Read,
    /// The same, and the head has both Content-Length and Transfer-Encoding.
    ReadFramedTwice,
    /// So many octets of content.
    Length(u64),
    Chunked(Chunks),
    /// Where messages begin is not known: hyper sees them elsewhere.
    Lost,
}

/// What hyper may be given of some octets.
enum Step {
    AsTheyAre(usize),
    Encoded(usize),
    /// Nothing yet.
    Hold,
}

impl Input {
    pub fn is_used(&self) -> bool {
        !matches!(self.following, Following::Nothing)
            || !self.ahead.is_empty()
            || !self.held.is_empty()
    }

    /// How many of `octets` go on as they are; the others are kept.
    pub fn admit(&mut self, octets: &[u8], fault: &Cell<Option<Fault>>) -> io::Result<usize> {
        let mut at = 0;
        while at < octets.len() {
            let rest = &octets[at..];
            let kept = match self.following.step(rest, fault)? {
                Step::AsTheyAre(passed) => {
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

    /// Gives as much as hyper may see, and as there is room for.
    pub fn give(&mut self, buf: &mut ReadBuf<'_>, fault: &Cell<Option<Fault>>) -> io::Result<()> {
        loop {
            put(&mut self.ahead, buf, usize::MAX);
            let room = self.held.len().min(buf.remaining());
            if room == 0 {
                return Ok(());
            }
            match self.following.step(&self.held[..room], fault)? {
                Step::AsTheyAre(passed) => put(&mut self.held, buf, passed),
                Step::Encoded(passed) => {
                    self.ahead = encoded_octets(&self.held.split_to(passed)).into();
                }
                Step::Hold => return Ok(()),
            }
        }
    }

    pub fn give_all(&mut self, buf: &mut ReadBuf<'_>) {
        put(&mut self.ahead, buf, usize::MAX);
        put(&mut self.held, buf, usize::MAX);
    }
}

/// Moves octets, so many at most.
fn put(from: &mut Bytes, buf: &mut ReadBuf<'_>, most: usize) {
    let moved = from.len().min(buf.remaining()).min(most);
    buf.put_slice(&from[..moved]);
    from.advance(moved);
    if from.is_empty() {
        // What it is a part of is not kept.
        *from = Bytes::new();
    }
}

impl Following {
    fn step(&mut self, octets: &[u8], fault: &Cell<Option<Fault>>) -> io::Result<Step> {
        let passed = match self {
            Self::Nothing => match plain_head(octets) {
                Some(head) => {
                    *self = Self::Read;
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
                    Pass::AsTheyAre(passed) => passed,
                    Pass::Encoded(passed) => return Ok(Step::Encoded(passed)),
                    Pass::End(passed) => {
                        *self = match head.is_framed_twice() {
                            true => Self::ReadFramedTwice,
                            false => Self::Read,
                        };
                        passed
                    }
                }
            }
            Self::Read | Self::ReadFramedTwice => return Ok(Step::Hold),
            Self::Length(left) => {
                let passed = (*left).min(octets.len() as u64);
                *left -= passed;
                if *left == 0 {
                    *self = Self::Nothing;
                }
                // At most what there is of `octets`.
                passed as usize
            }
            Self::Chunked(chunks) => match chunks.follow(octets) {
                Ok(None) => octets.len(),
                Ok(Some(end)) => {
                    *self = Self::Nothing;
                    end
                }
                Err(Malformed) => {
                    *self = Self::Lost;
                    return Err(io::ErrorKind::InvalidData.into());
                }
            },
            Self::Lost => octets.len(),
        };
        Ok(Step::AsTheyAre(passed))
    }
}
