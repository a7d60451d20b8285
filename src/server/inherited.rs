//! Listening sockets that another process has opened and passed to this one: the service manager (socket activation,
//! sd_listen_fds(3)), or the process whose place this one takes.

use std::env;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::path::Path;

use listenfd::ListenFd;
use socket2::Socket;

use super::error::Error;
use super::handover::takeover::{Taken, Takeover, receive};
use super::listening::{Offer, Ownership, SocketFile, Sockets, bound_addr, set_for_clients};
use super::tls::TicketKeys;
use crate::config::ListenAddr;

/// Sockets that were passed, and that no listener has taken yet.
#[derive(Debug, Default)]
pub struct Inherited {
    sockets: Vec<Passed>,
    /// The ticket keys of the process before, by the addresses of their listener.
    ticket_keys: Vec<(Vec<ListenAddr>, TicketKeys)>,
    /// `None` where they are the service manager's.
    takeover: Option<Takeover>,
}

/// The sockets of one address.
#[derive(Debug)]
struct Passed {
    /// The address that they are bound to.
    addr: ListenAddr,
    from: From,
    sockets: Sockets,
    /// The socket file, where this process is to remove it.
    file: Option<SocketFile>,
}

/// Who has passed a socket.
#[derive(Debug)]
enum From {
    /// The service manager, which calls it so.
    ServiceManager { name: String },
    /// The process before, in whose configuration it has this address: another one for port 0.
    Predecessor { configured: ListenAddr },
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
                    // What the service manager does not set by itself.
                    let set = socket.set_nonblocking(true);
                    let set = set.and_then(|()| set_for_clients(&socket));
                    set.map_err(|source| Error::Listen {
                        addr: addr.clone(),
                        source,
                    })?;
                    inherited.add(addr, name, socket);
                }
                _ => return Err(unusable(index, &name)),
            }
        }
        Ok(inherited)
    }

    /// Those of the process that hands over on the Unix socket `path`, or on standard input for `-`. It goes on as before until
    /// the takeover is complete.
    ///
    /// # Errors
    /// When that process does not give them.
    pub fn from_predecessor(path: &Path) -> Result<Self, Error> {
        let stream = match path.as_os_str() == "-" {
            true => io::stdin()
                .as_fd()
                .try_clone_to_owned()
                .map(UnixStream::from),
            false => UnixStream::connect(path),
        };
        let stream = stream.map_err(|error| {
            Error::Inherited(format!(
                "no gateway hands over on {}: {error}; without --takeover, this one binds its addresses itself",
                path.display()
            ))
        })?;
        let (taken, ticket_keys, takeover) = receive(stream).map_err(Error::Inherited)?;
        let mut sockets = Vec::new();
        for Taken {
            configured,
            addr,
            sockets: passed,
            has_file,
        } in taken
        {
            let file = match &addr {
                ListenAddr::Unix(path) if has_file => takeover.file(path),
                _ => None,
            };
            sockets.push(Passed {
                addr,
                from: From::Predecessor { configured },
                sockets: passed,
                file,
            });
        }
        Ok(Self {
            sockets,
            ticket_keys,
            takeover: Some(takeover),
        })
    }

    /// Those of this process's own listeners, for others that take their place. Their socket files are the new ones' once
    /// `owner` says so.
    pub(super) fn from_own(
        offers: Vec<Offer>,
        ticket_keys: Vec<(Vec<ListenAddr>, TicketKeys)>,
        owner: &Ownership,
    ) -> Self {
        let passed = |offer: Offer| {
            let file = match &offer.addr {
                ListenAddr::Unix(path) if offer.has_file => {
                    SocketFile::of(path, owner.clone()).ok()
                }
                _ => None,
            };
            Passed {
                addr: offer.addr,
                from: From::Predecessor {
                    configured: offer.configured,
                },
                sockets: match offer.is_shared {
                    true => Sockets::Shared(offer.sockets),
                    false => Sockets::Each(offer.sockets),
                },
                file,
            }
        };
        Self {
            sockets: offers.into_iter().map(passed).collect(),
            ticket_keys,
            takeover: None,
        }
    }

    /// Adds a socket of the service manager.
    fn add(&mut self, addr: ListenAddr, name: String, socket: Socket) {
        let same = self.sockets.iter_mut().find(|passed| passed.addr == addr);
        if let Some(Passed {
            sockets: Sockets::Shared(sockets),
            ..
        }) = same
        {
            sockets.push(socket);
            return;
        }
        self.sockets.push(Passed {
            addr,
            from: From::ServiceManager { name },
            // The service manager keeps them open when this process stops: what waits in their queues is not lost, as it
            // would be in those of further sockets with the same port.
            sockets: Sockets::Shared(vec![socket]),
            file: None,
        });
    }

    /// Takes the sockets that serve `addr`; `None` where it is to be bound.
    pub(super) fn take(&mut self, addr: &ListenAddr) -> Option<(Sockets, Option<SocketFile>)> {
        let at = self.sockets.iter().position(|passed| passed.serves(addr))?;
        let Passed { sockets, file, .. } = self.sockets.remove(at);
        Some((sockets, file))
    }

    /// Takes the ticket keys of the listener that had these addresses.
    pub(super) fn take_ticket_keys(&mut self, addrs: &[ListenAddr]) -> Option<TicketKeys> {
        let mut all = self.ticket_keys.iter();
        let at = all.position(|(listener, _)| listener == addrs)?;
        Some(self.ticket_keys.remove(at).1)
    }

    /// To be called when all listeners have taken theirs. Returns what is still to be done where this process takes the place
    /// of another.
    ///
    /// # Errors
    /// When a socket of the service manager is left: its clients would connect and never be answered.
    pub fn finish(self) -> Result<Option<Takeover>, Error> {
        let mut takeover = self.takeover;
        for Passed {
            addr, from, file, ..
        } in self.sockets
        {
            if let From::ServiceManager { name } = from {
                return Err(Error::Inherited(format!(
                    "the service manager passed a socket for {addr} ({name}), which no listener of the configuration has: add \
                     the address to `listen`, or remove it from the socket unit"
                )));
            }
            if let Some(takeover) = &mut takeover {
                takeover.leave(file);
            }
        }
        Ok(takeover)
    }
}

impl Passed {
    /// Whether these are the sockets for the clients of `configured`.
    fn serves(&self, wanted: &ListenAddr) -> bool {
        let (Sockets::Each(sockets) | Sockets::Shared(sockets)) = &self.sockets;
        match &self.from {
            From::Predecessor { configured } => {
                configured == wanted || (!wanted.is_free_port() && self.addr == *wanted)
            }
            From::ServiceManager { .. } => sockets
                .iter()
                .all(|socket| serves(&self.addr, socket, wanted)),
        }
    }
}

fn unusable(index: usize, name: &str) -> Error {
    Error::Inherited(format!(
        "socket {index} of the service manager ({name}) is not a listening TCP or Unix socket: the socket unit needs \
         ListenStream= and Accept=no"
    ))
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
