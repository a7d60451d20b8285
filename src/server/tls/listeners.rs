//! The TLS of listeners, whose settings are replaced while connections come.

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use http::HeaderValue;
use rustls::pki_types::CertificateDer;

use super::issued::{Issued, Wanted};
use super::settings::{InUse, Settings};
use super::tickets::{TicketKeys, Tickets};
use crate::clock::Clock;
use crate::config::certificate::Fault;
use crate::config::listener;
use crate::config::{Acme, ListenAddr};
use crate::config::{Listener, Server};
use crate::semantics::structured::byte_sequence;
use crate::server::terms::Terms;

/// The TLS of one listener. Workers share it.
pub(in crate::server) struct Tls {
    pub(super) current: ArcSwap<Settings>,
    /// Kept when the settings are replaced, and by a successor: clients resume their sessions.
    pub(super) tickets: Arc<Tickets>,
    /// What the watch over the files has seen.
    pub(super) seen: Mutex<Seen>,
    pub(super) issued: Arc<Issued>,
    /// Of the addresses that it is for.
    terms: Mutex<Vec<Arc<Terms>>>,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}

impl Tls {
    /// With the ticket keys of the process before, where there was one.
    pub fn new(
        config: &listener::Tls,
        keys: Option<TicketKeys>,
        issued: &Arc<Issued>,
    ) -> Result<Arc<Self>, Fault> {
        let tickets = Tickets::new(keys, Clock::system())
            .map_err(|_| rustls::Error::FailedToGetRandomBytes)?;
        let settings = Settings::new(config, &tickets, issued)?;
        if let Some(acme) = &config.acme {
            issued.read_stored(acme);
        }
        Ok(Arc::new(Self {
            current: ArcSwap::from_pointee(settings),
            tickets,
            seen: Mutex::default(),
            issued: issued.clone(),
            terms: Mutex::default(),
        }))
    }

    /// `terms` are those of one of its addresses: they change when it demands something else of clients.
    pub fn belongs_to(&self, terms: Arc<Terms>) {
        let mut all = self.terms.lock().unwrap_or_else(PoisonError::into_inner);
        all.push(terms);
    }

    /// Whether it demands the same of clients as `other`.
    pub fn demands_as(&self, other: &Self) -> bool {
        self.current.load().demands == other.current.load().demands
    }

    pub(super) fn put_in_force(&self, settings: Arc<Settings>) {
        let demands = settings.demands;
        let before = self.current.swap(settings);
        if before.demands != demands {
            let all = self.terms.lock().unwrap_or_else(PoisonError::into_inner);
            all.iter().for_each(|terms| terms.change_tls());
        }
    }

    /// Client-Cert (RFC 9440 §2.2) for a client that has shown this certificate, where the API is told it.
    pub fn client_cert(&self, shown: Option<&CertificateDer<'_>>) -> Option<HeaderValue> {
        let is_told = self.current.load().source.client_cert_field;
        let shown = shown.filter(|_| is_told)?;
        HeaderValue::from_str(&byte_sequence(shown)).ok()
    }

    /// Strict-Transport-Security, where responses have it.
    pub fn hsts(&self) -> Option<HeaderValue> {
        self.current.load().hsts.clone()
    }
}

/// The digest of the files at the last look, and the one that could not be used.
#[derive(Clone, Copy, Default)]
pub(super) struct Seen {
    pub last: Option<blake3::Hash>,
    pub refused: Option<blake3::Hash>,
}

/// The TLS of all listeners, for those who replace or watch it. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct TlsListeners {
    pub(super) all: Arc<ArcSwap<Secured>>,
    issued: Arc<Issued>,
}

/// The TLS of each listener that has it, by the addresses in its configuration.
pub(in crate::server) type Secured = Vec<(Vec<ListenAddr>, Arc<Tls>)>;

impl TlsListeners {
    pub(in crate::server) fn new(listeners: Secured, issued: Arc<Issued>) -> Self {
        Self {
            all: Arc::new(ArcSwap::from_pointee(listeners)),
            issued,
        }
    }

    pub(in crate::server) fn shared_issued(&self) -> &Arc<Issued> {
        &self.issued
    }

    /// Puts those of other listeners in the place of these.
    pub(in crate::server) fn replace(&self, listeners: Secured) {
        self.all.store(Arc::new(listeners));
        self.changed();
    }

    /// Certificates are wanted, or not any more.
    fn changed(&self) {
        for acme in self.authorities() {
            self.issued.read_stored(&acme);
        }
        self.issued.keep_only(&self.wanted());
        self.issued.wants_change.notify_one();
    }

    /// Puts the TLS settings of `config` in force for connections that come from now on. Listeners of other addresses stay
    /// as they are.
    ///
    /// # Errors
    /// When a file cannot be used: then no listener is changed.
    pub fn reload(&self, config: &Server) -> Result<(), Fault> {
        self.prepare(config)?.put_in_force();
        Ok(())
    }

    /// Makes the same ready, and changes nothing yet.
    ///
    /// # Errors
    /// When a file cannot be used.
    pub fn prepare(&self, config: &Server) -> Result<PreparedTls, Fault> {
        let mut replaced = Vec::new();
        for (addrs, tls) in self.all.load().iter() {
            let same = |listener: &&Listener| listener.listen == *addrs;
            if let Some(new) = config.listeners.iter().find(same)
                && let Some(new) = &new.tls
            {
                let settings = Settings::new(new, &tls.tickets, &self.issued)?;
                replaced.push((tls.clone(), Arc::new(settings)));
            }
        }
        Ok(PreparedTls {
            listeners: self.clone(),
            replaced,
        })
    }

    /// The ticket keys of each listener, for a successor.
    pub(in crate::server) fn ticket_keys(&self) -> Vec<(Vec<ListenAddr>, TicketKeys)> {
        let listeners = self.all.load();
        let keys = listeners
            .iter()
            .map(|(addrs, tls)| (addrs.clone(), tls.tickets.keys()));
        keys.collect()
    }

    /// The certificates of all listeners; each file once.
    pub fn certificates(&self) -> Vec<InUse> {
        let mut all: Vec<InUse> = Vec::new();
        let mut add = |certificate: InUse| {
            if !all.contains(&certificate) {
                all.push(certificate);
            }
        };
        for (_, tls) in self.all.load().iter() {
            let current = tls.current.load();
            current.certificates.iter().cloned().for_each(&mut add);
            let acme = current.source.acme.iter();
            let issued = acme.flat_map(|acme| self.issued.of(&acme.domains));
            for (_, certificate) in issued {
                add(InUse {
                    file: certificate.file.display().to_string(),
                    not_after: certificate.identity.not_after,
                    is_renewed: true,
                });
            }
        }
        all
    }

    fn authorities(&self) -> Vec<Arc<Acme>> {
        let each = self.all.load();
        each.iter()
            .filter_map(|(_, tls)| tls.current.load().source.acme.clone())
            .collect()
    }

    /// The certificates that are to be issued, one for each name.
    pub fn wanted(&self) -> Vec<Wanted> {
        let mut all: Vec<Wanted> = Vec::new();
        for acme in self.authorities() {
            for name in &acme.domains {
                if !all.iter().any(|wanted| wanted.name == *name) {
                    all.push(Wanted {
                        name: name.clone(),
                        acme: acme.clone(),
                    });
                }
            }
        }
        all
    }

    /// The names that have none of those yet.
    pub fn missing(&self) -> Vec<Box<str>> {
        let wanted = self.wanted().into_iter();
        wanted
            .filter(|wanted| self.issued.find(&wanted.name).is_none())
            .map(|wanted| wanted.name)
            .collect()
    }

    /// What the client that has them issued shares with handshakes.
    pub fn issued(&self) -> &Arc<Issued> {
        &self.issued
    }
}

/// TLS settings that can be used, and are not in force yet.
#[must_use = "they are not in force yet"]
pub struct PreparedTls {
    listeners: TlsListeners,
    replaced: Vec<(Arc<Tls>, Arc<Settings>)>,
}

impl PreparedTls {
    /// For connections that come from now on.
    pub fn put_in_force(self) {
        for (tls, settings) in self.replaced {
            tls.put_in_force(settings);
        }
        self.listeners.changed();
    }
}
