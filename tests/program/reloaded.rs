//! What a reload changes beside the rules of requests: the logs, the admin API, TLS; all of it or nothing.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Output;
use std::sync::Arc;

use crate::common::{Client, Origin, PATIENCE, await_that};
use crate::handover::Load;
use crate::operated::{Program, books, command, expect};

/// The file with these lines in `[log]`.
fn with_log(program: &Program, origin: &Origin, log: &str, admin: &str) -> String {
    let text = Program::text(program.folder.path(), origin, admin, "");
    text.replace("access = \"off\"", log)
}

fn reload(program: &Program, text: &str) -> Output {
    fs::write(program.file(), text).expect("written");
    program.bookend(&["reload"])
}

fn lines(file: &Path) -> usize {
    fs::read_to_string(file).map_or(0, |text| text.lines().count())
}

#[test]
fn the_access_log_and_the_level_of_the_log_follow_a_reload() {
    let origin = books();
    let mut program = Program::start(&origin, "", "");
    let at = |name: &str| program.folder.path().join(name);
    let (first, second) = (at("first.log"), at("second.log"));
    let to = |format: &str, file: &Path| {
        format!("access = '{format}'\naccess_file = '{}'", file.display())
    };
    // One connection, whose worker has the log that is replaced.
    let mut client = Client::to(program.addr);
    client.get("/books").expect(200);
    for (log, file, count) in [
        (to("combined", &first), &first, 3),
        (to("json", &second), &second, 3),
        (to("combined", &second), &second, 6),
        (to("json", &first), &first, 6),
    ] {
        expect(reload(&program, &with_log(&program, &origin, &log, "")), 0);
        for _ in 0..3 {
            client.get("/books").expect(200);
        }
        await_that("all requests are logged", || lines(file) == count);
    }
    assert!(fs::read_to_string(&second).expect("a log").starts_with('{'));
    expect(
        reload(&program, &with_log(&program, &origin, "access = 'off'", "")),
        0,
    );
    client.get("/books").expect(200);
    assert_eq!((lines(&first), lines(&second)), (6, 6));

    for _ in 0..5 {
        program.await_line("configuration reloaded");
    }
    let level = |level: &str| {
        let log = format!("access = 'off'\nlevel = '{level}'");
        with_log(&program, &origin, &log, "")
    };
    let (error, info) = (level("error"), level("info"));
    expect(reload(&program, &error), 0);
    let mistaken = format!("{error}\nmemroy = 1");
    expect(reload(&program, &mistaken), 2);
    // No line tells of the first one.
    assert!(program.line().contains("unknown key `memroy`"));
    program.await_line("configuration not reloaded");
    expect(reload(&program, &info), 0);
    program.await_line("configuration reloaded");
    let format = reload(
        &program,
        &with_log(&program, &origin, "format = 'json'", ""),
    );
    let told = String::from_utf8_lossy(&format.stderr).into_owned();
    assert!(told.contains("[log] format has changed: restart"), "{told}");
}

#[test]
fn a_reload_that_changes_the_disk_tier_says_that_it_needs_a_restart_and_leaves_it_as_it_is() {
    let origin = books();
    let program = Program::start(&origin, "", "");
    let kept = program.folder.path().join("kept");
    let disk = format!("[disk]\npath = {kept:?}");
    let text = Program::text(program.folder.path(), &origin, "", &disk);
    let reloaded = reload(&program, &text);
    let told = String::from_utf8_lossy(&reloaded.stderr).into_owned();
    assert!(told.contains("[disk] has changed: restart"), "{told}");
    expect(reloaded, 0);
    assert!(!kept.exists());
    Client::to(program.addr).get("/books").expect(200);
}

#[test]
fn the_token_of_the_admin_api_follows_a_reload() {
    let origin = books();
    let mut program = Program::start(&origin, "", "");
    let folder = program.folder.path().to_owned();
    let purge = |token: &str| {
        let mut command = command(&folder, &["purge", "--all"]);
        let output = command.env("BOOKEND_ADMIN_TOKEN", token).output();
        output.expect("the program").status.code()
    };
    let text = |token: &str| Program::text(&folder, &origin, token, "");
    assert_eq!(purge("wrong"), Some(0), "none is needed");
    fs::write(program.file(), text("token = 'another'")).expect("written");
    program.signal("-HUP");
    program.await_line("configuration reloaded");
    // The variable precedes the file.
    assert_eq!(purge("wrong"), Some(2));
    assert_eq!(purge("another"), Some(0));
    fs::write(program.file(), text("")).expect("written");
    program.signal("-HUP");
    program.await_line("configuration reloaded");
    assert_eq!(purge("wrong"), Some(0));
}

#[test]
fn addresses_and_the_treatment_of_connections_follow_a_reload_and_no_request_fails() {
    let origin = books();
    let mut program = Program::start(&origin, "", "");
    let load = Load::start(program.addr);
    let folder = program.folder.path().to_owned();
    let listen = |line: &str| {
        let text = Program::text(&folder, &origin, "", "");
        text.replace("listen = \"127.0.0.1:0\"", line)
    };
    let unix = |name: &str| {
        let mut stream = UnixStream::connect(folder.join(name))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(b"GET /books HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok::<_, std::io::Error>(answer)
    };
    let path = |name: &str| folder.join(name).display().to_string();
    for _ in 0..5 {
        load.await_more(100);
        let both = format!("listen = ['127.0.0.1:0', 'unix:{}']", path("a.sock"));
        expect(reload(&program, &listen(&both)), 0);
        let answer = unix("a.sock").expect("an answer");
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        load.await_more(100);
        // The same address is treated in another way, and stays open.
        let redirects = format!(
            "[[listener]]\nlisten = ['unix:{}', 'unix:{}']\nredirect = 443",
            path("a.sock"),
            path("b.sock")
        );
        let text = Program::text(&folder, &origin, "", &redirects);
        expect(reload(&program, &text), 0);
        await_that("it redirects", || {
            let answer = unix("a.sock").expect("an answer");
            answer.starts_with("HTTP/1.1 301 ")
        });
        unix("b.sock").expect("an answer");
        expect(reload(&program, &listen("listen = '127.0.0.1:0'")), 0);
        program.await_line("not listening any more");
        assert!(unix("a.sock").is_err() && !folder.join("a.sock").exists());
    }
    load.stop();

    // An address that cannot be had changes nothing.
    let other = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = other.local_addr().expect("an address");
    let both = format!(
        "listen = ['127.0.0.1:0', 'unix:{}', '{taken}']",
        path("a.sock")
    );
    let told = expect(reload(&program, &listen(&both)), 2);
    assert!(told.contains("another process already does"), "{told}");
    assert!(!folder.join("a.sock").exists());
    Client::to(program.addr).get("/books").expect(200);

    // What is open has the new timeouts.
    let mut idle = Client::to(program.addr);
    idle.get("/books").expect(200);
    let short = "listen = '127.0.0.1:0'\nidle_timeout = '10ms'\nmax_uri = '64'";
    expect(reload(&program, &listen(short)), 0);
    idle.await_close();
    let long = format!("/{}", "a".repeat(100));
    Client::to(program.addr).get(&long).expect(414);
}

#[test]
fn the_address_of_the_admin_api_follows_a_reload() {
    let origin = books();
    let mut program = Program::start(&origin, "", "");
    let folder = program.folder.path().to_owned();
    let text = Program::text(&folder, &origin, "", "");
    let moved = text.replace("admin.sock", "moved.sock");
    fs::write(program.file(), &moved).expect("written");
    // The new address is not there yet.
    expect(program.bookend(&["reload"]), 1);
    let before = format!("unix:{}", folder.join("admin.sock").display());
    expect(program.bookend(&["reload", "--admin", &before]), 0);
    program.await_line("admin API open");
    assert_eq!(expect(program.bookend(&["health"]), 0), "ok\n");
    expect(program.bookend(&["health", "--admin", &before]), 1);
    assert!(!folder.join("admin.sock").exists());
    expect(reload(&program, &moved), 0);
}

#[test]
fn a_reload_that_fails_late_changes_nothing() {
    let origin = books();
    let made = rcgen::generate_simple_self_signed(["books.test".to_owned()]);
    let rcgen::CertifiedKey { cert, signing_key } = made.expect("a certificate");
    let folder = tempfile::tempdir().expect("a folder");
    let (pem, key) = (
        folder.path().join("cert.pem"),
        folder.path().join("key.pem"),
    );
    fs::write(&pem, cert.pem()).expect("written");
    fs::write(&key, signing_key.serialize_pem()).expect("written");
    let text = |tls: &str, log: &str| {
        let listener = format!(
            "[[listener]]\nlisten = '127.0.0.1:0'\n[listener.tls]\ncertificates = [{{ cert = {pem:?}, key = {key:?} }}]\n{tls}"
        );
        Program::text(folder.path(), &origin, "", &listener)
            .replace("listen = \"127.0.0.1:0\"\n", "")
            .replace("access = \"off\"", log)
    };
    let first = text("", "access = 'off'");
    let hsts = text("hsts = '1h'", "access = 'off'");
    let fails = text(
        "hsts = '1h'",
        &format!(
            "access_file = '{}/none/access.log'",
            folder.path().display()
        ),
    );
    let other = tempfile::tempdir().expect("a folder");
    fs::write(other.path().join("config.toml"), &first).expect("written");
    let program = Program::run(other, &first);

    let mut roots = rustls::RootCertStore::empty();
    roots.add(cert.der().clone()).expect("a root");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let client = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let client = Arc::new(client);
    let has_hsts = || {
        let name = "books.test".try_into().expect("a name");
        let connection = rustls::ClientConnection::new(client.clone(), name);
        let socket = TcpStream::connect(program.addr).expect("a connection");
        let mut stream = rustls::StreamOwned::new(connection.expect("settings"), socket);
        stream
            .write_all(b"GET /books HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            .expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        answer.contains("strict-transport-security")
    };
    assert!(!has_hsts());
    let told = expect(reload(&program, &fails), 2);
    assert!(told.contains("the access log cannot be opened"), "{told}");
    assert!(!has_hsts());
    expect(reload(&program, &hsts), 0);
    assert!(has_hsts());
}
