//! A whole gateway in this process, behind loopback, with an origin whose answers are fixed and clients that cost next
//! to nothing.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::ops::Range;
use std::thread;

use bookend::clock::Clock;
use bookend::config::{Config, ListenAddr};
use bookend::instance::Instance;
use tokio::sync::oneshot;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Stands for a number in a request: another each time.
pub const ANOTHER: &str = "@";

/// More than a worker keeps ready, so that none of them is.
const KEYS: usize = 4_000;

/// A running gateway with one worker.
pub struct Gateway {
    addr: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Gateway {
    pub fn start() -> Self {
        let toml = format!(
            "[server]\nlisten = \"127.0.0.1:0\"\nworkers = 1\n[upstream]\nservers = [\"http://{}\"]\n\
             [cache]\nmemory = \"4GiB\"\n[admin]\nlisten = \"off\"\n[log]\naccess = \"off\"\n",
            origin()
        );
        let config =
            Config::parse(&toml, "the benchmark", &|_| None).expect("a valid configuration");
        let instance = Instance::bind(config, Clock::system()).expect("a free port");
        let ListenAddr::Tcp(addr) = instance.addrs()[0] else {
            unreachable!("a TCP address was asked for")
        };
        let (stop, stopped) = oneshot::channel();
        let thread = thread::spawn(move || {
            let ran = instance.run(async {
                let _ = stopped.await;
            });
            ran.expect("a gateway that ends well");
        });
        Self {
            addr,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    /// So many connections that send `request` in step, each once it has its last answer: the gateway sees them arrive
    /// together, as it does under load. The answer has been seen once by each; a request with [`ANOTHER`] in it stands
    /// for [`KEYS`] of them, taken in turn, which have been seen too.
    pub fn clients(&self, connections: usize, request: &str) -> Clients {
        let sockets = (0..connections).map(|_| {
            let socket = TcpStream::connect(self.addr).expect("a gateway that accepts");
            socket.set_nodelay(true).expect("a TCP socket");
            socket
        });
        let mut clients = Clients {
            sockets: sockets.collect(),
            request: request.as_bytes().to_vec(),
            keys: 0..0,
            answer: 0,
            room: vec![0; 256 << 10],
        };
        // The first fills the cache; one more for each, as Age and the like may change the length only later.
        clients.answer = clients.measure();
        clients.answer = clients.measure();
        if request.contains(ANOTHER) {
            clients.store(0..KEYS);
        }
        clients.turn();
        clients
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Connections in step.
pub struct Clients {
    sockets: Vec<TcpStream>,
    request: Vec<u8>,
    /// What stands for [`ANOTHER`] next, and where that ends and begins anew.
    keys: Range<usize>,
    /// Bytes of an answer.
    answer: usize,
    room: Vec<u8>,
}

impl Clients {
    /// Asks once for each of `keys`, and for these in turn from now on.
    pub fn store(&mut self, keys: Range<usize>) {
        self.keys = keys.clone();
        for _ in 0..keys.len().div_ceil(self.sockets.len()) {
            // A miss and a hit do not tell the same.
            self.exchange(|_| ());
        }
    }

    /// One request on each connection.
    pub fn turn(&mut self) {
        let answer = self.answer;
        // Age and ttl grow and shrink by a digit.
        self.exchange(|length| assert!(length.abs_diff(answer) < 8, "an answer of {length} bytes"));
    }

    fn exchange(&mut self, check: impl Fn(usize)) {
        for at in 0..self.sockets.len() {
            self.send(at);
        }
        for at in 0..self.sockets.len() {
            check(self.receive(at));
        }
    }

    fn measure(&mut self) -> usize {
        self.send(0);
        self.receive(0)
    }

    fn send(&mut self, at: usize) {
        let mut another = Vec::new();
        let request = match self.keys.next() {
            None if self.keys.end == 0 => &self.request,
            next => {
                let key = next.unwrap_or_default();
                if next.is_none() {
                    self.keys = 1..self.keys.end;
                }
                let text = String::from_utf8_lossy(&self.request);
                another.extend(text.replace(ANOTHER, &key.to_string()).into_bytes());
                &another
            }
        };
        let sent = self.sockets[at].write_all(request);
        sent.expect("a gateway that reads");
    }

    /// Reads one answer.
    fn receive(&mut self, at: usize) -> usize {
        let mut filled = 0;
        loop {
            let n = self.sockets[at]
                .read(&mut self.room[filled..])
                .expect("a gateway that answers");
            assert!(n > 0, "closed");
            filled += n;
            // Nearly always: nothing is parsed then.
            if filled == self.answer {
                return filled;
            }
            if let Some(length) = length_of(&self.room[..filled])
                && filled >= length
            {
                return filled;
            }
        }
    }
}

/// Bytes of the answer whose beginning this is, once its head is there.
fn length_of(bytes: &[u8]) -> Option<usize> {
    let head = bytes.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(&bytes[..head]).expect("a head in ASCII");
    if text.starts_with("HTTP/1.1 304") {
        return Some(head);
    }
    let length = text.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("content-length").then_some(value)
    });
    Some(head + length.map_or(0, |length| length.parse::<usize>().expect("a number")))
}

/// An origin that answers each path in its way, on a thread a connection.
fn origin() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let addr = listener.local_addr().expect("a bound listener");
    thread::spawn(move || {
        for socket in listener.incoming().flatten() {
            thread::spawn(move || answer(socket));
        }
    });
    addr
}

fn answer(mut socket: TcpStream) {
    let mut room = [0; 8192];
    loop {
        // The gateway writes a head at once, and nothing follows it.
        let n = match socket.read(&mut room) {
            Ok(n) if n > 0 => n,
            _ => return,
        };
        let head = String::from_utf8_lossy(&room[..n]).to_ascii_lowercase();
        let path = head.split(' ').nth(1).unwrap_or_default();
        let gzip = head.contains("\r\naccept-encoding: gzip");
        let (more, length) = match path {
            "/large" => ("cache-control: max-age=36000\r\n", 100 << 10),
            "/uncacheable" => ("cache-control: no-store\r\n", 1024),
            "/coded" if gzip => (
                "cache-control: max-age=36000\r\nvary: accept-encoding\r\ncontent-encoding: gzip\r\n",
                1024,
            ),
            "/coded" => (
                "cache-control: max-age=36000\r\nvary: accept-encoding\r\n",
                1024,
            ),
            _ => ("cache-control: public, max-age=36000\r\n", 1024),
        };
        let head = format!(
            "HTTP/1.1 200 OK\r\ndate: Wed, 25 Nov 2026 08:00:00 GMT\r\nserver: origin\r\n\
             content-type: application/json\r\n{more}etag: \"5f3a\"\r\n\
             last-modified: Sun, 01 Nov 2026 08:00:00 GMT\r\ncontent-length: {length}\r\n\r\n"
        );
        let mut message = head.into_bytes();
        message.resize(message.len() + length, b'x');
        if socket.write_all(&message).is_err() {
            return;
        }
    }
}

/// What a browser sends along.
pub const BROWSER: &str = "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:132.0) Gecko/20100101 Firefox/132.0\r\n\
Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n\
Accept-Language: en-US,en;q=0.7,de;q=0.3\r\n\
Accept-Encoding: gzip, deflate, br, zstd\r\n\
Referer: https://books.example/shelves/42?page=3\r\n\
Sec-Fetch-Dest: document\r\n\
Sec-Fetch-Mode: navigate\r\n\
Sec-Fetch-Site: same-origin\r\n\
Priority: u=0, i\r\n";

/// What is measured of a whole request, by name.
pub fn requests() -> [(&'static str, String); 7] {
    let get = |path: &str, fields: &str| {
        format!("GET {path} HTTP/1.1\r\nHost: books.example\r\n{fields}\r\n")
    };
    [
        ("hit", get("/books/1", "")),
        ("hit, browser's fields", get("/books/1", BROWSER)),
        ("304", get("/books/1", "If-None-Match: \"5f3a\"\r\n")),
        ("hit, many keys", get("/books/@", "")),
        ("100 KB hit", get("/large", "")),
        (
            "gzip variant hit",
            get("/coded", "Accept-Encoding: gzip\r\n"),
        ),
        ("uncacheable miss", get("/uncacheable", "")),
    ]
}
