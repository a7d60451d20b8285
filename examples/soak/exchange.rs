//! The API's end of an exchange, in HTTP/1.1 or HTTP/2.

use std::cell::Cell;
use std::io;
use std::rc::Rc;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};

use crate::kit::Random;
use crate::kit::wire::{Head, Pace, Wire};

/// Octets of a crumb, at most.
const CRUMB: u64 = 3;

pub struct Exchange<'a> {
    peer: Peer<'a>,
    framing: Framing,
    /// Whether the connection is broken off with all that is on it, to what the API itself has decided.
    pub broken: Rc<Cell<bool>>,
}

enum Peer<'a> {
    Http1(&'a mut Wire, &'a Head),
    Http2 {
        content: RecvStream,
        respond: SendResponse<Bytes>,
        sending: Option<SendStream<Bytes>>,
    },
}

/// How the end of a response is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// By its status: there is no content.
    Empty,
    Length(usize),
    Chunked,
}

/// What becomes of an HTTP/1.1 connection; HTTP/2 goes on in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    Next,
    Close,
    Reset,
}

impl<'a> Exchange<'a> {
    pub fn http1(wire: &'a mut Wire, head: &'a Head) -> Self {
        Self {
            peer: Peer::Http1(wire, head),
            framing: Framing::Empty,
            broken: Rc::default(),
        }
    }

    pub fn http2(
        content: RecvStream,
        respond: SendResponse<Bytes>,
        broken: Rc<Cell<bool>>,
    ) -> Self {
        Self {
            peer: Peer::Http2 {
                content,
                respond,
                sending: None,
            },
            framing: Framing::Empty,
            broken,
        }
    }

    /// The connection itself; `None` in HTTP/2.
    pub fn wire(&mut self) -> Option<&mut Wire> {
        match &mut self.peer {
            Peer::Http1(wire, _) => Some(wire),
            Peer::Http2 { .. } => None,
        }
    }

    /// The request's content, to its verified end; it is asked for first where that is expected.
    pub async fn content(
        &mut self,
        pace: Option<Pace>,
        take: &mut impl FnMut(&[u8]),
    ) -> io::Result<()> {
        match &mut self.peer {
            Peer::Http1(wire, head) => {
                if head.field("expect").is_some() {
                    wire.write(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
                }
                let before = wire.pace.replace(pace);
                let read = wire.content(head, take).await;
                wire.pace.set(before);
                read
            }
            Peer::Http2 { content, .. } => {
                while let Some(data) = content.data().await {
                    let data = data.map_err(io::Error::other)?;
                    take(&data);
                    if let Some(pace) = pace {
                        tokio::time::sleep(pace.pause).await;
                    }
                    let window = content.flow_control();
                    window
                        .release_capacity(data.len())
                        .map_err(io::Error::other)?;
                }
                Ok(())
            }
        }
    }

    pub async fn head(
        &mut self,
        status: u16,
        fields: &[(&str, String)],
        framing: Framing,
    ) -> io::Result<()> {
        self.framing = framing;
        let mut fields = fields.to_vec();
        if let Framing::Length(length) = framing {
            fields.push(("content-length", length.to_string()));
        }
        match &mut self.peer {
            Peer::Http1(wire, _) => {
                if framing == Framing::Chunked {
                    fields.push(("transfer-encoding", "chunked".to_owned()));
                }
                let mut head = format!("HTTP/1.1 {status} As Said\r\n");
                for (name, value) in fields {
                    head += &format!("{name}: {value}\r\n");
                }
                wire.write(format!("{head}\r\n").as_bytes()).await
            }
            Peer::Http2 {
                respond, sending, ..
            } => {
                let mut response = http::Response::builder().status(status);
                for (name, value) in fields.iter().filter(|(name, _)| *name != "connection") {
                    response = response.header(*name, value);
                }
                let response = response.body(()).map_err(io::Error::other)?;
                let ends = matches!(framing, Framing::Empty | Framing::Length(0));
                let sent = respond.send_response(response, ends);
                *sending = Some(sent.map_err(io::Error::other)?);
                Ok(())
            }
        }
    }

    /// Some of the content.
    pub async fn data(&mut self, octets: &[u8]) -> io::Result<()> {
        if octets.is_empty() {
            return Ok(());
        }
        match &mut self.peer {
            Peer::Http1(wire, _) if self.framing == Framing::Chunked => {
                wire.write(&chunk(octets)).await
            }
            Peer::Http1(wire, _) => wire.write(octets).await,
            Peer::Http2 { sending, .. } => {
                let sending = sending.as_mut().ok_or(io::ErrorKind::NotConnected)?;
                let sent = sending.send_data(Bytes::copy_from_slice(octets), false);
                sent.map_err(io::Error::other)
            }
        }
    }

    /// Some of the content in chunks of one octet to three, their ends wherever they fall in what is written at once.
    pub async fn crumbs(&mut self, octets: &[u8], random: &mut Random) -> io::Result<()> {
        let mut framed = Vec::new();
        let mut rest = octets;
        while !rest.is_empty() {
            let n = (1 + random.below(CRUMB) as usize).min(rest.len());
            let (crumb, after) = rest.split_at(n);
            rest = after;
            match &self.peer {
                Peer::Http1(..) => framed.extend_from_slice(&chunk(crumb)),
                Peer::Http2 { .. } => self.data(crumb).await?,
            }
        }
        if let Some(wire) = self.wire() {
            while !framed.is_empty() {
                let n = (1 + random.below(2_000) as usize).min(framed.len());
                wire.write(&framed[..n]).await?;
                framed.drain(..n);
            }
        }
        Ok(())
    }

    /// The end of the content.
    pub async fn end(&mut self) -> io::Result<()> {
        match &mut self.peer {
            Peer::Http1(wire, _) if self.framing == Framing::Chunked => {
                wire.write(b"0\r\n\r\n").await
            }
            Peer::Http1(..) => Ok(()),
            Peer::Http2 { sending, .. } => {
                let ended = matches!(self.framing, Framing::Empty | Framing::Length(0));
                match sending {
                    Some(sending) if !ended => sending
                        .send_data(Bytes::new(), true)
                        .map_err(io::Error::other),
                    _ => Ok(()),
                }
            }
        }
    }

    /// A whole response.
    pub async fn reply(
        &mut self,
        status: u16,
        fields: &[(&str, String)],
        content: &str,
    ) -> io::Result<Then> {
        let framing = match status {
            204 | 304 => Framing::Empty,
            _ => Framing::Length(content.len()),
        };
        self.head(status, fields, framing).await?;
        self.data(content.as_bytes()).await?;
        self.end().await?;
        Ok(Then::Next)
    }

    /// Leaves it unfinished, in one of several ways.
    pub fn break_off(&mut self, random: &mut Random) -> Then {
        let Peer::Http2 {
            respond, sending, ..
        } = &mut self.peer
        else {
            return match random.chance(500) {
                true => Then::Reset,
                false => Then::Close,
            };
        };
        const REASONS: [Reason; 5] = [
            Reason::CANCEL,
            Reason::NO_ERROR,
            Reason::INTERNAL_ERROR,
            Reason::REFUSED_STREAM,
            Reason::ENHANCE_YOUR_CALM,
        ];
        let reason = REASONS[random.below(5) as usize];
        match (sending, self.framing) {
            // Too short for its length: that is how the end is known to be none (RFC 9113 §8.1.1).
            (Some(sending), Framing::Length(_)) if random.chance(200) => {
                let _ = sending.send_data(Bytes::new(), true);
            }
            (Some(sending), _) => sending.send_reset(reason),
            (None, _) => respond.send_reset(reason),
        }
        Then::Next
    }
}

fn chunk(octets: &[u8]) -> Vec<u8> {
    let mut chunk = format!("{:x}\r\n", octets.len()).into_bytes();
    chunk.extend_from_slice(octets);
    chunk.extend_from_slice(b"\r\n");
    chunk
}
