//! The request lines of HTTP/1, found beside hyper. hyper refuses targets that most servers take, so what no URI has is
//! percent-encoded before hyper sees it (RFC 9112 §3.2), and what stays refused is named.

use std::fmt;

use http::Uri;
use http::uri::PathAndQuery;

use crate::error::ErrorKind;
use crate::semantics::octet_search;
use crate::semantics::percent::{Octet, encoded};

/// A position in the head of a request, and what is known of it up to there.
#[derive(Debug, Default)]
pub(super) struct Head {
    place: Place,
    /// Octets of the target so far, before encoding.
    target: usize,
    fault: Option<Fault>,
    has_length: bool,
    is_encoded: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    /// Before the request line, where empty lines are allowed (RFC 9112 §2.2).
    #[default]
    Blank,
    Method,
    Target,
    /// So many octets after the space that follows the target.
    Version(usize),
    Line,
    LineStart,
    /// After so many octets of this field name and its colon.
    Name(&'static [u8], usize),
    /// After a CR that begins a line.
    LineCr,
}

/// The part of the next octets that hyper is given.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Pass {
    /// So many are given to hyper as they are.
    Unchanged(usize),
    /// So many are given to hyper percent-encoded.
    Encoded(usize),
    /// So many are given to hyper as they are, and are the rest of the head.
    End(usize),
}

/// A fault of a request target. Its `Display` is a sentence for the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// An octet that no target may have, and its offset in the target.
    Octet(u8, usize),
    /// The line ends after the target.
    NoVersion,
}

const VERSION: &[u8] = b"HTTP/";
const CONTENT_LENGTH: &[u8] = b"content-length:";
const TRANSFER_ENCODING: &[u8] = b"transfer-encoding:";

impl Head {
    /// The fault of the target, found up to this position.
    pub fn fault(&self) -> Option<Fault> {
        self.fault
    }

    /// Whether it has both Content-Length and Transfer-Encoding, up to this position.
    pub fn has_two_framings(&self) -> bool {
        self.has_length && self.is_encoded
    }

    /// Takes the next octets of the head.
    pub fn pass(&mut self, octets: &[u8]) -> Pass {
        let mut at = 0;
        while let Some(octet) = octets.get(at) {
            match self.place {
                Place::Target => match (Octet::of(*octet), at) {
                    (Octet::Encoded, 0) => {
                        let is_refused = |octet: &u8| Octet::of(*octet) == Octet::Refused;
                        let taken = octets.iter().position(is_refused).unwrap_or(octets.len());
                        self.target += taken;
                        return Pass::Encoded(taken);
                    }
                    (Octet::Encoded, _) => break,
                    (Octet::Allowed, _) => self.target += 1,
                    (Octet::Refused, _) => self.refuse(*octet),
                },
                Place::Line => {
                    let Some(end) = memchr::memchr(b'\n', &octets[at..]) else {
                        return Pass::Unchanged(octets.len());
                    };
                    self.place = Place::LineStart;
                    at += end;
                }
                Place::LineStart | Place::LineCr if *octet == b'\n' => return Pass::End(at + 1),
                _ => self.step(*octet),
            }
            at += 1;
        }
        Pass::Unchanged(at)
    }

    /// Takes an octet that ends the target, or that no target may have.
    fn refuse(&mut self, octet: u8) {
        match octet {
            b' ' => self.place = Place::Version(0),
            b'\r' | b'\n' => {
                self.fault.get_or_insert(Fault::NoVersion);
                self.place = Place::Line;
                self.step(octet);
            }
            _ => {
                self.fault.get_or_insert(Fault::Octet(octet, self.target));
                self.target += 1;
            }
        }
    }

    fn step(&mut self, octet: u8) {
        self.place = match (self.place, octet) {
            (Place::Blank, b'\r' | b'\n') => Place::Blank,
            (Place::Blank | Place::Method, b' ') => Place::Target,
            (_, b'\n') => Place::LineStart,
            (Place::Blank | Place::Method, _) => Place::Method,
            (Place::Version(seen), octet) if VERSION.get(seen) == Some(&octet) => {
                Place::Version(seen + 1)
            }
            (Place::Version(seen), _) => {
                if seen < VERSION.len() {
                    // The space is one in the target, and does not end it.
                    self.fault.get_or_insert(Fault::Octet(b' ', self.target));
                }
                Place::Line
            }
            (Place::LineStart, b'\r') => Place::LineCr,
            (Place::LineStart, b'c' | b'C') => Place::Name(CONTENT_LENGTH, 1),
            (Place::LineStart, b't' | b'T') => Place::Name(TRANSFER_ENCODING, 1),
            (Place::Name(name, seen), octet)
                if name.get(seen) == Some(&octet.to_ascii_lowercase()) =>
            {
                if seen + 1 < name.len() {
                    Place::Name(name, seen + 1)
                } else {
                    self.has_length |= name == CONTENT_LENGTH;
                    self.is_encoded |= name == TRANSFER_ENCODING;
                    Place::Line
                }
            }
            _ => Place::Line,
        };
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Octet(b'#', at) => write!(
                f,
                "the request target has a `#` at offset {at}: a fragment is not sent, and the character itself is sent as %23"
            ),
            Self::Octet(b' ', at) => write!(
                f,
                "the request target has a space at offset {at}: it is sent as %20"
            ),
            Self::Octet(octet, at) => write!(
                f,
                "the request target has the control character 0x{octet:02X} at offset {at}: it is sent as %{octet:02X}"
            ),
            Self::NoVersion => f.write_str("the request line has no HTTP version"),
        }
    }
}

/// The length of the head that `octets` begin with. `None` when it is not complete, when its target has to be encoded, or when
/// it has a Transfer-Encoding: all of them are rare.
pub(super) fn plain_head(octets: &[u8]) -> Option<usize> {
    let target = match octets.strip_prefix(b"GET ") {
        Some(target) => target,
        None => {
            let is_end = |octet: &u8| !octet.is_ascii_uppercase();
            octets[octets.iter().position(is_end)?..].strip_prefix(b" ")?
        }
    };
    let is_end = |octet: &u8| Octet::of(*octet) != Octet::Allowed;
    let rest = &target[target.iter().position(is_end)?..];
    let version = rest.strip_prefix(b" ")?;
    if !version.starts_with(VERSION) {
        return None;
    }
    // What the octets behind a line feed say: whether the head is plain and where it ends, or nothing yet. hyper takes an empty
    // line for its end, whether lines end with LF or CRLF.
    let judge = |line: &[u8]| match line {
        [b'\n', rest @ ..] | [b'\r', b'\n', rest @ ..] => Some(Some(octets.len() - rest.len())),
        [b't' | b'T', ..] => {
            let name = line.get(..TRANSFER_ENCODING.len())?;
            (name.eq_ignore_ascii_case(TRANSFER_ENCODING)).then_some(None)
        }
        _ => None,
    };
    let judge_marked = |at: usize, mut marks: u64| {
        while marks != 0 {
            let judged = judge(&version[at + octet_search::first(marks) + 1..]);
            if judged.is_some() {
                return judged;
            }
            marks = octet_search::without_first(marks);
        }
        None
    };
    let judge_words = |at: usize, octets: &[u8]| {
        let (words, _) = octets.as_chunks::<8>();
        let mut words = words.iter().enumerate();
        words.find_map(|(nth, word)| judge_marked(at + 8 * nth, octet_search::equal(*word, b'\n')))
    };
    // Most lines need no look of their own: all places of a block are compared at once.
    let mut at = 0;
    while version.len() > SHORT
        && let Some(block) = version.get(at..=at + BLOCK)
    {
        let (these, next) = (block.first_chunk()?, block.last_chunk()?);
        if may_begin_rare_line(these, next)
            && let Some(judged) = judge_words(at, these)
        {
            return judged;
        }
        at += BLOCK;
    }
    if let Some(judged) = judge_words(at, &version[at..]) {
        return judged;
    }
    // The last eight, without those that have been looked at.
    let left = version[at..].len() % 8;
    let seen = 8 * (8 - u32::try_from(left).ok()?);
    let last = octet_search::equal(*version.last_chunk()?, b'\n');
    judge_marked(version.len() - 8, last & u64::MAX.checked_shl(seen)?)?
}

/// Octets of fields up to which a search of eight octets at a time finds the end sooner.
const SHORT: usize = 64;

/// Octets that are compared at once.
const BLOCK: usize = 32;

/// Whether a line begins behind one of `these` octets that is empty or whose first letter is T; `next` is the same block an
/// octet later. The compiler makes vector instructions of it. Control characters up to CR count as an empty line.
fn may_begin_rare_line(these: &[u8; BLOCK], next: &[u8; BLOCK]) -> bool {
    these.iter().zip(next).fold(false, |found, (this, next)| {
        found | ((*this == b'\n') & ((*next <= b'\r') | (*next | 0x20 == b't')))
    })
}

/// Percent-encodes what no URI may have in the target of an HTTP/2 request: `http` accepts some of it. Fails when the target
/// becomes too long for `http`.
pub(super) fn encode_path(uri: &mut Uri) -> Result<(), ErrorKind> {
    let Some(path) = uri.path_and_query() else {
        return Ok(());
    };
    let is_allowed = |octet: u8| Octet::of(octet) == Octet::Allowed;
    if path.as_str().bytes().all(is_allowed) {
        return Ok(());
    }
    let path = encoded(path.as_str()).into_owned();
    let path = PathAndQuery::try_from(path).map_err(|_| ErrorKind::UriTooLong)?;
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(path);
    *uri = Uri::from_parts(parts).map_err(|_| ErrorKind::UriTooLong)?;
    Ok(())
}

#[cfg(test)]
mod tests;
