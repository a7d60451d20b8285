//! A gateway's side of the fleet's ledger. It does no I/O: what was sent, received or lost is told to it, with the gateway's own time.

use std::collections::BTreeMap;

use super::server::{Beaten, Entry, Epoch, GatewayId, Heard, Purged, Snapshot, WrongEpoch};
use super::timing::{Time, Timing};

/// Heartbeats that are remembered until all that they told of has been taken over.
const PROMISES: usize = 4;

/// Where a response or an answer stands in the order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    pub epoch: Epoch,
    pub number: u64,
}

/// What stored responses may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Use {
    /// By their own freshness.
    AsTheyAre,
    /// Those that were asked for, or validated, since then; others only after validation.
    AskedSince(Time),
    /// Only those that were asked for, or validated, after the request for them came.
    AskedNow,
}

/// What a new epoch means for what is stored in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stored {
    /// It counts as fetched before the epoch's first invalidation.
    Kept,
    /// It is validated before its next use, without exception for stale responses: an invalidation may have been lost that was
    /// acknowledged and not heard here.
    Validated,
}

/// An invalidation that is not acknowledged yet.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pending<M> {
    /// The gateway's own name for it.
    pub id: u64,
    pub covers: M,
    /// `None` until the server has numbered it in the current epoch.
    pub numbered: Option<Numbered>,
}

/// A number, and those that may serve on without having heard of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Numbered {
    pub place: Place,
    /// Until when each may, by this gateway's clock.
    pub holders: Vec<(GatewayId, Time)>,
    /// The same for gateways of which the server knows nothing.
    pub unknown_until: Time,
}

/// The heartbeats of another gateway, as they were seen here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Seen {
    pub beats: u64,
    /// When they were seen first.
    pub since: Time,
}

/// The machine.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Gateway<M> {
    pub(super) id: GatewayId,
    /// `None` until the first connection.
    pub(super) epoch: Option<Epoch>,
    /// When the epoch was heard of.
    pub(super) epoch_since: Time,
    /// The highest number that was taken over completely. `None` until the ledger was read.
    pub(super) applied: Option<u64>,
    pub(super) usable_until: Time,
    pub(super) leased_until: Time,
    pub(super) registered_until: Time,
    /// Sequence numbers of heartbeats that are not taken over yet, each with the time at which it was sent.
    pub(super) promises: Vec<(u64, Time)>,
    /// Heartbeats sent.
    pub(super) beats: u64,
    pub(super) pending: Vec<Pending<M>>,
    pub(super) seen: BTreeMap<GatewayId, Seen>,
}

impl<M: Clone> Gateway<M> {
    pub fn new(id: GatewayId) -> Self {
        Self {
            id,
            epoch: None,
            epoch_since: 0,
            applied: None,
            usable_until: 0,
            leased_until: 0,
            registered_until: 0,
            promises: Vec::new(),
            beats: 0,
            pending: Vec::new(),
            seen: BTreeMap::new(),
        }
    }

    /// `None` until the first connection.
    pub fn epoch(&self) -> Option<Epoch> {
        self.epoch
    }

    /// Whether there are invalidations that are not acknowledged yet.
    pub fn is_any_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// The server's epoch was read, on a new connection or after [`WrongEpoch`]. `None` where it is the one that was known;
    /// else what that means for what is stored in memory. What was asked for before is not stored then.
    pub fn connected(&mut self, now: Time, epoch: Epoch) -> Option<Stored> {
        if self.epoch == Some(epoch) {
            return None;
        }
        // All that was acknowledged up to now has been taken over here, by whoever may serve.
        let is_whole = self.epoch.is_some() && now < self.usable_until;
        // A newcomer reads the ledger; for others, it begins with the epoch.
        self.applied = self.epoch.map(|_| 0);
        self.epoch = Some(epoch);
        self.epoch_since = now;
        self.promises.clear();
        self.seen.clear();
        for pending in &mut self.pending {
            pending.numbered = None;
        }
        Some(match is_whole {
            true => Stored::Kept,
            false => Stored::Validated,
        })
    }

    /// What the next heartbeat tells: what was taken over, and how many heartbeats there were with it. `None` while there is
    /// nothing to tell.
    pub fn beat(&mut self) -> Option<(Place, u64)> {
        let stamp = self.stamp()?;
        self.beats += 1;
        Some((stamp, self.beats))
    }

    /// A heartbeat was answered that was sent at `sent`.
    pub fn beaten(&mut self, sent: Time, answer: Beaten, timing: &Timing) {
        if self.epoch != Some(answer.epoch) {
            return;
        }
        if self.promises.len() == PROMISES {
            self.promises.pop();
        }
        self.promises.push((answer.sequence, sent));
        self.redeem(timing);
    }

    /// Takes up the heartbeats that tell of nothing that was not taken over.
    fn redeem(&mut self, timing: &Timing) {
        let applied = self.applied;
        let is_kept = |sequence: u64| applied.is_some_and(|applied| applied >= sequence);
        for (_, sent) in self.promises.iter().filter(|promise| is_kept(promise.0)) {
            let until = |span| sent + timing.shortened(span);
            self.usable_until = self.usable_until.max(until(timing.holds()));
            self.leased_until = self.leased_until.max(until(timing.lease));
            // A purge before the heartbeat does not wait for a gateway that was not known then.
            let registered = until(timing.holds() + timing.registered);
            self.registered_until = self.registered_until.max(registered);
        }
        self.promises.retain(|promise| !is_kept(promise.0));
    }

    /// Whether a delivered entry is the next one: it has to be taken over now, and then [`applied`](Self::applied) told. Others
    /// came before, or come too early and are read again.
    pub fn is_next(&self, entry: &Entry<M>) -> bool {
        self.epoch == Some(entry.epoch)
            && self
                .applied
                .is_some_and(|applied| applied + 1 == entry.number)
    }

    /// All invalidations up to `number` have been taken over: what they cover has left memory, fills that they cover bring nothing,
    /// and they are in the index and in the local ledger.
    pub fn applied(&mut self, number: u64, timing: &Timing) {
        self.applied = self.applied.max(Some(number));
        self.redeem(timing);
    }

    /// Whether a snapshot has to be taken over: then everything stored is judged by it.
    pub fn is_current(&self, snapshot: &Snapshot<M>) -> bool {
        self.epoch == Some(snapshot.epoch)
    }

    /// An invalidation was asked for here. What it covers leaves memory at once; it leaves it again when its number comes.
    pub fn purge(&mut self, id: u64, covers: M) {
        self.pending.push(Pending {
            id,
            covers,
            numbered: None,
        });
    }

    /// Invalidations that have to be sent to the server, with the epoch to name. One whose answer was lost is sent again.
    pub fn unsent(&self) -> impl Iterator<Item = (u64, Epoch, &M)> {
        let epoch = self.epoch.filter(|_| self.applied.is_some());
        let unsent = self.pending.iter().filter(|one| one.numbered.is_none());
        unsent.filter_map(move |one| Some((one.id, epoch?, &one.covers)))
    }

    /// The server has numbered an invalidation, and answered before `now`.
    pub fn purged(&mut self, now: Time, id: u64, answer: &Purged, timing: &Timing) {
        if self.epoch != Some(answer.epoch) {
            return;
        }
        self.saw(now, &answer.holders);
        // The server's clock may step, so it is not asked how long a lease still is.
        let until = |id: &GatewayId| {
            let since = self.seen.get(id).map_or(now, |seen| seen.since);
            since
                .saturating_add(timing.holds())
                .max(now.saturating_add(timing.asked))
        };
        let holders = answer
            .holders
            .iter()
            .map(|(id, _)| (*id, until(id)))
            .collect();
        let unknown_until = match answer.is_settled {
            true => now,
            false => self.epoch_since.saturating_add(timing.unknown()),
        };
        let one = self.pending.iter_mut().find(|one| one.id == id);
        if let Some(one) = one.filter(|one| one.numbered.is_none()) {
            one.numbered = Some(Numbered {
                place: Place {
                    epoch: answer.epoch,
                    number: answer.number,
                },
                holders,
                unknown_until,
            });
        }
    }

    /// The server told of these gateways and their heartbeats, before `now`.
    pub fn saw(&mut self, now: Time, members: &[(GatewayId, u64)]) {
        self.seen
            .retain(|id, _| members.iter().any(|(member, _)| member == id));
        for (id, beats) in members {
            let seen = Seen {
                beats: *beats,
                since: now,
            };
            let before = self.seen.entry(*id).or_insert(seen);
            if before.beats != *beats {
                *before = seen;
            }
        }
    }

    /// Gateways to be swept: they have not been heard for long, and know it.
    pub fn silent(&self, now: Time, timing: &Timing) -> impl Iterator<Item = (GatewayId, u64)> {
        let span = timing.holds() + timing.registered;
        let silent = self.seen.iter();
        let silent = silent.filter(move |(_, seen)| now >= seen.since.saturating_add(span));
        silent.map(|(id, seen)| (*id, seen.beats))
    }

    /// The epoch, once it is to be told that it is [settled](super::server::Server::settle).
    pub fn settled(&self, now: Time, timing: &Timing) -> Option<Epoch> {
        let until = self.epoch_since.saturating_add(timing.unknown());
        self.epoch.filter(|_| now >= until)
    }

    /// Invalidations whose progress is to be asked for, once they are taken over here.
    pub fn unheard(&self) -> impl Iterator<Item = (u64, Place)> {
        let numbered = self.pending.iter();
        let numbered = numbered.filter_map(|one| Some((one.id, one.numbered.as_ref()?.place)));
        numbered.filter(|(_, place)| self.applied >= Some(place.number))
    }

    /// The server told, when asked at `sent`, how far an invalidation has come; `is_replicated`: so many replicas took that
    /// question's write that no other server can have taken this one's place before. Where everybody has taken it over, or does
    /// not serve, it is acknowledged by this, once.
    pub fn heard(
        &mut self,
        sent: Time,
        id: u64,
        answer: &Heard,
        is_replicated: bool,
    ) -> Option<Place> {
        let at = self.pending.iter().position(|one| one.id == id)?;
        let numbered = self.pending[at].numbered.as_ref()?;
        let place = numbered.place;
        let is_over = |(holder, until): &(GatewayId, Time)| {
            *until <= sent || *holder == self.id || !answer.missing.contains(holder)
        };
        let is_heard = is_replicated
            && place.epoch == answer.epoch
            && self.epoch == Some(place.epoch)
            && self.applied >= Some(place.number)
            && numbered.unknown_until <= sent
            && numbered.holders.iter().all(is_over);
        is_heard.then(|| {
            self.pending.remove(at);
            place
        })
    }

    /// What stored responses may be used for. `now` was read after the request came: a process that was stopped in between must
    /// not go by an old clock.
    pub fn may_use(&self, now: Time, timing: &Timing) -> Use {
        if now < self.usable_until {
            return Use::AsTheyAre;
        }
        match now < self.registered_until {
            true => Use::AskedSince((now + 1).saturating_sub(timing.shortened(timing.asked))),
            false => Use::AskedNow,
        }
    }

    /// Invalidations that the server is known to have, and that are not taken over yet.
    pub fn behind(&self) -> u64 {
        let known = self.promises.iter().map(|(number, _)| *number).max();
        let applied = self.applied.unwrap_or_default();
        known.unwrap_or_default().saturating_sub(applied)
    }

    /// Whether an invalidation that was asked for here has not been taken over in its place yet: what it covers may still be read from
    /// the shared tier.
    pub fn has_unapplied(&self) -> bool {
        let is_unapplied = |one: &Pending<M>| {
            let numbered = one.numbered.as_ref();
            numbered.is_none_or(|numbered| self.applied < Some(numbered.place.number))
        };
        self.pending.iter().any(is_unapplied)
    }

    /// Until when stored responses may be used [as they are](Use::AsTheyAre).
    pub fn usable_until(&self) -> Time {
        self.usable_until
    }

    /// Whether responses of the shared tier may be used: where all has been taken over that was acknowledged.
    pub fn may_read_shared(&self, now: Time) -> bool {
        now < self.leased_until
    }

    /// The stamp for a response whose request is sent after this call. `None` while nothing may be stored.
    pub fn stamp(&self) -> Option<Place> {
        let (epoch, number) = (self.epoch?, self.applied?);
        Some(Place { epoch, number })
    }

    /// Whether what is in memory is at least as recent as a receipt asks; else the request has to be validated upstream.
    pub fn answers(&self, receipt: Place) -> bool {
        self.epoch == Some(receipt.epoch) && self.applied >= Some(receipt.number)
    }
}

/// What a script answered: anything, or that its epoch is over.
pub type Answer<T> = Result<T, WrongEpoch>;
