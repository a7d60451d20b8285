//! An API that speaks HTTP/2 by prior knowledge, whose every frame a fault decides.

use std::sync::Arc;

use super::row::{OTHER, Peer, Script, TARGET};
use crate::common::{Conn, End, Origin, Reply, Request, get};

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PUSH_PROMISE: u8 = 5;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;
pub const PADDED: u8 = 8;
const PRIORITIES: u8 = 32;
pub const ACK: u8 = 1;

const HEADER_TABLE_SIZE: u16 = 1;
pub const INITIAL_WINDOW_SIZE: u16 = 4;

pub const NO_ERROR: u32 = 0;
pub const PROTOCOL_ERROR: u32 = 1;
pub const INTERNAL_ERROR: u32 = 2;
pub const REFUSED_STREAM: u32 = 7;
pub const CANCEL: u32 = 8;
pub const ENHANCE_YOUR_CALM: u32 = 11;
pub const HTTP_1_1_REQUIRED: u32 = 13;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The API's end of one connection.
pub struct Server {
    pub conn: Conn,
    /// Of the latest request.
    pub stream: u32,
    greeted: bool,
}

/// RFC 9113 §4.1.
struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

impl Peer for Server {
    const UPSTREAM: &'static str = r#"
        protocol = "h2c"
        connect_timeout = "1s"
    "#;

    fn origin(script: Arc<Script<Self>>) -> Origin {
        let serve = move |conn: &mut Conn| {
            let mut server = Self {
                conn: conn.take(),
                stream: 0,
                greeted: false,
            };
            script.greet(&mut server);
            server.greet(&[]);
            while let Some(request) = server.request() {
                script.answer(&request, &mut server);
            }
        };
        Origin::greeting(serve, |_, _| unreachable!("the connection has been served"))
    }

    fn reply(&mut self, _request: &Request, reply: &Reply) {
        let (status, given, content) = reply.parts();
        let status = status.to_string();
        let mut fields = vec![(":status", &*status)];
        let given: Vec<_> = (given.0.iter())
            .map(|(name, value)| (name.to_ascii_lowercase(), value))
            .collect();
        fields.extend(given.iter().map(|(name, value)| (&**name, &***value)));
        if content.is_empty() {
            self.head(END_STREAM, &fields);
        } else {
            self.head(0, &fields);
            self.data(END_STREAM, content);
        }
    }
}

impl Server {
    /// Takes the preface and sends its own, with these settings; no more than once.
    pub fn greet(&mut self, settings: &[(u16, u32)]) {
        if self.greeted {
            return;
        }
        self.greeted = true;
        if self.conn.octets(PREFACE.len()).as_deref() == Ok(PREFACE) {
            // Each field is written out, for who has no table.
            self.settings(&[&[(HEADER_TABLE_SIZE, 0)], settings].concat());
        }
    }

    pub fn settings(&mut self, settings: &[(u16, u32)]) {
        let octets =
            |(name, value): &(u16, u32)| [&name.to_be_bytes()[..], &value.to_be_bytes()].concat();
        let payload: Vec<_> = settings.iter().flat_map(octets).collect();
        self.frame(SETTINGS, 0, 0, payload);
    }

    /// False when the peer has gone.
    pub fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: impl AsRef<[u8]>) -> bool {
        self.conn.write(frame(kind, flags, stream, payload))
    }

    /// The head of a response to the latest request.
    pub fn head(&mut self, flags: u8, fields: &[(&str, &str)]) {
        self.frame(HEADERS, END_HEADERS | flags, self.stream, block(fields));
    }

    /// Content of the response to the latest request.
    pub fn data(&mut self, flags: u8, content: impl AsRef<[u8]>) {
        self.frame(DATA, flags, self.stream, content);
    }

    pub fn reset_stream(&mut self, code: u32) {
        self.frame(RST_STREAM, 0, self.stream, code.to_be_bytes());
    }

    pub fn go_away(&mut self, last: u32, code: u32) {
        let payload = [last.to_be_bytes(), code.to_be_bytes()].concat();
        self.frame(GOAWAY, 0, 0, payload);
    }

    /// Waits until the gateway gives the latest request up.
    pub fn await_reset(&mut self) {
        while let Some(frame) = self.next() {
            if frame.kind == RST_STREAM && frame.stream == self.stream {
                return;
            }
        }
    }

    /// Waits until the gateway closes the connection, or says that it will.
    pub fn await_close(&mut self) {
        self.conn.await_close();
    }

    /// The next request that comes whole, its content read and dropped; `None` at the connection's end.
    fn request(&mut self) -> Option<Request> {
        loop {
            let head = self.headers()?;
            let mut last = head.flags;
            while last & END_STREAM == 0 {
                let frame = self.next()?;
                if frame.kind == RST_STREAM {
                    break;
                }
                last = match frame.kind {
                    DATA => frame.flags,
                    _ => last,
                };
            }
            if last & END_STREAM != 0 {
                return Some(request(&head.payload));
            }
        }
    }

    fn headers(&mut self) -> Option<Frame> {
        loop {
            let frame = self.next()?;
            if frame.kind == HEADERS {
                assert_eq!(frame.flags & (PADDED | PRIORITIES), 0);
                assert_ne!(frame.flags & END_HEADERS, 0, "a small head");
                self.stream = frame.stream;
                return Some(frame);
            }
        }
    }

    fn next(&mut self) -> Option<Frame> {
        let frame = self.read();
        if let Err(End::Stalled) = frame {
            panic!("the gateway keeps its connection open, and says nothing");
        }
        let frame = frame.ok()?;
        if frame.kind == SETTINGS && frame.flags & ACK == 0 {
            self.frame(SETTINGS, ACK, 0, []);
        }
        if frame.kind == PING && frame.flags & ACK == 0 {
            self.frame(PING, ACK, 0, &frame.payload);
        }
        Some(frame)
    }

    fn read(&mut self) -> Result<Frame, End> {
        let head = self.conn.octets(9)?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let stream = [head[5], head[6], head[7], head[8]];
        Ok(Frame {
            kind: head[3],
            flags: head[4],
            stream: u32::from_be_bytes(stream),
            payload: self.conn.octets(length as usize)?,
        })
    }
}

/// Of all that a request says, what the answer depends on.
fn request(head: &[u8]) -> Request {
    let target = match names(head, TARGET) {
        true => TARGET,
        false => OTHER,
    };
    let request = get(target);
    match names(head, "\"1\"") {
        true => request.field("if-none-match", "\"1\""),
        false => request,
    }
}

pub fn frame(kind: u8, flags: u8, stream: u32, payload: impl AsRef<[u8]>) -> Vec<u8> {
    let payload = payload.as_ref();
    let length = u32::try_from(payload.len()).expect("a frame");
    let mut frame = length.to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// A field section, every line of it literal and without Huffman code (RFC 7541 §6.2.2).
pub fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            block.push(
                u8::try_from(text.len())
                    .ok()
                    .filter(|length| *length < 127)
                    .expect("a short text"),
            );
            block.extend(text.as_bytes());
        }
    }
    block
}

/// Whether a field section of the gateway's, which writes each text that no table has in Huffman code, has `text`.
fn names(block: &[u8], text: &str) -> bool {
    let text = huffman(text);
    block.windows(text.len()).any(|octets| octets == text)
}

/// RFC 7541 §5.2, for what these tests ask for.
fn huffman(text: &str) -> Vec<u8> {
    let (mut bits, mut length) = (0_u128, 0);
    for octet in text.bytes() {
        let (code, size) = match octet {
            b'"' => (0x3f8, 10),
            b'/' => (0x18, 6),
            b'1' => (0x1, 5),
            b'2' => (0x2, 5),
            b'3' => (0x19, 6),
            b'b' => (0x23, 6),
            b'k' => (0x75, 7),
            b'o' => (0x7, 5),
            b's' => (0x8, 5),
            other => unreachable!("{other} is in no text that is looked for"),
        };
        bits = bits << size | code;
        length += size;
    }
    let padding = (8 - length % 8) % 8;
    bits = ((bits + 1) << padding) - 1;
    let octets = (length + padding) / 8;
    bits.to_be_bytes()[16 - octets..].to_vec()
}
