//! HTTP/1.1 as octets, for both sides of the gateway.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, Interest};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long anything may take before it counts as stalled.
const PATIENCE: Duration = Duration::from_secs(30);

/// The head of a message.
#[derive(Clone, Debug, Default)]
pub struct Head {
    pub first_line: String,
    pub fields: Vec<(String, String)>,
}

impl Head {
    pub fn field(&self, name: &str) -> Option<&str> {
        let found = |(field, _): &&(String, String)| field.eq_ignore_ascii_case(name);
        self.fields.iter().find(found).map(|(_, value)| &**value)
    }

    /// Of a response; 0 where there is none.
    pub fn status(&self) -> u16 {
        let status = self.first_line.split(' ').nth(1);
        status.and_then(|status| status.parse().ok()).unwrap_or(0)
    }

    /// Of a request: its method and target.
    pub fn request(&self) -> (&str, &str) {
        let mut words = self.first_line.split(' ');
        (words.next().unwrap_or(""), words.next().unwrap_or(""))
    }

    fn parse(octets: &[u8]) -> Self {
        let text = String::from_utf8_lossy(octets);
        let mut lines = text.split("\r\n");
        let first_line = lines.next().unwrap_or_default().to_owned();
        let field = |line: &str| {
            let (name, value) = line.split_once(':')?;
            Some((name.to_ascii_lowercase(), value.trim().to_owned()))
        };
        Self {
            first_line,
            fields: lines.filter_map(field).collect(),
        }
    }
}

/// A connection, with what was read of it beyond what was asked for.
#[derive(Debug)]
pub struct Wire {
    stream: TcpStream,
    buffer: Vec<u8>,
    /// For a slow reader.
    pub pace: Rc<Cell<Option<Pace>>>,
}

/// How slowly a slow reader reads.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// How long it rests before each read.
    pub pause: Duration,
    /// Bytes of a read, at most.
    pub most: usize,
}

impl Wire {
    pub async fn connect(addr: SocketAddr) -> io::Result<Self> {
        Ok(Self::new(TcpStream::connect(addr).await?))
    }

    pub fn new(stream: TcpStream) -> Self {
        let _ = stream.set_nodelay(true);
        Self {
            stream,
            buffer: Vec::new(),
            pace: Rc::default(),
        }
    }

    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    pub async fn write(&mut self, octets: &[u8]) -> io::Result<()> {
        timeout(PATIENCE, self.stream.write_all(octets)).await?
    }

    /// Closes it with a reset.
    pub fn reset(self) {
        self.will_reset();
    }

    /// Makes a reset of its close.
    pub fn will_reset(&self) {
        let _ = socket2::SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
    }

    /// Ends what goes out, and reads on.
    pub async fn half_close(&mut self) -> io::Result<()> {
        self.stream.shutdown().await
    }

    /// Writes, unless the peer speaks first or has closed: then false, with some of it unwritten.
    pub async fn write_unanswered(&mut self, octets: &[u8]) -> io::Result<bool> {
        let mut left = octets;
        while !left.is_empty() {
            match self.stream.try_read_buf(&mut self.buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                _ => return Ok(false),
            }
            match self.stream.try_write(left) {
                Ok(n) => left = &left[n..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let either = Interest::READABLE | Interest::WRITABLE;
                    timeout(PATIENCE, self.stream.ready(either)).await??;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    async fn fill(&mut self) -> io::Result<()> {
        let mut most = 256 << 10;
        if let Some(pace) = self.pace.get() {
            tokio::time::sleep(pace.pause).await;
            most = pace.most;
        }
        let before = self.buffer.len();
        self.buffer.reserve(most.min(64 << 10));
        let mut limited = (&mut self.stream).take(most as u64);
        match timeout(PATIENCE, limited.read_buf(&mut self.buffer)).await?? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => {
                debug_assert!(self.buffer.len() > before);
                Ok(())
            }
        }
    }

    async fn until(&mut self, end: &[u8]) -> io::Result<Vec<u8>> {
        let mut from = 0;
        loop {
            let rest = &self.buffer[from..];
            if let Some(at) = memchr::memmem::find(rest, end) {
                let taken: Vec<u8> = self.buffer.drain(..from + at + end.len()).collect();
                return Ok(taken[..from + at].to_vec());
            }
            from = self.buffer.len().saturating_sub(end.len() - 1);
            self.fill().await?;
        }
    }

    async fn exactly(&mut self, n: usize, take: &mut impl FnMut(&[u8])) -> io::Result<()> {
        let mut left = n;
        while left > 0 {
            if self.buffer.is_empty() {
                self.fill().await?;
            }
            let some = left.min(self.buffer.len());
            take(&self.buffer[..some]);
            self.buffer.drain(..some);
            left -= some;
        }
        Ok(())
    }

    /// So many octets, where no HTTP is spoken.
    pub async fn octets(&mut self, n: usize) -> io::Result<Vec<u8>> {
        let mut octets = Vec::new();
        self.exactly(n, &mut |some| octets.extend_from_slice(some))
            .await?;
        Ok(octets)
    }

    /// Whatever comes next; `None` at the end.
    pub async fn piece(&mut self) -> io::Result<Option<Vec<u8>>> {
        if self.buffer.is_empty() {
            match self.fill().await {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
                filled => filled?,
            }
        }
        Ok(Some(std::mem::take(&mut self.buffer)))
    }

    /// All that comes goes to `take`, up to the end in order.
    pub async fn rest(&mut self, take: &mut impl FnMut(&[u8])) -> io::Result<()> {
        while let Some(piece) = self.piece().await? {
            take(&piece);
        }
        Ok(())
    }

    /// The next head.
    pub async fn head(&mut self) -> io::Result<Head> {
        Ok(Head::parse(&self.until(b"\r\n\r\n").await?))
    }

    /// The content of the message with this head, to its verified end. What came of it is in `out` in any case.
    pub async fn body(&mut self, head: &Head, out: &mut Vec<u8>) -> io::Result<()> {
        self.content(head, &mut |some| out.extend_from_slice(some))
            .await
    }

    /// As [`Wire::body`]; what comes goes to `take`.
    pub async fn content(&mut self, head: &Head, take: &mut impl FnMut(&[u8])) -> io::Result<()> {
        if matches!(head.status(), 204 | 304) {
            return Ok(());
        }
        let chunked = head.field("transfer-encoding").is_some();
        match head.field("content-length").map(str::parse) {
            _ if chunked => self.chunks(take).await,
            Some(Ok(length)) => self.exactly(length, take).await,
            Some(Err(_)) => Err(io::ErrorKind::InvalidData.into()),
            // A response without either ends with its connection.
            None if head.first_line.starts_with("HTTP/") => self.rest(take).await,
            None => Ok(()),
        }
    }

    async fn chunks(&mut self, take: &mut impl FnMut(&[u8])) -> io::Result<()> {
        loop {
            let line = self.until(b"\r\n").await?;
            let text = String::from_utf8_lossy(&line).into_owned();
            let size = usize::from_str_radix(text.split(';').next().unwrap_or("").trim(), 16);
            let size = size.map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
            if size == 0 {
                // Trailers are let go.
                while !self.until(b"\r\n").await?.is_empty() {}
                return Ok(());
            }
            self.exactly(size, take).await?;
            self.until(b"\r\n").await?;
        }
    }
}
