//! The handshake of a connection.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::task::Poll;

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use super::listeners::Tls;

/// The first octet of a TLS record that carries a handshake (RFC 8446 §5.1).
const HANDSHAKE: u8 = 0x16;

/// A connection after its first octets.
pub(in crate::server) enum Accepted {
    Tls(Box<TlsStream<TcpStream>>),
    /// The client does not speak TLS; nothing has been read.
    Plain(TcpStream),
    /// The client has left before its first octet.
    Left,
    /// A certificate authority has seen that a name is ours.
    Proved,
}

/// Has the handshakes of one worker take turns with its other tasks: the asymmetric cryptography of one takes as long as
/// tens of hits.
#[derive(Debug)]
pub(in crate::server) struct Turns(Semaphore);

impl Default for Turns {
    fn default() -> Self {
        Self(Semaphore::new(1))
    }
}

impl Tls {
    /// Shakes hands with the client.
    ///
    /// # Errors
    /// When the handshake fails.
    pub async fn accept(&self, socket: TcpStream, turns: &Turns) -> io::Result<Accepted> {
        let mut first = [0];
        if socket.peek(&mut first).await? == 0 {
            return Ok(Accepted::Left);
        }
        if first != [HANDSHAKE] {
            return Ok(Accepted::Plain(socket));
        }
        let hello = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), socket).await?;
        let settings = self.current.load_full();
        let config = settings.config.clone();
        if settings.source.acme.is_some() {
            let asked = hello.client_hello();
            if let Some(config) = self.issued.challenge(&asked) {
                // A certificate authority has seen what it wants to see then (RFC 8737 §3).
                let mut stream = Box::pin(hello.into_stream(config)).await?;
                // It may have closed first.
                let _ = stream.shutdown().await;
                return Ok(Accepted::Proved);
            }
            let (name, schemes) = (asked.server_name(), asked.signature_schemes());
            if settings.resolver.select(name, schemes).is_none() {
                let mut socket = hello.io;
                socket.write_all(&UNRECOGNIZED_NAME).await?;
                socket.shutdown().await?;
                let why = "there is no certificate for the name yet: the log says why none has been issued";
                return Err(io::Error::new(io::ErrorKind::NotFound, why));
            }
        }
        drop(settings);
        // The semaphore is never closed.
        let turn = turns.0.acquire().await;
        tokio::task::yield_now().await;
        let mut handshake = hello.into_stream(config);
        // Key exchange and signature happen at the first poll; what follows waits for the client.
        let first = poll_fn(|cx| Poll::Ready(Pin::new(&mut handshake).poll(cx))).await;
        drop(turn);
        let stream = match first {
            Poll::Ready(stream) => stream?,
            Poll::Pending => handshake.await?,
        };
        Ok(Accepted::Tls(Box::new(stream)))
    }
}

/// A fatal alert, unrecognized_name (RFC 6066 §3): a record as a handshake of any version begins with (RFC 8446 §5.1, §6).
const UNRECOGNIZED_NAME: [u8; 7] = [0x15, 0x03, 0x03, 0, 2, 2, 112];
