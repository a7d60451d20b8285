//! Which server certificates are accepted where the operator names those to trust, and what to do about one that is not.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{AlertDescription, CertificateError, DigitallySignedStruct, SignatureScheme};

/// The library's error for a server that presents an authority's certificate: it comes after the validity period was
/// checked, and its type is of a crate that this one does not depend on.
const IS_AUTHORITY: &str = "CaUsedAsEndEntity";

/// Accepts certificates that one of the named authorities has issued, and a server's certificate that is named itself
/// (pinned).
#[derive(Debug)]
pub(in crate::upstream) struct Trusted {
    named: Vec<CertificateDer<'static>>,
    authorities: Arc<WebPkiServerVerifier>,
}

impl Trusted {
    pub(in crate::upstream) fn new(
        named: Vec<CertificateDer<'static>>,
        authorities: Arc<WebPkiServerVerifier>,
    ) -> Self {
        Self { named, authorities }
    }
}

/// Whether the certificate is an authority's own.
fn is_authority(error: &CertificateError) -> bool {
    matches!(error, CertificateError::Other(other) if other.0.to_string() == IS_AUTHORITY)
}

impl ServerCertVerifier for Trusted {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        use CertificateError::{BadSignature, UnknownIssuer};
        let verified = self.authorities.verify_server_cert(
            end_entity,
            intermediates,
            name,
            ocsp_response,
            now,
        );
        let is_named = || self.named.iter().any(|named| named == end_entity);
        let error = match verified {
            Err(error) if is_named() => error,
            other => return other,
        };
        let error = match error {
            // No known authority has issued it: another issuer may have the name of a known one.
            rustls::Error::InvalidCertificate(reason)
                if matches!(reason, UnknownIssuer | BadSignature) || is_authority(&reason) =>
            {
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, name).err()
            }
            error => Some(error),
        };
        match error {
            None => Ok(ServerCertVerified::assertion()),
            // It is for no name at all, and the operator has named this very certificate.
            Some(rustls::Error::InvalidCertificate(CertificateError::NotValidForNameContext {
                presented,
                ..
            })) if presented.is_empty() => Ok(ServerCertVerified::assertion()),
            Some(error) => Err(error),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.authorities.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.authorities.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.authorities.supported_verify_schemes()
    }
}

/// The fault of a certificate, and its cure.
pub(in crate::upstream) fn fault_of(error: &CertificateError) -> &'static str {
    use CertificateError as E;
    match error {
        E::UnknownIssuer => {
            "its issuer is not trusted; name the issuer's certificate, or this one, in upstream.ca_file"
        }
        E::NotValidForName | E::NotValidForNameContext { .. } => {
            "it is for another name; set upstream.tls_name to a name that it is for"
        }
        E::Expired | E::ExpiredContext { .. } => {
            "it has expired; renew it, or set this machine's clock if that is wrong"
        }
        E::NotValidYet | E::NotValidYetContext { .. } => {
            "it is not valid yet; wait, or set this machine's clock if that is wrong"
        }
        E::InvalidPurpose | E::InvalidPurposeContext { .. } => {
            "it is not for servers; issue one with the extended key usage serverAuth"
        }
        E::Revoked => "it is revoked; issue another",
        E::BadSignature => {
            "its issuer's signature is wrong; name the issuer's present certificate in upstream.ca_file"
        }
        E::BadEncoding => "it cannot be read; issue one as X.509 version 3",
        error if is_authority(error) => {
            "it is an authority's own; name it in upstream.ca_file to accept exactly this one"
        }
        _ => "it breaks a rule of X.509 that the log names; issue another",
    }
}

/// The fault of a handshake, and its cure; `None` where only the library's error is known.
pub(in crate::upstream) fn fault_of_handshake(error: &rustls::Error) -> Option<&'static str> {
    use rustls::Error as E;
    Some(match error {
        E::InvalidMessage(_) => {
            "the upstream does not speak TLS on this port; write http:// in upstream.servers if it speaks plain HTTP"
        }
        E::NoCertificatesPresented => "the upstream presented no certificate; give its server one",
        E::PeerIncompatible(_)
        | E::AlertReceived(
            AlertDescription::HandshakeFailure
            | AlertDescription::ProtocolVersion
            | AlertDescription::InsufficientSecurity,
        ) => {
            "the upstream and this gateway have no TLS version or cipher suite in common; let its server speak TLS 1.2 or 1.3"
        }
        E::AlertReceived(AlertDescription::UnrecognisedName) => {
            "the upstream has no certificate for the name that it was asked for; set upstream.tls_name"
        }
        E::AlertReceived(
            AlertDescription::CertificateRequired | AlertDescription::BadCertificate,
        ) => {
            "the upstream asks for a client's certificate, which this gateway has none of; let its server ask for none"
        }
        E::AlertReceived(AlertDescription::NoApplicationProtocol) | E::NoApplicationProtocol => {
            "the upstream speaks none of the offered protocols; see upstream.protocol"
        }
        _ => return None,
    })
}
