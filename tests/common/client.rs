//! A client that sees exactly what comes over the wire, and how it ended.

use std::io::Write;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use socket2::SockRef;

use super::PATIENCE;
use super::message::{Broken, Fields, Framing, Head, Request, Wire, get};

/// How an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Its framing says that it is whole. A message delimited by the connection's end is whole at a FIN.
    Complete,
    /// A FIN before the end that the framing promised.
    Truncated,
    /// A reset.
    Reset,
    /// Nothing came for as long as the client was willing to wait.
    Stalled,
}

impl From<Broken> for End {
    fn from(broken: Broken) -> Self {
        match broken {
            Broken::Closed => Self::Truncated,
            Broken::Reset => Self::Reset,
            Broken::Stalled => Self::Stalled,
        }
    }
}

/// An answer, or as much of it as came.
#[derive(Clone, Debug)]
pub struct Answer {
    /// 0 when the connection ended before a head was read.
    pub status: u16,
    pub version: String,
    pub fields: Fields,
    pub body: Vec<u8>,
    pub trailers: Fields,
    /// Interim responses (1xx) that came before, with their fields.
    pub interim: Vec<(u16, Fields)>,
    pub end: End,
}

impl Answer {
    /// The first line of that field.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.get(name)
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// All lines of a list field as one; empty when there are none.
    pub fn list(&self, name: &str) -> String {
        self.fields.all(name).collect::<Vec<_>>().join(", ")
    }

    pub fn cache_status(&self) -> String {
        self.list("cache-status")
    }

    /// The parameters of the cache nearest to us, the gateway: `["hit", "ttl=59"]`.
    pub fn verdict(&self) -> Vec<String> {
        let status = self.cache_status();
        let last = split_outside_quotes(&status, ',').pop().unwrap_or_default();
        split_outside_quotes(last, ';')
            .into_iter()
            .skip(1)
            .map(str::to_owned)
            .collect()
    }

    /// Whether the gateway says that of it: `says("stored")`, `says("fwd=stale")`.
    pub fn says(&self, parameter: &str) -> bool {
        self.verdict().iter().any(|said| said == parameter)
    }

    pub fn is_hit(&self) -> bool {
        self.says("hit")
    }

    /// Whether the gateway went upstream for this reason.
    pub fn fwd(&self, reason: &str) -> bool {
        self.says(&format!("fwd={reason}"))
    }

    /// The value of a parameter such as `ttl`, as a number.
    pub fn number(&self, parameter: &str) -> Option<i64> {
        self.verdict().iter().find_map(|said| {
            let (name, value) = said.split_once('=')?;
            (name == parameter).then(|| value.parse().ok())?
        })
    }

    /// The Age field as a number.
    pub fn age(&self) -> Option<u64> {
        self.field("age")?.parse().ok()
    }

    /// Itself, if whole and with that status; else panics with all that came.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert!(
            self.status == status && self.end == End::Complete,
            "expected a whole {status}, got {self:#?}"
        );
        self
    }
}

/// Splits a structured field at a separator that stands in no quoted string, and trims the parts.
fn split_outside_quotes(field: &str, separator: char) -> Vec<&str> {
    let (mut quoted, mut escaped) = (false, false);
    field
        .split(|octet| {
            let literal = std::mem::take(&mut escaped);
            match octet {
                '\\' if quoted && !literal => escaped = true,
                '"' if !literal => quoted = !quoted,
                _ => {}
            }
            !quoted && octet == separator
        })
        .map(str::trim)
        .collect()
}

/// A client with one kept connection, made anew after one that was said to be closed or that broke. It never sends a
/// request twice: a connection that the gateway closed unsaid gives an answer of status 0.
#[derive(Debug)]
pub struct Client {
    addr: SocketAddr,
    wire: Option<Wire>,
    patience: Duration,
    connects: usize,
}

impl Client {
    pub fn to(addr: SocketAddr) -> Self {
        Self {
            addr,
            wire: None,
            patience: PATIENCE,
            connects: 0,
        }
    }

    /// How long it waits for the next octets before it calls the answer stalled.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Connections made so far.
    pub fn connects(&self) -> usize {
        self.connects
    }

    /// One GET and its answer.
    pub fn get(&mut self, target: &str) -> Answer {
        self.send(&get(target))
    }

    /// One request and its answer, as much as comes of it.
    pub fn send(&mut self, request: &Request) -> Answer {
        self.open(request).finish()
    }

    /// Sends a request and reads the head of its answer; the content is then read as the test says.
    pub fn open(&mut self, request: &Request) -> Incoming<'_> {
        self.start(request);
        self.answer(&request.method)
    }

    /// Sends a request and reads nothing yet.
    pub fn start(&mut self, request: &Request) {
        let octets = request.to_bytes(&self.addr.to_string());
        self.write(octets);
    }

    /// Sends octets as they are.
    pub fn write(&mut self, octets: impl AsRef<[u8]>) {
        let wire = self.connected();
        // A gateway that refuses early may close before all is written; what it answered is still there to be read.
        let _ = wire.stream.write_all(octets.as_ref());
    }

    /// Reads the head of the next answer, which is one to this method.
    pub fn answer(&mut self, method: &str) -> Incoming<'_> {
        let mut incoming = Incoming {
            answer: Answer {
                status: 0,
                version: String::new(),
                fields: Fields::default(),
                body: Vec::new(),
                trailers: Fields::default(),
                interim: Vec::new(),
                end: End::Complete,
            },
            framing: Framing::Done,
            client: self,
        };
        incoming.read_head(method);
        incoming
    }

    /// Reads so many octets that belong to no HTTP message, or what comes of them before the end.
    pub fn octets(&mut self, n: usize) -> Result<Vec<u8>, End> {
        Ok(self.connected().exactly(n)?)
    }

    /// Another hold of its connection, to write on while the client reads.
    pub fn hold(&mut self) -> TcpStream {
        self.connected().stream.try_clone().expect("a socket")
    }

    /// Sends octets as long as the gateway takes them; whether it took all before `patience` ended.
    pub fn press(&mut self, octets: &[u8], patience: Duration) -> (usize, bool) {
        let stream = &mut self.connected().stream;
        let _ = stream.set_write_timeout(Some(patience));
        let mut sent = 0;
        while sent < octets.len() {
            match stream.write(&octets[sent..]) {
                Ok(n) => sent += n,
                Err(_) => break,
            }
        }
        let _ = stream.set_write_timeout(None);
        (sent, sent == octets.len())
    }

    /// Closes the sending side only.
    pub fn half_close(&mut self) {
        let _ = self.connected().stream.shutdown(Shutdown::Write);
    }

    /// Leaves in order (FIN).
    pub fn leave(&mut self) {
        self.wire = None;
    }

    /// Leaves with a reset (RST).
    pub fn reset(&mut self) {
        if let Some(wire) = self.wire.take() {
            let _ = SockRef::from(&wire.stream).set_linger(Some(Duration::ZERO));
        }
    }

    /// Waits for the gateway to close a connection on which nothing is under way, and says how it did.
    pub fn await_close(&mut self) -> End {
        match self.connected().some(usize::MAX) {
            Ok(octets) => panic!("expected the end of the connection, got {octets:?}"),
            Err(Broken::Closed) => End::Complete,
            Err(broken) => broken.into(),
        }
    }

    /// Whether the gateway has closed its side by now, and nothing is left to be read.
    pub fn is_closed(&mut self) -> bool {
        let socket = SockRef::from(&self.connected().stream);
        let (peek, dont_wait) = (0x2, 0x40);
        let mut room = [std::mem::MaybeUninit::uninit()];
        match socket.recv_with_flags(&mut room, peek | dont_wait) {
            Ok(read) => read == 0,
            Err(error) => error.kind() != std::io::ErrorKind::WouldBlock,
        }
    }

    fn connected(&mut self) -> &mut Wire {
        let (addr, patience) = (self.addr, self.patience);
        let connects = &mut self.connects;
        self.wire.get_or_insert_with(|| {
            let stream = TcpStream::connect(addr).expect("the gateway accepts connections");
            stream.set_nodelay(true).expect("a connected socket");
            stream
                .set_read_timeout(Some(patience))
                .expect("a connected socket");
            *connects += 1;
            Wire::new(stream)
        })
    }
}

/// An answer whose head has been read, and whose content is coming.
#[derive(Debug)]
pub struct Incoming<'a> {
    answer: Answer,
    framing: Framing,
    client: &'a mut Client,
}

impl Incoming<'_> {
    /// What has come so far.
    pub fn so_far(&self) -> &Answer {
        &self.answer
    }

    /// The next octets of the content, as many as are there; `None` at its end, whatever that is.
    pub fn more(&mut self) -> Option<Vec<u8>> {
        if self.answer.end != End::Complete {
            return None;
        }
        let wire = self.client.wire.as_mut()?;
        match self.framing.next(wire, &mut self.answer.trailers) {
            Ok(Some(some)) => {
                self.answer.body.extend_from_slice(&some);
                Some(some)
            }
            Ok(None) => None,
            Err(broken) => {
                self.answer.end = broken.into();
                None
            }
        }
    }

    /// Reads until `n` octets of content have come in all; panics when it ends before.
    #[track_caller]
    pub fn until(&mut self, n: usize) -> &[u8] {
        while self.answer.body.len() < n {
            assert!(self.more().is_some(), "it ended early: {:#?}", self.answer);
        }
        &self.answer.body
    }

    /// Reads the rest.
    pub fn finish(mut self) -> Answer {
        let close_delimited = self.framing == Framing::UntilClose;
        while self.more().is_some() {}
        let said_close = self
            .answer
            .field("connection")
            .is_some_and(|value| value.eq_ignore_ascii_case("close"));
        if close_delimited || said_close || self.answer.end != End::Complete {
            self.client.wire = None;
        }
        self.answer
    }

    /// Goes away with the answer unread.
    pub fn abandon(self) {
        self.client.wire = None;
    }

    fn read_head(&mut self, method: &str) {
        loop {
            let head = match self.client.connected().head() {
                Ok(head) => head,
                Err(broken) => {
                    self.answer.end = broken.into();
                    return;
                }
            };
            let (version, status) = status_line(&head);
            if (100..200).contains(&status) && status != 101 {
                self.answer.interim.push((status, head.fields));
                continue;
            }
            let bodiless = method == "HEAD" || matches!(status, 101 | 204 | 304);
            self.framing = if bodiless {
                Framing::Done
            } else {
                Framing::of(&head.fields, Framing::UntilClose)
            };
            self.answer.version = version;
            self.answer.status = status;
            self.answer.fields = head.fields;
            return;
        }
    }
}

fn status_line(head: &Head) -> (String, u16) {
    let mut words = head.first_line.split(' ');
    let version = words.next().unwrap_or_default().to_owned();
    let status = words.next().and_then(|status| status.parse().ok());
    let status = status.unwrap_or_else(|| panic!("not a status line: {:?}", head.first_line));
    (version, status)
}
