//! HTTP/1.1 messages as they are on the wire, nothing normalised.

use std::io::{self, Read};
use std::net::TcpStream;

/// Field lines in their order, names as they were written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields(pub Vec<(String, String)>);

impl Fields {
    /// The first line of that name, in any case.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    /// All lines of that name, in any case.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0
            .iter()
            .filter(|(field, _)| field.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    pub fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    pub(super) fn push(&mut self, name: &str, value: impl ToString) {
        self.0.push((name.to_owned(), value.to_string()));
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        for (name, value) in &self.0 {
            out.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
    }

    fn parse(lines: &[u8]) -> Self {
        let text = String::from_utf8_lossy(lines);
        Self(
            text.split("\r\n")
                .filter(|line| !line.is_empty())
                .map(|line| {
                    let (name, value) = line.split_once(':').unwrap_or((line, ""));
                    (name.to_owned(), value.trim_matches([' ', '\t']).to_owned())
                })
                .collect(),
        )
    }
}

/// A request: to be sent by a client, or as an origin received it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub method: String,
    pub target: String,
    pub version: String,
    pub fields: Fields,
    pub body: Vec<u8>,
}

/// A request without content; a client adds `Host` where the test has not.
pub fn request(method: &str, target: &str) -> Request {
    Request {
        method: method.to_owned(),
        target: target.to_owned(),
        version: "HTTP/1.1".to_owned(),
        fields: Fields::default(),
        body: Vec::new(),
    }
}

pub fn get(target: &str) -> Request {
    request("GET", target)
}

pub fn head(target: &str) -> Request {
    request("HEAD", target)
}

pub fn delete(target: &str) -> Request {
    request("DELETE", target)
}

pub fn post(target: &str, body: impl AsRef<[u8]>) -> Request {
    request("POST", target).body(body)
}

pub fn put(target: &str, body: impl AsRef<[u8]>) -> Request {
    request("PUT", target).body(body)
}

impl Request {
    pub fn field(mut self, name: &str, value: impl ToString) -> Self {
        self.fields.push(name, value);
        self
    }

    /// Content, sent with its Content-Length.
    pub fn body(mut self, body: impl AsRef<[u8]>) -> Self {
        self.body = body.as_ref().to_vec();
        self
    }

    pub fn version(mut self, version: &str) -> Self {
        self.version = version.to_owned();
        self
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The octets, with `Host: <host>` and a Content-Length where the test gave none.
    pub(super) fn to_bytes(&self, host: &str) -> Vec<u8> {
        let mut out = format!("{} {} {}\r\n", self.method, self.target, self.version).into_bytes();
        if !self.fields.has("host") && self.version != "HTTP/1.0" {
            out.extend_from_slice(format!("Host: {host}\r\n").as_bytes());
        }
        let framed = self.fields.has("content-length") || self.fields.has("transfer-encoding");
        let may_have_content = matches!(&*self.method, "POST" | "PUT" | "PATCH" | "QUERY");
        if !framed && (may_have_content || !self.body.is_empty()) {
            out.extend_from_slice(format!("Content-Length: {}\r\n", self.body.len()).as_bytes());
        }
        self.fields.write(&mut out);
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(&self.body);
        out
    }
}

/// The head of a message: its first line and its fields.
#[derive(Clone, Debug)]
pub(super) struct Head {
    pub(super) first_line: String,
    pub(super) fields: Fields,
}

/// What is read from a connection beyond what has been asked for stays for the next message.
#[derive(Debug)]
pub(super) struct Wire {
    pub(super) stream: TcpStream,
    buffer: Vec<u8>,
}

/// What came instead of the octets that were waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Broken {
    /// The peer closed its side in order.
    Closed,
    Reset,
    /// Nothing came within the stream's read deadline.
    Stalled,
}

impl Wire {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            buffer: Vec::new(),
        }
    }

    /// Waits for at least one more octet in the buffer.
    fn fill(&mut self) -> Result<(), Broken> {
        let mut chunk = [0; 16 * 1024];
        loop {
            match self.stream.read(&mut chunk) {
                Ok(0) => return Err(Broken::Closed),
                Ok(n) => {
                    self.buffer.extend_from_slice(&chunk[..n]);
                    return Ok(());
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::Interrupted => {}
                    io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                        return Err(Broken::Stalled);
                    }
                    _ => return Err(Broken::Reset),
                },
            }
        }
    }

    fn take(&mut self, n: usize) -> Vec<u8> {
        self.buffer.drain(..n).collect()
    }

    /// Up to and without `end`.
    fn until(&mut self, end: &[u8]) -> Result<Vec<u8>, Broken> {
        let mut from = 0;
        loop {
            let found = self.buffer[from..]
                .windows(end.len())
                .position(|window| window == end);
            if let Some(at) = found {
                let before = self.take(from + at);
                self.take(end.len());
                return Ok(before);
            }
            from = self.buffer.len().saturating_sub(end.len() - 1);
            self.fill()?;
        }
    }

    /// Some octets, at most `limit` and at least one.
    pub(super) fn some(&mut self, limit: usize) -> Result<Vec<u8>, Broken> {
        if self.buffer.is_empty() {
            self.fill()?;
        }
        Ok(self.take(self.buffer.len().min(limit)))
    }

    /// So many octets.
    pub(super) fn exactly(&mut self, n: usize) -> Result<Vec<u8>, Broken> {
        while self.buffer.len() < n {
            self.fill()?;
        }
        Ok(self.take(n))
    }

    /// A message's head; `Err(Closed)` with nothing read is an orderly end between messages.
    pub(super) fn head(&mut self) -> Result<Head, Broken> {
        let head = self.until(b"\r\n\r\n")?;
        let line_end = head
            .windows(2)
            .position(|window| window == b"\r\n")
            .unwrap_or(head.len());
        Ok(Head {
            first_line: String::from_utf8_lossy(&head[..line_end]).into_owned(),
            fields: Fields::parse(&head[line_end..]),
        })
    }

    /// A line without its CRLF.
    pub(super) fn line(&mut self) -> Result<String, Broken> {
        let line = self.until(b"\r\n")?;
        Ok(String::from_utf8_lossy(&line).into_owned())
    }
}

/// How a body is delimited, and how much of it is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    Length(usize),
    /// Inside a chunk with so many octets left.
    Chunk(usize),
    /// Before a chunk's size line.
    ChunkSize,
    UntilClose,
    Done,
}

impl Framing {
    /// RFC 9112 §6.3, for a message whose fields are these.
    pub(super) fn of(fields: &Fields, otherwise: Self) -> Self {
        if fields
            .get("transfer-encoding")
            .is_some_and(|codings| codings.to_ascii_lowercase().ends_with("chunked"))
        {
            return Self::ChunkSize;
        }
        match fields.get("content-length").map(str::parse) {
            Some(Ok(0)) => Self::Done,
            Some(Ok(length)) => Self::Length(length),
            _ => otherwise,
        }
    }

    /// The next octets of the body; `None` at its end, its trailers then in `trailers`.
    pub(super) fn next(
        &mut self,
        wire: &mut Wire,
        trailers: &mut Fields,
    ) -> Result<Option<Vec<u8>>, Broken> {
        loop {
            match *self {
                Self::Done => return Ok(None),
                Self::UntilClose => {
                    return match wire.some(usize::MAX) {
                        Err(Broken::Closed) => {
                            *self = Self::Done;
                            Ok(None)
                        }
                        other => other.map(Some),
                    };
                }
                Self::Length(left) => {
                    let some = wire.some(left)?;
                    *self = match left - some.len() {
                        0 => Self::Done,
                        left => Self::Length(left),
                    };
                    return Ok(Some(some));
                }
                Self::Chunk(left) => {
                    let some = wire.some(left)?;
                    *self = Self::Chunk(left - some.len());
                    if left == some.len() {
                        wire.line()?;
                        *self = Self::ChunkSize;
                    }
                    return Ok(Some(some));
                }
                Self::ChunkSize => {
                    let line = wire.line()?;
                    let size = line.split(';').next().unwrap_or_default().trim();
                    let size = usize::from_str_radix(size, 16)
                        .unwrap_or_else(|_| panic!("not a chunk's size line: {line:?}"));
                    *self = Self::Chunk(size);
                    if size == 0 {
                        read_trailers(wire, trailers)?;
                        *self = Self::Done;
                    }
                }
            }
        }
    }
}

fn read_trailers(wire: &mut Wire, trailers: &mut Fields) -> Result<(), Broken> {
    loop {
        let line = wire.line()?;
        let Some((name, value)) = line.split_once(':') else {
            return Ok(());
        };
        trailers.push(name, value.trim());
    }
}
