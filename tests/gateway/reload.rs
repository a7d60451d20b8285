//! SIGHUP: the program reads its configuration again, and no request notices.

use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, ChildStderr, Command, Stdio};

use crate::common::{Client, End, Origin, await_that, reply};

/// A `bookend run` with a file that can be changed.
struct Program {
    child: Child,
    log: BufReader<ChildStderr>,
    addr: SocketAddr,
    file: PathBuf,
    _folder: tempfile::TempDir,
}

impl Program {
    fn start(text: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("config.toml");
        std::fs::write(&file, text).expect("written");
        // The command line's address takes the place of all that the file has.
        let listen = ["--listen", "127.0.0.1:0"];
        let listen = listen.iter().filter(|_| !text.contains("[[listener]]"));
        let mut child = Command::new(env!("CARGO_BIN_EXE_bookend"))
            .args(["run", "--admin", "off"])
            .args(listen)
            .arg("--config")
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program");
        let mut program = Self {
            log: BufReader::new(child.stderr.take().expect("piped")),
            child,
            addr: SocketAddr::from(([127, 0, 0, 1], 0)),
            file,
            _folder: folder,
        };
        let line = program.await_line("listening");
        let addr = line.split("127.0.0.1:").nth(1).expect("an address");
        let port: String = addr.chars().take_while(char::is_ascii_digit).collect();
        program.addr.set_port(port.parse().expect("a port"));
        program
    }

    /// Reads the log up to a line with `words`, and gives all of it.
    fn await_line(&mut self, words: &str) -> String {
        let mut said = String::new();
        while !said.contains(words) {
            assert_ne!(self.log.read_line(&mut said).expect("text"), 0, "{said}");
        }
        said
    }

    fn reload(&self, text: &str) {
        std::fs::write(&self.file, text).expect("written");
        self.signal("-HUP");
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args([name, &pid]).status();
        assert!(sent.expect("kill").success());
    }

    fn stop(mut self) {
        self.signal("-TERM");
        assert_eq!(self.child.wait().expect("an end").code(), Some(0));
    }
}

#[test]
fn a_reload_changes_the_policy_of_connections_that_are_open_and_keeps_what_is_stored() {
    let origin = Origin::answering(reply(200).field("Cache-Control", "max-age=60").body("1984"));
    let with = |more: &str| format!("[upstream]\nservers = \"{}\"\n{more}", origin.url());
    let mut program = Program::start(&with(""));
    let mut client = Client::to(program.addr);
    client.get("/books/123").expect(200);

    let bypass = with("[[route]]\nmatch = '/books/{id}'\nbypass = true\n");
    program.reload(&bypass);
    program.await_line("configuration reloaded");
    assert!(client.get("/books/123").expect(200).fwd("bypass"));

    program.reload(&with("[cache]\nmemory = '1MiB'\ndebug = true\n"));
    let said = program.await_line("configuration reloaded");
    assert!(said.contains("[cache] memory has changed"), "{said}");
    let hit = client.get("/books/123").expect(200);
    assert!(
        hit.is_hit() && hit.cache_status().contains("; key="),
        "{}",
        hit.cache_status()
    );
    assert_eq!(client.connects(), 1);
    program.stop();
}

#[test]
fn a_reload_with_mistakes_tells_them_all_and_changes_nothing() {
    let origin = Origin::answering(reply(200).field("Cache-Control", "max-age=60").body("1984"));
    let text = format!("[upstream]\nservers = \"{}\"\n", origin.url());
    let mut program = Program::start(&text);
    let mut client = Client::to(program.addr);
    client.get("/books/123").expect(200);

    program.reload(&format!(
        "{text}[cache]\nbypass = true\nmemroy = 1\nttl = 5\n"
    ));
    let said = program.await_line("configuration not reloaded");
    for place in [
        "config.toml:5:1: unknown key `memroy`",
        "config.toml:6:7: `ttl`",
    ] {
        assert!(said.contains(place), "{said}");
    }
    assert!(client.get("/books/123").expect(200).is_hit());
    program.stop();
}

#[test]
fn a_reload_ends_the_connections_whose_listener_is_gone_or_believes_others() {
    let origin = Origin::answering(reply(200).field("Cache-Control", "no-store").body("1984"));
    let folder = tempfile::tempdir().expect("a folder");
    let [first, second] = ["one", "two"].map(|name| folder.path().join(name));
    let with = |balancers: &str, others: &[&PathBuf]| {
        let listener =
            |path: &&PathBuf| format!("[[listener]]\nlisten = 'unix:{}'\n", path.display());
        let others: String = others.iter().map(listener).collect();
        format!(
            "[server]\nlisten = '127.0.0.1:0'\n[upstream]\nservers = \"{}\"\n[[listener]]\nlisten = '127.0.0.1:0'\n\
             proxy_protocol = ['{balancers}']\n{others}",
            origin.url()
        )
    };
    let mut program = Program::start(&with("127.0.0.0/8", &[&first, &second]));
    let said = program.await_line("two");
    let line = said.lines().find(|line| line.contains("127.0.0.1:"));
    let port = line.and_then(|line| line.split("127.0.0.1:").nth(1));
    let digits = port.expect("an address").chars();
    let port: String = digits.take_while(char::is_ascii_digit).collect();
    let balanced = SocketAddr::from(([127, 0, 0, 1], port.parse().expect("a port")));

    let request = "GET /books HTTP/1.1\r\nHost: books.test\r\n\r\n";
    let mut behind = Client::to(balanced);
    behind.write("PROXY TCP4 192.0.2.1 127.0.0.1 12345 80\r\n");
    behind.write(request);
    behind.answer("GET").finish().expect(200);
    let mut plain = Client::to(program.addr);
    plain.get("/books").expect(200);
    let mut on_unix = [&first, &second].map(|path| UnixStream::connect(path).expect("a socket"));
    for stream in &mut on_unix {
        stream.write_all(request.as_bytes()).expect("a write");
        assert!(answer(stream).starts_with("HTTP/1.1 200 "));
    }

    program.reload(&with("10.0.0.0/8", &[&second]));
    program.await_line("configuration reloaded");
    // An idle one may be about to send a request: that is answered, and soon told that the connection ends.
    let [gone, stays] = &mut on_unix;
    await_that("a response says that the connection ends", || {
        gone.write_all(request.as_bytes()).expect("a write");
        answer(gone).to_lowercase().contains("connection: close")
    });
    assert_eq!(gone.read(&mut [0]).expect("a close"), 0);
    assert_ne!(behind.await_close(), End::Stalled);
    // Others are not concerned.
    for _ in 0..2 {
        stays.write_all(request.as_bytes()).expect("a write");
        assert!(!answer(stays).to_lowercase().contains("connection: close"));
        plain.get("/books").expect(200);
    }
    assert_eq!(plain.connects(), 1);
    program.stop();
}

/// Reads up to the end of the content.
fn answer(stream: &mut UnixStream) -> String {
    let mut read = Vec::new();
    while !read.ends_with(b"\r\n\r\n1984") {
        let mut octet = [0];
        stream.read_exact(&mut octet).expect("an answer");
        read.push(octet[0]);
    }
    String::from_utf8(read).expect("text")
}
