//! How the server is reached: a connection for calls, on which nobody waits longer than [`LONGEST`], and one on which the log's
//! entries are awaited.
//!
//! A lost server may be another one, or another run of it, when it is found again. So what is published is a [`Link`] on which
//! the gateway has [connected](super::ledger::Ledger::connect) already: a call cannot reach a server that has not been asked
//! for its epoch.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, ErrorKind, RedisError, ServerErrorKind, Value, cmd};
use tokio::sync::{Notify, watch};
use tokio::time::sleep;

use super::ledger::{Covers, Ledger};
use super::scripts::{Call, Scripts};
use crate::clock;
use crate::ledger::protocol::server::{Entry, Epoch};

/// How long a call is waited for.
pub const LONGEST: Duration = Duration::from_millis(50);

/// How long it may take until a connection stands: nobody waits for that.
const CONNECTING: Duration = Duration::from_secs(1);

/// After so many calls in a row to which no answer came in time, the connection is given up, and calls fail at once until
/// there is another one.
const LATE: u32 = 3;

/// Between two attempts to connect; twice as long after each that fails.
const SOONEST: Duration = Duration::from_millis(100);
const LATEST: Duration = Duration::from_secs(5);

/// The server lets a reader of the log wait for so long, and answers then that nothing came. That takes the place of a PING: a
/// connection on which not even that answer comes is dead.
const BLOCK: Duration = Duration::from_secs(1);
const SILENT: Duration = Duration::from_secs(2);

/// Entries of the log that are read at a time.
const ENTRIES: u64 = 512;

/// Why a call has no answer. Whether the server has carried it out is not known then.
#[derive(Debug)]
pub enum Error {
    /// There is no connection.
    Away,
    /// None came in time.
    Late,
    /// The connection was lost, or the server has refused.
    Server(RedisError),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Away => f.write_str("there is no connection to the Valkey server"),
            Self::Late => f.write_str("the Valkey server does not answer in time"),
            Self::Server(error) => write!(f, "the Valkey server: {error}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Server(error) => Some(error),
            Self::Away | Self::Late => None,
        }
    }
}

/// What has happened since the start.
#[derive(Debug, Default)]
pub struct Counters {
    /// Connections that stood.
    pub connected: AtomicU64,
    /// Attempts to connect that failed.
    pub failed: AtomicU64,
    /// Calls that were not answered in time.
    pub late: AtomicU64,
    /// Connections that were given up since the server was late.
    pub given_up: AtomicU64,
}

/// The connection for calls.
#[derive(Debug)]
pub struct Connection {
    client: Client,
    ledger: Ledger,
    scripts: Arc<Scripts>,
    counters: Arc<Counters>,
    link: watch::Sender<Option<Link>>,
}

impl Connection {
    /// Does not connect yet. `url` is `redis://[user:password@]host[:port][/database]` or `unix:///path`. Fails where it is not.
    pub fn new(url: &str, ledger: Ledger) -> Result<Self, RedisError> {
        Ok(Self {
            client: Client::open(url)?,
            ledger,
            scripts: Arc::default(),
            counters: Arc::default(),
            link: watch::Sender::new(None),
        })
    }

    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The connection as it is; `None` while there is none.
    pub fn link(&self) -> Option<Link> {
        self.link.borrow().clone()
    }

    /// Tells of each new connection, and of each loss.
    pub fn links(&self) -> watch::Receiver<Option<Link>> {
        self.link.subscribe()
    }

    /// Fails at once where there is no connection.
    pub async fn call<A>(&self, call: &Call<A>) -> Result<A, Error> {
        let link = self.link().ok_or(Error::Away)?;
        link.call(call).await
    }

    /// Connects, and again after each loss. It never ends; there is no connection after it was dropped.
    pub async fn keep(&self) {
        let _forget = Forget(&self.link);
        let mut pause = SOONEST;
        let mut is_told = false;
        loop {
            match self.connect().await {
                Ok(link) => {
                    count(&self.counters.connected);
                    tracing::info!(run = %link.run, "connected to the Valkey server");
                    (pause, is_told) = (SOONEST, false);
                    let health = link.health.clone();
                    self.link.send_replace(Some(link));
                    health.lost.notified().await;
                    self.link.send_replace(None);
                    tracing::warn!("the connection to the Valkey server is lost");
                }
                Err(error) => {
                    count(&self.counters.failed);
                    if !is_told {
                        tracing::warn!(%error, "no connection to the Valkey server: it is tried again");
                    }
                    is_told = true;
                }
            }
            sleep(pause).await;
            pause = (pause * 2).min(LATEST);
        }
    }

    async fn connect(&self) -> Result<Link, Error> {
        let connecting = pin!(self.connect_at_leisure());
        let connected = clock::within(CONNECTING, connecting).await;
        connected.unwrap_or(Err(Error::Late))
    }

    async fn connect_at_leisure(&self) -> Result<Link, Error> {
        let mut connection = connection(&self.client).await?;
        let info = cmd("INFO").arg("server").query_async(&mut connection).await;
        let info: String = info.map_err(Error::Server)?;
        let run = info.lines().find_map(|line| line.strip_prefix("run_id:"));
        let run = run.ok_or_else(|| {
            let kind = ErrorKind::UnexpectedReturnType;
            Error::Server(RedisError::from((kind, "INFO tells no run_id")))
        })?;
        let mut link = Link {
            connection,
            ledger: self.ledger.clone(),
            scripts: self.scripts.clone(),
            counters: self.counters.clone(),
            health: Arc::default(),
            run: run.trim().into(),
            epoch: 0,
        };
        link.epoch = link.epoch_in_force().await?;
        Ok(link)
    }
}

/// Drops the connection from what is published.
struct Forget<'a>(&'a watch::Sender<Option<Link>>);

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        self.0.send_replace(None);
    }
}

async fn connection(client: &Client) -> Result<MultiplexedConnection, Error> {
    // Its own time-out would end a wait for the log's entries, and does not count what a script takes that has to be loaded.
    let config = AsyncConnectionConfig::new().set_response_timeout(None);
    let connection = client.get_multiplexed_async_connection_with_config(&config);
    connection.await.map_err(Error::Server)
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// How a connection does.
#[derive(Debug, Default)]
struct Health {
    /// Calls in a row that were not answered in time.
    late: AtomicU32,
    lost: Notify,
}

/// One connection, to one run of the server.
#[derive(Clone)]
pub struct Link {
    connection: MultiplexedConnection,
    ledger: Ledger,
    scripts: Arc<Scripts>,
    counters: Arc<Counters>,
    health: Arc<Health>,
    run: Arc<str>,
    /// The epoch that was in force when it was made.
    pub epoch: Epoch,
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (run, epoch) = (&self.run, self.epoch);
        write!(f, "Link {{ run: {run}, epoch: {epoch} }}")
    }
}

impl Link {
    /// Whether it is the same connection.
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.health, &other.health)
    }

    /// The server's own name for its run.
    pub fn run(&self) -> &str {
        &self.run
    }

    /// The answer, if it comes within [`LONGEST`].
    pub async fn call<A>(&self, call: &Call<A>) -> Result<A, Error> {
        let mut connection = self.connection.clone();
        let answer = pin!(call.run(&self.scripts, &mut connection));
        match clock::within(LONGEST, answer).await {
            Ok(Ok(answer)) => {
                self.health.late.store(0, Ordering::Relaxed);
                Ok(answer)
            }
            Ok(Err(error)) => {
                if is_lost(&error) {
                    self.health.lost.notify_one();
                }
                Err(Error::Server(error))
            }
            Err(_elapsed) => {
                count(&self.counters.late);
                if self.health.late.fetch_add(1, Ordering::Relaxed) + 1 == LATE {
                    count(&self.counters.given_up);
                    self.health.lost.notify_one();
                }
                Err(Error::Late)
            }
        }
    }

    /// Asks for the epoch in force; begins another one where the server may have lost something. To be called after a
    /// [`WrongEpoch`](crate::ledger::protocol::server::WrongEpoch).
    pub async fn epoch_in_force(&self) -> Result<Epoch, Error> {
        // As unpredictable as the keys of a map: two gateways never begin the same.
        let new = RandomState::new().hash_one(());
        self.call(&self.ledger.connect(&self.run, new)).await
    }

    /// How many of the server's replicas have all that was written on this connection, after at most so long a wait, of whole
    /// milliseconds; `wanted` of them are enough. Calls of others on this connection wait as well.
    pub async fn replicated(&self, wanted: u32, limit: Duration) -> Result<u32, Error> {
        let mut connection = self.connection.clone();
        let mut wait = cmd("WAIT");
        wait.arg(wanted).arg(limit.as_millis().max(1) as u64);
        let answer = pin!(wait.query_async(&mut connection));
        match clock::within(limit + LONGEST, answer).await {
            Ok(answer) => answer.map_err(Error::Server),
            Err(_elapsed) => Err(Error::Late),
        }
    }
}

/// Whether another connection is needed after this: the server is gone, or not one that may write.
fn is_lost(error: &RedisError) -> bool {
    let is_not_primary = matches!(
        error.kind(),
        ErrorKind::Server(
            ServerErrorKind::ReadOnly | ServerErrorKind::MasterDown | ServerErrorKind::BusyLoading
        )
    );
    is_not_primary || error.is_io_error() || error.is_unrecoverable_error()
}

/// Entries of streams by the streams' names: each has an id and its fields.
type Streams = Vec<(String, Vec<(String, Vec<Value>)>)>;

/// The connection on which entries of the log are awaited.
pub struct LogReader {
    client: Client,
    log: String,
    connection: Option<MultiplexedConnection>,
}

impl LogReader {
    /// Does not connect yet. Fails where `url` is none: see [`Connection::new`].
    pub fn new(url: &str, ledger: &Ledger) -> Result<Self, RedisError> {
        Ok(Self {
            client: Client::open(url)?,
            log: ledger.namespace.log(),
            connection: None,
        })
    }

    /// The next entries after the number `applied`, as soon as there are any; none after a second. After an error, the next call
    /// connects anew: it should not come at once. An entry that is not the next one shows that the log does not go back so far.
    pub async fn next(&mut self, applied: u64) -> Result<Vec<Entry<Covers>>, Error> {
        // Not to be used again after an error, nor when this is dropped before its end.
        let connection = self.connection.take();
        let read = {
            let read = pin!(self.read(connection, applied));
            clock::within(SILENT, read).await
        };
        let (connection, entries) = read.unwrap_or(Err(Error::Late))?;
        self.connection = Some(connection);
        Ok(entries)
    }

    async fn read(
        &self,
        connected: Option<MultiplexedConnection>,
        applied: u64,
    ) -> Result<(MultiplexedConnection, Vec<Entry<Covers>>), Error> {
        let mut connected = match connected {
            Some(connected) => connected,
            None => connection(&self.client).await?,
        };
        let mut read = cmd("XREAD");
        read.arg("COUNT").arg(ENTRIES);
        read.arg("BLOCK").arg(BLOCK.as_millis() as u64);
        read.arg("STREAMS")
            .arg(&self.log)
            .arg(format!("{applied}-0"));
        let answer = read.query_async(&mut connected).await;
        let answer: Option<Streams> = answer.map_err(Error::Server)?;
        let entries = answer
            .into_iter()
            .flatten()
            .flat_map(|(_, entries)| entries);
        // What is not an entry of ours is not the next one either.
        let entries = entries
            .filter_map(|(id, fields)| entry(&id, fields))
            .collect();
        Ok((connected, entries))
    }
}

fn entry(id: &str, fields: Vec<Value>) -> Option<Entry<Covers>> {
    let [_, epoch, _, covers] = fields.try_into().ok()?;
    Some(Entry {
        epoch: super::answers::number(epoch)?,
        number: id.split_once('-')?.0.parse().ok()?,
        covers: super::answers::octets(covers)?,
    })
}
