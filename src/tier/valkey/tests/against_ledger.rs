//! The ledger's scripts do on the server what the protocol's functions do to a [`Server`].

use std::collections::{BTreeMap, VecDeque};

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use redis::aio::MultiplexedConnection;
use redis::{Value, cmd};

use super::server::{TestServer, runtime};
use crate::ledger::protocol::gateway::Answer;
use crate::ledger::protocol::server::{
    Control, Entry, Epoch, Limits, Member, Server, Snapshot, WrongEpoch,
};
use crate::tier::valkey::answers::{number, octets, pairs};
use crate::tier::valkey::keys::Namespace;
use crate::tier::valkey::ledger::{Covers, Ledger};
use crate::tier::valkey::scripts::{Call, Scripts};

const LIMITS: Limits = Limits { log: 4, ledger: 4 };

/// The first epoch: more digits than Lua's numbers have.
const EPOCH: Epoch = u64::MAX;

#[derive(Clone, Debug)]
enum Step {
    Connect {
        run: u64,
    },
    Beat {
        id: u64,
        applied: u64,
        beats: u64,
    },
    Members,
    Sweep {
        id: u64,
        beats: u64,
    },
    Settle,
    Purge {
        matcher: u8,
    },
    Heard {
        number: u64,
    },
    Read {
        applied: u64,
        limit: usize,
    },
    Snapshot {
        limit: usize,
    },
    /// All that is done next is done in the epoch before.
    Late,
    /// The server drops a key.
    Lose {
        key: usize,
    },
}

fn step() -> impl Strategy<Value = Step> {
    // Not only small ones: text keeps all digits.
    let id = || prop_oneof![Just(1), Just(2), Just(u64::MAX - 1)];
    let count = || prop_oneof![9 => 0..12u64, 1 => (1u64 << 52)..(1 << 52) + 3];
    prop_oneof![
        1 => (0..2u64).prop_map(|run| Step::Connect { run }),
        4 => (id(), count(), count()).prop_map(|(id, applied, beats)| Step::Beat { id, applied, beats }),
        1 => Just(Step::Members),
        2 => (id(), count()).prop_map(|(id, beats)| Step::Sweep { id, beats }),
        1 => Just(Step::Settle),
        8 => (0..7u8).prop_map(|matcher| Step::Purge { matcher }),
        2 => count().prop_map(|number| Step::Heard { number }),
        3 => (count(), 1..4usize).prop_map(|(applied, limit)| Step::Read { applied, limit }),
        2 => (1..4usize).prop_map(|limit| Step::Snapshot { limit }),
        1 => Just(Step::Late),
        1 => (0..4usize).prop_map(|key| Step::Lose { key }),
    ]
}

/// A server beside what is expected of it.
struct Both {
    expected: Server<Covers>,
    epoch: Epoch,
    late: bool,
    /// The next epoch that a gateway would begin.
    next: Epoch,
    ledger: Ledger,
    scripts: Scripts,
    connection: MultiplexedConnection,
}

impl Both {
    async fn run<A>(&mut self, call: Call<A>) -> A {
        let name = call.name();
        let answer = call.run(&self.scripts, &mut self.connection).await;
        answer.unwrap_or_else(|error| panic!("{name:?}: {error}"))
    }

    async fn ask(&mut self, command: &[&str]) -> Value {
        let mut sent = cmd(command[0]);
        command[1..].iter().for_each(|part| {
            sent.arg(part);
        });
        sent.query_async(&mut self.connection)
            .await
            .expect("an answer")
    }

    async fn step(&mut self, step: Step) -> Result<(), TestCaseError> {
        let epoch = match self.late {
            true => self.epoch.wrapping_add(1),
            false => self.epoch,
        };
        let ledger = self.ledger.clone();
        match step {
            Step::Connect { run } => {
                let new = self.next;
                self.next -= 1;
                let answer = self.run(ledger.connect(&run.to_string(), new)).await;
                prop_assert_eq!(answer, self.expected.connect(run, new));
                (self.epoch, self.late) = (answer, false);
            }
            Step::Beat { id, applied, beats } => {
                let answer = self.run(ledger.beat(id, epoch, applied, beats)).await;
                prop_assert_eq!(answer, self.expected.beat(id, epoch, applied, beats));
            }
            Step::Members => {
                let answer = self.run(ledger.members(epoch)).await;
                prop_assert_eq!(answer.map(sorted), self.expected.members(epoch));
            }
            Step::Sweep { id, beats } => {
                let answer = self.run(ledger.sweep(epoch, id, beats)).await;
                prop_assert_eq!(answer, self.expected.sweep(epoch, id, beats));
            }
            Step::Settle => {
                let answer = self.run(ledger.settle(epoch)).await;
                prop_assert_eq!(answer, self.expected.settle(epoch));
            }
            Step::Purge { matcher } => {
                let covers = vec![matcher, 0, b'\n', 0xff];
                let call = ledger.purge(epoch, &covers, std::slice::from_ref(&covers));
                let mut answer = self.run(call).await;
                if let Ok(purged) = &mut answer {
                    purged.holders.sort();
                }
                prop_assert_eq!(answer, self.expected.purge(epoch, &covers));
            }
            Step::Heard { number } => {
                let mut answer = self.run(ledger.heard(epoch, number)).await;
                if let Ok(heard) = &mut answer {
                    heard.missing.sort();
                }
                prop_assert_eq!(answer, self.expected.heard(epoch, number));
            }
            Step::Read { applied, limit } => {
                let answer = self.read(epoch, applied, limit).await;
                prop_assert_eq!(answer, self.expected.read(epoch, applied));
            }
            Step::Snapshot { limit } => {
                let mut answer = self.snapshot(epoch, limit).await;
                if let Ok(snapshot) = &mut answer {
                    snapshot.ledger.sort();
                }
                prop_assert_eq!(answer, self.expected.snapshot(epoch));
            }
            Step::Late => self.late = true,
            Step::Lose { key } => {
                let name = &ledger.namespace.ledger()[key];
                let was_there = number(self.ask(&["DEL", name]).await) == Some(1);
                match key {
                    2 => self.expected.log.clear(),
                    _ if was_there => self.expected.control = None,
                    _ => {}
                }
            }
        }
        self.compare().await
    }

    async fn read(
        &mut self,
        epoch: Epoch,
        applied: u64,
        limit: usize,
    ) -> Answer<Option<Vec<Entry<Covers>>>> {
        let (mut all, mut after) = (Vec::new(), applied);
        loop {
            let part = self.run(self.ledger.read(epoch, after, limit)).await?;
            let Some(part) = part else { return Ok(None) };
            let Some(last) = part.last() else {
                return Ok(Some(all));
            };
            after = last.number;
            all.extend(part);
        }
    }

    async fn snapshot(&mut self, epoch: Epoch, limit: usize) -> Answer<Snapshot<Covers>> {
        let mut all = self.run(self.ledger.snapshot(epoch, 0, limit)).await?;
        let mut found = all.ledger.len();
        while found >= limit {
            let after = all.ledger.last().map_or(0, |(_, number)| *number);
            let part = self.run(self.ledger.snapshot(epoch, after, limit)).await?;
            found = part.ledger.len();
            all.floor = part.floor;
            all.ledger.extend(part.ledger);
        }
        Ok(all)
    }

    /// What the server has is what is expected; after a loss, that is only that nothing is answered.
    async fn compare(&mut self) -> Result<(), TestCaseError> {
        let Some(expected) = self.expected.control else {
            let answer = self.run(self.ledger.members(self.epoch)).await;
            prop_assert_eq!(answer, Err(WrongEpoch));
            return Ok(());
        };
        let keys = self.ledger.namespace.ledger();
        let [control, ledger, log, gateways] = [&keys[0], &keys[1], &keys[2], &keys[3]];
        let fields = ["epoch", "run", "sequence", "floor", "settled"];
        let found = self.ask(&[&["HMGET", control][..], &fields].concat()).await;
        let found: Vec<u64> = redis::from_redis_value(found).expect("numbers");
        let found = Control {
            epoch: found[0],
            run_id: found[1],
            sequence: found[2],
            floor: found[3],
            is_settled: found[4] == 1,
        };
        prop_assert_eq!(found, expected);
        let found = self.ask(&["ZRANGE", ledger, "0", "-1", "WITHSCORES"]).await;
        let found = pairs(found, octets, number).expect("matchers");
        prop_assert_eq!(
            found.into_iter().collect::<BTreeMap<_, _>>(),
            self.expected.ledger.clone()
        );
        let found = self.ask(&["XRANGE", log, "-", "+"]).await;
        let found: Vec<(String, Vec<Vec<u8>>)> = redis::from_redis_value(found).expect("entries");
        let entry = |(id, fields): (String, Vec<Vec<u8>>)| Entry {
            epoch: String::from_utf8_lossy(&fields[1])
                .parse()
                .expect("an epoch"),
            number: id.trim_end_matches("-0").parse().expect("a number"),
            covers: fields[3].clone(),
        };
        let found: VecDeque<_> = found.into_iter().map(entry).collect();
        prop_assert_eq!(found, self.expected.log.clone());
        let found = self.ask(&["HGETALL", gateways]).await;
        let member = |value| {
            let text = String::from_utf8(octets(value)?).ok()?;
            let (applied, beats) = text.split_once(' ')?;
            Some(Member {
                applied: applied.parse().ok()?,
                beats: beats.parse().ok()?,
            })
        };
        let found = pairs(found, number, member).expect("gateways");
        let found: BTreeMap<_, _> = found.into_iter().collect();
        prop_assert_eq!(found, self.expected.members.clone());
        Ok(())
    }
}

fn sorted<T: Ord>(mut all: Vec<T>) -> Vec<T> {
    all.sort();
    all
}

async fn both(server: &TestServer) -> Both {
    let namespace = Namespace::new("books").expect("a name");
    Both {
        expected: Server::new(LIMITS),
        epoch: EPOCH,
        late: false,
        next: EPOCH,
        ledger: Ledger {
            namespace,
            limits: LIMITS,
        },
        scripts: Scripts::default(),
        connection: server.connection().await,
    }
}

#[test]
#[ignore = "needs redis-server"]
fn the_ledgers_scripts_do_what_the_protocol_says() {
    let (server, runtime) = (TestServer::start(), runtime());
    let mut runner = TestRunner::new(Config {
        failure_persistence: None,
        ..Config::with_cases(300)
    });
    let steps = prop::collection::vec(step(), 1..60);
    let held = runner.run(&steps, |steps| {
        runtime.block_on(async {
            let mut both = both(&server).await;
            both.ask(&["FLUSHALL"]).await;
            both.step(Step::Connect { run: 0 }).await?;
            for step in steps {
                both.step(step).await?;
            }
            Ok(())
        })
    });
    held.unwrap_or_else(|error| panic!("{error}"));
}

#[test]
#[ignore = "needs redis-server"]
fn an_invalidation_is_delivered_whole_and_each_of_its_matchers_remembered() {
    let server = TestServer::start();
    runtime().block_on(async {
        let mut both = both(&server).await;
        let (ledger, epoch) = (both.ledger.clone(), 7);
        both.run(ledger.connect("a run", epoch)).await;
        let matchers = |names: &[&str]| {
            names
                .iter()
                .map(|name| name.as_bytes().to_vec())
                .collect::<Vec<_>>()
        };
        let first = both
            .run(ledger.purge(epoch, b"ab", &matchers(&["a", "b"])))
            .await;
        assert_eq!(first.expect("the epoch").number, 1);
        let second = both
            .run(ledger.purge(epoch, b"bc", &matchers(&["b", "c"])))
            .await;
        assert_eq!(second.expect("the epoch").number, 2);
        let read = both
            .read(epoch, 0, 1)
            .await
            .expect("the epoch")
            .expect("all");
        let covers: Vec<_> = read.iter().map(|entry| entry.covers.as_slice()).collect();
        assert_eq!(covers, [b"ab", b"bc"]);
        // Those with one number come in one part, although a part of one was asked for.
        for limit in 1..4 {
            let snapshot = both.snapshot(epoch, limit).await.expect("the epoch");
            let of = |name: &[u8], number| (name.to_vec(), number);
            assert_eq!(snapshot.ledger, [of(b"a", 1), of(b"b", 2), of(b"c", 2)]);
            assert_eq!((snapshot.sequence, snapshot.floor), (2, 0));
        }
    });
}

#[test]
#[ignore = "needs redis-server"]
fn a_server_that_forgot_the_scripts_is_given_them_again() {
    let server = TestServer::start();
    runtime().block_on(async {
        let mut both = both(&server).await;
        let ledger = both.ledger.clone();
        assert_eq!(both.run(ledger.connect("a run", 7)).await, 7);
        both.ask(&["SCRIPT", "FLUSH"]).await;
        assert_eq!(both.run(ledger.connect("a run", 8)).await, 7);
        both.ask(&["SCRIPT", "FLUSH"]).await;
        assert_eq!(both.run(ledger.connect("another run", 9)).await, 9);
    });
}

#[test]
#[ignore = "needs redis-server"]
fn a_server_without_memory_refuses_a_purge_as_a_whole() {
    let server = TestServer::start();
    runtime().block_on(async {
        let mut both = both(&server).await;
        let ledger = both.ledger.clone();
        both.run(ledger.connect("a run", 7)).await;
        both.ask(&["CONFIG", "SET", "maxmemory", "1"]).await;
        let call = ledger.purge(7, b"a", &[b"a".to_vec()]);
        let refused = call.run(&both.scripts, &mut both.connection).await;
        assert!(refused.expect_err("no memory").to_string().contains("OOM"));
        both.ask(&["CONFIG", "SET", "maxmemory", "0"]).await;
        let purged = both.run(ledger.purge(7, b"a", &[b"a".to_vec()])).await;
        assert_eq!(purged.expect("the epoch").number, 1);
    });
}
