//! What is written into keys: invalidations, matchers and records, in octets. Each begins with the version of its form. Numbers are
//! little-endian.
//!
//! ```text
//! invalidation: version (1), strength (1), matchers: kind (1), length (4), text, of a tag of one origin with the
//!               origin before it: length (4), text
//! record:       version (1), stamp (8), stored (8), until (8), variant (16), lengths of target (4), head (4) and body (8),
//!               target, head, the body if it is short, checksum (8)
//! chunk:        up to 256 KiB of a long body, checksum (8)
//! ```

use bytes::{Bytes, BytesMut};
use twox_hash::XxHash3_64;

use crate::ledger::invalidation::{Invalidation, Matcher, Strength};
use crate::semantics::selector::Selector;
use crate::semantics::time::Timestamp;
use crate::tier::Record;
use crate::tier::octets::Reader;

const VERSION: u8 = 1;

/// A body up to so many octets lies with its record.
pub const SHORT: u64 = 64 * 1024;

/// Octets of a long body in one chunk.
pub const CHUNK: usize = 256 * 1024;

/// The longest body that is kept, in octets.
pub const LONGEST: u64 = 8 << 20;

const CHECKSUM: usize = 8;

const ALL: u8 = 0;
const PATH_AND_QUERY: u8 = 1;
const TARGET: u8 = 2;
const TARGET_PATH: u8 = 3;
const PATH_PREFIX: u8 = 4;
const TARGET_PREFIX: u8 = 5;
const TAG: u8 = 6;
const TAG_OF_ORIGIN: u8 = 7;

/// An invalidation, to be delivered.
pub fn invalidation(invalidation: &Invalidation) -> Vec<u8> {
    let mut octets = vec![VERSION, invalidation.strength as u8];
    for matcher in &invalidation.covers {
        put_matcher(matcher, &mut octets);
    }
    octets
}

/// The matchers of an invalidation, each with its strength: what the server's ledger remembers.
pub fn matchers(invalidation: &Invalidation) -> Vec<Vec<u8>> {
    let of = |matcher| {
        let mut octets = vec![VERSION, invalidation.strength as u8];
        put_matcher(matcher, &mut octets);
        octets
    };
    invalidation.covers.iter().map(of).collect()
}

fn put_matcher(matcher: &Matcher, into: &mut Vec<u8>) {
    match matcher {
        Matcher::Urls(selector) => put_selector(selector, into),
        Matcher::Tag { name, origin: None } => put_text(TAG, name, into),
        Matcher::Tag {
            name,
            origin: Some(origin),
        } => {
            put_text(TAG_OF_ORIGIN, origin, into);
            put_octets(name, into);
        }
        // Which URLs take a route is another matter on another gateway. All of them are within this.
        Matcher::Route(route) => put_selector(route.within(), into),
        Matcher::All => into.push(ALL),
    }
}

fn put_selector(selector: &Selector, into: &mut Vec<u8>) {
    let (kind, text) = match selector {
        Selector::PathAndQuery(text) => (PATH_AND_QUERY, text),
        Selector::Target(text) => (TARGET, text),
        Selector::TargetPath(text) => (TARGET_PATH, text),
        Selector::PathPrefix(text) => (PATH_PREFIX, text),
        Selector::TargetPrefix(text) => (TARGET_PREFIX, text),
    };
    put_text(kind, text, into);
}

fn put_text(kind: u8, text: &str, into: &mut Vec<u8>) {
    into.push(kind);
    put_octets(text, into);
}

fn put_octets(text: &str, into: &mut Vec<u8>) {
    into.extend_from_slice(&(text.len() as u32).to_le_bytes());
    into.extend_from_slice(text.as_bytes());
}

/// What was written by [`invalidation`] or [`matchers`]. What cannot be read, as a later version may write it, covers everything:
/// that costs fetches, and leaves nothing out.
pub fn read_invalidation(octets: &[u8]) -> Invalidation {
    read_known(octets).unwrap_or_else(|| Invalidation::hard(vec![Matcher::All]))
}

fn read_known(octets: &[u8]) -> Option<Invalidation> {
    let mut reader = Reader(octets);
    let [version, strength] = reader.octets()?;
    if version != VERSION {
        return None;
    }
    let all = [Strength::Soft, Strength::Hard];
    let strength = all.into_iter().find(|one| *one as u8 == strength)?;
    let mut covers = Vec::new();
    while !reader.0.is_empty() {
        covers.push(read_matcher(&mut reader)?);
    }
    Some(Invalidation { covers, strength })
}

fn read_matcher(reader: &mut Reader<'_>) -> Option<Matcher> {
    let [kind] = reader.octets()?;
    if kind == ALL {
        return Some(Matcher::All);
    }
    let text = read_text(reader)?;
    Some(match kind {
        PATH_AND_QUERY => Matcher::Urls(Selector::PathAndQuery(text)),
        TARGET => Matcher::Urls(Selector::Target(text)),
        TARGET_PATH => Matcher::Urls(Selector::TargetPath(text)),
        PATH_PREFIX => Matcher::Urls(Selector::PathPrefix(text)),
        TARGET_PREFIX => Matcher::Urls(Selector::TargetPrefix(text)),
        TAG => Matcher::Tag {
            name: text,
            origin: None,
        },
        TAG_OF_ORIGIN => Matcher::Tag {
            name: read_text(reader)?,
            origin: Some(text),
        },
        _ => return None,
    })
}

fn read_text(reader: &mut Reader<'_>) -> Option<String> {
    let length = reader.u32()?;
    let text = reader.take(usize::try_from(length).ok()?)?;
    String::from_utf8(text.to_vec()).ok()
}

/// A record as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packed {
    pub record: Vec<u8>,
    /// Those of a long body, each under a key of its own. They are written before the record.
    pub chunks: Vec<Vec<u8>>,
}

/// A record as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unpacked {
    /// Without its body, where that is long.
    pub record: Record,
    /// Chunks that the body is in.
    pub chunks: u32,
}

/// `None` where it is too long.
pub fn pack(record: &Record) -> Option<Packed> {
    let length: u64 = record.body.iter().map(|part| part.len() as u64).sum();
    if length > LONGEST {
        return None;
    }
    let mut octets = vec![VERSION];
    for number in [
        record.stamp,
        record.stored.as_millis(),
        record.until.as_millis(),
    ] {
        octets.extend_from_slice(&number.to_le_bytes());
    }
    octets.extend_from_slice(&record.variant);
    for length in [record.target.len(), record.head.len()] {
        octets.extend_from_slice(&u32::try_from(length).ok()?.to_le_bytes());
    }
    octets.extend_from_slice(&length.to_le_bytes());
    octets.extend_from_slice(record.target.as_bytes());
    octets.extend_from_slice(&record.head);
    let chunks = match length <= SHORT {
        true => {
            record
                .body
                .iter()
                .for_each(|part| octets.extend_from_slice(part));
            Vec::new()
        }
        false => in_chunks(&record.body),
    };
    seal(&mut octets, 0);
    let record = octets;
    Some(Packed { record, chunks })
}

fn in_chunks(body: &[Bytes]) -> Vec<Vec<u8>> {
    let whole: Vec<u8> = body.concat();
    let chunks = whole.chunks(CHUNK).zip(1..);
    let sealed = chunks.map(|(chunk, number)| {
        let mut chunk = chunk.to_vec();
        seal(&mut chunk, number);
        chunk
    });
    sealed.collect()
}

/// A chunk has another checksum in another place.
fn seal(octets: &mut Vec<u8>, place: u64) {
    let sum = XxHash3_64::oneshot_with_seed(place, octets);
    octets.extend_from_slice(&sum.to_le_bytes());
}

fn unsealed(octets: &[u8], place: u64) -> Option<&[u8]> {
    let (content, sum) = octets.split_last_chunk::<CHECKSUM>()?;
    let is_whole = XxHash3_64::oneshot_with_seed(place, content).to_le_bytes() == *sum;
    is_whole.then_some(content)
}

/// What was written by [`pack`]; `None` where it was damaged, or written by another version.
pub fn unpack(octets: &[u8]) -> Option<Unpacked> {
    let mut reader = Reader(unsealed(octets, 0)?);
    let [VERSION] = reader.octets()? else {
        return None;
    };
    let (stamp, stored, until) = (reader.u64()?, reader.u64()?, reader.u64()?);
    let variant = reader.octets()?;
    let (target, head, length) = (reader.u32()?, reader.u32()?, reader.u64()?);
    if length > LONGEST {
        return None;
    }
    let target = reader.take(usize::try_from(target).ok()?)?;
    let head = reader.take(usize::try_from(head).ok()?)?;
    let is_short = length <= SHORT;
    let body = match is_short {
        true => reader.take(length as usize)?,
        false => &[],
    };
    if !reader.0.is_empty() {
        return None;
    }
    let record = Record {
        target: std::str::from_utf8(target).ok()?.into(),
        variant,
        stamp,
        stored: Timestamp::from_millis(stored),
        until: Timestamp::from_millis(until),
        head: Bytes::copy_from_slice(head),
        body: match body {
            [] => Vec::new(),
            body => vec![Bytes::copy_from_slice(body)],
        },
    };
    let chunks = match is_short {
        true => 0,
        false => length.div_ceil(CHUNK as u64) as u32,
    };
    Some(Unpacked { record, chunks })
}

/// The content of a chunk, the one of this index from 0 on; `None` where it was damaged.
pub fn unpack_chunk(octets: Vec<u8>, index: u32) -> Option<Bytes> {
    let length = unsealed(&octets, u64::from(index) + 1)?.len();
    let mut chunk = BytesMut::from(Bytes::from(octets));
    chunk.truncate(length);
    Some(chunk.freeze())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::invalidation::Route;

    fn record(body: usize) -> Record {
        Record {
            target: "http://h/books?page=2".into(),
            variant: [7; 16],
            stamp: 42,
            stored: Timestamp::from_millis(1_800_000_000_000),
            until: Timestamp::from_millis(1_800_000_060_000),
            head: Bytes::from_static(b"a head"),
            body: match body {
                0 => Vec::new(),
                length => vec![Bytes::from(vec![b'x'; length])],
            },
        }
    }

    #[test]
    fn each_matcher_is_read_as_it_was_written() {
        let text = "http://h/b\u{fc}cher".to_owned();
        let covers = vec![
            Matcher::All,
            Matcher::Urls(Selector::PathAndQuery("/books?a".to_owned())),
            Matcher::Urls(Selector::Target(text.clone())),
            Matcher::Urls(Selector::TargetPath(text.clone())),
            Matcher::Urls(Selector::PathPrefix(String::new())),
            Matcher::Urls(Selector::TargetPrefix(text)),
            Matcher::Tag {
                name: "books".to_owned(),
                origin: None,
            },
            Matcher::tag("http://h", "a \"tag\""),
        ];
        for written in [
            Invalidation::hard(covers.clone()),
            Invalidation::soft(covers),
        ] {
            assert_eq!(read_invalidation(&invalidation(&written)), written);
            let parts = matchers(&written);
            assert_eq!(parts.len(), written.covers.len());
            for (part, matcher) in parts.iter().zip(&written.covers) {
                let expected = Invalidation {
                    covers: vec![matcher.clone()],
                    strength: written.strength,
                };
                assert_eq!(read_invalidation(part), expected);
            }
        }
    }

    #[test]
    fn a_route_is_what_it_is_within() {
        let within = Selector::PathPrefix("/books".to_owned());
        let route = Matcher::Route(Route::new("/books/{id}", within.clone(), |_| true));
        let read = read_invalidation(&invalidation(&Invalidation::soft(vec![route])));
        assert_eq!(read, Invalidation::soft(vec![Matcher::Urls(within)]));
    }

    #[test]
    fn what_cannot_be_read_covers_everything() {
        let written = invalidation(&Invalidation::soft(vec![Matcher::target("http://h/a")]));
        let all = Invalidation::hard(vec![Matcher::All]);
        for end in (0..written.len()).filter(|end| *end != 2) {
            assert_eq!(read_invalidation(&written[..end]), all, "{end} octets");
        }
        for (at, octet) in [(0, 2), (1, 9), (2, 99), (7, 0xff)] {
            let mut other = written.clone();
            other[at] = octet;
            assert_eq!(read_invalidation(&other), all, "octet {at}");
        }
    }

    #[test]
    fn a_record_is_read_as_it_was_written() {
        for (length, chunks) in [(0, 0), (1, 0), (65_536, 0), (65_537, 1), (524_289, 3)] {
            let written = record(length);
            let packed = pack(&written).expect("it is short enough");
            let read = unpack(&packed.record).expect("it is whole");
            assert_eq!(read.chunks as usize, packed.chunks.len());
            assert_eq!(read.chunks, chunks);
            let mut all = read.record;
            let parts = (0..).zip(packed.chunks);
            all.body
                .extend(parts.map(|(at, chunk)| unpack_chunk(chunk, at).expect("whole")));
            assert_eq!(all.body.concat(), written.body.concat());
            all.body.clone_from(&written.body);
            assert_eq!(all, written);
        }
        assert_eq!(pack(&record(LONGEST as usize + 1)), None);
    }

    #[test]
    fn a_damaged_record_or_chunk_is_none() {
        let packed = pack(&record(3)).expect("a record");
        for end in 0..packed.record.len() {
            assert_eq!(unpack(&packed.record[..end]), None, "{end} octets");
        }
        for bit in 0..packed.record.len() * 8 {
            let mut damaged = packed.record.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(unpack(&damaged), None, "bit {bit}");
        }
        let chunks = pack(&record(2 * CHUNK)).expect("a record").chunks;
        assert_eq!(chunks.len(), 2);
        assert_eq!(unpack_chunk(chunks[0].clone(), 1), None, "another place");
        assert_eq!(unpack_chunk(chunks[0][1..].to_vec(), 0), None);
        assert_eq!(unpack_chunk(Vec::new(), 0), None);
        assert!(unpack_chunk(chunks[1].clone(), 1).is_some());
    }
}
