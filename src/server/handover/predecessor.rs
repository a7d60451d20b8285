//! The process that has the sockets: it gives them to a successor, and learns whether that one serves.

use std::fmt;
use std::io;
use std::os::unix::net::{self as unix, UnixStream};
use std::path::Path;
use std::time::Duration;

use tokio::net::UnixListener;

use super::message::{Listener, Message, send_descriptors};
use crate::config::ListenAddr;
use crate::server::error::Error;
use crate::server::listen::SharedListeners;
use crate::server::listening::{SocketFile, private_unix};
use crate::server::run::Server;
use crate::server::tls::TlsListeners;

/// How long the successor has to ask, and to take what it is sent.
const ASK_WITHIN: Duration = Duration::from_secs(5);

/// How long it has until it can serve: it reads certificates and binds what is new.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// How long it has to start its workers then: this process does without its cache meanwhile.
const SERVE_WITHIN: Duration = Duration::from_secs(10);

/// Gives the listening sockets of a gateway to its successor.
#[derive(Clone, Debug)]
pub struct Handover {
    servers: Vec<(SharedListeners, TlsListeners)>,
    ready_within: Duration,
    serve_within: Duration,
}

/// Why a successor did not get them, or does not serve: this process goes on.
#[derive(Debug)]
pub struct NotHandedOver(io::Error);

impl Handover {
    /// Of all these servers.
    pub fn of<'a>(servers: impl IntoIterator<Item = &'a Server>) -> Self {
        let servers = servers.into_iter();
        let parts = servers.map(|server| (server.listeners(), server.tls()));
        Self {
            servers: parts.collect(),
            ready_within: READY_WITHIN,
            serve_within: SERVE_WITHIN,
        }
    }

    /// Gives the sockets to the process at the other end of `stream`, and waits until that one serves: then `adopt` is
    /// called, the successor is told, and this process must drain. `share` is called before, when that process can serve and
    /// nothing else is left to wait for: from then on it may. Blocks the calling thread, for a bounded time. Returns the connection, whose end tells the successor
    /// that this process serves nobody any more.
    ///
    /// # Errors
    /// When the successor ends before it serves, or is too late. This process goes on as before.
    pub fn to(
        &self,
        mut stream: UnixStream,
        share: impl FnOnce(),
        adopt: impl FnOnce(),
    ) -> Result<UnixStream, NotHandedOver> {
        let handed_over = self.offer(&mut stream, share).and_then(|()| {
            adopt();
            Message::Released.send(&mut stream)
        });
        if let Err(error) = handed_over {
            // It may have ended.
            let _ = Message::Kept.send(&mut stream);
            return Err(NotHandedOver(error));
        }
        for (listeners, _) in &self.servers {
            listeners.lock().give_files_up();
        }
        Ok(stream)
    }

    fn offer(&self, stream: &mut UnixStream, share: impl FnOnce()) -> io::Result<()> {
        stream.set_nonblocking(false)?;
        stream.set_read_timeout(Some(ASK_WITHIN))?;
        stream.set_write_timeout(Some(ASK_WITHIN))?;
        expect(stream, &Message::Take)?;
        let (mut offers, mut tickets) = (Vec::new(), Vec::new());
        for (listeners, tls) in &self.servers {
            offers.extend(listeners.lock().offers()?);
            tickets.extend(tls.ticket_keys());
        }
        let listeners = offers.iter().map(|offer| Listener {
            configured: offer.configured.clone(),
            addr: offer.addr.clone(),
            is_shared: offer.is_shared,
            sockets: offer.sockets.len(),
            has_file: offer.has_file,
        });
        Message::Listeners(listeners.collect(), tickets).send(stream)?;
        let sockets: Vec<_> = offers.iter().flat_map(|offer| &offer.sockets).collect();
        send_descriptors(stream, &sockets)?;
        drop(offers);
        stream.set_read_timeout(Some(self.ready_within))?;
        expect(stream, &Message::Ready)?;
        share();
        Message::Serve.send(stream)?;
        stream.set_read_timeout(Some(self.serve_within))?;
        expect(stream, &Message::Serving)
    }
}

fn expect(stream: &mut UnixStream, expected: &Message) -> io::Result<()> {
    match Message::receive(stream)? {
        message if message == *expected => Ok(()),
        message => Err(io::Error::other(format!(
            "the successor says {message:?} out of turn"
        ))),
    }
}

impl fmt::Display for NotHandedOver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.kind() {
            io::ErrorKind::UnexpectedEof => f.write_str("the successor has ended before it served"),
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                f.write_str("the successor did not serve in time")
            }
            _ => self.0.fmt(f),
        }
    }
}

impl std::error::Error for NotHandedOver {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

/// A Unix socket on which successors ask. Its file can be used by its owner alone, and is removed at the end.
#[derive(Debug)]
pub struct HandoverSocket {
    listener: unix::UnixListener,
    file: SocketFile,
}

impl HandoverSocket {
    /// With `replaces`, the socket takes the place of that of the process before.
    ///
    /// # Errors
    /// When the address cannot be taken.
    pub fn bind(path: &Path, replaces: bool) -> Result<Self, Error> {
        let bound = private_unix(path, replaces).and_then(|(listener, file)| {
            listener.set_nonblocking(true)?;
            Ok(Self { listener, file })
        });
        bound.map_err(|source| Error::Listen {
            addr: ListenAddr::Unix(path.to_owned()),
            source,
        })
    }

    /// Must be called within a runtime.
    pub fn successors(&self) -> io::Result<Successors> {
        Ok(Successors(UnixListener::from_std(
            self.listener.try_clone()?,
        )?))
    }

    /// Leaves the file to the successor, which may have replaced it already.
    pub fn give_up(&self) {
        self.file.give_up();
    }
}

/// Those who ask on a [`HandoverSocket`].
#[derive(Debug)]
pub struct Successors(UnixListener);

impl Successors {
    /// The next one, and the number of its process, where the system tells it. Others than processes of this user and of root
    /// are refused.
    pub async fn next(&self) -> io::Result<(unix::UnixStream, Option<u32>)> {
        loop {
            let (stream, _) = self.0.accept().await?;
            let peer = stream.peer_cred()?;
            let own = rustix::process::geteuid().as_raw();
            if peer.uid() == own || peer.uid() == 0 {
                let process = peer.pid().and_then(|process| u32::try_from(process).ok());
                return Ok((stream.into_std()?, process));
            }
            tracing::warn!(
                uid = peer.uid(),
                "a process of another user asked for the listening sockets, and was refused"
            );
        }
    }
}

#[cfg(test)]
mod tests;
