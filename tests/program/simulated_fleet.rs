//! The simulation of a fleet counts what arithmetic says, where arithmetic can tell.

#[path = "../../examples/fleet/model.rs"]
mod model;

use model::Fleet;

fn fleet(is_shared: bool) -> Fleet {
    Fleet {
        gateways: 5,
        keys: 2_000,
        zipf: 1.0,
        rate: 1_000.0,
        ttl: 20.0,
        room: 2_000,
        purges: 0.0,
        is_shared,
        shared_room: 2_000,
        warm: 200.0,
        counted: 400.0,
        seed: 3,
    }
}

/// Requests a second to the API that follow from arithmetic alone, where every gateway has room for all keys and nothing is
/// purged: a key that is asked for `r` times a second, at random times, is fetched `r / (1 + r * ttl)` times a second by one cache. Without
/// sharing, each gateway is such a cache with its part of the requests; with it, all of them are one, but for what is fresh in one
/// gateway's memory because another one fetched it, which counts the same.
fn expected(fleet: &Fleet) -> f64 {
    let weight = |rank: usize| (rank as f64).powf(-fleet.zipf);
    let sum: f64 = (1..=fleet.keys).map(weight).sum();
    let caches = if fleet.is_shared { 1 } else { fleet.gateways };
    let each = (1..=fleet.keys).map(|rank| {
        let asked = fleet.rate * weight(rank) / sum / caches as f64;
        asked / (1.0 + asked * fleet.ttl)
    });
    each.sum::<f64>() * caches as f64
}

#[test]
fn where_nothing_is_purged_or_forgotten_the_api_gets_what_the_lifetimes_alone_bring() {
    for is_shared in [false, true] {
        let fleet = fleet(is_shared);
        let counts = fleet.run();
        let (seen, expected) = (counts.upstream as f64 / fleet.counted, expected(&fleet));
        let off = (seen / expected - 1.0).abs();
        assert!(
            off < 0.02,
            "{seen:.1} requests/s instead of {expected:.1}, {is_shared}"
        );
        assert_eq!(
            counts.requests,
            counts.hits + counts.shared + counts.upstream
        );
    }
}

#[test]
fn it_counts_the_same_for_the_same_seed_and_more_for_less_room_and_more_purges() {
    let usual = fleet(true);
    let counts = usual.run();
    assert_eq!(counts, usual.run());
    let other_seed = Fleet {
        seed: 4,
        ..fleet(true)
    };
    assert_ne!(counts, other_seed.run());
    let less_room = Fleet {
        room: 50,
        shared_room: 200,
        ..fleet(true)
    };
    assert!(less_room.run().upstream > counts.upstream);
    assert!(less_room.run().hits < counts.hits);
    let purged = Fleet {
        purges: 50.0,
        ..fleet(true)
    };
    let purged = purged.run();
    assert!(purged.upstream > counts.upstream);
    assert_eq!(purged.purges, 20_000);
}
