//! Clusters of real servers: three primaries, with replicas where a test needs one.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::connections::{kept, ledger, linked};
use super::members::{MANY, acknowledged, member_of, run_two, until_all_serve, url};
use super::server::{TestServer, free_port, runtime, until};
use crate::config::valkey_servers::{Servers, Written};
use crate::ledger::protocol::fills::{Begun, Nonce, Stored};
use crate::tier::valkey::connection::{Connection, Error};
use crate::tier::valkey::fills::{Outline, Variant};
use crate::tier::valkey::slots;

const KEEP: Duration = Duration::from_secs(60);

/// Its first slots; the last one goes on to the end.
const FIRST: [u16; 4] = [0, 5_461, 10_923, 16_384];

/// Three primaries, and replicas after them.
struct Cluster {
    nodes: Vec<TestServer>,
}

impl Cluster {
    async fn start() -> Self {
        let mut nodes = (0..3).map(|_| node()).collect::<Vec<_>>();
        for (index, node) in nodes.iter().enumerate() {
            let (first, last) = (FIRST[index], FIRST[index + 1] - 1);
            node.tell(&format!("CLUSTER ADDSLOTSRANGE {first} {last}"))
                .await;
            node.tell(&format!("CLUSTER SET-CONFIG-EPOCH {}", index + 1))
                .await;
            meet(node, &nodes[0]).await;
        }
        let cluster = Self {
            nodes: std::mem::take(&mut nodes),
        };
        cluster.is_formed().await;
        cluster
    }

    async fn is_formed(&self) {
        let known = format!("cluster_known_nodes:{}", self.nodes.len());
        until(async || {
            let mut formed = true;
            for node in &self.nodes {
                let info: String = node.command("CLUSTER INFO").await;
                formed &= info.contains("cluster_state:ok") && info.contains(&known);
            }
            formed
        })
        .await;
    }

    /// Gives a primary a replica, and waits until that has all.
    async fn add_replica(&mut self, of: usize) {
        let replica = node();
        meet(&replica, &self.nodes[0]).await;
        self.nodes.push(replica);
        self.is_formed().await;
        let (replica, id) = (&self.nodes[self.nodes.len() - 1], self.id(of).await);
        until(async || {
            let replicate = format!("CLUSTER REPLICATE {id}");
            let done = replica.try_command::<redis::Value>(&replicate).await;
            done.is_ok()
        })
        .await;
        until(async || replica.info("master_link_status").await == "up").await;
    }

    async fn id(&self, node: usize) -> String {
        self.nodes[node].command("CLUSTER MYID").await
    }

    fn servers(&self) -> Servers {
        let servers = Servers::of(Written {
            urls: vec![self.nodes[0].url(), self.nodes[1].url()],
            is_cluster: true,
            ..Written::default()
        });
        servers.expect("servers")
    }

    /// The primary that had the slot in the beginning.
    fn owner(slot: u16) -> usize {
        FIRST.partition_point(|first| *first <= slot) - 1
    }

    /// One of the primaries that do not have the ledger.
    fn without_ledger() -> usize {
        (Self::owner(ledger_slot()) + 1) % 3
    }

    /// Has a slot moved, up to before its keys are.
    async fn begin_to_move(&self, slot: u16, from: usize, to: usize) {
        let ids = (self.id(from).await, self.id(to).await);
        let (from, to) = (&self.nodes[from], &self.nodes[to]);
        to.tell(&format!("CLUSTER SETSLOT {slot} IMPORTING {}", ids.0))
            .await;
        from.tell(&format!("CLUSTER SETSLOT {slot} MIGRATING {}", ids.1))
            .await;
    }

    /// Moves the keys, and says that the slot is moved.
    async fn move_rest(&self, slot: u16, from: usize, to: usize) {
        let id = self.id(to).await;
        let keys: Vec<String> = self.nodes[from]
            .command(&format!("CLUSTER GETKEYSINSLOT {slot} 100"))
            .await;
        for key in keys {
            let port = self.nodes[to].port;
            self.nodes[from]
                .tell(&format!("MIGRATE 127.0.0.1 {port} {key} 0 1000"))
                .await;
        }
        for node in [to, from] {
            self.nodes[node]
                .tell(&format!("CLUSTER SETSLOT {slot} NODE {id}"))
                .await;
        }
    }

    /// The replica takes the place of its primary, without asking the others.
    async fn fail_over(&mut self, primary: usize, replica: usize) {
        self.nodes[primary].end();
        let replica = &self.nodes[replica];
        until(async || {
            let _ = replica
                .try_command::<redis::Value>("CLUSTER FAILOVER TAKEOVER")
                .await;
            replica.info("role").await == "master"
        })
        .await;
    }
}

fn node() -> TestServer {
    let bus = free_port();
    TestServer::with(&format!(
        "cluster-enabled yes\ncluster-port {bus}\ncluster-node-timeout 2000\ncluster-require-full-coverage no"
    ))
}

async fn meet(node: &TestServer, other: &TestServer) {
    let nodes: String = other.command("CLUSTER NODES").await;
    let itself = nodes.lines().find(|line| line.contains("myself"));
    let bus = itself.and_then(|line| line.split(['@', ',', ' ']).nth(2));
    let bus = bus.expect("a bus port");
    if node.port != other.port {
        node.tell(&format!("CLUSTER MEET 127.0.0.1 {} {bus}", other.port))
            .await;
    }
}

fn ledger_slot() -> u16 {
    slots::of(&ledger().namespace.log())
}

/// Fills of targets of which this primary had the slots in the beginning.
fn fills_of(node: usize) -> impl Iterator<Item = Variant> {
    let variant = move |number: u32| {
        let resource = ledger()
            .namespace
            .resource(1, &format!("http://h/{number}"));
        let is_there = Cluster::owner(slots::of(&resource.entry())) == node;
        is_there.then(|| Variant::new(resource, [0; 16]))
    };
    (0..).filter_map(variant)
}

async fn begin(connection: &Connection, fill: &Variant, nonce: Nonce) -> Begun<Vec<u8>> {
    let mut begun = None;
    // The first call may find no connection yet.
    until(async || {
        let answer = connection.call(&fill.begin(nonce, None)).await;
        match answer {
            Ok(answer) => begun = Some(answer),
            Err(error) => assert!(!matches!(error, Error::Late), "{error}"),
        }
        begun.is_some()
    })
    .await;
    begun.expect("an answer")
}

fn stored(nonce: Nonce) -> Stored<Vec<u8>> {
    let response = b"r".to_vec();
    Stored {
        nonce,
        number: 1,
        response,
    }
}

async fn commit(connection: &Connection, fill: &Variant, nonce: Nonce) -> bool {
    let outline = Outline {
        keep: KEEP,
        chunks: 0,
        selectors: "",
    };
    let call = fill.commit(&stored(nonce), &outline);
    connection.call(&call).await.expect("an answer").is_some()
}

#[test]
#[ignore = "needs redis-server"]
fn calls_go_to_the_node_of_their_slot_and_members_share_a_ledger() {
    runtime().block_on(async {
        let cluster = Cluster::start().await;
        let members = [1, 2].map(|id| member_of(&cluster.servers(), id, MANY, 0));
        run_two(&members, async |members, _| {
            until_all_serve(members).await;
            acknowledged(members[0], &url(1)).await;
            assert_eq!(members[1].memory().count(&url(1).to_string()), 1);
            let connection = members[0].connection();
            let link = linked(connection).await;
            let owner = &cluster.nodes[Cluster::owner(ledger_slot())];
            assert_eq!(*link.address(), owner.address());
            for node in 0..3 {
                for (nonce, fill) in (1..).zip(fills_of(node).take(8)) {
                    assert_eq!(begin(connection, &fill, nonce).await, Begun::Lead);
                    assert!(commit(connection, &fill, nonce).await);
                    let again = begin(members[1].connection(), &fill, nonce + 1).await;
                    assert_eq!(again, Begun::Stored(stored(nonce)));
                }
                let keys: u64 = cluster.nodes[node].command("DBSIZE").await;
                assert!(keys >= 8, "{keys}");
            }
            let redirected = &connection.counters().redirected;
            assert_eq!(redirected.load(Ordering::Relaxed), 0);
        })
        .await;
    });
}

#[test]
#[ignore = "needs redis-server"]
fn a_slot_that_has_moved_is_followed() {
    runtime().block_on(async {
        let cluster = Cluster::start().await;
        kept(&cluster.servers(), 0, async |connection| {
            let from = Cluster::without_ledger();
            let to = (from + 1) % 3;
            let fill = fills_of(from).next().expect("one");
            let slot = fill.begin(1, None).slot();
            // Connections to all of them are there.
            for node in 0..3 {
                begin(connection, &fills_of(node).nth(1).expect("one"), 1).await;
            }
            let redirected = || connection.counters().redirected.load(Ordering::Relaxed);
            cluster.begin_to_move(slot, from, to).await;
            let begun = connection.call(&fill.begin(1, None)).await;
            assert!(matches!(begun, Err(Error::Server(_))), "{begun:?}");
            assert_eq!(redirected(), 0);
            cluster.move_rest(slot, from, to).await;
            let begun = connection.call(&fill.begin(1, None)).await;
            assert_eq!(begun.expect("an answer"), Begun::Lead);
            assert_eq!(redirected(), 1);
            // And then the map has it.
            until(async || {
                let before = redirected();
                assert_eq!(begin(connection, &fill, 2).await, Begun::Follow);
                redirected() == before
            })
            .await;
        })
        .await;
    });
}

#[test]
#[ignore = "needs redis-server"]
fn a_ledger_that_moves_to_another_node_is_followed() {
    runtime().block_on(async {
        let cluster = Cluster::start().await;
        let members = [1, 2].map(|id| member_of(&cluster.servers(), id, MANY, 0));
        run_two(&members, async |members, _| {
            until_all_serve(members).await;
            let before = acknowledged(members[0], &url(1)).await;
            let (slot, from) = (ledger_slot(), Cluster::owner(ledger_slot()));
            let to = (from + 1) % 3;
            cluster.begin_to_move(slot, from, to).await;
            cluster.move_rest(slot, from, to).await;
            let after = acknowledged(members[1], &url(2)).await;
            assert_ne!(after.epoch, before.epoch);
            for member in members {
                let link = linked(member.connection()).await;
                assert_eq!(*link.address(), cluster.nodes[to].address());
                assert_ne!(member.memory().count(&url(2).to_string()), 0);
            }
        })
        .await;
    });
}

#[test]
#[ignore = "needs redis-server"]
fn a_failover_of_the_ledgers_node_begins_an_epoch() {
    runtime().block_on(async {
        let mut cluster = Cluster::start().await;
        let primary = Cluster::owner(ledger_slot());
        cluster.add_replica(primary).await;
        let members = [1, 2].map(|id| member_of(&cluster.servers(), id, MANY, 0));
        run_two(&members, async |members, _| {
            until_all_serve(members).await;
            let before = acknowledged(members[0], &url(1)).await;
            cluster.fail_over(primary, 3).await;
            let after = acknowledged(members[1], &url(2)).await;
            assert_ne!(after.epoch, before.epoch);
            for member in members {
                let link = linked(member.connection()).await;
                assert_eq!(*link.address(), cluster.nodes[3].address());
                assert_ne!(member.memory().count(&url(2).to_string()), 0);
            }
        })
        .await;
    });
}

#[test]
#[ignore = "needs redis-server"]
fn a_failover_of_another_node_costs_the_fills_that_it_had_and_no_epoch() {
    runtime().block_on(async {
        let mut cluster = Cluster::start().await;
        let primary = Cluster::without_ledger();
        cluster.add_replica(primary).await;
        kept(&cluster.servers(), 0, async |connection| {
            let link = linked(connection).await;
            let fill = fills_of(primary).next().expect("one");
            assert_eq!(begin(connection, &fill, 1).await, Begun::Lead);
            cluster.fail_over(primary, 3).await;
            // As if it had not come to the replica before.
            cluster.nodes[3].tell("FLUSHALL").await;
            assert_eq!(begin(connection, &fill, 2).await, Begun::Lead);
            assert!(
                !commit(connection, &fill, 1).await,
                "the lease is another one's"
            );
            assert!(commit(connection, &fill, 2).await);
            assert_eq!(begin(connection, &fill, 3).await, Begun::Stored(stored(2)));
            let other = fills_of((primary + 1) % 3).next().expect("one");
            assert_eq!(begin(connection, &other, 1).await, Begun::Lead);
            let now = linked(connection).await;
            assert!(now.is(&link), "the ledger's node is another one");
            assert_eq!(now.epoch_in_force().await.expect("an answer"), link.epoch);
        })
        .await;
    });
}
