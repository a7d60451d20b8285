//! A gateway's part in the fleet: what its machine of the protocol wants is done over the connections, and what the server answers
//! is told to it.
//!
//! [`Member::run`] has three tasks: it keeps the connection, reads the log, and talks with the server in rounds. A round begins with
//! each third of a lease, and at once when an invalidation is asked for or was taken over.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};
use tokio::time::sleep;

use super::connection::{Connection, Error, Link};
use super::ledger::{Covers, Ledger};
use super::log_reader::LogReader;
use super::scripts::Call;
use super::wire;
use crate::clock::{self, Clock};
use crate::config::valkey_servers::Servers;
use crate::ledger::invalidation::Invalidation;
use crate::ledger::protocol::gateway::{Answer, Gateway, Place, Stored, Use};
use crate::ledger::protocol::server::{Entry, Epoch, GatewayId, WrongEpoch};
use crate::ledger::protocol::timing::{Time, Timing};

/// Matchers or entries of the log in one answer.
const AT_A_TIME: usize = 1_000;

/// Between two questions how far an invalidation has come: first and at most.
const SOON: Duration = Duration::from_millis(2);
const LATER: Duration = Duration::from_millis(64);

/// After an error, the log is read again.
const PAUSE: Duration = Duration::from_millis(100);

/// What a gateway has in memory, and its own ledger.
pub trait Memory {
    /// Takes an invalidation over: when this returns, nothing that it covers is stored as it was, no fill in flight brings it, and
    /// the gateway's own ledger has it.
    fn apply(&self, invalidation: &Invalidation);

    /// A new epoch begins. No fill in flight brings anything that others may use; [`Stored::Validated`]: what is stored is
    /// validated before its next use, without exception for stale responses.
    fn begin_epoch(&self, stored: Stored);

    /// What is stored is validated before its next use: invalidations were forgotten that are not known here.
    fn validate_all(&self);
}

/// What a member goes by.
#[derive(Clone, Debug)]
pub struct Settings {
    pub servers: Servers,
    pub ledger: Ledger,
    /// The same for all gateways of the namespace.
    pub timing: Timing,
    /// Of this process alone, chosen at random.
    pub id: GatewayId,
    /// So many replicas must have a server's word before it is believed: all that it has.
    pub replicas: u32,
}

/// A gateway of the fleet.
#[derive(Debug)]
pub struct Member<M> {
    settings: Settings,
    clock: Clock,
    connection: Connection,
    memory: M,
    state: Mutex<State>,
    /// A round is wanted.
    wanted: Notify,
}

#[derive(Debug)]
struct State {
    machine: Gateway<Covers>,
    /// Those that wait until their invalidation is acknowledged.
    waiting: HashMap<u64, oneshot::Sender<Place>>,
    next: u64,
}

/// Why a round ends early: the link is not to be used any more, or its epoch is over.
enum End {
    Failed(Error),
    Epoch,
}

impl From<Error> for End {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl From<WrongEpoch> for End {
    fn from(_: WrongEpoch) -> Self {
        Self::Epoch
    }
}

impl<M: Memory> Member<M> {
    /// Does not connect yet.
    pub fn new(settings: Settings, clock: Clock, memory: M) -> Self {
        let machine = Gateway::new(settings.id);
        let ledger = settings.ledger.clone();
        Self {
            connection: Connection::new(&settings.servers, ledger, settings.replicas),
            settings,
            clock,
            memory,
            state: Mutex::new(State {
                machine,
                waiting: HashMap::new(),
                next: 0,
            }),
            wanted: Notify::new(),
        }
    }

    pub fn memory(&self) -> &M {
        &self.memory
    }

    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    fn now(&self) -> Time {
        self.clock.now().mono.as_millis()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What stored responses may be used for, by a request that came before this call.
    pub fn may_use(&self) -> Use {
        self.state()
            .machine
            .may_use(self.now(), &self.settings.timing)
    }

    /// The stamp for a response whose request is sent after this call; `None` while nothing may be stored for others.
    pub fn stamp(&self) -> Option<Place> {
        self.state().machine.stamp()
    }

    /// Whether what is in memory is at least as recent as a receipt asks.
    pub fn answers(&self, receipt: Place) -> bool {
        self.state().machine.answers(receipt)
    }

    /// Carries an invalidation out here, and has all gateways do so. Its place in the order, once none of them serves any more what
    /// it covers; `None` when that has not come about within `limit`: it goes on all the same.
    pub async fn invalidate(&self, invalidation: &Invalidation, limit: Duration) -> Option<Place> {
        self.memory.apply(invalidation);
        let (send, acknowledged) = oneshot::channel();
        {
            let mut state = self.state();
            let id = state.next;
            state.next += 1;
            state.machine.purge(id, wire::invalidation(invalidation));
            state.waiting.insert(id, send);
        }
        self.wanted.notify_one();
        let acknowledged = clock::within(limit, pin!(acknowledged)).await;
        acknowledged.ok().and_then(Result::ok)
    }

    /// Takes part in the fleet; it never ends. A gateway that does not run any more is waited for until its lease has ended.
    pub async fn run(&self) {
        tokio::join!(self.connection.keep(), self.talk(), self.listen());
    }

    /// Takes over what the log tells.
    async fn listen(&self) {
        let mut log = LogReader::new(&self.connection);
        let mut links = self.connection.links();
        loop {
            let Some(stamp) = self.stamp() else {
                if links.changed().await.is_err() {
                    return;
                }
                sleep(PAUSE).await;
                continue;
            };
            match log.next(stamp.number).await {
                Ok(entries) if entries.is_empty() => {}
                Ok(entries) => {
                    if !self.take_over(&entries) {
                        // Others came first, or the log does not go back so far: the next round reads it.
                        sleep(SOON).await;
                    }
                    self.wanted.notify_one();
                }
                Err(error) => {
                    tracing::debug!(%error, "the log of invalidations cannot be read");
                    sleep(PAUSE).await;
                }
            }
        }
    }

    /// Takes over those that are next. Whether there were any.
    fn take_over(&self, entries: &[Entry<Covers>]) -> bool {
        let mut is_any = false;
        for entry in entries {
            // Only this task tells the machine what was applied: the entry is still the next one afterwards.
            if self.state().machine.is_next(entry) {
                self.memory.apply(&wire::read_invalidation(&entry.covers));
                let timing = &self.settings.timing;
                self.state().machine.applied(entry.number, timing);
                is_any = true;
            }
        }
        is_any
    }

    async fn talk(&self) {
        let mut links = self.connection.links();
        loop {
            let link = links.wait_for(Option::is_some).await;
            let Some(link) = link.ok().and_then(|link| link.clone()) else {
                return;
            };
            self.begin(link.epoch);
            // A link that is lost is replaced: then the rounds on it fail at once.
            while let Some(current) = self.connection.link().filter(|now| now.is(&link)) {
                match self.rounds(&current).await {
                    End::Epoch => match current.epoch_in_force().await {
                        Ok(epoch) => self.begin(epoch),
                        Err(_) => sleep(PAUSE).await,
                    },
                    End::Failed(error) => {
                        tracing::debug!(%error, "no answer for the fleet's ledger");
                        sleep(SOON).await;
                    }
                }
            }
        }
    }

    fn begin(&self, epoch: Epoch) {
        let begun = self.state().machine.connected(self.now(), epoch);
        if let Some(stored) = begun {
            tracing::info!(epoch, ?stored, "an epoch of the fleet's ledger begins");
            self.memory.begin_epoch(stored);
        }
    }

    /// Goes on until one fails.
    async fn rounds(&self, link: &Link) -> End {
        let each = Duration::from_millis(self.settings.timing.lease / 3);
        let mut pause = SOON;
        let mut beaten: Option<(Time, u64)> = None;
        loop {
            let applied = self.stamp().map(|stamp| stamp.number);
            let now = self.now();
            let is_due = beaten.is_none_or(|(at, told)| {
                now >= at + each.as_millis() as u64 || applied.is_some_and(|number| number > told)
            });
            let is_pending = match self.round(link, is_due).await {
                Ok(is_pending) => is_pending,
                Err(end) => return end,
            };
            if is_due {
                beaten = Some((now, applied.unwrap_or_default()));
            }
            let wait = match is_pending {
                true => pause,
                false => each,
            };
            tokio::select! {
                () = sleep(wait) => pause = (pause * 2).min(LATER),
                () = self.wanted.notified() => pause = SOON,
            }
        }
    }

    /// Whether invalidations are not acknowledged yet.
    async fn round(&self, link: &Link, is_beat_due: bool) -> Result<bool, End> {
        let epoch = self.state().machine.epoch().unwrap_or(link.epoch);
        if self.stamp().is_none() {
            self.read_snapshot(link, epoch).await?;
        }
        self.send_unsent(link).await?;
        if is_beat_due {
            self.beat(link).await?;
            self.look_after_others(link, epoch).await?;
        }
        self.ask_unheard(link).await
    }

    async fn send_unsent(&self, link: &Link) -> Result<(), End> {
        let unsent: Vec<_> = (self.state().machine.unsent())
            .map(|(id, epoch, covers)| (id, epoch, covers.clone()))
            .collect();
        for (id, epoch, covers) in unsent {
            let matchers = wire::matchers(&wire::read_invalidation(&covers));
            let call = self.settings.ledger.purge(epoch, &covers, &matchers);
            let answer = asked(link, &call).await?;
            let now = self.now();
            let timing = &self.settings.timing;
            self.state().machine.purged(now, id, &answer, timing);
        }
        Ok(())
    }

    async fn beat(&self, link: &Link) -> Result<(), End> {
        let beat = self.state().machine.beat();
        let Some((stamp, beats)) = beat else {
            return Ok(());
        };
        let (Settings { ledger, timing, .. }, sent) = (&self.settings, self.now());
        let call = ledger.beat(self.settings.id, stamp.epoch, stamp.number, beats);
        let answer = asked(link, &call).await?;
        self.state().machine.beaten(sent, answer, timing);
        let mut applied = stamp.number;
        while applied < answer.sequence {
            let call = ledger.read(stamp.epoch, applied, AT_A_TIME);
            let Some(entries) = asked(link, &call).await? else {
                return self.read_snapshot(link, stamp.epoch).await;
            };
            self.take_over(&entries);
            let Some(last) = entries.last() else { break };
            applied = last.number;
        }
        Ok(())
    }

    /// Takes over all that the ledger remembers.
    async fn read_snapshot(&self, link: &Link, epoch: Epoch) -> Result<(), End> {
        let (mut after, mut floor) = (0, 0);
        let mut sequence = None;
        loop {
            let call = self.settings.ledger.snapshot(epoch, after, AT_A_TIME);
            let part = asked(link, &call).await?;
            // As it was before the first of them was read: what came later is read from the log.
            sequence.get_or_insert(part.sequence);
            floor = part.floor.max(floor);
            for (covers, _) in &part.ledger {
                self.memory.apply(&wire::read_invalidation(covers));
            }
            match part.ledger.last() {
                Some((_, number)) if part.ledger.len() >= AT_A_TIME => after = *number,
                _ => break,
            }
        }
        if self.stamp().is_some_and(|stamp| stamp.number < floor) {
            self.memory.validate_all();
        }
        let mut state = self.state();
        if state.machine.epoch() == Some(epoch) {
            let timing = &self.settings.timing;
            state.machine.applied(sequence.unwrap_or_default(), timing);
        }
        Ok(())
    }

    /// Has gateways forgotten that are not heard of any more, and tells when all that may serve are known.
    async fn look_after_others(&self, link: &Link, epoch: Epoch) -> Result<(), End> {
        let Settings { ledger, timing, .. } = &self.settings;
        let members = asked(link, &ledger.members(epoch)).await?;
        let now = self.now();
        let (silent, settled) = {
            let machine = &mut self.state().machine;
            machine.saw(now, &members);
            let silent: Vec<_> = machine.silent(now, timing).collect();
            (silent, machine.settled(now, timing))
        };
        for (id, beats) in silent {
            asked(link, &ledger.sweep(epoch, id, beats)).await?;
        }
        if let Some(epoch) = settled {
            asked(link, &ledger.settle(epoch)).await?;
        }
        Ok(())
    }

    async fn ask_unheard(&self, link: &Link) -> Result<bool, End> {
        let unheard: Vec<_> = self.state().machine.unheard().collect();
        for (id, place) in unheard {
            let sent = self.now();
            let call = self.settings.ledger.heard(place.epoch, place.number);
            let answer = asked(link, &call).await?;
            let wanted = self.settings.replicas;
            let is_replicated = match wanted {
                0 => true,
                _ => link.replicated(wanted, LATER).await? >= wanted,
            };
            let mut state = self.state();
            let heard = state.machine.heard(sent, id, &answer, is_replicated);
            let waiting = heard.and_then(|place| Some((state.waiting.remove(&id)?, place)));
            if let Some((waiting, place)) = waiting {
                // Fails when nobody waits any more.
                let _ = waiting.send(place);
            }
        }
        Ok(self.state().machine.is_any_pending())
    }
}

async fn asked<A>(link: &Link, call: &Call<Answer<A>>) -> Result<A, End> {
    Ok(link.call(call).await??)
}
