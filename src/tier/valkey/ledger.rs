//! The calls of [`protocol::server`](crate::ledger::protocol::server): each does on the server what the function of the same
//! name does to a [`Server`](crate::ledger::protocol::server::Server).

use super::answers::{in_epoch, list, number, octets, pairs, values};
use super::keys::Namespace;
use super::scripts::{Call, Name};
use crate::ledger::protocol::gateway::Answer;
use crate::ledger::protocol::server::{
    Beaten, Entry, Epoch, GatewayId, Heard, Limits, Purged, Snapshot,
};
use crate::ledger::protocol::timing::Time;

/// An invalidation or one of its matchers, as [`wire`](super::wire) writes it.
pub type Covers = Vec<u8>;

/// The ledger of a namespace.
#[derive(Clone, Debug)]
pub struct Ledger {
    pub namespace: Namespace,
    pub limits: Limits,
}

impl Ledger {
    fn call<A>(
        &self,
        name: Name,
        read: impl Fn(redis::Value) -> Option<A> + Send + Sync + 'static,
    ) -> Call<A> {
        Call::new(name, self.namespace.ledger(), read)
    }

    fn in_epoch<A>(
        &self,
        name: Name,
        epoch: Epoch,
        read: impl Fn(redis::Value) -> Option<A> + Send + Sync + 'static,
    ) -> Call<Answer<A>> {
        let read = move |value| in_epoch(value, &read);
        self.call(name, read).number(epoch)
    }

    /// `run` is the server's own name for its run, of this connection.
    pub fn connect(&self, run: &str, new: Epoch) -> Call<Epoch> {
        let call = self.call(Name::Connect, number);
        call.octets(run.as_bytes()).number(new)
    }

    pub fn beat(
        &self,
        id: GatewayId,
        epoch: Epoch,
        applied: u64,
        beats: u64,
    ) -> Call<Answer<Beaten>> {
        let read = move |value| {
            let sequence = number(value)?;
            Some(Beaten { epoch, sequence })
        };
        let call = self.in_epoch(Name::Beat, epoch, read);
        call.number(id).number(applied).number(beats)
    }

    pub fn members(&self, epoch: Epoch) -> Call<Answer<Vec<(GatewayId, u64)>>> {
        self.in_epoch(Name::Members, epoch, |value| pairs(value, number, number))
    }

    pub fn sweep(&self, epoch: Epoch, id: GatewayId, beats: u64) -> Call<Answer<()>> {
        let call = self.in_epoch(Name::Sweep, epoch, done);
        call.number(id).number(beats)
    }

    pub fn settle(&self, epoch: Epoch) -> Call<Answer<()>> {
        self.in_epoch(Name::Settle, epoch, done)
    }

    /// `covers` is delivered to the gateways, and each of the `matchers` that it consists of remembered with its number.
    pub fn purge(&self, epoch: Epoch, covers: &[u8], matchers: &[Covers]) -> Call<Answer<Purged>> {
        let read = move |value| {
            let [sequence, settled, holders] = list(value)?;
            Some(Purged {
                epoch,
                number: number(sequence)?,
                holders: pairs(holders, number, number)?,
                is_settled: number(settled)? == 1,
            })
        };
        let call = self.in_epoch(Name::Purge, epoch, read);
        let call = call.number(self.limits.log as u64);
        let call = call.number(self.limits.ledger as u64).octets(covers);
        let with = |call: Call<_>, matcher: &Covers| call.octets(matcher);
        matchers.iter().fold(call, with)
    }

    /// It is a write: WAIT after it on the same connection tells which replicas have it.
    pub fn heard(&self, epoch: Epoch, of: u64) -> Call<Answer<Heard>> {
        let read = move |value| {
            let missing = values(value)?.into_iter().map(number);
            let missing = missing.collect::<Option<_>>()?;
            Some(Heard { epoch, missing })
        };
        self.in_epoch(Name::Heard, epoch, read).number(of)
    }

    /// At most `limit` entries; those after them are read with the number of the last one.
    pub fn read(
        &self,
        epoch: Epoch,
        applied: u64,
        limit: usize,
    ) -> Call<Answer<Option<Vec<Entry<Covers>>>>> {
        let read = move |value| {
            let mut values = values(value)?.into_iter();
            let (is_whole, found) = (number(values.next()?)?, values.next());
            if is_whole == 0 {
                return Some(None);
            }
            let found = pairs(found?, number, octets)?.into_iter();
            let entry = |(number, covers)| Entry {
                epoch,
                number,
                covers,
            };
            Some(Some(found.map(entry).collect()))
        };
        let call = self.in_epoch(Name::Read, epoch, read);
        call.number(applied).number(limit as u64)
    }

    /// The part of the ledger with numbers above `after`: about `limit` matchers, fewer only where there are no more. Together, the
    /// parts are a snapshot with the sequence number of the first and the floor of the last one: what is invalidated
    /// meanwhile moves to a later part, and what is trimmed raises the floor.
    pub fn snapshot(
        &self,
        epoch: Epoch,
        after: u64,
        limit: usize,
    ) -> Call<Answer<Snapshot<Covers>>> {
        let read = move |value| {
            let [sequence, floor, ledger] = list(value)?;
            Some(Snapshot {
                epoch,
                sequence: number(sequence)?,
                floor: number(floor)?,
                ledger: pairs(ledger, octets, number)?,
            })
        };
        let call = self.in_epoch(Name::Snapshot, epoch, read);
        call.number(after).number(limit as u64)
    }

    /// Tells the others how long this gateway serves that cannot hear, in milliseconds, once it is registered; answers what they have told. It
    /// is not a part of the protocol, which takes for granted that all have the same.
    pub fn settings(
        &self,
        epoch: Epoch,
        id: GatewayId,
        deaf: Time,
    ) -> Call<Answer<Vec<(GatewayId, Time)>>> {
        let call = self.in_epoch(Name::Settings, epoch, |value| pairs(value, number, number));
        call.number(id).number(deaf)
    }
}

fn done(value: redis::Value) -> Option<()> {
    number(value).map(|_| ())
}
