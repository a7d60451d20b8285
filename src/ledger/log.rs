//! The log of purges: the latest ones, who asked for each and why, and what it did.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::invalidation::{Applied, Invalidation, Kind, Strength};
use crate::semantics::time::Timestamp;

/// Purges that are remembered.
const KEPT: usize = 1_000;

/// Octets that are remembered of what a purge covers: one request may name thousands of URLs.
const MAX_COVERS: usize = 1 << 10;

/// Followers at once.
pub const MAX_FOLLOWERS: usize = 8;

/// One purge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Purge {
    pub at: Timestamp,
    /// What it covers, in plain words.
    pub covers: String,
    pub kind: Kind,
    pub strength: Strength,
    /// Where it came from.
    pub actor: String,
    /// What the one who asked for it gave as its reason.
    pub reason: Option<String>,
    pub applied: Applied,
}

/// The latest purges.
#[derive(Debug, Default)]
pub struct PurgeLog {
    kept: Mutex<Kept>,
    /// How many there have been: followers wait for it to change.
    total: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Kept {
    purges: VecDeque<Purge>,
    /// Those since the start, soft and hard, by [`Kind`].
    counts: [[u64; Kind::ALL.len()]; 2],
}

/// Reads the log from a purge on, as purges are added. It has no queue of its own: what the log forgets before it is read is
/// left out.
#[derive(Clone, Debug)]
pub struct Follower {
    log: Arc<PurgeLog>,
    /// How many purges before the next one there have been.
    next: u64,
    total: watch::Receiver<u64>,
}

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
            kind: invalidation.kind(),
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
        let mut kept = self.kept();
        kept.counts[usize::from(purge.strength == Strength::Hard)][purge.kind as usize] += 1;
        if kept.purges.len() == KEPT {
            kept.purges.pop_front();
        }
        kept.purges.push_back(purge);
        // Within the lock: the number and the list belong together.
        self.total.send_modify(|total| *total += 1);
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The latest purges, so many at most, the latest first.
    pub fn latest(&self, most: usize) -> Vec<Purge> {
        let kept = self.kept();
        kept.purges.iter().rev().take(most).cloned().collect()
    }

    /// How many purges of this kind and strength there have been.
    pub fn count(&self, kind: Kind, strength: Strength) -> u64 {
        self.kept().counts[usize::from(strength == Strength::Hard)][kind as usize]
    }

    /// Reads the latest purges, so many at most, the oldest first, and then those to come; `None` where [`MAX_FOLLOWERS`] do
    /// already.
    pub fn follow(self: &Arc<Self>, most: usize) -> Option<Follower> {
        let kept = self.kept();
        if self.total.receiver_count() >= MAX_FOLLOWERS {
            return None;
        }
        let total = self.total.subscribe();
        let most = most.min(kept.purges.len()) as u64;
        let next = *total.borrow() - most;
        let log = self.clone();
        Some(Follower { log, next, total })
    }
}

impl Follower {
    /// Waits until there is a purge that was not read yet. Those that there are, the oldest first, and how many were forgotten
    /// before them. May be dropped at any time without loss.
    pub async fn next(&mut self) -> (Vec<Purge>, u64) {
        let next = self.next;
        // It cannot fail: the sender is in the log, which this holds.
        let _ = self.total.wait_for(|total| *total > next).await;
        let kept = self.log.kept();
        let total = *self.log.total.borrow();
        let first = total - kept.purges.len() as u64;
        let lost = first.saturating_sub(self.next);
        let read = usize::try_from(self.next.saturating_sub(first)).unwrap_or(usize::MAX);
        self.next = total;
        (kept.purges.iter().skip(read).cloned().collect(), lost)
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

    fn purge(sequence: u64) -> Purge {
        let applied = Applied {
            sequence,
            ..Applied::default()
        };
        let invalidation = Invalidation::soft(vec![Matcher::All]);
        let at = Timestamp::from_secs(sequence);
        Purge::new(at, &invalidation, "a test".to_owned(), None, applied)
    }

    #[tokio::test]
    async fn a_follower_reads_every_purge_once_and_is_told_how_many_it_missed() {
        let log = Arc::new(PurgeLog::default());
        (1..=3).for_each(|sequence| log.add(purge(sequence)));
        let mut follower = log.follow(2).expect("one more");
        let read = |(purges, lost): (Vec<Purge>, u64)| {
            let sequences = purges.iter().map(|purge| purge.applied.sequence);
            (sequences.collect::<Vec<_>>(), lost)
        };
        assert_eq!(read(follower.next().await), (vec![2, 3], 0));
        let waiting = tokio::spawn(async move { (follower.next().await, follower) });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        log.add(purge(4));
        let (next, mut follower) = waiting.await.expect("read");
        assert_eq!(read(next), (vec![4], 0));
        (5..=KEPT as u64 + 7).for_each(|sequence| log.add(purge(sequence)));
        let (sequences, lost) = read(follower.next().await);
        assert_eq!((sequences.len(), sequences[0], lost), (KEPT, 8, 3));
        assert_eq!(log.count(Kind::All, Strength::Soft), KEPT as u64 + 7);
        assert_eq!(log.count(Kind::All, Strength::Hard), 0);
    }

    #[test]
    fn followers_are_bounded_and_one_that_leaves_makes_room() {
        let log = Arc::new(PurgeLog::default());
        let mut followers: Vec<_> = (0..MAX_FOLLOWERS).map(|_| log.follow(1)).collect();
        assert!(followers.iter().all(Option::is_some));
        assert!(log.follow(1).is_none());
        followers.pop();
        assert!(log.follow(1).is_some());
    }
}
