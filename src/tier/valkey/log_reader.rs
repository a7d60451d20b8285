//! The connection on which the log's entries are awaited. Calls on it would wait as well.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use redis::{Value, cmd};

use super::answers;
use super::connection::{Connection, Link};
use super::dial::{self, Channel};
use super::error::Error;
use super::ledger::Covers;
use crate::clock;
use crate::config::valkey_servers::Servers;
use crate::ledger::protocol::server::Entry;
use tokio::sync::watch;

/// The server lets a reader of the log wait for so long, and answers then that nothing came. That takes the place of a PING: a
/// connection on which not even that answer comes is dead.
const BLOCK: Duration = Duration::from_secs(1);
const SILENT: Duration = Duration::from_secs(2);

/// Entries of the log that are read at a time.
const ENTRIES: u64 = 512;

/// Entries of streams by the streams' names: each has an id and its fields.
type Streams = Vec<(String, Vec<(String, Vec<Value>)>)>;

/// The connection on which entries of the log are awaited, to the server that has the ledger.
pub struct LogReader {
    servers: Arc<Servers>,
    links: watch::Receiver<Option<Link>>,
    log: String,
    /// With the link beside which it was made: of another one, the server may be another.
    channel: Option<(Link, Channel)>,
}

impl LogReader {
    /// Does not connect yet.
    pub fn new(connection: &Connection) -> Self {
        Self {
            servers: connection.servers().clone(),
            links: connection.links(),
            log: connection.ledger().namespace.log(),
            channel: None,
        }
    }

    /// The next entries after the number `applied`, as soon as there are any; none after a second. After an error, the next call
    /// connects anew: it should not come at once. An entry that is not the next one shows that the log does not go back so far.
    pub async fn next(&mut self, applied: u64) -> Result<Vec<Entry<Covers>>, Error> {
        let link = self.links.borrow().clone().ok_or(Error::Away)?;
        // Not to be used again after an error, nor when this is dropped before its end.
        let channel = self.channel.take();
        let channel = channel.and_then(|(of, channel)| of.is(&link).then_some(channel));
        let read = {
            let read = pin!(self.read(channel, &link, applied));
            clock::within(SILENT, read).await
        };
        let (channel, entries) = read.unwrap_or(Err(Error::Late))?;
        self.channel = Some((link, channel));
        Ok(entries)
    }

    async fn read(
        &self,
        channel: Option<Channel>,
        link: &Link,
        applied: u64,
    ) -> Result<(Channel, Vec<Entry<Covers>>), Error> {
        let mut channel = match channel {
            Some(channel) => channel,
            None => dial::to_data(&self.servers, link.address()).await?,
        };
        let mut read = cmd("XREAD");
        read.arg("COUNT").arg(ENTRIES);
        read.arg("BLOCK").arg(BLOCK.as_millis() as u64);
        read.arg("STREAMS")
            .arg(&self.log)
            .arg(format!("{applied}-0"));
        let answer = read.query_async(&mut channel.connection).await;
        let answer: Option<Streams> = answer.map_err(Error::Server)?;
        let entries = answer
            .into_iter()
            .flatten()
            .flat_map(|(_, entries)| entries);
        // What is not an entry of ours is not the next one either.
        let entries = entries
            .filter_map(|(id, fields)| entry(&id, fields))
            .collect();
        Ok((channel, entries))
    }
}

fn entry(id: &str, fields: Vec<Value>) -> Option<Entry<Covers>> {
    let [_, epoch, _, covers] = fields.try_into().ok()?;
    Some(Entry {
        epoch: answers::number(epoch)?,
        number: id.split_once('-')?.0.parse().ok()?,
        covers: answers::octets(covers)?,
    })
}
