//! What a fleet has invalidated, remembered for the responses that its gateways store for each other.

use std::sync::{PoisonError, RwLock};

use super::index::{Index, Secret};
use super::invalidation::Invalidation;
use super::protocol::gateway::Place;
use super::protocol::server::Epoch;
use super::verdict::{Subject, Verdict};

/// The invalidations of one epoch, as far as they were taken over.
#[derive(Debug)]
pub struct Remembered {
    limit: usize,
    /// `None` until the first epoch has begun.
    current: RwLock<Option<(Epoch, Index)>>,
}

impl Remembered {
    /// Of about so many matchers, each in 52 octets of memory.
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            current: RwLock::new(None),
        }
    }

    /// Another epoch begins: nothing that was stored before is used.
    pub fn begin(&self, epoch: Epoch) {
        let index = Index::new(Secret::random(), self.limit);
        *self.write() = Some((epoch, index));
    }

    /// Remembers an invalidation with its number. To be called before what it covers is removed: what is judged before this call, and
    /// stored after it, is removed then.
    pub fn apply(&self, invalidation: &Invalidation, number: u64) {
        if let Some((_, index)) = &mut *self.write() {
            let mut recorded = Vec::with_capacity(invalidation.covers.len());
            for matcher in &invalidation.covers {
                index.secret.record(matcher, &mut recorded);
            }
            index.apply(number, invalidation.strength, &recorded);
        }
    }

    /// Invalidations up to this number were forgotten: what was asked for before is validated.
    pub fn raise_floor(&self, floor: u64) {
        if let Some((_, index)) = &mut *self.write() {
            index.raise_floor(floor);
        }
    }

    /// Whether a response may be used that has this stamp.
    pub fn judge(&self, stamp: Place, subject: &Subject<'_>) -> Verdict {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        match &*current {
            Some((epoch, index)) if *epoch == stamp.epoch => index.judge(stamp.number, subject),
            _ => Verdict::Dead,
        }
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, Option<(Epoch, Index)>> {
        self.current.write().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::invalidation::Matcher;

    #[test]
    fn a_response_is_judged_by_what_its_epoch_has_invalidated_since_its_stamp() {
        let remembered = Remembered::new(100);
        let judged = |epoch, number, target: &str| {
            let subject = Subject {
                target,
                tags: &[],
                ignores_query: false,
            };
            remembered.judge(Place { epoch, number }, &subject)
        };
        assert_eq!(judged(1, 0, "http://h/a"), Verdict::Dead, "no epoch yet");
        remembered.begin(1);
        assert_eq!(judged(1, 0, "http://h/a"), Verdict::Valid);
        remembered.apply(&Invalidation::hard(vec![Matcher::target("http://h/a")]), 1);
        remembered.apply(&Invalidation::soft(vec![Matcher::target("http://h/b")]), 2);
        assert_eq!(judged(1, 0, "http://h/a"), Verdict::Dead);
        assert_eq!(judged(1, 1, "http://h/a"), Verdict::Valid);
        assert_eq!(judged(1, 1, "http://h/b"), Verdict::Stale);
        assert_eq!(judged(2, 9, "http://h/b"), Verdict::Dead, "another epoch");
        remembered.raise_floor(2);
        assert_eq!(judged(1, 1, "http://h/c"), Verdict::MustValidate);
        assert_eq!(judged(1, 2, "http://h/c"), Verdict::Valid);
        remembered.begin(2);
        assert_eq!(judged(1, 9, "http://h/c"), Verdict::Dead);
        assert_eq!(judged(2, 0, "http://h/a"), Verdict::Valid);
    }
}
