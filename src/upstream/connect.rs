//! From a server's address to an open socket: DNS, TCP by happy eyeballs (RFC 8305), TLS, Unix sockets, each within its
//! deadline.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use tokio::net::{TcpStream, UnixStream};
use tokio::time::{sleep, timeout};

use super::resolve::Resolver;
use super::server::{Route, Server};
use super::wire::Transport;
use crate::error::{Error, ErrorKind};

/// RFC 8305 §5: how long one attempt is alone before the next address is tried beside it.
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// Deadlines of a new connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// For the name's resolution and the socket's connection together.
    pub(super) connect: Duration,
    pub(super) tls: Duration,
}

/// Opens a socket to `server`, ready for HTTP.
pub(super) async fn connect(server: &Server, limits: Limits) -> Result<Transport, Error> {
    match server.route() {
        Route::Tcp(resolver) => Ok(Transport::Tcp(tcp(resolver, limits.connect).await?)),
        Route::Tls(resolver, tls) => {
            let socket = tcp(resolver, limits.connect).await?;
            match timeout(limits.tls, tls.handshake(socket)).await {
                Ok(stream) => Ok(Transport::Tls(Box::new(stream?))),
                Err(_elapsed) => Err(Error::upstream(ErrorKind::TlsTimeout)),
            }
        }
        Route::Unix(path) => match timeout(limits.connect, UnixStream::connect(path)).await {
            Ok(socket) => Ok(Transport::Unix(socket.map_err(connect_failure)?)),
            Err(_elapsed) => Err(Error::upstream(ErrorKind::ConnectionTimeout)),
        },
    }
}

async fn tcp(resolver: &Resolver, limit: Duration) -> Result<TcpStream, Error> {
    let connected = timeout(limit, async {
        let addresses = resolver.addresses().await.map_err(no_address)?;
        let socket = race(&addresses).await.map_err(connect_failure)?;
        // A request is written whole: waiting for more to send would only delay it.
        socket.set_nodelay(true).map_err(connect_failure)?;
        Ok(socket)
    })
    .await
    .unwrap_or_else(|_elapsed| Err(Error::upstream(ErrorKind::ConnectionTimeout)));
    if connected.is_err() {
        resolver.doubt();
    }
    connected
}

fn no_address(error: io::Error) -> Error {
    let failure = Error::upstream(ErrorKind::Dns);
    match error.kind() {
        io::ErrorKind::NotFound => failure.detail("the upstream's name does not exist"),
        _ => failure,
    }
    .because(error)
}

fn connect_failure(error: io::Error) -> Error {
    use io::ErrorKind as Io;
    let kind = match error.kind() {
        Io::ConnectionRefused
        | Io::ConnectionReset
        | Io::HostUnreachable
        | Io::NetworkUnreachable
        | Io::NetworkDown
        | Io::AddrNotAvailable
        | Io::NotFound => ErrorKind::ConnectionRefused,
        Io::TimedOut => ErrorKind::ConnectionTimeout,
        _ => ErrorKind::ConnectionIo,
    };
    Error::upstream(kind).because(error)
}

type Attempt = Pin<Box<dyn Future<Output = io::Result<TcpStream>>>>;

/// Connects to the first of `addresses` that accepts: the next one is tried when the one before has failed, or has not
/// answered for [`ATTEMPT_DELAY`].
async fn race(addresses: &[SocketAddr]) -> io::Result<TcpStream> {
    if let [only] = addresses {
        return TcpStream::connect(*only).await;
    }
    let mut untried = addresses.iter().copied();
    let mut attempts: Vec<Attempt> = Vec::new();
    let mut failure = None;
    loop {
        let next = untried.next();
        if let Some(address) = next {
            attempts.push(Box::pin(TcpStream::connect(address)));
        } else if attempts.is_empty() {
            let none = || io::Error::new(io::ErrorKind::NotFound, "no address");
            return Err(failure.unwrap_or_else(none));
        }
        let patience = next.is_some().then_some(ATTEMPT_DELAY);
        match first_of(&mut attempts, patience).await {
            Some(Ok(socket)) => return Ok(socket),
            // The first failure is the one of the resolver's first choice.
            Some(Err(error)) => failure = failure.or(Some(error)),
            None => {}
        }
    }
}

/// The first of `attempts` to end, which is taken out of them; `None` when `patience` ends before.
async fn first_of(
    attempts: &mut Vec<Attempt>,
    patience: Option<Duration>,
) -> Option<io::Result<TcpStream>> {
    let mut delay = pin!(sleep(patience.unwrap_or_default()));
    std::future::poll_fn(|cx| {
        for at in 0..attempts.len() {
            if let Poll::Ready(ended) = attempts[at].as_mut().poll(cx) {
                drop(attempts.swap_remove(at));
                return Poll::Ready(Some(ended));
            }
        }
        match patience {
            Some(_) => delay.as_mut().poll(cx).map(|()| None),
            None => Poll::Pending,
        }
    })
    .await
}
