//! A server of HTTP/2 whose every frame a test decides.

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use crate::upstream::tests::origin::{Origin, Peer};

pub(in crate::upstream::tests) const DATA: u8 = 0;
pub(in crate::upstream::tests) const HEADERS: u8 = 1;
pub(in crate::upstream::tests) const RST_STREAM: u8 = 3;
pub(in crate::upstream::tests) const SETTINGS: u8 = 4;
pub(in crate::upstream::tests) const GOAWAY: u8 = 7;
pub(in crate::upstream::tests) const WINDOW_UPDATE: u8 = 8;

pub(in crate::upstream::tests) const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const ACK: u8 = 1;

pub(in crate::upstream::tests) const MAX_CONCURRENT_STREAMS: u16 = 3;
pub(in crate::upstream::tests) const INITIAL_WINDOW_SIZE: u16 = 4;

pub(in crate::upstream::tests) const NO_ERROR: u32 = 0;
pub(in crate::upstream::tests) const INTERNAL_ERROR: u32 = 2;
pub(in crate::upstream::tests) const REFUSED_STREAM: u32 = 7;
pub(in crate::upstream::tests) const CANCEL: u32 = 8;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// RFC 9113 §4.1.
#[derive(Debug)]
pub(in crate::upstream::tests) struct Frame {
    pub(in crate::upstream::tests) kind: u8,
    pub(in crate::upstream::tests) flags: u8,
    pub(in crate::upstream::tests) stream: u32,
    pub(in crate::upstream::tests) payload: Vec<u8>,
}

impl Frame {
    pub(in crate::upstream::tests) fn is_end(&self) -> bool {
        self.flags & END_STREAM != 0
    }

    /// The code of a RST_STREAM.
    pub(in crate::upstream::tests) fn code(&self) -> u32 {
        let code = self.payload[..4].try_into().expect("four octets");
        u32::from_be_bytes(code)
    }
}

/// The server's end of one connection.
pub(in crate::upstream::tests) struct Server<S> {
    peer: Peer<S>,
}

/// Accepts a connection and its preface, and greets it.
pub(in crate::upstream::tests) async fn accept(origin: &Origin) -> Server<TcpStream> {
    greet(origin, &[]).await
}

/// The same, with these settings.
pub(in crate::upstream::tests) async fn greet(
    origin: &Origin,
    settings: &[(u16, u32)],
) -> Server<TcpStream> {
    let mut server = Server::of(origin.accept().await).await;
    server.greet(settings).await;
    server
}

impl Server<TcpStream> {
    /// Closes the connection by a reset.
    pub(in crate::upstream::tests) fn break_off(self) {
        self.peer.reset();
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Server<S> {
    /// Reads the preface.
    pub(in crate::upstream::tests) async fn of(mut peer: Peer<S>) -> Self {
        assert_eq!(peer.content(PREFACE.len()).await, PREFACE);
        Self { peer }
    }

    pub(in crate::upstream::tests) async fn frame(
        &mut self,
        kind: u8,
        flags: u8,
        stream: u32,
        payload: &[u8],
    ) {
        let mut frame = vec![0];
        let length = u16::try_from(payload.len()).expect("a small frame");
        frame.extend(length.to_be_bytes());
        frame.extend([kind, flags]);
        frame.extend(stream.to_be_bytes());
        frame.extend(payload);
        self.peer.send_octets(&frame).await;
    }

    pub(in crate::upstream::tests) async fn greet(&mut self, settings: &[(u16, u32)]) {
        let mut payload = Vec::new();
        for (name, value) in settings {
            payload.extend(name.to_be_bytes());
            payload.extend(value.to_be_bytes());
        }
        self.frame(SETTINGS, 0, 0, &payload).await;
        // Those of the gateway hold from here on.
        self.frame(SETTINGS, ACK, 0, &[]).await;
    }

    /// A field section (RFC 7541, nothing compressed).
    pub(in crate::upstream::tests) async fn fields(
        &mut self,
        stream: u32,
        flags: u8,
        fields: &[(&str, &str)],
    ) {
        let mut block = Vec::new();
        for (name, value) in fields {
            block.push(0);
            for text in [name, value] {
                block.push(u8::try_from(text.len()).expect("a short text"));
                block.extend(text.as_bytes());
            }
        }
        self.frame(HEADERS, flags | END_HEADERS, stream, &block)
            .await;
    }

    /// The head of a response whose content is to come.
    pub(in crate::upstream::tests) async fn head(&mut self, stream: u32) {
        self.fields(stream, 0, &[(":status", "200")]).await;
    }

    pub(in crate::upstream::tests) async fn data(&mut self, stream: u32, flags: u8, text: &str) {
        self.frame(DATA, flags, stream, text.as_bytes()).await;
    }

    /// A whole response.
    pub(in crate::upstream::tests) async fn answer(&mut self, stream: u32, content: &str) {
        self.head(stream).await;
        self.data(stream, END_STREAM, content).await;
    }

    pub(in crate::upstream::tests) async fn reset(&mut self, stream: u32, code: u32) {
        self.frame(RST_STREAM, 0, stream, &code.to_be_bytes()).await;
    }

    pub(in crate::upstream::tests) async fn go_away(&mut self, last: u32, code: u32) {
        let payload = [last.to_be_bytes(), code.to_be_bytes()].concat();
        self.frame(GOAWAY, 0, 0, &payload).await;
    }

    pub(in crate::upstream::tests) async fn allow(&mut self, stream: u32, octets: u32) {
        self.frame(WINDOW_UPDATE, 0, stream, &octets.to_be_bytes())
            .await;
    }

    pub(in crate::upstream::tests) async fn closed(&mut self) {
        self.peer.closed().await;
    }

    async fn next(&mut self) -> Frame {
        let head = self.peer.content(9).await;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let stream = [head[5], head[6], head[7], head[8]];
        Frame {
            kind: head[3],
            flags: head[4],
            stream: u32::from_be_bytes(stream),
            payload: self.peer.content(length as usize).await,
        }
    }

    /// The next frame of this kind; others are passed over.
    pub(in crate::upstream::tests) async fn until(&mut self, kind: u8) -> Frame {
        loop {
            let frame = self.next().await;
            if frame.kind == kind {
                return frame;
            }
        }
    }

    /// The stream of the next request.
    pub(in crate::upstream::tests) async fn asked(&mut self) -> u32 {
        self.until(HEADERS).await.stream
    }
}
