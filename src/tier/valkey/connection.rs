//! How the server that has the ledger is reached: one connection for calls, on which nobody waits longer than [`LONGEST`]. In a
//! cluster there are others beside it, to the nodes that have fills and values.
//!
//! A lost server may be another one, or another run of it, when it is found again. So what is published is a [`Link`] on which
//! the gateway has [connected](super::ledger::Ledger::connect) already: a call cannot reach a server that has not been asked
//! for its epoch.

use std::fmt;
use std::future::pending;
use std::hash::{BuildHasher, RandomState};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use redis::{ErrorKind, ServerErrorKind, cmd};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep};

use super::cluster::{Cluster, Seeds};
use super::dial;
pub use super::error::Error;
use super::ledger::Ledger;
pub use super::node::{Counters, LONGEST};
use super::node::{Node, Shared, count};
use super::scripts::{Call, Name};
use super::sentinels::Sentinels;
use super::slots;
use crate::clock::{self, timer_now};
use crate::config::valkey_servers::{Address, Arrangement, Servers};
use crate::ledger::protocol::server::Epoch;

/// How long it may take until a connection stands: nobody waits for that.
const CONNECTING: Duration = Duration::from_secs(2);

/// Between two attempts to connect; twice as long after each that fails.
const SOONEST: Duration = Duration::from_millis(100);
const LATEST: Duration = Duration::from_secs(2);

/// The connection for calls.
#[derive(Debug)]
pub struct Connection {
    servers: Arc<Servers>,
    way: Way,
    ledger: Ledger,
    replicas: u32,
    shared: Arc<Shared>,
    link: watch::Sender<Option<Link>>,
}

/// How the server that has the ledger is found.
#[derive(Debug)]
enum Way {
    At(Address),
    Sentinels(Sentinels),
    Cluster(Seeds),
}

impl Connection {
    /// Does not connect yet. `replicas` are those that calls of [`Link::replicated`] ask for; 0 where there are none.
    pub fn new(servers: &Servers, ledger: Ledger, replicas: u32) -> Self {
        let servers = Arc::new(servers.clone());
        let way = match &servers.arrangement {
            Arrangement::Single(at) => Way::At(at.clone()),
            Arrangement::Sentinel {
                name,
                sentinels,
                login,
            } => Way::Sentinels(Sentinels::new(servers.clone(), name, sentinels, login)),
            Arrangement::Cluster(seeds) => Way::Cluster(Seeds::new(servers.clone(), seeds)),
        };
        Self {
            servers,
            way,
            ledger,
            replicas,
            shared: Arc::default(),
            link: watch::Sender::new(None),
        }
    }

    pub fn counters(&self) -> &Counters {
        &self.shared.counters
    }

    pub fn servers(&self) -> &Arc<Servers> {
        &self.servers
    }

    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// The connection as it is; `None` while there is none.
    pub fn link(&self) -> Option<Link> {
        self.link.borrow().clone()
    }

    /// Tells of each new connection, and of each loss.
    pub fn links(&self) -> watch::Receiver<Option<Link>> {
        self.link.subscribe()
    }

    /// The answer, if it comes within [`LONGEST`]. Fails at once where there is no connection.
    pub async fn call<A>(&self, call: &Call<A>) -> Result<A, Error> {
        self.call_by(call, timer_now() + LONGEST).await
    }

    /// The answer, if it comes by then. Fails at once where there is no connection.
    pub async fn call_by<A>(&self, call: &Call<A>, until: Instant) -> Result<A, Error> {
        let link = self.link().ok_or(Error::Away)?;
        link.call_by(call, until).await
    }

    /// Connects, and again after each loss. It never ends; there is no connection after it was dropped.
    pub async fn keep(&self) {
        let _forget = Forget(&self.link);
        let mut pause = SOONEST;
        let mut told = String::new();
        loop {
            match self.connect().await {
                Ok(link) => {
                    count(&self.shared.counters.connected);
                    let (at, run) = (link.address(), link.run());
                    tracing::info!(%at, run, "connected to the Valkey server");
                    (pause, told) = (SOONEST, String::new());
                    self.link.send_replace(Some(link.clone()));
                    let why = tokio::select! {
                        () = link.lost.notified() => "it does not answer, or is not the primary".to_owned(),
                        () = link.closed() => "it was closed".to_owned(),
                        why = self.watch(&link) => why,
                    };
                    // Whoever still has the link must not go on with it.
                    link.node.give_up();
                    self.link.send_replace(None);
                    tracing::warn!(at = %link.address(), why, "the connection to the Valkey server is lost");
                }
                Err(error) => {
                    count(&self.shared.counters.failed);
                    let error = error.to_string();
                    if error != told {
                        tracing::warn!(
                            error,
                            "no connection to the Valkey server: it is tried again"
                        );
                        told = error;
                    }
                }
            }
            sleep(pause).await;
            pause = (pause * 2).min(LATEST);
        }
    }

    /// Until the ledger may be elsewhere. Says why.
    async fn watch(&self, link: &Link) -> String {
        match (&self.way, &link.cluster) {
            (Way::Sentinels(sentinels), _) => sentinels.watch(link.address()).await,
            (Way::Cluster(seeds), Some(cluster)) => cluster.keep(seeds, self.slot()).await,
            _ => pending().await,
        }
    }

    /// The ledger's slot.
    fn slot(&self) -> u16 {
        slots::of(&self.ledger.namespace.log())
    }

    async fn connect(&self) -> Result<Link, Error> {
        let connecting = pin!(self.connect_at_leisure());
        let connected = clock::within(CONNECTING, connecting).await;
        connected.unwrap_or(Err(Error::Late))
    }

    async fn connect_at_leisure(&self) -> Result<Link, Error> {
        let (at, ranges) = match &self.way {
            Way::At(at) => (at.clone(), None),
            Way::Sentinels(sentinels) => (sentinels.primary().await?, None),
            Way::Cluster(seeds) => {
                let ranges = seeds.ranges().await?;
                let at = slots::primary(&ranges, self.slot()).cloned();
                let none = || Error::Unknown("no node of the cluster has the ledger's slot".into());
                (at.ok_or_else(none)?, Some(ranges))
            }
        };
        let lost = Arc::new(Notify::new());
        let node = Arc::new(self.open(&at, &lost).await?);
        let run = run_of(&node, CONNECTING).await?;
        let waiting = match self.replicas {
            0 => None,
            _ => {
                let waiting = self.open(&at, &lost).await?;
                if run_of(&waiting, CONNECTING).await? != run {
                    return Err(unfit(&at, "was started anew meanwhile"));
                }
                Some(Arc::new(waiting))
            }
        };
        let cluster = ranges.map(|ranges| Cluster::new(ranges, node.clone(), self.shared.clone()));
        let mut link = Link {
            node,
            waiting,
            cluster: cluster.map(Arc::new),
            ledger: self.ledger.clone(),
            lost,
            run: run.into(),
            epoch: 0,
        };
        link.epoch = link.epoch_in_force().await?;
        Ok(link)
    }

    async fn open(&self, at: &Address, lost: &Arc<Notify>) -> Result<Node, Error> {
        let channel = dial::to_data(&self.servers, at).await?;
        let (shared, lost) = (self.shared.clone(), lost.clone());
        Ok(Node::new(at.clone(), channel, shared, lost))
    }
}

/// The server's own name for its run, and for its time as a primary: what it was before it was a replica, or in another process,
/// it may have lost.
async fn run_of(node: &Node, limit: Duration) -> Result<String, Error> {
    let mut info = cmd("INFO");
    info.arg("server").arg("replication");
    let info: String = node.ask(&info, timer_now() + limit).await?;
    let value = |name: &str| {
        let mut lines = info.lines();
        lines
            .find_map(|line| line.strip_prefix(name))
            .map(str::trim)
    };
    if value("role:").is_some_and(|role| role != "master") {
        return Err(unfit(
            &node.address,
            "is a replica, and only a primary can be used",
        ));
    }
    let run = value("run_id:").zip(value("master_replid:"));
    let (run, primary) = run.ok_or_else(|| unfit(&node.address, "tells no run_id in INFO"))?;
    Ok(format!("{run}-{primary}"))
}

fn unfit(at: &Address, why: &str) -> Error {
    Error::Unfit {
        at: at.clone(),
        why: why.to_owned(),
    }
}

/// Drops the connection from what is published.
struct Forget<'a>(&'a watch::Sender<Option<Link>>);

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        self.0.send_replace(None);
    }
}

/// One connection, to one run of the server that has the ledger.
#[derive(Clone)]
pub struct Link {
    node: Arc<Node>,
    /// A second connection to the same, on which calls wait for replicas.
    waiting: Option<Arc<Node>>,
    cluster: Option<Arc<Cluster>>,
    ledger: Ledger,
    lost: Arc<Notify>,
    run: Arc<str>,
    /// The epoch that was in force when it was made.
    pub epoch: Epoch,
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (at, run, epoch) = (self.address(), &self.run, self.epoch);
        write!(f, "Link {{ at: {at}, run: {run}, epoch: {epoch} }}")
    }
}

impl Link {
    /// Whether it is the same connection.
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.node, &other.node)
    }

    /// Of the server that has the ledger.
    pub fn address(&self) -> &Address {
        &self.node.address
    }

    /// The server's own name for its run, when the connection was made.
    pub fn run(&self) -> &str {
        &self.run
    }

    async fn closed(&self) {
        match &self.waiting {
            None => self.node.closed().await,
            Some(waiting) => tokio::select! {
                () = self.node.closed() => {}
                () = waiting.closed() => {}
            },
        }
    }

    /// The answer, if it comes within [`LONGEST`].
    pub async fn call<A>(&self, call: &Call<A>) -> Result<A, Error> {
        self.call_by(call, timer_now() + LONGEST).await
    }

    async fn call_by<A>(&self, call: &Call<A>, until: Instant) -> Result<A, Error> {
        let Some(cluster) = &self.cluster else {
            return self.node_of(call.name()).call(call, until).await;
        };
        if !call.name().is_of_ledger() {
            return cluster.call(call, until).await;
        }
        let node = self.node_of(call.name());
        let answer = node.call(call, until).await;
        if let Err(Error::Server(error)) = &answer
            && is_elsewhere(error.kind())
        {
            node.give_up();
        }
        answer
    }

    fn node_of(&self, name: Name) -> &Node {
        match (&self.waiting, name) {
            // WAIT is about what was written on its own connection.
            (Some(waiting), Name::Heard) => waiting,
            _ => &self.node,
        }
    }

    /// Asks for the epoch in force; begins another one where the server may have lost something. To be called after a
    /// [`WrongEpoch`](crate::ledger::protocol::server::WrongEpoch).
    pub async fn epoch_in_force(&self) -> Result<Epoch, Error> {
        // Asked for each time: a primary without replicas may give itself another name, and gateways that go by the old one
        // and by the new one would begin one epoch after the other.
        let run = run_of(&self.node, LONGEST).await?;
        // As unpredictable as the keys of a map: two gateways never begin the same.
        let new = RandomState::new().hash_one(());
        self.call(&self.ledger.connect(&run, new)).await
    }

    /// How many of the server's replicas have all that [`heard`](Ledger::heard) has written on this link, after at most so long a
    /// wait, of whole milliseconds; `wanted` of them are enough. Other calls do not wait meanwhile. The
    /// [connection](Connection::new) has to know of replicas.
    pub async fn replicated(&self, wanted: u32, limit: Duration) -> Result<u32, Error> {
        let node = self.waiting.as_ref().ok_or(Error::Away)?;
        let mut wait = cmd("WAIT");
        wait.arg(wanted).arg(limit.as_millis().max(1) as u64);
        node.ask(&wait, timer_now() + limit + LONGEST).await
    }
}

/// Whether another node of a cluster has the slot, or none.
fn is_elsewhere(error: ErrorKind) -> bool {
    matches!(
        error,
        ErrorKind::Server(
            ServerErrorKind::Moved | ServerErrorKind::Ask | ServerErrorKind::ClusterDown
        )
    )
}
