//! Which server a request goes to.

use std::cell::Cell;

use smallvec::SmallVec;

use super::health::state::Availability;
use crate::config::Balance;

/// The servers of an API, as the choice sees them. A server's index is its place in the configuration.
pub(super) trait Candidates {
    fn len(&self) -> usize;
    fn availability(&self, server: usize) -> Availability;
    /// Requests in flight to it, from all workers.
    fn load(&self, server: usize) -> usize;
    /// Whether a request to it would find a connection at once, or could open one.
    fn has_room(&self, server: usize) -> bool;
    /// A hash of its URL, the same in every process.
    fn identity(&self, server: usize) -> u64;
    /// Whether only trials go to it, whatever its availability: its circuit is open.
    fn takes_only_trials(&self, server: usize) -> bool;
    /// Whether a request may try a server that is ejected or whose circuit is open; see
    /// [`super::health::state::ServerHealth::begin_trial`].
    fn begin_trial(&self, server: usize, urgent: bool) -> bool;
}

/// A server that a request is to go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Choice {
    Server(usize),
    /// It is ejected or its circuit is open, and this request tries whether it is back.
    Trial(usize),
}

/// One worker's choices.
#[derive(Debug)]
pub(super) struct Balancer {
    policy: Balance,
    turn: Cell<usize>,
    random: Cell<u64>,
}

pub(super) type Indexes = SmallVec<[usize; 8]>;

/// The servers that have not been tried, by what they may be used for.
#[derive(Default)]
struct Groups {
    available: Indexes,
    /// Available, but in slow start, and not drawn for this request.
    slow_start: Indexes,
    unchecked: Indexes,
    paused: Indexes,
    ejected: Indexes,
    /// Their circuit is open.
    trial_only: Indexes,
}

impl Balancer {
    /// `seed` differs from worker to worker, so that they do not all begin with the same server.
    pub(super) fn new(policy: Balance, seed: u64) -> Self {
        let random = Cell::new(seed | 1);
        Self {
            policy,
            turn: Cell::new(usize::try_from(mix(seed) >> 33).unwrap_or_default()),
            random,
        }
    }

    /// A server that is not among those `tried`: an available one, else one whose health checks have not decided yet, else
    /// a paused one, else an ejected one as a trial; `None` when there is none left. Where most servers are not available,
    /// an ejected one gets a trial now and then even so, so that the others carry its load for no longer than they must. A
    /// server whose circuit is open, and whose ejection is over, gets one trial at a time before it gets a share.
    pub(super) fn choose(
        &self,
        candidates: &impl Candidates,
        hash: Option<u64>,
        tried: &[usize],
    ) -> Option<Choice> {
        let Groups {
            available,
            slow_start,
            unchecked,
            paused,
            mut ejected,
            trial_only,
        } = self.groups(candidates, tried);
        // A retry has failed once already: it is no trial.
        let may_try = tried.is_empty();
        let urgent = [&available, &slow_start, &unchecked, &paused]
            .iter()
            .all(|servers| servers.is_empty());
        if !(urgent || available.len() * 2 < candidates.len()) {
            ejected.clear();
        }
        if may_try {
            let on_trial = trial_only.into_iter().chain(ejected);
            // A trial that has to wait for a connection shows nothing; without any other server it may wait.
            let has_room = |server: &usize| urgent || candidates.has_room(*server);
            let mut on_trial = on_trial.filter(has_room);
            if let Some(server) = on_trial.find(|server| candidates.begin_trial(*server, urgent)) {
                return Some(Choice::Trial(server));
            }
        }
        // The usual case: there is only one.
        if available.len() + slow_start.len() == 1 && unchecked.is_empty() && paused.is_empty() {
            return available
                .into_iter()
                .chain(slow_start)
                .next()
                .map(Choice::Server);
        }
        let with_room = [&available, &slow_start].into_iter().find_map(|servers| {
            let free = servers.iter().copied();
            let free: Indexes = free.filter(|server| candidates.has_room(*server)).collect();
            self.among(candidates, hash, &free)
        });
        let whichever = || {
            [available, slow_start, unchecked, paused]
                .iter()
                .find_map(|servers| self.among(candidates, hash, servers))
        };
        with_room.or_else(whichever).map(Choice::Server)
    }

    fn groups(&self, candidates: &impl Candidates, tried: &[usize]) -> Groups {
        let mut groups = Groups::default();
        for server in (0..candidates.len()).filter(|server| !tried.contains(server)) {
            match candidates.availability(server) {
                Availability::Available(_) | Availability::Paused
                    if candidates.takes_only_trials(server) =>
                {
                    groups.trial_only.push(server);
                }
                // In slow start, a server gets its share of the requests, drawn at random.
                Availability::Available(share)
                    if share < 1.0 && self.below(1_000) as f64 >= share * 1_000.0 =>
                {
                    groups.slow_start.push(server);
                }
                Availability::Available(_) => groups.available.push(server),
                Availability::Paused => groups.paused.push(server),
                Availability::Ejected => groups.ejected.push(server),
                Availability::Unchecked => groups.unchecked.push(server),
                Availability::Unhealthy => {}
            }
        }
        groups
    }

    /// The servers at which a request waits whose choice was `first`, which has no room. The request goes to the server that
    /// has room first.
    pub(super) fn to_wait_at(
        candidates: &impl Candidates,
        first: usize,
        tried: &[usize],
    ) -> Indexes {
        let is_as_good = |server: &usize| {
            matches!(candidates.availability(*server), Availability::Available(_))
                && !candidates.takes_only_trials(*server)
                && !tried.contains(server)
        };
        let others = (0..candidates.len()).filter(|server| *server != first);
        std::iter::once(first)
            .chain(others.filter(is_as_good))
            .collect()
    }

    /// One of `servers` by the policy; `None` where there is none.
    fn among(
        &self,
        candidates: &impl Candidates,
        hash: Option<u64>,
        servers: &[usize],
    ) -> Option<usize> {
        match (servers, self.policy, hash) {
            ([] | [_], _, _) => servers.first().copied(),
            (_, Balance::Hash, Some(hash)) => servers
                .iter()
                .copied()
                // The highest of scores that depend on server and key: a server that leaves takes only its own keys
                // along (rendezvous hashing).
                .max_by_key(|server| mix(hash ^ mix(candidates.identity(*server)))),
            (_, Balance::LeastRequests, _) => {
                // Two different ones, of at least two.
                let first = self.below(servers.len());
                let second = (first + 1 + self.below(servers.len() - 1)) % servers.len();
                let (first, second) = (servers[first], servers[second]);
                let lighter = candidates.load(second) < candidates.load(first);
                Some(if lighter { second } else { first })
            }
            (_, Balance::RoundRobin | Balance::Hash, _) => {
                let turn = self.turn.get();
                self.turn.set(turn.wrapping_add(1));
                Some(servers[turn % servers.len()])
            }
        }
    }

    /// A random number below `bound`, which is at least 1. Random enough for spreading load, and for nothing else.
    fn below(&self, bound: usize) -> usize {
        // Xorshift; its state is never 0.
        let mut random = self.random.get();
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        self.random.set(random);
        usize::try_from(random >> 33).unwrap_or_default() % bound
    }
}

/// Spreads each bit over all (the finalizer of splitmix64).
pub(super) fn mix(mut bits: u64) -> u64 {
    bits = bits.wrapping_add(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests;
