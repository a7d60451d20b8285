//! A gateway's part in the fleet: what its machine of the protocol wants is done over the connections, and what the server answers
//! is told to it.
//!
//! [`Member::run`] has four tasks: it keeps the connection, reads the log, deletes what is dead, and talks with the server in rounds. A round begins with
//! each third of a lease, and at once when an invalidation is asked for or was taken over.

mod rounds;
mod shared;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Mutex as AsyncMutex, Notify, mpsc, oneshot};

use super::connection::Connection;
use super::ledger::{Covers, Ledger};
use super::wire;
use crate::clock::{Clock, Monotonic};
use crate::config::valkey_servers::Servers;
use crate::ledger::invalidation::{Invalidation, Matcher};
use crate::ledger::protocol::gateway::Gateway;
use crate::ledger::protocol::server::{Epoch, GatewayId};
use crate::ledger::protocol::timing::{Time, Timing};
use crate::tier::fleet::{
    Acknowledged, Announced, AnnouncedId, Counts, Lease, Memory, Place, Status, Use,
};

/// So many invalidations wait at most for the server to number them. With more, one of everything stands for those that come.
const MOST_PENDING: usize = 4_096;

/// So many targets wait at most for what is stored for them to be deleted.
const MOST_DEAD: usize = 4_096;

/// A target, of which what is stored in an epoch with a stamp below this number is dead.
type Dead = (Epoch, u64, String);

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
    lease: Arc<Lease>,
    state: Mutex<State>,
    /// A round is wanted.
    wanted: Notify,
    /// What is to be deleted, on its way.
    dead: (mpsc::Sender<Dead>, AsyncMutex<mpsc::Receiver<Dead>>),
    counters: Counters,
}

#[derive(Debug)]
struct State {
    machine: Gateway<Covers>,
    /// Invalidations of this gateway that are not acknowledged yet.
    announced: HashMap<AnnouncedId, Pending>,
    next: AnnouncedId,
    /// One of everything that has not been sent yet, and stands for those that come meanwhile.
    everything: Option<AnnouncedId>,
    /// Gateways that the server knew last.
    gateways: usize,
    /// How often the others were looked at.
    looks: u64,
    /// Gateways that serve for another time than this one when they cannot hear, and for how long.
    differing: Vec<(GatewayId, Time)>,
    /// It sends no heartbeat any more.
    has_left: bool,
}

/// An invalidation that is not acknowledged yet.
#[derive(Debug, Default)]
struct Pending {
    waiting: Vec<oneshot::Sender<Acknowledged>>,
    /// Gateways that were known when it got its number.
    holders: usize,
    /// Those of them that had not taken it over when the server was asked last.
    missing: Vec<GatewayId>,
}

#[derive(Debug, Default)]
struct Counters {
    applied: AtomicU64,
    acknowledged: AtomicU64,
    epochs: AtomicU64,
}

impl State {
    /// Acknowledges an invalidation to those who wait for that.
    fn acknowledge(&mut self, id: AnnouncedId, place: Place) {
        let Some(pending) = self.announced.remove(&id) else {
            return;
        };
        let acknowledged = Acknowledged {
            place,
            gateways: pending.holders,
            applied: pending.holders.saturating_sub(pending.missing.len()),
        };
        for waiting in pending.waiting {
            // Fails when nobody waits any more.
            let _ = waiting.send(acknowledged);
        }
    }
}

impl<M: Memory> Member<M> {
    /// Does not connect yet. Extends `lease` as far as stored responses may be used.
    pub fn new(settings: Settings, clock: Clock, memory: M, lease: Arc<Lease>) -> Self {
        let machine = Gateway::new(settings.id);
        let ledger = settings.ledger.clone();
        let (dead, to_delete) = mpsc::channel(MOST_DEAD);
        Self {
            connection: Connection::new(&settings.servers, ledger, settings.replicas),
            settings,
            clock,
            memory,
            lease,
            state: Mutex::new(State {
                machine,
                announced: HashMap::new(),
                next: 0,
                everything: None,
                gateways: 0,
                looks: 0,
                differing: Vec::new(),
                has_left: false,
            }),
            wanted: Notify::new(),
            dead: (dead, AsyncMutex::new(to_delete)),
            counters: Counters::default(),
        }
    }

    pub fn memory(&self) -> &M {
        &self.memory
    }

    #[cfg(test)]
    pub fn memory_mut(&mut self) -> &mut M {
        &mut self.memory
    }

    pub fn clock(&self) -> &Clock {
        &self.clock
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

    /// What stored responses may be used for at `now`, which was read after the request came.
    pub fn may_use(&self, now: Monotonic) -> Use {
        let timing = &self.settings.timing;
        self.state().machine.may_use(now.as_millis(), timing)
    }

    /// The stamp for a response whose request is sent after this call; `None` while nothing may be stored for others.
    pub fn stamp(&self) -> Option<Place> {
        self.state().machine.stamp()
    }

    /// How often the others were looked at.
    #[cfg(test)]
    pub fn looks(&self) -> u64 {
        self.state().looks
    }

    /// Those who wait for an acknowledgement, or did when it was announced.
    #[cfg(test)]
    pub fn waiting(&self) -> usize {
        let state = self.state();
        let waiting = state
            .announced
            .values()
            .map(|pending| pending.waiting.len());
        waiting.sum()
    }

    /// Whether what others have stored may be used at `now`, which was read after the request came.
    pub fn may_read(&self, now: Monotonic) -> bool {
        let state = self.state();
        state.machine.may_read_shared(now.as_millis()) && !state.machine.has_unapplied()
    }

    /// Whether what is in memory is at least as recent as a receipt asks.
    pub fn answers(&self, receipt: Place) -> bool {
        self.state().machine.answers(receipt)
    }

    /// Has all gateways carry out an invalidation that has been carried out here.
    pub fn announce(&self, invalidation: &Invalidation) -> Announced {
        let (send, acknowledged) = oneshot::channel();
        let id = {
            let state = &mut *self.state();
            let is_full = state.announced.len() >= MOST_PENDING;
            let id = match state.everything.filter(|_| is_full) {
                Some(everything) => everything,
                None => {
                    let id = state.next;
                    state.next += 1;
                    let covers = match is_full {
                        true => {
                            state.everything = Some(id);
                            wire::invalidation(&Invalidation::hard(vec![Matcher::All]))
                        }
                        false => wire::invalidation(invalidation),
                    };
                    state.machine.purge(id, covers);
                    id
                }
            };
            let waiting = &mut state.announced.entry(id).or_default().waiting;
            // Those who do not wait any more would gather while the server is away.
            waiting.retain(|waiting| !waiting.is_closed());
            waiting.push(send);
            id
        };
        self.wanted.notify_one();
        Announced {
            id,
            is_heard: self.connection.link().is_some(),
            acknowledged,
        }
    }

    /// The gateways that an announced invalidation still waits for, as far as is known.
    pub fn waits_for(&self, announced: AnnouncedId) -> Vec<GatewayId> {
        let state = self.state();
        let pending = state.announced.get(&announced);
        pending.map_or_else(Vec::new, |pending| pending.missing.clone())
    }

    pub fn status(&self) -> Status {
        let value = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let calls = self.connection.counters();
        let state = self.state();
        let usage = state.machine.may_use(self.now(), &self.settings.timing);
        Status {
            id: self.settings.id,
            is_connected: self.connection.link().is_some(),
            is_heard: usage == Use::AsTheyAre,
            behind: state.machine.behind(),
            place: state.machine.stamp(),
            is_settled: state
                .machine
                .settled(self.now(), &self.settings.timing)
                .is_some(),
            gateways: state.gateways,
            pending: state.announced.len(),
            deaf: self.settings.timing.deaf,
            differing: state.differing.clone(),
            counts: Counts {
                connected: value(&calls.connected),
                failed: value(&calls.failed),
                late: value(&calls.late),
                given_up: value(&calls.given_up),
                redirected: value(&calls.redirected),
                applied: value(&self.counters.applied),
                acknowledged: value(&self.counters.acknowledged),
                epochs: value(&self.counters.epochs),
            },
        }
    }

    /// Has the others not wait for this gateway any more, which must not serve from here on. [`run`](Self::run) goes on meanwhile.
    pub async fn leave(&self) {
        let latest = {
            let state = &mut *self.state();
            state.has_left = true;
            // The one after the latest heartbeat.
            state.machine.beat()
        };
        if let (Some(link), Some((place, next))) = (self.connection.link(), latest) {
            let (id, ledger) = (self.settings.id, &self.settings.ledger);
            let sweep = ledger.sweep(place.epoch, id, next.saturating_sub(1));
            // They wait until the lease has ended where it cannot be told.
            let _ = link.call(&sweep).await;
        }
    }

    /// Takes part in the fleet; it never ends. A gateway that does not run any more is waited for until its lease has ended.
    pub async fn run(&self) {
        tokio::join!(
            self.connection.keep(),
            self.talk(),
            self.listen(),
            self.delete_dead()
        );
    }
}
