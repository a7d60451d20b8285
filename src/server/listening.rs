//! Opens listening sockets.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net as unix;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use socket2::{Domain, Protocol, Socket, Type};

use crate::config::ListenAddr;

/// Connections that may wait to be accepted; the system's limit (`net.core.somaxconn`) may be lower.
pub(super) const BACKLOG: i32 = 4096;

/// Octets that the kernel holds of a response beyond what it has sent. Without a limit it takes up to `net.ipv4.tcp_wmem`'s
/// most (4 MiB) of a connection whose client reads nothing, and a few hundred of those leave no memory for the sockets of
/// others. What is stored is in memory anyway, so nothing is gained by a copy of it.
#[cfg(target_os = "linux")]
const MAX_UNSENT: u32 = 128 << 10;

/// The listening sockets of one address.
#[derive(Debug)]
pub(super) enum Sockets {
    /// At least one for each worker: they share the port by SO_REUSEPORT, and the kernel divides connections among them.
    Each(Vec<Socket>),
    /// All workers accept from each: Unix sockets have no SO_REUSEPORT, nor have those of a service manager.
    Shared(Vec<Socket>),
}

impl Sockets {
    /// The first socket binds the port without sharing it, so that a port in use is an error; then those of the other
    /// workers share it.
    pub fn tcp(addr: SocketAddr, v6_only: bool, workers: usize) -> io::Result<Self> {
        let first = tcp(addr, v6_only, false)?;
        first.set_reuse_port(true)?;
        Self::Each(vec![first]).with_enough(workers)
    }

    /// Opens more where there are fewer than workers.
    pub fn with_enough(self, workers: usize) -> io::Result<Self> {
        let Self::Each(mut sockets) = self else {
            return Ok(self);
        };
        if let Some(first) = sockets.first()
            && let Some(addr) = first.local_addr()?.as_socket()
        {
            let v6_only = addr.is_ipv6() && first.only_v6()?;
            for _ in sockets.len()..workers {
                sockets.push(tcp(addr, v6_only, true)?);
            }
        }
        Ok(Self::Each(sockets))
    }

    /// A Unix socket, and its file.
    pub fn unix(path: &Path) -> io::Result<(Self, SocketFile)> {
        remove_stale(path)?;
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.bind(&socket2::SockAddr::unix(path)?)?;
        let file = SocketFile::of(path, Ownership::new(true))?;
        socket.listen(BACKLOG)?;
        socket.set_nonblocking(true)?;
        Ok((Self::Shared(vec![socket]), file))
    }

    /// The address that they are bound to; `None` where no listener can have it, or all are closed.
    pub fn addr(&self) -> io::Result<Option<ListenAddr>> {
        let (Self::Each(sockets) | Self::Shared(sockets)) = self;
        sockets.first().map_or(Ok(None), bound_addr)
    }

    /// Duplicates of all.
    pub fn duplicates(&self) -> io::Result<Vec<Socket>> {
        let (Self::Each(sockets) | Self::Shared(sockets)) = self;
        sockets.iter().map(Socket::try_clone).collect()
    }

    /// Duplicates of those that a worker accepts from.
    pub fn of_worker(&self, index: usize, workers: usize) -> io::Result<Vec<Socket>> {
        match self {
            // Where there are more sockets than workers, some get two.
            Self::Each(sockets) => {
                let own = sockets.iter().skip(index).step_by(workers.max(1));
                own.map(Socket::try_clone).collect()
            }
            Self::Shared(sockets) => sockets.iter().map(Socket::try_clone).collect(),
        }
    }
}

/// The sockets of one address, for a successor.
#[derive(Debug)]
pub(super) struct Offer {
    pub configured: ListenAddr,
    pub addr: ListenAddr,
    /// Whether all workers accept from each.
    pub is_shared: bool,
    pub sockets: Vec<Socket>,
    /// Whether the successor is to remove the socket file at its end.
    pub has_file: bool,
}

/// The address that a socket is bound to; `None` for one that no listener can have.
pub(super) fn bound_addr(socket: &Socket) -> io::Result<Option<ListenAddr>> {
    let addr = socket.local_addr()?;
    let path = || addr.as_pathname().map(|path| path.to_owned());
    let tcp = addr.as_socket().map(ListenAddr::Tcp);
    Ok(tcp.or_else(|| path().map(ListenAddr::Unix)))
}

/// Sets on a listening socket what the connections that it accepts inherit.
pub(super) fn set_for_clients(socket: &Socket) -> io::Result<()> {
    if socket.local_addr()?.as_socket().is_none() {
        return Ok(());
    }
    socket.set_tcp_nodelay(true)?;
    // A kernel or a sandbox that has not got it serves all the same.
    #[cfg(target_os = "linux")]
    if let Err(error) = socket.set_tcp_notsent_lowat(MAX_UNSENT) {
        tracing::debug!(%error, "what the kernel holds for slow readers is not bounded");
    }
    Ok(())
}

fn tcp(addr: SocketAddr, v6_only: bool, shared: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    if addr.is_ipv6() {
        socket.set_only_v6(v6_only)?;
    }
    // Connections of an earlier process may still be in TIME_WAIT.
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    set_for_clients(&socket)?;
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// A Unix socket whose file only its owner can use. It takes the place of the file at `path` if `replaces`; else there must be
/// none but one that a process left behind.
pub(super) fn private_unix(
    path: &Path,
    replaces: bool,
) -> io::Result<(unix::UnixListener, SocketFile)> {
    if !replaces {
        remove_stale(path)?;
    }
    // Under another name first: nobody finds it with the rights that the umask gives it.
    let mut new = path.as_os_str().to_owned();
    new.push(format!(".{}", std::process::id()));
    let new = PathBuf::from(new);
    remove_stale(&new)?;
    let listener = unix::UnixListener::bind(&new)?;
    let moved = fs::set_permissions(&new, fs::Permissions::from_mode(0o600))
        .and_then(|()| fs::rename(&new, path));
    if let Err(error) = moved {
        // The first error tells more.
        let _ = fs::remove_file(&new);
        return Err(error);
    }
    Ok((listener, SocketFile::of(path, Ownership::new(true))?))
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

/// Removes the socket file when dropped, unless another has taken its place, or it is not this process's to remove.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    identity: (u64, u64),
    owner: Ownership,
}

/// Whether this process removes some socket files. Clones are one.
#[derive(Clone, Debug)]
pub(super) struct Ownership(Arc<AtomicBool>);

impl Ownership {
    pub fn new(is_own: bool) -> Self {
        Self(Arc::new(AtomicBool::new(is_own)))
    }

    pub fn set(&self, is_own: bool) {
        self.0.store(is_own, Ordering::Release);
    }
}

impl SocketFile {
    pub fn of(path: &Path, owner: Ownership) -> io::Result<Self> {
        Ok(Self {
            path: path.to_owned(),
            identity: identity(path)?,
            owner,
        })
    }

    /// Leaves the file where it is: another process has it now.
    pub fn give_up(&self) {
        self.owner.set(false);
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.owner.0.load(Ordering::Acquire)
            && identity(&self.path).is_ok_and(|found| found == self.identity)
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

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::net::{Ipv4Addr, TcpStream};

    use super::*;

    #[test]
    fn what_the_kernel_holds_for_a_client_that_reads_nothing_is_bounded() {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let sockets = Sockets::tcp(any, false, 1).expect("sockets");
        let Ok(Some(ListenAddr::Tcp(addr))) = sockets.addr() else {
            panic!("no address");
        };
        let Sockets::Each(listening) = sockets else {
            panic!("shared sockets");
        };
        let _client = TcpStream::connect(addr).expect("a connection");
        listening[0].set_nonblocking(false).expect("blocking");
        let (accepted, _) = listening[0].accept().expect("a connection");
        let unsent = accepted.tcp_notsent_lowat().expect("an option");
        assert_eq!(unsent, MAX_UNSENT);
        assert!(accepted.tcp_nodelay().expect("an option"));
    }
}
