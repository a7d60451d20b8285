//! A fleet of gateways, their server and the API behind, as a model. There is one resource, key 0, whose version each write
//! raises by one; and another key, which is purged only, so that the ledger has something to forget.
//!
//! Times are relative: all clocks stand at [`NOW`], and when time passes, what is remembered moves into the past. So states that
//! differ only in the date are the same. Messages that are repeated or come in another order are refused by the machine at once, which
//! is asserted at each delivery; those that are lost or late are actions of their own, or actions that wait.

use super::search::Model;
use crate::ledger::protocol::gateway::{Gateway, Place, Stored, Use};
use crate::ledger::protocol::server::{Beaten, Limits, Server, Snapshot};
use crate::ledger::protocol::timing::{Time, Timing};

const NOW: Time = 50;
/// What is longer ago makes no difference.
const LONG_AGO: Time = NOW - 9;

const RESOURCE: u8 = 0;
const OTHER: u8 = 1;

/// How much happens at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Bounds {
    pub gateways: usize,
    pub writes: u8,
    /// Purges of the other key.
    pub others: u8,
    /// Entries that the log keeps.
    pub log: usize,
    /// The first so many gateways write and purge.
    pub writers: usize,
    /// The first so many gateways serve nobody: they only write and purge.
    pub idle: usize,
    /// Whether anything is asked for upstream, beside what is stored at first.
    pub fills: bool,
    /// Whether writers look after the others' heartbeats.
    pub watches: bool,
    /// Messages and connections that are lost.
    pub losses: u8,
    /// Answers to heartbeats that come late.
    pub late: u8,
    /// Processes that are killed; what they had stored is on their disks.
    pub restarts: u8,
    pub failovers: u8,
    /// Ticks that a gateway's clock misses.
    pub slow: u8,
    /// The server that was replaced goes on for a while.
    pub lingers: bool,
    pub shared_tier: bool,
    pub timing: Timing,
}

impl Bounds {
    pub const fn small() -> Self {
        Self {
            gateways: 2,
            writes: 1,
            others: 0,
            log: 1,
            writers: 1,
            idle: 1,
            fills: true,
            watches: true,
            losses: 0,
            late: 0,
            restarts: 0,
            failovers: 0,
            slow: 0,
            lingers: false,
            shared_tier: false,
            timing: Timing {
                lease: 2,
                deaf: 0,
                asked: 2,
                registered: 1,
                replaced: 1,
                drift: 100,
            },
        }
    }
}

/// What the gateways do wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Sabotage {
    /// The stamp is taken when the response has come.
    StampAtResponse,
    /// A purge is acknowledged once the server has it.
    NoWait,
    /// What the ledger has forgotten does not count.
    NoFloor,
    /// A server that has lost something goes on in the same epoch.
    NoEpoch,
    /// A gateway serves until its lease ends by its own clock.
    NoMargin,
    /// A gateway serves without a lease.
    NoLease,
    /// A lease counts from when the heartbeat is answered.
    LeaseFromAnswer,
    /// A heartbeat allows to serve although it tells of what was not taken over.
    LeaseUnapplied,
    /// A purge is acknowledged by the purger's own clock, without another word with the server.
    NoConfirmation,
    /// The answer of a server that was replaced is believed.
    NoReplication,
    /// Leases that another server gave are not waited for.
    NoUnknown,
    /// What is stored is kept in a new epoch, lease or not.
    KeptAfterLapse,
    /// A fill goes on into a new epoch.
    FillIntoEpoch,
    /// A validation is good for a while, however long nobody has heard of the gateway.
    AskedForever,
    /// The server counts heartbeats, and begins anew when it has forgotten a gateway.
    BeatsCountedAnew,
    /// A gateway counts as known before it has taken over what its heartbeat told of.
    RegisteredUnapplied,
    /// A gateway that serves on although it cannot hear is waited for as one that validates.
    NoDeafSpan,
    /// A gateway's own purge is not taken over again once it has its number.
    OwnNotAgain,
    /// The clock is read before the request comes.
    OldClock,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Record {
    version: u8,
    place: Place,
    /// When it was asked for, by the gateway's clock.
    asked: Time,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Fill {
    place: Place,
    asked: Time,
    version: Option<u8>,
    is_doomed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Connection {
    None,
    Current,
    /// To the server that was replaced.
    Old,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Node {
    machine: Gateway<u8>,
    connection: Connection,
    /// The latest number of each key, in the machine's epoch.
    index: [u64; 2],
    floor: u64,
    stored: Option<Record>,
    fill: Option<Fill>,
    /// A heartbeat that the server has answered: when it was sent, and the answer.
    beat: Option<(Time, Beaten)>,
    /// When it last read the clock, for one that uses an old reading.
    clock: Time,
}

/// A server, and the response in its shared tier.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Host {
    server: Server<u8>,
    run_id: u64,
    shared: Option<Record>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Fleet {
    sabotage: Option<Sabotage>,
    /// What is left of them.
    bounds: Bounds,
    version: u8,
    current: Host,
    /// The server that was replaced, and for how long it goes on.
    old: Option<(Host, Time)>,
    nodes: Vec<Node>,
    /// Nothing older may be served.
    acknowledged: u8,
    /// The latest receipt of a write, and its version.
    receipt: Option<(Place, u8)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Tick,
    TickWithout(usize),
    Connect(usize),
    Disconnect(usize),
    Beat(usize),
    BeatAnsweredLate(usize),
    BeatAnswered(usize),
    Deliver(usize),
    FillBegins(usize),
    FillAnswered(usize),
    FillEnds(usize),
    ReadShared(usize),
    Write(usize),
    PurgeOther(usize),
    Watch(usize),
    PurgeSent(usize),
    PurgeSentAnswerLost(usize),
    Heard(usize),
    Restart(usize),
    Failover,
}

fn pass(time: &mut Time) {
    *time = (*time).max(LONG_AGO + 1) - 1;
}

impl Node {
    fn new(id: u64) -> Self {
        Self {
            machine: Gateway::new(id),
            connection: Connection::None,
            index: [0; 2],
            floor: 0,
            stored: None,
            fill: None,
            beat: None,
            clock: NOW,
        }
    }

    /// A moment passes by this gateway's clock.
    fn tick(&mut self) {
        let machine = &mut self.machine;
        pass(&mut machine.usable_until);
        pass(&mut machine.leased_until);
        pass(&mut machine.registered_until);
        pass(&mut machine.epoch_since);
        machine
            .seen
            .values_mut()
            .for_each(|seen| pass(&mut seen.since));
        machine.promises.iter_mut().for_each(|(_, sent)| pass(sent));
        for numbered in machine
            .pending
            .iter_mut()
            .filter_map(|one| one.numbered.as_mut())
        {
            pass(&mut numbered.unknown_until);
            numbered
                .holders
                .iter_mut()
                .for_each(|(_, until)| pass(until));
        }
        self.stored
            .iter_mut()
            .for_each(|stored| pass(&mut stored.asked));
        self.fill.iter_mut().for_each(|fill| pass(&mut fill.asked));
        self.beat.iter_mut().for_each(|(sent, _)| pass(sent));
        pass(&mut self.clock);
    }

    /// Times that make no difference any more are all the same.
    fn forget(&mut self, timing: &Timing, sabotage: Option<Sabotage>) {
        if sabotage != Some(Sabotage::OldClock) {
            self.clock = NOW;
        }
        let first = match sabotage {
            Some(Sabotage::OldClock) => self.clock,
            _ => NOW,
        };
        let end = |time: &mut Time| {
            if *time <= first {
                *time = LONG_AGO;
            }
        };
        let machine = &mut self.machine;
        end(&mut machine.usable_until);
        end(&mut machine.leased_until);
        end(&mut machine.registered_until);
        let longest = timing.holds() + timing.registered;
        if machine.epoch_since + timing.unknown() <= NOW {
            machine.epoch_since = LONG_AGO;
        }
        for seen in machine
            .seen
            .values_mut()
            .filter(|seen| seen.since + longest <= NOW)
        {
            seen.since = LONG_AGO;
        }
        machine.promises.retain(|(_, sent)| sent + longest > first);
        for numbered in machine
            .pending
            .iter_mut()
            .filter_map(|one| one.numbered.as_mut())
        {
            end(&mut numbered.unknown_until);
            numbered
                .holders
                .iter_mut()
                .for_each(|(_, until)| end(until));
        }
        let asked = |time: &mut Time| {
            if *time + timing.asked <= first {
                *time = LONG_AGO;
            }
        };
        self.stored
            .iter_mut()
            .for_each(|stored| asked(&mut stored.asked));
        self.fill.iter_mut().for_each(|fill| asked(&mut fill.asked));
    }

    fn disconnect(&mut self) {
        self.connection = Connection::None;
        self.beat = None;
    }

    /// Whether what was stored at `place` may be used, as far as it is known here.
    fn is_valid(&self, place: Place, sabotage: Option<Sabotage>) -> bool {
        let is_remembered = place.number >= self.floor || sabotage == Some(Sabotage::NoFloor);
        self.machine.stamp().map(|stamp| stamp.epoch) == Some(place.epoch)
            && self.index[RESOURCE as usize] <= place.number
            && is_remembered
    }

    fn judge_stored(&mut self, sabotage: Option<Sabotage>) {
        self.stored = self
            .stored
            .filter(|stored| self.is_valid(stored.place, sabotage));
    }

    /// What a client would get now without a request upstream.
    fn served(&self, timing: &Timing, sabotage: Option<Sabotage>) -> Option<u8> {
        let stored = self.stored?;
        let now = match sabotage {
            Some(Sabotage::OldClock) => self.clock,
            _ => NOW,
        };
        let may_use = match sabotage {
            Some(Sabotage::NoLease) => Use::AsTheyAre,
            Some(Sabotage::AskedForever) if self.machine.epoch.is_some() => {
                match self.machine.may_use(now, timing) {
                    Use::AskedNow => Use::AskedSince(now + 1 - timing.shortened(timing.asked)),
                    may_use => may_use,
                }
            }
            _ => self.machine.may_use(now, timing),
        };
        let is_used = match may_use {
            Use::AsTheyAre => true,
            Use::AskedSince(since) => stored.asked >= since,
            Use::AskedNow => false,
        };
        is_used.then_some(stored.version)
    }
}

impl Fleet {
    pub fn new(bounds: Bounds, sabotage: Option<Sabotage>) -> Self {
        let mut bounds = bounds;
        if sabotage == Some(Sabotage::NoMargin) {
            bounds.timing.drift = 0;
        }
        let limits = Limits {
            log: bounds.log,
            ledger: 1,
        };
        let mut fleet = Self {
            sabotage,
            bounds,
            version: 0,
            current: Host {
                server: Server::new(limits),
                run_id: 1,
                shared: None,
            },
            old: None,
            nodes: (0..bounds.gateways as u64).map(Node::new).collect(),
            acknowledged: 0,
            receipt: None,
        };
        // It has run for a while.
        for at in 0..bounds.gateways {
            let begun = [Action::Connect(at), Action::Deliver(at), Action::Beat(at)];
            let filled = [
                Action::FillBegins(at),
                Action::FillAnswered(at),
                Action::FillEnds(at),
            ];
            let serves = at >= bounds.idle;
            let does = |action: &Action| {
                serves || !matches!(action, Action::Beat(_) | Action::FillBegins(_))
            };
            for action in begun.into_iter().chain(filled).filter(does) {
                fleet = fleet.after(action).unwrap_or(fleet);
            }
        }
        for _ in 0..bounds.timing.unknown() {
            fleet.tick(None);
        }
        fleet = fleet.after(Action::Watch(0)).unwrap_or(fleet);
        for at in bounds.idle..bounds.gateways {
            fleet = fleet.after(Action::Beat(at)).unwrap_or(fleet);
        }
        fleet
    }

    fn is(&self, sabotage: Sabotage) -> bool {
        self.sabotage == Some(sabotage)
    }

    fn host(&mut self, at: usize) -> Option<&mut Host> {
        match self.nodes[at].connection {
            Connection::None => None,
            Connection::Current => Some(&mut self.current),
            Connection::Old => self.old.as_mut().map(|(host, _)| host),
        }
    }

    fn tick(&mut self, without: Option<usize>) {
        for (at, node) in self.nodes.iter_mut().enumerate() {
            if without != Some(at) {
                node.tick();
            }
        }
        if let Some((_, left)) = &mut self.old {
            *left -= 1;
            if *left == 0 {
                self.end_old();
            }
        }
    }

    fn end_old(&mut self) {
        self.old = None;
        let nodes = self.nodes.iter_mut();
        nodes
            .filter(|node| node.connection == Connection::Old)
            .for_each(Node::disconnect);
    }

    fn forget(&mut self) {
        let (timing, sabotage) = (self.bounds.timing, self.sabotage);
        for node in &mut self.nodes {
            node.forget(&timing, sabotage);
        }
        // How many heartbeats there were makes no difference, but whether the latest one has been seen.
        let old = self.old.as_mut().map(|(host, _)| host);
        for host in [Some(&mut self.current), old].into_iter().flatten() {
            let epoch = host.server.control.map(|control| control.epoch);
            for (id, member) in &mut host.server.members {
                for node in self
                    .nodes
                    .iter_mut()
                    .filter(|node| node.machine.epoch == epoch)
                {
                    match node.machine.seen.get_mut(id) {
                        Some(seen) if seen.beats == member.beats => seen.beats = 1,
                        _ => drop(node.machine.seen.remove(id)),
                    }
                }
                member.beats = 1;
            }
        }
    }

    fn connect(&mut self, at: usize) {
        let host = &mut self.current;
        // A server's run is the name of its epoch, since no epoch begins otherwise.
        let run_id = match self.sabotage {
            Some(Sabotage::NoEpoch) => 1,
            _ => host.run_id,
        };
        let before = host.server.control;
        let epoch = host.server.connect(run_id, run_id);
        if before.is_none_or(|before| before.epoch != epoch) {
            host.shared = None;
        }
        let node = &mut self.nodes[at];
        node.disconnect();
        node.connection = Connection::Current;
        let is_newcomer = node.machine.epoch.is_none();
        let Some(stored) = node.machine.connected(NOW, epoch) else {
            return;
        };
        node.index = [0; 2];
        node.floor = 0;
        if is_newcomer {
            // What is on its disk is judged by the ledger, which it reads first.
            node.stored = node.stored.filter(|stored| stored.place.epoch == epoch);
            return;
        }
        let place = Place { epoch, number: 0 };
        node.stored = match stored {
            Stored::Validated if self.sabotage != Some(Sabotage::KeptAfterLapse) => None,
            _ => node.stored.map(|stored| Record { place, ..stored }),
        };
        if self.sabotage == Some(Sabotage::FillIntoEpoch) {
            node.fill = node.fill.map(|fill| Fill { place, ..fill });
        }
    }

    /// The next entry of the log, or all of the ledger, comes to a gateway.
    fn deliver(&mut self, at: usize) -> Option<()> {
        let (sabotage, timing) = (self.sabotage, self.bounds.timing);
        let elsewhere = self.old.iter().flat_map(|(host, _)| host.server.log.iter());
        let mut others: Vec<_> = elsewhere.chain(&self.current.server.log).cloned().collect();
        let epoch = self.nodes[at].machine.epoch?;
        let applied = self.nodes[at].machine.applied;
        let server = &mut self.host(at)?.server;
        let entries = match applied {
            Some(applied) => server.read(epoch, applied).ok()?,
            None => None,
        };
        match entries {
            None => {
                let snapshot = server.snapshot(epoch).ok()?;
                self.nodes[at].take_over(&snapshot, sabotage, &timing);
            }
            Some(entries) => {
                let entry = entries.first()?;
                let node = &mut self.nodes[at];
                assert!(node.machine.is_next(entry));
                others.retain(|other| other != entry);
                assert!(
                    !others.iter().any(|other| node.machine.is_next(other)),
                    "{others:?}"
                );
                node.index[entry.covers as usize] = entry.number;
                node.machine.applied(entry.number, &timing);
                let is_own = node.machine.pending.iter().any(|one| {
                    let numbered = one.numbered.as_ref();
                    numbered.is_some_and(|numbered| numbered.place.number == entry.number)
                });
                if !(is_own && sabotage == Some(Sabotage::OwnNotAgain)) {
                    node.judge_stored(sabotage);
                }
            }
        }
        Some(())
    }

    fn beat(&mut self, at: usize) -> Option<()> {
        let id = at as u64;
        // The count goes on from what anybody has seen: see `forget`.
        let seen = self
            .nodes
            .iter()
            .filter_map(|node| node.machine.seen.get(&id));
        let seen = seen.map(|seen| seen.beats).max().unwrap_or_default();
        let known = self
            .host(at)?
            .server
            .members
            .get(&id)
            .map_or(0, |member| member.beats);
        self.nodes[at].machine.beats = match self.sabotage {
            Some(Sabotage::BeatsCountedAnew) => known,
            _ => known.max(seen),
        };
        let beat = self.nodes[at].machine.beat();
        self.nodes[at].machine.beats = 0;
        let (place, beats) = beat?;
        let answer = self
            .host(at)?
            .server
            .beat(id, place.epoch, place.number, beats);
        match answer {
            Ok(answer) => self.nodes[at].beat = Some((NOW, answer)),
            Err(_) => self.nodes[at].disconnect(),
        }
        Some(())
    }

    fn beat_answered(&mut self, at: usize) -> Option<()> {
        let (mut sent, mut answer) = self.nodes[at].beat.take()?;
        if self.is(Sabotage::LeaseFromAnswer) {
            sent = NOW;
        }
        if self.is(Sabotage::LeaseUnapplied) {
            answer.sequence = 0;
        }
        let timing = self.bounds.timing;
        let machine = &mut self.nodes[at].machine;
        machine.beaten(sent, answer, &timing);
        if self.sabotage == Some(Sabotage::RegisteredUnapplied) {
            let until = sent + timing.shortened(timing.holds() + timing.registered);
            machine.registered_until = machine.registered_until.max(until);
        }
        Some(())
    }

    fn fill_begins(&mut self, at: usize) -> Option<()> {
        let (timing, sabotage) = (self.bounds.timing, self.sabotage);
        let node = &mut self.nodes[at];
        // Nobody asks upstream while there is something to be served.
        if node.fill.is_some() || node.served(&timing, sabotage).is_some() {
            return None;
        }
        node.fill = Some(Fill {
            place: node.machine.stamp()?,
            asked: NOW,
            version: None,
            is_doomed: false,
        });
        Some(())
    }

    fn fill_answered(&mut self, at: usize) -> Option<()> {
        let version = self.version;
        let node = &mut self.nodes[at];
        let fill = node.fill.as_mut().filter(|fill| fill.version.is_none())?;
        fill.version = Some(version);
        Some(())
    }

    fn fill_ends(&mut self, at: usize) -> Option<()> {
        let sabotage = self.sabotage;
        let node = &mut self.nodes[at];
        let fill = node.fill.filter(|fill| fill.version.is_some())?;
        node.fill = None;
        let record = Record {
            version: fill.version?,
            place: match sabotage {
                Some(Sabotage::StampAtResponse) => node.machine.stamp()?,
                _ => fill.place,
            },
            asked: fill.asked,
        };
        if !fill.is_doomed && node.is_valid(record.place, sabotage) {
            node.stored = Some(record);
        }
        if self.bounds.shared_tier
            && let Some(host) = self.host(at)
            && host.server.control.map(|control| control.epoch) == Some(record.place.epoch)
            && host
                .shared
                .is_none_or(|shared| shared.place.number <= record.place.number)
        {
            host.shared = Some(Record {
                asked: LONG_AGO,
                ..record
            });
        }
        Some(())
    }

    fn read_shared(&mut self, at: usize) -> Option<()> {
        let sabotage = self.sabotage;
        let shared = self.host(at)?.shared?;
        let node = &mut self.nodes[at];
        let may_read = node.machine.may_read_shared(NOW) && node.stored.is_none();
        if !may_read || !node.is_valid(shared.place, sabotage) {
            return None;
        }
        node.stored = Some(shared);
        Some(())
    }

    fn purge(&mut self, at: usize, covers: u8) {
        let id = u64::from(self.version) + 10 * u64::from(self.bounds.others);
        let node = &mut self.nodes[at];
        if covers == RESOURCE {
            node.stored = None;
            node.fill.iter_mut().for_each(|fill| fill.is_doomed = true);
        }
        node.machine.purge(id * 2 + u64::from(covers), covers);
    }

    fn purge_sent(&mut self, at: usize, is_heard: bool) -> Option<()> {
        let (id, epoch, covers) = self.nodes[at].machine.unsent().next()?;
        let covers = *covers;
        let timing = match self.sabotage {
            Some(Sabotage::NoDeafSpan) => Timing {
                deaf: 0,
                ..self.bounds.timing
            },
            _ => self.bounds.timing,
        };
        let answer = self.host(at)?.server.purge(epoch, &covers);
        match answer {
            Ok(mut answer) if is_heard => {
                if self.is(Sabotage::NoWait) {
                    answer.holders.clear();
                }
                answer.is_settled |= self.is(Sabotage::NoWait) || self.is(Sabotage::NoUnknown);
                self.nodes[at].machine.purged(NOW, id, &answer, &timing);
            }
            Ok(_) => {}
            Err(_) => self.nodes[at].disconnect(),
        }
        Some(())
    }

    /// What a gateway does now and then for the fleet.
    fn watch(&mut self, at: usize) -> Option<()> {
        let timing = self.bounds.timing;
        let epoch = self.nodes[at].machine.epoch?;
        let machine = self.nodes[at].machine.clone();
        let server = &mut self.host(at)?.server;
        for (id, beats) in machine.silent(NOW, &timing) {
            server.sweep(epoch, id, beats).ok()?;
        }
        if let Some(epoch) = machine.settled(NOW, &timing) {
            server.settle(epoch).ok()?;
        }
        let members = server.members(epoch).ok()?;
        self.nodes[at].machine.saw(NOW, &members);
        Some(())
    }

    fn heard(&mut self, at: usize) -> Option<()> {
        let (id, place) = self.nodes[at].machine.unheard().next()?;
        let covers = self.nodes[at]
            .machine
            .pending
            .iter()
            .find(|one| one.id == id)?
            .covers;
        let is_replicated = match self.sabotage {
            Some(Sabotage::NoReplication) => true,
            _ => self.nodes[at].connection == Connection::Current,
        };
        let heard = match self
            .host(at)
            .map(|host| host.server.heard(place.epoch, place.number))
        {
            Some(Ok(heard)) if is_replicated => heard,
            _ if self.is(Sabotage::NoConfirmation) => crate::ledger::protocol::server::Heard {
                epoch: place.epoch,
                missing: (0..self.nodes.len() as u64).collect(),
            },
            _ => return None,
        };
        // Where nothing is acknowledged by it, nothing changes.
        self.nodes[at].machine.heard(NOW, id, &heard, true)?;
        if covers == RESOURCE {
            let version = u8::try_from(id / 2 % 10).ok()?;
            if version >= self.acknowledged {
                self.acknowledged = version;
                self.receipt = Some((place, version));
            }
        }
        Some(())
    }

    fn restart(&mut self, at: usize) {
        let stored = self.nodes[at].stored.map(|stored| Record {
            asked: LONG_AGO,
            ..stored
        });
        self.nodes[at] = Node {
            stored,
            ..Node::new(at as u64)
        };
    }

    fn failover(&mut self) {
        let old = self.current.clone();
        self.current.run_id += 1;
        // Its latest write had not come to the one that takes its place.
        let server = &mut self.current.server;
        if let Some(lost) = server.log.pop_back() {
            server.ledger.retain(|_, number| *number < lost.number);
            if let Some(control) = &mut server.control {
                control.sequence -= 1;
            }
        }
        for node in &mut self.nodes {
            match node.connection {
                Connection::Current if self.bounds.lingers => node.connection = Connection::Old,
                _ => node.disconnect(),
            }
        }
        self.old = self
            .bounds
            .lingers
            .then_some((old, self.bounds.timing.replaced));
    }

    /// The network is whole again, and nothing more happens than what the gateways do by themselves. Whether every purge is
    /// acknowledged then.
    pub fn settles(&self) -> bool {
        let mut fleet = self.clone();
        for _ in 0..24 {
            for at in 0..fleet.nodes.len() {
                if fleet.nodes[at].connection != Connection::Current {
                    fleet.connect(at);
                }
                // Each may have nothing to do.
                let _ = fleet.beat(at);
                let _ = fleet.beat_answered(at);
                while fleet.purge_sent(at, true).is_some() {}
            }
            for at in 0..fleet.nodes.len() {
                while fleet.deliver(at).is_some() {
                    if fleet.nodes[at].machine.applied.is_some()
                        && fleet.nodes[at].machine.applied
                            == fleet.current.server.control.map(|control| control.sequence)
                    {
                        break;
                    }
                }
                let _ = fleet.beat(at);
                let _ = fleet.beat_answered(at);
            }
            for at in 0..fleet.nodes.len() {
                let _ = fleet.watch(at);
                while fleet.heard(at).is_some() {}
            }
            fleet.tick(None);
        }
        fleet
            .nodes
            .iter()
            .all(|node| node.machine.pending.is_empty())
    }
}

impl Node {
    fn take_over(&mut self, snapshot: &Snapshot<u8>, sabotage: Option<Sabotage>, timing: &Timing) {
        assert!(self.machine.is_current(snapshot));
        self.index = [0; 2];
        for (covers, number) in &snapshot.ledger {
            self.index[*covers as usize] = *number;
        }
        self.floor = snapshot.floor;
        self.machine.applied(snapshot.sequence, timing);
        self.judge_stored(sabotage);
    }
}

impl Model for Fleet {
    type Action = Action;

    fn actions(&self) -> Vec<Action> {
        let mut actions = vec![Action::Tick];
        let bounds = &self.bounds;
        for (at, node) in self.nodes.iter().enumerate() {
            let mut add = |may: bool, action| {
                if may {
                    actions.push(action);
                }
            };
            let is_connected = node.connection != Connection::None;
            let has_unsent = node.machine.unsent().next().is_some();
            add(bounds.slow > 0, Action::TickWithout(at));
            add(node.connection != Connection::Current, Action::Connect(at));
            add(is_connected && bounds.losses > 0, Action::Disconnect(at));
            let serves = at >= bounds.idle;
            let is_silent = is_connected && serves && node.beat.is_none();
            add(is_silent, Action::Beat(at));
            add(is_silent && bounds.late > 0, Action::BeatAnsweredLate(at));
            add(node.beat.is_some(), Action::BeatAnswered(at));
            add(is_connected, Action::Deliver(at));
            add(
                node.fill.is_none() && serves && bounds.fills,
                Action::FillBegins(at),
            );
            add(node.fill.is_some(), Action::FillAnswered(at));
            add(node.fill.is_some(), Action::FillEnds(at));
            add(
                is_connected && serves && bounds.shared_tier,
                Action::ReadShared(at),
            );
            add(bounds.writes > 0 && at < bounds.writers, Action::Write(at));
            add(
                bounds.others > 0 && at < bounds.writers,
                Action::PurgeOther(at),
            );
            add(is_connected && has_unsent, Action::PurgeSent(at));
            add(
                is_connected && has_unsent && bounds.losses > 0,
                Action::PurgeSentAnswerLost(at),
            );
            add(!node.machine.pending.is_empty(), Action::Heard(at));
            add(bounds.restarts > 0 && serves, Action::Restart(at));
            let watches = bounds.watches && at < bounds.writers;
            add(is_connected && watches, Action::Watch(at));
        }
        if bounds.failovers > 0 && self.current.server.control.is_some() {
            actions.push(Action::Failover);
        }
        actions
    }

    fn after(&self, action: Action) -> Option<Self> {
        let mut fleet = self.clone();
        match action {
            Action::Tick => fleet.tick(None),
            Action::TickWithout(at) => {
                fleet.bounds.slow -= 1;
                fleet.tick(Some(at));
            }
            Action::Connect(at) => fleet.connect(at),
            Action::Disconnect(at) => {
                fleet.bounds.losses -= 1;
                fleet.nodes[at].disconnect();
            }
            Action::Beat(at) => {
                fleet.beat(at)?;
                // A gateway of another epoch is disconnected by it.
                let _ = fleet.beat_answered(at);
            }
            Action::BeatAnsweredLate(at) => {
                fleet.bounds.late -= 1;
                fleet.beat(at)?;
            }
            Action::BeatAnswered(at) => fleet.beat_answered(at)?,
            Action::Deliver(at) => fleet.deliver(at)?,
            Action::FillBegins(at) => fleet.fill_begins(at)?,
            Action::FillAnswered(at) => fleet.fill_answered(at)?,
            Action::FillEnds(at) => fleet.fill_ends(at)?,
            Action::ReadShared(at) => fleet.read_shared(at)?,
            Action::Write(at) => {
                fleet.bounds.writes -= 1;
                fleet.version += 1;
                fleet.purge(at, RESOURCE);
            }
            Action::PurgeOther(at) => {
                fleet.bounds.others -= 1;
                fleet.purge(at, OTHER);
            }
            Action::Watch(at) => fleet.watch(at)?,
            Action::PurgeSent(at) => fleet.purge_sent(at, true)?,
            Action::PurgeSentAnswerLost(at) => {
                fleet.bounds.losses -= 1;
                fleet.purge_sent(at, false)?;
            }
            Action::Heard(at) => fleet.heard(at)?,
            Action::Restart(at) => {
                fleet.bounds.restarts -= 1;
                fleet.restart(at);
            }
            Action::Failover => {
                fleet.bounds.failovers -= 1;
                fleet.failover();
            }
        }
        let at = match action {
            Action::Beat(at) | Action::FillEnds(at) | Action::Deliver(at) => Some(at),
            _ => None,
        };
        if let Some(at) = at.filter(|_| fleet.is(Sabotage::OldClock)) {
            fleet.nodes[at].clock = NOW;
        }
        fleet.forget();
        (fleet != *self).then_some(fleet)
    }

    fn fault(&self) -> Option<String> {
        for (at, node) in self.nodes.iter().enumerate() {
            let timing = &self.bounds.timing;
            if let Some(version) = node.served(timing, self.sabotage)
                && version < self.acknowledged
            {
                return Some(format!(
                    "gateway {at} serves version {version} after {} was acknowledged",
                    self.acknowledged
                ));
            }
            if let (Some((receipt, version)), Some(stored)) = (self.receipt, node.stored)
                && node.machine.answers(receipt)
                && stored.place.epoch == receipt.epoch
                && stored.version < version
            {
                return Some(format!(
                    "gateway {at} holds version {} for a receipt of {version}",
                    stored.version
                ));
            }
        }
        None
    }
}
