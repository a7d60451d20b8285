//! A server with a toy service on a free port, and a client that sees bytes.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll};
use std::thread::JoinHandle;
use std::time::Duration;

use bookend::clock::Clock;
use bookend::config::{ListenAddr, Server as Config};
use bookend::error::Error;
use bookend::server::{self, Outcome, Peer, RequestContent, ResponseContent, Server, Service};
use bookend::telemetry::counters::Metrics;
use bookend::telemetry::readiness::Readiness;
use bytes::Bytes;
use http::request::Parts;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use tokio::sync::{oneshot, watch};

/// No test waits longer than this for anything.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// One worker on a free loopback port, with deadlines that no test reaches by accident.
pub fn config() -> Config {
    Config {
        listen: vec![ListenAddr::Tcp(SocketAddr::from(([127, 0, 0, 1], 0)))],
        workers: 1,
        drain_timeout: PATIENCE,
        ..Config::default()
    }
}

/// What the toy service shares with its test.
#[derive(Clone)]
pub struct Levers {
    /// Paths that begin with `/hold` tell here that they have begun…
    entered: mpsc::Sender<String>,
    /// …and wait for this to be true.
    released: watch::Receiver<bool>,
    /// What could not be handled.
    pub refused: Arc<Mutex<Vec<String>>>,
    /// What each handled request came from.
    pub peers: Arc<Mutex<Vec<Peer>>>,
    /// `drained` waits for this to be true.
    settled: watch::Receiver<bool>,
    /// Handlers and contents that were dropped before their end.
    dropped: mpsc::Sender<String>,
}

/// A running server.
pub struct Gateway {
    pub addrs: Vec<ListenAddr>,
    pub metrics: Metrics,
    pub readiness: Readiness,
    pub levers: Levers,
    pub entered: mpsc::Receiver<String>,
    pub dropped: mpsc::Receiver<String>,
    release: watch::Sender<bool>,
    settle: watch::Sender<bool>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<Result<Outcome, server::Error>>>,
}

impl Gateway {
    pub fn start(config: &Config) -> Self {
        Self::start_at(config, Clock::system())
    }

    /// Its deadlines pass as `clock` says.
    pub fn start_at(config: &Config, clock: Clock) -> Self {
        Self::start_each(config, clock, |_| ())
    }

    /// Each worker calls `before` with its index while it is made.
    pub fn start_each(
        config: &Config,
        clock: Clock,
        before: impl Fn(usize) + Send + Sync + 'static,
    ) -> Self {
        let server = Server::bind(config).expect("free addresses");
        let metrics = Metrics::new(server.workers());
        let (entered, entries) = mpsc::channel();
        let (dropped, drops) = mpsc::channel();
        let (release, released) = watch::channel(false);
        let (settle, settled) = watch::channel(true);
        let levers = Levers {
            entered,
            released,
            refused: Arc::default(),
            peers: Arc::default(),
            settled,
            dropped,
        };
        let (stop, stopped) = oneshot::channel();
        let gateway = Self {
            addrs: server.local_addrs(),
            metrics: metrics.clone(),
            readiness: server.readiness(),
            levers: levers.clone(),
            entered: entries,
            dropped: drops,
            release,
            settle,
            stop: Some(stop),
            thread: None,
        };
        let thread = std::thread::spawn(move || {
            let levers = Mutex::new(levers);
            let make = move |index| {
                before(index);
                Rc::new(Toy(levers.lock().unwrap().clone()))
            };
            let shutdown = async { stopped.await.unwrap_or(()) };
            server.run(clock, &metrics, make, shutdown)
        });
        Self {
            thread: Some(thread),
            ..gateway
        }
    }

    pub fn addr(&self) -> SocketAddr {
        match &self.addrs[0] {
            ListenAddr::Tcp(addr) => *addr,
            ListenAddr::Unix(path) => panic!("{}", path.display()),
        }
    }

    pub fn connect(&self) -> Client<TcpStream> {
        Client::new(TcpStream::connect(self.addr()).unwrap())
    }

    /// Waits until a `/hold` request is being handled.
    pub fn until_entered(&self) -> String {
        self.entered.recv_timeout(PATIENCE).expect("a held request")
    }

    /// Lets all `/hold` requests be answered.
    pub fn release(&self) {
        self.release.send_replace(true);
    }

    /// Keeps the service from being drained until [`Gateway::settle`].
    pub fn unsettle(&self) {
        self.settle.send_replace(false);
    }

    pub fn settle(&self) {
        self.settle.send_replace(true);
    }

    pub fn stop(&mut self) {
        if let Some(stop) = self.stop.take() {
            stop.send(()).unwrap_or(());
        }
    }

    pub fn is_running(&self) -> bool {
        !self.thread.as_ref().unwrap().is_finished()
    }

    /// Waits for the end of a stopped server.
    pub fn join(mut self) -> Result<Outcome, server::Error> {
        self.stop();
        self.thread.take().unwrap().join().unwrap()
    }

    pub fn connections(&self) -> u64 {
        self.metrics.sum(|counters| counters.connections.value())
    }
}

/// Waits for what another thread is about to do.
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..PATIENCE.as_millis() {
        if holds() {
            return;
        }
        std::thread::park_timeout(Duration::from_millis(1));
    }
    panic!("waited in vain until {what}");
}

struct Toy(Levers);

impl Toy {
    async fn answer(&self, request: Request<RequestContent>) -> Response<ToyBody> {
        let path = request.uri().path().to_owned();
        match path.as_str() {
            "/hello" => Response::new(ToyBody::full("hello")),
            "/empty" => Response::new(ToyBody::full("")),
            "/echo" => match request.into_body().collect().await {
                Ok(content) => Response::new(ToyBody::full(content.to_bytes())),
                Err(_) => refusal(408, "no content"),
            },
            "/ignore" => Response::new(ToyBody::full("ignored")),
            "/breaks" => Response::new(ToyBody::Breaks(0)),
            "/short" => Response::new(ToyBody::Short(0)),
            "/panics-midway" => Response::new(ToyBody::Panics(0)),
            "/panics" => panic!("as asked"),
            "/endless" => {
                let alarm = Alarm(Some((path, self.0.dropped.clone())));
                Response::new(ToyBody::Endless(alarm))
            }
            "/block" => {
                self.0.entered.send(path).unwrap_or(());
                while !*self.0.released.borrow() {
                    std::thread::park_timeout(Duration::from_millis(1));
                }
                Response::new(ToyBody::full("blocked"))
            }
            _ if path.starts_with("/hold") => {
                let mut alarm = Alarm(Some((path.clone(), self.0.dropped.clone())));
                self.0.entered.send(path).unwrap_or(());
                let mut released = self.0.released.clone();
                released.wait_for(|released| *released).await.unwrap();
                alarm.0 = None;
                Response::new(ToyBody::full("held"))
            }
            _ => refusal(404, "not found"),
        }
    }
}

impl Service for Toy {
    type Body = ToyBody;

    fn handle(
        self: &Rc<Self>,
        peer: &Rc<Peer>,
        parts: Parts,
        content: RequestContent,
    ) -> server::Answer<ToyBody> {
        self.0.peers.lock().unwrap().push((**peer).clone());
        let (toy, request) = (self.clone(), Request::from_parts(parts, content));
        server::Answer::later(async move { toy.answer(request).await })
    }

    fn refuse(
        self: &Rc<Self>,
        _peer: &Rc<Peer>,
        error: Error,
        _parts: Option<&Parts>,
    ) -> Response<ToyBody> {
        let mut refused = self.0.refused.lock().unwrap();
        refused.push(format!("{:?}", error.kind()));
        refusal(error.kind().status().as_u16(), error.explanation())
    }

    async fn drained(self: &Rc<Self>) {
        self.0.entered.send("drained".to_owned()).unwrap_or(());
        let mut settled = self.0.settled.clone();
        settled.wait_for(|settled| *settled).await.unwrap();
    }
}

fn refusal(status: u16, words: &str) -> Response<ToyBody> {
    Response::builder()
        .status(status)
        .header("content-type", "text/plain")
        .body(ToyBody::full(words.to_owned()))
        .unwrap()
}

/// Tells when a handler or a content does not come to its end.
pub struct Alarm(Option<(String, mpsc::Sender<String>)>);

impl Drop for Alarm {
    fn drop(&mut self) {
        if let Some((path, dropped)) = self.0.take() {
            dropped.send(path).unwrap_or(());
        }
    }
}

pub enum ToyBody {
    Full(Bytes),
    /// Two chunks of unknown length, then an error.
    Breaks(u8),
    /// Ends after one byte of ten.
    Short(u8),
    /// Two chunks of unknown length, then a panic.
    Panics(u8),
    /// Tells when it is dropped.
    Endless(#[expect(dead_code, reason = "kept for its drop")] Alarm),
}

impl ToyBody {
    fn full(content: impl Into<Bytes>) -> Self {
        Self::Full(content.into())
    }
}

impl ResponseContent for ToyBody {}

impl Body for ToyBody {
    type Data = Bytes;
    type Error = &'static str;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, &'static str>>> {
        let data = |data| Poll::Ready(Some(Ok(Frame::data(data))));
        match &mut *self {
            Self::Full(content) if content.is_empty() => Poll::Ready(None),
            Self::Full(content) => data(std::mem::take(content)),
            Self::Breaks(polls) | Self::Panics(polls) if *polls < 4 => {
                *polls += 1;
                if *polls % 2 == 1 {
                    data(Bytes::from_static(b"a part, "))
                } else {
                    // So that hyper writes what it has.
                    cx.waker().wake_by_ref();
                    Poll::Pending
                }
            }
            Self::Breaks(_) => Poll::Ready(Some(Err("broken"))),
            Self::Panics(_) => panic!("as asked"),
            Self::Short(0) => {
                *self = Self::Short(1);
                data(Bytes::from_static(b"1"))
            }
            Self::Short(_) => Poll::Ready(None),
            Self::Endless(_) => data(Bytes::from_static(&[b'x'; 16 << 10])),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Full(content) if content.is_empty())
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Full(content) => SizeHint::with_exact(content.len() as u64),
            Self::Short(_) => SizeHint::with_exact(10),
            _ => SizeHint::default(),
        }
    }
}

/// A client that writes and reads bytes.
pub struct Client<T>(pub T);

impl<T: Read + Write + Patient> Client<T> {
    pub fn new(socket: T) -> Self {
        socket.be_patient();
        Self(socket)
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.0.write_all(bytes.as_ref()).unwrap();
        self
    }

    /// One GET with keep-alive, and its answer.
    pub fn get(&mut self, path: &str) -> Answer {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
        self.answer()
    }

    /// Reads one response whose head has a Content-Length.
    pub fn answer(&mut self) -> Answer {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            self.0.read_exact(&mut byte).unwrap_or_else(|error| {
                panic!("{error} after {}", head.escape_ascii());
            });
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).unwrap();
        let length = field(&head, "content-length").map_or(0, |length| length.parse().unwrap());
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).unwrap();
        Answer {
            head,
            body: String::from_utf8(body).unwrap(),
        }
    }

    /// Everything up to the connection's end; an error where the end is not a regular one.
    pub fn rest(&mut self) -> (String, io::Result<()>) {
        let mut rest = Vec::new();
        let ended = self.0.read_to_end(&mut rest).map(drop);
        (String::from_utf8_lossy(&rest).into_owned(), ended)
    }

    /// Asserts that the server closes, in order and without another byte.
    pub fn assert_closed(&mut self) {
        let (rest, ended) = self.rest();
        assert_eq!(rest, "");
        ended.unwrap();
    }
}

/// One response.
#[derive(Debug)]
pub struct Answer {
    pub head: String,
    pub body: String,
}

impl Answer {
    pub fn status(&self) -> u16 {
        self.head[9..12].parse().unwrap()
    }

    pub fn field(&self, name: &str) -> Option<&str> {
        field(&self.head, name)
    }
}

fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines()
        .filter_map(|line| line.split_once(": "))
        .find(|(found, _)| found.eq_ignore_ascii_case(name))
        .map(|(_, value)| value)
}

/// A socket that does not wait for ever.
pub trait Patient {
    fn be_patient(&self);
}

impl Patient for TcpStream {
    fn be_patient(&self) {
        self.set_read_timeout(Some(PATIENCE)).unwrap();
        self.set_write_timeout(Some(PATIENCE)).unwrap();
    }
}

impl Patient for std::os::unix::net::UnixStream {
    fn be_patient(&self) {
        self.set_read_timeout(Some(PATIENCE)).unwrap();
        self.set_write_timeout(Some(PATIENCE)).unwrap();
    }
}
