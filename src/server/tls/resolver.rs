//! Chooses the certificate of a handshake.

use std::collections::HashMap;
use std::sync::Arc;

use rustls::SignatureAlgorithm;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::config::certificate::Identity;

/// The certificates of a listener by the host that the client names (SNI, RFC 6066 §3): its exact name first, then a
/// wildcard for its first label (RFC 6125 §6.4.3), else the first certificate of the file. Of several for one name, an
/// ECDSA key goes before RSA, where the client can use it: its signatures cost a tenth.
#[derive(Debug)]
pub(super) struct Resolver {
    by_name: HashMap<Box<str>, Vec<Arc<CertifiedKey>>>,
    default: Vec<Arc<CertifiedKey>>,
}

impl Resolver {
    pub fn new(identities: Vec<Identity>) -> Self {
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
        Self { by_name, default }
    }

    fn find(&self, host: Option<&str>) -> &[Arc<CertifiedKey>] {
        let Some(host) = host else {
            return &self.default;
        };
        let host = host.to_ascii_lowercase();
        let wildcard = || {
            let (_, parent) = host.split_once('.')?;
            self.by_name.get(format!("*.{parent}").as_str())
        };
        let exact = self.by_name.get(host.as_str());
        exact.or_else(wildcard).unwrap_or(&self.default)
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
        let keys = self.find(hello.server_name());
        let schemes = hello.signature_schemes();
        let usable = keys
            .iter()
            .find(|key| key.key.choose_scheme(schemes).is_some());
        // Without a scheme in common the library names the error.
        usable.or(keys.first()).cloned()
    }
}
