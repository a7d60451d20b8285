//! The one byte budget. Bytes of a response are held together with a [`Token`] for them, from the first byte of a body in
//! flight to the last reader of an evicted response, so that what moka has evicted is counted as long as it is held.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes that the allocator takes for an allocation of `bytes`: its sizes are multiples of 16 up to 64, then four for each
/// doubling.
pub const fn allocated(bytes: usize) -> usize {
    match bytes {
        0 => 0,
        1..=64 => bytes.next_multiple_of(16),
        _ => bytes.next_multiple_of(1 << ((bytes - 1).ilog2() - 2)),
    }
}

/// Bytes that an entry of so many takes at most in a tree of the standard library: its nodes have places for 11 entries and
/// hold 5 at least, and at least six of them are below each inner node, which points to them besides.
pub const fn tree_entry(bytes: usize) -> usize {
    let leaf = (11 * bytes + 12).next_multiple_of(8);
    let inner = leaf + 12 * 8;
    (6 * allocated(leaf) + allocated(inner)).div_ceil(7 * 5)
}

/// How many bytes may be held, and how many are.
#[derive(Debug)]
pub struct Budget {
    limit: u64,
    used: AtomicU64,
    /// Of `used`: content on its way.
    in_flight: AtomicU64,
    /// Beside `used`: content on its way that will not be stored.
    passing: AtomicU64,
}

impl Budget {
    /// A budget of `limit` bytes.
    pub fn new(limit: u64) -> Arc<Self> {
        Arc::new(Self {
            limit,
            used: AtomicU64::new(0),
            in_flight: AtomicU64::new(0),
            passing: AtomicU64::new(0),
        })
    }

    /// Bytes held now.
    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// Bytes held now by content that is still on its way.
    pub fn in_flight(&self) -> u64 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Bytes of content on its way that will not be stored and that several may read; not in [`Budget::used`].
    pub fn passing(&self) -> u64 {
        self.passing.load(Ordering::Relaxed)
    }

    pub fn limit(&self) -> u64 {
        self.limit
    }

    fn take(&self, bytes: u64) -> bool {
        let take = |used: u64| used.checked_add(bytes).filter(|sum| *sum <= self.limit);
        self.used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take)
            .is_ok()
    }
}

/// A share of a [`Budget`], given back when it drops. Every stored response has one: it is two words and no more.
#[derive(Debug)]
pub struct Token {
    budget: Arc<Budget>,
    bytes: u64,
}

impl Token {
    /// A share of nothing, to be grown.
    pub fn empty(budget: &Arc<Budget>) -> Self {
        Self {
            budget: budget.clone(),
            bytes: 0,
        }
    }

    /// A share of `bytes`; `None` when the budget has not that much left.
    pub fn take(budget: &Arc<Budget>, bytes: u64) -> Option<Self> {
        budget.take(bytes).then(|| Self {
            budget: budget.clone(),
            bytes,
        })
    }

    /// Takes `bytes` more; false, and unchanged, when the budget has not that much left.
    #[must_use]
    pub fn grow(&mut self, bytes: u64) -> bool {
        let grown = self.budget.take(bytes);
        if grown {
            self.bytes += bytes;
        }
        grown
    }

    /// Gives back all but `bytes`.
    pub fn shrink_to(&mut self, bytes: u64) {
        let surplus = self.bytes.saturating_sub(bytes);
        self.budget.used.fetch_sub(surplus, Ordering::Relaxed);
        self.bytes -= surplus;
    }

    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        self.shrink_to(0);
    }
}

/// The token of content that is on its way.
#[derive(Debug)]
pub struct InFlight(Token);

impl InFlight {
    /// A share of nothing, to be grown.
    pub fn empty(budget: &Arc<Budget>) -> Self {
        Self(Token::empty(budget))
    }

    /// See [`Token::grow`].
    #[must_use]
    pub fn grow(&mut self, bytes: u64) -> bool {
        let grown = self.0.grow(bytes);
        if grown {
            self.in_flight().fetch_add(bytes, Ordering::Relaxed);
        }
        grown
    }

    /// Gives back all but `bytes`.
    pub fn shrink_to(&mut self, bytes: u64) {
        let surplus = self.0.bytes.saturating_sub(bytes);
        self.in_flight().fetch_sub(surplus, Ordering::Relaxed);
        self.0.shrink_to(bytes);
    }

    pub fn bytes(&self) -> u64 {
        self.0.bytes
    }

    /// A count of the bytes of this content that will not be stored.
    pub fn passing(&self) -> Passing {
        Passing {
            budget: self.0.budget.clone(),
            bytes: 0,
        }
    }

    /// The content has come: its token, for the store.
    pub fn arrived(mut self) -> Token {
        let rest = Token::empty(&self.0.budget);
        self.in_flight().fetch_sub(self.0.bytes, Ordering::Relaxed);
        std::mem::replace(&mut self.0, rest)
    }

    fn in_flight(&self) -> &AtomicU64 {
        &self.0.budget.in_flight
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.shrink_to(0);
    }
}

/// Bytes of one body that will not be stored, beside the budget's.
#[derive(Debug)]
pub struct Passing {
    budget: Arc<Budget>,
    bytes: u64,
}

impl Passing {
    /// It is `bytes` now.
    pub fn set(&mut self, bytes: u64) {
        let passing = &self.budget.passing;
        passing.fetch_add(bytes, Ordering::Relaxed);
        passing.fetch_sub(std::mem::replace(&mut self.bytes, bytes), Ordering::Relaxed);
    }

    /// Those of all bodies.
    pub fn of_all(&self) -> u64 {
        self.budget.passing()
    }
}

impl Drop for Passing {
    fn drop(&mut self) {
        self.set(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_those_of_the_allocator() {
        let sizes = [
            (0, 0),
            (1, 16),
            (40, 48),
            (64, 64),
            (65, 80),
            (129, 160),
            (1024, 1024),
            (1025, 1280),
            (1793, 2048),
        ];
        for (bytes, taken) in sizes {
            assert_eq!(allocated(bytes), taken, "{bytes}");
        }
    }

    #[test]
    fn what_is_taken_is_given_back() {
        let budget = Budget::new(100);
        let mut token = Token::take(&budget, 60).unwrap();
        assert!(!token.grow(41));
        assert!(token.grow(40));
        assert!(Token::take(&budget, 1).is_none());
        token.shrink_to(10);
        assert_eq!(budget.used(), 10);
        drop(token);
        assert_eq!(budget.used(), 0);
        assert!(Token::take(&budget, u64::MAX).is_none());
    }

    #[test]
    fn what_is_on_its_way_is_told_apart_until_it_has_come() {
        let budget = Budget::new(100);
        let _stored = Token::take(&budget, 10).unwrap();
        let mut coming = InFlight::empty(&budget);
        assert!(coming.grow(60));
        coming.shrink_to(50);
        assert_eq!((budget.used(), budget.in_flight()), (60, 50));
        let mut broken_off = InFlight::empty(&budget);
        assert!(broken_off.grow(5));
        drop(broken_off);
        let come = coming.arrived();
        assert_eq!((budget.used(), budget.in_flight()), (60, 0));
        drop(come);
        assert_eq!((budget.used(), budget.in_flight()), (10, 0));
    }
}
