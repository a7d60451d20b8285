//! A certificate and its key, in two PEM files, as operators and ACME clients keep them.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer as _;

use super::readers::path;
use super::section::Section;
use super::value::Value;

/// The files of a certificate. Relative paths are relative to the folder that the gateway was started in.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Certificate {
    /// The certificate first, then those that lead to its authority (PEM).
    pub cert: PathBuf,
    /// Its private key (PEM: PKCS #8, PKCS #1 or SEC 1).
    pub key: PathBuf,
}

/// The content of a [`Certificate`]'s files.
#[derive(Clone, Debug)]
pub struct Identity {
    /// DNS names in lower case, a wildcard as `*.example.org`; empty where the certificate is for addresses only.
    pub names: Vec<String>,
    /// From when it is valid, in seconds since 1970.
    pub not_before: i64,
    /// When it expires, in seconds since 1970.
    pub not_after: i64,
    pub key: Arc<CertifiedKey>,
}

/// Why a certificate cannot be used. Its `Display` is a clause that follows the path of the file.
#[derive(Debug)]
pub struct Fault {
    pub file: PathBuf,
    pub what: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.file.display(), self.what)
    }
}

/// An error of the library's that no file is to blame for.
impl From<rustls::Error> for Fault {
    fn from(error: rustls::Error) -> Self {
        fault(Path::new("TLS"), error.to_string())
    }
}

impl Certificate {
    /// Reads both files.
    ///
    /// # Errors
    /// When a file cannot be read, holds something else, or the key is not the certificate's.
    pub fn read(&self) -> Result<Identity, Fault> {
        let chain = certificates(&self.cert)?;
        self.identity(chain, PrivateKeyDer::from_pem_file(&self.key))
    }

    /// Reads what is to be in the one file of both.
    ///
    /// # Errors
    /// Like [`Certificate::read`].
    pub fn parse(&self, pem: &[u8]) -> Result<Identity, Fault> {
        let chain = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
        let chain = chain.map_err(|error| fault(&self.cert, error.to_string()))?;
        self.identity(chain, PrivateKeyDer::from_pem_slice(pem))
    }

    fn identity(
        &self,
        chain: Vec<CertificateDer<'static>>,
        key: Result<PrivateKeyDer<'static>, pem::Error>,
    ) -> Result<Identity, Fault> {
        let (names, [not_before, not_after]) = chain
            .first()
            .and_then(|first| named(first))
            .ok_or_else(|| fault(&self.cert, "holds no certificate that can be read"))?;
        let key =
            key.map_err(|error| fault(&self.key, format!("holds no private key (PEM): {error}")))?;
        let key = any_supported_type(&key).map_err(|error| {
            fault(
                &self.key,
                format!("holds a key that cannot be used: {error}"),
            )
        })?;
        let key = CertifiedKey::new(chain, key);
        key.keys_match().map_err(|_| {
            let whose = format!(
                "is not the key of the certificate in {}",
                self.cert.display()
            );
            fault(&self.key, whose)
        })?;
        Ok(Identity {
            names,
            not_before,
            not_after,
            key: Arc::new(key),
        })
    }

    /// `{ cert = "…", key = "…" }`; its files are read once, so that a mistake shows before the gateway starts.
    pub(super) fn of(section: &mut Section<'_>) -> Option<Self> {
        let cert = section.value("cert").map(path);
        let key = section.value("key").map(path);
        let (Some(cert), Some(key)) = (cert, key) else {
            let message = "a certificate needs `cert` and `key`, the paths of two PEM files";
            section.mistake(section.span(), message);
            return None;
        };
        let certificate = Self {
            cert: cert?,
            key: key?,
        };
        if let Err(fault) = certificate.read() {
            let key = if fault.file == certificate.cert {
                "cert"
            } else {
                "key"
            };
            let place = section.given(key).unwrap_or_else(|| section.span());
            section.mistake(place, format!("`{key}`: {fault}"));
            return None;
        }
        Some(certificate)
    }
}

/// All certificates in a PEM file, at least one.
pub fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, Fault> {
    let read = CertificateDer::pem_file_iter(file).and_then(Iterator::collect);
    let certificates: Vec<_> = read.map_err(|error| fault(file, error.to_string()))?;
    match certificates.is_empty() {
        true => Err(fault(file, "holds no certificate (PEM)")),
        false => Ok(certificates),
    }
}

/// A file of authorities with at least one certificate; it is read again where it is used.
pub(super) fn authorities(value: Value<'_>) -> Option<PathBuf> {
    let path = path(value)?;
    match certificates(&path) {
        Ok(_) => Some(path),
        Err(fault) => value.refuse_text(fault.what),
    }
}

fn fault(file: &Path, what: impl Into<String>) -> Fault {
    Fault {
        file: file.to_owned(),
        what: what.into(),
    }
}

/// The DNS names that a certificate is for, from when it is valid, and when it expires.
fn named(der: &CertificateDer<'_>) -> Option<(Vec<String>, [i64; 2])> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let alternatives = certificate.subject_alternative_name().ok()?;
    let names = alternatives
        .iter()
        .flat_map(|names| &names.value.general_names);
    let names = names.filter_map(|name| match name {
        GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
        _ => None,
    });
    let validity = certificate.validity();
    let validity = [validity.not_before, validity.not_after].map(|at| at.timestamp());
    Some((names.collect(), validity))
}
