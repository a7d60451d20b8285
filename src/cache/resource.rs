//! All that is stored for one target URI: its variants, and markers of what proved uncacheable.

use std::sync::Arc;

use http::header::{HeaderName, ORIGIN};
use smallvec::{SmallVec, smallvec};

use super::budget::allocated;
use super::head::{ContentDigest, Head};
use super::index::entry::PATH_ENTRY;
use super::key::text_cost;
use super::stored::StoredResponse;
use crate::clock::Monotonic;
use crate::semantics::storability::NoStoreReason;
use crate::semantics::vary::VariantKey;

/// A hit-for-miss marker: the response to a request like this one could not be shared, so that others like it do not wait
/// for one another.
#[derive(Clone, Debug)]
pub struct Marker {
    pub variant: VariantKey,
    pub digest: Option<ContentDigest>,
    pub until: Monotonic,
    pub why: Unshared,
    /// The number of the latest invalidation when the response was asked for.
    pub stamp: u64,
}

/// What made a response unshareable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unshared {
    /// A rule forbids to store it.
    Rule(NoStoreReason),
    /// It is larger than what is stored, by its own Content-Length.
    TooLarge,
    /// Its end looks the same as a broken connection.
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
}

/// All that is stored for one target URI. Clones share it.
#[derive(Clone, Debug)]
pub enum Resource {
    /// What most are.
    One(Arc<StoredResponse>),
    Several(Arc<Several>),
}

/// The variants and markers of a resource.
#[derive(Clone, Debug, Default)]
pub struct Several {
    pub variants: SmallVec<[Arc<StoredResponse>; 2]>,
    pub markers: SmallVec<[Marker; 0]>,
}

impl Several {
    /// Whether a stored variant is selected by a request field by which the response with this head, to be stored beside it, is
    /// not.
    pub fn has_unknown_selectors(&self, head: &Head) -> bool {
        self.variants.iter().any(|stored| lacks(head, &stored.head))
    }

    /// Drops the variant that was used least recently, but for the first, which came just now. Returns whether there was one.
    pub fn evict_least_recently_used(&mut self) -> bool {
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
                variants: smallvec![only.clone()],
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
        variants + (around + text_cost(key) + PATH_ENTRY + OVERHEAD) as u64
    }

    /// The cache groups of all its variants.
    pub fn groups(&self) -> impl Iterator<Item = &str> {
        self.variants()
            .iter()
            .flat_map(|stored| stored.head.groups())
            .map(|group| &**group)
    }
}

/// What moka holds for an entry, in bytes: 256 in six allocations (the key with its count, the bucket, the entry with its
/// value, what the policy knows of it, its places in the queues), and its share of the table; with what the allocator
/// leaves unused in its pages, as `benches/density.rs` measures a million of them.
const OVERHEAD: usize = 370;
