//! The scripts of fills do on the server what the protocol's functions do to a [`Slot`].

use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use redis::cmd;

use super::server::{TestServer, runtime};
use crate::ledger::protocol::fills::{Nonce, Released, Slot, Stored};
use crate::tier::valkey::fills::{Outline, Variant};
use crate::tier::valkey::keys::Namespace;
use crate::tier::valkey::scripts::Scripts;

/// The time that a test has set.
const NOW: &str = "local function now() return tonumber(redis.call('GET', 'now')) end\n";

const OUTLINE: Outline<'_> = Outline {
    keep: Duration::from_secs(3_600),
    chunks: 0,
    selectors: "",
};

#[derive(Clone, Debug)]
enum Step {
    Begin { nonce: Nonce, unfit: Option<Nonce> },
    Commit { nonce: Nonce, number: u64 },
    Release { nonce: Nonce, how: Released },
    Elapse { milliseconds: u64 },
}

fn step() -> impl Strategy<Value = Step> {
    let nonce = || prop_oneof![Just(1), Just(2), Just(u64::MAX)];
    let how = prop_oneof![
        Just(Released::Failed),
        Just(Released::NotShared),
        Just(Released::Outdated)
    ];
    let span = prop_oneof![
        Just(1),
        Just(999),
        Just(1_000),
        Just(2_000),
        Just(9_999),
        Just(10_000)
    ];
    prop_oneof![
        5 => (nonce(), prop::option::of(nonce())).prop_map(|(nonce, unfit)| Step::Begin { nonce, unfit }),
        3 => (nonce(), 0..5u64).prop_map(|(nonce, number)| Step::Commit { nonce, number }),
        2 => (nonce(), how).prop_map(|(nonce, how)| Step::Release { nonce, how }),
        3 => span.prop_map(|milliseconds| Step::Elapse { milliseconds }),
    ]
}

#[test]
#[ignore = "needs redis-server"]
fn the_scripts_of_fills_do_what_the_protocol_says() {
    let (server, runtime) = (TestServer::start(), runtime());
    let scripts = Scripts::with_clock(NOW);
    let resource = Namespace::new("books")
        .expect("a name")
        .resource(7, "http://h/books");
    // Another variant of the resource is another slot.
    let variants = [[0xff; 16], [0; 16]].map(|variant| Variant::new(resource.clone(), variant));
    let mut runner = TestRunner::new(Config {
        failure_persistence: None,
        ..Config::with_cases(300)
    });
    let steps = prop::collection::vec((0..2usize, step()), 1..60);
    let held = runner.run(&steps, |steps| {
        runtime.block_on(async {
            let mut connection = server.connection().await;
            let mut slots = [Slot::default(), Slot::default()];
            let mut now = 1_800_000_000_000;
            let flush = cmd("FLUSHALL").exec_async(&mut connection).await;
            flush.expect("an answer");
            for (at, step) in steps {
                let set = cmd("SET")
                    .arg("now")
                    .arg(now)
                    .exec_async(&mut connection)
                    .await;
                set.expect("an answer");
                let (slot, variant) = (&mut slots[at], &variants[at]);
                match step {
                    Step::Begin { nonce, unfit } => {
                        let answer = variant
                            .begin(nonce, unfit)
                            .run(&scripts, &mut connection)
                            .await;
                        prop_assert_eq!(answer.expect("an answer"), slot.begin(now, nonce, unfit));
                    }
                    Step::Commit { nonce, number } => {
                        let response = vec![nonce as u8, number as u8, 0, 0xff];
                        let new = Stored {
                            nonce,
                            number,
                            response,
                        };
                        let answer = variant
                            .commit(&new, &OUTLINE)
                            .run(&scripts, &mut connection)
                            .await;
                        let is_stored = answer.expect("an answer").is_some();
                        prop_assert_eq!(is_stored, slot.commit(new));
                    }
                    Step::Release { nonce, how } => {
                        let answer = variant
                            .release(nonce, how)
                            .run(&scripts, &mut connection)
                            .await;
                        answer.expect("an answer");
                        slot.release(now, nonce, how);
                    }
                    Step::Elapse { milliseconds } => now += milliseconds,
                }
            }
            Ok(())
        })
    });
    held.unwrap_or_else(|error| panic!("{error}"));
}
