//! What is kept of a response's content: all of it, or ranges that are brought together when another part arrives
//! (RFC 9111 §3.3, §3.4).

use std::sync::Arc;

use bytes::Bytes;

use super::body::{StoredBody, counted};
use super::budget::Token;
use crate::semantics::partial::Partial;
use crate::semantics::range::ByteRange;

/// The stored content.
#[derive(Clone, Debug)]
pub enum Content {
    Complete(StoredBody),
    /// Ranges of a representation with a strong validator, each with its octets (RFC 9111 §3.3).
    Partial(Parts),
}

impl Content {
    /// Bytes kept.
    pub fn len(&self) -> u64 {
        match self {
            Self::Complete(body) => body.len(),
            Self::Partial(parts) => parts.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of the whole representation.
    pub fn complete_length(&self) -> u64 {
        match self {
            Self::Complete(body) => body.len(),
            Self::Partial(parts) => parts.ranges.complete_length(),
        }
    }
}

/// Ranges of one representation with their octets.
#[derive(Clone, Debug)]
pub struct Parts {
    pub ranges: Partial,
    /// One a range, in the same order.
    pieces: Arc<[Bytes]>,
}

impl Parts {
    /// Bytes kept.
    pub fn len(&self) -> u64 {
        self.pieces.iter().map(|piece| piece.len() as u64).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// The octets of `range`; `None` unless all of them are here.
    pub fn slice(&self, range: ByteRange) -> Option<Bytes> {
        let held = self.ranges.ranges().iter().zip(self.pieces.iter());
        held.filter(|(held, _)| held.first() <= range.first() && range.last() <= held.last())
            .find_map(|(held, piece)| {
                let from = usize::try_from(range.first() - held.first()).ok()?;
                let to = from.checked_add(usize::try_from(range.len()).ok()?)?;
                (to <= piece.len()).then(|| piece.slice(from..to))
            })
    }
}

/// Adds `octets`, which are `range` of a representation of `complete` octets, to what is stored of it. `token` covers
/// all the octets that come out. `None` when they do not fit together.
pub fn combine(
    stored: Option<&Parts>,
    complete: u64,
    range: ByteRange,
    octets: &[u8],
    token: Token,
) -> Option<Content> {
    if octets.len() as u64 != range.len() {
        return None;
    }
    let stored = stored.filter(|stored| stored.ranges.complete_length() == complete);
    let mut ranges = stored.map_or_else(|| Partial::new(complete), |stored| stored.ranges.clone());
    if !ranges.insert(range) {
        return None;
    }
    let mut joined = Vec::new();
    for out in ranges.ranges() {
        let mut piece = vec![0; usize::try_from(out.len()).ok()?];
        for (held, old) in stored
            .iter()
            .flat_map(|stored| stored.ranges.ranges().iter().zip(stored.pieces.iter()))
        {
            write(&mut piece, *out, *held, old);
        }
        write(&mut piece, *out, range, octets);
        joined.push(Bytes::from(piece));
    }
    Some(if ranges.is_complete() {
        Content::Complete(StoredBody::new(&joined, token))
    } else {
        let token = Arc::new(token);
        let pieces = joined
            .into_iter()
            .map(|piece| counted(piece, token.clone()))
            .collect();
        Content::Partial(Parts { ranges, pieces })
    })
}

/// Copies the octets of `held`, if it lies within `out`, to their place.
fn write(piece: &mut [u8], out: ByteRange, held: ByteRange, octets: &[u8]) {
    if held.first() < out.first() || held.last() > out.last() {
        return;
    }
    let from = (held.first() - out.first()) as usize;
    if let Some(place) = piece.get_mut(from..from + octets.len()) {
        place.copy_from_slice(octets);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::budget::Budget;

    fn add(stored: Option<&Parts>, first: u64, octets: &[u8]) -> Option<Content> {
        let range = ByteRange::new(first, first + octets.len() as u64 - 1)?;
        let token = Token::empty(&Budget::new(1 << 20));
        combine(stored, 10, range, octets, token)
    }

    fn parts(content: Option<Content>) -> Parts {
        match content {
            Some(Content::Partial(parts)) => parts,
            other => panic!("{other:?}"),
        }
    }

    fn slice(parts: &Parts, first: u64, last: u64) -> Option<Bytes> {
        parts.slice(ByteRange::new(first, last).unwrap())
    }

    #[test]
    fn a_part_answers_what_lies_within_it() {
        let parts = parts(add(None, 2, b"cdef"));
        assert_eq!(slice(&parts, 3, 4).unwrap(), "de");
        assert_eq!(slice(&parts, 2, 5).unwrap(), "cdef");
        assert_eq!(slice(&parts, 1, 3), None);
        assert_eq!(slice(&parts, 5, 6), None);
    }

    #[test]
    fn parts_that_touch_or_overlap_become_one() {
        let one = parts(add(None, 0, b"abc"));
        let two = parts(add(Some(&one), 6, b"gh"));
        assert_eq!(slice(&two, 2, 6), None);
        let joined = parts(add(Some(&two), 2, b"CDEFG"));
        assert_eq!(slice(&joined, 0, 7).unwrap(), "abCDEFGh");
        let Some(Content::Complete(body)) = add(Some(&joined), 8, b"ij") else {
            panic!("not complete")
        };
        assert_eq!(body.pieces().concat(), b"abCDEFGhij");
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        assert!(add(None, 8, b"ijk").is_none(), "beyond the end");
        let range = ByteRange::new(0, 4).unwrap();
        let token = Token::empty(&Budget::new(10));
        assert!(
            combine(None, 10, range, b"abc", token).is_none(),
            "another length than its range"
        );
    }

    #[test]
    fn parts_of_another_length_are_let_go() {
        let one = parts(add(None, 0, b"abc"));
        let token = Token::empty(&Budget::new(100));
        let other = combine(Some(&one), 20, ByteRange::new(5, 6).unwrap(), b"xy", token);
        let other = parts(other);
        assert_eq!(slice(&other, 0, 2), None);
        assert_eq!(slice(&other, 5, 6).unwrap(), "xy");
    }
}
