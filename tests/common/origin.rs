//! An origin that does exactly what the test says: raw octets, gates, resets, half-closes. It records what it gets.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::thread;
use std::time::Duration;

use bookend::clock::Clock;
use bookend::semantics::time::Timestamp;
use socket2::{Domain, SockRef, Socket, Type};

use super::PATIENCE;
use super::client::End;
use super::message::{Broken, Fields, Framing, Request, Wire};

type Handler = dyn Fn(&Request, &mut Conn) + Send + Sync;

/// A scripted origin on a loopback port of its own, a thread a connection. Dropping it closes its port; a panic in
/// its handler fails the test then.
pub struct Origin {
    addr: SocketAddr,
    listener: Weak<TcpListener>,
    /// Keeps the port while the listener refuses.
    _port: Socket,
    log: Arc<Log>,
}

#[derive(Default)]
struct Log {
    state: Mutex<LogState>,
    changed: Condvar,
}

#[derive(Default)]
struct LogState {
    requests: Vec<Request>,
    connections: usize,
    open: usize,
    refusing: bool,
    stopped: bool,
    panics: Vec<String>,
}

impl Origin {
    /// Each request, its content read, goes to `handler` with the connection to answer on.
    pub fn start(handler: impl Fn(&Request, &mut Conn) + Send + Sync + 'static) -> Self {
        Self::greeting(|_| {}, handler)
    }

    /// As [`Origin::start`], and each connection goes to `greet` before anything is read from it.
    pub fn greeting(
        greet: impl Fn(&mut Conn) + Send + Sync + 'static,
        handler: impl Fn(&Request, &mut Conn) + Send + Sync + 'static,
    ) -> Self {
        let (port, addr) = bound(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        // A port that was asked for by number stays bound when its listener is shut down.
        let (listener, _) = bound(addr);
        listener.listen(128).expect("a bound socket");
        let listener = Arc::new(TcpListener::from(listener));
        let log = Arc::new(Log::default());
        let (shared, handlers) = (log.clone(), Arc::new((greet, handler)));
        let origin = Self {
            addr,
            listener: Arc::downgrade(&listener),
            _port: port,
            log,
        };
        thread::spawn(move || accept(&listener, &shared, &handlers));
        origin
    }

    /// Answers every request with the same reply.
    pub fn answering(reply: Reply) -> Self {
        Self::start(move |request, conn| conn.reply(request, &reply))
    }

    /// Answers the n-th request with the n-th reply, and any after that with the last.
    pub fn scripted(replies: impl IntoIterator<Item = Reply>) -> Self {
        let replies: Vec<_> = replies.into_iter().collect();
        assert!(!replies.is_empty(), "a script needs a reply");
        let next = Mutex::new(0);
        Self::start(move |request, conn| {
            let turn = {
                let mut next = next.lock().unwrap_or_else(PoisonError::into_inner);
                *next += 1;
                *next - 1
            };
            conn.reply(request, &replies[turn.min(replies.len() - 1)]);
        })
    }

    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Every request received so far, in order of receipt.
    pub fn requests(&self) -> Vec<Request> {
        self.log.with(|state| state.requests.clone())
    }

    /// The last request received; panics when there was none.
    pub fn last(&self) -> Request {
        self.requests().pop().expect("the origin saw no request")
    }

    /// Requests received so far.
    pub fn count(&self) -> usize {
        self.log.with(|state| state.requests.len())
    }

    /// Connections accepted so far.
    pub fn connections(&self) -> usize {
        self.log.with(|state| state.connections)
    }

    /// Waits until `n` requests have been received in all.
    pub fn await_requests(&self, n: usize) {
        self.log
            .wait("too few requests", |state| state.requests.len() >= n);
    }

    /// Waits until no connection is open any more.
    pub fn await_idle(&self) {
        self.log
            .wait("connections stayed open", |state| state.open == 0);
    }

    /// Has its port refuse connections, or accept them again; those that are open go on.
    pub fn refuse(&self, refusing: bool) {
        let listener = self.listener.upgrade().expect("an origin that runs");
        let socket = SockRef::from(&*listener);
        self.log.with(|state| state.refusing = refusing);
        if refusing {
            socket.shutdown(Shutdown::Read).expect("a listener");
        } else {
            socket.listen(128).expect("a bound socket");
            self.log.changed.notify_all();
        }
    }

    /// Closes the port: later connections are refused, those that are open go on.
    pub fn stop(&self) {
        self.log.with(|state| state.stopped = true);
        // Wakes the thread that accepts; it sees that it is to stop and drops the listener.
        let _ = TcpStream::connect(self.addr);
        let stopped = || TcpStream::connect(self.addr).is_err();
        super::await_that("the origin's port is closed", stopped);
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.stop();
        let panics = self.log.with(|state| state.panics.clone());
        if !thread::panicking() {
            assert!(panics.is_empty(), "the origin's handler failed: {panics:?}");
        }
    }
}

impl Log {
    fn with<T>(&self, change: impl FnOnce(&mut LogState) -> T) -> T {
        let result = change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_all();
        result
    }

    fn wait(&self, otherwise: &str, until: impl Fn(&LogState) -> bool) {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (state, _) = self
            .changed
            .wait_timeout_while(state, PATIENCE, |state| !until(state))
            .unwrap_or_else(PoisonError::into_inner);
        assert!(
            until(&state),
            "{otherwise}: the origin saw {} requests on {} connections, {} of them open",
            state.requests.len(),
            state.connections,
            state.open
        );
    }
}

fn bound(addr: SocketAddr) -> (Socket, SocketAddr) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.set_reuse_port(true).expect("Linux");
    socket.bind(&addr.into()).expect("a loopback port");
    let addr = socket.local_addr().expect("a bound socket");
    (socket, addr.as_socket().expect("an IP address"))
}

fn accept<G, H>(listener: &TcpListener, log: &Arc<Log>, handlers: &Arc<(G, H)>)
where
    G: Fn(&mut Conn) + Send + Sync + 'static,
    H: Fn(&Request, &mut Conn) + Send + Sync + 'static,
{
    for stream in listener.incoming() {
        if log.with(|state| state.stopped) {
            return;
        }
        let Ok(stream) = stream else {
            log.wait("an origin that refuses for good", |state| {
                !state.refusing || state.stopped
            });
            continue;
        };
        log.with(|state| {
            state.connections += 1;
            state.open += 1;
        });
        let (log, handlers) = (log.clone(), handlers.clone());
        thread::spawn(move || {
            let mut conn = Conn::new(stream);
            let (greet, handler) = &*handlers;
            let served = catch_unwind(AssertUnwindSafe(|| {
                greet(&mut conn);
                serve(&mut conn, &log, handler);
            }));
            drop(conn);
            log.with(|state| {
                state.open -= 1;
                if let Err(panic) = served {
                    state.panics.push(panic_message(&*panic));
                }
            });
        });
    }
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a panic")
        .to_owned()
}

fn serve(conn: &mut Conn, log: &Log, handler: &Handler) {
    while let Some(request) = conn.read_request() {
        log.with(|state| state.requests.push(request.clone()));
        handler(&request, conn);
    }
}

/// A connection to answer on. What cannot be written since the peer has gone is dropped; [`Conn::alive`] tells.
pub struct Conn {
    wire: Option<Wire>,
    keep: bool,
}

impl Conn {
    fn new(stream: TcpStream) -> Self {
        let _ = stream.set_nodelay(true);
        Self {
            wire: Some(Wire::new(stream)),
            keep: true,
        }
    }

    fn read_request(&mut self) -> Option<Request> {
        let mut request = self.request_head()?;
        request.body = self.content_of(&request)?;
        Some(request)
    }

    /// The next request without its content, which is still to be read; `None` when the peer has gone.
    pub fn request_head(&mut self) -> Option<Request> {
        if !self.keep {
            return None;
        }
        let head = self.wire.as_mut()?.head().ok()?;
        let mut words = head.first_line.split(' ').map(str::to_owned);
        Some(Request {
            method: words.next()?,
            target: words.next()?,
            version: words.next()?,
            fields: head.fields,
            body: Vec::new(),
        })
    }

    /// The content of a request whose head has been read; `None` when it broke off.
    pub fn content_of(&mut self, request: &Request) -> Option<Vec<u8>> {
        let wire = self.wire.as_mut()?;
        if request.fields.get("expect") == Some("100-continue") {
            wire.stream
                .write_all(b"HTTP/1.1 100 Continue\r\n\r\n")
                .ok()?;
        }
        let mut framing = Framing::of(&request.fields, Framing::Done);
        let (mut content, mut trailers) = (Vec::new(), Fields::default());
        while let Some(some) = framing.next(wire, &mut trailers).ok()? {
            content.extend_from_slice(&some);
        }
        Some(content)
    }

    /// Reads the head of the next request and nothing of its content; false when the peer has gone.
    pub fn read_head(&mut self) -> bool {
        let head = self.wire.as_mut().map(Wire::head);
        head.is_some_and(|head| head.is_ok())
    }

    /// Waits until an octet can be read, or the end, and reads nothing.
    pub fn await_octet(&mut self) {
        if let Some(wire) = &self.wire {
            let _ = wire.stream.set_read_timeout(Some(PATIENCE));
            let _ = wire.stream.peek(&mut [0]);
        }
    }

    /// Reads so many octets of content; fewer when the peer has gone.
    pub fn read_content(&mut self, length: usize) -> String {
        let mut content = Vec::new();
        while let Some(wire) = &mut self.wire
            && content.len() < length
            && let Ok(some) = wire.some(length - content.len())
        {
            content.extend(some);
        }
        String::from_utf8_lossy(&content).into_owned()
    }

    /// Sends a whole reply, without its content where `request` is a HEAD.
    pub fn reply(&mut self, request: &Request, reply: &Reply) {
        let octets = reply.to_bytes(request);
        self.write(octets);
        if reply.closes() {
            self.close();
        }
    }

    /// Sends these octets as they are. False when the peer has gone.
    pub fn write(&mut self, octets: impl AsRef<[u8]>) -> bool {
        let Some(wire) = &mut self.wire else {
            return false;
        };
        let written = wire.stream.write_all(octets.as_ref()).is_ok();
        self.keep &= written;
        written
    }

    /// The connection, for who speaks another protocol on it; what is left in its place is closed.
    pub fn take(&mut self) -> Self {
        self.keep = false;
        Self {
            wire: self.wire.take(),
            keep: true,
        }
    }

    /// Goes over to another protocol: what comes now is for [`Conn::octets`].
    pub fn switch(&mut self, protocol: &str) {
        self.keep = false;
        self.write(format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: {protocol}\r\nConnection: Upgrade\r\n\r\n"
        ));
    }

    /// Reads so many octets that belong to no HTTP message; fails with how they end before.
    pub fn octets(&mut self, n: usize) -> Result<Vec<u8>, End> {
        let wire = self.wire.as_mut().ok_or(End::Truncated)?;
        let _ = wire.stream.set_read_timeout(Some(PATIENCE));
        Ok(wire.exactly(n)?)
    }

    /// Reads what is there of the same, as fast as it goes and without keeping it; how much, and 0 at the end.
    pub fn swallow(&mut self, room: &mut [u8]) -> usize {
        let read = self.wire.as_mut().map(|wire| wire.stream.read(room));
        read.and_then(Result::ok).unwrap_or(0)
    }

    /// Sends one chunk of a chunked body.
    pub fn chunk(&mut self, octets: impl AsRef<[u8]>) -> bool {
        let octets = octets.as_ref();
        let mut chunk = format!("{:x}\r\n", octets.len()).into_bytes();
        chunk.extend_from_slice(octets);
        chunk.extend_from_slice(b"\r\n");
        self.write(chunk)
    }

    /// Ends a chunked body.
    pub fn last_chunk(&mut self) -> bool {
        self.write("0\r\n\r\n")
    }

    /// Closes the connection in order (FIN).
    pub fn close(&mut self) {
        self.keep = false;
        if let Some(wire) = self.wire.take() {
            let _ = wire.stream.shutdown(Shutdown::Both);
        }
    }

    /// Closes the connection with a reset (RST).
    pub fn reset(&mut self) {
        self.keep = false;
        if let Some(wire) = self.wire.take() {
            let _ = SockRef::from(&wire.stream).set_linger(Some(Duration::ZERO));
        }
    }

    /// Closes the sending side only.
    pub fn half_close(&mut self) {
        self.keep = false;
        if let Some(wire) = &self.wire {
            let _ = wire.stream.shutdown(Shutdown::Write);
        }
    }

    /// Whether the peer closes or resets the connection within this time; drops what it sends till then.
    pub fn closes_within(&mut self, patience: Duration) -> bool {
        let Some(wire) = &mut self.wire else {
            return true;
        };
        let _ = wire.stream.set_read_timeout(Some(patience));
        loop {
            match wire.some(usize::MAX) {
                Ok(_) => {}
                Err(Broken::Stalled) => return false,
                Err(_) => return true,
            }
        }
    }

    /// Waits until the peer closes or resets the connection, dropping what it sends till then. Panics when it does
    /// not in time.
    pub fn await_close(&mut self) {
        self.keep = false;
        let Some(mut wire) = self.wire.take() else {
            return;
        };
        let _ = wire.stream.set_read_timeout(Some(PATIENCE));
        loop {
            match wire.some(usize::MAX) {
                Ok(_) => {}
                Err(Broken::Stalled) => panic!("the gateway kept its connection open"),
                Err(_) => return,
            }
        }
    }
}

/// A response to send. Content-Length is set from the content unless the reply is chunked, ends with the connection,
/// or has a Content-Length or Transfer-Encoding of the test's.
#[derive(Clone, Debug)]
pub struct Reply {
    status: u16,
    fields: Fields,
    body: Vec<u8>,
    framing: ReplyFraming,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ReplyFraming {
    Length,
    Chunked,
    UntilClose,
}

pub fn reply(status: u16) -> Reply {
    Reply {
        status,
        fields: Fields::default(),
        body: Vec::new(),
        framing: ReplyFraming::Length,
    }
}

impl Reply {
    pub fn field(mut self, name: &str, value: impl ToString) -> Self {
        self.fields.push(name, value);
        self
    }

    /// A field whose value is the date so many seconds from now; negative: ago.
    pub fn date_field(self, name: &str, seconds_from_now: i64) -> Self {
        self.field(name, http_date(seconds_from_now))
    }

    pub fn body(mut self, body: impl AsRef<[u8]>) -> Self {
        self.body = body.as_ref().to_vec();
        self
    }

    /// In chunks, one for each line of the body.
    pub fn chunked(mut self) -> Self {
        self.framing = ReplyFraming::Chunked;
        self
    }

    /// Delimited by the end of the connection.
    pub fn until_close(mut self) -> Self {
        self.framing = ReplyFraming::UntilClose;
        self
    }

    /// Status, fields and content as the test gave them.
    pub fn parts(&self) -> (u16, &Fields, &[u8]) {
        (self.status, &self.fields, &self.body)
    }

    fn closes(&self) -> bool {
        let said = self.fields.get("connection");
        self.framing == ReplyFraming::UntilClose
            || said.is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }

    fn to_bytes(&self, request: &Request) -> Vec<u8> {
        let mut out = format!("HTTP/1.1 {} Scripted\r\n", self.status).into_bytes();
        self.fields.write(&mut out);
        let framed = self.fields.has("content-length") || self.fields.has("transfer-encoding");
        let bodiless = matches!(self.status, 100..=199 | 204 | 304);
        match self.framing {
            ReplyFraming::Length if !framed && !bodiless => {
                out.extend_from_slice(format!("Content-Length: {}\r\n", self.body.len()).as_bytes())
            }
            ReplyFraming::Chunked => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
            _ => {}
        }
        out.extend_from_slice(b"\r\n");
        if request.method == "HEAD" || bodiless {
            return out;
        }
        if self.framing == ReplyFraming::Chunked {
            for line in self.body.split_inclusive(|&octet| octet == b'\n') {
                out.extend_from_slice(format!("{:x}\r\n", line.len()).as_bytes());
                out.extend_from_slice(line);
                out.extend_from_slice(b"\r\n");
            }
            out.extend_from_slice(b"0\r\n\r\n");
        } else {
            out.extend_from_slice(&self.body);
        }
        out
    }
}

/// The HTTP-date so many seconds from now.
pub fn http_date(seconds_from_now: i64) -> String {
    let now = Clock::system().now().wall.as_secs();
    Timestamp::from_secs(now.saturating_add_signed(seconds_from_now)).to_http_date()
}

impl From<Broken> for io::Error {
    fn from(broken: Broken) -> Self {
        Self::other(format!("{broken:?}"))
    }
}
