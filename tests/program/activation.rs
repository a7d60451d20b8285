//! Socket activation: listening sockets that a service manager passes (sd_listen_fds(3)).

use std::io::{BufRead, BufReader, Read};
use std::net::{Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::process::{Child, ChildStderr, Command, Stdio};

use crate::common::{Client, Origin, await_that, reply};

/// `bookend run` with sockets as its descriptors 0 and 1, in the environment that a service manager makes.
struct Program {
    child: Child,
    log: BufReader<ChildStderr>,
}

impl Program {
    fn start(origin: &Origin, arguments: &[&str], sockets: [OwnedFd; 2]) -> Self {
        let [first, second] = sockets;
        let mut child = Command::new(env!("CARGO_BIN_EXE_bookend"))
            .args(["run", "--upstream", &origin.url()])
            .args(arguments)
            .env("LISTEN_FDS", "2")
            .env("LISTEN_FDS_FIRST_FD", "0")
            .env("LISTEN_FDNAMES", "bookend.socket:admin")
            .env_remove("NOTIFY_SOCKET")
            .stdin(first)
            .stdout(second)
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program");
        Self {
            log: BufReader::new(child.stderr.take().expect("piped")),
            child,
        }
    }

    fn await_line(&mut self, words: &str) {
        let mut line = String::new();
        while !line.contains(words) {
            line.clear();
            assert_ne!(self.log.read_line(&mut line).expect("text"), 0, "it ended");
        }
    }

    fn stop(mut self) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &pid]).status();
        assert!(sent.expect("kill").success());
        assert_eq!(self.child.wait().expect("an end").code(), Some(0));
    }

    /// What it said before it failed by itself.
    fn failed(mut self) -> String {
        let mut said = String::new();
        self.log.read_to_string(&mut said).expect("text");
        assert_eq!(self.child.wait().expect("an end").code(), Some(1), "{said}");
        said
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn books() -> Origin {
    Origin::answering(reply(200).field("Cache-Control", "max-age=60").body("1984"))
}

#[test]
fn clients_that_come_while_no_gateway_runs_wait_for_the_next_one() {
    let origin = books();
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("config.toml");
    let socket = folder.path().join("admin.sock");
    std::fs::write(&config, "[server]\nworkers = 2\n[log]\naccess = 'off'\n").expect("written");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let admin = UnixListener::bind(&socket).expect("a socket");
    let addr = listener.local_addr().expect("an address");
    let (listen, at) = (addr.to_string(), format!("unix:{}", socket.display()));
    let arguments = [
        "--config",
        config.to_str().expect("text"),
        "--listen",
        &listen,
        "--admin",
        &at,
    ];
    for _ in 0..2 {
        // In the queue, since there is no gateway yet.
        let mut waiting: Vec<_> = (0..8).map(|_| Client::to(addr)).collect();
        for client in &mut waiting {
            client.write("GET /books/123 HTTP/1.1\r\nHost: a\r\n\r\n");
        }
        let sockets = [
            listener.try_clone().expect("a duplicate").into(),
            admin.try_clone().expect("a duplicate").into(),
        ];
        let program = Program::start(&origin, &arguments, sockets);
        for client in &mut waiting {
            assert_eq!(client.answer("GET").finish().status, 200);
        }
        let healthy = || {
            let mut health = Command::new(env!("CARGO_BIN_EXE_bookend"));
            let health = health.args(["health", "--admin", &at]).output();
            health.expect("the program").status.success()
        };
        await_that("the admin API answers", healthy);
        drop(waiting);
        program.stop();
        assert!(socket.exists(), "it is the service manager's");
    }
    assert_eq!(origin.count(), 2);
}

#[test]
fn a_socket_for_all_addresses_of_both_families_serves_a_listener_for_ipv4() {
    let origin = books();
    let listener = TcpListener::bind((Ipv6Addr::UNSPECIFIED, 0)).expect("a port");
    let admin = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let (listen, at) = (
        format!(":{port}"),
        admin.local_addr().expect("one").to_string(),
    );
    let arguments = ["--listen", &listen, "--admin", &at];
    let mut program = Program::start(&origin, &arguments, [listener.into(), admin.into()]);
    program.await_line("listening");
    let addr = SocketAddr::from(([127, 0, 0, 1], port));
    Client::to(addr).get("/books").expect(200);
    program.stop();
}

#[test]
fn a_socket_that_no_listener_has_or_can_use_is_an_error() {
    let origin = books();
    let listener = || TcpListener::bind("127.0.0.1:0").expect("a port");
    let addr = |listener: &TcpListener| listener.local_addr().expect("an address").to_string();

    let (first, second) = (listener(), listener());
    let (taken, left) = (addr(&first), addr(&second));
    let arguments = ["--listen", &taken, "--admin", "off"];
    let said = Program::start(&origin, &arguments, [first.into(), second.into()]).failed();
    let told =
        format!("passed a socket for {left} (admin), which no listener of the configuration has");
    assert!(said.contains(&told), "{said}");

    let datagrams = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let first = listener();
    let taken = addr(&first);
    let arguments = ["--listen", &taken, "--admin", "off"];
    let said = Program::start(&origin, &arguments, [first.into(), datagrams.into()]).failed();
    let told = "socket 1 of the service manager (admin) is not a listening TCP or Unix socket";
    assert!(said.contains(told), "{said}");
}
