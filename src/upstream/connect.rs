//! From a server's address to an open socket: DNS, TCP by happy eyeballs (RFC 8305), TLS, Unix sockets, each within its
//! deadline.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpStream, UnixStream};
use tokio::time::{sleep, timeout};

use super::limits::ConnectLimits;
use super::names::address::Address;
use super::names::resolve::Resolver;
use super::poll_first::poll_first;
use super::server::{Server, Transport};
use super::wire::Socket;
use crate::clock::{Clock, within};
use crate::descriptors;
use crate::error::{Error, ErrorKind};

/// RFC 8305 §5: how long after one attempt the next address is tried beside it.
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// An open socket, and the address that it leads to; none for a Unix socket.
pub(super) struct Connected {
    pub(super) socket: Socket,
    pub(super) address: Option<Arc<Address>>,
}

/// Opens a socket to `server`, ready for HTTP.
pub(super) async fn connect(
    server: &Server,
    limits: ConnectLimits,
    clock: &Clock,
) -> Result<Connected, Error> {
    let (socket, address) = match server.transport() {
        Transport::Tcp(resolver) => {
            let (socket, address) = tcp(resolver, limits.connect, clock).await?;
            (Socket::Tcp(socket), Some(address))
        }
        Transport::Tls(resolver, tls) => {
            let (socket, address) = tcp(resolver, limits.connect, clock).await?;
            let stream = match within(limits.tls, pin!(tls.handshake(socket))).await {
                Ok(stream) => stream,
                Err(_elapsed) => Err(Error::upstream(ErrorKind::TlsTimeout)),
            };
            let stream = stream.inspect_err(|error| address.failed(clock.now().mono, error))?;
            (Socket::Tls(Box::new(stream)), Some(address))
        }
        Transport::Unix(path) => {
            match within(
                limits.connect,
                pin!(open(|| UnixStream::connect(path), clock)),
            )
            .await
            {
                Ok(socket) => (Socket::Unix(socket.map_err(connect_failure)?), None),
                Err(_elapsed) => return Err(Error::upstream(ErrorKind::ConnectionTimeout)),
            }
        }
    };
    Ok(Connected { socket, address })
}

async fn tcp(
    resolver: &Arc<Resolver>,
    limit: Duration,
    clock: &Clock,
) -> Result<(TcpStream, Arc<Address>), Error> {
    let mut race = Race::new(clock);
    let connected = within(
        limit,
        pin!(async {
            let now = clock.now().mono;
            let addresses = resolver.addresses(now).await.map_err(|error| {
                let failure = Error::upstream(ErrorKind::Dns);
                match error.kind() {
                    io::ErrorKind::NotFound => failure.detail("the upstream's name does not exist"),
                    _ => failure,
                }
                .because(error)
            })?;
            let mut won = race.run(&addresses.in_use).await;
            if won.is_err() && !addresses.ejected.is_empty() {
                won = race.run(&addresses.ejected).await;
            }
            let (socket, address) = won.map_err(connect_failure)?;
            // A request's head is written at once: waiting for more to send would only delay it.
            socket.set_nodelay(true).map_err(connect_failure)?;
            Ok((socket, address))
        }),
    )
    .await;
    let connected = connected.unwrap_or_else(|_elapsed| {
        race.give_up(usize::MAX);
        Err(Error::upstream(ErrorKind::ConnectionTimeout))
    });
    if connected.is_err() {
        resolver.expire();
    }
    connected
}

fn connect_failure(error: io::Error) -> Error {
    use io::ErrorKind as Io;
    if descriptors::is_shortage(&error) {
        // The server has not failed.
        return Error::upstream(ErrorKind::ConnectionLimit)
            .detail("no file descriptor is left for a connection to the upstream")
            .because(error);
    }
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

/// How long after a socket could not be opened for want of a descriptor it is tried again, and how often at most.
const TRY_AGAIN: Duration = Duration::from_millis(20);
const TRIES: u32 = 25;

/// Opens a socket. Where no descriptor is left, idle client connections are closed, and it is tried again for half a second.
async fn open<T, F>(connect: impl Fn() -> F, clock: &Clock) -> io::Result<T>
where
    F: Future<Output = io::Result<T>>,
{
    let mut tries = 0;
    loop {
        let opened = connect().await;
        match &opened {
            Err(error) if descriptors::is_shortage(error) && tries < TRIES => {
                descriptors::make_room(error, clock.now().mono);
            }
            _ => return opened,
        }
        tries += 1;
        sleep(TRY_AGAIN).await;
    }
}

type Attempt = Pin<Box<dyn Future<Output = io::Result<TcpStream>>>>;

/// Attempts to connect, the earliest first.
struct Race<'a> {
    clock: &'a Clock,
    attempts: Vec<(Arc<Address>, Attempt)>,
}

impl<'a> Race<'a> {
    fn new(clock: &'a Clock) -> Self {
        Self {
            clock,
            attempts: Vec::new(),
        }
    }

    /// Connects to the first of `addresses` that accepts: the next one is tried when the one before has failed, or has
    /// not answered for [`ATTEMPT_DELAY`]. An address that a later one overtakes has failed, too.
    async fn run(&mut self, addresses: &[Arc<Address>]) -> io::Result<(TcpStream, Arc<Address>)> {
        let mut untried = addresses.iter();
        let mut failure = None;
        loop {
            let next = untried.next();
            if let Some(address) = next {
                let (at, clock) = (address.at(), self.clock.clone());
                let attempt =
                    Box::pin(async move { open(|| TcpStream::connect(at), &clock).await });
                self.attempts.push((address.clone(), attempt));
            } else if self.attempts.is_empty() {
                let none = || io::Error::new(io::ErrorKind::NotFound, "no address");
                return Err(failure.unwrap_or_else(none));
            }
            let delay = match untried.len() {
                0 => Duration::MAX,
                _ => ATTEMPT_DELAY,
            };
            let attempts = &mut self.attempts;
            let ended =
                poll_fn(|cx| poll_first(attempts.iter_mut().map(|(_, attempt)| attempt), cx));
            let Ok((at, ended)) = timeout(delay, ended).await else {
                continue;
            };
            let (address, _) = self.attempts.remove(at);
            match ended {
                Ok(socket) => {
                    self.give_up(at);
                    return Ok((socket, address));
                }
                Err(error) => {
                    if !descriptors::is_shortage(&error) {
                        address.failed(self.clock.now().mono, &error);
                    }
                    // The first failure is the one of the resolver's first choice.
                    failure = failure.or(Some(error));
                }
            }
        }
    }

    /// Gives up all attempts. The earliest `late` of them have failed: a later one has overtaken them, or the time is over.
    fn give_up(&mut self, late: usize) {
        let now = self.clock.now().mono;
        for (address, _) in self.attempts.drain(..).take(late) {
            address.failed(now, "it did not answer in time");
        }
    }
}
