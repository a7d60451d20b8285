//! The successor: it gets the sockets, and tells when it serves.

use std::io;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use socket2::Socket;

use super::message::{Listener, Message, Tickets, receive_descriptors};
use crate::config::ListenAddr;
use crate::server::listening::{Ownership, SocketFile, Sockets, set_for_clients};

/// How long the predecessor has to answer each message.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// The sockets of one address.
#[derive(Debug)]
pub(in crate::server) struct Taken {
    pub configured: ListenAddr,
    pub addr: ListenAddr,
    pub sockets: Sockets,
    /// Whether this process is to remove the socket file.
    pub has_file: bool,
}

/// What is left to do when this process serves in the place of another.
#[derive(Debug)]
pub struct Takeover {
    stream: UnixStream,
    /// The socket files are the predecessor's until it is complete.
    owner: Ownership,
    /// Of addresses that no listener has any more.
    left: Vec<SocketFile>,
}

/// The process before, which still answers what it had begun.
#[derive(Debug)]
pub struct Draining(UnixStream);

impl Draining {
    /// Waits until it has ended. Blocks the calling thread.
    pub fn wait(mut self) {
        // It sends nothing more: this is the end, however it comes.
        let _ = io::copy(&mut self.0, &mut io::sink());
    }
}

/// Asks the process at the other end of `stream` for its sockets and its ticket keys.
pub(in crate::server) fn receive(
    mut stream: UnixStream,
) -> Result<(Vec<Taken>, Vec<Tickets>, Takeover), String> {
    let failed = |error: io::Error| {
        let why = match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => "it does not answer".to_owned(),
            io::ErrorKind::UnexpectedEof => {
                "it has closed the connection: another handover may be under way".to_owned()
            }
            _ => error.to_string(),
        };
        format!("cannot take the sockets of the running process over: {why}")
    };
    let ask = |stream: &mut UnixStream| {
        stream.set_read_timeout(Some(ANSWER_WITHIN))?;
        stream.set_write_timeout(Some(ANSWER_WITHIN))?;
        Message::Take.send(stream)?;
        let Message::Listeners(listeners, tickets) = Message::receive(stream)? else {
            return Err(io::Error::other("it answers with another message"));
        };
        let all = listeners.iter().map(|listener| listener.sockets).sum();
        let descriptors = receive_descriptors(stream, all)?;
        let sockets: Vec<_> = descriptors.into_iter().map(Socket::from).collect();
        // The predecessor may be older than this.
        sockets.iter().try_for_each(set_for_clients)?;
        Ok((listeners, tickets, sockets.into_iter()))
    };
    let (listeners, tickets, mut sockets) = ask(&mut stream).map_err(failed)?;
    let taken = listeners.into_iter().map(|listener| {
        let Listener {
            configured,
            addr,
            is_shared,
            has_file,
            ..
        } = listener;
        let sockets = sockets.by_ref().take(listener.sockets).collect();
        Taken {
            configured,
            addr,
            sockets: match is_shared {
                true => Sockets::Shared(sockets),
                false => Sockets::Each(sockets),
            },
            has_file,
        }
    });
    let taken = taken.filter(|taken| matches!(taken.sockets.addr(), Ok(Some(_))));
    let taken = taken.collect();
    let takeover = Takeover {
        stream,
        owner: Ownership::new(false),
        left: Vec::new(),
    };
    Ok((taken, tickets, takeover))
}

impl Takeover {
    /// A socket file that this process is to remove once the takeover is complete; `None` where it is gone.
    pub(in crate::server) fn file(&self, path: &Path) -> Option<SocketFile> {
        SocketFile::of(path, self.owner.clone()).ok()
    }

    /// `file` belongs to an address that no listener has any more.
    pub(in crate::server) fn leave(&mut self, file: Option<SocketFile>) {
        self.left.extend(file);
    }

    /// Tells the predecessor that this process can serve, and waits until it may. False where it may not: it was too late, and
    /// must end. Blocks the calling thread, for a bounded time.
    pub fn may_serve(&mut self) -> bool {
        let stream = &mut self.stream;
        let told = Message::Ready.send(stream);
        match told.and_then(|()| Message::receive(stream)) {
            Ok(message) => message == Message::Serve,
            // A predecessor that has ended without a word does not serve any more. One that is silent may.
            Err(error) => !matches!(
                error.kind(),
                io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::InvalidData
            ),
        }
    }

    /// Tells the predecessor that this process serves, and waits for its answer. Returns the predecessor, which drains, where
    /// the sockets are this process's now; if not, the predecessor goes on, and this one must end.
    pub fn complete(mut self) -> Option<Draining> {
        let told = Message::Serving.send(&mut self.stream);
        let answer = self
            .stream
            .set_read_timeout(None)
            .and_then(|()| Message::receive(&mut self.stream));
        // A predecessor that has ended without a word does not serve any more.
        let is_complete = match answer {
            Ok(Message::Released) => true,
            Ok(_) => false,
            Err(error) => {
                tracing::warn!(%error, ?told, "the process before has ended without an answer");
                true
            }
        };
        if is_complete {
            self.owner.set(true);
        }
        is_complete.then_some(Draining(self.stream))
    }
}
