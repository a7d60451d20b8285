//! A new configuration for a server that runs: its listeners, and the limits and deadlines of its connections.
//!
//! The new listeners take the sockets of those before by their addresses, as a successor does: no queue is closed. Workers
//! accept from the new ones before they stop to accept from the old ones. Connections that are open go on, but for those whose
//! listener has other terms now (`terms`).

use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::mpsc;

use super::error::Error;
use super::inherited::Inherited;
use super::listen::{Bound, Listeners, SharedListeners};
use super::listening::Ownership;
use super::tls::{PreparedTls, Secured, TlsListeners};
use crate::config::{self, Listener};

/// The new configuration for one worker.
#[derive(Debug)]
pub(super) struct Renewal {
    pub config: Arc<config::Server>,
    /// `None`: they stay.
    pub listeners: Option<Vec<Bound>>,
}

/// Renews the configuration of a server.
#[derive(Clone, Debug)]
pub struct Renewer {
    pub(super) listeners: SharedListeners,
    pub(super) tls: TlsListeners,
    pub(super) config: Arc<ArcSwap<config::Server>>,
    /// What the log says of an address that is new.
    pub(super) announcement: &'static str,
    /// By worker.
    pub(super) workers: Arc<[mpsc::UnboundedSender<Renewal>]>,
}

/// A configuration that can be used, and is not in force yet.
#[must_use = "it is not in force yet"]
pub struct Prepared<'a> {
    renewer: &'a Renewer,
    config: Arc<config::Server>,
    change: Change,
}

enum Change {
    /// The addresses stay, and how their connections are treated, but for the settings of TLS.
    Tls(PreparedTls),
    Listeners {
        listeners: Listeners,
        secured: Secured,
        sets: Vec<Vec<Bound>>,
        owner: Ownership,
    },
}

impl Renewer {
    /// Makes `config` ready, binds what is new in it, and changes nothing yet.
    ///
    /// # Errors
    /// When an address cannot be bound, or a file of TLS cannot be used.
    pub fn prepare(&self, config: &config::Server) -> Result<Prepared<'_>, Error> {
        let before = self.config.load();
        let is_bound_alike = before.listen == config.listen
            && Listener::are_bound_alike(&before.listeners, &config.listeners);
        let current = self.listeners.lock();
        let change = if is_bound_alike || current.is_closed() {
            Change::Tls(self.tls.prepare(config).map_err(Error::Certificate)?)
        } else {
            let owner = Ownership::new(false);
            let offers = current.offers().map_err(Error::Start)?;
            let mut inherited = Inherited::from_own(offers, self.tls.ticket_keys(), &owner);
            let workers = self.workers.len();
            let (listeners, secured) =
                current.renewed(config, workers, &mut inherited, &self.tls)?;
            let sets = listeners.sets().map_err(Error::Start)?;
            Change::Listeners {
                listeners,
                secured,
                sets,
                owner,
            }
        };
        Ok(Prepared {
            renewer: self,
            config: Arc::new(config.clone()),
            change,
        })
    }
}

impl Prepared<'_> {
    /// For connections that come from now on; deadlines are those of open ones, too.
    pub fn put_in_force(self) {
        let Renewer {
            listeners: current,
            tls,
            workers,
            ..
        } = self.renewer;
        self.renewer.config.store(self.config.clone());
        let mut sets = match self.change {
            Change::Tls(tls) => {
                tls.put_in_force();
                Vec::new()
            }
            Change::Listeners {
                listeners,
                secured,
                sets,
                owner,
            } => {
                let mut current = current.lock();
                current.replace(listeners, self.renewer.announcement);
                owner.set(true);
                tls.replace(secured);
                sets
            }
        };
        // Each has its own set, the last one first.
        for worker in workers.iter().rev() {
            // A worker that has ended takes nothing.
            let _ = worker.send(Renewal {
                config: self.config.clone(),
                listeners: sets.pop(),
            });
        }
    }
}
