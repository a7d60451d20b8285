//! SIGHUP: the program reads its configuration again, and no request notices.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, ChildStderr, Command, Stdio};

use crate::common::{Client, Origin, reply};

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
        let mut child = Command::new(env!("CARGO_BIN_EXE_bookend"))
            .args([
                "run",
                "--listen",
                "127.0.0.1:0",
                "--admin",
                "off",
                "--config",
            ])
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
