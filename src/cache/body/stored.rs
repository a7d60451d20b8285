//! A body that is complete, as it is stored.

use std::sync::Arc;

use bytes::Bytes;
use smallvec::SmallVec;

use super::SEGMENT;
use crate::cache::budget::Token;

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
        let scattered = length / pieces.len() < SEGMENT / 8;
        let pieces = if scattered {
            regroup(pieces)
        } else {
            pieces.to_vec()
        };
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

fn regroup(pieces: &[Bytes]) -> Vec<Bytes> {
    let mut groups = Vec::new();
    let mut group = Vec::with_capacity(SEGMENT);
    for piece in pieces {
        group.extend_from_slice(piece);
        if group.len() >= SEGMENT {
            groups.push(std::mem::replace(&mut group, Vec::with_capacity(SEGMENT)).into());
        }
    }
    if !group.is_empty() {
        group.shrink_to_fit();
        groups.push(group.into());
    }
    groups
}
