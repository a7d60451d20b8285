//! Servers that speak TLS, with certificates made for the test.

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair,
};

use super::connections::{kept, ledger, linked};
use super::server::{TestServer, free_port, runtime};
use crate::config::Certificate;
use crate::config::valkey_servers::{Servers, Written};
use crate::tier::valkey::connection::Connection;
use crate::tier::valkey::dial;
use crate::tier::valkey::log_reader::LogReader;

/// An authority, and what it has issued, in files of a directory.
struct Authority {
    directory: tempfile::TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let authority = Self {
            directory: tempfile::tempdir().expect("a directory"),
            issuer: CertifiedIssuer::self_signed(params, key).expect("a certificate"),
        };
        fs::write(authority.file("ca.pem"), authority.issuer.pem()).expect("a file");
        authority
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn issue(&self, file: &str, name: &str) -> Certificate {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new([name.to_owned()]).expect("a name");
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        let issued = params.signed_by(&key, &self.issuer).expect("a certificate");
        let certificate = Certificate {
            cert: self.file(&format!("{file}.pem")),
            key: self.file(&format!("{file}.key")),
        };
        fs::write(&certificate.cert, issued.pem()).expect("a file");
        fs::write(&certificate.key, key.serialize_pem()).expect("a file");
        certificate
    }

    /// A server with a certificate for `name`, and its port for TLS. A test's own commands go without.
    fn server(&self, name: &str, ask_clients: &str) -> (TestServer, u16) {
        let (port, certificate) = (free_port(), self.issue("server", name));
        let server = TestServer::with(&format!(
            "tls-port {port}\ntls-cert-file {}\ntls-key-file {}\ntls-ca-cert-file {}\ntls-auth-clients {ask_clients}",
            certificate.cert.display(),
            certificate.key.display(),
            self.file("ca.pem").display(),
        ));
        (server, port)
    }
}

fn written(port: u16, ca_file: &Path) -> Written {
    Written {
        urls: vec![format!("rediss://127.0.0.1:{port}")],
        ca_file: Some(ca_file.to_owned()),
        ..Written::default()
    }
}

/// Calls, and reads the log.
async fn works(connection: &Connection) {
    let link = linked(connection).await;
    let purge = ledger().purge(link.epoch, b"a", &[b"a".to_vec()]);
    let purged = connection.call(&purge).await.expect("an answer");
    assert_eq!(purged.expect("the epoch").number, 1);
    let entries = LogReader::new(connection).next(0).await;
    assert_eq!(entries.expect("an answer").len(), 1);
}

async fn refusal(written: Written) -> String {
    let servers = Servers::of(written).expect("servers");
    let crate::config::valkey_servers::Arrangement::Single(at) = &servers.arrangement else {
        panic!("one server");
    };
    let mut channel = match dial::to_data(&servers, at).await {
        Ok(channel) => channel,
        Err(error) => return error.to_string(),
    };
    // With TLS 1.3, a client learns only then that the server does not accept its certificate.
    let ping = redis::cmd("PING");
    let answer = ping.query_async::<()>(&mut channel.connection).await;
    answer.expect_err("no connection").to_string()
}

#[test]
#[ignore = "needs redis-server"]
fn a_server_is_spoken_to_by_tls_and_its_certificate_has_to_be_the_right_one() {
    let (authority, other) = (Authority::new("one"), Authority::new("one"));
    let (server, port) = authority.server("valkey.example", "no");
    let named = |ca_file: &Path| Written {
        tls_name: Some("valkey.example".into()),
        ..written(port, ca_file)
    };
    runtime().block_on(async {
        drop(server.connection().await);
        let servers = Servers::of(named(&authority.file("ca.pem"))).expect("servers");
        kept(&servers, 0, works).await;
        let refused = refusal(named(&other.file("ca.pem"))).await;
        assert!(
            refused.contains("name the authority that has issued"),
            "{refused}"
        );
        let refused = refusal(Written {
            ca_file: None,
            ..named(&authority.file("ca.pem"))
        });
        let refused = refused.await;
        assert!(
            refused.contains("name the authority that has issued"),
            "{refused}"
        );
        let refused = refusal(written(port, &authority.file("ca.pem"))).await;
        assert!(refused.contains("which name"), "{refused}");
        let refused = refusal(written(server.port, &authority.file("ca.pem"))).await;
        assert!(refused.contains("may not speak TLS"), "{refused}");
    });
}

#[test]
#[ignore = "needs redis-server"]
fn a_server_that_asks_for_a_certificate_is_given_the_gateways() {
    let (authority, other) = (Authority::new("one"), Authority::new("other"));
    let (server, port) = authority.server("127.0.0.1", "yes");
    let ca_file = authority.file("ca.pem");
    runtime().block_on(async {
        drop(server.connection().await);
        let refused = refusal(written(port, &ca_file)).await;
        let strange = Written {
            certificate: Some(other.issue("client", "gateway")),
            ..written(port, &ca_file)
        };
        let strange = refusal(strange).await;
        assert!(refused.contains("CertificateRequired"), "{refused}");
        assert!(strange.contains("UnknownCA"), "{strange}");
        let servers = Servers::of(Written {
            certificate: Some(authority.issue("client", "gateway")),
            ..written(port, &ca_file)
        });
        kept(&servers.expect("servers"), 0, works).await;
    });
}
