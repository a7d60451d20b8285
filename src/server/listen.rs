//! Binds the addresses of a server before any worker runs: errors show at once, and port 0 has become a number.

use std::fs;
use std::io;
use std::net::{self, SocketAddr};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net as unix;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ipnet::IpNet;
use socket2::{Domain, Protocol, Socket, Type};

use super::error::Error;
use super::tls::{Tls, TlsListeners};
use crate::config::{self, ListenAddr};

/// Connections that may wait to be accepted; the system's limit (`net.core.somaxconn`) may be lower.
const BACKLOG: i32 = 4096;

/// The bound listeners of a server: a set for each worker.
#[derive(Debug)]
pub(super) struct Listeners {
    addrs: Vec<ListenAddr>,
    sets: Vec<Vec<Bound>>,
    files: Vec<SocketFile>,
}

/// A listener of one worker, and how its connections are treated.
#[derive(Debug)]
pub(super) struct Bound {
    pub listener: Listener,
    pub treatment: Treatment,
}

/// How the connections of a listener are treated; the workers share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Treatment {
    pub tls: Option<Arc<Tls>>,
    /// Each request is redirected to https at this port.
    pub redirect: Option<u16>,
    /// The balancers in front, each of whose connections begins with a PROXY header; empty: none does.
    pub balancers: Arc<[IpNet]>,
}

impl Treatment {
    /// Whether anything comes on a connection before HTTP.
    pub fn precedes_http(&self) -> bool {
        self.tls.is_some() || !self.balancers.is_empty()
    }
}

/// One listener of one worker.
#[derive(Debug)]
pub(super) enum Listener {
    Tcp(net::TcpListener),
    Unix(unix::UnixListener),
}

impl Listeners {
    /// Binds all addresses of `config`. Returns them with the TLS of those that have it.
    pub fn bind(config: &config::Server, workers: usize) -> Result<(Self, TlsListeners), Error> {
        let mut listeners = Self {
            addrs: Vec::new(),
            sets: (0..workers).map(|_| Vec::new()).collect(),
            files: Vec::new(),
        };
        let all: Vec<_> = config.addrs().cloned().collect();
        for addr in &config.listen {
            listeners.add(addr, &all, &Treatment::default())?;
        }
        let mut secured = Vec::new();
        for listener in &config.listeners {
            let tls = listener.tls.as_ref().map(Tls::new).transpose();
            let treatment = Treatment {
                tls: tls.map_err(Error::Certificate)?,
                redirect: listener.redirect,
                balancers: listener.proxy_protocol.clone().into(),
            };
            for addr in &listener.listen {
                listeners.add(addr, &all, &treatment)?;
            }
            if let Some(tls) = treatment.tls {
                secured.push((listener.listen.clone(), tls));
            }
        }
        Ok((listeners, TlsListeners::new(secured)))
    }

    fn add(
        &mut self,
        addr: &ListenAddr,
        all: &[ListenAddr],
        treatment: &Treatment,
    ) -> Result<(), Error> {
        let taken = match addr {
            ListenAddr::Tcp(at) => self.add_tcp(*at, is_v6_only(*at, all), treatment),
            ListenAddr::Unix(path) => self.add_unix(path, treatment),
        };
        taken.map_err(|source| Error::Listen {
            addr: addr.clone(),
            source,
        })
    }

    pub fn addrs(&self) -> &[ListenAddr] {
        &self.addrs
    }

    /// A set of listeners for each worker, and the socket files, which are removed when they are dropped.
    pub fn into_parts(self) -> (Vec<Vec<Bound>>, Vec<SocketFile>) {
        (self.sets, self.files)
    }

    /// The first listener binds the port without sharing it, so that a port in use is an error; then those of the other
    /// workers share it.
    fn add_tcp(
        &mut self,
        addr: SocketAddr,
        v6_only: bool,
        treatment: &Treatment,
    ) -> io::Result<()> {
        let mut shared = None;
        for set in &mut self.sets {
            let listener = match shared {
                None => {
                    let first = tcp(addr, v6_only, false)?;
                    shared = first.local_addr()?.as_socket();
                    first.set_reuse_port(true)?;
                    first
                }
                Some(addr) => tcp(addr, v6_only, true)?,
            };
            set.push(Bound {
                listener: Listener::Tcp(listener.into()),
                treatment: treatment.clone(),
            });
        }
        self.addrs.push(ListenAddr::Tcp(shared.unwrap_or(addr)));
        Ok(())
    }

    /// The workers share one Unix listener: Unix sockets have no SO_REUSEPORT.
    fn add_unix(&mut self, path: &Path, treatment: &Treatment) -> io::Result<()> {
        remove_stale(path)?;
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.bind(&socket2::SockAddr::unix(path)?)?;
        self.files.push(SocketFile::of(path)?);
        socket.listen(BACKLOG)?;
        socket.set_nonblocking(true)?;
        for set in &mut self.sets {
            set.push(Bound {
                listener: Listener::Unix(socket.try_clone()?.into()),
                treatment: treatment.clone(),
            });
        }
        self.addrs.push(ListenAddr::Unix(path.to_owned()));
        Ok(())
    }
}

fn tcp(addr: SocketAddr, v6_only: bool, shared: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    if addr.is_ipv6() {
        socket.set_only_v6(v6_only)?;
    }
    // Connections of an earlier process may still be in TIME_WAIT.
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    // Accepted sockets inherit this.
    socket.set_tcp_nodelay(true)?;
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// `[::]` accepts IPv4 clients too, unless an IPv4 address with the same port is listed as well.
fn is_v6_only(addr: SocketAddr, all: &[ListenAddr]) -> bool {
    addr.port() != 0
        && all.iter().any(|other| {
            matches!(other, ListenAddr::Tcp(other) if other.is_ipv4() && other.port() == addr.port())
        })
}

/// Removes a socket file that a process left behind. Fails when a process still listens on it, or when it is another file.
fn remove_stale(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
        Ok(found) if !found.file_type().is_socket() => {
            return Err(io::Error::new(
                io::ErrorKind::AlreadyExists,
                "a file that is no socket is there",
            ));
        }
        Ok(_) => {}
    }
    match unix::UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        // A listener that refuses us, or whose queue is full, is in use too.
        Ok(_) | Err(_) => Err(io::ErrorKind::AddrInUse.into()),
    }
}

/// Removes the socket file when dropped, unless another has taken its place.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    identity: (u64, u64),
}

impl SocketFile {
    fn of(path: &Path) -> io::Result<Self> {
        Ok(Self {
            path: path.to_owned(),
            identity: identity(path)?,
        })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|found| found == self.identity)
            && let Err(error) = fs::remove_file(&self.path)
        {
            tracing::warn!(path = %self.path.display(), %error, "cannot remove the socket file");
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let found = fs::symlink_metadata(path)?;
    Ok((found.dev(), found.ino()))
}
