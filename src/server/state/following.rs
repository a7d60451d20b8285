//! Where the messages on an HTTP/1 connection begin and end, followed beside hyper wherever content may come, for which
//! hyper is too lax ([`crate::server::chunks`]). A request that is nothing but the head of a GET or HEAD costs no more than a
//! look at its first octet and its last four.

use std::io;

use super::{Phase, State};
use crate::server::chunks::Chunks;
use crate::server::state::Protocol;

/// What is being followed.
#[derive(Debug, Default)]
pub(super) enum Following {
    /// Nothing: the next octet begins a message, or what hyper has is plain.
    #[default]
    Nothing,
    /// The octets since the beginning of a message whose head hyper has not read, and whatever has come behind it.
    Head(Vec<u8>),
    /// So many octets of content.
    Length(u64),
    Chunked(Chunks),
    /// Where messages begin is not known: content came behind a head that looked plain.
    Lost,
}

/// How a message with content is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) enum Followed {
    Known,
    /// Its end is hyper's word only: no other request may come behind it.
    Unknown,
    Malformed,
}

impl State {
    /// Octets have been read. Fails where they are no content that hyper may see.
    pub fn follow(&self, octets: &[u8]) -> io::Result<()> {
        let plain = matches!(octets, [b'G' | b'H', .., b'\r', b'\n', b'\r', b'\n']);
        if plain && !self.follows.get() {
            return Ok(());
        }
        self.follow_on(octets)
    }

    #[cold]
    fn follow_on(&self, octets: &[u8]) -> io::Result<()> {
        if self.protocol.get() != Protocol::Http1
            || self.phase.get() == Phase::Tunnel
            || octets.is_empty()
        {
            return Ok(());
        }
        let mut following = self.following.take();
        let followed = following.go_on(octets);
        self.keep_following(following);
        followed.map_err(|_| io::ErrorKind::InvalidData.into())
    }

    /// hyper has read the head of a request without content.
    pub fn follow_head(&self) {
        if self.follows.get() {
            let mut following = self.following.take();
            if let Following::Head(octets) = &following {
                following = match head_length(octets) {
                    Some(length) => Following::beginning(&octets[length..]),
                    None => Following::Lost,
                };
            }
            self.keep_following(following);
        }
    }

    /// hyper has read the head of a request with content of that length, or else chunked.
    pub fn follow_content(&self, length: Option<u64>) -> Followed {
        let head = match self.following.take() {
            Following::Head(octets) => head_length(&octets).map(|length| (octets, length)),
            _ => None,
        };
        let Some((octets, head)) = head else {
            self.keep_following(Following::Lost);
            return match length {
                Some(_) => Followed::Known,
                None => Followed::Unknown,
            };
        };
        let mut following = match length {
            Some(length) => Following::Length(length),
            None => Following::Chunked(Chunks::new()),
        };
        let followed = following.go_on(&octets[head..]);
        self.keep_following(following);
        match followed {
            Ok(()) => Followed::Known,
            Err(_) => Followed::Malformed,
        }
    }

    /// The octets that hyper has not taken come again.
    pub fn follow_anew(&self) {
        self.keep_following(Following::Nothing);
    }

    fn keep_following(&self, following: Following) {
        self.follows.set(!matches!(following, Following::Nothing));
        self.following.replace(following);
    }
}

impl Following {
    /// What follows the end of a message.
    fn beginning(octets: &[u8]) -> Self {
        match octets.is_empty() {
            true => Self::Nothing,
            false => Self::Head(octets.to_vec()),
        }
    }

    fn go_on(&mut self, octets: &[u8]) -> Result<(), crate::server::chunks::Malformed> {
        let end = match self {
            Self::Lost => return Ok(()),
            Self::Nothing => Some(0),
            Self::Head(seen) => {
                seen.extend_from_slice(octets);
                None
            }
            Self::Length(left) => {
                let taken = (*left).min(octets.len() as u64);
                *left -= taken;
                // At most what there is of `octets`.
                (*left == 0).then_some(taken as usize)
            }
            Self::Chunked(chunks) => match chunks.follow(octets) {
                Ok(end) => end,
                Err(malformed) => {
                    *self = Self::Lost;
                    return Err(malformed);
                }
            },
        };
        if let Some(end) = end {
            *self = Self::beginning(&octets[end..]);
        }
        Ok(())
    }
}

/// The length of the head that `octets` begin with, as hyper reads it: up to an empty line, whichever way lines end.
fn head_length(octets: &[u8]) -> Option<usize> {
    let blank = octets
        .iter()
        .take_while(|octet| matches!(octet, b'\r' | b'\n'))
        .count();
    let lines = memchr::memchr_iter(b'\n', &octets[blank..]);
    lines
        .map(|at| blank + at + 1)
        .find_map(|line| match &octets[line..] {
            [b'\n', ..] => Some(line + 1),
            [b'\r', b'\n', ..] => Some(line + 2),
            _ => None,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_ends_where_hyper_sees_its_end() {
        for (octets, length) in [
            ("GET / HTTP/1.1\r\n\r\nrest", Some(18)),
            ("\r\n\r\nGET / HTTP/1.1\r\n\r\nrest", Some(22)),
            ("GET / HTTP/1.1\nA: b\n\nrest\r\n\r\n", Some(21)),
            ("GET / HTTP/1.1\nA: b\r\n\nrest\r\n\r\n", Some(22)),
            ("GET / HTTP/1.1\nA: b\n\r\nrest\r\n\r\n", Some(22)),
            ("GET / HTTP/1.1\r\nA: b\r\n", None),
        ] {
            assert_eq!(head_length(octets.as_bytes()), length, "{octets:?}");
        }
    }
}
