//! Where the tour's gateway is, and how it is reached.

use std::error::Error;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

/// A gateway's address, and what its clients trust where it speaks TLS.
#[derive(Clone, Debug)]
pub struct Place {
    pub(super) addr: SocketAddr,
    pub(super) tls: Option<Trust>,
}

/// The certificate that clients trust.
#[derive(Clone, Debug)]
pub(super) struct Trust {
    file: PathBuf,
    config: ClientConfig,
}

impl Place {
    /// A gateway without TLS.
    pub fn plain(addr: SocketAddr) -> Self {
        Self { addr, tls: None }
    }

    /// A gateway whose certificate is in `file` (PEM).
    ///
    /// # Errors
    /// When the file holds no certificate.
    pub fn secure(addr: SocketAddr, file: &Path) -> Result<Self, Box<dyn Error>> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(file)?)?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let file = file.to_owned();
        Ok(Self {
            addr,
            tls: Some(Trust { file, config }),
        })
    }

    /// The URL of its root, without a slash at the end.
    pub fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.addr)
    }

    /// `command`, which calls curl for a gateway without TLS, for this one.
    pub(super) fn command(&self, command: &str) -> String {
        match &self.tls {
            None => command.to_owned(),
            Some(trust) => {
                let curl = format!("curl --cacert {} ", trust.file.display());
                let command = command.replace("curl ", &curl);
                command.replace("--http2-prior-knowledge", "--http2")
            }
        }
    }
}

impl Trust {
    /// The settings of a client that speaks `protocol` (ALPN).
    pub(super) fn speaking(&self, protocol: &[u8]) -> Arc<ClientConfig> {
        let mut config = self.config.clone();
        config.alpn_protocols = vec![protocol.to_vec()];
        Arc::new(config)
    }
}
