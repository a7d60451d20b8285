//! The settings of a listener's TLS, made from files.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use http::HeaderValue;
use rustls::pki_types::CertificateRevocationListDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::version::{TLS12, TLS13};
use rustls::{RootCertStore, ServerConfig};

use super::issued::Issued;
use super::resolver::Resolver;
use super::tickets::Tickets;
use crate::config::certificate::{Fault, certificates};
use crate::config::listener::{Tls as Config, Version};

/// A certificate that is in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InUse {
    /// The path of its file.
    pub file: String,
    /// When it expires, in seconds since 1970.
    pub not_after: i64,
    /// An authority issues another before that.
    pub is_renewed: bool,
}

/// One version of the configuration and its files.
pub(super) struct Settings {
    pub config: Arc<ServerConfig>,
    pub resolver: Arc<Resolver>,
    /// Those of files.
    pub certificates: Vec<InUse>,
    /// Strict-Transport-Security (RFC 6797).
    pub hsts: Option<HeaderValue>,
    /// The configuration, to be read again when the files change.
    pub source: Config,
    /// A digest of all its files.
    pub fingerprint: blake3::Hash,
    /// The same of what it demands of clients: their certificates, and how they speak.
    pub demands: blake3::Hash,
}

impl Settings {
    pub fn new(
        source: &Config,
        tickets: &Arc<Tickets>,
        issued: &Arc<Issued>,
    ) -> Result<Self, Fault> {
        // Read before the files are: a change in between is seen at the next look.
        let fingerprint = fingerprint(source);
        let demands = demands(source);
        let identities = source.certificates.iter();
        let identities = identities.map(|certificate| certificate.read());
        let identities = identities.collect::<Result<Vec<_>, _>>()?;
        let in_use = source.certificates.iter().zip(&identities);
        let in_use = in_use.map(|(certificate, identity)| InUse {
            file: certificate.cert.display().to_string(),
            not_after: identity.not_after,
            is_renewed: false,
        });
        let certificates = in_use.collect();
        // The provider is named, so that no other crate's choice of features can make it ambiguous.
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let versions: &[_] = match source.min_version {
            Version::Tls12 => &[&TLS13, &TLS12],
            Version::Tls13 => &[&TLS13],
        };
        let builder =
            ServerConfig::builder_with_provider(provider).with_protocol_versions(versions)?;
        let acme = source.acme.clone().map(|acme| (acme, issued.clone()));
        let resolver = Arc::new(Resolver::new(identities, acme));
        let mut config = match client_verifier(source)? {
            Some(verifier) => builder.with_client_cert_verifier(verifier),
            None => builder.with_no_client_auth(),
        }
        .with_cert_resolver(resolver.clone());
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        // Tickets need no memory here, and any worker can resume them.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        if source.client_ca.is_some() {
            // A resumed session would bring back a client's certificate without a look whether it is still valid.
            config.send_tls13_tickets = 0;
        } else {
            config.ticketer = tickets.clone();
        }
        Ok(Self {
            config: Arc::new(config),
            resolver,
            certificates,
            hsts: source.hsts.and_then(|max_age| {
                HeaderValue::from_str(&format!("max-age={}", max_age.as_secs())).ok()
            }),
            source: source.clone(),
            fingerprint,
            demands,
        })
    }
}

/// `None` where clients need no certificate.
fn client_verifier(source: &Config) -> Result<Option<Arc<dyn ClientCertVerifier>>, Fault> {
    let Some(file) = &source.client_ca else {
        return Ok(None);
    };
    let fault = |what: String| Fault {
        file: file.clone(),
        what,
    };
    let mut roots = RootCertStore::empty();
    for certificate in certificates(file)? {
        roots
            .add(certificate)
            .map_err(|error| fault(error.to_string()))?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    if let Some(crl) = &source.client_crl {
        let lists = CertificateRevocationListDer::pem_file_iter(crl).and_then(Iterator::collect);
        let lists: Vec<_> = lists.map_err(|error| Fault {
            file: crl.clone(),
            what: error.to_string(),
        })?;
        builder = builder.with_crls(lists).only_check_end_entity_revocation();
    }
    if source.client_optional {
        builder = builder.allow_unauthenticated();
    }
    let verifier = builder.build().map_err(|error| fault(error.to_string()))?;
    Ok(Some(verifier))
}

pub(super) fn files(source: &Config) -> impl Iterator<Item = &PathBuf> {
    let pairs = source.certificates.iter();
    pairs
        .flat_map(|certificate| [&certificate.cert, &certificate.key])
        .chain(&source.client_ca)
        .chain(&source.client_crl)
}

/// A digest of the content of all files; of one that cannot be read, of that fact.
pub(super) fn fingerprint(source: &Config) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new();
    add_content(&mut hasher, files(source));
    hasher.finalize()
}

fn demands(source: &Config) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new();
    for file in [&source.client_ca, &source.client_crl] {
        hasher.update(&[u8::from(file.is_some())]);
        add_content(&mut hasher, file);
    }
    let is_tls13 = source.min_version == Version::Tls13;
    let flags = [source.client_optional, source.client_cert_field, is_tls13];
    hasher.update(&flags.map(u8::from));
    hasher.finalize()
}

fn add_content<'a>(hasher: &mut blake3::Hasher, files: impl IntoIterator<Item = &'a PathBuf>) {
    for file in files {
        let content = fs::read(file).unwrap_or_default();
        hasher.update(&content.len().to_le_bytes()).update(&content);
    }
}
