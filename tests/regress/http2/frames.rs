//! A client of HTTP/2 whose every frame a test decides (RFC 9113 §4.1).

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc;
use std::thread;

use super::super::common::{Gateway, PATIENCE};

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const ACK: u8 = 1;
pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;

pub const PROTOCOL_ERROR: u32 = 1;
pub const CANCEL: u32 = 8;
pub const ENHANCE_YOUR_CALM: u32 = 11;

#[derive(Debug)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

impl Frame {
    /// The code of a RST_STREAM or a GOAWAY.
    pub fn code(&self) -> u32 {
        let code = match self.kind {
            GOAWAY => &self.payload[4..8],
            _ => &self.payload[..4],
        };
        u32::from_be_bytes(code.try_into().expect("a code"))
    }

    /// Whether it begins a response 200.
    pub fn is_ok(&self) -> bool {
        // RFC 7541, appendix A: `:status: 200` has index 8.
        self.kind == HEADERS && self.payload.first() == Some(&0x88)
    }
}

/// The client's end of one connection.
pub struct Client {
    socket: TcpStream,
    next: u32,
}

impl Client {
    pub fn to(gateway: &Gateway) -> Self {
        Self::at(gateway.addr())
    }

    pub fn at(addr: SocketAddr) -> Self {
        let socket = TcpStream::connect(addr).expect("a gateway");
        socket.set_nodelay(true).expect("a socket");
        socket.set_read_timeout(Some(PATIENCE)).expect("a socket");
        socket.set_write_timeout(Some(PATIENCE)).expect("a socket");
        let mut client = Self { socket, next: 1 };
        client.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        client.frame(SETTINGS, 0, 0, []);
        client
    }

    /// Writes octets as they are; false when the gateway takes nothing any more.
    pub fn write(&mut self, octets: impl AsRef<[u8]>) -> bool {
        self.socket.write_all(octets.as_ref()).is_ok()
    }

    pub fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: impl AsRef<[u8]>) -> bool {
        self.write(frame(kind, flags, stream, payload))
    }

    /// The number of a stream that is yet to begin.
    pub fn number(&mut self) -> u32 {
        let stream = self.next;
        self.next += 2;
        stream
    }

    /// Begins a stream with these fields; its number.
    pub fn head(&mut self, flags: u8, fields: &[(&[u8], &[u8])]) -> u32 {
        self.block(flags, block(fields))
    }

    /// Begins a stream with this field section; its number.
    pub fn block(&mut self, flags: u8, block: impl AsRef<[u8]>) -> u32 {
        let stream = self.number();
        self.frame(HEADERS, END_HEADERS | flags, stream, block);
        stream
    }

    /// Begins a stream with a field section in these parts; its number.
    pub fn parts(&mut self, flags: u8, parts: &[&[u8]]) -> u32 {
        let stream = self.number();
        for (at, part) in parts.iter().enumerate() {
            let (kind, first) = match at {
                0 => (HEADERS, flags),
                _ => (CONTINUATION, 0),
            };
            let last = if at + 1 == parts.len() {
                END_HEADERS
            } else {
                0
            };
            self.frame(kind, first | last, stream, part);
        }
        stream
    }

    /// A whole request without content; its stream.
    pub fn request(&mut self, method: &str, path: &str) -> u32 {
        self.head(END_STREAM, &fields(method, path))
    }

    pub fn get(&mut self, path: &str) -> u32 {
        self.request("GET", path)
    }

    pub fn reset(&mut self, stream: u32) -> bool {
        self.frame(RST_STREAM, 0, stream, CANCEL.to_be_bytes())
    }

    /// The next frame; `None` at the connection's end, however that comes.
    #[track_caller]
    pub fn next(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        self.fill(&mut head)?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; length as usize];
        self.fill(&mut payload)?;
        Some(Frame {
            kind: head[3],
            flags: head[4],
            stream: u32::from_be_bytes([head[5], head[6], head[7], head[8]]),
            payload,
        })
    }

    #[track_caller]
    fn fill(&mut self, room: &mut [u8]) -> Option<()> {
        match self.socket.read_exact(room) {
            Ok(()) => Some(()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                panic!("the gateway says nothing, and keeps the connection open")
            }
            Err(_) => None,
        }
    }

    /// The first frame that is `wanted`; panics at the connection's end.
    #[track_caller]
    pub fn until(&mut self, wanted: impl Fn(&Frame) -> bool) -> Frame {
        loop {
            let frame = self.next().expect("the connection has ended");
            if wanted(&frame) {
                return frame;
            }
        }
    }

    /// Waits for a whole response 200 to a GET of `path` on this connection.
    #[track_caller]
    pub fn expect_ok(&mut self, path: &str) {
        let stream = self.get(path);
        let head = self.until(|frame| frame.stream == stream);
        assert!(head.is_ok(), "{path}: {head:?}");
        let mut last = head;
        while last.flags & END_STREAM == 0 {
            last = self.until(|frame| frame.stream == stream);
            assert_eq!(last.kind, DATA, "{path}");
        }
    }

    /// Reads on in a thread, so that nothing that the gateway says holds up what is sent: heads, GOAWAYs and resets.
    pub fn listen(&self) -> mpsc::Receiver<Frame> {
        let socket = self.socket.try_clone().expect("a socket");
        let mut client = Self { socket, next: 1 };
        let (frames, heard) = mpsc::channel();
        thread::spawn(move || {
            while let Some(frame) = client.next() {
                let told = matches!(frame.kind, HEADERS | GOAWAY | RST_STREAM);
                if told && frames.send(frame).is_err() {
                    return;
                }
            }
        });
        heard
    }

    /// Reads to the connection's end; the code of the GOAWAY before it, if there was one.
    #[track_caller]
    pub fn farewell(&mut self) -> Option<u32> {
        let mut code = None;
        while let Some(frame) = self.next() {
            if frame.kind == GOAWAY {
                code = Some(frame.code());
            }
        }
        code
    }
}

/// The fields of a request.
pub fn fields<'a>(method: &'a str, path: &'a str) -> [(&'a [u8], &'a [u8]); 4] {
    [
        (b":method", method.as_bytes()),
        (b":scheme", b"http"),
        (b":path", path.as_bytes()),
        (b":authority", b"books.example"),
    ]
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

/// A field section, every line of it literal, not indexed, and without Huffman code (RFC 7541 §6.2.2).
pub fn block(fields: &[(&[u8], &[u8])]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        string(&mut block, name);
        string(&mut block, value);
    }
    block
}

/// RFC 7541 §5.2.
pub fn string(block: &mut Vec<u8>, text: &[u8]) {
    integer(block, 0, 7, text.len());
    block.extend(text);
}

/// RFC 7541 §5.1.
pub fn integer(block: &mut Vec<u8>, flags: u8, bits: u32, value: usize) {
    let most = (1 << bits) - 1;
    if value < most {
        block.push(flags | value as u8);
        return;
    }
    block.push(flags | most as u8);
    let mut rest = value - most;
    while rest >= 128 {
        block.push((rest % 128) as u8 | 128);
        rest /= 128;
    }
    block.push(rest as u8);
}
