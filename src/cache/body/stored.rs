//! A body that is complete, as it is stored.

use std::sync::Arc;

use bytes::Bytes;
use smallvec::SmallVec;

use crate::cache::budget::Token;

/// Bytes of an allocation, and the largest body that is kept in one piece.
pub const SEGMENT: usize = 64 * 1024;

/// More than one part in so many of a body's memory may not go unused: it is not counted.
const MOST_UNUSED: usize = 16;

/// A complete body as it is stored.
#[derive(Clone, Debug)]
pub enum StoredBody {
    /// In one piece, possibly empty.
    One(Bytes),
    /// In pieces, for bodies beyond [`SEGMENT`].
    Pieces { pieces: Arc<[Bytes]>, length: u64 },
}

impl StoredBody {
    /// Bytes of content.
    pub fn len(&self) -> u64 {
        match self {
            Self::One(bytes) => bytes.len() as u64,
            Self::Pieces { length, .. } => *length,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The pieces in order.
    pub fn pieces(&self) -> &[Bytes] {
        match self {
            Self::One(bytes) => std::slice::from_ref(bytes),
            Self::Pieces { pieces, .. } => pieces,
        }
    }

    /// The pieces of the half-open byte range `from..to`, without copying.
    pub fn slice(&self, from: u64, to: u64) -> SmallVec<[Bytes; 2]> {
        let mut out = SmallVec::new();
        let mut start = 0;
        for piece in self.pieces() {
            let end = start + piece.len() as u64;
            if end > from && start < to && from < to {
                let low = from.saturating_sub(start) as usize;
                let high = (to.min(end) - start) as usize;
                out.push(piece.slice(low..high));
            }
            start = end;
        }
        out
    }

    /// A stored body of these pieces; small ones and scattered ones are brought together. Every slice that is ever
    /// taken of it keeps `token`.
    pub fn new(pieces: &[Bytes], token: Token) -> Self {
        Self::of_segments(pieces, 0, token)
    }

    /// The same of pieces that lie in segments, the last of which has `unused` bytes that the budget knows nothing of.
    pub(super) fn of_segments(pieces: &[Bytes], unused: usize, token: Token) -> Self {
        let length: usize = pieces.iter().map(Bytes::len).sum();
        if length == 0 {
            return Self::One(Bytes::new());
        }
        if length <= SEGMENT {
            return Self::One(Bytes::from_owner(Counted {
                bytes: join(pieces, length),
                _token: token,
            }));
        }
        let pieces = arrange(pieces, length, unused);
        let token = Arc::new(token);
        let count = |bytes| counted(bytes, token.clone());
        Self::Pieces {
            pieces: pieces.into_iter().map(count).collect(),
            length: length as u64,
        }
    }
}

/// `bytes`, keeping `token` for as long as anybody holds a slice of them.
pub fn counted<T: Send + 'static>(bytes: Bytes, token: T) -> Bytes {
    Bytes::from_owner(Counted {
        bytes,
        _token: token,
    })
}

/// Bytes that are counted against the budget for as long as anybody holds a slice of them.
struct Counted<B, T> {
    bytes: B,
    _token: T,
}

impl<B: AsRef<[u8]>, T> AsRef<[u8]> for Counted<B, T> {
    fn as_ref(&self) -> &[u8] {
        self.bytes.as_ref()
    }
}

fn join(pieces: &[Bytes], length: usize) -> Box<[u8]> {
    let mut joined = Vec::with_capacity(length);
    for piece in pieces {
        joined.extend_from_slice(piece);
    }
    joined.into_boxed_slice()
}

/// The same octets in not too many pieces, and in memory that is used.
fn arrange(pieces: &[Bytes], length: usize, unused: usize) -> Vec<Bytes> {
    if length / pieces.len() < SEGMENT / 8 {
        regroup(pieces)
    } else if unused > length / MOST_UNUSED {
        without_tail_room(pieces, SEGMENT.saturating_sub(unused))
    } else {
        pieces.to_vec()
    }
}

/// The same octets in whole segments, and what is left in memory of just its size.
fn regroup(pieces: &[Bytes]) -> Vec<Bytes> {
    let mut left: usize = pieces.iter().map(Bytes::len).sum();
    let mut groups = Vec::with_capacity(left.div_ceil(SEGMENT));
    let mut group = Vec::with_capacity(SEGMENT.min(left));
    for mut piece in pieces.iter().map(|piece| &piece[..]) {
        while !piece.is_empty() {
            let (fits, rest) = piece.split_at(piece.len().min(group.capacity() - group.len()));
            group.extend_from_slice(fits);
            piece = rest;
            if group.len() == group.capacity() {
                left -= group.len();
                let next = Vec::with_capacity(SEGMENT.min(left));
                groups.push(std::mem::replace(&mut group, next).into());
            }
        }
    }
    groups
}

/// The pieces with their last `tail` bytes, those of a segment that has not been filled, in memory of just their size.
fn without_tail_room(pieces: &[Bytes], tail: usize) -> Vec<Bytes> {
    let mut from = pieces.len();
    let mut bytes = 0;
    while bytes < tail && from > 0 {
        from -= 1;
        bytes += pieces[from].len();
    }
    let mut kept = pieces[..from].to_vec();
    kept.push(join(&pieces[from..], bytes).into());
    kept
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::*;

    #[test]
    fn a_stored_body_keeps_no_memory_that_it_does_not_use() {
        let octets: Vec<u8> = (0..2 * SEGMENT + 300).map(|n| (n % 251) as u8).collect();
        let small: Vec<Bytes> = octets.chunks(7_000).map(Bytes::copy_from_slice).collect();
        let mut segment = BytesMut::with_capacity(SEGMENT);
        segment.extend_from_slice(&octets[2 * SEGMENT..]);
        let mut large: Vec<Bytes> = octets[..2 * SEGMENT]
            .chunks(SEGMENT)
            .map(Bytes::copy_from_slice)
            .collect();
        large.push(segment.split_to(100).freeze());
        large.push(segment.split().freeze());
        let unused = segment.capacity();
        drop(segment);
        for (pieces, unused) in [(small, 0), (large, unused)] {
            let arranged = arrange(&pieces, octets.len(), unused);
            drop(pieces);
            assert_eq!(arranged.concat(), octets);
            let held = arranged
                .into_iter()
                .map(|piece| Vec::from(piece).capacity());
            assert_eq!(held.sum::<usize>(), octets.len());
        }
    }
}
