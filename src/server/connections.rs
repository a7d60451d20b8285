//! The connections of one worker: how they begin, what each tick does with them, how they end.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Interval, MissedTickBehavior};

use super::client_connections::{ClientConnections, Refused};
use super::connection;
use super::deadline::Deadlines;
use super::io::Io;
use super::listen::Treatment;
use super::opening;
use super::protocol::Protocols;
use super::registry::{Membership, Registry};
use super::service::Service;
use super::shared::WorkerShared;
use super::socket::Socket;
use super::state::State;
use super::terms;
use super::tls::Turns;
use crate::clock::Clock;
use crate::config;
use crate::proxy::{Peer, Share};
use crate::telemetry::counters::Counters;

/// The open connections of one worker, and what serves them. All of it stays on the worker's thread.
pub(super) struct Connections<S> {
    service: Rc<S>,
    clock: Clock,
    turns: Rc<Turns>,
    settings: RefCell<Settings>,
    pub shared: Rc<WorkerShared>,
    pub registry: Rc<Registry>,
    /// As many changes of listeners' terms have been looked at.
    terms_changes: Cell<u64>,
}

/// What follows from the configuration, until it is another.
struct Settings {
    protocols: Rc<Protocols>,
    deadlines: Deadlines,
    clients: ClientConnections,
}

impl Settings {
    fn new(config: &config::Server, clients: ClientConnections) -> Self {
        Self {
            protocols: Rc::new(Protocols::new(config)),
            deadlines: Deadlines::new(config),
            clients,
        }
    }
}

impl<S: Service> Connections<S> {
    /// None yet. Their deadlines pass by `clock`.
    pub fn new(
        service: Rc<S>,
        config: &config::Server,
        clock: Clock,
        counters: Arc<Counters>,
        clients: ClientConnections,
    ) -> Self {
        let shared = Rc::new(WorkerShared::new(counters));
        shared.now.set(clock.now().mono.as_millis());
        Self {
            service,
            settings: RefCell::new(Settings::new(config, clients)),
            turns: Rc::default(),
            clock,
            shared,
            registry: Rc::default(),
            terms_changes: Cell::new(terms::changes()),
        }
    }

    /// Connections that come from now on have the limits of `config`, and all have its deadlines.
    pub fn renew(&self, config: &config::Server) {
        let clients = self.settings.borrow().clients.renewed(config);
        self.settings.replace(Settings::new(config, clients));
    }

    /// Counts a connection that was accepted. `addr` is the client's, `None` behind a Unix socket. Fails when its client has
    /// as many as it may.
    pub fn admit(
        &self,
        socket: Socket,
        addr: Option<SocketAddr>,
        treatment: &Treatment,
    ) -> Result<Admitted, Refused> {
        let counters = &self.shared.counters;
        counters.connections_accepted.inc();
        let settings = self.settings.borrow();
        let peer = Peer::of(addr, socket.scheme());
        // Behind a balancer the client is known only when the connection has begun.
        let share = match treatment.balancers.is_empty() {
            true => settings.clients.admit(&peer, counters)?,
            false => None,
        };
        Ok(Admitted {
            socket,
            addr,
            peer,
            share,
        })
    }

    /// Serves a connection in a task of its own; `permit` is released when the connection ends.
    pub fn open(
        &self,
        admitted: Admitted,
        permit: Option<OwnedSemaphorePermit>,
        treatment: &Treatment,
    ) {
        let Admitted {
            socket,
            addr,
            mut peer,
            share,
        } = admitted;
        let state = Rc::new(State::new(self.shared.clone()));
        state.is_accepted_on(treatment.terms.accept());
        // A listener that is replaced still takes what was in its queue.
        state.check_terms();
        let counters = self.shared.counters.clone();
        counters.connections.add(1);
        let mut slot = Slot {
            _membership: self.registry.join(state.clone()),
            _permit: permit,
            share,
            counters,
        };
        peer.own_answers = treatment.own_answers();
        let settings = self.settings.borrow();
        let (service, protocols) = (self.service.clone(), settings.protocols.clone());
        match (socket, addr) {
            (Socket::Tcp(socket), Some(addr)) if treatment.precedes_http() => {
                let (treatment, turns) = (treatment.clone(), self.turns.clone());
                let clients = settings.clients.clone();
                tokio::task::spawn_local(async move {
                    // Boxed: its memory is freed before the connection speaks HTTP.
                    let opening = opening::open(socket, addr, &treatment, &state, &turns);
                    let opened = match Box::pin(opening).await {
                        Ok(Some(opened)) => opened,
                        Ok(None) => return,
                        Err(error) => {
                            tracing::debug!(peer = %addr, %error, "connection not opened");
                            return;
                        }
                    };
                    let scheme = opened.socket.scheme();
                    let mut peer = Peer::of(Some(opened.addr), scheme);
                    if !treatment.balancers.is_empty() {
                        match clients.admit(&peer, &slot.counters) {
                            Ok(share) => slot.share = share,
                            Err(Refused) => return,
                        }
                    }
                    peer.tls = opened.socket.tls_version();
                    peer.own_answers = treatment.own_answers();
                    peer.certificate = opened.certificate;
                    peer.hsts = treatment.tls.as_ref().and_then(|tls| tls.hsts());
                    let (io, peer) = (Io::new(opened.socket, state), Rc::new(peer));
                    let _slot = slot;
                    match opened.lacks_tls {
                        true => Box::pin(connection::demand_tls(io, peer, service)).await,
                        false => connection::serve(io, peer, service, protocols).await,
                    }
                });
            }
            (socket, _) => {
                let io = Io::new(socket, state);
                let serving = connection::serve(io, Rc::new(peer), service, protocols);
                tokio::task::spawn_local(async move {
                    let _slot = slot;
                    serving.await;
                });
            }
        }
    }

    /// The ticks at which [`Connections::tick`] is to be called.
    pub fn ticks(&self) -> Interval {
        let mut ticks = tokio::time::interval(self.settings.borrow().deadlines.tick());
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks
    }

    /// Whether these are the ticks of the settings in force.
    pub fn has_ticks(&self, ticks: &Interval) -> bool {
        ticks.period() == self.settings.borrow().deadlines.tick()
    }

    /// Sets the coarse clock, and compares each connection with its deadlines, and with its listener's terms where any have
    /// changed. Returns the coarse time, in milliseconds.
    pub fn tick(&self) -> u64 {
        let now = self.clock.now().mono.as_millis();
        self.shared.now.set(now);
        let counters = &self.shared.counters;
        let deadlines = self.settings.borrow().deadlines;
        self.registry.check_deadlines(&deadlines, counters);
        let changes = terms::changes();
        if self.terms_changes.replace(changes) != changes {
            self.registry.check_terms();
        }
        if self.shared.is_handed_over() {
            // Each looks whether it has been idle for long enough.
            self.registry.wake_all();
        }
        now
    }

    /// Completes when no connection is open, and nothing runs that none waits for.
    pub async fn drained(&self) {
        self.registry.wake_all();
        self.registry.emptied().await;
        self.service.drained().await;
    }

    /// Aborts all connections. Returns how many there were.
    pub async fn cut_off(&self) -> usize {
        let left = self.registry.len();
        self.registry.cut_off_all();
        self.registry.emptied().await;
        left
    }
}

/// A connection that may be served.
pub(super) struct Admitted {
    socket: Socket,
    addr: Option<SocketAddr>,
    peer: Peer,
    share: Option<Share>,
}

/// The places that a connection takes until it ends: its membership in the registry, one of the connections that the server
/// may have, and one of its client's.
struct Slot {
    _membership: Membership,
    _permit: Option<OwnedSemaphorePermit>,
    share: Option<Share>,
    counters: Arc<Counters>,
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.counters.connections.sub(1);
    }
}
