//! What the server does for the ledger: its scripts as functions over its state. Each is carried out as a whole and touches one
//! slot. None reads the server's clock, which may step.

use std::collections::{BTreeMap, VecDeque};

/// A process of a gateway; another one after a restart.
pub type GatewayId = u64;

/// An incarnation of the ledger.
pub type Epoch = u64;

/// A matcher's place in the order: its number, and what it covers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Entry<M> {
    pub epoch: Epoch,
    pub number: u64,
    pub covers: M,
}

/// A gateway, as the server knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Member {
    /// The highest number that it has taken over.
    pub applied: u64,
    /// How many heartbeats it has sent, by its own count: that is never the same again, although the gateway was swept meanwhile.
    pub beats: u64,
}

/// The ledger's state, beside the ledger itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Control {
    pub epoch: Epoch,
    /// The server's own name for its run, in which the epoch began.
    pub run_id: u64,
    pub sequence: u64,
    /// The highest number that was trimmed from the ledger.
    pub floor: u64,
    /// No gateway may serve any more of which this server knows nothing.
    pub is_settled: bool,
}

/// How much is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Limits {
    /// Entries of the log, by which invalidations are delivered.
    pub log: usize,
    /// Matchers of the ledger, for those that the log does not tell all.
    pub ledger: usize,
}

/// The keys of one namespace, as far as the ledger goes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Server<M> {
    pub limits: Limits,
    /// `None` where there was none, or all was lost.
    pub control: Option<Control>,
    pub log: VecDeque<Entry<M>>,
    pub ledger: BTreeMap<M, u64>,
    pub members: BTreeMap<GatewayId, Member>,
}

/// The epoch that was named is not the server's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct WrongEpoch;

/// The answer to a heartbeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Beaten {
    pub epoch: Epoch,
    pub sequence: u64,
}

/// The answer to a purge.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Purged {
    pub epoch: Epoch,
    pub number: u64,
    /// Gateways that may serve on without having taken it over, each with its heartbeats so far.
    pub holders: Vec<(GatewayId, u64)>,
    /// There are no others.
    pub is_settled: bool,
}

/// How far a purge has come.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Heard {
    pub epoch: Epoch,
    /// Members that have not taken it over.
    pub missing: Vec<GatewayId>,
}

/// All that the ledger remembers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Snapshot<M> {
    pub epoch: Epoch,
    pub sequence: u64,
    pub floor: u64,
    pub ledger: Vec<(M, u64)>,
}

impl<M: Clone + Ord> Server<M> {
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            control: None,
            log: VecDeque::new(),
            ledger: BTreeMap::new(),
            members: BTreeMap::new(),
        }
    }

    /// A gateway has connected, to a server that gives its run this name. In another run than that in which the epoch began,
    /// something may have been lost: `new` is the epoch then. Gives the epoch in force.
    pub fn connect(&mut self, run_id: u64, new: Epoch) -> Epoch {
        match self.control {
            Some(control) if control.run_id == run_id => control.epoch,
            _ => {
                *self = Self::new(self.limits);
                self.control = Some(Control {
                    epoch: new,
                    run_id,
                    sequence: 0,
                    floor: 0,
                    is_settled: false,
                });
                new
            }
        }
    }

    fn control(&mut self, epoch: Epoch) -> Result<&mut Control, WrongEpoch> {
        let control = self.control.as_mut().ok_or(WrongEpoch)?;
        match control.epoch == epoch {
            true => Ok(control),
            false => Err(WrongEpoch),
        }
    }

    /// A gateway's heartbeat, the one of this number: it may serve for a while, once it has taken over all that the answer tells of.
    pub fn beat(
        &mut self,
        id: GatewayId,
        epoch: Epoch,
        applied: u64,
        beats: u64,
    ) -> Result<Beaten, WrongEpoch> {
        let sequence = self.control(epoch)?.sequence;
        let member = self.members.entry(id).or_insert(Member { applied, beats });
        // One that was delayed takes nothing back.
        member.applied = member.applied.max(applied);
        member.beats = member.beats.max(beats);
        Ok(Beaten { epoch, sequence })
    }

    /// The gateways, each with its heartbeats so far.
    pub fn members(&mut self, epoch: Epoch) -> Result<Vec<(GatewayId, u64)>, WrongEpoch> {
        self.control(epoch)?;
        let members = self.members.iter();
        Ok(members.map(|(id, member)| (*id, member.beats)).collect())
    }

    /// Forgets a gateway whose heartbeats have not gone on from this one for long.
    pub fn sweep(&mut self, epoch: Epoch, id: GatewayId, beats: u64) -> Result<(), WrongEpoch> {
        self.control(epoch)?;
        let is_same = |member: &Member| member.beats == beats;
        if self.members.get(&id).is_some_and(is_same) {
            self.members.remove(&id);
        }
        Ok(())
    }

    /// The epoch is so old that all gateways which heard another server before have stopped to serve, or are known here.
    pub fn settle(&mut self, epoch: Epoch) -> Result<(), WrongEpoch> {
        self.control(epoch)?.is_settled = true;
        Ok(())
    }

    /// Appends an invalidation.
    pub fn purge(&mut self, epoch: Epoch, covers: &M) -> Result<Purged, WrongEpoch> {
        let control = self.control(epoch)?;
        control.sequence += 1;
        let (number, is_settled) = (control.sequence, control.is_settled);
        self.log.push_back(Entry {
            epoch,
            number,
            covers: covers.clone(),
        });
        while self.log.len() > self.limits.log {
            self.log.pop_front();
        }
        self.ledger.insert(covers.clone(), number);
        self.trim();
        Ok(Purged {
            epoch,
            number,
            holders: self.members(epoch)?,
            is_settled,
        })
    }

    /// How far a purge has come. To be carried out as a write that is replicated: a server that has been replaced must not
    /// answer it.
    pub fn heard(&mut self, epoch: Epoch, number: u64) -> Result<Heard, WrongEpoch> {
        self.control(epoch)?;
        let missing = self.members.iter();
        let missing = missing.filter(|(_, member)| member.applied < number);
        Ok(Heard {
            epoch,
            missing: missing.map(|(id, _)| *id).collect(),
        })
    }

    /// The invalidations after `applied`; `None` where the log does not go back so far, and a [`snapshot`](Self::snapshot)
    /// is needed.
    pub fn read(
        &mut self,
        epoch: Epoch,
        applied: u64,
    ) -> Result<Option<Vec<Entry<M>>>, WrongEpoch> {
        let sequence = self.control(epoch)?.sequence;
        let later = self.log.iter().filter(|entry| entry.number > applied);
        let later: Vec<_> = later.cloned().collect();
        let is_whole = later.len() as u64 == sequence.saturating_sub(applied);
        Ok(is_whole.then_some(later))
    }

    /// All that the ledger remembers.
    pub fn snapshot(&mut self, epoch: Epoch) -> Result<Snapshot<M>, WrongEpoch> {
        let control = *self.control(epoch)?;
        let ledger = self.ledger.iter();
        Ok(Snapshot {
            epoch,
            sequence: control.sequence,
            floor: control.floor,
            ledger: ledger
                .map(|(covers, number)| (covers.clone(), *number))
                .collect(),
        })
    }

    fn trim(&mut self) {
        while self.ledger.len() > self.limits.ledger {
            let Some((_, number)) = self.ledger.iter().min_by_key(|(_, number)| **number) else {
                return;
            };
            let number = *number;
            self.ledger.retain(|_, other| *other > number);
            if let Some(control) = &mut self.control {
                control.floor = control.floor.max(number);
            }
        }
    }
}
