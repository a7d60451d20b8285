//! Sentinels: which server is the primary now.
//!
//! An answer counts when most of them have given one, and the one with the highest configuration epoch does: that of the latest
//! failover. They are asked again each second. A server that was replaced, and does not know it, may still answer a gateway that
//! reaches it: that gateway hears of the failover here, or hears nothing from most of the Sentinels, and gives its connection up
//! after [`UNHEARD`]. This is less than [`Timing::replaced`](crate::ledger::protocol::timing::Timing), for which a
//! purge in a new epoch waits.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redis::{cmd, pipe};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::dial::{self, Channel};
use super::error::Error;
use crate::clock::timer_now;
use crate::config::valkey_servers::{Address, Login, Servers};

/// An answer that takes longer does not count.
const ANSWER: Duration = Duration::from_millis(500);

/// Once most have answered, the others are waited for no longer than this.
const OTHERS: Duration = Duration::from_millis(100);

/// Between two questions.
const EACH: Duration = Duration::from_secs(1);

/// Without an answer from most of them, a connection is used for so long.
pub const UNHEARD: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub struct Sentinels {
    servers: Arc<Servers>,
    name: String,
    login: Login,
    addresses: Vec<Address>,
    /// A connection to each, once it has answered.
    channels: Mutex<Vec<Option<Channel>>>,
    /// [`UNHEARD`], but in tests.
    pub(super) unheard: Duration,
}

/// What a Sentinel has answered, in an order in which the latest is the highest.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Named {
    /// Higher after each failover.
    config_epoch: u64,
    host: String,
    port: u16,
}

impl Sentinels {
    pub fn new(servers: Arc<Servers>, name: &str, addresses: &[Address], login: &Login) -> Self {
        Self {
            servers,
            name: name.to_owned(),
            login: login.clone(),
            addresses: addresses.to_vec(),
            channels: Mutex::new(vec![None; addresses.len()]),
            unheard: UNHEARD,
        }
    }

    /// The primary, by most of the Sentinels.
    pub async fn primary(&self) -> Result<Address, Error> {
        let mut asked = JoinSet::new();
        for (index, at) in self.addresses.iter().cloned().enumerate() {
            let (servers, login) = (self.servers.clone(), self.login.clone());
            let (name, channel) = (self.name.clone(), self.channels()[index].take());
            asked.spawn(async move {
                let answer = ask(&servers, &at, &login, &name, channel);
                let late = Error::Unfit {
                    at: at.clone(),
                    why: "does not answer in time".into(),
                };
                (index, timeout(ANSWER, answer).await.unwrap_or(Err(late)))
            });
        }
        let most = self.addresses.len() / 2 + 1;
        let (mut named, mut failed) = (Vec::new(), None);
        loop {
            let next = match named.len() >= most {
                true => timeout(OTHERS, asked.join_next()).await.unwrap_or(None),
                false => asked.join_next().await,
            };
            match next {
                Some(Ok((index, Ok((channel, answer))))) => {
                    self.channels()[index] = Some(channel);
                    named.push(answer);
                }
                Some(Ok((_, Err(error)))) => failed = Some(error),
                Some(Err(_panicked)) => {}
                None => break,
            }
        }
        let (heard, all) = (named.len(), self.addresses.len());
        match named.into_iter().max().filter(|_| heard >= most) {
            Some(Named { host, port, .. }) => Ok(Address::Tcp { host, port }),
            None => {
                let why = failed.map_or_else(String::new, |error| format!(": {error}"));
                Err(Error::Unknown(format!(
                    "{heard} of {all} Sentinels have named the primary {}, and {most} are needed{why}",
                    self.name
                )))
            }
        }
    }

    /// Asks again and again, until `primary` may be the primary no more. Says why.
    pub async fn watch(&self, primary: &Address) -> String {
        let mut heard = timer_now();
        loop {
            sleep(EACH).await;
            let asked = timer_now();
            match self.primary().await {
                Ok(now) if now == *primary => heard = asked,
                Ok(now) => return format!("Sentinels name {now} as the primary now"),
                Err(error) if asked.duration_since(heard) >= self.unheard => {
                    return error.to_string();
                }
                Err(_) => {}
            }
        }
    }

    fn channels(&self) -> MutexGuard<'_, Vec<Option<Channel>>> {
        self.channels.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn ask(
    servers: &Servers,
    at: &Address,
    login: &Login,
    name: &str,
    channel: Option<Channel>,
) -> Result<(Channel, Named), Error> {
    let mut channel = match channel {
        Some(channel) => channel,
        None => dial::to_sentinel(servers, at, login).await?,
    };
    let mut both = pipe();
    let ask = |what: &str| {
        let mut ask = cmd("SENTINEL");
        ask.arg(what).arg(name);
        ask
    };
    // During a failover, only this one gives the new primary already.
    both.add_command(ask("GET-MASTER-ADDR-BY-NAME"));
    both.add_command(ask("MASTER"));
    type Answer = (Option<(String, u16)>, HashMap<String, String>);
    let answer = both.query_async(&mut channel.connection).await;
    let unfit = |why: String| Error::Unfit {
        at: at.clone(),
        why,
    };
    let (address, told): Answer = answer.map_err(|error| unfit(format!("answers: {error}")))?;
    let epoch = told.get("config-epoch").and_then(|told| told.parse().ok());
    let ((host, port), config_epoch) = (address.zip(epoch))
        .ok_or_else(|| unfit(format!("does not know a primary of the name {name}")))?;
    let named = Named {
        config_epoch,
        host,
        port,
    };
    Ok((channel, named))
}
