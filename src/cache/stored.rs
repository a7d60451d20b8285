//! A response in the store, and all that is stored for one target URI.

mod refreshes;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;
use http::StatusCode;
use http::header::{CONTENT_ENCODING, HeaderName, ORIGIN};

use self::refreshes::Refreshes;
use super::body::StoredBody;
use super::budget::{Token, allocated};
use super::head::{ContentDigest, Head};
use super::membership::MEMBER;
use super::partial::Parts;
use crate::clock::Monotonic;
use crate::error::Error;
use crate::semantics::storability::NoStoreReason;
use crate::semantics::vary::VariantKey;

/// Bodies up to so many bytes lie with their response, without an owner of their own.
const SMALL: u64 = 4 * 1024;

/// What is kept of the content.
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

/// A response in the store.
#[derive(Debug)]
pub struct StoredResponse {
    pub head: Head,
    kept: Kept,
    _token: Option<Token>,
    /// Tenths of a second on the monotonic clock: when it was last chosen, to within a second.
    used: AtomicU32,
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
            _token: token,
            used,
            refreshes: Refreshes::default(),
        }
    }

    /// Bytes that a token is to cover for a response of these: the content carries its own unless it is small.
    pub fn cost(head: &Head, content: &Content) -> u64 {
        let small = match content {
            Content::Complete(StoredBody::One(bytes)) if is_small(bytes) => allocated(bytes.len()),
            _ => 0,
        };
        head.weight() + (OWN + small) as u64
    }

    /// What is kept of the content. It keeps this response for as long as anybody has a slice of it.
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

    /// What is kept of an incomplete response; `None` where it is complete.
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

    /// Notes that it was chosen; written at most once a second, so that readers on several cores do not contend.
    pub fn touch(&self, now: Monotonic) {
        let now = tenths(now);
        if now.saturating_sub(self.used.load(Ordering::Relaxed)) >= 10 {
            self.used.store(now, Ordering::Relaxed);
        }
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

/// Requests like this one proved to have responses that cannot be shared: they do not stand in line.
#[derive(Clone, Debug)]
pub struct Marker {
    pub variant: VariantKey,
    pub digest: Option<ContentDigest>,
    pub until: Monotonic,
    pub why: Unshared,
}

/// What made a response unshareable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unshared {
    /// A rule forbids to store it.
    Rule(NoStoreReason),
    /// It is larger than what is stored, by its own Content-Length.
    TooLarge,
    /// Its end cannot be told from a broken connection.
    UnverifiedEnd,
}

impl Unshared {
    /// Its name for users.
    pub const fn token(self) -> &'static str {
        match self {
            Self::Rule(reason) => reason.token(),
            Self::TooLarge => "too-large",
            Self::UnverifiedEnd => "unverified-end",
        }
    }

    /// What to do where the response should be stored, for `explain`.
    pub const fn cure(self) -> &'static str {
        match self {
            Self::Rule(reason) => reason.cure(),
            Self::TooLarge => "It is larger than max_stored_body, or than memory has room for.",
            Self::UnverifiedEnd => {
                "Its end is that of the connection: have the API send Content-Length or chunks."
            }
        }
    }
}

/// Why a fill was not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotCommitted {
    /// An invalidation or purge came in between.
    Doomed,
    /// What was stored meanwhile was selected by a field that this was not.
    Overtaken,
    /// The byte budget is used up.
    OverBudget,
    /// It is a part of what is stored whole.
    Superseded,
}

impl NotCommitted {
    /// Its name in the log.
    pub const fn token(self) -> &'static str {
        match self {
            Self::Doomed => "invalidated",
            Self::Overtaken => "overtaken",
            Self::OverBudget => "over-budget",
            Self::Superseded => "superseded",
        }
    }
}

/// All that is stored for one target URI. Clones share it.
#[derive(Clone, Debug)]
pub enum Resource {
    /// What most are.
    One(Arc<StoredResponse>),
    Several(Arc<Several>),
}

/// What a resource is made of.
#[derive(Clone, Debug, Default)]
pub struct Several {
    pub variants: smallvec::SmallVec<[Arc<StoredResponse>; 2]>,
    pub markers: smallvec::SmallVec<[Marker; 0]>,
}

impl Several {
    /// Whether a variant here was selected by a field that this one, to be stored beside it, was not.
    pub fn has_unknown_selectors(&self, head: &Head) -> bool {
        self.variants.iter().any(|stored| lacks(head, &stored.head))
    }

    /// Drops the variant that was used least recently, but for the first, which came just now. Returns whether there was one.
    pub fn shed(&mut self) -> bool {
        let used = self.variants.iter().enumerate().skip(1);
        let oldest = used.min_by_key(|(_, stored)| stored.last_used());
        let Some((oldest, _)) = oldest else {
            return false;
        };
        self.variants.remove(oldest);
        true
    }

    /// Drops the variants of which it is not known what their request had of a field that the URL was seen to vary on since.
    pub fn drop_unselectable(&mut self) {
        if self.variants.len() < 2 {
            return;
        }
        let all = self.variants.clone();
        self.variants
            .retain(|stored| !all.iter().any(|other| lacks(&stored.head, &other.head)));
    }
}

/// Whether `other` was selected by a field that `head` was not: RFC 9111 §4.1 would let each be selected by its own. Origin
/// is left to [`super::cors`].
fn lacks(head: &Head, other: &Head) -> bool {
    let has = |name: &HeaderName| head.variant().is_some_and(|own| own.has(name));
    let is_any = head.variant().is_some_and(VariantKey::is_any);
    let mut names = other.variant().into_iter().flat_map(VariantKey::names);
    !is_any && names.any(|name| *name != ORIGIN && !has(name))
}

impl From<Several> for Resource {
    fn from(mut all: Several) -> Self {
        if all.variants.len() == 1
            && all.markers.is_empty()
            && let Some(only) = all.variants.pop()
        {
            return Self::One(only);
        }
        Self::Several(Arc::new(all))
    }
}

impl Resource {
    pub fn variants(&self) -> &[Arc<StoredResponse>] {
        match self {
            Self::One(only) => std::slice::from_ref(only),
            Self::Several(all) => &all.variants,
        }
    }

    pub fn markers(&self) -> &[Marker] {
        match self {
            Self::One(_) => &[],
            Self::Several(all) => &all.markers,
        }
    }

    /// A copy, to be changed.
    pub fn to_several(&self) -> Several {
        match self {
            Self::One(only) => Several {
                variants: smallvec::smallvec![only.clone()],
                ..Several::default()
            },
            Self::Several(all) => Several::clone(all),
        }
    }

    /// Where it lies: no other resource lies there while this one is kept.
    pub fn address(&self) -> usize {
        match self {
            Self::One(only) => Arc::as_ptr(only).addr(),
            Self::Several(all) => Arc::as_ptr(all).addr(),
        }
    }

    /// Bytes of memory it holds with its index, for a key of so many bytes; about.
    pub fn weight(&self, key: usize) -> u64 {
        let variants: u64 = self.variants().iter().map(|stored| stored.weight()).sum();
        let around = match self {
            Self::One(_) => 0,
            Self::Several(all) => {
                let list = all.variants.capacity() * size_of::<Arc<StoredResponse>>();
                let markers = all.markers.capacity() * size_of::<Marker>();
                let selecting = all.markers.iter().map(|marker| marker.variant.weight());
                let lists = allocated(list) + allocated(markers);
                allocated(size_of::<Several>() + 16) + lists + selecting.sum::<usize>()
            }
        };
        let member = match self.groups().next() {
            Some(_) => MEMBER + allocated(key),
            None => 0,
        };
        variants + (around + member + allocated(key) + OVERHEAD) as u64
    }

    /// The cache groups of all its variants.
    pub fn groups(&self) -> impl Iterator<Item = &str> {
        self.variants()
            .iter()
            .flat_map(|stored| stored.head.groups())
            .map(|group| &**group)
    }

    pub fn has_group(&self, group: &str) -> bool {
        let mut variants = self.variants().iter();
        variants.any(|stored| stored.head.has_group(group))
    }
}

/// What moka holds for an entry, in bytes: 256 in six allocations (the key with its count, the bucket, the entry with its
/// value, what the policy knows of it, its places in the queues), and its share of the table; with what the allocator
/// leaves unused in its pages, as `benches/density.rs` measures a million of them.
const OVERHEAD: usize = 390;

/// How a fill ended, for those who wait for it.
#[derive(Debug)]
pub enum Settled {
    /// A response was stored or freshened: look whether it may be reused.
    Stored(Arc<StoredResponse>),
    /// Its response is for the one who asked; go upstream yourselves, without waiting for another.
    Unshared,
    /// Its response was about the request of the one who asked: others may well get a better one.
    Particular,
    /// Nobody brought it to an end: somebody else may try.
    Abandoned,
    /// The upstream answered a validation with this server error.
    ServerError(StatusCode),
    Failed(Error),
}

#[cfg(test)]
pub(super) mod tests;
