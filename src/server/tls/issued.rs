//! Certificates that an authority has issued to the gateway, and the challenges before it did: the ACME client puts them
//! here, handshakes find them here.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::server::{ClientHello, NoServerSessionStorage};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use tokio::sync::Notify;

use crate::config::Acme;
use crate::config::certificate::{Fault, Identity};

/// The protocol that the authority names in a handshake for its challenge (RFC 8737 §4).
const ACME_TLS: &[u8] = b"acme-tls/1";

/// What the ACME client and the listeners with TLS share.
#[derive(Debug, Default)]
pub struct Issued {
    /// By name.
    certificates: ArcSwap<HashMap<Box<str>, Arc<IssuedCertificate>>>,
    /// The settings of a handshake that proves a name.
    challenges: Mutex<HashMap<Box<str>, Arc<ServerConfig>>>,
    /// Other certificates may be wanted since a reload.
    pub(super) wants_change: Notify,
    succeeded: AtomicU64,
    failed: AtomicU64,
}

/// A certificate that is to be issued.
#[derive(Clone, Debug)]
pub struct Wanted {
    pub name: Box<str>,
    pub acme: Arc<Acme>,
}

/// A certificate that an authority has issued.
#[derive(Debug)]
pub struct IssuedCertificate {
    pub identity: Identity,
    /// Where it is stored, or will be.
    pub file: PathBuf,
}

impl Issued {
    /// The certificate that an authority has issued for `name`.
    pub fn find(&self, name: &str) -> Option<Arc<IssuedCertificate>> {
        self.certificates.load().get(name).cloned()
    }

    /// Those that there are of `names`, in their order.
    pub(super) fn of<'a>(
        &self,
        names: &'a [Box<str>],
    ) -> impl Iterator<Item = (&'a str, Arc<IssuedCertificate>)> {
        let all = self.certificates.load_full();
        names
            .iter()
            .filter_map(move |name| Some((&**name, all.get(name)?.clone())))
    }

    /// Has handshakes for `name` show this certificate from now on.
    pub fn install(&self, name: &str, certificate: Arc<IssuedCertificate>) {
        self.certificates.rcu(|all| {
            let mut all = HashMap::clone(all);
            all.insert(name.into(), certificate.clone());
            all
        });
    }

    /// Reads the stored certificates that `acme` names. One that cannot be read leaves that in use which is there already.
    pub fn read_stored(&self, acme: &Acme) {
        for name in &acme.domains {
            let files = acme.certificate(name);
            let file = files.cert.clone();
            let identity = match files.read() {
                Ok(identity) if identity.names.iter().any(|of| **of == **name) => identity,
                Ok(_) => {
                    tracing::error!(file = %file.display(), name, "a stored certificate is for another name: not used");
                    continue;
                }
                Err(_) if matches!(file.metadata(), Err(error) if error.kind() == io::ErrorKind::NotFound) =>
                {
                    continue;
                }
                Err(fault) => {
                    tracing::error!(%fault, name, "a stored certificate cannot be used");
                    continue;
                }
            };
            // What could not be stored is in memory only.
            let is_later = |known: &IssuedCertificate| {
                known.file == file && known.identity.not_after >= identity.not_after
            };
            if !self.find(name).is_some_and(|known| is_later(&known)) {
                self.install(name, Arc::new(IssuedCertificate { identity, file }));
            }
        }
    }

    /// Forgets the certificates that are not wanted any more.
    pub(super) fn keep_only(&self, wanted: &[Wanted]) {
        self.certificates.rcu(|all| {
            let mut all = HashMap::clone(all);
            all.retain(|name, _| wanted.iter().any(|wanted| wanted.name == *name));
            all
        });
    }

    /// Completes when a reload may have changed what is wanted since this was waited for last.
    pub async fn wants_change(&self) {
        self.wants_change.notified().await;
    }

    /// Shows `key` in handshakes of the authority's for `name`, until the returned value is dropped (RFC 8737 §3).
    ///
    /// # Errors
    /// When the library cannot use the key.
    pub fn prove(
        self: &Arc<Self>,
        name: &str,
        key: CertifiedKey,
    ) -> Result<PublishedCertificate, Fault> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(key)));
        config.alpn_protocols = vec![ACME_TLS.to_vec()];
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        self.challenges(|all| all.insert(name.into(), Arc::new(config)));
        Ok(PublishedCertificate {
            issued: self.clone(),
            name: name.into(),
        })
    }

    /// The settings of the handshake that `hello` begins, where it is one of the authority's for a challenge in flight.
    pub(super) fn challenge(&self, hello: &ClientHello<'_>) -> Option<Arc<ServerConfig>> {
        let mut offered = hello.alpn()?;
        // RFC 8737 §3: the extension contains this protocol alone.
        if offered.next() != Some(ACME_TLS) || offered.next().is_some() {
            return None;
        }
        let name = hello.server_name()?.to_ascii_lowercase();
        self.challenges(|all| all.get(name.as_str()).cloned())
    }

    fn challenges<T>(&self, act: impl FnOnce(&mut HashMap<Box<str>, Arc<ServerConfig>>) -> T) -> T {
        act(&mut self
            .challenges
            .lock()
            .unwrap_or_else(PoisonError::into_inner))
    }

    /// Counts an attempt to have a certificate issued.
    pub fn count(&self, succeeded: bool) {
        let counter = match succeeded {
            true => &self.succeeded,
            false => &self.failed,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// How many attempts to have a certificate issued have succeeded and failed.
    pub fn counts(&self) -> [u64; 2] {
        [&self.succeeded, &self.failed].map(|count| count.load(Ordering::Relaxed))
    }
}

/// A challenge that handshakes answer until this is dropped.
#[derive(Debug)]
pub struct PublishedCertificate {
    issued: Arc<Issued>,
    name: Box<str>,
}

impl Drop for PublishedCertificate {
    fn drop(&mut self) {
        self.issued.challenges(|all| all.remove(&self.name));
    }
}
