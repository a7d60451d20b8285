//! Before HTTP on a connection: the header of a balancer, and the TLS handshake.

use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::task::Poll;

use http::HeaderValue;
use tokio::net::TcpStream;

use super::listen::Treatment;
use super::proxy_protocol;
use super::socket::Socket;
use super::state::{Decision, State};
use super::tls::{Accepted, Turns};

/// A connection on which HTTP begins.
pub(super) struct Opened {
    pub socket: Socket,
    /// The client's.
    pub addr: SocketAddr,
    /// Client-Cert, where the API is told the client's certificate.
    pub certificate: Option<HeaderValue>,
    /// The listener speaks TLS, and the client does not.
    pub lacks_tls: bool,
}

/// Opens a connection that came from `addr`. `None` when the client leaves before its first octet.
///
/// # Errors
/// When it does not begin as its listener demands, or the worker has decided to end it.
pub(super) async fn open(
    socket: TcpStream,
    addr: SocketAddr,
    treatment: &Treatment,
    state: &State,
    turns: &Turns,
) -> io::Result<Option<Opened>> {
    let mut opening = pin!(steps(socket, addr, treatment, state, turns));
    poll_fn(|cx| {
        state.register_waker(cx);
        if state.decision() != Decision::Keep {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        opening.as_mut().poll(cx)
    })
    .await
}

async fn steps(
    mut socket: TcpStream,
    from: SocketAddr,
    treatment: &Treatment,
    state: &State,
    turns: &Turns,
) -> io::Result<Option<Opened>> {
    let addr = match &*treatment.balancers {
        [] => from,
        balancers => proxy_protocol::read(&mut socket, from, balancers)
            .await
            .inspect_err(|error| {
                tracing::warn!(peer = %from, %error, "connection refused: no PROXY header");
            })?,
    };
    let opened = |socket, lacks_tls| Opened {
        socket,
        addr,
        certificate: None,
        lacks_tls,
    };
    let Some(tls) = &treatment.tls else {
        return Ok(Some(opened(Socket::Tcp(socket), false)));
    };
    let accepted = tls.accept(socket, turns).await;
    match &accepted {
        Ok(Accepted::Tls(stream)) => state.count_handshake(stream.get_ref().1.handshake_kind()),
        Ok(Accepted::Plain(_)) | Err(_) => state.count_handshake(None),
        Ok(Accepted::Left | Accepted::Proved) => {}
    }
    Ok(match accepted? {
        Accepted::Tls(stream) => {
            let shown = stream.get_ref().1.peer_certificates();
            let certificate = tls.client_cert(shown.and_then(<[_]>::first));
            Some(Opened {
                certificate,
                ..opened(Socket::Tls(stream), false)
            })
        }
        Accepted::Plain(socket) => Some(opened(Socket::Tcp(socket), true)),
        Accepted::Left | Accepted::Proved => None,
    })
}
