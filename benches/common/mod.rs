//! A whole gateway in this process, behind loopback, with an origin whose answers are fixed and clients that cost next
//! to nothing.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;

use bookend::clock::Clock;
use bookend::config::{Config, ListenAddr};
use bookend::instance::Instance;
use tokio::sync::oneshot;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A running gateway with one worker.
pub struct Gateway {
    addr: SocketAddr,
    admin: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Gateway {
    pub fn start() -> Self {
        let toml = format!(
            "[server]\nlisten = \"127.0.0.1:0\"\nworkers = 1\n[upstream]\nservers = [\"http://{}\"]\n\
             [cache]\nmemory = \"4GiB\"\n[admin]\nlisten = \"127.0.0.1:0\"\n[log]\naccess = \"off\"\n",
            origin()
        );
        let config =
            Config::parse(&toml, "the benchmark", &|_| None).expect("a valid configuration");
        let instance = Instance::bind(config, Clock::system()).expect("a free port");
        let ListenAddr::Tcp(addr) = instance.addrs()[0] else {
            unreachable!("a TCP address was asked for")
        };
        let Some(ListenAddr::Tcp(admin)) = instance.admin_addr() else {
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
            admin,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    /// Where the admin API listens.
    pub fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// So many connections that send `request` in step, each once it has its last answer: the gateway sees them arrive
    /// together, as it does under load. The answer has been seen once by each. [`NUMBER`] in it is another one each time;
    /// [`KEY`] one of [`KEYS`] in turn, for each of which the answer has been seen.
    pub fn clients(&self, connections: usize, request: &str) -> Clients {
        let sockets = (0..connections).map(|_| {
            let socket = TcpStream::connect(self.addr).expect("a gateway that accepts");
            socket.set_nodelay(true).expect("a TCP socket");
            socket
        });
        let mut clients = Clients {
            sockets: sockets.collect(),
            number: number_in(request),
            request: request.as_bytes().to_vec(),
            answer: 0,
            room: vec![0; 256 << 10],
        };
        // The first fills the cache; one more for each, as Age and the like may change the length only later.
        clients.answer = clients.measure();
        clients.answer = clients.measure();
        clients.turn();
        if request.contains(KEY) {
            clients.store(KEYS as usize);
        }
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
    number: Option<Number>,
    /// Bytes of an answer.
    answer: usize,
    room: Vec<u8>,
}

/// What makes a request another.
struct Number {
    /// Where in the request it is.
    place: usize,
    latest: u64,
    /// After which it begins anew.
    last: u64,
}

fn number_in(request: &str) -> Option<Number> {
    let found = |text: &str, last| {
        let latest = 0;
        let place = request.find(text)?;
        Some(Number {
            place,
            latest,
            last,
        })
    };
    found(NUMBER, u64::MAX).or_else(|| found(KEY, KEYS))
}

impl Clients {
    /// So many requests, or a few more.
    pub fn store(&mut self, responses: usize) {
        for _ in 0..responses.div_ceil(self.sockets.len()) {
            self.turn();
        }
    }

    /// The same from the first number on.
    pub fn store_again(&mut self, responses: usize) {
        if let Some(number) = &mut self.number {
            number.latest = 0;
        }
        self.store(responses);
    }

    /// One request on each connection.
    pub fn turn(&mut self) {
        for at in 0..self.sockets.len() {
            self.send(at);
        }
        for at in 0..self.sockets.len() {
            let length = self.receive(at);
            // Age and ttl grow and shrink by a digit, and Cache-Status says more while a marker stands.
            assert!(
                length.abs_diff(self.answer) < 64,
                "an answer of {length} bytes"
            );
        }
    }

    fn measure(&mut self) -> usize {
        self.send(0);
        self.receive(0)
    }

    fn send(&mut self, at: usize) {
        if let Some(number) = &mut self.number {
            number.latest = number.latest % number.last + 1;
            let mut rest = number.latest;
            for digit in self.request[number.place..][..NUMBER.len()]
                .iter_mut()
                .rev()
            {
                *digit = b'0' + (rest % 10) as u8;
                rest /= 10;
            }
        }
        self.sockets[at]
            .write_all(&self.request)
            .expect("a gateway that reads");
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
            path if path.starts_with("/tagged/") => (
                "cache-control: max-age=36000\r\ncache-groups: \"shelf\"\r\n",
                1024,
            ),
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

/// Stands in a request for a number that no other request has.
pub const NUMBER: &str = "#######";

/// Stands in a request for one of [`KEYS`] numbers, in turn.
const KEY: &str = "@@@@@@@";

/// More than a worker keeps ready, so that none of them is.
const KEYS: u64 = 4_000;

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

/// A GET with these field lines.
pub fn get(path: &str, fields: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: books.example\r\n{fields}\r\n")
}

/// What is measured of a whole request, by name.
pub fn requests() -> [(&'static str, String); 8] {
    [
        ("hit", get("/books/1", "")),
        ("hit, browser's fields", get("/books/1", BROWSER)),
        ("304", get("/books/1", "If-None-Match: \"5f3a\"\r\n")),
        ("hit, many keys", get(&format!("/books/{KEY}"), "")),
        ("100 KB hit", get("/large", "")),
        (
            "gzip variant hit",
            get("/coded", "Accept-Encoding: gzip\r\n"),
        ),
        ("uncacheable miss", get("/uncacheable", "")),
        ("cold unique key", get(&format!("/cold/{NUMBER}"), "")),
    ]
}
