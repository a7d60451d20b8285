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
                    (Octet::Encoded, 0) => return Pass::Encoded(self.take_encoded(octets)),
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

    fn take_encoded(&mut self, octets: &[u8]) -> usize {
        let is_refused = |octet: &u8| Octet::of(*octet) == Octet::Refused;
        let taken = octets.iter().position(is_refused).unwrap_or(octets.len());
        self.target += taken;
        taken
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
                self.named(name, seen + 1)
            }
            _ => Place::Line,
        };
    }
}

impl Head {
    /// The line begins with `seen` octets of `name`.
    fn named(&mut self, name: &'static [u8], seen: usize) -> Place {
        if seen < name.len() {
            return Place::Name(name, seen);
        }
        self.has_length |= name == CONTENT_LENGTH;
        self.is_encoded |= name == TRANSFER_ENCODING;
        Place::Line
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
        line @ [b't' | b'T', ..] if is_of(line, TRANSFER_ENCODING) => Some(None),
        _ => None,
    };
    if version.len() > SHORT {
        let mut lines = memchr::memchr_iter(b'\n', version);
        return lines.find_map(|at| judge(&version[at + 1..]))?;
    }
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
    let (words, rest) = version.as_chunks::<8>();
    for (number, word) in words.iter().enumerate() {
        if let Some(judged) = judge_marked(8 * number, octet_search::equal(*word, b'\n')) {
            return judged;
        }
    }
    // The last eight, without those that have been looked at.
    let seen = 8 * (8 - u32::try_from(rest.len()).ok()?);
    let last = octet_search::equal(*version.last_chunk()?, b'\n');
    judge_marked(version.len() - 8, last & u64::MAX.checked_shl(seen)?)?
}

/// Octets of fields up to which a search eight octets at a time costs less than one of `memchr`'s for each line.
const SHORT: usize = 128;

/// Whether a line begins with this name and its colon.
fn is_of(line: &[u8], name: &[u8]) -> bool {
    let begins = line.get(..name.len());
    begins.is_some_and(|begins| begins.eq_ignore_ascii_case(name))
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
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::semantics::percent::encoded_octets;

    /// A head that arrives in pieces of so many octets: the octets that hyper is given, where the head ends, and its fault.
    fn passed(octets: &[u8], size: usize) -> (Vec<u8>, Option<usize>, Option<Fault>) {
        let (mut head, mut seen) = (Head::default(), Vec::new());
        let mut at = 0;
        while at < octets.len() {
            let piece = &octets[at..octets.len().min(at + size)];
            let (ends, taken) = match head.pass(piece) {
                Pass::Unchanged(n) => (false, n),
                Pass::End(n) => (true, n),
                Pass::Encoded(n) => {
                    seen.extend(encoded_octets(&piece[..n]));
                    at += n;
                    continue;
                }
            };
            assert!(taken > 0);
            seen.extend_from_slice(&piece[..taken]);
            at += taken;
            if ends {
                return (seen, Some(at), head.fault());
            }
        }
        (seen, None, head.fault())
    }

    #[test]
    fn a_head_ends_where_hyper_sees_its_end() {
        for (octets, length) in [
            ("GET / HTTP/1.1\r\n\r\nrest", Some(18)),
            ("\r\n\r\nGET / HTTP/1.1\r\n\r\nrest", Some(22)),
            ("GET / HTTP/1.1\nA: b\n\nrest\r\n\r\n", Some(21)),
            ("GET / HTTP/1.1\nA: b\r\n\nrest\r\n\r\n", Some(22)),
            ("GET / HTTP/1.1\nA: b\n\r\nrest\r\n\r\n", Some(22)),
            ("POST /a HTTP/1.1\r\nA: {\"b\"}\r\n\r\nrest", Some(30)),
            ("GET / HTTP/1.1\r\nA: b\r\n", None),
            ("GET / HTTP/1.1\r\nA: b\r\n\r", None),
            ("GET /", None),
        ] {
            for size in [1, 2, 3, 100] {
                let (seen, end, fault) = passed(octets.as_bytes(), size);
                assert_eq!((end, fault), (length, None), "{octets:?}");
                assert_eq!(seen, &octets.as_bytes()[..length.unwrap_or(octets.len())]);
            }
            if octets.starts_with(char::is_alphabetic) {
                assert_eq!(plain_head(octets.as_bytes()), length, "{octets:?}");
            }
        }
    }

    #[test]
    fn a_head_with_two_framings_is_seen_however_it_comes() {
        for (fields, twice, plain) in [
            (
                "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
                true,
                false,
            ),
            (
                "transfer-encoding:x\r\nA: b\r\nCONTENT-LENGTH:0\r\n",
                true,
                false,
            ),
            (
                "Transfer-Encoding: chunked\nContent-Length: 5\n",
                true,
                false,
            ),
            ("Transfer-Encoding: chunked\r\n", false, false),
            (
                "Content-Length: 5\r\nTE: trailers\r\nTransfer-Encodings: x\r\n",
                false,
                true,
            ),
            (
                "Content-Length: 5\r\nX: Transfer-Encoding: chunked\r\n",
                false,
                true,
            ),
            (
                "Content-Lengths: 5\r\nTransfer-Encoding: chunked\r\n",
                false,
                false,
            ),
        ] {
            let octets = format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n").into_bytes();
            for size in [1, 2, 7, 100] {
                let mut head = Head::default();
                for piece in octets.chunks(size) {
                    let _ = head.pass(piece);
                }
                assert_eq!(head.has_two_framings(), twice, "{fields:?} {size}");
            }
            assert_eq!(plain_head(&octets).is_some(), plain, "{fields:?}");
        }
    }

    #[test]
    fn only_the_target_is_encoded() {
        #[rustfmt::skip]
        let table: [(&[u8], &[u8]); 5] = [
            (b"GET /?a={\"b\":1} HTTP/1.1\r\nA: {\"}\r\n\r\n", b"GET /?a=%7B%22b%22:1%7D HTTP/1.1\r\nA: {\"}\r\n\r\n"),
            (b"\r\nGET {} HTTP/1.0\n\n", b"\r\nGET %7B%7D HTTP/1.0\n\n"),
            (b"GET /\xff%<%3c HTTP/1.1\r\n\r\n", b"GET /%FF%%3C%3c HTTP/1.1\r\n\r\n"),
            (b"GET http://a{b/|?\\ HTTP/1.1\r\n\r\n", b"GET http://a%7Bb/%7C?%5C HTTP/1.1\r\n\r\n"),
            (b"G{T /[] HTTP/{.1\r\n{}\r\n\r\n", b"G{T /[] HTTP/{.1\r\n{}\r\n\r\n"),
        ];
        for (sent, expected) in table {
            for size in [1, 2, 3, 100] {
                let (seen, end, fault) = passed(sent, size);
                assert_eq!(
                    seen.escape_ascii().to_string(),
                    expected.escape_ascii().to_string()
                );
                assert_eq!((end, fault), (Some(sent.len()), None));
            }
            assert_eq!(plain_head(sent), None);
        }
    }

    #[test]
    fn what_stays_refused_is_named() {
        for (line, fault) in [
            ("GET /a#b HTTP/1.1", "has a `#` at offset 2"),
            ("GET /{}\u{e9}#b HTTP/1.1", "has a `#` at offset 5"),
            ("GET /a b HTTP/1.1", "has a space at offset 2"),
            ("GET /a b", "has a space at offset 2"),
            ("GET  /a HTTP/1.1", "has a space at offset 0"),
            (
                "GET /a\x07b# HTTP/1.1",
                "the control character 0x07 at offset 2",
            ),
            (
                "GET /\x7f HTTP/1.1",
                "the control character 0x7F at offset 1",
            ),
            ("GET /\t HTTP/1.1", "the control character 0x09 at offset 1"),
            ("GET /a", "no HTTP version"),
        ] {
            for end in ["\r\n\r\n", "\n\n"] {
                let head = format!("{line}{end}");
                for size in [1, 2, 100] {
                    let (_, length, found) = passed(head.as_bytes(), size);
                    let found = found.expect(line).to_string();
                    assert!(found.contains(fault), "{line:?}: {found}");
                    assert_eq!(length, Some(head.len()), "{line:?}");
                }
                assert_eq!(plain_head(head.as_bytes()), None, "{line:?}");
            }
        }
    }

    #[test]
    fn the_path_of_a_uri_is_encoded_and_nothing_else() {
        for (given, expected) in [
            ("http://a.test/{b}?c=|", "http://a.test/%7Bb%7D?c=%7C"),
            ("/caf\u{e9}", "/caf%C3%A9"),
            ("/a?b[]=%7b", "/a?b[]=%7b"),
            ("*", "*"),
        ] {
            let mut uri: Uri = given.parse().unwrap();
            assert_eq!(encode_path(&mut uri), Ok(()));
            assert_eq!(uri.to_string(), expected);
        }
        let mut uri: Uri = format!("/{}", "{".repeat(30_000)).parse().unwrap();
        assert_eq!(encode_path(&mut uri), Err(ErrorKind::UriTooLong));
    }

    proptest! {
        /// What is given to hyper without being tracked is what would be given to it if it were, and is one head alone.
        #[test]
        fn a_plain_head_is_one_that_need_not_be_tracked(
            method in prop_oneof![4 => "GET ", 1 => "[A-Z]{0,4} "],
            target in prop_oneof![4 => "/[a-z?=&%]{0,20}", 1 => "/[a-z {\"|#]{0,6}"],
            version in prop_oneof![4 => " HTTP/1\\.1", 1 => "| HTTP/1\\.[01]| HTTP"],
            pieces in proptest::collection::vec(prop_oneof![
                3 => "\r\n",
                1 => "\r|\n|\x0b|\r\n\r\n",
                3 => "[a-zA-Z-]{1,12}: [ -~]{0,20}",
                1 => "(t|T)ransfer-(e|E)ncoding:chunked|te: trailers|Content-Length: 1",
            ], 0..12),
        ) {
            let head = [&*method, &target, &version, "\r\n", &pieces.concat(), "\r\n\r\n"].concat();
            for length in 0..=head.len() {
                let octets = &head.as_bytes()[..length];
                let Some(end) = plain_head(octets) else { continue };
                let mut tracked = Head::default();
                prop_assert_eq!(tracked.pass(octets), Pass::End(end));
                prop_assert_eq!((tracked.fault(), tracked.is_encoded), (None, false));
            }
            // Most of those that hold nothing unusual are plain, too.
            if method == "GET " && target.bytes().all(|octet| Octet::of(octet) == Octet::Allowed) && version == " HTTP/1.1" {
                let mut tracked = Head::default();
                if let Pass::End(end) = tracked.pass(head.as_bytes()) && !tracked.is_encoded {
                    prop_assert_eq!(plain_head(head.as_bytes()), Some(end));
                }
            }
        }
    }
}
