//! The purges that are published, if there are any: see [`Store::begin`](super::Store::begin).

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use crate::cache::resource::Resource;
use crate::cache::stored::StoredResponse;
use crate::cache::sync::{AtomicBool, AtomicU64, Mutex, MutexGuard};
use crate::ledger::invalidation::{Matcher, Strength};
use crate::semantics::freshness::MustValidate;
use crate::semantics::selector::Selector;
use crate::semantics::target::{origin_of, target_of};

/// So many are published at once: each look-up compares with all of them.
const MAX_PUBLISHED: usize = 8;

/// The invalidations that are published.
#[derive(Debug)]
pub(super) struct Publication {
    /// All that a look-up reads while there is none.
    is_any: AtomicBool,
    published: Mutex<All>,
    /// Held by the one that removes: several at once would take the processors from those who serve.
    removing: Mutex<()>,
}

pub(super) type All = Arc<[Arc<Published>]>;

/// An invalidation that holds, whose removal has not ended.
#[derive(Debug)]
pub(super) struct Published {
    /// It goes up where the same is invalidated again meanwhile.
    sequence: AtomicU64,
    /// How many of these have not told the fills in flight yet.
    joining: AtomicU64,
    pub(super) covers: Vec<Matcher>,
    pub(super) strength: Strength,
    /// Resources that it was carried out for.
    pub(super) carried_out: AtomicU64,
}

/// What is left to be done for an invalidation that holds: see [`Store::remove`](super::Store::remove).
#[derive(Clone, Debug)]
#[must_use = "until it is carried out, each look-up pays for it"]
pub struct Removal(pub(super) Arc<Published>);

/// What became of an invalidation that was to be published.
pub(super) enum Publishing {
    Begun(Arc<Published>),
    /// The same one is published: its removal covers this one too, once fills in flight have been told.
    Joined(Joined),
    /// As many as may be are published.
    Full,
}

/// One of the same as another that is published, until fills in flight have been told of it.
pub(super) struct Joined(Arc<Published>);

impl Drop for Joined {
    fn drop(&mut self) {
        self.0.joining.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Default for Publication {
    fn default() -> Self {
        Self {
            is_any: AtomicBool::new(false),
            published: Mutex::new(Arc::default()),
            removing: Mutex::new(()),
        }
    }
}

impl Publication {
    /// To be asked before what is stored is looked at: one is withdrawn once all that it covers has been removed.
    pub(super) fn now(&self) -> Option<All> {
        match self.is_any.load(Ordering::Acquire) {
            true => Some(self.lock().clone()),
            false => None,
        }
    }

    /// Publishes an invalidation that has this number.
    pub(super) fn publish(
        &self,
        sequence: u64,
        covers: Vec<Matcher>,
        strength: Strength,
    ) -> Publishing {
        let mut published = self.lock();
        let is_same =
            |other: &&Arc<Published>| other.covers == covers && other.strength == strength;
        if let Some(same) = published.iter().find(is_same) {
            same.joining.fetch_add(1, Ordering::SeqCst);
            same.sequence.fetch_max(sequence, Ordering::SeqCst);
            return Publishing::Joined(Joined(same.clone()));
        }
        if published.len() >= MAX_PUBLISHED {
            return Publishing::Full;
        }
        let new = Arc::new(Published {
            sequence: AtomicU64::new(sequence),
            joining: AtomicU64::new(0),
            covers,
            strength,
            carried_out: AtomicU64::new(0),
        });
        *published = published.iter().chain([&new]).cloned().collect();
        self.is_any.store(true, Ordering::Release);
        Publishing::Begun(new)
    }

    /// Withdraws an invalidation that was carried out for all keys. `settled` is the number that it had before, as
    /// [`settled`](Published::settled) gave it. Returns whether it was withdrawn: it is not where it has a higher one by now.
    pub(super) fn withdraw(&self, carried_out: &Arc<Published>, settled: Option<u64>) -> bool {
        let mut published = self.lock();
        if settled != Some(carried_out.sequence()) {
            return false;
        }
        let others = published.iter();
        let others = others.filter(|other| !Arc::ptr_eq(other, carried_out));
        *published = others.cloned().collect();
        self.is_any.store(!published.is_empty(), Ordering::Release);
        true
    }

    /// Waits for the turn to remove.
    pub(super) fn turn(&self) -> MutexGuard<'_, ()> {
        let turn = self.removing.lock();
        turn.unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, All> {
        let published = self.published.lock();
        published.unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether requests for a key, or the tags of a response that is stored for it, are what an invalidation that is published is for.
fn is_for(matcher: &Matcher, key: &str, tags: &[Box<str>]) -> bool {
    match matcher {
        Matcher::Urls(selector) => selector.covers(target_of(key)),
        Matcher::Tag { name, origin } => {
            let origin = origin.as_deref();
            let has = |name: &str| tags.binary_search_by(|tag| (**tag).cmp(name)).is_ok();
            origin.is_none_or(|origin| origin_of(key) == origin) && has(name)
        }
        Matcher::Route(route) => route.takes(target_of(key)),
        Matcher::All => true,
    }
}

/// Whether a matcher may be published: what it covers can be told from a key alone, whatever else is stored, and may be much.
pub(super) fn may_be_published(matcher: &Matcher) -> bool {
    match matcher {
        // Which others are the same by No-Vary-Search changes.
        Matcher::Urls(Selector::Target(_) | Selector::PathAndQuery(_)) => false,
        Matcher::Urls(_) | Matcher::Tag { .. } | Matcher::Route(_) | Matcher::All => true,
    }
}

impl Published {
    pub(super) fn sequence(&self) -> u64 {
        self.sequence.load(Ordering::SeqCst)
    }

    /// Its number, where all fills in flight have been told of it: what they were asked for before is not stored any more from
    /// here on. `None` where that may still come.
    pub(super) fn settled(&self) -> Option<u64> {
        // In this order: with the higher number, the other one is seen too, or is done.
        let sequence = self.sequence();
        let is_settled = self.joining.load(Ordering::SeqCst) == 0;
        is_settled.then_some(sequence)
    }

    /// Whether it changes anything that is stored for `key`, as it was with the number `sequence`.
    pub(super) fn changes(&self, sequence: u64, key: &str, resource: &Resource) -> bool {
        let mut variants = resource.variants().iter();
        let is_marked = |stamp| {
            let mut covers = self.covers.iter();
            stamp < sequence && covers.any(|matcher| is_for(matcher, key, &[]))
        };
        variants.any(|stored| self.covers(sequence, key, stored))
            || (self.strength == Strength::Hard
                && resource.markers().iter().any(|old| is_marked(old.stamp)))
    }

    /// Whether it changes a response that is stored for `key`.
    pub(super) fn covers(&self, sequence: u64, key: &str, stored: &StoredResponse) -> bool {
        let head = &stored.head;
        let is_older = head.stamp() < sequence
            && (self.strength == Strength::Hard || is_used_as_it_is(stored));
        is_older
            && self
                .covers
                .iter()
                .any(|matcher| is_for(matcher, key, head.groups()))
    }
}

/// Whether it may answer without validation.
pub(super) fn is_used_as_it_is(stored: &StoredResponse) -> bool {
    stored.head.freshness.must_validate != Some(MustValidate::NoCache)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_comes_again_is_withdrawn_once_it_was_carried_out_for_all_keys_since() {
        let publication = Publication::default();
        let publish = |sequence| publication.publish(sequence, vec![Matcher::All], Strength::Hard);
        let Publishing::Begun(published) = publish(1) else {
            panic!("there is no other");
        };
        let first = published.settled();
        assert_eq!(first, Some(1));
        let Publishing::Joined(joined) = publish(2) else {
            panic!("it is the same");
        };
        assert_eq!(published.settled(), None, "fills have not been told");
        assert!(!publication.withdraw(&published, None));
        drop(joined);
        assert!(!publication.withdraw(&published, first), "it was another");
        assert!(publication.now().is_some());
        assert!(publication.withdraw(&published, published.settled()));
        assert!(publication.now().is_none());
    }

    #[test]
    fn what_is_published_is_bounded_and_of_one_strength() {
        let publication = Publication::default();
        let publish = |name: usize, strength| {
            let tag = Matcher::Tag {
                name: name.to_string(),
                origin: None,
            };
            publication.publish(1, vec![tag], strength)
        };
        for name in 0..MAX_PUBLISHED - 1 {
            assert!(matches!(
                publish(name, Strength::Hard),
                Publishing::Begun(_)
            ));
        }
        assert!(matches!(publish(0, Strength::Soft), Publishing::Begun(_)));
        assert!(matches!(publish(9, Strength::Hard), Publishing::Full));
        assert!(matches!(publish(0, Strength::Hard), Publishing::Joined(_)));
    }
}
