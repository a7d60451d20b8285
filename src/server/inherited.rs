//! Listening sockets that another process has opened and passed to this one: the service manager (socket activation,
//! sd_listen_fds(3)).

use std::env;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use listenfd::ListenFd;
use socket2::Socket;

use super::error::Error;
use super::listening::{Sockets, bound_addr};
use crate::config::ListenAddr;

/// Sockets that were passed, and that no listener has taken yet.
#[derive(Debug, Default)]
pub struct Inherited {
    sockets: Vec<Passed>,
}

/// One socket.
#[derive(Debug)]
struct Passed {
    addr: ListenAddr,
    /// What the other process calls it, for messages.
    name: String,
    socket: Socket,
}

impl Inherited {
    /// Those of the service manager; none where it has passed none. It removes the variables that name them from the
    /// environment: must be called before any thread is started.
    ///
    /// # Errors
    /// When one is no listening TCP or Unix socket.
    pub fn from_service_manager() -> Result<Self, Error> {
        let names = env::var("LISTEN_FDNAMES").unwrap_or_default();
        let mut names = names.split(':');
        let mut passed = ListenFd::from_env();
        let mut inherited = Self::default();
        for index in 0..passed.len() {
            let name = names.next().filter(|name| !name.is_empty());
            let name = name.unwrap_or("without a name").to_owned();
            let socket = match passed.take_tcp_listener(index) {
                Ok(listener) => Ok(listener.map(Socket::from)),
                Err(_) => passed
                    .take_unix_listener(index)
                    .map(|listener| listener.map(Socket::from)),
            };
            let Ok(Some(socket)) = socket else {
                return Err(unusable(index, &name));
            };
            match bound_addr(&socket) {
                Ok(Some(addr)) if socket.is_listener().unwrap_or(false) => {
                    prepare(&socket).map_err(|source| Error::Listen {
                        addr: addr.clone(),
                        source,
                    })?;
                    inherited.sockets.push(Passed { addr, name, socket });
                }
                _ => return Err(unusable(index, &name)),
            }
        }
        Ok(inherited)
    }

    /// Takes the sockets that serve `addr`; `None` where it is to be bound.
    pub(super) fn take(&mut self, addr: &ListenAddr) -> Option<Sockets> {
        let taken = self
            .sockets
            .extract_if(.., |passed| serves(&passed.addr, &passed.socket, addr));
        let taken: Vec<_> = taken.map(|passed| passed.socket).collect();
        // The service manager keeps them open when this process stops: what waits in their queues is not lost, as it would be
        // in those of further sockets with the same port.
        (!taken.is_empty()).then_some(Sockets::Shared(taken))
    }

    /// To be called when all listeners have taken theirs.
    ///
    /// # Errors
    /// When a socket is left: its clients would connect and never be answered.
    pub fn finish(self) -> Result<(), Error> {
        match self.sockets.first() {
            None => Ok(()),
            Some(Passed { addr, name, .. }) => Err(Error::Inherited(format!(
                "the service manager passed a socket for {addr} ({name}), which no listener of the configuration has: add the \
                 address to `listen`, or remove it from the socket unit"
            ))),
        }
    }
}

fn unusable(index: usize, name: &str) -> Error {
    Error::Inherited(format!(
        "socket {index} of the service manager ({name}) is not a listening TCP or Unix socket: the socket unit needs \
         ListenStream= and Accept=no"
    ))
}

/// Sets what the service manager does not set by itself.
fn prepare(socket: &Socket) -> io::Result<()> {
    socket.set_nonblocking(true)?;
    if socket.local_addr()?.as_socket().is_some() {
        // Accepted sockets inherit this.
        socket.set_tcp_nodelay(true)?;
    }
    Ok(())
}

/// Whether a socket that is bound to `bound` serves the clients of `configured`. `[::]` serves IPv4 clients too, unless it
/// is for IPv6 only: `ListenStream=8080` of a socket unit means `:8080` here, and `[::]:8080`.
fn serves(bound: &ListenAddr, socket: &Socket, configured: &ListenAddr) -> bool {
    let any_v4 = |addr: &SocketAddr| addr.ip() == Ipv4Addr::UNSPECIFIED;
    let any_v6 = |addr: &SocketAddr| addr.ip() == Ipv6Addr::UNSPECIFIED;
    match (bound, configured) {
        (ListenAddr::Tcp(bound), ListenAddr::Tcp(configured))
            if any_v6(bound) && any_v4(configured) =>
        {
            bound.port() == configured.port() && !socket.only_v6().unwrap_or(true)
        }
        _ => bound == configured,
    }
}
