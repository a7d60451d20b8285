//! The latest outcome of each URL that was asked for lately and not simply answered from the store: what became of its
//! response, and why. Also of responses that are not stored, of which nothing else is kept.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::clock::Monotonic;
use crate::error::ErrorKind;
use crate::semantics::reasons::{Reason, ReasonNumber};

/// Places of one worker: 1,536 URLs in 36 KiB.
const SETS: usize = 384;
const WAYS: usize = 4;

/// Origins of one worker that are remembered.
const MAX_ORIGINS: usize = 16;

/// What became of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Stored,
    NotStored,
    /// The API said that what is stored is current.
    Validated,
    /// A stored response took its place.
    Stale,
    /// The gateway answered itself.
    Own,
    /// The same with an error.
    Failed,
}

impl Outcome {
    const ALL: [Self; 6] = [
        Self::Stored,
        Self::NotStored,
        Self::Validated,
        Self::Stale,
        Self::Own,
        Self::Failed,
    ];

    pub const fn token(self) -> &'static str {
        match self {
            Self::Stored => "stored",
            Self::NotStored => "not-stored",
            Self::Validated => "validated",
            Self::Stale => "stale",
            Self::Own => "own",
            Self::Failed => "failed",
        }
    }
}

/// The latest response to requests for one URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Latest {
    pub outcome: Outcome,
    /// Why the request went to the API.
    pub forward: Option<ReasonNumber>,
    /// The reason for the outcome.
    pub reason: Option<ReasonNumber>,
    pub error: Option<ErrorKind>,
    /// The status that the client got.
    pub status: u16,
    /// To the second.
    pub when: Monotonic,
    /// Such responses to requests for the URL, since it is remembered.
    pub count: u32,
}

/// The latest outcomes that one worker has seen. It alone writes; others may read meanwhile, and then find nothing rather
/// than a mixture.
#[derive(Debug)]
pub struct LatestOutcomes {
    slots: Box<[Slot]>,
    origins: Mutex<Vec<Box<str>>>,
}

/// An outcome in three words.
#[derive(Debug, Default)]
struct Slot {
    /// Of the key; zero where there is none.
    hash: AtomicU64,
    /// From the lowest byte: outcome, forward reason, reason, error, each from one on, and the status.
    what: AtomicU64,
    /// Seconds in the upper half, the count in the lower.
    when: AtomicU64,
}

impl Default for LatestOutcomes {
    fn default() -> Self {
        Self {
            slots: (0..SETS * WAYS).map(|_| Slot::default()).collect(),
            origins: Mutex::default(),
        }
    }
}

impl LatestOutcomes {
    /// Remembers `latest` for the key with this hash, in the place of what was longest ago among its neighbours.
    pub fn note(&self, hash: u64, latest: Latest) {
        let hash = hash.max(1);
        let set = self.set(hash);
        let known = set
            .iter()
            .find(|slot| slot.hash.load(Ordering::Relaxed) == hash);
        let (slot, count) = match known {
            Some(slot) => (slot, slot.when.load(Ordering::Relaxed) as u32),
            None => {
                let oldest = set
                    .iter()
                    .min_by_key(|slot| slot.when.load(Ordering::Relaxed) >> 32);
                let Some(slot) = oldest else { return };
                (slot, 0)
            }
        };
        slot.hash.store(0, Ordering::Release);
        slot.what.store(latest.packed(), Ordering::Release);
        let when = latest.when.as_millis() / 1000;
        let count = u64::from(count.saturating_add(latest.count));
        slot.when.store(when << 32 | count, Ordering::Release);
        slot.hash.store(hash, Ordering::Release);
    }

    /// What is remembered of the key with this hash.
    pub fn find(&self, hash: u64) -> Option<Latest> {
        let hash = hash.max(1);
        let is_it = |slot: &&Slot| slot.hash.load(Ordering::Acquire) == hash;
        let slot = self.set(hash).iter().find(is_it)?;
        let (what, when) = (
            slot.what.load(Ordering::Acquire),
            slot.when.load(Ordering::Acquire),
        );
        if !is_it(&slot) {
            return None;
        }
        Latest::unpacked(what, when)
    }

    /// Remembers the origin (`scheme://authority`) of a request: explanations of a path alone try those.
    pub fn note_origin(&self, origin: &str) {
        let mut origins = self.origins.lock().unwrap_or_else(PoisonError::into_inner);
        match origins.iter().position(|known| **known == *origin) {
            Some(0) => {}
            Some(at) => origins[..=at].rotate_right(1),
            None => {
                origins.truncate(MAX_ORIGINS - 1);
                origins.insert(0, origin.into());
            }
        }
    }

    /// The latest origins, the latest first.
    pub fn origins(&self) -> Vec<Box<str>> {
        let origins = self.origins.lock().unwrap_or_else(PoisonError::into_inner);
        origins.clone()
    }

    fn set(&self, hash: u64) -> &[Slot] {
        // The lowest bits choose shards elsewhere.
        let at = (hash >> 16) as usize % SETS * WAYS;
        &self.slots[at..at + WAYS]
    }
}

impl Latest {
    fn packed(self) -> u64 {
        let number = |number: Option<ReasonNumber>| number.map_or(0, |n| u64::from(n.0) + 1);
        let error = self.error.map_or(0, |error| error as u64 + 1);
        self.outcome as u64
            | number(self.forward) << 8
            | number(self.reason) << 16
            | error << 24
            | u64::from(self.status) << 32
    }

    fn unpacked(what: u64, when: u64) -> Option<Self> {
        let byte = |at: u32| (what >> at) as u8;
        let number = |at| byte(at).checked_sub(1).map(ReasonNumber);
        let error = byte(24).checked_sub(1);
        Some(Self {
            outcome: *Outcome::ALL.get(usize::from(byte(0)))?,
            forward: number(8),
            reason: number(16),
            error: error.and_then(|at| ErrorKind::ALL.get(usize::from(at)).copied()),
            status: (what >> 32) as u16,
            when: Monotonic::from_millis((when >> 32) * 1000),
            count: when as u32,
        })
    }

    /// The later of two, with the counts of both.
    #[must_use]
    pub fn joined(self, other: Self) -> Self {
        let count = self.count.saturating_add(other.count);
        match other.when > self.when {
            true => Self { count, ..other },
            false => Self { count, ..self },
        }
    }

    /// The reason in words.
    pub fn why(&self) -> Option<&'static Reason> {
        self.reason?.reason()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::semantics::reasons::Kind;

    fn latest(seconds: u64, status: u16) -> Latest {
        let number = |kind, token| Reason::find(kind, token).and_then(Reason::number);
        Latest {
            outcome: Outcome::NotStored,
            forward: number(Kind::Forward, "uri-miss"),
            reason: number(Kind::NotStored, "private"),
            error: Some(ErrorKind::Internal),
            status,
            when: Monotonic::from_millis(seconds * 1000),
            count: 1,
        }
    }

    #[test]
    fn the_latest_outcome_of_a_url_is_remembered_and_counted() {
        let outcomes = LatestOutcomes::default();
        assert_eq!(outcomes.find(7), None);
        outcomes.note(7, latest(1, 200));
        outcomes.note(7, latest(2, 404));
        let found = outcomes.find(7).expect("it was noted");
        assert_eq!(
            found,
            Latest {
                count: 2,
                ..latest(2, 404)
            }
        );
        assert_eq!(found.why().map(|why| why.token), Some("private"));
        let all = Outcome::ALL.map(|outcome| {
            let noted = Latest {
                outcome,
                error: None,
                ..latest(3, 200)
            };
            outcomes.note(8, noted);
            outcomes.find(8).map(|found| found.outcome)
        });
        assert_eq!(all, Outcome::ALL.map(Some));
        let joined = latest(5, 200).joined(latest(6, 404));
        assert_eq!((joined.status, joined.count), (404, 2));
    }

    #[test]
    fn what_was_longest_ago_among_its_neighbours_is_forgotten() {
        let outcomes = LatestOutcomes::default();
        // All of one set.
        let hash = |n: u64| (n * SETS as u64) << 16 | 5;
        for n in 1..=5 {
            outcomes.note(hash(n), latest(n, 200));
        }
        assert_eq!(outcomes.find(hash(1)), None);
        assert!((2..=5).all(|n| outcomes.find(hash(n)).is_some()));
        const { assert!(SETS * WAYS * size_of::<Slot>() <= 48 << 10) };
    }

    #[test]
    fn the_latest_origins_are_remembered() {
        let outcomes = LatestOutcomes::default();
        for n in 0..20 {
            outcomes.note_origin(&format!("http://{n}"));
        }
        outcomes.note_origin("http://10");
        let origins = outcomes.origins();
        assert_eq!((&*origins[0], &*origins[1]), ("http://10", "http://19"));
        assert_eq!(origins.len(), MAX_ORIGINS);
    }
}
