//! The retry budget of a worker: a percentage of its requests, and a few a second in any case. When a server is down, that
//! is enough to hide it; when all are overloaded, retries do not double the load.

use std::cell::Cell;

use crate::clock::Monotonic;
use crate::config::Retries;

/// One retry, in the units of the budget.
const RETRY: u64 = 1_000;

/// For how many seconds unused retries are kept.
const SECONDS: u64 = 10;

#[derive(Debug)]
pub(super) struct Budget {
    /// Added with each request, in thousandths of a retry.
    by_request: u64,
    /// Added with each second, in thousandths of a retry.
    by_second: u64,
    balance: Cell<u64>,
    latest: Cell<Monotonic>,
}

impl Budget {
    pub(super) fn new(rules: &Retries, now: Monotonic) -> Self {
        let by_second = u64::from(rules.min_per_second) * RETRY;
        Self {
            by_request: u64::from(rules.budget) * RETRY / 100,
            by_second,
            balance: Cell::new(by_second),
            latest: Cell::new(now),
        }
    }

    /// A request was made that is no retry.
    pub(super) fn add_request(&self) {
        self.add(self.by_request);
    }

    /// Takes one retry from the budget; whether there was one.
    pub(super) fn spend(&self, now: Monotonic) -> bool {
        let passed = now.since(self.latest.replace(now)).as_millis();
        let passed = u64::try_from(passed).unwrap_or(u64::MAX);
        self.add(passed.saturating_mul(self.by_second) / 1_000);
        match self.balance.get().checked_sub(RETRY) {
            Some(left) => {
                self.balance.set(left);
                true
            }
            None => false,
        }
    }

    fn add(&self, parts: u64) {
        // It is not known beforehand how much a fast worker adds by its requests in that time: as much again as by seconds,
        // and a hundred retries at least.
        let most = (2 * SECONDS * self.by_second).max(100 * RETRY);
        self.balance
            .set(self.balance.get().saturating_add(parts).min(most));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spent(budget: &Budget, now: Monotonic) -> usize {
        (0..10_000).take_while(|_| budget.spend(now)).count()
    }

    #[test]
    fn retries_are_a_part_of_requests_and_a_few_a_second() {
        let rules = Retries {
            max: 2,
            budget: 20,
            min_per_second: 10,
        };
        let at = |millis| Monotonic::from_millis(millis);
        let budget = Budget::new(&rules, at(0));
        assert_eq!(spent(&budget, at(0)), 10, "a second's worth at the start");
        assert_eq!(spent(&budget, at(300)), 3);
        (0..50).for_each(|_| budget.add_request());
        assert_eq!(spent(&budget, at(300)), 10, "20 % of 50");
        assert_eq!(spent(&budget, at(3_600_000)), 200, "kept for a while only");
    }

    #[test]
    fn no_budget_means_no_retries() {
        let rules = Retries {
            max: 2,
            budget: 0,
            min_per_second: 0,
        };
        let budget = Budget::new(&rules, Monotonic::default());
        (0..1_000).for_each(|_| budget.add_request());
        assert_eq!(spent(&budget, Monotonic::from_millis(60_000)), 0);
    }
}
