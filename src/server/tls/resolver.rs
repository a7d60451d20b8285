//! Chooses the certificate of a handshake.

use std::collections::HashMap;
use std::sync::Arc;

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{SignatureAlgorithm, SignatureScheme};

use super::issued::Issued;
use crate::config::Acme;
use crate::config::certificate::Identity;

/// The certificates of a listener by the host that the client names (SNI, RFC 6066 §3): its exact name in a file, then the one
/// that an authority issues for it, then a wildcard for its first label (RFC 6125 §6.4.3), else the first certificate. Of
/// several for one name, an ECDSA key goes before RSA, where the client can use it: its signatures cost a tenth.
#[derive(Debug)]
pub(super) struct Resolver {
    by_name: HashMap<Box<str>, Vec<Arc<CertifiedKey>>>,
    default: Vec<Arc<CertifiedKey>>,
    acme: Option<(Arc<Acme>, Arc<Issued>)>,
}

impl Resolver {
    pub fn new(identities: Vec<Identity>, acme: Option<(Arc<Acme>, Arc<Issued>)>) -> Self {
        let mut by_name: HashMap<Box<str>, Vec<_>> = HashMap::new();
        let mut default = Vec::new();
        let first: Vec<String> = identities
            .first()
            .map(|first| first.names.clone())
            .unwrap_or_default();
        for identity in identities {
            // Another certificate for the same names stands beside the first: it may have another kind of key.
            if default.is_empty() || identity.names == first {
                put(&mut default, &identity.key);
            }
            for name in identity.names {
                put(by_name.entry(name.into()).or_default(), &identity.key);
            }
        }
        Self {
            by_name,
            default,
            acme,
        }
    }

    /// `None` where there is no certificate: for a host whose certificate is yet to be issued, none of another name is shown.
    pub fn select(
        &self,
        host: Option<&str>,
        schemes: &[SignatureScheme],
    ) -> Option<Arc<CertifiedKey>> {
        let usable = |keys: &[Arc<CertifiedKey>]| {
            let mut usable = keys.iter();
            let usable = usable.find(|key| key.key.choose_scheme(schemes).is_some());
            // Without a scheme in common the library names the error.
            usable.or(keys.first()).cloned()
        };
        if let Some(host) = host {
            let host = host.to_ascii_lowercase();
            if let Some(keys) = self.by_name.get(host.as_str()) {
                return usable(keys);
            }
            let awaited = self
                .acme
                .as_ref()
                .filter(|(acme, _)| acme.domains.iter().any(|name| **name == *host));
            if let Some((_, issued)) = awaited
                && let Some(certificate) = issued.find(&host)
            {
                return Some(certificate.identity.key.clone());
            }
            let parent = host.split_once('.').map(|(_, parent)| parent);
            let wildcard =
                parent.and_then(|parent| self.by_name.get(format!("*.{parent}").as_str()));
            if awaited.is_some() || wildcard.is_some() {
                return wildcard.and_then(|keys| usable(keys));
            }
        }
        let first_issued = || {
            let (acme, issued) = self.acme.as_ref()?;
            let (_, certificate) = issued.of(&acme.domains).next()?;
            Some(certificate.identity.key.clone())
        };
        usable(&self.default).or_else(first_issued)
    }
}

/// Adds `key`: those with ECDSA or EdDSA before those with RSA, otherwise in the order of the file.
fn put(keys: &mut Vec<Arc<CertifiedKey>>, key: &Arc<CertifiedKey>) {
    let is_rsa = |key: &CertifiedKey| key.key.algorithm() == SignatureAlgorithm::RSA;
    let at = match is_rsa(key) {
        true => keys.len(),
        false => keys
            .iter()
            .position(|key| is_rsa(key))
            .unwrap_or(keys.len()),
    };
    keys.insert(at, key.clone());
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.select(hello.server_name(), hello.signature_schemes())
    }
}
