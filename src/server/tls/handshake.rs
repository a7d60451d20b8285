//! The handshake of a connection.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::task::Poll;

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
        // The semaphore is never closed.
        let turn = turns.0.acquire().await;
        tokio::task::yield_now().await;
        let mut handshake = hello.into_stream(self.config());
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
