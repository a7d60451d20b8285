//! Clients that speak TLS.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer,
    ExtendedKeyUsagePurpose, IsCa, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams,
    SerialNumber,
};
use rustls::client::Resumption;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{
    ClientConfig, ClientConnection, HandshakeKind, RootCertStore, StreamOwned,
    SupportedProtocolVersion,
};
use tempfile::TempDir;

use crate::common::{Client, Gateway, Origin, Setup, await_that, get, reply};

/// An authority, and a folder with the files of what it has signed.
pub(super) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: TempDir,
}

impl Authority {
    pub(super) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().expect("a key");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("a certificate");
        let folder = TempDir::new().expect("a folder");
        fs::write(folder.path().join("ca.pem"), issuer.pem()).expect("a file");
        Self { issuer, folder }
    }

    pub(super) fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    /// Signs a certificate for `hosts`, and writes it and its key to files of that name. Returns the certificate.
    pub(super) fn sign(&self, name: &str, hosts: &[&str]) -> CertificateDer<'static> {
        self.sign_with(name, hosts, |_| ()).0
    }

    fn sign_with(
        &self,
        name: &str,
        hosts: &[&str],
        change: impl FnOnce(&mut CertificateParams),
    ) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
        let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
        let mut params = CertificateParams::new(hosts).expect("parameters");
        change(&mut params);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        // The key first: who watches the files sees the pair complete once the certificate is there.
        fs::write(self.path(&format!("{name}.key")), key.serialize_pem()).expect("a file");
        fs::write(self.path(&format!("{name}.pem")), certificate.pem()).expect("a file");
        let der = PrivatePkcs8KeyDer::from(key.serialize_der());
        (certificate.der().clone(), der.into())
    }

    /// Writes the list of the certificates that it has revoked, by their serial numbers.
    fn revoke(&self, serials: &[u64]) {
        let revoked = serials.iter().map(|serial| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: rcgen::date_time_ymd(2024, 1, 1),
            reason_code: None,
            invalidity_date: None,
        });
        let list = CertificateRevocationListParams {
            this_update: rcgen::date_time_ymd(2024, 1, 1),
            next_update: rcgen::date_time_ymd(2090, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let list = list.signed_by(&self.issuer).expect("a list");
        fs::write(self.path("crl.pem"), list.pem().expect("PEM")).expect("a file");
    }

    /// `certificates` of `[listener.tls]`.
    pub(super) fn certificates(&self, names: &[&str]) -> String {
        let pair = |name: &&str| {
            let (cert, key) = (
                self.path(&format!("{name}.pem")),
                self.path(&format!("{name}.key")),
            );
            format!("{{ cert = {cert:?}, key = {key:?} }}")
        };
        let pairs: Vec<String> = names.iter().map(pair).collect();
        format!("certificates = [{}]", pairs.join(", "))
    }

    /// A client's settings that trust the authority, in these versions.
    pub(super) fn client(&self, versions: &[&'static SupportedProtocolVersion]) -> ClientConfig {
        self.builder(versions).with_no_client_auth()
    }

    fn builder(
        &self,
        versions: &[&'static SupportedProtocolVersion],
    ) -> rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert> {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).expect("a root");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .expect("versions")
            .with_root_certificates(roots)
    }
}

pub(super) const BOTH: [&SupportedProtocolVersion; 2] = [&TLS13, &TLS12];

/// A gateway whose first `[[listener]]` speaks TLS, with these lines in `[listener.tls]`.
pub(super) fn setup(origin: &Origin, tls: &str) -> Setup {
    Gateway::before(origin).more(&format!(
        "[[listener]]\nlisten = '127.0.0.1:0'\n[listener.tls]\n{tls}"
    ))
}

pub(super) fn stored() -> Origin {
    Origin::answering(reply(200).field("Cache-Control", "max-age=60").body("1984"))
}

pub(super) type Stream = StreamOwned<ClientConnection, TcpStream>;

pub(super) fn connect(gateway: &Gateway, config: &Arc<ClientConfig>, host: &str) -> Stream {
    let name = ServerName::try_from(host.to_owned()).expect("a name");
    let connection = ClientConnection::new(config.clone(), name).expect("a connection");
    let socket = TcpStream::connect(gateway.listener()).expect("a connection");
    socket
        .set_read_timeout(Some(Duration::from_secs(20)))
        .expect("a timeout");
    StreamOwned::new(connection, socket)
}

/// Sends a GET that closes the connection, and returns all that comes.
pub(super) fn exchange(stream: &mut Stream, target: &str) -> std::io::Result<String> {
    let request = format!("GET {target} HTTP/1.1\r\nHost: books.test\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

#[test]
fn requests_over_tls_are_answered_in_both_versions() {
    let origin = stored();
    let authority = Authority::new();
    authority.sign("a", &["books.test"]);
    let tls = format!("{}\nhsts = '1h'", authority.certificates(&["a"]));
    let gateway = setup(&origin, &tls).start();
    for version in BOTH {
        let config = Arc::new(authority.client(&[version]));
        let mut stream = connect(&gateway, &config, "books.test");
        let answer = exchange(&mut stream, "/books").expect("an answer");
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        assert!(answer.ends_with("\r\n\r\n1984"), "{answer}");
        assert!(
            answer.contains("strict-transport-security: max-age=3600\r\n"),
            "{answer}"
        );
    }
    assert_eq!(origin.count(), 1);
    let last = origin.last();
    assert_eq!(last.fields.get("x-forwarded-proto"), Some("https"));
    // The plain address has no such field, and another URL.
    let plain = gateway.get("/books").expect(200);
    assert_eq!(plain.field("strict-transport-security"), None);
    assert_eq!(gateway.metric("bookend_tls_handshakes_total"), 2);
    assert_eq!(gateway.metric("bookend_tls_failures_total"), 0);
}

#[test]
fn large_content_arrives_whole_at_a_slow_reader() {
    let content: Vec<u8> = (0..16 << 20)
        .map(|n: u32| n.wrapping_mul(2_654_435_761) as u8)
        .collect();
    let body = content.clone();
    let origin = Origin::start(move |request, conn| {
        conn.reply(
            request,
            &reply(200).field("Cache-Control", "max-age=60").body(&body),
        );
    });
    let authority = Authority::new();
    authority.sign("a", &["books.test"]);
    let gateway = setup(&origin, &authority.certificates(&["a"]))
        .cache("max_stored_body = '32MiB'")
        .start();
    let config = Arc::new(authority.client(&BOTH));
    // A miss, then a hit.
    for _ in 0..2 {
        let mut stream = connect(&gateway, &config, "books.test");
        // The connection stays open: its end would flush what is left in a buffer.
        let request = "GET /large HTTP/1.1\r\nHost: books.test\r\n\r\n";
        stream.write_all(request.as_bytes()).expect("a write");
        // Nothing is read until the API has answered and the gateway's buffers are full.
        origin.await_requests(1);
        let (mut head, mut octet) = (Vec::new(), [0]);
        while !head.ends_with(b"\r\n\r\n") {
            stream.read_exact(&mut octet).expect("a head");
            head.push(octet[0]);
        }
        let mut answer = vec![0; content.len()];
        stream.read_exact(&mut answer).expect("all of the content");
        assert!(answer == content);
    }
}

#[test]
fn the_certificate_is_that_of_the_host_that_the_client_names() {
    let origin = stored();
    let authority = Authority::new();
    let first = authority.sign("first", &["first.test"]);
    let exact = authority.sign("exact", &["a.books.test"]);
    let wildcard = authority.sign("wildcard", &["*.books.test"]);
    let tls = authority.certificates(&["first", "exact", "wildcard"]);
    let gateway = setup(&origin, &tls).start();
    for (host, expected, fits) in [
        ("first.test", &first, true),
        ("a.books.test", &exact, true),
        ("A.Books.Test", &exact, true),
        ("b.books.test", &wildcard, true),
        // A wildcard stands for one label.
        ("a.b.books.test", &first, false),
        ("other.test", &first, false),
        ("127.0.0.1", &first, false),
    ] {
        let config = Arc::new(authority.client(&BOTH));
        let mut stream = connect(&gateway, &config, host);
        let answer = exchange(&mut stream, "/");
        assert_eq!(answer.is_ok(), fits, "{host}: {answer:?}");
        if let Some(shown) = stream.conn.peer_certificates() {
            assert_eq!(&shown[0], expected, "{host}");
        }
    }
}

#[test]
fn alpn_chooses_http2_or_http1() {
    let origin = stored();
    let authority = Authority::new();
    authority.sign("a", &["books.test"]);
    let gateway = setup(&origin, &authority.certificates(&["a"])).start();
    for (offered, chosen) in [
        (&["h2", "http/1.1"][..], Some("h2")),
        (&["http/1.1"], Some("http/1.1")),
        (&[], None),
    ] {
        let mut config = authority.client(&BOTH);
        config.alpn_protocols = offered
            .iter()
            .map(|name| name.as_bytes().to_vec())
            .collect();
        let mut stream = connect(&gateway, &Arc::new(config), "books.test");
        // The preface and an empty SETTINGS frame; its acknowledgement shows that HTTP/2 is spoken.
        match chosen {
            Some("h2") => {
                let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
                stream.write_all(preface).expect("a write");
                let mut head = [0; 9];
                stream.read_exact(&mut head).expect("a frame");
                assert_eq!(head[3], 4, "SETTINGS");
            }
            _ => {
                let answer = exchange(&mut stream, "/").expect("an answer");
                assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
            }
        }
        let alpn = stream.conn.alpn_protocol();
        assert_eq!(alpn, chosen.map(str::as_bytes));
    }
}

#[test]
fn sessions_are_resumed_across_a_reload_and_a_change_of_certificates() {
    let origin = stored();
    let authority = Authority::new();
    authority.sign("a", &["books.test"]);
    let setup = setup(&origin, &authority.certificates(&["a"]));
    let gateway = setup.clone().start();
    for version in BOTH {
        let mut config = authority.client(&[version]);
        config.resumption = Resumption::in_memory_sessions(8);
        let config = Arc::new(config);
        let mut kinds = Vec::new();
        for _ in 0..3 {
            let mut stream = connect(&gateway, &config, "books.test");
            exchange(&mut stream, "/").expect("an answer");
            kinds.push(stream.conn.handshake_kind().expect("a handshake"));
            authority.sign("a", &["books.test"]);
            gateway.reload(&setup);
        }
        assert_eq!(kinds[0], HandshakeKind::Full);
        assert_eq!(kinds[1..], [HandshakeKind::Resumed; 2]);
    }
    assert_eq!(gateway.metric("bookend_tls_resumed_total"), 4);
}

#[test]
fn a_certificate_that_is_replaced_on_disk_is_used_and_one_that_does_not_fit_is_not() {
    let origin = stored();
    let authority = Authority::new();
    let old = authority.sign("a", &["books.test"]);
    let gateway = setup(&origin, &authority.certificates(&["a"])).start();
    let mut config = authority.client(&BOTH);
    // A resumed session shows the certificate of the first one.
    config.resumption = Resumption::disabled();
    let config = Arc::new(config);
    let shown = || {
        let mut stream = connect(&gateway, &config, "books.test");
        exchange(&mut stream, "/").expect("an answer");
        stream.conn.peer_certificates().expect("certificates")[0].clone()
    };
    assert_eq!(shown(), old);
    let new = authority.sign("a", &["books.test"]);
    await_that("the new certificate", || shown() == new);
    // A key that is not the certificate's, then the right one again, by another certificate.
    authority.sign("other", &["books.test"]);
    fs::copy(authority.path("other.key"), authority.path("a.key")).expect("a copy");
    assert_eq!(shown(), new);
    let newest = authority.sign("a", &["books.test"]);
    await_that("the newest certificate", || {
        let shown = shown();
        assert!(shown == new || shown == newest);
        shown == newest
    });
}

#[test]
fn a_hello_in_pieces_is_read_and_what_is_none_is_refused() {
    let origin = stored();
    let authority = Authority::new();
    authority.sign("a", &["books.test"]);
    let gateway = setup(&origin, &authority.certificates(&["a"]))
        .server("head_timeout = '2s'")
        .start();
    let config = Arc::new(authority.client(&BOTH));
    // Octet by octet.
    let mut stream = connect(&gateway, &config, "books.test");
    stream.sock.set_nodelay(true).expect("an option");
    let mut hello = Vec::new();
    stream.conn.write_tls(&mut hello).expect("a hello");
    for octet in &hello {
        stream.sock.write_all(&[*octet]).expect("a write");
    }
    let answer = exchange(&mut stream, "/").expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    // A request without TLS is told what to do.
    let answer = Client::to(gateway.listener()).send(&get("/")).expect(400);
    assert!(answer.text().contains("https://"), "{}", answer.text());
    assert_eq!(answer.field("connection"), Some("close"));
    // What is no hello, one that is cut off, and silence: the connection ends, others are served.
    let records = |octets: &[u8]| -> Vec<u8> {
        let each = octets.iter();
        each.flat_map(|octet| [0x16, 3, 1, 0, 1, *octet]).collect()
    };
    let with = |at: usize, octets: &[u8]| {
        let mut hello = hello.clone();
        hello[at..at + octets.len()].copy_from_slice(octets);
        hello
    };
    let table = [
        ("garbage in a record", b"\x16\x03\x01\x00\x05hello".to_vec()),
        (
            "a record that is larger than any",
            b"\x16\x03\x01\xff\xff".to_vec(),
        ),
        (
            "records without content",
            b"\x16\x03\x01\x00\x00".repeat(100),
        ),
        ("another message than a hello", with(5, &[2])),
        ("a hello of sixteen megabytes", with(6, &[0xff, 0xff, 0xff])),
        (
            "a hello whose parts do not fit into it",
            with(6, &[0, 0, 8]),
        ),
        ("a version that there never was", with(1, &[9, 9])),
        (
            "an alert in the place of a hello",
            b"\x16\x03\x01\x00\x01\x01\x15\x03\x01\x00\x02\x02\x28".to_vec(),
        ),
        ("a hello that is cut off", hello[..hello.len() / 2].to_vec()),
        (
            "octets of a hello that is cut off, a record each",
            records(&hello[5..90]),
        ),
        ("silence", Vec::new()),
    ];
    for (what, octets) in table {
        let mut socket = TcpStream::connect(gateway.listener()).expect("a connection");
        let patience = Some(Duration::from_secs(20));
        socket.set_read_timeout(patience).expect("a timeout");
        socket.write_all(&octets).expect("a write");
        let mut rest = Vec::new();
        let ended = socket.read_to_end(&mut rest);
        let is_late = |error: &std::io::Error| error.kind() == std::io::ErrorKind::WouldBlock;
        assert!(!ended.as_ref().is_err_and(is_late), "{what}: {ended:?}");
        // An alert at most.
        assert!(rest.len() <= 7, "{what}: {rest:?}");
    }
    let mut stream = connect(&gateway, &config, "books.test");
    exchange(&mut stream, "/").expect("an answer");
}

#[test]
fn a_hello_that_comes_ever_so_slowly_is_not_waited_for() {
    let origin = stored();
    let authority = Authority::new();
    authority.sign("a", &["books.test"]);
    let gateway = setup(&origin, &authority.certificates(&["a"]))
        .server("head_timeout = '2s'")
        .manual_deadlines()
        .start();
    let config = Arc::new(authority.client(&BOTH));
    let mut stream = connect(&gateway, &config, "books.test");
    let mut hello = Vec::new();
    stream.conn.write_tls(&mut hello).expect("a hello");
    stream.sock.set_nonblocking(true).expect("an option");
    // All but its end, an octet at a time: each is progress, and together they are late.
    let mut octets = hello[..hello.len() - 1].iter();
    await_that("the end", || {
        let octet = octets.next();
        let is_refused = octet.is_some_and(|octet| stream.sock.write_all(&[*octet]).is_err());
        gateway.advance_deadlines(Duration::from_millis(20));
        is_refused
            || !matches!(stream.sock.read(&mut [0]), Err(error) if error.kind() == std::io::ErrorKind::WouldBlock)
    });
}

#[test]
fn a_client_s_certificate_that_expires_is_refused_at_the_next_handshake() {
    let origin = stored();
    let authority = Authority::new();
    authority.sign("a", &["books.test"]);
    let lines = format!(
        "{}\nclient_ca = {:?}",
        authority.certificates(&["a"]),
        authority.path("ca.pem")
    );
    let gateway = setup(&origin, &lines).start();
    let now = bookend::clock::Clock::system().now().wall.as_secs();
    let (certificate, key) = authority.sign_with("client", &["client"], |params| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.not_after = rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(now + 6);
    });
    let config = BOTH.map(|version| {
        let builder = authority.builder(&[version]);
        let mut config = builder
            .with_client_auth_cert(vec![certificate.clone()], key.clone_key())
            .expect("a pair");
        config.resumption = Resumption::in_memory_sessions(8);
        Arc::new(config)
    });
    for config in &config {
        let mut stream = connect(&gateway, config, "books.test");
        exchange(&mut stream, "/").expect("an answer while it is valid");
    }
    // The clients have what they could resume by, if there were anything.
    for config in &config {
        await_that("the refusal", || {
            let mut stream = connect(&gateway, config, "books.test");
            let answer = exchange(&mut stream, "/");
            assert_ne!(stream.conn.handshake_kind(), Some(HandshakeKind::Resumed));
            answer.is_err()
        });
    }
}

/// How often certificates are swapped under load.
const SWAPS: usize = 50;

#[test]
fn certificates_are_swapped_under_load_and_no_request_fails() {
    let origin = stored();
    let authority = Authority::new();
    let first = authority.sign("a", &["books.test"]);
    let setup = setup(&origin, &authority.certificates(&["a"]));
    let gateway = setup.clone().start();
    let stop = AtomicBool::new(false);
    let counts: [AtomicUsize; 3] = Default::default();
    let [requests, connections, kept] = &counts;
    let mut seen = vec![first];
    std::thread::scope(|scope| {
        for client in 0..8 {
            let (gateway, authority, stop) = (&gateway, &authority, &stop);
            scope.spawn(move || {
                // Half of them resume sessions, half of them shake hands in full.
                let mut config = authority.client(&BOTH);
                if client % 2 == 0 {
                    config.resumption = Resumption::disabled();
                }
                let config = Arc::new(config);
                let old = &mut connect(gateway, &config, "books.test");
                ask(old);
                while !stop.load(Ordering::Relaxed) {
                    let new = &mut connect(gateway, &config, "books.test");
                    for stream in [&mut *old, new] {
                        ask(stream);
                        requests.fetch_add(1, Ordering::Relaxed);
                    }
                    connections.fetch_add(1, Ordering::Relaxed);
                }
                // The connection of the beginning is still open.
                ask(old);
                kept.fetch_add(1, Ordering::Relaxed);
            });
        }
        let mut config = authority.client(&BOTH);
        config.resumption = Resumption::disabled();
        let config = Arc::new(config);
        for _ in 0..SWAPS {
            let before = connections.load(Ordering::Relaxed);
            seen.push(authority.sign("a", &["books.test"]));
            gateway.reload(&setup);
            let mut stream = connect(&gateway, &config, "books.test");
            ask(&mut stream);
            let shown = &stream.conn.peer_certificates().expect("certificates")[0];
            assert_eq!(Some(shown), seen.last());
            await_that("new connections", || {
                stop.load(Ordering::Relaxed) || connections.load(Ordering::Relaxed) >= before + 8
            });
        }
        stop.store(true, Ordering::Relaxed);
    });
    // A client that fails panics, and so does the scope.
    assert_eq!(kept.load(Ordering::Relaxed), 8);
    assert!(connections.load(Ordering::Relaxed) >= 8 * SWAPS);
    assert_eq!(gateway.metric("bookend_tls_failures_total"), 0);
    assert!(gateway.metric("bookend_tls_resumed_total") > 0);
}

/// Sends a GET on a connection that stays open.
fn ask(stream: &mut Stream) {
    let request = "GET /books HTTP/1.1\r\nHost: books.test\r\n\r\n";
    stream.write_all(request.as_bytes()).expect("a write");
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n1984") {
        let mut octet = [0];
        stream.read_exact(&mut octet).expect("an answer");
        answer.push(octet[0]);
    }
    assert!(answer.starts_with(b"HTTP/1.1 200 "));
}

#[test]
fn clients_need_a_certificate_that_is_valid() {
    let origin = stored();
    let authority = Authority::new();
    authority.sign("a", &["books.test"]);
    let of_client = |params: &mut CertificateParams, serial: u64| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.serial_number = Some(SerialNumber::from(serial));
    };
    let good = authority.sign_with("good", &["c1"], |params| of_client(params, 1));
    let revoked = authority.sign_with("revoked", &["c2"], |params| of_client(params, 2));
    let expired = authority.sign_with("expired", &["c3"], |params| {
        of_client(params, 3);
        params.not_before = rcgen::date_time_ymd(2000, 1, 1);
        params.not_after = rcgen::date_time_ymd(2001, 1, 1);
    });
    let stranger = Authority::new().sign_with("stranger", &["c4"], |params| of_client(params, 4));
    authority.revoke(&[2]);
    let lines = |optional: bool| {
        format!(
            "{}\nclient_ca = {:?}\nclient_crl = {:?}\nclient_optional = {optional}",
            authority.certificates(&["a"]),
            authority.path("ca.pem"),
            authority.path("crl.pem"),
        )
    };
    for optional in [false, true] {
        let gateway = setup(&origin, &lines(optional)).start();
        for (name, shown, is_served) in [
            ("none", None, optional),
            ("good", Some(&good), true),
            ("revoked", Some(&revoked), false),
            ("expired", Some(&expired), false),
            ("stranger", Some(&stranger), false),
        ] {
            for version in BOTH {
                let builder = authority.builder(&[version]);
                let config = match shown {
                    None => builder.with_no_client_auth(),
                    Some((certificate, key)) => builder
                        .with_client_auth_cert(vec![certificate.clone()], key.clone_key())
                        .expect("a pair"),
                };
                let config = Arc::new(config);
                // The second connection cannot resume what the first was granted.
                for turn in 0..2 {
                    let mut stream = connect(&gateway, &config, "books.test");
                    let answer = exchange(&mut stream, "/");
                    let is_answered = answer
                        .as_ref()
                        .is_ok_and(|answer| answer.starts_with("HTTP/1.1 200 "));
                    assert_eq!(
                        is_answered, is_served,
                        "{name} {version:?} {turn}: {answer:?}"
                    );
                    let kind = stream.conn.handshake_kind();
                    assert_ne!(
                        kind,
                        Some(HandshakeKind::Resumed),
                        "{name} {version:?} {turn}"
                    );
                }
            }
        }
    }
}

#[test]
fn a_connection_ends_when_what_was_demanded_of_its_client_has_changed() {
    let origin = stored();
    let authority = Authority::new();
    authority.sign("a", &["books.test"]);
    let of_client = |params: &mut CertificateParams| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.serial_number = Some(SerialNumber::from(1));
    };
    let (certificate, key) = authority.sign_with("client", &["c1"], of_client);
    authority.revoke(&[]);
    let lines = format!(
        "{}\nclient_ca = {:?}\nclient_crl = {:?}",
        authority.certificates(&["a"]),
        authority.path("ca.pem"),
        authority.path("crl.pem"),
    );
    let of_all = setup(&origin, &lines);
    let gateway = of_all.clone().start();
    let config = authority
        .builder(&BOTH)
        .with_client_auth_cert(vec![certificate], key.clone_key())
        .expect("a pair");
    let config = Arc::new(config);
    let mut kept = connect(&gateway, &config, "books.test");
    ask(&mut kept);
    // Another certificate of our own, and a reload that changes nothing, end none.
    authority.sign("a", &["books.test"]);
    gateway.reload(&of_all);
    ask(&mut kept);
    ask(&mut kept);

    let close = |stream: &mut Stream| {
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).expect("a close");
        assert!(rest.is_empty(), "{rest:?}");
    };
    authority.revoke(&[1]);
    // No reload: the files are watched.
    close(&mut kept);
    let answer = exchange(&mut connect(&gateway, &config, "books.test"), "/");
    assert!(!answer.is_ok_and(|answer| answer.starts_with("HTTP/1.1 200 ")));

    // One that had to show none.
    let gateway = setup(&origin, &authority.certificates(&["a"])).start();
    let config = Arc::new(authority.client(&BOTH));
    let mut kept = connect(&gateway, &config, "books.test");
    ask(&mut kept);
    gateway.reload(&of_all);
    close(&mut kept);
}

#[test]
fn the_api_is_told_the_certificate_and_a_client_cannot_write_it() {
    let origin = stored();
    let authority = Authority::new();
    authority.sign("a", &["books.test"]);
    let of_client = |params: &mut CertificateParams| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    };
    let clients = ["one", "two"].map(|name| authority.sign_with(name, &[name], of_client));
    let tls = format!(
        "{}\nclient_ca = {:?}\nclient_cert_field = true\nclient_optional = true",
        authority.certificates(&["a"]),
        authority.path("ca.pem"),
    );
    let gateway = setup(&origin, &tls).start();
    let forged = "GET /me HTTP/1.1\r\nHost: books.test\r\nClient-Cert: :Zm9yZ2Vk:\r\n\
                  Client-Cert-Chain: :Zm9yZ2Vk:\r\nConnection: close\r\n\r\n";
    let mut told = Vec::new();
    for (certificate, key) in &clients {
        // The second request of each could be a hit if the response were shared.
        for _ in 0..2 {
            let config = authority
                .builder(&BOTH)
                .with_client_auth_cert(vec![certificate.clone()], key.clone_key())
                .expect("a pair");
            let mut stream = connect(&gateway, &Arc::new(config), "books.test");
            stream.write_all(forged.as_bytes()).expect("a write");
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).expect("an answer");
            let last = origin.last();
            assert_eq!(last.fields.all("client-cert").count(), 1);
            assert!(!last.fields.has("client-cert-chain"));
            told.push(
                last.fields
                    .get("client-cert")
                    .expect("a certificate")
                    .to_owned(),
            );
        }
    }
    assert_eq!(origin.count(), 4);
    assert!(told[0] == told[1] && told[1] != told[2] && told[2] == told[3]);
    assert!(told[0].starts_with(':') && told[0].ends_with(':') && told[0].len() > 300);
    // Without a certificate, with TLS and without, what a client writes does not reach the API.
    let config = Arc::new(authority.client(&BOTH));
    let mut stream = connect(&gateway, &config, "books.test");
    stream.write_all(forged.as_bytes()).expect("a write");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("an answer");
    assert!(!origin.last().fields.has("client-cert"));
    let forged = get("/other").field("Client-Cert", ":Zm9yZ2Vk:");
    gateway.send(&forged).expect(200);
    assert!(!origin.last().fields.has("client-cert"));
    // A trusted proxy's does.
    let behind = Gateway::before(&origin)
        .server("trusted_proxies = ['127.0.0.1']")
        .start();
    behind.send(&forged).expect(200);
    let last = origin.last();
    assert_eq!(last.fields.get("client-cert"), Some(":Zm9yZ2Vk:"));
}

#[test]
fn a_listener_can_redirect_all_requests_to_https() {
    let origin = stored();
    let gateway = Gateway::before(&origin)
        .more("[[listener]]\nlisten = '127.0.0.1:0'\nredirect = 8443")
        .start();
    for (method, status) in [("GET", 301), ("HEAD", 301), ("POST", 308), ("DELETE", 308)] {
        let request =
            crate::common::request(method, "/books?page=2").field("Host", "books.test:80");
        let answer = Client::to(gateway.listener()).send(&request).expect(status);
        let location = answer.field("location");
        assert_eq!(
            location,
            Some("https://books.test:8443/books?page=2"),
            "{method}"
        );
        assert!(answer.says("detail=redirected"), "{answer:?}");
    }
    assert_eq!(origin.count(), 0);
    gateway.get("/books").expect(200);
}
