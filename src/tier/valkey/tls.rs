//! TLS to the servers. Files are read for each connection, so that renewed certificates are taken up without a restart.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::sign::SingleCertAndKey;
use rustls::{AlertDescription, CertificateError, ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::config::certificate;
use crate::config::valkey_servers::Tls;

/// How long it may take.
const HANDSHAKE: Duration = Duration::from_secs(1);

/// The error is a clause that follows the server's name.
pub async fn handshake(
    tls: &Tls,
    host: &str,
    stream: TcpStream,
) -> Result<TlsStream<TcpStream>, String> {
    let named = || ServerName::try_from(host.to_owned());
    let name = (tls.name.clone()).map_or_else(named, Ok);
    let name = name.map_err(|_| "has a name that no certificate can be for".to_owned())?;
    let connector = TlsConnector::from(Arc::new(client_config(tls)?));
    // One that does not speak TLS may wait for the end of what it takes for a command.
    match timeout(HANDSHAKE, connector.connect(name, stream)).await {
        Ok(stream) => {
            stream.map_err(|error| format!("fails the TLS handshake: {}", fault_of(&error)))
        }
        Err(_elapsed) => {
            Err("does not answer in the TLS handshake; it may not speak TLS on this port".into())
        }
    }
}

fn client_config(tls: &Tls) -> Result<ClientConfig, String> {
    let unusable = |error: &dyn std::fmt::Display| format!("cannot be asked over TLS: {error}");
    let mut roots = RootCertStore::empty();
    match &tls.ca_file {
        Some(file) => {
            let named = certificate::certificates(file).map_err(|error| unusable(&error))?;
            for certificate in named {
                let added = roots.add(certificate);
                added.map_err(|error| unusable(&format!("{}: {error}", file.display())))?;
            }
        }
        None => roots.roots = webpki_roots::TLS_SERVER_ROOTS.to_vec(),
    }
    // The provider is named, so that no other crate's choice of features can make it ambiguous.
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable(&error))?
        .with_root_certificates(roots);
    Ok(match &tls.certificate {
        Some(certificate) => {
            let identity = certificate.read().map_err(|error| unusable(&error))?;
            let key = SingleCertAndKey::from((*identity.key).clone());
            builder.with_client_cert_resolver(Arc::new(key))
        }
        None => builder.with_no_client_auth(),
    })
}

/// What is wrong, and its cure where that is known.
fn fault_of(error: &io::Error) -> String {
    use CertificateError as E;
    let reason = (error.get_ref()).and_then(|inner| inner.downcast_ref::<rustls::Error>());
    let cure = match reason {
        Some(rustls::Error::InvalidCertificate(reason)) => match reason {
            // Another authority may have the name of the one that has issued it.
            E::UnknownIssuer | E::BadSignature => {
                "name the authority that has issued its certificate"
            }
            E::NotValidForName | E::NotValidForNameContext { .. } => {
                "say which name its certificate is for"
            }
            E::Expired | E::ExpiredContext { .. } => "renew its certificate",
            _ => return error.to_string(),
        },
        Some(rustls::Error::InvalidMessage(_)) => {
            "it does not speak TLS on this port: write \"redis://\" or another port"
        }
        Some(rustls::Error::AlertReceived(
            AlertDescription::CertificateRequired
            | AlertDescription::BadCertificate
            | AlertDescription::UnknownCA,
        )) => "it asks for a certificate of the gateway's from an authority that it trusts",
        None if error.kind() == io::ErrorKind::UnexpectedEof => {
            "it has closed the connection; it may not speak TLS on this port"
        }
        _ => return error.to_string(),
    };
    format!("{error}; {cure}")
}
