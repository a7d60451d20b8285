//! A server of Valkey or Redis of its own for each test, and a way to it that can be cut.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use super::await_that;

/// On a free port of the loopback interface, without persistence. Ended when it is dropped.
pub struct Valkey {
    process: Child,
    port: u16,
    directory: tempfile::TempDir,
}

impl Valkey {
    pub fn start() -> Self {
        let free = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr());
        let port = free.expect("a free port").port();
        let directory = tempfile::tempdir().expect("a directory");
        let valkey = Self {
            process: run(port, directory.path()),
            port,
            directory,
        };
        valkey.await_it();
        valkey
    }

    /// Ends it, which loses all that it has.
    pub fn end(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }

    /// Starts it again, after it was ended, at the same address.
    pub fn start_again(&mut self) {
        self.process = run(self.port, self.directory.path());
        self.await_it();
    }

    fn await_it(&self) {
        await_that("a server that takes connections", || {
            TcpStream::connect(self.addr()).is_ok()
        });
    }

    pub fn addr(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    pub fn url(&self) -> String {
        format!("redis://{}", self.addr())
    }

    /// Keys that it has.
    pub fn keys(&self) -> u64 {
        let mut connection = TcpStream::connect(self.addr()).expect("a connection");
        connection.write_all(b"DBSIZE\r\n").expect("a question");
        let mut answer = String::new();
        BufReader::new(connection)
            .read_line(&mut answer)
            .expect("an answer");
        let number = answer.trim_end().strip_prefix(':');
        number
            .and_then(|number| number.parse().ok())
            .expect("a number")
    }

    /// A way to it of its own.
    pub fn through_a_wire(&self) -> Wire {
        Wire::to(self.addr())
    }
}

impl Drop for Valkey {
    fn drop(&mut self) {
        self.end();
    }
}

fn run(port: u16, directory: &Path) -> Child {
    let process = Command::new("redis-server")
        .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
        .args(["--port", &port.to_string(), "--dir"])
        .arg(directory)
        .stdout(Stdio::null())
        .spawn();
    process.unwrap_or_else(|error| panic!("redis-server: {error}"))
}

/// A way to a server that can be cut: then nothing is lost nor refused, it does not arrive.
pub struct Wire {
    addr: SocketAddr,
    is_cut: Arc<AtomicBool>,
}

impl Wire {
    fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let addr = listener.local_addr().expect("an address");
        let is_cut = Arc::<AtomicBool>::default();
        let cut = is_cut.clone();
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(upstream) = TcpStream::connect(server) else {
                    continue;
                };
                for (from, to) in [(&client, &upstream), (&upstream, &client)] {
                    let (from, to) = (from.try_clone(), to.try_clone());
                    let (from, to) = (from.expect("a socket"), to.expect("a socket"));
                    let cut = cut.clone();
                    thread::spawn(move || carry(from, to, &cut));
                }
            }
        });
        Self { addr, is_cut }
    }

    pub fn url(&self) -> String {
        format!("redis://{}", self.addr)
    }

    pub fn cut(&self, is_cut: bool) {
        self.is_cut.store(is_cut, Ordering::SeqCst);
    }
}

fn carry(mut from: TcpStream, mut to: TcpStream, cut: &AtomicBool) {
    let mut octets = [0; 16 * 1024];
    while let Ok(read @ 1..) = from.read(&mut octets) {
        while cut.load(Ordering::SeqCst) {
            thread::sleep(Duration::from_millis(2));
        }
        if to.write_all(&octets[..read]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(std::net::Shutdown::Write);
}
