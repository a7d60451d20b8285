//! A response in the store.

mod refreshes;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;
use http::header::CONTENT_ENCODING;

use self::refreshes::Refreshes;
use super::body::StoredBody;
use super::budget::{Token, allocated};
use super::content::{Content, Parts};
use super::head::Head;
use crate::clock::Monotonic;

/// Bodies up to so many bytes lie with their response, without an owner of their own.
const SMALL: u64 = 4 * 1024;

/// A response in the store.
#[derive(Debug)]
pub struct StoredResponse {
    pub head: Head,
    kept: Kept,
    token: Option<Token>,
    /// Tenths of a second on the monotonic clock: when it was last chosen, to within a second.
    used: AtomicU32,
    /// How often it was chosen since it was stored or validated, about.
    hits: AtomicU32,
    /// How refreshes of it behind a client's back have failed.
    pub refreshes: Refreshes,
}

/// The content as it lies here.
#[derive(Debug)]
enum Kept {
    /// Complete, and counted by the response's own token.
    Small(Box<[u8]>),
    /// Counted by a token of its own.
    Other(Box<Content>),
}

/// The small body of a stored response, which is held, and counted, for as long as anybody holds a slice of it.
struct SmallBody(Arc<StoredResponse>);

impl AsRef<[u8]> for SmallBody {
    fn as_ref(&self) -> &[u8] {
        match &self.0.kept {
            Kept::Small(octets) => octets,
            Kept::Other(_) => &[],
        }
    }
}

impl StoredResponse {
    /// `token` covers the [`StoredResponse::cost`]; without one, nothing is copied, and the content carries its own.
    pub fn new(head: Head, content: Content, token: Option<Token>) -> Self {
        let kept = match content {
            Content::Complete(StoredBody::One(bytes)) if is_small(&bytes) && token.is_some() => {
                Kept::Small(Box::from(&*bytes))
            }
            content => Kept::Other(Box::new(content)),
        };
        let used = AtomicU32::new(tenths(head.received().mono));
        Self {
            head,
            kept,
            token,
            used,
            hits: AtomicU32::new(0),
            refreshes: Refreshes::default(),
        }
    }

    /// Whether the budget has room for it: nothing else is stored.
    pub fn is_counted(&self) -> bool {
        self.token.is_some()
    }

    /// Bytes that a token is to cover for a response of these: the content carries its own unless it is small.
    pub fn cost(head: &Head, content: &Content) -> u64 {
        let small = match content {
            Content::Complete(StoredBody::One(bytes)) if is_small(bytes) => allocated(bytes.len()),
            _ => 0,
        };
        head.weight() + (OWN + small) as u64
    }

    /// The stored content. The response lives for as long as a slice of it is used.
    pub fn content(self: &Arc<Self>) -> Content {
        match &self.kept {
            Kept::Small(octets) => Content::Complete(StoredBody::One(if octets.is_empty() {
                Bytes::new()
            } else {
                Bytes::from_owner(SmallBody(self.clone()))
            })),
            Kept::Other(content) => Content::clone(content),
        }
    }

    /// Whether it is a part of the representation that `whole` is all of, or of the same in another coding.
    pub fn is_part_of(&self, whole: &Self) -> bool {
        let coding = |stored: &Self| {
            stored
                .head
                .fields
                .single(&CONTENT_ENCODING)
                .map(<[u8]>::to_vec)
        };
        let same = || {
            let (part, whole) = (
                self.head.origin_validators(),
                whole.head.origin_validators(),
            );
            part.share_strong(&whole)
        };
        self.parts().is_some()
            && whole.parts().is_none()
            && (coding(self) != coding(whole) || same())
    }

    /// The stored parts of an incomplete response; `None` where it is complete.
    pub fn parts(&self) -> Option<&Parts> {
        match &self.kept {
            Kept::Other(content) => match &**content {
                Content::Partial(parts) => Some(parts),
                Content::Complete(_) => None,
            },
            Kept::Small(_) => None,
        }
    }

    /// Bytes of content that are kept.
    pub fn content_len(&self) -> u64 {
        match &self.kept {
            Kept::Small(octets) => octets.len() as u64,
            Kept::Other(content) => content.len(),
        }
    }

    /// Bytes of the whole representation.
    pub fn complete_length(&self) -> u64 {
        match &self.kept {
            Kept::Small(octets) => octets.len() as u64,
            Kept::Other(content) => content.complete_length(),
        }
    }

    /// Bytes of memory it holds, about.
    pub fn weight(&self) -> u64 {
        let content = match &self.kept {
            Kept::Small(octets) => allocated(octets.len()) as u64,
            Kept::Other(content) => CONTENT as u64 + content.len(),
        };
        OWN as u64 + self.head.weight() + content
    }

    /// Notes that it was chosen; the time is written at most once a second. Two that count at once may count one: no core
    /// waits for another.
    pub fn touch(&self, now: Monotonic) {
        let hits = self.hits.load(Ordering::Relaxed);
        self.hits.store(hits.wrapping_add(1), Ordering::Relaxed);
        let now = tenths(now);
        if now.saturating_sub(self.used.load(Ordering::Relaxed)) >= 10 {
            self.used.store(now, Ordering::Relaxed);
        }
    }

    /// How often it was chosen since it was stored or validated, about.
    pub fn hits(&self) -> u32 {
        self.hits.load(Ordering::Relaxed)
    }

    /// When it was last chosen, to within a second: the later the greater.
    pub fn last_used(&self) -> u32 {
        self.used.load(Ordering::Relaxed)
    }
}

/// Bytes of memory that a stored response takes itself, with the counts of those who hold it.
const OWN: usize = allocated(size_of::<StoredResponse>() + 16);

/// Bytes of memory around content that has an owner of its own.
const CONTENT: usize = allocated(size_of::<Content>()) + 48;

fn is_small(bytes: &Bytes) -> bool {
    bytes.len() as u64 <= SMALL
}

fn tenths(time: Monotonic) -> u32 {
    u32::try_from(time.as_millis() / 100).unwrap_or(u32::MAX)
}

#[cfg(test)]
pub(crate) mod tests;
