//! The TLS of listeners, whose settings are replaced while connections come.

use std::sync::Arc;

use arc_swap::ArcSwap;
use http::HeaderValue;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::pki_types::CertificateDer;
use rustls::server::ProducesTickets;

use super::settings::{self, InUse, Settings};
use crate::config::ListenAddr;
use crate::config::certificate::Fault;
use crate::config::listener;
use crate::config::{Listener, Server};
use crate::semantics::structured::byte_sequence;

/// The TLS of one listener. Workers share it.
pub(in crate::server) struct Tls {
    pub(super) current: ArcSwap<Settings>,
    /// Kept when the settings are replaced: clients resume their sessions.
    pub(super) tickets: Arc<dyn ProducesTickets>,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}

impl Tls {
    pub fn new(config: &listener::Tls) -> Result<Arc<Self>, Fault> {
        let tickets = Ticketer::new().map_err(settings::unusable)?;
        let settings = Settings::new(config, &tickets)?;
        Ok(Arc::new(Self {
            current: ArcSwap::from_pointee(settings),
            tickets,
        }))
    }

    pub fn config(&self) -> Arc<ServerConfig> {
        self.current.load().config.clone()
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

/// The TLS of all listeners, for those who replace or watch it. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct TlsListeners(pub(super) Arc<[(Vec<ListenAddr>, Arc<Tls>)]>);

impl TlsListeners {
    pub(in crate::server) fn new(listeners: Vec<(Vec<ListenAddr>, Arc<Tls>)>) -> Self {
        Self(listeners.into())
    }

    /// Puts the TLS settings of `config` in force for connections that come from now on. Listeners of other addresses stay
    /// as they are.
    ///
    /// # Errors
    /// When a file cannot be used: then no listener is changed.
    pub fn reload(&self, config: &Server) -> Result<(), Fault> {
        let mut replaced = Vec::new();
        for (addrs, tls) in &*self.0 {
            let same = |listener: &&Listener| listener.listen == *addrs;
            if let Some(new) = config.listeners.iter().find(same)
                && let Some(new) = &new.tls
            {
                replaced.push((tls, Settings::new(new, &tls.tickets)?));
            }
        }
        for (tls, settings) in replaced {
            tls.current.store(Arc::new(settings));
        }
        Ok(())
    }

    /// The certificates of all listeners; each file once.
    pub fn certificates(&self) -> Vec<InUse> {
        let mut all: Vec<InUse> = Vec::new();
        for (_, tls) in &*self.0 {
            for certificate in &tls.current.load().certificates {
                if !all.contains(certificate) {
                    all.push(certificate.clone());
                }
            }
        }
        all
    }
}
