//! The purge by tags that is published, if there is one: see [`Store::begin`](super::Store::begin).

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use crate::cache::resource::Resource;
use crate::cache::sync::{AtomicBool, Mutex, MutexGuard};
use crate::ledger::invalidation::{Invalidation, Matcher, Strength};
use crate::semantics::target::origin_of;

/// The invalidation that is published, if there is one.
#[derive(Debug)]
pub(super) struct Publication {
    /// All that a look-up reads while there is none.
    pub(super) is_any: AtomicBool,
    published: Mutex<Option<Arc<Published>>>,
}

/// An invalidation by tags that holds, whose removal has not ended.
#[derive(Debug)]
pub(super) struct Published {
    pub(super) sequence: u64,
    pub(super) tags: Vec<Tag>,
}

#[derive(Debug)]
pub(super) struct Tag {
    pub(super) name: String,
    /// `None` for every origin.
    pub(super) origin: Option<String>,
}

/// What is left to be done for an invalidation that holds: see [`Store::remove`](super::Store::remove).
#[derive(Clone, Debug)]
#[must_use = "until it is carried out, each look-up pays for it"]
pub struct Removal(pub(super) Arc<Published>);

impl Default for Publication {
    fn default() -> Self {
        Self {
            is_any: AtomicBool::new(false),
            published: Mutex::new(None),
        }
    }
}

impl Publication {
    pub(super) fn lock(&self) -> MutexGuard<'_, Option<Arc<Published>>> {
        self.published
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// To be asked before what is stored is looked at: it is withdrawn once all that it covers has been removed.
    pub(super) fn now(&self) -> Option<Arc<Published>> {
        match self.is_any.load(Ordering::Acquire) {
            true => self.lock().clone(),
            false => None,
        }
    }
}

impl Tag {
    fn covers(&self, key: &str, tags: &[Box<str>]) -> bool {
        let origin = self.origin.as_deref();
        origin.is_none_or(|origin| origin_of(key) == origin)
            && tags
                .binary_search_by(|tag| (**tag).cmp(self.name.as_str()))
                .is_ok()
    }
}

impl Published {
    /// The tags that `invalidation` is for; `None` where it is for anything else.
    pub(super) fn tags_of(invalidation: &Invalidation) -> Option<Vec<Tag>> {
        let tag = |matcher: &Matcher| match matcher {
            Matcher::Tag { name, origin } => Some(Tag {
                name: name.clone(),
                origin: origin.clone(),
            }),
            _ => None,
        };
        let is_hard = invalidation.strength == Strength::Hard;
        let tags = is_hard.then(|| invalidation.covers.iter().map(tag).collect());
        tags.flatten()
    }

    /// Whether any response of the resource was asked for before, and has one of the tags.
    pub(super) fn covers(&self, key: &str, resource: &Resource) -> bool {
        resource.variants().iter().any(|stored| {
            let head = &stored.head;
            head.stamp() < self.sequence
                && self.tags.iter().any(|tag| tag.covers(key, head.groups()))
        })
    }
}
