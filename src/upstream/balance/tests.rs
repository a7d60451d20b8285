use std::cell::RefCell;

use super::*;

struct Servers {
    availability: Vec<Availability>,
    trial_only: Vec<usize>,
    full: Vec<usize>,
    load: Vec<usize>,
    trials: RefCell<Vec<(usize, bool)>>,
}

impl Candidates for Servers {
    fn len(&self) -> usize {
        self.availability.len()
    }
    fn availability(&self, server: usize) -> Availability {
        self.availability[server]
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
    fn takes_only_trials(&self, server: usize) -> bool {
        self.trial_only.contains(&server)
    }
    fn begin_trial(&self, server: usize, urgent: bool) -> bool {
        let mut trials = self.trials.borrow_mut();
        let free = !trials.contains(&(server, urgent));
        trials.push((server, urgent));
        free
    }
}

const AVAILABLE: Availability = Availability::Available(1.0);

fn servers(availability: &[Availability]) -> Servers {
    Servers {
        availability: availability.to_vec(),
        trial_only: Vec::new(),
        full: Vec::new(),
        load: vec![0; availability.len()],
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
    let servers = servers(&[AVAILABLE, AVAILABLE, AVAILABLE]);
    let balancer = Balancer::new(Balance::RoundRobin, 7);
    assert_eq!(counts(&balancer, &servers, 300), [100, 100, 100]);
}

#[test]
fn least_requests_never_takes_the_busiest_and_spreads_the_rest() {
    let mut servers = servers(&[AVAILABLE, AVAILABLE, AVAILABLE]);
    servers.load[1] = 5;
    let balancer = Balancer::new(Balance::LeastRequests, 7);
    let counts = counts(&balancer, &servers, 3_000);
    assert_eq!(counts[1], 0);
    assert!(counts[0] > 1_200 && counts[2] > 1_200, "{counts:?}");
}

#[test]
fn a_hash_keeps_its_server_and_only_the_keys_of_one_that_leaves_move() {
    let mut servers = servers(&[AVAILABLE; 5]);
    let balancer = Balancer::new(Balance::Hash, 7);
    let choose = |servers: &Servers, key| balancer.choose(servers, Some(key), &[]);
    let before: Vec<_> = (0..1_000).map(|key| choose(&servers, key)).collect();
    for server in 0..5 {
        let keys = before
            .iter()
            .filter(|&&choice| choice == Some(Choice::Server(server)));
        assert!((150..250).contains(&keys.count()));
    }
    servers.availability[3] = Availability::Ejected;
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
fn a_server_that_is_not_available_is_chosen_only_when_none_other_is_left() {
    use Availability::{Ejected, Paused, Unhealthy};
    let server = |number| Some(Choice::Server(number));
    let table: [(&[Availability], &[usize], Option<Choice>); 10] = [
        (&[AVAILABLE], &[], server(0)),
        (&[Ejected, AVAILABLE], &[], server(1)),
        (&[Paused, AVAILABLE], &[], server(1)),
        (&[Paused, Ejected], &[1], server(0)),
        (&[Ejected, Unhealthy], &[], Some(Choice::Trial(0))),
        (&[Unhealthy, Unhealthy], &[], None),
        (&[AVAILABLE, AVAILABLE], &[0], server(1)),
        (&[AVAILABLE, Paused], &[0], server(1)),
        (&[AVAILABLE, Ejected], &[0], None),
        (&[Availability::Available(0.0)], &[], server(0)),
    ];
    for policy in [Balance::RoundRobin, Balance::LeastRequests, Balance::Hash] {
        for (availability, tried, expected) in table {
            let balancer = Balancer::new(policy, 7);
            let choice = balancer.choose(&servers(availability), Some(1), tried);
            assert_eq!(choice, expected, "{policy:?} {availability:?} {tried:?}");
        }
    }
}

#[test]
fn a_server_without_room_is_not_chosen_while_another_has_some() {
    let balancers = [Balance::RoundRobin, Balance::LeastRequests, Balance::Hash];
    for balancer in balancers.map(|policy| Balancer::new(policy, 7)) {
        let mut servers = servers(&[AVAILABLE; 3]);
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
        // One in slow start gets all where the others have no room.
        servers.full = vec![0, 1];
        servers.availability[2] = Availability::Available(0.0);
        let counts = self::counts(&balancer, &servers, 60);
        assert_eq!(counts, [0, 0, 60], "{balancer:?}");
        // No trial has to wait where another server has room.
        servers.availability[0] = Availability::Ejected;
        servers.availability[1] = Availability::Ejected;
        assert_eq!(
            balancer.choose(&servers, Some(1), &[]),
            Some(Choice::Server(2))
        );
    }
}

#[test]
fn a_request_waits_at_all_servers_that_are_as_good() {
    let mut servers = servers(&[
        AVAILABLE,
        AVAILABLE,
        Availability::Available(0.2),
        AVAILABLE,
        Availability::Paused,
    ]);
    servers.trial_only = vec![3];
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
    let servers = servers(&[Availability::Ejected]);
    let balancer = Balancer::new(Balance::RoundRobin, 7);
    assert_eq!(balancer.choose(&servers, None, &[]), Some(Choice::Trial(0)));
    assert_eq!(balancer.choose(&servers, None, &[]), None);
}

#[test]
fn ejected_servers_are_tried_beside_available_ones_only_when_these_are_few() {
    let balancer = Balancer::new(Balance::RoundRobin, 7);
    let many = servers(&[Availability::Ejected, AVAILABLE, AVAILABLE]);
    let few = servers(&[AVAILABLE, Availability::Ejected, Availability::Ejected]);
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
fn a_server_whose_circuit_is_open_is_tried_before_it_gets_a_share() {
    let balancer = Balancer::new(Balance::RoundRobin, 7);
    for (availability, others) in [
        (&[AVAILABLE][..], false),
        (&[Availability::Paused], false),
        (&[AVAILABLE, AVAILABLE, AVAILABLE], true),
        (&[AVAILABLE, Availability::Unhealthy], false),
    ] {
        let mut servers = servers(availability);
        servers.trial_only = vec![0];
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
fn a_server_in_slow_start_gets_a_part_of_its_share() {
    let servers = servers(&[AVAILABLE, Availability::Available(0.2)]);
    let balancer = Balancer::new(Balance::RoundRobin, 7);
    let counts = counts(&balancer, &servers, 2_000);
    assert!((120..300).contains(&counts[1]), "{counts:?}");
}

#[test]
fn workers_do_not_all_begin_with_the_same_server() {
    let servers = servers(&[AVAILABLE; 4]);
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
