//! TLS and Unix sockets.

use std::path::Path;

use rcgen::{CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::http2::frames::Server;
use super::*;
use crate::config::{Endpoint, Protocol};

/// An authority of our own, and a certificate that it gave to `name`.
struct Authority {
    pem: String,
    /// What its server presents.
    leaf: String,
    server: Arc<ServerConfig>,
}

impl Authority {
    fn for_name(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key"))
            .expect("a certificate");
        let key = KeyPair::generate().expect("a key");
        let certificate = CertificateParams::new(vec![name.to_owned()])
            .expect("parameters")
            .signed_by(&key, &issuer)
            .expect("a certificate");
        Self {
            pem: issuer.pem(),
            leaf: certificate.pem(),
            server: server_of(certificate.der().clone(), &key),
        }
    }

    /// A server's certificate that is its own issuer, as `params` say.
    fn of_itself(params: CertificateParams) -> Self {
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        Self {
            pem: certificate.pem(),
            leaf: certificate.pem(),
            server: server_of(certificate.der().clone(), &key),
        }
    }

    /// Lets servers choose from these protocols.
    fn choosing(mut self, protocols: &[&[u8]]) -> Self {
        let server = Arc::make_mut(&mut self.server);
        server.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        self
    }

    async fn accept(&self, origin: &Origin) -> std::io::Result<Peer<TlsStream<TcpStream>>> {
        let stream = origin.accept().await.into_stream();
        let stream = TlsAcceptor::from(self.server.clone())
            .accept(stream)
            .await?;
        Ok(Peer::new(stream))
    }
}

fn server_of(certificate: CertificateDer<'static>, key: &KeyPair) -> Arc<ServerConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut server = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate],
            PrivateKeyDer::try_from(key.serialize_der()).expect("a key"),
        )
        .expect("a configuration");
    server.alpn_protocols = vec![b"http/1.1".to_vec()];
    Arc::new(server)
}

/// A worker that trusts what `pem` holds.
fn trusting(origin: &Origin, pem: &str, change: impl FnOnce(&mut Upstream)) -> Worker {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), pem).expect("a file");
    let mut server = origin.url();
    server.endpoint = Endpoint::Https {
        host: "localhost".to_owned(),
        port: origin.port(),
    };
    let mut config = config(vec![server]);
    config.ca_file = Some(file.path().to_owned());
    change(&mut config);
    Worker::new(&config)
}

#[test]
fn http2_is_spoken_where_tls_negotiates_it_and_else_http1() {
    run(async {
        for (chosen, speaks_http2) in [
            (&[&b"h2"[..], b"http/1.1"][..], true),
            (&[b"http/1.1"], false),
            (&[], false),
        ] {
            let origin = Origin::start().await;
            let authority = Authority::for_name("localhost").choosing(chosen);
            let worker = trusting(&origin, &authority.pem, |config| {
                config.protocol = Protocol::H2;
            });
            let script = async {
                let mut peer = authority.accept(&origin).await.expect("a handshake");
                if !speaks_http2 {
                    assert!(peer.answer("one").await.contains("host: books.example"));
                    peer.answer("two").await;
                    return;
                }
                let mut server = Server::of(peer).await;
                server.greet(&[]).await;
                for content in ["one", "two"] {
                    let stream = server.asked().await;
                    server.answer(stream, content).await;
                }
                // What is in the socket's buffer would be lost with it.
                server.closed().await;
            };
            let exchanges = async {
                read(worker.get("/").await?).await?;
                let last = read(worker.get("/").await?).await;
                assert_eq!(worker.counters.connects.value(), 1);
                drop(worker);
                last
            };
            let (_, last) = exchange(script, exchanges).await;
            assert_eq!(last.expect("content"), "two");
        }
    });
}

#[test]
fn a_server_whose_certificate_is_trusted_answers() {
    run(async {
        let origin = Origin::start().await;
        let authority = Authority::for_name("localhost");
        let worker = trusting(&origin, &authority.pem, |_| {});
        let script = async {
            let mut peer = authority.accept(&origin).await.expect("a handshake");
            peer.answer("one").await;
            peer.answer("two").await
        };
        let exchanges = async {
            read(worker.get("/").await?).await?;
            read(worker.get("/").await?).await
        };
        let (_, last) = exchange(script, exchanges).await;
        assert_eq!(last.expect("content"), "two");
        assert_eq!(worker.counters.connects.value(), 1);
    });
}

#[test]
fn the_certificate_may_be_for_the_configured_name() {
    run(async {
        let origin = Origin::start().await;
        let authority = Authority::for_name("api.internal");
        let worker = trusting(&origin, &authority.pem, |config| {
            config.tls_name = Some("api.internal".to_owned());
        });
        let script = async {
            let mut peer = authority.accept(&origin).await.expect("a handshake");
            peer.answer("ok").await
        };
        let (_, response) = exchange(script, worker.get("/")).await;
        assert!(response.is_ok());
    });
}

#[test]
fn a_certificate_of_another_name_or_authority_is_not_accepted() {
    run(async {
        let trusted = Authority::for_name("localhost");
        let table = [
            Authority::for_name("localhost"),
            Authority::for_name("elsewhere.example"),
        ];
        for (at, presented) in table.iter().enumerate() {
            let origin = Origin::start().await;
            let trusted = if at == 0 { &trusted } else { presented };
            let worker = trusting(&origin, &trusted.pem, |_| {});
            let (_, response) = tokio::join!(presented.accept(&origin), worker.get("/"));
            let error = response.expect_err("a wrong certificate");
            assert_eq!(error.kind(), ErrorKind::TlsCertificate);
            assert!(error.explanation().contains("not accepted: "), "{error}");
        }
    });
}

/// What a server presents, what the operator has named, and which cure the error names; `None` where there is no error.
#[test]
fn a_certificate_that_is_named_itself_is_accepted_and_others_are_refused_with_a_cure() {
    let params = |names: &[&str], is_ca: bool| {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("parameters");
        if is_ca {
            params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        }
        params
    };
    let expired = |is_ca| {
        let mut params = params(&["localhost"], is_ca);
        params.not_after = rcgen::date_time_ymd(2001, 1, 1);
        params.not_before = rcgen::date_time_ymd(2000, 1, 1);
        params
    };
    let another = Authority::of_itself(params(&["localhost"], true)).pem;
    let issued = Authority::for_name("localhost");
    let issued_elsewhere = Authority::for_name("elsewhere.example");
    let own = |params| {
        let authority = Authority::of_itself(params);
        (authority.leaf.clone(), authority)
    };
    let table = [
        (own(params(&["localhost"], true)), None),
        (own(params(&["localhost"], false)), None),
        (own(params(&[], true)), None),
        ((issued.leaf.clone(), issued), None),
        (own(params(&["elsewhere.example"], true)), Some("tls_name")),
        (own(params(&["elsewhere.example"], false)), Some("tls_name")),
        (
            (issued_elsewhere.leaf.clone(), issued_elsewhere),
            Some("tls_name"),
        ),
        (own(expired(true)), Some("renew it")),
        (own(expired(false)), Some("renew it")),
        (
            (another.clone(), own(params(&["localhost"], true)).1),
            Some("upstream.ca_file"),
        ),
        (
            (another.clone(), own(params(&["localhost"], false)).1),
            Some("upstream.ca_file"),
        ),
        (
            (another, Authority::for_name("localhost")),
            Some("upstream.ca_file"),
        ),
    ];
    run(async {
        for (at, ((named, presented), cure)) in table.into_iter().enumerate() {
            let origin = Origin::start().await;
            let worker = trusting(&origin, &named, |_| {});
            let script = async {
                if let Ok(mut peer) = presented.accept(&origin).await {
                    peer.answer("ok").await;
                }
            };
            let (_, response) = exchange(script, worker.get("/")).await;
            let Some(cure) = cure else {
                assert!(response.is_ok(), "{at}: {response:?}");
                continue;
            };
            let error = response.expect_err("a certificate that is not accepted");
            assert_eq!(error.kind(), ErrorKind::TlsCertificate, "{at}");
            assert!(error.explanation().contains(cure), "{at}: {error}");
            assert!(!error.to_string().contains("OtherError"), "{at}: {error}");
        }
    });
}

#[test]
fn a_server_that_speaks_no_tls_is_a_protocol_error_and_a_silent_one_times_out() {
    run(async {
        let authority = Authority::for_name("localhost");
        for (bytes, expected) in [
            ("HTTP/1.1 400 Bad Request\r\n\r\n", ErrorKind::TlsProtocol),
            ("", ErrorKind::TlsTimeout),
        ] {
            let origin = Origin::start().await;
            let worker = trusting(&origin, &authority.pem, |config| {
                config.tls_timeout = Duration::from_millis(100);
            });
            let script = async {
                let mut peer = origin.accept().await;
                peer.send(bytes).await;
                peer.closed().await;
            };
            let (_, response) = exchange(script, worker.get("/")).await;
            assert_eq!(kind(response), Some(expected), "{bytes}");
        }
    });
}

#[test]
fn a_close_delimited_body_without_close_notify_is_incomplete() {
    run(async {
        let origin = Origin::start().await;
        let authority = Authority::for_name("localhost");
        let worker = trusting(&origin, &authority.pem, |_| {});
        let script = async {
            let mut peer = authority.accept(&origin).await.expect("a handshake");
            peer.head().await;
            peer.send("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhalf a bo")
                .await;
        };
        let client = async { read(worker.get("/").await?).await };
        let (_, content) = exchange(script, client).await;
        assert_eq!(kind(content), Some(ErrorKind::ResponseIncomplete));
    });
}

#[test]
fn a_ca_file_that_cannot_be_used_is_an_error_with_a_detail() {
    run(async {
        let origin = Origin::start().await;
        let directory = tempfile::tempdir().expect("a directory");
        let garbage = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        for (name, content, complaint) in [
            ("missing.pem", None, "cannot be read"),
            ("empty.pem", Some(""), "holds no certificate"),
            (
                "garbage.pem",
                Some(garbage),
                "holds what is not a certificate",
            ),
        ] {
            let file = directory.path().join(name);
            if let Some(content) = content {
                std::fs::write(&file, content).expect("a file");
            }
            let mut server = origin.url();
            server.endpoint = Endpoint::Https {
                host: "localhost".to_owned(),
                port: origin.port(),
            };
            let mut config = config(vec![server]);
            config.ca_file = Some(file);
            let error = try_shared(&config).map(drop).expect_err("a bad file");
            assert!(error.explanation().contains(name), "{error}");
            assert!(error.explanation().contains(complaint), "{error}");
        }
    });
}

fn over_unix(path: &Path) -> Worker {
    Worker::new(&config(vec![ServerUrl {
        endpoint: Endpoint::Unix(path.to_owned()),
        base_path: "/api".to_owned(),
    }]))
}

#[test]
fn a_unix_socket_is_a_server_like_any_other() {
    run(async {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("api.sock");
        let listener = tokio::net::UnixListener::bind(&path).expect("a socket");
        let worker = over_unix(&path);
        let script = async {
            let mut peer = Peer::new(listener.accept().await.expect("a connection").0);
            peer.answer("one").await;
            peer.answer("two").await
        };
        let exchanges = async {
            read(worker.get("/").await?).await?;
            read(worker.get("/books").await?).await
        };
        let (head, last) = exchange(script, exchanges).await;
        assert!(head.starts_with("GET /api/books HTTP/1.1\r\n"), "{head}");
        assert_eq!(last.expect("content"), "two");
    });
}

#[test]
fn a_unix_socket_that_is_not_there_refuses() {
    run(async {
        let directory = tempfile::tempdir().expect("a directory");
        let worker = over_unix(&directory.path().join("missing.sock"));
        assert_eq!(
            kind(worker.get("/").await),
            Some(ErrorKind::ConnectionRefused)
        );
    });
}

/// RFC 9112 §9.8: "Clients MUST send a closure alert before closing the connection."
#[test]
fn a_connection_is_closed_with_a_closure_alert() {
    run(async {
        let origin = Origin::start().await;
        let authority = Authority::for_name("localhost");
        let worker = trusting(&origin, &authority.pem, |_| {});
        let script = async {
            let mut peer = authority.accept(&origin).await.expect("a handshake");
            peer.answer("one").await;
            peer.rest().await
        };
        let client = async {
            read(worker.get("/").await.expect("a response"))
                .await
                .expect("content");
            drop(worker);
        };
        let (rest, ()) = exchange(script, client).await;
        assert_eq!(rest.expect("no end but a told one"), b"");
    });
}
