//! Load, above all in an open loop: requests begin when their time has come, whether or not earlier ones were answered, and
//! latencies count from that time on; so a proxy that stalls cannot hide it (coordinated omission).
//!
//! `load rate ADDR REQUEST RATE CONNECTIONS SECONDS` sends over kept-alive connections,
//! `load closed ADDR REQUEST CONNECTIONS SECONDS` sends the next request on a connection when the last is answered, as
//! wrk does; wrk itself waits in vain for the content of a 304 that has a Content-Length,
//! `load connect ADDR REQUEST RATE SECONDS` opens a connection for each request,
//! `load herd ADDR REQUEST CLIENTS` sends one request on each of so many connections at once,
//! `load each ADDR REQUEST COUNT CONNECTIONS` sends so many, with the numbers from 1 to COUNT in place of `@`.
//! REQUEST is a file with the octets of one request without content, or of several, which are sent in turn. Prints one line
//! of JSON, times in microseconds.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use compare_tools::histogram::Histogram;
use compare_tools::message::{self, Message};
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let number =
        |at: usize| -> Result<f64> { Ok(args.get(at).ok_or("too few arguments")?.parse()?) };
    let addr: SocketAddr = args.get(1).ok_or("too few arguments")?.parse()?;
    let requests = std::fs::read(args.get(2).ok_or("too few arguments")?)?;
    let mut load = Load::new(addr, &requests)?;
    let lasting = |secs| Duration::from_secs_f64(secs);
    match args[0].as_str() {
        "rate" => load.rate(number(3)?, number(4)? as usize, lasting(number(5)?))?,
        "closed" => load.closed(number(3)? as usize, lasting(number(4)?))?,
        "connect" => load.connect(number(3)?, lasting(number(4)?))?,
        "herd" => load.herd(number(3)? as usize)?,
        "each" => load.each(number(3)? as u64, number(4)? as usize)?,
        other => return Err(format!("no such load: {other}").into()),
    }
    println!("{}", load.report());
    Ok(())
}

struct Load {
    addr: SocketAddr,
    /// What is sent, in turn.
    requests: Vec<Rc<[u8]>>,
    poll: Poll,
    connections: Vec<Option<Connection>>,
    free: Vec<usize>,
    latencies: Histogram,
    sent: u64,
    answered: u64,
    failed: u64,
    statuses: [u64; 6],
    content: Option<Vec<u8>>,
    differing: u64,
}

struct Connection {
    socket: TcpStream,
    request: Rc<[u8]>,
    unsent: usize,
    /// When each request under way was due.
    due: VecDeque<Instant>,
    read: Vec<u8>,
    /// It is for one request.
    once: bool,
}

/// After the last request: how long the answers may take.
const GRACE: Duration = Duration::from_secs(10);

/// Requests under way on one connection of `rate`, where answers are behind.
const MOST_PIPELINED: usize = 1;

impl Load {
    fn new(addr: SocketAddr, requests: &[u8]) -> Result<Self> {
        let requests = message::requests(requests);
        if requests.is_empty() {
            return Err("no request in the file".into());
        }
        Ok(Self {
            addr,
            requests: requests.into_iter().map(Rc::from).collect(),
            poll: Poll::new()?,
            connections: Vec::new(),
            free: Vec::new(),
            latencies: Histogram::default(),
            sent: 0,
            answered: 0,
            failed: 0,
            statuses: [0; 6],
            content: None,
            differing: 0,
        })
    }

    fn rate(&mut self, rate: f64, connections: usize, lasting: Duration) -> Result<()> {
        let idle: Vec<usize> = (0..connections)
            .map(|_| self.open(false))
            .collect::<io::Result<_>>()?;
        let mut idle = VecDeque::from(idle);
        self.run(rate, lasting, move |load, due| {
            // Those that have been answered longest ago first.
            let Some(at) = idle
                .iter()
                .position(|at| load.pending(*at) < MOST_PIPELINED)
            else {
                return Ok(false);
            };
            let chosen = idle.remove(at).unwrap_or_default();
            idle.push_back(chosen);
            if load.connections[chosen].is_none() {
                load.reopen(chosen)?;
            }
            load.send(chosen, due);
            Ok(true)
        })
    }

    fn closed(&mut self, connections: usize, lasting: Duration) -> Result<()> {
        let all: Vec<usize> = (0..connections)
            .map(|_| self.open(false))
            .collect::<io::Result<_>>()?;
        let start = Instant::now();
        while start.elapsed() < lasting {
            for at in &all {
                if self.connections[*at].is_none() {
                    self.reopen(*at)?;
                }
                if self.pending(*at) == 0 {
                    self.send(*at, Instant::now());
                }
            }
            self.turn(Some(Duration::from_millis(50)))?;
        }
        self.drain(Instant::now() + GRACE)
    }

    fn connect(&mut self, rate: f64, lasting: Duration) -> Result<()> {
        self.run(rate, lasting, |load, due| {
            let at = load.open(true)?;
            load.send(at, due);
            Ok(true)
        })
    }

    fn herd(&mut self, clients: usize) -> Result<()> {
        let all: Vec<usize> = (0..clients)
            .map(|_| self.open(true))
            .collect::<io::Result<_>>()?;
        // Connected, all of them, before the first one asks.
        std::thread::sleep(Duration::from_millis(300));
        let start = Instant::now();
        for at in all {
            self.send(at, start);
        }
        self.drain(start + Duration::from_secs(30))
    }

    fn each(&mut self, count: u64, connections: usize) -> Result<()> {
        let all: Vec<usize> = (0..connections)
            .map(|_| self.open(false))
            .collect::<io::Result<_>>()?;
        let template = self.requests[0].clone();
        let at = template.iter().position(|octet| *octet == b'@');
        let at = at.ok_or("no @ in the request")?;
        let (before, after) = (&template[..at], &template[at + 1..]);
        let mut number = 0;
        while number < count && self.failed == 0 {
            for connection in &all {
                if self.pending(*connection) == 0 && number < count {
                    number += 1;
                    let request = [before, number.to_string().as_bytes(), after].concat();
                    self.send_this(*connection, Rc::from(request), Instant::now());
                }
            }
            self.turn(Some(GRACE))?;
        }
        self.drain(Instant::now() + GRACE)
    }

    /// Calls `begin` for each request when it is due; false means that it cannot begin yet.
    fn run(
        &mut self,
        rate: f64,
        lasting: Duration,
        mut begin: impl FnMut(&mut Self, Instant) -> Result<bool>,
    ) -> Result<()> {
        let start = Instant::now();
        let every = Duration::from_secs_f64(1.0 / rate);
        let total = (rate * lasting.as_secs_f64()) as u32;
        let mut next = 0;
        while next < total && start.elapsed() < lasting + GRACE {
            while next < total {
                let due = start + every * next;
                if due > Instant::now() || !begin(self, due)? {
                    break;
                }
                next += 1;
            }
            self.turn(Some(Duration::ZERO))?;
        }
        self.failed += u64::from(total - next);
        self.drain(Instant::now() + GRACE)
    }

    fn drain(&mut self, until: Instant) -> Result<()> {
        while self.answered + self.failed < self.sent && Instant::now() < until {
            self.turn(Some(Duration::from_millis(50)))?;
        }
        self.failed += self.sent.saturating_sub(self.answered + self.failed);
        Ok(())
    }

    fn turn(&mut self, wait: Option<Duration>) -> Result<()> {
        let mut events = Events::with_capacity(1024);
        match self.poll.poll(&mut events, wait) {
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(()),
            polled => polled?,
        }
        for event in &events {
            let at = event.token().0;
            if event.is_writable() {
                self.flush(at);
            }
            if event.is_readable() || event.is_read_closed() || event.is_error() {
                self.receive(at);
            }
        }
        Ok(())
    }

    fn open(&mut self, once: bool) -> io::Result<usize> {
        let at = self.free.pop().unwrap_or_else(|| {
            self.connections.push(None);
            self.connections.len() - 1
        });
        self.reopen(at)?;
        if let Some(connection) = &mut self.connections[at] {
            connection.once = once;
        }
        Ok(at)
    }

    fn reopen(&mut self, at: usize) -> io::Result<()> {
        let mut socket = TcpStream::connect(self.addr)?;
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.poll
            .registry()
            .register(&mut socket, Token(at), interest)?;
        let _ = socket.set_nodelay(true);
        self.connections[at] = Some(Connection {
            socket,
            request: self.requests[0].clone(),
            unsent: 0,
            due: VecDeque::new(),
            read: Vec::new(),
            once: false,
        });
        Ok(())
    }

    fn pending(&self, at: usize) -> usize {
        self.connections[at]
            .as_ref()
            .map_or(0, |connection| connection.due.len())
    }

    fn send(&mut self, at: usize, due: Instant) {
        let next = self.sent as usize % self.requests.len();
        self.send_this(at, self.requests[next].clone(), due);
    }

    fn send_this(&mut self, at: usize, request: Rc<[u8]>, due: Instant) {
        self.sent += 1;
        if let Some(connection) = &mut self.connections[at] {
            connection.due.push_back(due);
            connection.unsent = request.len();
            connection.request = request;
        }
        self.flush(at);
    }

    fn flush(&mut self, at: usize) {
        let Some(connection) = self.connections.get_mut(at).and_then(Option::as_mut) else {
            return;
        };
        while connection.unsent > 0 {
            let from = connection.request.len() - connection.unsent;
            match connection.socket.write(&connection.request[from..]) {
                Ok(n) => connection.unsent -= n,
                Err(error)
                    if matches!(
                        error.kind(),
                        ErrorKind::WouldBlock | ErrorKind::NotConnected
                    ) =>
                {
                    return;
                }
                Err(_) => return self.fail(at),
            }
        }
    }

    fn receive(&mut self, at: usize) {
        let mut room = [0; 64 << 10];
        loop {
            let Some(connection) = self.connections.get_mut(at).and_then(Option::as_mut) else {
                return;
            };
            match connection.socket.read(&mut room) {
                Ok(0) => return self.fail(at),
                Ok(n) => connection.read.extend_from_slice(&room[..n]),
                Err(error)
                    if matches!(
                        error.kind(),
                        ErrorKind::WouldBlock | ErrorKind::NotConnected
                    ) =>
                {
                    return;
                }
                Err(_) => return self.fail(at),
            }
            self.take_messages(at);
        }
    }

    fn take_messages(&mut self, at: usize) {
        while let Some(connection) = &mut self.connections[at] {
            let message = match message::parse(&connection.read) {
                Ok(None) => return,
                Err(()) => return self.fail(at),
                Ok(Some(message)) => message,
            };
            let Some(due) = connection.due.pop_front() else {
                return self.fail(at);
            };
            self.latencies.record(due.elapsed().as_nanos() as u64);
            self.answered += 1;
            let once = connection.once;
            self.note(at, &message);
            if let Some(connection) = &mut self.connections[at] {
                connection.read.drain(..message.length);
            }
            if once {
                self.close(at);
            }
        }
    }

    fn note(&mut self, at: usize, message: &Message) {
        self.statuses[usize::from(message.status / 100).min(5)] += 1;
        let Some(connection) = &self.connections[at] else {
            return;
        };
        let content = &connection.read[message.head..message.length];
        match &self.content {
            None => self.content = Some(content.to_vec()),
            Some(first) => self.differing += u64::from(first != content),
        }
    }

    /// Closed by the proxy, or broken: what was under way on it has failed.
    fn fail(&mut self, at: usize) {
        self.failed += self.pending(at) as u64;
        let once = self.connections[at]
            .as_ref()
            .is_some_and(|connection| connection.once);
        self.connections[at] = None;
        if once {
            self.free.push(at);
        }
    }

    fn close(&mut self, at: usize) {
        self.connections[at] = None;
        self.free.push(at);
    }

    fn report(&self) -> String {
        let micros = |nanos: u64| nanos as f64 / 1000.0;
        let quantile = |share| micros(self.latencies.quantile(share));
        format!(
            "{{\"sent\":{},\"answered\":{},\"failed\":{},\"not_2xx_3xx\":{},\"differing\":{},\
             \"p50\":{:.1},\"p99\":{:.1},\"p999\":{:.1},\"max\":{:.1}}}",
            self.sent,
            self.answered,
            self.failed,
            self.answered - self.statuses[2] - self.statuses[3],
            self.differing,
            quantile(0.5),
            quantile(0.99),
            quantile(0.999),
            micros(self.latencies.max()),
        )
    }
}
