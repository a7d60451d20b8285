//! Responses that do not change while they are fresh (RFC 8246), believed only of an origin that proves who it is and how
//! much it sent (§3).

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use rcgen::{CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use tempfile::NamedTempFile;

use super::secs;
use crate::common::{Gateway, Origin, get, reply};

const IMMUTABLE: &str = "max-age=60, immutable";

/// An origin over TLS that answers each request with the same octets, on a connection of its own.
struct TlsOrigin {
    port: u16,
    /// The certificate of who vouches for it.
    trusted: NamedTempFile,
    asked: Arc<AtomicUsize>,
}

impl TlsOrigin {
    fn answering(octets: String) -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key"))
            .expect("a certificate");
        let mut trusted = NamedTempFile::new().expect("a file");
        trusted
            .write_all(issuer.pem().as_bytes())
            .expect("a file to write");
        let config = Arc::new(server_config(&issuer));
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let asked = Arc::new(AtomicUsize::new(0));
        let count = asked.clone();
        thread::spawn(move || {
            for socket in listener.incoming() {
                let Ok(socket) = socket else { return };
                let session = ServerConnection::new(config.clone()).expect("a session");
                let mut stream = StreamOwned::new(session, socket);
                let mut head = Vec::new();
                let mut octet = [0];
                while !head.ends_with(b"\r\n\r\n") && stream.read(&mut octet).is_ok_and(|n| n > 0) {
                    head.push(octet[0]);
                }
                if head.is_empty() {
                    continue;
                }
                count.fetch_add(1, Ordering::SeqCst);
                stream
                    .conn
                    .writer()
                    .write_all(octets.as_bytes())
                    .expect("a buffer");
                stream.conn.send_close_notify();
                let _ = stream.flush();
            }
        });
        Self {
            port,
            trusted,
            asked,
        }
    }
}

fn server_config(issuer: &CertifiedIssuer<'_, KeyPair>) -> ServerConfig {
    let key = KeyPair::generate().expect("a key");
    let certificate = CertificateParams::new(vec!["localhost".to_owned()])
        .expect("parameters")
        .signed_by(&key, issuer)
        .expect("a certificate");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivateKeyDer::try_from(key.serialize_der()).expect("a key"),
        )
        .expect("a configuration")
}

/// Whether a fresh stored response answers a client that wants a younger one.
fn is_believed(gateway: &Gateway) -> bool {
    gateway.get("/a").expect(200);
    gateway.advance(secs(30));
    let younger = get("/a").field("Cache-Control", "max-age=10");
    gateway.send(&younger).expect(200).is_hit()
}

impl TlsOrigin {
    fn gateway(&self) -> Gateway {
        Gateway::before_all([format!("https://localhost:{}", self.port)])
            .upstream(&format!("ca_file = {:?}", self.trusted.path()))
            .manual_clock()
            .start()
    }
}

#[test]
fn immutable_is_believed_over_tls() {
    for (says, believed) in [(IMMUTABLE, true), ("max-age=60", false)] {
        let origin = TlsOrigin::answering(format!(
            "HTTP/1.1 200 OK\r\nCache-Control: {says}\r\nContent-Length: 4\r\n\r\n1984"
        ));
        let gateway = origin.gateway();
        assert_eq!(is_believed(&gateway), believed, "{says}");
        let asked = if believed { 1 } else { 2 };
        assert_eq!(origin.asked.load(Ordering::SeqCst), asked, "{says}");
        // §2.1: a reload is a reload all the same, and the end of the lifetime is its end.
        let reload = get("/a").field("Cache-Control", "no-cache");
        assert!(gateway.send(&reload).fwd("request"), "{says}");
        gateway.advance(secs(61));
        assert!(gateway.get("/a").fwd("stale"), "{says}");
    }
}

#[test]
fn what_only_the_connection_s_end_delimits_is_not_immutable() {
    // §3: nothing confirms its length, and so it is not stored at all.
    let origin = TlsOrigin::answering(format!(
        "HTTP/1.1 200 OK\r\nCache-Control: {IMMUTABLE}\r\nConnection: close\r\n\r\n1984"
    ));
    let gateway = origin.gateway();
    for asked in 1..3 {
        assert_eq!(gateway.get("/a").expect(200).text(), "1984");
        gateway.await_no_fills();
        assert_eq!(origin.asked.load(Ordering::SeqCst), asked);
    }
}

#[test]
fn immutable_counts_only_over_https() {
    let fields = reply(200).field("Cache-Control", IMMUTABLE).body("1984");
    let origin = Origin::answering(fields);
    let gateway = Gateway::before(&origin).manual_clock().start();
    assert!(!is_believed(&gateway));
    assert_eq!(origin.count(), 2, "this origin is asked over http");
}
