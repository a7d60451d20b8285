//! Responses that were kept elsewhere, and come back into the store.

use std::sync::Arc;

use bytes::Bytes;

use super::Store;
use crate::cache::body::StoredBody;
use crate::cache::collapse::Fill;
use crate::cache::content::Content;
use crate::cache::head::Head;
use crate::cache::key::{Key, KeyRef};
use crate::cache::resource::{Resource, Several};
use crate::cache::stored::StoredResponse;
use crate::ledger::verdict::{Subject, Verdict};
use crate::semantics::policy::VaryPolicy;
use crate::semantics::vary::VariantKey;

/// A response that was kept elsewhere.
#[derive(Debug)]
pub struct Kept {
    pub head: Head,
    /// The number of the latest invalidation when it, or the 304 that freshened it, was asked for.
    pub stamp: u64,
    /// Its complete content, in pieces.
    pub body: Vec<Bytes>,
}

impl Store {
    /// Stores responses for `key` that were kept elsewhere, as far as no invalidation covers them, unless anything is stored
    /// for it. Returns how many.
    pub fn raise(&self, key: KeyRef<'_>, mut kept: Vec<Kept>, vary: &VaryPolicy) -> usize {
        // As they came: each replaces what it would have replaced then.
        kept.sort_by_key(|kept| kept.head.requested());
        let kept: Vec<_> = kept
            .into_iter()
            .filter_map(|kept| {
                let stamp = kept.stamp;
                Some((self.counted(kept)?, stamp))
            })
            .collect();
        let shard = self.locked(key);
        // Whatever is stored here came later; and a marker stands for a response that superseded the kept one.
        if self.resources.get(key).is_some() {
            return 0;
        }
        // Under the lock: an invalidation that is numbered after this, by whichever ledger, finds what is stored here.
        let Some(ledger) = self.ledger() else {
            return 0;
        };
        let key = key.to_key();
        let mut all = Several::default();
        for (stored, stamp) in kept {
            let judged = self.as_judged(&key, stored, |subject| ledger.judge(stamp, subject));
            if let Some(stored) = judged {
                self.place(&key, &mut all, stored, vary);
            }
        }
        if all.variants.is_empty() || self.fit(&key, &mut all).is_err() {
            return 0;
        }
        let raised = all.variants.len();
        self.put(&key, None, all);
        drop(shard);
        self.take_out_evicted();
        raised
    }

    /// Stores a response that another gateway has kept for what `fill` asks for, as `judge` lets it be used, unless what it would replace
    /// was asked for later. Returns whether it is stored.
    pub fn raise_shared(
        &self,
        fill: &Fill,
        kept: Kept,
        vary: &VaryPolicy,
        judge: impl Fn(&Subject<'_>) -> Verdict,
    ) -> bool {
        let Some(stored) = self.counted(kept) else {
            return false;
        };
        let owned = fill.key.clone();
        let key = owned.as_ref();
        // Before the lock, so that an invalidation finds it under the key that it has from now on.
        self.search.learn(owned.as_str(), stored.head.search());
        if self.search.canonical(owned.as_str()) != owned.as_str() {
            return false;
        }
        let shard = self.locked(key);
        // An invalidation of this gateway's own may not have its number in the fleet's ledger yet.
        let Ok(stored) = self.as_invalidated(fill, stored) else {
            return false;
        };
        // Under the lock: an invalidation that is remembered after this finds what is stored here.
        let Some(stored) = self.as_judged(&owned, stored, judge) else {
            return false;
        };
        let before = self.resources.get(key);
        let before = before.as_ref();
        let mut all = before.map_or_else(Several::default, Resource::to_several);
        let request = stored.head.variant().map(VariantKey::request);
        let request = request.unwrap_or_default();
        let asked = (&request, stored.head.digest());
        let mut replaced = all.variants.iter();
        let is_later = |old: &Arc<StoredResponse>| {
            self.cors
                .is_replaced(owned.as_str(), &old.head, asked, vary)
                && old.head.requested() >= stored.head.requested()
        };
        if all.has_unknown_selectors(&stored.head) || replaced.any(is_later) {
            return false;
        }
        all.markers
            .retain(|marker| !marker.variant.matches(&request, vary));
        self.place(&owned, &mut all, stored, vary);
        if self.fit(&owned, &mut all).is_err() {
            return false;
        }
        self.put(&owned, before, all);
        drop(shard);
        self.take_out_evicted();
        true
    }

    /// The response with its content in memory that is counted; `None` where there is no room for it.
    fn counted(&self, kept: Kept) -> Option<Arc<StoredResponse>> {
        let length = kept.body.iter().map(|piece| piece.len() as u64).sum();
        let content = Content::Complete(StoredBody::new(&kept.body, self.token(length)?));
        let token = self.token(StoredResponse::cost(&kept.head, &content))?;
        Some(Arc::new(StoredResponse::new(
            kept.head,
            content,
            Some(token),
        )))
    }

    /// `stored` as `judge` lets it be used; `None` where it must not be.
    fn as_judged(
        &self,
        key: &Key,
        stored: Arc<StoredResponse>,
        judge: impl Fn(&Subject<'_>) -> Verdict,
    ) -> Option<Arc<StoredResponse>> {
        let subject = Subject {
            target: key.as_str(),
            tags: stored.head.groups(),
            ignores_query: stored.head.search().is_some(),
        };
        match judge(&subject) {
            Verdict::Valid => Some(stored),
            Verdict::Stale | Verdict::MustValidate => {
                Some(self.expired(&stored)).filter(|stored| stored.is_counted())
            }
            Verdict::Dead => None,
        }
    }

    /// Puts `stored` in the place of those of `all` that its own request selected.
    fn place(&self, key: &Key, all: &mut Several, stored: Arc<StoredResponse>, vary: &VaryPolicy) {
        if all.has_unknown_selectors(&stored.head) {
            return;
        }
        let request = stored.head.variant().map(VariantKey::request);
        let asked = (&request.unwrap_or_default(), stored.head.digest());
        let target = key.as_str();
        all.variants
            .retain(|old| !self.cors.is_replaced(target, &old.head, asked, vary));
        self.search.learn(target, stored.head.search());
        all.variants.insert(0, stored);
        all.drop_unselectable();
        while all.variants.len() > self.max_variants && all.evict_least_recently_used() {}
    }

    /// Runs `act` on all that is stored for `key`, which nobody changes meanwhile, if `stored` is among it.
    pub fn if_it_stands(
        &self,
        key: KeyRef<'_>,
        stored: &Arc<StoredResponse>,
        act: impl FnOnce(&Resource),
    ) {
        let _shard = self.locked(key);
        let Some(current) = self.resources.get(key) else {
            return;
        };
        if current.variants().iter().any(|at| Arc::ptr_eq(at, stored)) {
            act(&current);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faults::Faults;
    use crate::ledger::directory::Directory;
    use crate::ledger::invalidation::{Invalidation, Matcher};
    use crate::ledger::local::{Ledger, Outlives};

    #[test]
    fn a_number_that_was_given_before_there_was_a_ledger_is_not_given_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let directory = Arc::new(Directory::make(folder.path()).expect("a directory"));
        let opened = Ledger::open(directory, 100, Outlives::Process, Faults::default());
        let (ledger, _) = opened.expect("a ledger");
        let store = Store::new(1 << 20, 1);
        let purge = || Invalidation::hard(vec![Matcher::target("http://h/a")]);
        ledger.distrust(store.sequence());
        // Meanwhile, others come.
        for _ in 0..5 {
            store.apply(&purge());
        }
        store.number_by(Arc::new(ledger));
        let stamp = store.sequence();
        let number = store.apply(&purge()).sequence;
        assert!(number > stamp, "{number} after {stamp}");
        let subject = Subject {
            target: "http://h/a",
            tags: &[],
            ignores_query: false,
        };
        let ledger = store.ledger().expect("a ledger");
        assert_eq!(ledger.judge(stamp, &subject), Verdict::Dead);
        assert_ne!(ledger.judge(number, &subject), Verdict::Dead);
    }
}
