//! The protocol in all orders of events, up to bounds: after an acknowledgement nobody serves what it covered from before; and once the
//! network is whole, every purge is acknowledged.
//!
//! `BOOKEND_MODEL_STATES=2000000 cargo test --lib model -- --nocapture` goes further than the first so many states.

mod fleet;
mod search;

use std::time::Instant;

use self::fleet::{Bounds, Fleet, Sabotage};
use self::search::{search, walk};
use super::timing::Timing;

/// States of each scenario that are reached, where nothing else is asked for.
const STATES: usize = 8_000;

/// States in which a sabotage must be found.
const STATES_TO_FAULT: usize = 150_000;

/// In every so manieth state, the network becomes whole.
const SETTLED_EACH: usize = 100;

const SMALL: Bounds = Bounds::small();

/// Every gateway serves.
const ALL_SERVE: Bounds = Bounds { idle: 0, ..SMALL };

const SLOW: Bounds = Bounds { slow: 1, ..SMALL };

const LOST: Bounds = Bounds {
    losses: 1,
    late: 1,
    ..SMALL
};

const SHARED: Bounds = Bounds {
    shared_tier: true,
    others: 1,
    restarts: 1,
    ..SMALL
};

const FAILOVER: Bounds = Bounds {
    failovers: 1,
    ..SMALL
};

/// The server that was replaced answers longer than a lease is.
const REPLACED: Bounds = Bounds {
    lingers: true,
    timing: Timing {
        replaced: 3,
        ..SMALL.timing
    },
    ..FAILOVER
};

const DEAF: Bounds = Bounds {
    timing: Timing {
        deaf: 2,
        ..SMALL.timing
    },
    losses: 1,
    ..SLOW
};

/// A lease is longer than a validation is good for, and two gateways watch the third.
const WATCHED: Bounds = Bounds {
    gateways: 3,
    writers: 2,
    idle: 2,
    fills: false,
    timing: Timing {
        lease: 4,
        ..SMALL.timing
    },
    ..SMALL
};

const ALONE: Bounds = Bounds {
    gateways: 1,
    writes: 2,
    others: 1,
    shared_tier: true,
    ..ALL_SERVE
};

const EVERYTHING: Bounds = Bounds {
    log: 2,
    gateways: 3,
    writers: 2,
    writes: 2,
    others: 1,
    losses: 2,
    late: 2,
    restarts: 1,
    failovers: 2,
    slow: 1,
    shared_tier: true,
    idle: 0,
    ..REPLACED
};

const SCENARIOS: [(&str, Bounds); 13] = [
    ("a slow clock", SLOW),
    ("messages lost and late", LOST),
    (
        "two writes",
        Bounds {
            log: 2,
            writes: 2,
            losses: 1,
            ..SMALL
        },
    ),
    ("a shared tier, a restart", SHARED),
    (
        "a failover",
        Bounds {
            losses: 1,
            ..FAILOVER
        },
    ),
    (
        "two failovers",
        Bounds {
            failovers: 2,
            ..FAILOVER
        },
    ),
    ("a server that was replaced", REPLACED),
    ("gateways that serve although deaf", DEAF),
    (
        "a failover with a shared tier",
        Bounds {
            shared_tier: true,
            ..FAILOVER
        },
    ),
    ("two that watch", WATCHED),
    ("one gateway", ALONE),
    (
        "two gateways that serve",
        Bounds {
            losses: 1,
            ..ALL_SERVE
        },
    ),
    ("three gateways and everything", EVERYTHING),
];

#[allow(
    clippy::disallowed_methods,
    reason = "how long the search takes, for those who read it"
)]
fn now() -> Instant {
    Instant::now()
}

#[test]
fn the_model_serves_nothing_from_before_an_acknowledgement_and_settles() {
    let states = std::env::var("BOOKEND_MODEL_STATES");
    let states = states.map_or(STATES, |states| states.parse().expect("a number of states"));
    for (name, bounds) in SCENARIOS {
        let begun = now();
        let (mut visited, mut settled) = (0, 0);
        let found = search(Fleet::new(bounds, None), states, |fleet| {
            visited += 1;
            if visited % SETTLED_EACH == 0 {
                assert!(
                    fleet.settles(),
                    "{name}: a purge is never acknowledged: {fleet:#?}"
                );
                settled += 1;
            }
        });
        println!(
            "{name}: {found}; {settled} settled; {:.1?}",
            begun.elapsed()
        );
        assert!(found.fault.is_none(), "{name}: {found}");
        let begun = now();
        let found = walk(&Fleet::new(bounds, None), states / 200, 100);
        println!("{name}, by chance: {found}; {:.1?}", begun.elapsed());
        assert!(found.fault.is_none(), "{name}: {found}");
    }
}

#[test]
fn the_model_finds_each_sabotage() {
    for (sabotage, bounds) in [
        (Sabotage::StampAtResponse, SHARED),
        (Sabotage::NoWait, SLOW),
        (Sabotage::NoFloor, SHARED),
        (Sabotage::NoEpoch, FAILOVER),
        (Sabotage::NoMargin, SLOW),
        (Sabotage::NoLease, SLOW),
        (Sabotage::LeaseFromAnswer, LOST),
        (Sabotage::LeaseUnapplied, SLOW),
        (Sabotage::NoConfirmation, FAILOVER),
        (Sabotage::NoReplication, REPLACED),
        (Sabotage::NoUnknown, FAILOVER),
        (Sabotage::KeptAfterLapse, FAILOVER),
        (Sabotage::FillIntoEpoch, FAILOVER),
        (Sabotage::AskedForever, SMALL),
        (Sabotage::RegisteredUnapplied, SMALL),
        (Sabotage::NoDeafSpan, DEAF),
        (Sabotage::OwnNotAgain, ALONE),
        (Sabotage::OldClock, SMALL),
        (Sabotage::BeatsCountedAnew, WATCHED),
    ] {
        let begun = now();
        // Without what makes no difference to it, to be quick.
        let watches = match sabotage {
            Sabotage::AskedForever | Sabotage::RegisteredUnapplied => true,
            sabotage => sabotage == Sabotage::BeatsCountedAnew,
        };
        let bounds = Bounds { watches, ..bounds };
        let found = search(Fleet::new(bounds, Some(sabotage)), STATES_TO_FAULT, |_| {});
        println!("{sabotage:?}: {found}; {:.1?}", begun.elapsed());
        assert!(found.fault.is_some(), "{sabotage:?} is not found: {found}");
    }
}
