//! Which server a request goes to.

use std::cell::Cell;

use smallvec::SmallVec;

use super::health::state::Fitness;
use crate::config::Balance;

/// What is asked about a server, whose number is its place in the configuration.
pub(super) trait Field {
    fn len(&self) -> usize;
    fn fitness(&self, server: usize) -> Fitness;
    /// Requests in flight to it, from all workers.
    fn load(&self, server: usize) -> usize;
    /// Whether a request to it would find a connection at once, or leave to open one.
    fn has_room(&self, server: usize) -> bool;
    /// A number of its own, the same in every process.
    fn identity(&self, server: usize) -> u64;
    /// Whether only trials go to it, whatever its fitness; see [`super::health::circuit`].
    fn is_cut_off(&self, server: usize) -> bool;
    /// Leave to try a server that is ejected or cut off; see [`super::health::state::Standing::begin_trial`].
    fn begin_trial(&self, server: usize, urgent: bool) -> bool;
}

/// A server that a request is to go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Choice {
    Server(usize),
    /// It is ejected or cut off, and this request tries whether it is back.
    Trial(usize),
}

/// One worker's choices.
#[derive(Debug)]
pub(super) struct Balancer {
    policy: Balance,
    turn: Cell<usize>,
    random: Cell<u64>,
}

pub(super) type Numbers = SmallVec<[usize; 8]>;

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

    /// A server that is not among those `tried`: a fit one, else one whose health checks have not decided yet, else one that rests, else an
    /// ejected one to be tried;
    /// `None` when there is nothing left to try. Where most servers are not fit, an ejected one is tried now and then
    /// even so: the few should not carry the load of all for longer than need be. One that is cut off, and whose ejection
    /// is over, is tried by a request at a time before it gets a share.
    pub(super) fn choose(
        &self,
        field: &impl Field,
        hash: Option<u64>,
        tried: &[usize],
    ) -> Option<Choice> {
        let mut fit = Numbers::new();
        let mut held_back = Numbers::new();
        let mut unchecked = Numbers::new();
        let mut resting = Numbers::new();
        let mut ejected = Numbers::new();
        let mut cut_off = Numbers::new();
        for server in (0..field.len()).filter(|server| !tried.contains(server)) {
            match field.fitness(server) {
                Fitness::Fit(_) | Fitness::Resting if field.is_cut_off(server) => {
                    cut_off.push(server);
                }
                Fitness::Fit(share) if share < 1.0 && !self.chance(share) => {
                    held_back.push(server);
                }
                Fitness::Fit(_) => fit.push(server),
                Fitness::Resting => resting.push(server),
                Fitness::Ejected => ejected.push(server),
                Fitness::Unchecked => unchecked.push(server),
                Fitness::Unwell => {}
            }
        }
        // A retry has been at risk once already.
        let may_try = tried.is_empty();
        let urgent = [&fit, &held_back, &unchecked, &resting]
            .iter()
            .all(|servers| servers.is_empty());
        if !(urgent || fit.len() * 2 < field.len()) {
            ejected.clear();
        }
        if may_try {
            let outside = cut_off.into_iter().chain(ejected);
            // A trial that has to wait for a connection tells nothing; without any other server it may.
            let has_room = |server: &usize| urgent || field.has_room(*server);
            let mut outside = outside.filter(has_room);
            if let Some(server) = outside.find(|server| field.begin_trial(*server, urgent)) {
                return Some(Choice::Trial(server));
            }
        }
        // Nothing is left to choose.
        if fit.len() + held_back.len() == 1 && unchecked.is_empty() && resting.is_empty() {
            return fit.into_iter().chain(held_back).next().map(Choice::Server);
        }
        let with_room = [&fit, &held_back].into_iter().find_map(|servers| {
            let free = servers.iter().copied();
            let free: Numbers = free.filter(|server| field.has_room(*server)).collect();
            self.among(field, hash, &free)
        });
        let whichever = || {
            [fit, held_back, unchecked, resting]
                .iter()
                .find_map(|servers| self.among(field, hash, servers))
        };
        with_room.or_else(whichever).map(Choice::Server)
    }

    /// The servers at which a request waits that was to go to `first`, which has no room: it goes to the one that has
    /// some first.
    pub(super) fn to_wait_at(field: &impl Field, first: usize, tried: &[usize]) -> Numbers {
        let is_as_good = |server: &usize| {
            matches!(field.fitness(*server), Fitness::Fit(_))
                && !field.is_cut_off(*server)
                && !tried.contains(server)
        };
        let others = (0..field.len()).filter(|server| *server != first);
        std::iter::once(first)
            .chain(others.filter(is_as_good))
            .collect()
    }

    fn among(&self, field: &impl Field, hash: Option<u64>, servers: &[usize]) -> Option<usize> {
        match (servers, self.policy, hash) {
            ([] | [_], _, _) => servers.first().copied(),
            (_, Balance::Hash, Some(hash)) => servers
                .iter()
                .copied()
                // The highest of scores that depend on server and key: a server that leaves takes only its own keys
                // along (rendezvous hashing).
                .max_by_key(|server| mix(hash ^ mix(field.identity(*server)))),
            (_, Balance::LeastRequests, _) => {
                let (first, second) = self.two_of(servers);
                let lighter = field.load(second) < field.load(first);
                Some(if lighter { second } else { first })
            }
            (_, Balance::RoundRobin | Balance::Hash, _) => {
                let turn = self.turn.get();
                self.turn.set(turn.wrapping_add(1));
                Some(servers[turn % servers.len()])
            }
        }
    }

    /// Two different ones, of at least two.
    fn two_of(&self, servers: &[usize]) -> (usize, usize) {
        let first = self.below(servers.len());
        let second = (first + 1 + self.below(servers.len() - 1)) % servers.len();
        (servers[first], servers[second])
    }

    fn chance(&self, share: f64) -> bool {
        const STEPS: usize = 1_000;
        (self.below(STEPS) as f64) < share * STEPS as f64
    }

    /// A number below `bound`, which is at least 1. Fair enough for spreading load, and for nothing else.
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
mod tests {
    use std::cell::RefCell;

    use super::*;

    struct Servers {
        fitness: Vec<Fitness>,
        cut_off: Vec<usize>,
        full: Vec<usize>,
        load: Vec<usize>,
        trials: RefCell<Vec<(usize, bool)>>,
    }

    impl Field for Servers {
        fn len(&self) -> usize {
            self.fitness.len()
        }
        fn fitness(&self, server: usize) -> Fitness {
            self.fitness[server]
        }
        fn load(&self, server: usize) -> usize {
            self.load[server]
        }
        fn has_room(&self, server: usize) -> bool {
            !self.full.contains(&server)
        }
        fn identity(&self, server: usize) -> u64 {
            server as u64
        }
        fn is_cut_off(&self, server: usize) -> bool {
            self.cut_off.contains(&server)
        }
        fn begin_trial(&self, server: usize, urgent: bool) -> bool {
            let mut trials = self.trials.borrow_mut();
            let free = !trials.contains(&(server, urgent));
            trials.push((server, urgent));
            free
        }
    }

    const FIT: Fitness = Fitness::Fit(1.0);

    fn servers(fitness: &[Fitness]) -> Servers {
        Servers {
            fitness: fitness.to_vec(),
            cut_off: Vec::new(),
            full: Vec::new(),
            load: vec![0; fitness.len()],
            trials: RefCell::default(),
        }
    }

    /// How often each server is chosen in `times` choices.
    fn counts(balancer: &Balancer, servers: &Servers, times: u64) -> Vec<u64> {
        let mut counts = vec![0; servers.len()];
        for key in 0..times {
            if let Some(Choice::Server(server)) = balancer.choose(servers, Some(key), &[]) {
                counts[server] += 1;
            }
        }
        counts
    }

    #[test]
    fn round_robin_gives_each_the_same() {
        let servers = servers(&[FIT, FIT, FIT]);
        let balancer = Balancer::new(Balance::RoundRobin, 7);
        assert_eq!(counts(&balancer, &servers, 300), [100, 100, 100]);
    }

    #[test]
    fn least_requests_never_takes_the_busiest_and_spreads_the_rest() {
        let mut servers = servers(&[FIT, FIT, FIT]);
        servers.load[1] = 5;
        let balancer = Balancer::new(Balance::LeastRequests, 7);
        let counts = counts(&balancer, &servers, 3_000);
        assert_eq!(counts[1], 0);
        assert!(counts[0] > 1_200 && counts[2] > 1_200, "{counts:?}");
    }

    #[test]
    fn a_hash_keeps_its_server_and_only_the_keys_of_one_that_leaves_move() {
        let mut servers = servers(&[FIT; 5]);
        let balancer = Balancer::new(Balance::Hash, 7);
        let choose = |servers: &Servers, key| balancer.choose(servers, Some(key), &[]);
        let before: Vec<_> = (0..1_000).map(|key| choose(&servers, key)).collect();
        for server in 0..5 {
            let keys = before
                .iter()
                .filter(|&&choice| choice == Some(Choice::Server(server)));
            assert!((150..250).contains(&keys.count()));
        }
        servers.fitness[3] = Fitness::Ejected;
        for (key, before) in (0..).zip(&before) {
            let after = choose(&servers, key);
            if *before == Some(Choice::Server(3)) {
                assert_ne!(after, *before);
            } else {
                assert_eq!(after, *before);
            }
        }
    }

    #[test]
    fn what_is_not_fit_is_asked_only_when_nothing_better_is_left() {
        use Fitness::{Ejected, Resting, Unwell};
        let server = |number| Some(Choice::Server(number));
        let table: [(&[Fitness], &[usize], Option<Choice>); 10] = [
            (&[FIT], &[], server(0)),
            (&[Ejected, FIT], &[], server(1)),
            (&[Resting, FIT], &[], server(1)),
            (&[Resting, Ejected], &[1], server(0)),
            (&[Ejected, Unwell], &[], Some(Choice::Trial(0))),
            (&[Unwell, Unwell], &[], None),
            (&[FIT, FIT], &[0], server(1)),
            (&[FIT, Resting], &[0], server(1)),
            (&[FIT, Ejected], &[0], None),
            (&[Fitness::Fit(0.0)], &[], server(0)),
        ];
        for policy in [Balance::RoundRobin, Balance::LeastRequests, Balance::Hash] {
            for (fitness, tried, expected) in table {
                let balancer = Balancer::new(policy, 7);
                let choice = balancer.choose(&servers(fitness), Some(1), tried);
                assert_eq!(choice, expected, "{policy:?} {fitness:?} {tried:?}");
            }
        }
    }

    #[test]
    fn a_server_without_room_is_not_chosen_while_another_has_some() {
        let balancers = [Balance::RoundRobin, Balance::LeastRequests, Balance::Hash];
        for balancer in balancers.map(|policy| Balancer::new(policy, 7)) {
            let mut servers = servers(&[FIT; 3]);
            let before: Vec<_> = (0..60)
                .map(|key| balancer.choose(&servers, Some(key), &[]))
                .collect();
            servers.full = vec![1];
            let counts = counts(&balancer, &servers, 60);
            assert_eq!(counts[1], 0, "{balancer:?}");
            assert!(counts[0] > 10 && counts[2] > 10, "{balancer:?} {counts:?}");
            if balancer.policy == Balance::Hash {
                let stays = |choice: &Option<Choice>| *choice != Some(Choice::Server(1));
                for (key, choice) in (0..).zip(before).filter(|(_, choice)| stays(choice)) {
                    assert_eq!(balancer.choose(&servers, Some(key), &[]), choice);
                }
            }
            servers.full = vec![0, 1, 2];
            let counts = self::counts(&balancer, &servers, 60);
            assert_eq!(counts.iter().sum::<u64>(), 60, "it waits");
            // One that comes back slowly has room for all where the others have none.
            servers.full = vec![0, 1];
            servers.fitness[2] = Fitness::Fit(0.0);
            let counts = self::counts(&balancer, &servers, 60);
            assert_eq!(counts, [0, 0, 60], "{balancer:?}");
            // No trial has to wait where another server has room.
            servers.fitness[0] = Fitness::Ejected;
            servers.fitness[1] = Fitness::Ejected;
            assert_eq!(
                balancer.choose(&servers, Some(1), &[]),
                Some(Choice::Server(2))
            );
        }
    }

    #[test]
    fn a_request_waits_at_all_servers_that_are_as_good() {
        let mut servers = servers(&[FIT, FIT, Fitness::Fit(0.2), FIT, Fitness::Resting]);
        servers.cut_off = vec![3];
        for (first, tried, at) in [
            (0, &[][..], &[0, 1, 2][..]),
            (1, &[0], &[1, 2]),
            (4, &[], &[4, 0, 1, 2]),
            (2, &[0, 1], &[2]),
        ] {
            let found = Balancer::to_wait_at(&servers, first, tried);
            assert_eq!(found.as_slice(), at, "{first} {tried:?}");
        }
    }

    #[test]
    fn an_ejected_server_is_tried_by_one_request_at_a_time() {
        let servers = servers(&[Fitness::Ejected]);
        let balancer = Balancer::new(Balance::RoundRobin, 7);
        assert_eq!(balancer.choose(&servers, None, &[]), Some(Choice::Trial(0)));
        assert_eq!(balancer.choose(&servers, None, &[]), None);
    }

    #[test]
    fn ejected_servers_are_tried_beside_fit_ones_only_when_these_are_few() {
        let balancer = Balancer::new(Balance::RoundRobin, 7);
        let many = servers(&[Fitness::Ejected, FIT, FIT]);
        let few = servers(&[FIT, Fitness::Ejected, Fitness::Ejected]);
        let choices = |servers: &Servers| -> Vec<_> {
            (0..3)
                .filter_map(|_| balancer.choose(servers, None, &[]))
                .collect()
        };
        assert!(!choices(&many).contains(&Choice::Trial(0)));
        assert_eq!(
            choices(&few),
            [Choice::Trial(1), Choice::Trial(2), Choice::Server(0)]
        );
        assert_eq!(
            *few.trials.borrow(),
            [(1, false), (1, false), (2, false), (1, false), (2, false)]
        );
    }

    #[test]
    fn a_server_that_is_cut_off_is_tried_before_it_gets_a_share() {
        let balancer = Balancer::new(Balance::RoundRobin, 7);
        for (fitness, others) in [
            (&[FIT][..], false),
            (&[Fitness::Resting], false),
            (&[FIT, FIT, FIT], true),
            (&[FIT, Fitness::Unwell], false),
        ] {
            let mut servers = servers(fitness);
            servers.cut_off = vec![0];
            let choose = |tried: &[usize]| balancer.choose(&servers, None, tried);
            assert_eq!(choose(&[]), Some(Choice::Trial(0)));
            assert_eq!(*servers.trials.borrow(), [(0, !others)]);
            let second = choose(&[]);
            assert_eq!(second.is_some(), others);
            assert_ne!(second, Some(Choice::Server(0)));
            assert_ne!(choose(&[9]), Some(Choice::Trial(0)), "no retry tries it");
        }
    }

    #[test]
    fn a_server_that_comes_back_gets_a_part_of_its_share() {
        let servers = servers(&[FIT, Fitness::Fit(0.2)]);
        let balancer = Balancer::new(Balance::RoundRobin, 7);
        let counts = counts(&balancer, &servers, 2_000);
        assert!((120..300).contains(&counts[1]), "{counts:?}");
    }

    #[test]
    fn workers_do_not_all_begin_with_the_same_server() {
        let servers = servers(&[FIT; 4]);
        let first: std::collections::BTreeSet<_> = (0..32)
            .filter_map(|seed| {
                let balancer = Balancer::new(Balance::RoundRobin, seed);
                match balancer.choose(&servers, None, &[])? {
                    Choice::Server(server) | Choice::Trial(server) => Some(server),
                }
            })
            .collect();
        assert_eq!(first.len(), 4);
    }
}
