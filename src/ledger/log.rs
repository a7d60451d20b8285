//! The log of purges: the latest ones, who asked for each and why, and what it did.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use super::invalidation::{Applied, Invalidation, Strength};
use crate::semantics::time::Timestamp;

/// Purges that are remembered.
const KEPT: usize = 1_000;

/// Octets that are remembered of what a purge covers: one request may name thousands of URLs.
const MAX_COVERS: usize = 1 << 10;

/// One purge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Purge {
    pub at: Timestamp,
    /// What it covers, in plain words.
    pub covers: String,
    pub strength: Strength,
    /// Where it came from.
    pub actor: String,
    /// What the one who asked for it gave as its reason.
    pub reason: Option<String>,
    pub applied: Applied,
}

/// The latest purges.
#[derive(Debug, Default)]
pub struct PurgeLog(Mutex<VecDeque<Purge>>);

impl Purge {
    pub fn new(
        at: Timestamp,
        invalidation: &Invalidation,
        actor: String,
        reason: Option<String>,
        applied: Applied,
    ) -> Self {
        let mut covers = invalidation.covers_in_words();
        if covers.len() > MAX_COVERS {
            let cut = covers.floor_char_boundary(MAX_COVERS);
            covers.truncate(cut);
            covers.push_str(" ...");
        }
        Self {
            at,
            covers,
            strength: invalidation.strength,
            actor,
            reason,
            applied,
        }
    }
}

impl PurgeLog {
    /// Remembers a purge; the oldest one is forgotten where there are too many.
    pub fn add(&self, purge: Purge) {
        let mut purges = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if purges.len() == KEPT {
            purges.pop_front();
        }
        purges.push_back(purge);
    }

    /// The latest purges, so many at most, the latest first.
    pub fn latest(&self, most: usize) -> Vec<Purge> {
        let purges = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        purges.iter().rev().take(most).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::invalidation::Matcher;

    #[test]
    fn the_latest_purges_are_kept_and_none_takes_much_room() {
        let log = PurgeLog::default();
        for sequence in 1..=KEPT as u64 + 5 {
            let covers = vec![Matcher::target(format!("http://h/é{}", "é".repeat(2_000)))];
            let applied = Applied {
                sequence,
                ..Applied::default()
            };
            let invalidation = Invalidation::hard(covers);
            let at = Timestamp::from_secs(sequence);
            log.add(Purge::new(
                at,
                &invalidation,
                "a test".to_owned(),
                None,
                applied,
            ));
        }
        let sequences: Vec<_> = log
            .latest(2)
            .iter()
            .map(|purge| purge.applied.sequence)
            .collect();
        assert_eq!(sequences, [1_005, 1_004]);
        let all = log.latest(usize::MAX);
        assert_eq!(all.len(), KEPT);
        assert!(all.iter().all(|purge| purge.covers.len() < MAX_COVERS + 8));
    }
}
