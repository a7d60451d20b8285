//! TLS to the API: which certificates are trusted, for which name.

mod certificates;
pub(super) mod session;

use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{CertificateError, ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use self::certificates::Trusted;
use crate::config;
use crate::error::{Error, ErrorKind};

/// Makes the one client configuration that all TLS servers of an upstream share: sessions are resumed across workers.
pub(in crate::upstream) fn client_config(
    config: &config::Upstream,
) -> Result<Arc<ClientConfig>, Error> {
    // The provider is named, so that no other crate's choice of features can make it ambiguous.
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::internal().because(error))?;
    let builder = match &config.ca_file {
        Some(file) => {
            let (named, roots) = read_certificates(file)?;
            let authorities =
                WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
                    .build()
                    .map_err(|error| Error::internal().because(error))?;
            let trusted = Arc::new(Trusted::new(named, authorities));
            builder
                .dangerous()
                .with_custom_certificate_verifier(trusted)
        }
        None => builder.with_root_certificates(RootCertStore {
            roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
        }),
    };
    let mut tls = builder.with_no_client_auth();
    tls.alpn_protocols = match config.protocol {
        config::Protocol::H2 => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        config::Protocol::Http1 | config::Protocol::H2c => vec![b"http/1.1".to_vec()],
    };
    Ok(Arc::new(tls))
}

/// The certificates in a file, and the same as authorities.
fn read_certificates(file: &Path) -> Result<(Vec<CertificateDer<'static>>, RootCertStore), Error> {
    let refuse = |what: &str| {
        Error::internal().detail(format!("upstream.ca_file {}: {what}", file.display()))
    };
    let pem = std::fs::read(file).map_err(|error| refuse("cannot be read").because(error))?;
    let (mut named, mut roots) = (Vec::new(), RootCertStore::empty());
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        certificate
            .map_err(|error| error.to_string())
            .and_then(|der| {
                named.push(der.clone());
                roots.add(der).map_err(|error| error.to_string())
            })
            .map_err(|error| refuse("holds what is not a certificate").because(error))?;
    }
    if roots.is_empty() {
        return Err(refuse("holds no certificate in PEM form"));
    }
    Ok((named, roots))
}

/// One server's TLS: the shared configuration, and the name that its certificate must be for.
pub(in crate::upstream) struct Tls {
    connector: TlsConnector,
    name: ServerName<'static>,
}

impl Tls {
    pub(in crate::upstream) fn new(config: Arc<ClientConfig>, name: &str) -> Result<Self, Error> {
        let name = ServerName::try_from(name.to_owned()).map_err(|error| {
            Error::internal()
                .detail(format!("{name:?} is no name that a certificate can be for"))
                .because(error)
        })?;
        Ok(Self {
            connector: TlsConnector::from(config),
            name,
        })
    }

    pub(in crate::upstream) async fn handshake(
        &self,
        socket: TcpStream,
    ) -> Result<TlsStream<TcpStream>, Error> {
        self.connector
            .connect(self.name.clone(), socket)
            .await
            .map_err(handshake_failure)
    }
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

fn handshake_failure(error: io::Error) -> Error {
    let reason = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>());
    let failure = match reason {
        Some(rustls::Error::InvalidCertificate(reason)) => {
            Error::upstream(ErrorKind::TlsCertificate).detail(format!(
                "the upstream's certificate was not accepted: {}",
                certificates::fault_of(reason)
            ))
        }
        Some(reason) => {
            let kind = match reason {
                rustls::Error::NoCertificatesPresented => ErrorKind::TlsCertificate,
                _ => ErrorKind::TlsProtocol,
            };
            let failure = Error::upstream(kind);
            match certificates::fault_of_handshake(reason) {
                Some(fault) => failure.detail(fault),
                None => failure,
            }
        }
        None => Error::upstream(ErrorKind::TlsProtocol).detail(
            "the upstream closed the connection within the TLS handshake; it may not speak TLS on this port",
        ),
    };
    match reason {
        // The library has no text for it, but the error that it wraps has a name.
        Some(rustls::Error::InvalidCertificate(CertificateError::Other(other))) => {
            failure.because(other.0.to_string())
        }
        _ => failure.because(error),
    }
}
