//! A client's connection to the gateway, in HTTP/1.1 or HTTP/2.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use h2::{Reason, RecvStream, SendStream};
use tokio::net::TcpStream;

use crate::kit::wire::{Head, Wire};

/// How long a client waits for anything.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// How a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speech {
    Http10,
    Http11,
    Http2,
}

/// A request without content.
pub struct Ask {
    pub target: String,
    pub fields: Vec<(&'static str, String)>,
}

pub enum Link {
    None,
    Http1(Wire),
    Http2(SendRequest<Bytes>),
}

/// A response whose content is still to be read.
pub struct Answer<'a> {
    pub head: Head,
    content: Content<'a>,
}

enum Content<'a> {
    Http1(&'a mut Wire),
    Http2(RecvStream),
}

impl Link {
    /// Connects where there is no connection.
    pub async fn open(&mut self, speech: Speech, addr: SocketAddr) -> io::Result<()> {
        if !matches!(self, Self::None) {
            return Ok(());
        }
        if speech != Speech::Http2 {
            *self = Self::Http1(Wire::connect(addr).await?);
            return Ok(());
        }
        let socket = TcpStream::connect(addr).await?;
        let _ = socket.set_nodelay(true);
        let shaken = h2::client::Builder::new()
            .initial_window_size(1 << 20)
            .initial_connection_window_size(4 << 20)
            // Crumbs are what is asked for.
            .data_frame_budget(1 << 30)
            .handshake(socket)
            .await;
        let (sender, connection) = shaken.map_err(io::Error::other)?;
        tokio::task::spawn_local(async move { drop(connection.await) });
        *self = Self::Http2(sender);
        Ok(())
    }

    /// Asks, and waits for the head of the response.
    pub async fn get(&mut self, speech: Speech, ask: &Ask) -> io::Result<Answer<'_>> {
        match self {
            Self::None => Err(io::ErrorKind::NotConnected.into()),
            Self::Http1(wire) => {
                let version = if speech == Speech::Http10 {
                    "1.0"
                } else {
                    "1.1"
                };
                let mut request = format!("GET {} HTTP/{version}\r\nHost: soak\r\n", ask.target);
                for (name, value) in &ask.fields {
                    request += &format!("{name}: {value}\r\n");
                }
                wire.write(format!("{request}\r\n").as_bytes()).await?;
                let head = wire.head().await?;
                Ok(Answer {
                    head,
                    content: Content::Http1(wire),
                })
            }
            Self::Http2(sender) => {
                let request = http::Request::get(format!("http://soak{}", ask.target));
                let (response, _) = begin(sender, request, &ask.fields, true).await?;
                Ok(Answer::of_2(response.await.map_err(io::Error::other)?))
            }
        }
    }
}

impl Answer<'_> {
    pub fn of_2(response: http::Response<RecvStream>) -> Self {
        let (parts, content) = response.into_parts();
        let mut head = Head {
            first_line: format!("HTTP/2 {}", parts.status.as_u16()),
            fields: Vec::new(),
        };
        for (name, value) in &parts.headers {
            let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
            head.fields.push((name.to_string(), value));
        }
        Self {
            head,
            content: Content::Http2(content),
        }
    }

    /// All of the content goes to `take`, up to its verified end.
    pub async fn content(&mut self, take: &mut impl FnMut(&[u8])) -> io::Result<()> {
        match &mut self.content {
            Content::Http1(wire) => wire.content(&self.head, take).await,
            Content::Http2(content) => {
                while let Some(data) = content.data().await {
                    let data = match data {
                        // To many clients, hyper's among them, this is an end (RFC 9113 §8.1).
                        Err(error) if error.reason() == Some(Reason::NO_ERROR) => return Ok(()),
                        data => data.map_err(io::Error::other)?,
                    };
                    take(&data);
                    let window = content.flow_control();
                    window
                        .release_capacity(data.len())
                        .map_err(io::Error::other)?;
                }
                Ok(())
            }
        }
    }
}

/// Sends the head of a request.
pub async fn begin(
    sender: &SendRequest<Bytes>,
    mut request: http::request::Builder,
    fields: &[(&'static str, String)],
    ends: bool,
) -> io::Result<(h2::client::ResponseFuture, SendStream<Bytes>)> {
    for (name, value) in fields {
        request = request.header(*name, value);
    }
    let request = request.body(()).map_err(io::Error::other)?;
    let mut sender = sender.clone().ready().await.map_err(io::Error::other)?;
    sender.send_request(request, ends).map_err(io::Error::other)
}

/// Sends some of a request's content, as fast as it is taken.
pub async fn send(stream: &mut SendStream<Bytes>, mut octets: Bytes) -> io::Result<()> {
    while !octets.is_empty() {
        stream.reserve_capacity(octets.len());
        let Some(room) = poll_fn(|cx| stream.poll_capacity(cx)).await else {
            return Err(io::ErrorKind::BrokenPipe.into());
        };
        let room = room.map_err(io::Error::other)?.min(octets.len());
        if room > 0 {
            let some = octets.split_to(room);
            stream.send_data(some, false).map_err(io::Error::other)?;
        }
    }
    Ok(())
}
