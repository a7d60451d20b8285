//! Restarts without a gap: the listening sockets go from a process to its successor.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};

use crate::common::{self, Client, Origin, PATIENCE, await_that, put, reply};

/// A gateway and its successors, which write to the log of the first one, in a folder of their own.
struct Program {
    first: Child,
    log: BufReader<ChildStderr>,
    /// The processes, the present one last.
    processes: Vec<u32>,
    addr: SocketAddr,
    folder: Arc<tempfile::TempDir>,
}

impl Program {
    fn start(config: impl Fn(&Path) -> String) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("config.toml"), config(folder.path())).expect("written");
        Self::run(&Arc::new(folder), &[])
    }

    /// Another process with the same file.
    fn run(folder: &Arc<tempfile::TempDir>, arguments: &[&str]) -> Self {
        Self::await_ready(Self::spawn(folder, arguments, None))
    }

    fn spawn(folder: &Arc<tempfile::TempDir>, arguments: &[&str], notify: Option<&Path>) -> Self {
        let mut command = bookend(folder.path());
        command.arg("run").args(arguments);
        if let Some(notify) = notify {
            command.env("NOTIFY_SOCKET", notify);
        }
        let mut first = command
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program");
        Self {
            log: BufReader::new(first.stderr.take().expect("piped")),
            processes: vec![first.id()],
            first,
            addr: SocketAddr::from(([127, 0, 0, 1], 0)),
            folder: folder.clone(),
        }
    }

    fn await_ready(mut self) -> Self {
        let line = self.await_line(" listening ");
        let addr = line.split("127.0.0.1:").nth(1).expect("an address");
        let port: String = addr.chars().take_while(char::is_ascii_digit).collect();
        self.addr.set_port(port.parse().expect("a port"));
        self
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("config.toml")
    }

    /// The next line of the log with these words.
    #[track_caller]
    fn await_line(&mut self, words: &str) -> String {
        let mut said = String::new();
        loop {
            let mut line = String::new();
            let length = self.log.read_line(&mut line).expect("text");
            assert_ne!(length, 0, "it ended without {words:?}:\n{said}");
            if line.contains(words) {
                return line;
            }
            said += &line;
        }
    }

    fn signal(&self, name: &str) {
        let pid = self.processes.last().expect("one").to_string();
        let sent = Command::new("kill").args([name, &pid]).status();
        assert!(sent.expect("kill").success());
    }

    /// Has the present process start a successor; whether that one serves.
    fn restart(&mut self) -> bool {
        self.signal("-USR2");
        let started = self.await_line("a successor is started");
        let process = started.split("process=").nth(1).expect("a process");
        let process = process.trim().parse().expect("a number");
        loop {
            let line = self.await_line("hand");
            if line.contains("handover failed: this process goes on") {
                return false;
            }
            if line.contains("handed over: the successor serves") {
                self.processes.push(process);
                return true;
            }
        }
    }

    /// Stops the present process, and waits until all have ended.
    fn stop(mut self) -> String {
        self.signal("-TERM");
        let mut said = String::new();
        self.log.read_to_string(&mut said).expect("text");
        assert_eq!(self.first.wait().expect("an end").code(), Some(0), "{said}");
        for process in &self.processes {
            await_that("all processes end", || has_ended(*process));
        }
        said
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        for process in &self.processes[1..] {
            if !has_ended(*process) {
                let pid = process.to_string();
                let _ = Command::new("kill").args(["-KILL", &pid]).status();
            }
        }
        let _ = self.first.kill();
        let _ = self.first.wait();
    }
}

fn bookend(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bookend"));
    command
        .current_dir(folder)
        .env_remove("NOTIFY_SOCKET")
        .stdin(Stdio::null());
    command
}

/// A process that nobody waits for stays as a zombie.
fn has_ended(process: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{process}/status"));
    status.map_or(true, |status| status.contains("State:\tZ"))
}

fn books() -> Origin {
    Origin::answering(reply(200).field("Cache-Control", "max-age=60").body("1984"))
}

/// A file for a gateway of two workers, with these lines of `[server]`.
fn config(origin: &Origin, folder: &Path, server: &str) -> String {
    format!(
        "[server]\nworkers = 2\n{server}\n[admin]\nlisten = \"unix:{}\"\n[log]\naccess = \"off\"\n[upstream]\nservers = \
         \"{}\"\n",
        folder.join("admin.sock").display(),
        origin.url(),
    )
}

/// Clients that send one request after another, each on one connection or each on a new one.
pub struct Load {
    ends: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    clients: Vec<thread::JoinHandle<()>>,
}

impl Load {
    pub fn start(addr: SocketAddr) -> Self {
        let (ends, answered) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let one = |index: usize| {
            let (ends, answered) = (ends.clone(), answered.clone());
            thread::spawn(move || {
                let mut client = Client::to(addr);
                while !ends.load(Ordering::Relaxed) {
                    // A connection that is closed without a word, or refused, fails here.
                    client.get(&format!("/books/{index}")).expect(200);
                    answered.fetch_add(1, Ordering::Relaxed);
                    if index.is_multiple_of(2) {
                        client = Client::to(addr);
                    }
                }
            })
        };
        let clients = (0..8).map(one).collect();
        Self {
            ends,
            answered,
            clients,
        }
    }

    /// Waits until so many more are answered.
    pub fn await_more(&self, count: u64) {
        let aim = self.answered.load(Ordering::Relaxed) + count;
        let is_lost = || self.clients.iter().any(thread::JoinHandle::is_finished);
        await_that("requests are answered", || {
            assert!(!is_lost(), "a request failed");
            self.answered.load(Ordering::Relaxed) >= aim
        });
    }

    pub fn stop(self) {
        self.ends.store(true, Ordering::Relaxed);
        for client in self.clients {
            client.join().expect("no request failed");
        }
    }
}

#[test]
fn no_request_fails_while_ten_successors_take_over_and_some_cannot() {
    let origin = books();
    let mut program = Program::start(|folder| config(&origin, folder, "listen = '127.0.0.1:0'"));
    let valid = fs::read_to_string(program.file()).expect("its file");
    let load = Load::start(program.addr);
    for restart in 1..=12 {
        load.await_more(200);
        let fails = restart % 5 == 0;
        if fails {
            fs::write(program.file(), format!("{valid}\n[mistake]\n")).expect("written");
        }
        assert_eq!(program.restart(), !fails);
        // The next one has other workers: more than there are sockets, or fewer.
        let workers = format!("workers = {}", 1 + restart * 2 % 3);
        let next = valid.replace("workers = 2", &workers);
        fs::write(program.file(), next).expect("written");
    }
    load.await_more(200);
    load.stop();
    assert_eq!(program.processes.len(), 11);
    program.stop();
}

/// A request on an HTTP/2 connection of its own: its status, and whether the connection was closed in order afterwards.
fn one_of_http2(addr: SocketAddr, target: &str) -> (u16, bool) {
    let request = http::Request::get(format!("http://books.example{target}"));
    let request = request.body(Full::<Bytes>::default()).expect("a request");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.expect("a runtime").block_on(async {
        let stream = tokio::net::TcpStream::connect(addr).await;
        let io = TokioIo::new(stream.expect("a connection"));
        let handshake = http2::handshake(TokioExecutor::new(), io).await;
        let (mut sender, connection) = handshake.expect("HTTP/2");
        let connection = tokio::spawn(connection);
        let response = sender.send_request(request).await.expect("a response");
        let status = response.status().as_u16();
        response.into_body().collect().await.expect("all of it");
        // The client keeps its side open: it is the gateway that ends the connection.
        let ended = connection.await.expect("the connection's task");
        drop(sender);
        (status, ended.is_ok())
    })
}

#[test]
fn a_request_of_http2_ends_with_the_process_that_has_it() {
    let (release, held) = mpsc::channel::<()>();
    let held = Mutex::new(held);
    let origin = Origin::start(move |request, conn| {
        if request.target == "/slow" {
            held.lock().expect("no panic").recv().expect("its turn");
        }
        conn.reply(request, &reply(200).body("1984"));
    });
    let mut program = Program::start(|folder| config(&origin, folder, "listen = '127.0.0.1:0'"));
    let addr = program.addr;
    let slow = thread::spawn(move || one_of_http2(addr, "/slow"));
    await_that("the API has the request", || origin.count() == 1);
    assert!(program.restart());
    let request = http::Request::get("http://books.example/books/1").body(Full::default());
    let answer = common::http2::send_to(addr, request.expect("a request")).expect("an answer");
    assert_eq!(answer.status(), 200);
    assert!(!slow.is_finished());
    release.send(()).expect("it waits");
    assert_eq!(slow.join().expect("no panic"), (200, true));
    program.stop();
}

/// An API whose book has another version after each write.
fn versions() -> Origin {
    let version = AtomicU64::new(1);
    Origin::start(move |request, conn| {
        let now = match request.method.as_str() {
            "PUT" => version.fetch_add(1, Ordering::SeqCst) + 1,
            _ => version.load(Ordering::SeqCst),
        };
        let answer = reply(200).field("Cache-Control", "max-age=300");
        conn.reply(request, &answer.body(format!("v{now}")));
    })
}

#[test]
fn no_process_answers_with_what_the_other_one_has_written_or_purged() {
    let origin = versions();
    let mut program = Program::start(|folder| config(&origin, folder, "listen = '127.0.0.1:0'"));
    let addr = program.addr;
    // Connections that are kept, and a write that has begun, are the first process's.
    let mut kept: Vec<_> = (0..4).map(|_| Client::to(addr)).collect();
    for client in &mut kept {
        assert_eq!(client.get("/books/1").expect(200).text(), "v1");
    }
    let mut writing = Client::to(addr);
    writing.write("PUT /books/1 HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nne");
    assert!(program.restart());
    let latest = || Client::to(addr).get("/books/1").expect(200).text();
    assert_eq!(latest(), "v1");
    writing.write("w!");
    writing.answer("PUT").finish().expect(200);
    assert_eq!(latest(), "v2", "after a write to the first process");
    assert_eq!(kept[0].get("/books/1").expect(200).text(), "v2");
    Client::to(addr).send(&put("/books/1", "new")).expect(200);
    assert_eq!(
        kept[1].get("/books/1").expect(200).text(),
        "v3",
        "after one to the second"
    );
    kept[2].send(&put("/books/1", "new")).expect(200);
    assert_eq!(latest(), "v4");
    drop(kept);
    // The cache is used when the first process has ended.
    program.await_line("the process before has ended: the cache is used");
    latest();
    assert!(Client::to(addr).get("/books/1").expect(200).is_hit());
    program.stop();
}

/// The successor acknowledges a write while the first process has the disk tier still, and dies before it has it.
#[test]
fn what_a_successor_acknowledged_holds_when_it_is_killed_before_it_has_the_disk_tier() {
    let origin = versions();
    let file = |folder: &Path| {
        let server = "listen = '127.0.0.1:0'";
        format!(
            "{}[disk]\npath = {:?}\n",
            config(&origin, folder, server),
            folder.join("kept")
        )
    };
    let mut program = Program::start(file);
    let addr = program.addr;
    let host = |request: common::Request| request.field("Host", "books.example");
    let ask = |addr: SocketAddr| {
        let mut client = Client::to(addr);
        client
            .send(&host(common::get("/books/1")))
            .expect(200)
            .text()
    };
    assert_eq!(ask(addr), "v1");
    // A write that has begun keeps the first process.
    let mut writing = Client::to(addr);
    writing.write("PUT /books/2 HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nne");
    assert!(program.restart());
    let write = host(put("/books/1", "new"));
    Client::to(addr).send(&write).expect(200);
    program.signal("-KILL");
    await_that("the successor has ended", || {
        has_ended(program.processes[1])
    });
    writing.write("w!");
    writing.answer("PUT").finish().expect(200);
    drop(writing);
    program.first.wait().expect("an end");
    let folder = program.folder.clone();
    drop(program);
    let third = Program::run(&folder, &[]);
    assert_eq!(ask(third.addr), "v3");
    third.stop();
}

/// Sends a message of a handover.
fn say(stream: &mut UnixStream, message: &str) {
    let content = format!("{{\"message\":\"{message}\"}}");
    let head = [
        &b"bookend\0\0\x02"[..],
        &(content.len() as u32).to_be_bytes(),
    ]
    .concat();
    let octets = [&head, content.as_bytes()].concat();
    stream.write_all(&octets).expect("sent");
}

/// Reads up to a message of a handover. Octets that bring descriptors may come before.
fn hear(stream: &mut UnixStream, message: &str) {
    let (mut heard, end) = (Vec::new(), format!("\"message\":\"{message}\""));
    while !heard.ends_with(end.as_bytes()) {
        let mut octet = [0];
        stream.read_exact(&mut octet).expect("a message");
        heard.push(octet[0]);
    }
}

#[cfg(feature = "otlp")]
#[test]
fn a_process_that_has_handed_over_sends_its_traces() {
    let (origin, collector) = (books(), Origin::answering(reply(200)));
    let mut program = Program::start(|folder| {
        let traces = format!(
            "[traces]\nendpoint = '{}'\nsample = 1\ninterval = '60s'",
            collector.url()
        );
        config(&origin, folder, "listen = '127.0.0.1:0'") + &traces
    });
    Client::to(program.addr).get("/books/1").expect(200);
    assert!(program.restart());
    await_that("those of the first", || {
        crate::traces::spans(&collector) == 2
    });
    Client::to(program.addr).get("/books/1").expect(200);
    program.stop();
    assert!(crate::traces::spans(&collector) > 2);
}

#[test]
fn the_cache_is_in_use_until_a_successor_can_serve_and_validated_where_that_one_ends() {
    let origin = versions();
    let file = |folder: &Path| {
        let socket = folder.join("handover.sock").display().to_string();
        let server = format!("listen = '127.0.0.1:0'\nhandover_socket = '{socket}'");
        config(&origin, folder, &server)
    };
    let mut program = Program::start(file);
    let get = || Client::to(program.addr).get("/books/1").expect(200);
    get();
    assert!(get().is_hit());
    let socket = program.folder.path().join("handover.sock");
    let mut silent = UnixStream::connect(&socket).expect("a connection");
    silent.set_read_timeout(Some(PATIENCE)).expect("set");
    say(&mut silent, "take");
    hear(&mut silent, "listeners");
    // It has the sockets, and may take as long as it likes.
    assert!(get().is_hit());
    drop(silent);
    program.await_line("handover failed: this process goes on");
    let get = || Client::to(program.addr).get("/books/1").expect(200);
    assert!(get().is_hit());

    let mut ready = UnixStream::connect(&socket).expect("a connection");
    ready.set_read_timeout(Some(PATIENCE)).expect("set");
    say(&mut ready, "take");
    hear(&mut ready, "listeners");
    say(&mut ready, "ready");
    hear(&mut ready, "serve");
    assert!(
        get().fwd("bypass"),
        "the other one may have answered a write"
    );
    drop(ready);
    program.await_line("handover failed: this process goes on");
    let get = || Client::to(program.addr).get("/books/1").expect(200);
    assert!(!get().is_hit());
    assert!(get().is_hit());

    let valid = fs::read_to_string(program.file()).expect("its file");
    fs::write(program.file(), format!("{valid}\n[mistake]\n")).expect("written");
    assert!(!program.restart());
    assert!(
        Client::to(program.addr)
            .get("/books/1")
            .expect(200)
            .is_hit()
    );
    program.stop();
}

#[test]
fn a_successor_takes_over_at_the_socket_of_the_process_before() {
    let origin = books();
    let lines = |folder: &Path, more: &str| {
        let at = |name: &str| folder.join(name).display().to_string();
        let (socket, handover) = (at("bookend.sock"), at("handover.sock"));
        let server = format!(
            "listen = ['127.0.0.1:0', 'unix:{socket}'{more}]\nhandover_socket = '{handover}'"
        );
        config(&origin, folder, &server)
    };
    let mut first =
        Program::start(|folder| lines(folder, &format!(", 'unix:{}/old.sock'", folder.display())));
    let folder = first.folder.clone();
    let at = |name: &str| folder.path().join(name);
    let handover = at("handover.sock");
    let rights = fs::metadata(&handover).expect("a socket").permissions();
    assert_eq!(rights.mode() & 0o777, 0o600);
    let get = |stream: &mut dyn ReadWrite| {
        stream
            .write_all(b"GET /books/1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            .expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    };
    let connect = |name: &str| {
        let stream = UnixStream::connect(at(name))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok::<_, std::io::Error>(stream)
    };

    // Those who ask for something else, or end, change nothing.
    for octets in [&b"GET / HTTP/1.1\r\n\r\n"[..], b""] {
        let mut other = UnixStream::connect(&handover).expect("a connection");
        other.write_all(octets).expect("sent");
        drop(other);
        first.await_line("handover failed: this process goes on");
    }
    get(&mut connect("bookend.sock").expect("a connection"));

    // Another address, and one fewer; the others are not bound again.
    let text = lines(
        folder.path(),
        &format!(", 'unix:{}/new.sock'", folder.path().display()),
    );
    fs::write(first.file(), text).expect("written");
    let path = handover.to_str().expect("text");
    let mut second = Program::spawn(&folder, &["--takeover", path], None);
    second.await_line("the process before has handed over");
    second.addr = first.addr;
    first.await_line("handed over: the successor serves");
    assert_eq!(first.first.wait().expect("an end").code(), Some(0));
    for name in ["bookend.sock", "new.sock"] {
        get(&mut connect(name).expect("a connection"));
    }
    get(&mut TcpStream::connect(second.addr).expect("a connection"));
    assert!(!at("old.sock").exists());
    let health = bookend(folder.path()).arg("health").status();
    assert!(health.expect("the program").success());

    // The successor has a socket of its own for the next one.
    let mut third = Program::spawn(&folder, &["--takeover", path], None);
    third.await_line("the process before has handed over");
    assert_eq!(second.first.wait().expect("an end").code(), Some(0));
    third.stop();
    for name in ["bookend.sock", "new.sock", "admin.sock", "handover.sock"] {
        assert!(!at(name).exists(), "{name} is removed at the end");
    }
    let mut fourth = Program::spawn(&folder, &["--takeover", path], None);
    fourth.await_line("no gateway hands over on ");
    assert_eq!(fourth.first.wait().expect("an end").code(), Some(1));
}

#[test]
fn a_client_resumes_its_tls_session_with_a_successor() {
    let origin = books();
    let made = rcgen::generate_simple_self_signed(["books.test".to_owned()]);
    let rcgen::CertifiedKey { cert, signing_key } = made.expect("a certificate");
    let mut program = Program::start(|folder| {
        let (pem, key) = (folder.join("cert.pem"), folder.join("key.pem"));
        fs::write(&pem, cert.pem()).expect("written");
        fs::write(&key, signing_key.serialize_pem()).expect("written");
        let tls = format!(
            "[[listener]]\nlisten = '127.0.0.1:0'\n[listener.tls]\ncertificates = [{{ cert = {pem:?}, key = {key:?} }}]\n"
        );
        config(&origin, folder, "") + &tls
    });
    let mut roots = rustls::RootCertStore::empty();
    roots.add(cert.der().clone()).expect("a root");
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let client = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])
            .expect("a version")
            .with_root_certificates(roots.clone())
            .with_no_client_auth();
        let client = Arc::new(client);
        let shake_hands = |program: &Program| {
            let name = "books.test".try_into().expect("a name");
            let connection = rustls::ClientConnection::new(client.clone(), name);
            let socket = TcpStream::connect(program.addr).expect("a connection");
            let mut stream = rustls::StreamOwned::new(connection.expect("settings"), socket);
            stream
                .write_all(b"GET /books/1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
                .expect("sent");
            let mut answer = String::new();
            stream.read_to_string(&mut answer).expect("an answer");
            assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
            stream.conn.handshake_kind().expect("a handshake")
        };
        assert_eq!(shake_hands(&program), rustls::HandshakeKind::Full);
        for _ in 0..2 {
            assert!(program.restart());
            assert_eq!(shake_hands(&program), rustls::HandshakeKind::Resumed);
        }
    }
    program.stop();
}

trait ReadWrite: Read + Write {}
impl<T: Read + Write> ReadWrite for T {}

/// As systemd reads it: the main process is another one before that says that it is ready (sd_notify(3)).
#[test]
fn a_service_manager_is_told_which_process_the_gateway_is() {
    let origin = books();
    let folder = Arc::new(tempfile::tempdir().expect("a folder"));
    let path = folder.path().join("notify.sock");
    let socket = UnixDatagram::bind(&path).expect("a socket");
    let patience = Some(Duration::from_secs(60));
    socket.set_read_timeout(patience).expect("a deadline");
    let next = || {
        let mut buffer = [0; 512];
        let length = socket.recv(&mut buffer).expect("a notification");
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    };
    let text = config(&origin, folder.path(), "listen = '127.0.0.1:0'");
    fs::write(folder.path().join("config.toml"), text).expect("written");
    let mut program = Program::spawn(&folder, &[], Some(&path));
    assert_eq!(next(), "READY=1\n");
    assert!(program.restart());
    let process = program.processes.last().expect("one");
    assert_eq!(next(), format!("MAINPID={process}\n"));
    assert_eq!(next(), "READY=1\n");
    program.signal("-TERM");
    assert_eq!(next(), "STOPPING=1\n");
    program
        .log
        .read_to_string(&mut String::new())
        .expect("text");
}
