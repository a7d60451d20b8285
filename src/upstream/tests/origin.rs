//! An origin whose every byte a test decides.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::config::{Endpoint, ServerUrl};

pub(super) struct Origin {
    listener: TcpListener,
}

impl Origin {
    pub(super) async fn start() -> Self {
        Self::start_at(0).await
    }

    /// Where another origin was before.
    pub(super) async fn start_at(port: u16) -> Self {
        Self::start_on("127.0.0.1", port).await
    }

    pub(super) async fn start_on(ip: &str, port: u16) -> Self {
        let address = (ip, port);
        let listener = TcpListener::bind(address).await.expect("a free port");
        Self { listener }
    }

    pub(super) fn port(&self) -> u16 {
        self.listener.local_addr().expect("an address").port()
    }

    pub(super) fn url(&self) -> ServerUrl {
        ServerUrl {
            endpoint: Endpoint::Http {
                host: "127.0.0.1".to_owned(),
                port: self.port(),
            },
            base_path: String::new(),
        }
    }

    pub(super) async fn accept(&self) -> Peer<TcpStream> {
        let (stream, _) = self.listener.accept().await.expect("a connection");
        Peer::new(stream)
    }

    /// Accepts a connection, reads a request's head and sends `bytes`.
    pub(super) async fn sends(&self, bytes: &str) -> Peer<TcpStream> {
        let mut peer = self.accept().await;
        peer.head().await;
        peer.send(bytes).await;
        peer
    }

    /// Accepts a connection, answers one request with `content` and closes. Returns the request's head.
    pub(super) async fn answers(&self, content: &str) -> String {
        self.accept().await.answer(content).await
    }

    /// Whether a connection waits to be accepted.
    pub(super) async fn is_called(&self) -> bool {
        tokio::time::timeout(Duration::from_millis(30), self.listener.accept())
            .await
            .is_ok()
    }
}

/// The origin's end of one connection.
pub(super) struct Peer<S> {
    stream: S,
    unread: Vec<u8>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Peer<S> {
    pub(super) fn new(stream: S) -> Self {
        let unread = Vec::new();
        Self { stream, unread }
    }

    /// The next request's head, up to its empty line.
    pub(super) async fn head(&mut self) -> String {
        loop {
            if let Some(end) = find(&self.unread, b"\r\n\r\n") {
                let head = self.unread.drain(..end + 4).collect();
                return String::from_utf8(head).expect("a head in ASCII");
            }
            assert!(self.fill().await > 0, "closed before a request came");
        }
    }

    /// The next `length` bytes.
    pub(super) async fn content(&mut self, length: usize) -> Vec<u8> {
        while self.unread.len() < length {
            assert!(self.fill().await > 0, "closed within content");
        }
        self.unread.drain(..length).collect()
    }

    pub(super) async fn send(&mut self, bytes: &str) {
        self.try_send(bytes).await.expect("an open connection");
    }

    pub(super) async fn send_octets(&mut self, octets: &[u8]) {
        self.try_send_octets(octets)
            .await
            .expect("an open connection");
    }

    pub(super) async fn try_send(&mut self, bytes: &str) -> std::io::Result<()> {
        self.try_send_octets(bytes.as_bytes()).await
    }

    async fn try_send_octets(&mut self, octets: &[u8]) -> std::io::Result<()> {
        self.stream.write_all(octets).await?;
        self.stream.flush().await
    }

    /// Reads a request and answers it with `content`.
    pub(super) async fn answer(&mut self, content: &str) -> String {
        let head = self.head().await;
        let length = content.len();
        self.send(&format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{content}"
        ))
        .await;
        head
    }

    /// Like [`Peer::answer`]; `None` when the gateway closes instead of asking.
    pub(super) async fn try_answer(&mut self, content: &str) -> Option<String> {
        if self.unread.is_empty() {
            match self.stream.read_buf(&mut self.unread).await {
                Ok(0) | Err(_) => return None,
                Ok(_) => {}
            }
        }
        Some(self.answer(content).await)
    }

    /// Waits until the gateway has closed this connection, by FIN or by reset.
    pub(super) async fn closed(&mut self) {
        loop {
            self.unread.clear();
            match self.stream.read_buf(&mut self.unread).await {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
        }
    }

    pub(super) async fn closed_within(&mut self, patience: Duration) -> bool {
        tokio::time::timeout(patience, self.closed()).await.is_ok()
    }

    /// What comes until the end.
    pub(super) async fn rest(mut self) -> std::io::Result<Vec<u8>> {
        let mut rest = Vec::new();
        self.stream.read_to_end(&mut rest).await?;
        Ok(rest)
    }

    async fn fill(&mut self) -> usize {
        self.stream
            .read_buf(&mut self.unread)
            .await
            .expect("an open connection")
    }
}

impl Peer<TcpStream> {
    pub(super) fn into_stream(self) -> TcpStream {
        self.stream
    }

    /// Closes with a reset instead of a FIN.
    pub(super) fn reset(self) {
        socket2::SockRef::from(&self.stream)
            .set_linger(Some(Duration::ZERO))
            .expect("an open connection");
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack
        .windows(needle.len())
        .position(|window| window == needle)
}
