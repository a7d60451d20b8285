//! What a member does all the time: it reads the log, and talks with the server in rounds.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::sleep;

use super::{Member, Settings};
use crate::ledger::protocol::gateway::Answer;
use crate::ledger::protocol::server::{Entry, Epoch, WrongEpoch};
use crate::ledger::protocol::timing::Time;
use crate::tier::fleet::{Memory, Stored, when_deaf};
use crate::tier::valkey::connection::{Error, Link};
use crate::tier::valkey::ledger::Covers;
use crate::tier::valkey::log_reader::LogReader;
use crate::tier::valkey::scripts::Call;
use crate::tier::valkey::wire;

/// Matchers or entries of the log in one answer.
const AT_A_TIME: usize = 1_000;

/// Invalidations that are sent, or asked for, in one round: the heartbeats between them must not come too late.
const AT_ONCE: usize = 64;

/// Between two questions how far an invalidation has come: first and at most.
const SOON: Duration = Duration::from_millis(2);
const LATER: Duration = Duration::from_millis(64);

/// With each so many looks at the others, their settings are looked at, too.
const SETTINGS: u64 = 10;

/// After an error, the log is read again.
const PAUSE: Duration = Duration::from_millis(100);

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
    /// Takes over what the log tells.
    pub(super) async fn listen(&self) {
        let mut log = LogReader::new(&self.connection);
        loop {
            let Some(stamp) = self.stamp() else {
                // It is there once the ledger has been read, however long that takes.
                sleep(PAUSE).await;
                continue;
            };
            match log.next(stamp.number).await {
                // What cannot be read comes at once, again and again.
                Ok(entries) if entries.is_empty() => sleep(SOON).await,
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
                let invalidation = wire::read_invalidation(&entry.covers);
                self.memory.apply(&invalidation, entry.number);
                self.counters.applied.fetch_add(1, Ordering::Relaxed);
                self.applied(entry.number);
                is_any = true;
            }
        }
        is_any
    }

    /// All up to this number has been taken over.
    fn applied(&self, number: u64) {
        let mut state = self.state();
        state.machine.applied(number, &self.settings.timing);
        self.lease.extend(state.machine.usable_until());
    }

    pub(super) async fn talk(&self) {
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
                        // A server that refuses, since it has too few replicas or no memory, refuses again at once.
                        sleep(PAUSE).await;
                    }
                }
            }
        }
    }

    fn begin(&self, epoch: Epoch) {
        let begun = self.state().machine.connected(self.now(), epoch);
        if let Some(stored) = begun {
            self.counters.epochs.fetch_add(1, Ordering::Relaxed);
            self.memory.begin_epoch(epoch, stored);
            let is_validated = stored == Stored::Validated;
            tracing::info!(
                epoch = format!("{epoch:016x}"),
                is_validated,
                pending_for = ?Duration::from_millis(self.settings.timing.unknown()),
                "an epoch of the fleet's ledger begins; while it is new, purges and writes are not acknowledged"
            );
        }
    }

    /// Goes on until one fails.
    async fn rounds(&self, link: &Link) -> End {
        let each = Duration::from_millis(self.settings.timing.lease / 3);
        let mut pause = SOON;
        let mut beaten: Option<(Time, u64)> = None;
        let mut looked: Option<Time> = None;
        loop {
            let applied = self.stamp().map(|stamp| stamp.number);
            let now = self.now();
            let is_due = beaten.is_none_or(|(at, told)| {
                now >= at + each.as_millis() as u64 || applied.is_some_and(|number| number > told)
            });
            // Not after each invalidation: then all gateways would ask for all of them each time.
            let has_to_look = looked.is_none_or(|at| now >= at + each.as_millis() as u64);
            let is_pending = match self.round(link, is_due, has_to_look).await {
                Ok(is_pending) => is_pending,
                Err(end) => return end,
            };
            if is_due {
                beaten = Some((now, applied.unwrap_or_default()));
            }
            if has_to_look {
                looked = Some(now);
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
    async fn round(&self, link: &Link, is_beat_due: bool, has_to_look: bool) -> Result<bool, End> {
        let epoch = self.state().machine.epoch().unwrap_or(link.epoch);
        if self.stamp().is_none() {
            self.read_snapshot(link, epoch).await?;
        }
        self.send_unsent(link).await?;
        if is_beat_due {
            self.beat(link).await?;
        }
        if has_to_look {
            self.look_after_others(link, epoch).await?;
        }
        self.ask_unheard(link).await
    }

    async fn send_unsent(&self, link: &Link) -> Result<(), End> {
        let unsent: Vec<_> = {
            let state = self.state();
            let unsent = state.machine.unsent().take(AT_ONCE);
            unsent
                .map(|(id, epoch, covers)| (id, epoch, covers.clone()))
                .collect()
        };
        if unsent.len() == AT_ONCE {
            self.wanted.notify_one();
        }
        for (id, epoch, covers) in unsent {
            {
                let state = &mut *self.state();
                // What comes from now on may come after this one has its number.
                state.everything = state.everything.filter(|everything| *everything != id);
            }
            let invalidation = wire::read_invalidation(&covers);
            let matchers = wire::matchers(&invalidation);
            let call = self.settings.ledger.purge(epoch, &covers, &matchers);
            let answer = asked(link, &call).await?;
            self.delete_behind(epoch, answer.number, &invalidation);
            let now = self.now();
            let timing = &self.settings.timing;
            let state = &mut *self.state();
            state.machine.purged(now, id, &answer, timing);
            if let Some(pending) = state.announced.get_mut(&id) {
                pending.holders = answer.holders.len();
            }
        }
        Ok(())
    }

    async fn beat(&self, link: &Link) -> Result<(), End> {
        let beat = {
            let state = &mut *self.state();
            match state.has_left {
                true => None,
                false => state.machine.beat(),
            }
        };
        let Some((stamp, beats)) = beat else {
            return Ok(());
        };
        let (Settings { ledger, timing, .. }, sent) = (&self.settings, self.now());
        let call = ledger.beat(self.settings.id, stamp.epoch, stamp.number, beats);
        let answer = asked(link, &call).await?;
        {
            let mut state = self.state();
            state.machine.beaten(sent, answer, timing);
            self.lease.extend(state.machine.usable_until());
        }
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
            for (covers, number) in &part.ledger {
                self.memory.apply(&wire::read_invalidation(covers), *number);
            }
            match part.ledger.last() {
                Some((_, number)) if part.ledger.len() >= AT_A_TIME => after = *number,
                _ => break,
            }
        }
        self.memory.raise_floor(floor);
        if self.stamp().is_some_and(|stamp| stamp.number < floor) {
            self.memory.validate_all();
        }
        if self.state().machine.epoch() == Some(epoch) {
            self.applied(sequence.unwrap_or_default());
        }
        Ok(())
    }

    /// Has gateways forgotten that are not heard of any more, and tells when all that may serve are known.
    async fn look_after_others(&self, link: &Link, epoch: Epoch) -> Result<(), End> {
        let Settings { ledger, timing, .. } = &self.settings;
        let members = asked(link, &ledger.members(epoch)).await?;
        let now = self.now();
        let (silent, settled, looks) = {
            let state = &mut *self.state();
            state.gateways = members.len();
            state.looks += 1;
            let looks = state.looks;
            let machine = &mut state.machine;
            machine.saw(now, &members);
            let silent: Vec<_> = machine.silent(now, timing).collect();
            (silent, machine.settled(now, timing), looks)
        };
        if looks % SETTINGS == 1 {
            self.compare_settings(link, epoch).await?;
        }
        for (id, beats) in silent {
            asked(link, &ledger.sweep(epoch, id, beats)).await?;
        }
        if let Some(epoch) = settled {
            asked(link, &ledger.settle(epoch)).await?;
        }
        Ok(())
    }

    /// Tells of gateways that have another `when_deaf`: who purges waits for them as long as its own says, and no longer.
    async fn compare_settings(&self, link: &Link, epoch: Epoch) -> Result<(), End> {
        let Settings { ledger, timing, .. } = &self.settings;
        let call = ledger.settings(epoch, self.settings.id, timing.deaf);
        let mut others = asked(link, &call).await?;
        others.retain(|(_, deaf)| *deaf != timing.deaf);
        let before = std::mem::replace(&mut self.state().differing, others.clone());
        for (id, deaf) in others.iter().filter(|other| !before.contains(other)) {
            let (its, own) = (when_deaf(*deaf), when_deaf(timing.deaf));
            tracing::warn!(
                gateway = format!("{id:016x}"),
                its,
                own,
                "a gateway of the fleet has another when_deaf"
            );
        }
        Ok(())
    }

    async fn ask_unheard(&self, link: &Link) -> Result<bool, End> {
        let unheard: Vec<_> = self.state().machine.unheard().take(AT_ONCE).collect();
        let mut answers = Vec::with_capacity(unheard.len());
        for (id, place) in unheard {
            let sent = self.now();
            let call = self.settings.ledger.heard(place.epoch, place.number);
            answers.push((id, sent, asked(link, &call).await?));
        }
        // Once for all of them: while a replica is gone, this takes its whole time, and heartbeats wait as well.
        let wanted = self.settings.replicas;
        let is_replicated = match wanted {
            0 => true,
            _ if answers.is_empty() => true,
            _ => link.replicated(wanted, LATER).await? >= wanted,
        };
        for (id, sent, answer) in answers {
            let mut state = self.state();
            if let Some(pending) = state.announced.get_mut(&id) {
                // What is announced here has been carried out here.
                let others = answer.missing.iter().filter(|id| **id != self.settings.id);
                pending.missing = others.copied().collect();
            }
            if let Some(place) = state.machine.heard(sent, id, &answer, is_replicated) {
                self.counters.acknowledged.fetch_add(1, Ordering::Relaxed);
                state.acknowledge(id, place);
            }
        }
        Ok(self.state().machine.is_any_pending())
    }
}

async fn asked<A>(link: &Link, call: &Call<Answer<A>>) -> Result<A, End> {
    Ok(link.call(call).await??)
}
