//! A cluster: a connection to the primary of each shard, and calls that go to the one of their slot.
//!
//! The ledger is in one slot, and its calls go to the node with which the epoch was agreed. What this module sends to the other
//! nodes are fills and values. Those of a shard that fails over may be lost, or come back older than they were, and nothing wrong is
//! served by that:
//!
//! - A value that is gone is a miss. One that comes back older has an older stamp, and is judged by that as any value is: what
//!   was invalidated since is not used. Values of another epoch of the ledger have other keys.
//! - A lease that is gone lets a second gateway fill the same: one request more. The first one's response is not stored then, since
//!   the lease is not its own any more.
//! - A lease that comes back after its fill has ended makes others wait for as long as they wait for any fill, until it runs out,
//!   and go to the API themselves. It runs out by the clock of the server: a replica whose clock is behind lengthens
//!   that by the difference.
//! - A part of a body that is gone makes its value a miss.
//! - While a slot moves to another node, the calls of its keys fail: both nodes carry a script out only where all its keys are
//!   on theirs. Then the API is asked, as when there is no connection.
//! - Two primaries at once, for as long as the old one does not know that it was replaced, are two places for values, each
//!   judged by its stamp.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use redis::aio::MultiplexedConnection;
use redis::{ErrorKind, ServerErrorKind, Value, cmd, pipe};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::dial;
use super::error::Error;
use super::node::{Node, Shared, count};
use super::scripts::Call;
use super::slots::{self, Range};
use crate::config::valkey_servers::{Address, Servers};
use tokio::time::Instant;

/// A node that does not tell the slots within this time is not waited for, nor one to which no connection stands then.
const ANSWER: Duration = Duration::from_millis(500);

/// The slots are read again after this, and at once where something shows that they have changed.
const EACH: Duration = Duration::from_secs(5);

/// Between two readings: at least, and at most where some nodes cannot be connected to.
const SOONEST: Duration = Duration::from_millis(100);
const LATEST: Duration = Duration::from_secs(2);

/// The nodes by which a cluster is found.
#[derive(Debug)]
pub struct Seeds {
    servers: Arc<Servers>,
    given: Vec<Address>,
    /// The primaries that were heard of last.
    known: Mutex<Vec<Address>>,
}

impl Seeds {
    pub fn new(servers: Arc<Servers>, given: &[Address]) -> Self {
        Self {
            servers,
            given: given.to_vec(),
            known: Mutex::default(),
        }
    }

    /// The slots, as the first node tells them that is in touch with most of the others.
    pub async fn ranges(&self) -> Result<Vec<Range>, Error> {
        let all = self.all();
        let mut asked = JoinSet::new();
        for at in all {
            let servers = self.servers.clone();
            asked.spawn(async move {
                let answer = async {
                    let channel = dial::to_data(&servers, &at).await?;
                    ranges_of(channel.connection.clone(), &at).await
                };
                let late = || unfit(&at, "does not answer in time");
                timeout(ANSWER, answer)
                    .await
                    .unwrap_or_else(|_| Err(late()))
            });
        }
        let mut failed = None;
        while let Some(answer) = asked.join_next().await {
            match answer {
                Ok(Ok(ranges)) => {
                    self.remember(&ranges);
                    return Ok(ranges);
                }
                Ok(Err(error)) => failed = Some(error),
                Err(_panicked) => {}
            }
        }
        Err(failed.unwrap_or(Error::Away))
    }

    fn all(&self) -> BTreeSet<Address> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        self.given.iter().chain(known.iter()).cloned().collect()
    }

    fn remember(&self, ranges: &[Range]) {
        let primaries: BTreeSet<_> = ranges.iter().map(|range| &range.primary).collect();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        *known = primaries.into_iter().cloned().collect();
    }
}

fn unfit(at: &Address, why: impl Into<String>) -> Error {
    Error::Unfit {
        at: at.clone(),
        why: why.into(),
    }
}

/// The slots, as a node tells them. Fails where it is not in touch with most of the others: it may have been replaced.
async fn ranges_of(
    mut connection: MultiplexedConnection,
    at: &Address,
) -> Result<Vec<Range>, Error> {
    let ask = |what: &str| {
        let mut ask = cmd("CLUSTER");
        ask.arg(what);
        ask
    };
    let mut both = pipe();
    both.add_command(ask("INFO")).add_command(ask("SLOTS"));
    let answer: Result<(String, Value), _> = both.query_async(&mut connection).await;
    let (info, answer) = answer.map_err(|error| unfit(at, format!("answers: {error}")))?;
    if !info.lines().any(|line| line.trim() == "cluster_state:ok") {
        return Err(unfit(at, "says that its cluster is down"));
    }
    let ranges = slots::read(answer, at);
    ranges.ok_or_else(|| unfit(at, "tells no slots that can be read"))
}

/// What is known of a cluster, for as long as the connection to the ledger's node stands.
#[derive(Debug)]
pub struct Cluster {
    ledger: Arc<Node>,
    shared: Arc<Shared>,
    map: ArcSwap<Map>,
    /// The map is to be made anew.
    wanted: Arc<Notify>,
}

#[derive(Debug, Default)]
struct Map {
    ranges: Vec<Range>,
    /// Those to which there is a connection.
    nodes: HashMap<Address, Arc<Node>>,
}

impl Map {
    fn node(&self, address: &Address) -> Option<&Arc<Node>> {
        self.nodes.get(address).filter(|node| !node.is_lost())
    }
}

impl Cluster {
    /// Has no connection yet but that to the ledger's node.
    pub fn new(ranges: Vec<Range>, ledger: Arc<Node>, shared: Arc<Shared>) -> Self {
        let nodes = HashMap::from([(ledger.address.clone(), ledger.clone())]);
        Self {
            ledger,
            shared,
            map: ArcSwap::from_pointee(Map { ranges, nodes }),
            wanted: Arc::default(),
        }
    }

    /// Calls the node of the call's slot, or the one that has it now. Fails at once where there is no connection.
    pub async fn call<A>(&self, call: &Call<A>, until: Instant) -> Result<A, Error> {
        let map = self.map.load();
        let owner = slots::primary(&map.ranges, call.slot());
        let Some(node) = owner.and_then(|owner| map.node(owner)) else {
            self.wanted.notify_one();
            return Err(Error::Away);
        };
        let error = match node.call(call, until).await {
            Err(Error::Server(error)) => error,
            other => return other,
        };
        let to = (error.redirect_node())
            .filter(|_| error.kind() == ErrorKind::Server(ServerErrorKind::Moved))
            .and_then(|(to, _)| slots::read_redirection(to, &node.address));
        let Some(to) = to else {
            return Err(Error::Server(error));
        };
        self.wanted.notify_one();
        match map.node(&to) {
            Some(node) => {
                count(&self.shared.counters.redirected);
                node.call(call, until).await
            }
            None => Err(Error::Server(error)),
        }
    }

    /// Keeps connections to all primaries, until the ledger's slot `slot` is another node's. Says so then.
    pub async fn keep(&self, seeds: &Seeds, slot: u16) -> String {
        let mut pause = SOONEST;
        loop {
            let is_whole = self.connect(&seeds.servers).await;
            if is_whole {
                pause = SOONEST;
                // Whichever comes first.
                let _ = timeout(EACH, self.wanted.notified()).await;
            }
            sleep(pause).await;
            if !is_whole {
                pause = (pause * 2).min(LATEST);
            }
            match self.ranges(seeds).await {
                Ok(ranges) => match slots::primary(&ranges, slot) {
                    Some(owner) if *owner != self.ledger.address => {
                        return format!("{owner} has the ledger's slot now");
                    }
                    _ => self.replace(ranges),
                },
                Err(error) => tracing::debug!(%error, "the slots of the cluster cannot be read"),
            }
        }
    }

    /// As another node than the ledger's tells them: that one would be the last to know that it was replaced.
    async fn ranges(&self, seeds: &Seeds) -> Result<Vec<Range>, Error> {
        let map = self.map.load_full();
        let others = map.nodes.values();
        let others = others.filter(|node| !node.is_lost() && !Arc::ptr_eq(node, &self.ledger));
        for node in others {
            let answer = timeout(ANSWER, ranges_of(node.connection(), &node.address)).await;
            if let Ok(Ok(ranges)) = answer {
                seeds.remember(&ranges);
                return Ok(ranges);
            }
        }
        seeds.ranges().await
    }

    fn replace(&self, ranges: Vec<Range>) {
        let nodes = self.map.load().nodes.clone();
        self.map.store(Arc::new(Map { ranges, nodes }));
    }

    /// Connects to primaries to which there is no connection, and forgets other nodes. Whether there is one to all of them.
    async fn connect(&self, servers: &Arc<Servers>) -> bool {
        let map = self.map.load_full();
        let wanted: BTreeSet<_> = map.ranges.iter().map(|range| &range.primary).collect();
        let mut nodes = HashMap::new();
        let mut connecting = JoinSet::new();
        for at in wanted.iter().copied().cloned() {
            match map.node(&at) {
                Some(node) => {
                    nodes.insert(at, node.clone());
                }
                None => {
                    let servers = servers.clone();
                    connecting.spawn(async move {
                        let channel = timeout(ANSWER, dial::to_data(&servers, &at)).await;
                        (channel.unwrap_or(Err(Error::Late)), at)
                    });
                }
            }
        }
        while let Some(connected) = connecting.join_next().await {
            match connected {
                Ok((Ok(channel), at)) => {
                    let (shared, lost) = (self.shared.clone(), self.wanted.clone());
                    let node = Node::new(at.clone(), channel, shared, lost);
                    nodes.insert(at, Arc::new(node));
                }
                Ok((Err(error), at)) => {
                    tracing::debug!(%error, %at, "no connection to a node of the cluster");
                }
                Err(_panicked) => {}
            }
        }
        let is_whole = nodes.len() == wanted.len();
        let ranges = map.ranges.clone();
        self.map.store(Arc::new(Map { ranges, nodes }));
        is_whole
    }
}
