//! Checks a TLS session between two exchanges without waiting, and ends it.

use std::io::{self, Read, Write};

use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

/// How often a check reads from the socket, some kilobytes each time. Between two responses a server sends session tickets,
/// and no more than that.
const READS: usize = 16;

/// Whether neither data nor an end has come that has not been read; TLS's own messages are processed. A server that sends
/// too many of these is not quiet: to read all of them would delay other connections.
pub(in crate::upstream) fn is_quiet(stream: &mut TlsStream<TcpStream>) -> bool {
    let (socket, session) = stream.get_mut();
    for _ in 0..READS {
        match session.process_new_packets() {
            Ok(state) if state.plaintext_bytes_to_read() == 0 && !state.peer_has_closed() => {}
            _ => return false,
        }
        match session.read_tls(&mut NonBlocking(socket)) {
            Ok(1..) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return true,
            Ok(0) | Err(_) => return false,
        }
    }
    false
}

/// Sends close_notify (RFC 9112 §9.8), if the socket takes it at once.
pub(in crate::upstream) fn send_close_notify(stream: &mut TlsStream<TcpStream>) {
    let (socket, session) = stream.get_mut();
    session.send_close_notify();
    while session.wants_write() {
        if !matches!(session.write_tls(&mut NonBlocking(socket)), Ok(1..)) {
            return;
        }
    }
}

/// Reads and writes as much as the socket can at once.
struct NonBlocking<'a>(&'a TcpStream);

impl Read for NonBlocking<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(buf)
    }
}

impl Write for NonBlocking<'_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.try_write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
