//! The program itself: `run` and `demo`, what they say and how they end.

use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Output, Stdio};

use crate::common::{Client, Origin, await_that, reply};

fn bookend(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bookend"));
    command.args(args).stdin(Stdio::null());
    command
}

fn run(args: &[&str]) -> Output {
    bookend(args).output().expect("the program")
}

fn text(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).into_owned()
}

/// A `bookend demo` that runs, and what it printed until it served.
struct Demo {
    child: Child,
    said: String,
    gateway: SocketAddr,
}

impl Demo {
    fn start(args: &[&str]) -> Self {
        let mut child = bookend(&[&["demo"], args].concat())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let mut said = String::new();
        while !said.contains("Ctrl-C") {
            let line = lines.next().expect("more output").expect("text");
            said += &line;
            said.push('\n');
        }
        // The access log follows on the same pipe, which must not fill up.
        std::thread::spawn(move || lines.for_each(drop));
        let gateway = said
            .lines()
            .find_map(|line| line.split("the gateway in front of it http://").nth(1))
            .and_then(|rest| rest.split_whitespace().next())
            .and_then(|addr| addr.trim_end_matches(['.', ',']).parse().ok())
            .unwrap_or_else(|| panic!("no address in {said}"));
        Self {
            child,
            said,
            gateway,
        }
    }

    /// Sends SIGTERM; whether it then ended with 0.
    fn stop(mut self) -> bool {
        let pid = self.child.id().to_string();
        let killed = Command::new("kill").args(["-TERM", &pid]).status();
        assert!(killed.expect("kill").success());
        self.child.wait().expect("an end").success()
    }
}

impl Drop for Demo {
    /// Whatever the test found, nothing is left running.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_demos_tour_is_as_expected() {
    let output = run(&["demo", "--tour", "--listen", "127.0.0.1:0"]);
    let said = text(&output.stdout);
    assert!(output.status.success(), "{said}{}", text(&output.stderr));
    assert!(said.contains("steps were as expected"), "{said}");
}

#[test]
fn the_tour_of_an_api_that_says_no_store_fails() {
    let output = run(&["demo", "--tour", "--no-store", "--listen", "127.0.0.1:0"]);
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("expected Cache-Status: hit; found"), "{said}");
}

#[test]
fn the_tour_of_another_api_that_says_no_store_fails() {
    let origin = Origin::answering(reply(200).field("Cache-Control", "no-store").body("{}"));
    let output = run(&[
        "demo",
        "--tour",
        "--listen",
        "127.0.0.1:0",
        "--upstream",
        &origin.url(),
    ]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stdout));
}

#[test]
fn the_second_demo_says_that_the_port_is_taken_and_uses_another() {
    let (first, second) = (Demo::start(&[]), Demo::start(&[]));
    assert_ne!(first.gateway, second.gateway);
    assert!(second.said.contains("is taken"), "{}", second.said);
    for demo in [&first, &second] {
        assert!(
            Client::to(demo.gateway)
                .get("/books/123")
                .expect(200)
                .fwd("uri-miss")
        );
        assert!(
            Client::to(demo.gateway)
                .get("/books/123")
                .expect(200)
                .is_hit()
        );
    }
    assert!(
        first
            .said
            .contains(&format!("curl -i http://{}/books/123", first.gateway))
    );
    assert!(first.stop() && second.stop());
}

#[test]
fn a_port_that_was_asked_for_and_is_taken_is_an_error() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let addr = taken.local_addr().expect("an address").to_string();
    for args in [
        ["demo", "--listen", &addr].as_slice(),
        &[
            "--upstream",
            "http://127.0.0.1:9",
            "--admin",
            "off",
            "--listen",
            &addr,
        ],
    ] {
        let output = run(args);
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        assert!(
            text(&output.stderr).contains("another process already does"),
            "{}",
            text(&output.stderr)
        );
    }
}

#[test]
fn run_serves_and_ends_with_0_on_sigterm() {
    let origin = Origin::answering(reply(200).field("Cache-Control", "max-age=60").body("1984"));
    let free = TcpListener::bind("127.0.0.1:0").expect("a port");
    let addr = free.local_addr().expect("an address");
    drop(free);
    let mut child = bookend(&[
        "--upstream",
        &origin.url(),
        "--listen",
        &addr.to_string(),
        "--admin",
        "off",
    ])
    .stdout(Stdio::null())
    .stderr(Stdio::piped())
    .spawn()
    .expect("the program");
    let mut log = BufReader::new(child.stderr.take().expect("piped"));
    let mut said = String::new();
    while !said.contains("listening") {
        assert_ne!(log.read_line(&mut said).expect("text"), 0, "{said}");
    }
    assert!(said.contains(&addr.to_string()), "{said}");
    let starting = format!(
        "starting version=\"{}\" apis=1 routes=0 memory=268435456",
        env!("CARGO_PKG_VERSION")
    );
    assert!(said.contains(&starting), "{said}");
    Client::to(addr).get("/books/123").expect(200);
    assert!(Client::to(addr).get("/books/123").expect(200).is_hit());
    let pid = child.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-TERM", &pid])
            .status()
            .expect("kill")
            .success()
    );
    assert_eq!(child.wait().expect("an end").code(), Some(0));
    let mut rest = String::new();
    log.read_to_string(&mut rest).expect("text");
    let last = rest.lines().last().expect("a line");
    assert!(
        last.contains(" stopped after=") && last.ends_with(" requests=2 hits=1 errors=0"),
        "{rest}"
    );
    await_that("the port is closed", || {
        std::net::TcpStream::connect(addr).is_err()
    });
}

/// A drain that waits for a request is ended by a second signal.
#[test]
fn a_second_signal_ends_the_program_at_once() {
    let origin = Origin::start(|_, conn| conn.await_close());
    let mut child = bookend(&[
        "--upstream",
        &origin.url(),
        "--listen",
        "127.0.0.1:0",
        "--admin",
        "off",
    ])
    .stderr(Stdio::piped())
    .stdout(Stdio::null())
    .spawn()
    .expect("the program");
    let mut log = BufReader::new(child.stderr.take().expect("piped"));
    let mut said = String::new();
    let mut await_line = |words: &str| {
        while !said.contains(words) {
            assert_ne!(log.read_line(&mut said).expect("text"), 0, "{said}");
        }
        said.clone()
    };
    let started = await_line("listening");
    let addr = started
        .split("address=")
        .nth(1)
        .and_then(|rest| rest.trim().parse().ok())
        .unwrap_or_else(|| panic!("no address in {started}"));
    let mut client = Client::to(addr);
    client.write("GET /books/123 HTTP/1.1\r\nHost: a\r\n\r\n");
    origin.await_requests(1);
    let pid = child.id().to_string();
    let terminate = || {
        let sent = Command::new("kill").args(["-TERM", &pid]).status();
        assert!(sent.expect("kill").success());
    };
    terminate();
    await_line("draining");
    terminate();
    await_line("a second signal came");
    assert_eq!(child.wait().expect("an end").code(), Some(1));
}

#[test]
fn two_servers_that_are_not_the_same_api_are_told_of_by_their_health_checks() {
    let well = Origin::answering(reply(200));
    let other = Origin::answering(reply(404));
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("config.toml");
    let lines = format!(
        "[upstream]\nservers = ['{}', '{}']\n[upstream.health]\npath = '/healthz'\ninterval = '10ms'\n",
        well.url(),
        other.url()
    );
    std::fs::write(&config, lines).expect("written");
    let config = config.to_str().expect("text");
    let mut child = bookend(&[
        "run",
        "--listen",
        "127.0.0.1:0",
        "--admin",
        "off",
        "--config",
        config,
    ])
    .stdout(Stdio::null())
    .stderr(Stdio::piped())
    .spawn()
    .expect("the program");
    well.await_requests(10);
    other.await_requests(10);
    let pid = child.id().to_string();
    let killed = Command::new("kill").args(["-TERM", &pid]).status();
    assert!(killed.expect("kill").success());
    let mut said = String::new();
    let mut log = child.stderr.take().expect("piped");
    log.read_to_string(&mut said).expect("text");
    child.wait().expect("an end");
    let told: Vec<_> = said
        .lines()
        .filter(|line| line.contains("answer their health checks differently"))
        .collect();
    let [told] = told[..] else { panic!("{said}") };
    for word in [well.url(), other.url(), "200".to_owned(), "404".to_owned()] {
        assert!(told.contains(&word), "{told}");
    }
}
