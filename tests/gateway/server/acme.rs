//! Certificates that an authority has issued: which of them a client gets, and what is left of them when files or the
//! authority fail. How they are issued is shown with a real authority, in `tests/e2e/test_acme.py`.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;

use bookend::config::Acme;
use bookend::config::acme::Challenge;
use rustls::client::Resumption;
use rustls::pki_types::CertificateDer;
use rustls::{AlertDescription, Error};

use super::tls::{Authority, BOTH, connect, exchange, setup, stored};
use crate::common::{Client, Gateway, Setup, await_that, get};

/// Nobody answers there: the authority is down.
const DIRECTORY: &str = "https://127.0.0.1:1/directory";

/// What an authority has issued for `name` before, at its place below `state`.
fn store(authority: &Authority, state: &Path, name: &str) -> CertificateDer<'static> {
    let acme = Acme {
        domains: Vec::new(),
        contact: Vec::new(),
        directory: DIRECTORY.to_owned(),
        directory_ca: None,
        state: state.to_owned(),
        challenge: Challenge::TlsAlpn01,
        profile: None,
        binding: None,
    };
    let certificate = authority.sign(name, &[name]);
    let read =
        |ending: &str| fs::read(authority.path(&format!("{name}.{ending}"))).expect("a file");
    fs::create_dir_all(acme.folder()).expect("a folder");
    let pem = [read("key"), read("pem")].concat();
    fs::write(acme.certificate(name).cert, pem).expect("a file");
    certificate
}

/// Lines of `[listener.tls]`.
fn acme(state: &Path, names: &[&str]) -> String {
    format!(
        "acme = {{ domains = {names:?}, directory = '{DIRECTORY}', state = {state:?}, agree_terms = true }}"
    )
}

/// The certificate that a client that asks for `name` gets, or the alert.
fn shown(
    gateway: &Gateway,
    authority: &Authority,
    name: &str,
) -> Result<CertificateDer<'static>, AlertDescription> {
    let mut config = authority.client(&BOTH);
    config.resumption = Resumption::disabled();
    let mut stream = connect(gateway, &Arc::new(config), name);
    match exchange(&mut stream, "/") {
        Ok(answer) => {
            assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
            Ok(stream.conn.peer_certificates().expect("certificates")[0].clone())
        }
        Err(error) => {
            let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
            match inner {
                Some(Error::AlertReceived(alert)) => Err(*alert),
                _ => panic!("{name}: {error:?}"),
            }
        }
    }
}

#[test]
fn an_exact_name_in_a_file_goes_before_what_is_issued_and_that_before_a_wildcard() {
    let origin = stored();
    let authority = Authority::new();
    let state = tempfile::tempdir().expect("a folder");
    let first = authority.sign("first", &["a.test"]);
    let wildcard = authority.sign("wildcard", &["*.b.test"]);
    let _hidden = store(&authority, state.path(), "a.test");
    let issued = store(&authority, state.path(), "books.test");
    let below = store(&authority, state.path(), "x.b.test");
    let names = ["a.test", "books.test", "x.b.test", "y.b.test", "none.test"];
    let tls = format!(
        "{}\n{}",
        authority.certificates(&["first", "wildcard"]),
        acme(state.path(), &names)
    );
    let gateway = setup(&origin, &tls).start();
    for (name, expected) in [
        ("a.test", Ok(&first)),
        ("books.test", Ok(&issued)),
        ("Books.TEST", Ok(&issued)),
        ("x.b.test", Ok(&below)),
        // Not issued yet, and the wildcard is for it, too.
        ("y.b.test", Ok(&wildcard)),
        // Another name's certificate would be no use.
        ("none.test", Err(AlertDescription::UnrecognisedName)),
    ] {
        assert_eq!(
            shown(&gateway, &authority, name).as_ref(),
            expected.as_ref().map(|found| *found),
            "{name}"
        );
    }
    gateway.await_metric("bookend_acme_missing", 2);
    assert_eq!(gateway.metric("bookend_tls_failures_total"), 1);
    let expiries = Client::to(gateway.admin_addr())
        .get("/metrics")
        .expect(200)
        .text();
    assert_eq!(
        expiries
            .matches("bookend_certificate_expiry_seconds{")
            .count(),
        5
    );
    let ready = Client::to(gateway.admin_addr())
        .get("/readyz")
        .expect(200)
        .text();
    assert_eq!(
        ready,
        "ready, but there is no certificate for y.b.test, none.test yet\n"
    );
    // The authority has been asked for the first of them.
    await_that("a failure", || {
        gateway.metric("bookend_acme_issues_total") > 0
    });
}

#[test]
fn a_client_that_names_no_host_gets_the_first_that_there_is() {
    let origin = stored();
    let authority = Authority::new();
    let state = tempfile::tempdir().expect("a folder");
    // An address in the place of a name is not sent.
    let both = authority.sign("127.0.0.1", &["books.test", "127.0.0.1"]);
    let lines = acme(state.path(), &["none.test", "books.test"]);
    let gateway = setup(&origin, &lines).start();
    let refused = Err(AlertDescription::UnrecognisedName);
    assert_eq!(shown(&gateway, &authority, "127.0.0.1"), refused);
    drop(gateway);
    store(&authority, state.path(), "books.test");
    let place = fs::read_dir(state.path()).expect("a folder").next();
    let place = place.expect("one").expect("an entry").path();
    let read =
        |ending: &str| fs::read(authority.path(&format!("127.0.0.1.{ending}"))).expect("a file");
    let pem = [read("key"), read("pem")].concat();
    fs::write(place.join("books.test.pem"), pem).expect("a file");
    let gateway = setup(&origin, &lines).start();
    assert_eq!(shown(&gateway, &authority, "127.0.0.1"), Ok(both));
}

#[test]
fn what_works_stays_in_use_when_its_file_is_lost_and_names_follow_a_reload() {
    let origin = stored();
    let authority = Authority::new();
    let state = tempfile::tempdir().expect("a folder");
    let one = store(&authority, state.path(), "one.test");
    let before = setup(&origin, &acme(state.path(), &["one.test"]));
    let gateway = before.clone().start();
    assert_eq!(shown(&gateway, &authority, "one.test").as_ref(), Ok(&one));

    let file = gateway_file(state.path(), "one.test");
    for garbage in [Some("no certificate"), None] {
        match garbage {
            Some(garbage) => fs::write(&file, garbage).expect("a file"),
            None => fs::remove_file(&file).expect("a file"),
        }
        gateway.reload(&before);
        assert_eq!(shown(&gateway, &authority, "one.test").as_ref(), Ok(&one));
    }
    // One that another process has stored is taken over, and a name that is gone is refused.
    let two = store(&authority, state.path(), "two.test");
    let after: Setup = setup(&origin, &acme(state.path(), &["two.test"]));
    gateway.reload(&after);
    assert_eq!(shown(&gateway, &authority, "two.test").as_ref(), Ok(&two));
    // The first that there is; it is for another name.
    let mut stream = connect(&gateway, &Arc::new(authority.client(&BOTH)), "one.test");
    exchange(&mut stream, "/").expect_err("another name");
}

fn gateway_file(state: &Path, name: &str) -> std::path::PathBuf {
    let place = fs::read_dir(state).expect("a folder").next();
    let place = place.expect("one").expect("an entry").path();
    place.join(format!("{name}.pem"))
}

#[test]
fn a_handshake_of_an_authority_that_proves_nothing_is_refused() {
    let origin = stored();
    let authority = Authority::new();
    let state = tempfile::tempdir().expect("a folder");
    store(&authority, state.path(), "books.test");
    let lines = acme(state.path(), &["books.test"]);
    let gateway = setup(&origin, &lines).start();
    for offered in [&["acme-tls/1"][..], &["acme-tls/1", "http/1.1"]] {
        let mut config = authority.client(&BOTH);
        config.alpn_protocols = offered
            .iter()
            .map(|name| name.as_bytes().to_vec())
            .collect();
        let mut stream = connect(&gateway, &Arc::new(config), "books.test");
        let answer = exchange(&mut stream, "/");
        // With another protocol it is an ordinary client (RFC 8737 §3).
        assert_eq!(answer.is_ok(), offered.len() > 1, "{answer:?}");
        assert_ne!(stream.conn.alpn_protocol(), Some(&b"acme-tls/1"[..]));
    }
}

#[test]
fn a_path_of_a_challenge_is_served_like_another_where_none_is_in_flight() {
    let origin = stored();
    let authority = Authority::new();
    let state = tempfile::tempdir().expect("a folder");
    store(&authority, state.path(), "books.test");
    let lines = acme(state.path(), &["books.test"])
        .replace(" agree_terms", " challenge = 'http-01', agree_terms");
    let gateway = setup(&origin, &lines).start();
    let path = "/.well-known/acme-challenge/token";
    let answer = Client::to(gateway.addr()).send(&get(path)).expect(200);
    assert_eq!(answer.text(), "1984");
    // A name that has no certificate yet costs one record, whatever follows.
    let mut socket = TcpStream::connect(gateway.listener()).expect("a connection");
    socket
        .write_all(b"\x16\x03\x01\x00\x02\x01\x00")
        .expect("a write");
    socket.shutdown(std::net::Shutdown::Write).expect("an end");
    let mut rest = Vec::new();
    let _ = socket.read_to_end(&mut rest);
    assert!(rest.len() < 64, "{rest:?}");
}
