//! A connection for calls to one server, on which nobody waits for long.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{Cmd, ErrorKind, FromRedisValue, RedisError, ServerErrorKind};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::dial::Channel;
use super::error::Error;
use super::scripts::{Call, Scripts};
use crate::clock::{self, timer_now};
use crate::config::valkey_servers::Address;

/// How long a call is waited for, unless it has a limit of its own.
pub const LONGEST: Duration = Duration::from_millis(50);

/// After so many calls one after the other to which no answer came in time, the connection is given up, and calls fail at once until
/// there is another one. Calls that wait at the same time are late together, and count once: a server that stands still for a moment
/// is not given up, however many wait for it then.
const LATE: u32 = 3;

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
    /// Calls that a cluster's node has sent on to the one that has their slot now.
    pub redirected: AtomicU64,
}

pub fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// What calls have in common, whichever server they go to.
#[derive(Debug, Default)]
pub struct Shared {
    pub scripts: Scripts,
    pub counters: Counters,
}

/// One connection, to one run of a server.
#[derive(Debug)]
pub struct Node {
    pub address: Address,
    channel: Channel,
    shared: Arc<Shared>,
    /// Calls one after the other that were not answered in time.
    late: AtomicU32,
    /// When the last of them ended.
    ended: Mutex<Option<Instant>>,
    is_lost: AtomicBool,
    /// Told when it is lost.
    lost: Arc<Notify>,
}

impl Node {
    pub fn new(address: Address, channel: Channel, shared: Arc<Shared>, lost: Arc<Notify>) -> Self {
        Self {
            address,
            channel,
            shared,
            late: AtomicU32::new(0),
            ended: Mutex::default(),
            is_lost: AtomicBool::new(false),
            lost,
        }
    }

    /// For commands that are no calls. Nobody may wait on it who waits for long.
    pub fn connection(&self) -> MultiplexedConnection {
        self.channel.connection.clone()
    }

    pub fn is_lost(&self) -> bool {
        self.is_lost.load(Ordering::Relaxed) || self.channel.is_closed()
    }

    /// Waits until its connection is closed, which no call may have found yet.
    pub async fn closed(&self) {
        self.channel.closed().await;
    }

    /// Calls fail at once from here on.
    pub fn give_up(&self) {
        self.is_lost.store(true, Ordering::Relaxed);
        self.lost.notify_one();
    }

    /// The answer, if it comes by then.
    pub async fn call<A>(&self, call: &Call<A>, until: Instant) -> Result<A, Error> {
        let mut connection = self.channel.connection.clone();
        self.answered(call.run(&self.shared.scripts, &mut connection), until)
            .await
    }

    /// The answer to a command, if it comes by then.
    pub async fn ask<A: FromRedisValue>(&self, command: &Cmd, until: Instant) -> Result<A, Error> {
        let mut connection = self.channel.connection.clone();
        self.answered(command.query_async(&mut connection), until)
            .await
    }

    async fn answered<A>(
        &self,
        answer: impl Future<Output = Result<A, RedisError>>,
        until: Instant,
    ) -> Result<A, Error> {
        if self.is_lost() {
            return Err(Error::Away);
        }
        let began = timer_now();
        match clock::by(until, pin!(answer)).await {
            Ok(Ok(answer)) => {
                self.late.store(0, Ordering::Relaxed);
                Ok(answer)
            }
            Ok(Err(error)) => {
                if is_lost(&error) {
                    self.give_up();
                }
                Err(Error::Server(error))
            }
            Err(_elapsed) => {
                count(&self.shared.counters.late);
                let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
                let is_next = ended.is_none_or(|ended| began >= ended);
                if is_next {
                    *ended = Some(timer_now());
                }
                drop(ended);
                if is_next && self.late.fetch_add(1, Ordering::Relaxed) + 1 == LATE {
                    count(&self.shared.counters.given_up);
                    self.give_up();
                }
                Err(Error::Late)
            }
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
