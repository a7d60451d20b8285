//! A TLS session between two exchanges: looked at without waiting, and ended.

use std::io::{self, Read, Write};

use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

/// How often a look at a session reads from its socket: each time some kilobytes. A server has tickets to send between
/// two responses, and not more than fits in so many.
const READS: usize = 16;

/// Whether no data have come that have not been read, no end either; what belongs to TLS alone is taken in. A server
/// that sends more of that than anybody needs is not quiet: to read all of it would hold up everybody else.
pub(in crate::upstream) fn is_quiet(stream: &mut TlsStream<TcpStream>) -> bool {
    let (socket, session) = stream.get_mut();
    for _ in 0..READS {
        match session.process_new_packets() {
            Ok(state) if state.plaintext_bytes_to_read() == 0 && !state.peer_has_closed() => {}
            _ => return false,
        }
        match session.read_tls(&mut AtOnce(socket)) {
            Ok(1..) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return true,
            Ok(0) | Err(_) => return false,
        }
    }
    false
}

/// Tells the peer that nothing more comes (RFC 9112 §9.8), if its socket takes that at once.
pub(in crate::upstream) fn tell_end(stream: &mut TlsStream<TcpStream>) {
    let (socket, session) = stream.get_mut();
    session.send_close_notify();
    while session.wants_write() {
        if !matches!(session.write_tls(&mut AtOnce(socket)), Ok(1..)) {
            return;
        }
    }
}

/// A socket that gives and takes what it can at once.
struct AtOnce<'a>(&'a TcpStream);

impl Read for AtOnce<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(buf)
    }
}

impl Write for AtOnce<'_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.try_write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
